// SPDX-License-Identifier: GPL-2.0

//! How much memory the machine has.
//!
//! Used to bound what peers may make this host take; never to predict whether an allocation works.

use core::mem::MaybeUninit;
use kernel::bindings;

/// Bytes of memory that the kernel manages. May sleep.
pub fn total() -> u64 {
    let mut info = MaybeUninit::<bindings::sysinfo>::zeroed();
    // SAFETY:
    // - The structure is valid for writes during the call.
    // - It consists of integers, for which zero is a value; the call sets those that are read here.
    let info = unsafe {
        bindings::si_meminfo(info.as_mut_ptr());
        info.assume_init_ref()
    };
    u64::from(info.mem_unit).saturating_mul(info.totalram as u64)
}
