// SPDX-License-Identifier: GPL-2.0

//! A spinlock that keeps interrupts off while it is held.
//!
//! Completions run in softirq or hard irq context; whatever they share with process context is
//! protected by this lock and by no other. The kernel's generic `Lock` does the work; only the
//! backend is ours.
//!
//! Nested guards must be dropped in the reverse order of locking: each restores the interrupt state
//! it found. The other order is memory-safe but leaves interrupts in the wrong state.

use crate::ffi;
use kernel::{
    bindings,
    ffi::{
        c_char,
        c_ulong, //
    },
    sync::lock::{
        Backend,
        Guard,
        Lock, //
    }, //
};

/// A `spinlock_t` that is taken with `spin_lock_irqsave`. Any context.
///
/// Made by [`new_irq_spinlock!`](crate::new_irq_spinlock).
pub type IrqSpinLock<T> = Lock<T, IrqBackend>;

/// A guard of an [`IrqSpinLock`]: interrupts are off on this CPU while it lives.
pub type IrqSpinLockGuard<'a, T> = Guard<'a, T, IrqBackend>;

/// The backend of [`IrqSpinLock`].
pub struct IrqBackend;

// SAFETY:
// - A `spinlock_t` has one owner between lock and unlock, whatever the interrupt state.
// - `relock` is the default one, which calls `lock` again: the same method.
unsafe impl Backend for IrqBackend {
    type State = bindings::spinlock_t;
    type GuardState = c_ulong;

    #[inline]
    unsafe fn init(ptr: *mut Self::State, name: *const c_char, key: *mut bindings::lock_class_key) {
        // SAFETY: the caller promises that `ptr` is valid for writes and that `name` and `key` stay
        // valid for ever, which is all the C function asks for.
        unsafe { bindings::__spin_lock_init(ptr, name, key) }
    }

    #[inline]
    unsafe fn lock(ptr: *mut Self::State) -> Self::GuardState {
        // SAFETY: the caller promises that the lock is initialised.
        unsafe { ffi::kx_spin_lock_irqsave(ptr) }
    }

    #[inline]
    unsafe fn try_lock(ptr: *mut Self::State) -> Option<Self::GuardState> {
        let mut flags: c_ulong = 0;
        // SAFETY: the caller promises that the lock is initialised; `flags` is a local that is valid
        // for writes.
        unsafe { ffi::kx_spin_trylock_irqsave(ptr, &raw mut flags) }.then_some(flags)
    }

    #[inline]
    unsafe fn unlock(ptr: *mut Self::State, guard_state: &Self::GuardState) {
        // SAFETY: the caller promises to own the lock; the state is the one that `lock` or
        // `try_lock` returned for this ownership.
        unsafe { ffi::kx_spin_unlock_irqrestore(ptr, *guard_state) }
    }

    #[inline]
    unsafe fn assert_is_held(ptr: *mut Self::State) {
        // SAFETY: the caller promises that the lock is initialised.
        unsafe { bindings::spin_assert_is_held(ptr) }
    }
}

/// Makes an initialiser of an [`IrqSpinLock`](crate::sync::IrqSpinLock) with a lock class of its own
/// per place of use.
///
/// `new_irq_spinlock!(value)` or `new_irq_spinlock!(value, "name")`.
///
/// Unlike the kernel's `new_mutex!` and its like it may stand in generic code, and in what generic
/// code of other crates makes of it: lockdep compares the addresses of names, and a literal would
/// be copied into every module that instantiates the code, while the class is one static for all.
/// So the name is reached through a static, which exists once as well.
#[macro_export]
macro_rules! new_irq_spinlock {
    ($inner:expr $(, $name:literal)? $(,)?) => {
        $crate::sync::IrqSpinLock::new(
            $inner,
            {
                static NAME: &::core::ffi::CStr = ::kernel::optional_name!($($name)?);
                NAME
            },
            ::kernel::static_lock_class!(),
        )
    };
}
