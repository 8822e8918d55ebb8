// SPDX-License-Identifier: GPL-2.0
//@ like: rtrs/client/rtrs_client
//@ error: use of moved value: `prepared`

//! Connecting consumes what was prepared.

use kernel_ext::rdma::{
    Context,
    Prepared, //
};

/// Connects the same queue pair twice.
pub fn wrong<C: Context>(prepared: Prepared<C>) {
    let _ = prepared.connect(&[], 1000);
    let _ = prepared.connect(&[], 1000);
}
