// SPDX-License-Identifier: GPL-2.0
//@ like: rtrs/client/rtrs_client
//@ error: borrow of moved value: `received`

//! A receive that was given back belongs to the device: it cannot be read any more.

use kernel_ext::rdma::{
    Context,
    Received, //
};

/// Reads a buffer that the peer may be writing.
pub fn wrong<C: Context>(received: Received<'_, C>) {
    let mut bytes = [0u8; 8];
    let _ = received.repost();
    let _ = received.copy(0, &mut bytes);
}
