// SPDX-License-Identifier: GPL-2.0
//@ like: rnbd_server/rnbd_server
//@ error: unresolved import `kernel_ext::rdma`

//! Nor has what an export knows as `kernel_ext`.

use kernel_ext::rdma::Pd;

/// Knows too much.
pub fn wrong(_: &Pd) {}
