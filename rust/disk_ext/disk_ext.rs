// SPDX-License-Identifier: GPL-2.0

//! What a disk and an export may name of `kernel_ext`: all but verbs and the memory they reach.
//!
//! `Kbuild` hands this crate to both under the name `kernel_ext`. Nothing is defined here, so that
//! there is one implementation, and whoever uses this list cannot tell it from the whole.

pub use kernel_ext::{
    cpu,
    error,
    fmt,
    info_limited,
    log,
    memory,
    net,
    new_irq_spinlock,
    param,
    param_bool,
    param_str,
    param_u16,
    random,
    sync,
    sysfs,
    time,
    warn_limited,
    workqueue, //
};
