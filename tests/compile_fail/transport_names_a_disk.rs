// SPDX-License-Identifier: GPL-2.0
//@ like: rtrs/client/rtrs_client
//@ error: unresolved import `block_mq`

//! The transport cannot name a block device: nobody gives it the crate.

use block_mq::Disk;

/// Knows too much.
pub fn wrong(_: &Disk<()>) {}
