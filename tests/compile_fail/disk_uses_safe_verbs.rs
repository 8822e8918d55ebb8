// SPDX-License-Identifier: GPL-2.0
//@ like: rnbd_client/rnbd_client
//@ error: unresolved import `kernel_ext::rdma`

//! What a disk knows as `kernel_ext` has no verbs, not even the safe ones.

use kernel_ext::rdma::Pd;

/// Knows too much.
pub fn wrong(_: &Pd) {}
