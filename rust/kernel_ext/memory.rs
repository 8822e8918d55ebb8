// SPDX-License-Identifier: GPL-2.0

//! How much memory the machine has, and allocating without waiting for disks.
//!
//! The first is used to bound what peers may make this host take, never to predict whether an
//! allocation works. The second is for whatever a disk needs to work again: memory that is given
//! free by writing to that very disk never comes.

use core::mem::MaybeUninit;
use kernel::{
    bindings,
    types::ScopeGuard, //
};

use crate::ffi;

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

/// Runs `work` with allocations that do not wait for block IO, neither its own nor those of the
/// kernel functions it calls: `GFP_KERNEL` means `GFP_NOIO` meanwhile. May be nested.
pub fn without_io<R>(work: impl FnOnce() -> R) -> R {
    // SAFETY: changes a flag of the running task; may be called in any task context.
    let flags = unsafe { ffi::kx_noio_save() };
    let _restore = ScopeGuard::new_with_data(flags, |flags| {
        // SAFETY: gives back what the call above returned, in the same task, scopes being nested.
        unsafe { ffi::kx_noio_restore(flags) }
    });
    work()
}
