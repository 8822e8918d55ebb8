// SPDX-License-Identifier: GPL-2.0

//! A state machine's state in one atomic word.
//!
//! The pure crates define states and transitions without knowing the kernel; this is where such a
//! state lives in the kernel. No unsafe code is needed: the state itself supplies its code and the
//! way back.

use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Full, //
};

/// An atomic variable whose values are those of `S`. Any context.
///
/// `S::try_from` must accept every code that `S` converts into. A state that breaks this rule is
/// never stored by [`step`](Self::step), and one given to [`new`](Self::new) reads as itself only
/// until the first step.
pub struct AtomicEnum<S: Copy + Into<i32> + TryFrom<i32>> {
    /// Code of the current state.
    code: Atomic<i32>,
    /// What a code without a state reads as; only reachable if the rule above is broken.
    first: S,
}

impl<S: Copy + Into<i32> + TryFrom<i32>> AtomicEnum<S> {
    /// A variable in the given state.
    pub fn new(state: S) -> Self {
        Self {
            code: Atomic::new(state.into()),
            first: state,
        }
    }

    /// The current state. What was written before the step to it is visible.
    pub fn load(&self) -> S {
        self.decode(self.code.load(Acquire))
    }

    /// Applies a transition atomically: `next` maps the current state to its successor, or to
    /// `None` if there is none.
    ///
    /// Returns the old and the new state, or, if there was no successor, the state that has none.
    /// `next` may be called several times and must have no side effects. Fully ordered.
    pub fn step(&self, next: impl Fn(S) -> Option<S>) -> Result<(S, S), S> {
        let mut code = self.code.load(Acquire);
        loop {
            let old = self.decode(code);
            let Some(new) = next(old) else {
                return Err(old);
            };
            let new_code: i32 = new.into();
            if S::try_from(new_code).is_err() {
                return Err(old);
            }
            match self.code.cmpxchg(code, new_code, Full) {
                Ok(_) => return Ok((old, new)),
                Err(now) => code = now,
            }
        }
    }

    fn decode(&self, code: i32) -> S {
        S::try_from(code).unwrap_or(self.first)
    }
}
