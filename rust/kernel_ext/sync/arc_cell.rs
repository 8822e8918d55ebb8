// SPDX-License-Identifier: GPL-2.0

//! A shared reference that can be replaced while others read it.

use crate::{
    new_irq_spinlock,
    sync::IrqSpinLock, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
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
        pin_init!(Self {
            inner <- new_irq_spinlock!(value, "ArcCell"),
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
