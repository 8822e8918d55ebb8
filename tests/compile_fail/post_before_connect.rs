// SPDX-License-Identifier: GPL-2.0
//@ like: rtrs/client/rtrs_client
//@ error: no method named `post` found

//! Posting a send on a queue pair that is not connected: there is no such method.

use kernel_ext::rdma::{
    Context,
    Prepared, //
};

/// Posts too early.
pub fn wrong<C: Context>(prepared: &Prepared<C>) {
    let _ = prepared.post(&[], None);
}
