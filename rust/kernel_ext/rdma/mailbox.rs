// SPDX-License-Identifier: GPL-2.0

//! Where a thread waits for events of a connection manager id.
//!
//! Events come one at a time, and so do the steps of connecting; one place is enough. An event that
//! ends the id stays, so that nobody waits for an id that is dead.

use super::cm::PrivateData;
use crate::{
    error::{
        errno,
        error, //
    },
    new_irq_spinlock,
    sync::{
        Completion,
        IrqSpinLock, //
    }, //
};
use kernel::prelude::*;

/// Milliseconds between two questions whether an outcome is still wanted.
const WANTED_SLICE_MS: u32 = 200;

/// How long to wait for a step of connecting.
#[derive(Clone, Copy)]
pub struct Limit<'a> {
    ms: u32,
    wanted: Option<&'a dyn Fn() -> Result>,
}

impl<'a> Limit<'a> {
    /// At most `ms` milliseconds, and only as long as `wanted` gives no error; it is asked several
    /// times a second, in process context, and its error is what the step fails with.
    pub fn new(ms: u32, wanted: &'a dyn Fn() -> Result) -> Self {
        Self {
            ms,
            wanted: Some(wanted),
        }
    }

    /// The milliseconds.
    pub(super) fn ms(&self) -> u32 {
        self.ms
    }

    /// The same with other milliseconds.
    pub(super) fn with_ms(self, ms: u32) -> Self {
        Self { ms, ..self }
    }
}

impl From<u32> for Limit<'_> {
    fn from(ms: u32) -> Self {
        Self { ms, wanted: None }
    }
}

/// What a thread waits for.
pub(super) enum Outcome {
    /// The address is resolved; the id is bound to a device.
    AddrResolved,
    /// The route is resolved.
    RouteResolved,
    /// The peer has accepted.
    Established(PrivateData),
    /// The peer has refused.
    Rejected {
        /// Whether the peer's consumer did, as opposed to its connection manager.
        consumer_defined: bool,
        data: PrivateData,
    },
}

/// What has arrived.
struct State {
    /// The latest event nobody has fetched yet.
    outcome: Option<Outcome>,
    /// Positive errno of the event that ended the id; final.
    dead: Option<i32>,
    /// From now on events are not for the mailbox.
    connected: bool,
}

/// The mailbox of an id.
#[pin_data]
pub(super) struct Mailbox {
    #[pin]
    state: IrqSpinLock<State>,
    /// Completed whenever there is something to fetch.
    #[pin]
    arrived: Completion,
}

impl Mailbox {
    /// An empty mailbox.
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_irq_spinlock!(
                State {
                    outcome: None,
                    dead: None,
                    connected: false,
                },
                "Mailbox::state"
            ),
            arrived <- Completion::new(),
        })
    }

    /// Readies the mailbox for the next outcome; to be called before what leads to it is started.
    ///
    /// # Errors
    ///
    /// The errno of the event that ended the id.
    pub(super) fn arm(&self) -> Result {
        let mut state = self.state.lock();
        if let Some(errno) = state.dead {
            return Err(error(errno));
        }
        state.outcome = None;
        // Whoever completes does so under the same lock.
        self.arrived.reinit();
        Ok(())
    }

    /// Waits for the outcome. Sleeps, interruptibly.
    ///
    /// # Errors
    ///
    /// `ETIMEDOUT`, `ERESTARTSYS`, the errno of the event that ended the id, or that of the one who
    /// does not want the outcome any more.
    pub(super) fn wait(&self, limit: Limit<'_>) -> Result<Outcome> {
        let mut left = limit.ms;
        loop {
            let slice = match limit.wanted {
                Some(wanted) => {
                    wanted()?;
                    left.min(WANTED_SLICE_MS)
                }
                None => left,
            };
            let arrived = self.arrived.wait_interruptible_timeout(slice)?;
            left = left.saturating_sub(slice);
            let in_time = arrived || left > 0;
            let mut state = self.state.lock();
            if let Some(outcome) = state.outcome.take() {
                return Ok(outcome);
            }
            if let Some(errno) = state.dead {
                return Err(error(errno));
            }
            if !in_time {
                return Err(error(errno::ETIMEDOUT));
            }
        }
    }

    /// Puts an outcome in. Any context.
    pub(super) fn post(&self, outcome: Outcome) {
        let mut state = self.state.lock();
        state.connected |= matches!(outcome, Outcome::Established(_));
        state.outcome = Some(outcome);
        self.arrived.complete();
    }

    /// The id has ended with this errno. Any context.
    pub(super) fn end(&self, errno: i32) {
        let mut state = self.state.lock();
        state.dead = Some(errno);
        self.arrived.complete_all();
    }

    /// Whether events are for the observer.
    pub(super) fn is_connected(&self) -> bool {
        self.state.lock().connected
    }

    /// From now on events are for the observer.
    ///
    /// # Errors
    ///
    /// The errno of the event that ended the id; `ECONNABORTED` if the peer gave up.
    pub(super) fn hand_over(&self) -> Result {
        let mut state = self.state.lock();
        if let Some(errno) = state.dead {
            return Err(error(errno));
        }
        if state.outcome.is_some() {
            return Err(error(errno::ECONNABORTED));
        }
        state.connected = true;
        Ok(())
    }
}
