// SPDX-License-Identifier: GPL-2.0

//! Requests that wait for room in a send queue.
//!
//! A connection owns one [`Waiting`]. The requests themselves are the links of the list, so that
//! waiting never allocates and can never exceed the depth of the session (weak points S8, S9, S26 of
//! the specification). A request that is in here belongs to the list alone; once the list is closed
//! it takes none any more, so none can be forgotten in it.

use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};
use kernel_ext::{
    new_irq_spinlock,
    sync::IrqSpinLock, //
};

use crate::operation::Op;

/// A stack of requests. It must be emptied before it is dropped: the links would be dropped by
/// recursion, one stack frame per request.
pub(crate) struct Stack(Option<KBox<Op>>);

impl Stack {
    /// An empty one.
    pub(crate) const fn new() -> Self {
        Self(None)
    }

    /// Puts one on top.
    pub(crate) fn push(&mut self, mut op: KBox<Op>) {
        op.next = self.0.take();
        self.0 = Some(op);
    }

    /// Takes the one on top.
    pub(crate) fn pop(&mut self) -> Option<KBox<Op>> {
        let mut op = self.0.take()?;
        self.0 = op.next.take();
        Some(op)
    }

    /// Puts one below all others. For short ones: it walks through all of them.
    pub(crate) fn push_last(&mut self, op: KBox<Op>) {
        let mut place = &mut self.0;
        while let Some(at) = place {
            place = &mut at.next;
        }
        *place = Some(op);
    }

    /// Takes out all that `which` means; the others stay in their order.
    pub(crate) fn split(&mut self, which: impl Fn(&Op) -> bool) -> Self {
        let (mut meant, mut others) = (Self::new(), Self::new());
        while let Some(op) = self.pop() {
            if which(&op) {
                meant.push(op);
            } else {
                others.push(op);
            }
        }
        while let Some(op) = others.pop() {
            self.push(op);
        }
        meant
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}

/// First in, first out, made of two stacks: what comes in is turned around when the other one is
/// empty.
struct Inner {
    coming: Stack,
    going: Stack,
    closed: bool,
}

impl Inner {
    fn pop(&mut self) -> Option<KBox<Op>> {
        if self.going.0.is_none() {
            while let Some(op) = self.coming.pop() {
                self.going.push(op);
            }
        }
        self.going.pop()
    }
}

/// The waiting requests of one connection, or of a path. All methods: any context.
#[pin_data]
pub(crate) struct Waiting {
    #[pin]
    inner: IrqSpinLock<Inner>,
    /// Whether there are any; a hint that saves the lock. Written with the lock held.
    any: Atomic<bool>,
}

impl Waiting {
    /// An empty, open list.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            inner <- new_irq_spinlock!(
                Inner {
                    coming: Stack::new(),
                    going: Stack::new(),
                    closed: false,
                },
                "rtrs_server::Waiting"
            ),
            any: Atomic::new(false),
        })
    }

    /// Whether somebody waits. A newcomer that sees it should line up as well.
    #[inline]
    pub(crate) fn any(&self) -> bool {
        self.any.load(Relaxed)
    }

    /// Lines up behind all others; gives the request back if the list is closed.
    pub(crate) fn push(&self, op: KBox<Op>) -> Result<(), KBox<Op>> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(op);
        }
        inner.coming.push(op);
        self.any.store(true, Relaxed);
        Ok(())
    }

    /// Puts back what was first; gives the request back if the list is closed.
    pub(crate) fn push_front(&self, op: KBox<Op>) -> Result<(), KBox<Op>> {
        let mut inner = self.inner.lock();
        if inner.closed {
            return Err(op);
        }
        inner.going.push(op);
        self.any.store(true, Relaxed);
        Ok(())
    }

    /// Takes the one that waits longest.
    pub(crate) fn pop(&self) -> Option<KBox<Op>> {
        let mut inner = self.inner.lock();
        let op = inner.pop();
        let any = inner.coming.0.is_some() || inner.going.0.is_some();
        self.any.store(any, Relaxed);
        op
    }

    /// From now on nobody can line up; those who wait can still be taken.
    pub(crate) fn close(&self) {
        self.inner.lock().closed = true;
    }
}
