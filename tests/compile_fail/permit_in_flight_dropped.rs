// SPDX-License-Identifier: GPL-2.0
//@ like: rnbd_client/rnbd_client
//@ error: use of moved value: `permit`

//! A permit whose request is in flight belongs to the transport until the request has
//! completed; it cannot be given back before.

use rtrs_client::{
    Permit,
    Session, //
};

/// Gives the permit back while the server may still use its chunk.
pub fn wrong(session: &Session, permit: Permit) {
    let _ = session.write(permit, &[], false);
    drop(permit);
}
