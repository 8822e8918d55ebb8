// SPDX-License-Identifier: GPL-2.0
//@ like: rtrs/client/rtrs_client
//@ error: can't find crate for `block_mq`

//! Nor does `extern crate` find a block device, although its crate was built next door.

extern crate block_mq;

/// Knows too much.
pub fn wrong(_: &block_mq::Disk<()>) {}
