// SPDX-License-Identifier: GPL-2.0

//! Declarations of the C helpers of this crate (`rust/helpers/base.h`).
//!
//! Private: nothing outside this crate may call C directly. The prototypes must match `base.h`.

use kernel::{
    bindings,
    ffi::{
        c_uint,
        c_ulong, //
    }, //
};

extern "C" {
    pub(crate) fn kx_spin_lock_irqsave(lock: *mut bindings::spinlock_t) -> c_ulong;
    pub(crate) fn kx_spin_trylock_irqsave(
        lock: *mut bindings::spinlock_t,
        flags: *mut c_ulong,
    ) -> bool;
    pub(crate) fn kx_spin_unlock_irqrestore(lock: *mut bindings::spinlock_t, flags: c_ulong);
    pub(crate) fn kx_wake_up_all(queue: *mut bindings::wait_queue_head);
    pub(crate) fn kx_this_cpu() -> c_uint;
    pub(crate) fn kx_num_online_cpus() -> c_uint;
    pub(crate) fn kx_cpu_possible(cpu: c_uint) -> bool;
    pub(crate) fn kx_noio_save() -> c_uint;
    pub(crate) fn kx_noio_restore(flags: c_uint);
}
