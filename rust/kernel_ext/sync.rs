// SPDX-License-Identifier: GPL-2.0

//! Locks, waiting and lock-free cells that the `kernel` crate lacks.
//!
//! | type | what it is for |
//! | --- | --- |
//! | [`IrqSpinLock`] | data shared with completions (soft or hard irq) |
//! | [`Completion`] | waiting for one thing, with time limits |
//! | [`WaitQueue`] | waiting for a condition that many change |
//! | [`AtomicSlot`] | an owned pointer that is put and taken without a lock |
//! | [`ArcCell`] | a replaceable shared reference |
//! | [`Gate`] | counts work in flight and can be closed |
//! | [`AtomicEnum`] | a state machine's state in one word |
//!
//! Everything may be used in any context, unless a function says that it sleeps.

pub mod arc_cell;
pub mod atomic_enum;
pub mod completion;
pub mod gate;
pub mod irq_spinlock;
pub mod slot;
pub mod wait_queue;

use kernel::bindings;

pub use crate::new_irq_spinlock;
pub use arc_cell::ArcCell;
pub use atomic_enum::AtomicEnum;
pub use completion::Completion;
pub use gate::Gate;
pub use irq_spinlock::{
    IrqSpinLock,
    IrqSpinLockGuard, //
};
pub use slot::AtomicSlot;
pub use wait_queue::WaitQueue;

/// Waits until everybody who was inside an RCU read-side section at the time of the call has left
/// it. Sleeps for some milliseconds.
///
/// After unpublishing an object, this is what makes sure that no reader in atomic context still
/// holds a reference that would then be the last one.
pub fn synchronize_rcu() {
    // SAFETY: may be called wherever sleeping is allowed, which the documentation demands; it
    // touches no memory of the caller.
    unsafe { bindings::synchronize_rcu() }
}
