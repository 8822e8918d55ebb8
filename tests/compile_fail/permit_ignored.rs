// SPDX-License-Identifier: GPL-2.0
//@ like: rnbd_client/rnbd_client
//@ error: that must be used

//! A permit that is asked for must be used.

#![deny(unused_must_use)]

use rtrs_client::Permit;

/// Gets a permit and forgets it.
pub fn wrong(get: fn() -> Permit) {
    get();
}
