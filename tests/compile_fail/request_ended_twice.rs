// SPDX-License-Identifier: GPL-2.0
//@ like: rnbd_client/rnbd_client
//@ error: use of moved value: `request`

//! A request of the block layer ends once.

use block_mq::{
    Operations,
    Request,
    Status, //
};

/// Ends it twice.
pub fn wrong<O: Operations>(request: Request<O>) {
    request.end(Status::OK);
    request.end(Status::IOERR);
}
