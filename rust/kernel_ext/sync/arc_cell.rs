// SPDX-License-Identifier: GPL-2.0

//! A shared reference that can be replaced while others read it.

use crate::sync::IrqSpinLock;
use kernel::{
    prelude::*,
    static_lock_class,
    sync::{
        Arc,
        LockClassKey, //
    },
};

/// An `Option<Arc<T>>` behind a lock that is held for a few instructions only. Any context.
#[pin_data]
pub struct ArcCell<T: Send + Sync> {
    #[pin]
    inner: IrqSpinLock<Option<Arc<T>>>,
}

impl<T: Send + Sync> ArcCell<T> {
    /// A cell with the given content.
    pub fn new(value: Option<Arc<T>>) -> impl PinInit<Self> {
        let (name, key) = class();
        pin_init!(Self {
            inner <- IrqSpinLock::new(value, name, key),
        })
    }

    /// A new reference to the content.
    pub fn get(&self) -> Option<Arc<T>> {
        self.inner.lock().clone()
    }

    /// Replaces the content and returns the old one, which is thus dropped outside the lock.
    pub fn set(&self, value: Option<Arc<T>>) -> Option<Arc<T>> {
        core::mem::replace(&mut *self.inner.lock(), value)
    }
}

/// The lock class of all cells.
///
/// Not in the generic code: that is compiled into every module that uses it, each with its own copy
/// of the name, and lockdep takes a class with two names for two classes with one key.
#[inline(never)]
fn class() -> (&'static CStr, Pin<&'static LockClassKey>) {
    (c"ArcCell", static_lock_class!())
}
