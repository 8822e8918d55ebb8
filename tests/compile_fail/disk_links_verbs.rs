// SPDX-License-Identifier: GPL-2.0
//@ like: rnbd_server/rnbd_server
//@ error: can't find crate for `rdma_bindings`

//! Nor does `extern crate` find what `use` does not: the crate is a dependency of others only.

extern crate rdma_bindings;

/// Knows too much.
pub fn wrong(_: *mut rdma_bindings::ib_qp) {}
