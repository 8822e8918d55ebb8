// SPDX-License-Identifier: GPL-2.0

//! Facts about the processors.
//!
//! Used to size what exists once per CPU (connections, hardware queues) and to choose among it.
//! The numbers are hints except [`nr_cpu_ids`], which is constant after boot.

use crate::ffi;

/// One more than the largest CPU id that can ever appear; at least 1. Any context.
pub fn nr_cpu_ids() -> u32 {
    kernel::cpu::nr_cpu_ids()
}

/// Whether a CPU with this id can ever appear; constant after boot. Any context.
pub fn is_possible(cpu: u32) -> bool {
    // SAFETY: the helper checks the id and reads a mask that does not change after boot.
    unsafe { ffi::kx_cpu_possible(cpu) }
}

/// Number of CPUs that are on line now. It may change at once. Any context.
pub fn num_online() -> u32 {
    // SAFETY: the helper only reads an atomic counter and has no preconditions.
    unsafe { ffi::kx_num_online_cpus() }
}

/// Id of the CPU that runs the caller, below [`nr_cpu_ids`]. Any context.
///
/// The caller may be moved to another CPU at once: good for picking a queue, never for exclusion.
pub fn current() -> u32 {
    // SAFETY: the helper only reads the id of the running CPU and has no preconditions.
    unsafe { ffi::kx_this_cpu() }
}
