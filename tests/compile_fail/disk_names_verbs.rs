// SPDX-License-Identifier: GPL-2.0
//@ like: rnbd_server/rnbd_server
//@ error: unresolved import `rdma_bindings`

//! The server of block devices cannot name raw verbs.

use rdma_bindings::ib_qp;

/// Knows too much.
pub fn wrong(_: *mut ib_qp) {}
