// SPDX-License-Identifier: GPL-2.0

//! The sessions of this host by their names.
//!
//! [`Sessions::acquire`] finds a session or opens it, once for all who ask at the same time;
//! what it answers is a [`Lease`]. The session lives as long as there is a lease, and is
//! closed, not merely forgotten, when the drop of the last one returns.
//!
//! Lock order: a slot's `session`, then `slots`. The first is held while a session is opened
//! or closed, which takes as long as the network does, so it must never be taken from a
//! completion or a link event.

use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};
use rtrs_proto::SessionName;

use crate::session::Session;

/// A name, and the session of that name while there is one.
#[pin_data]
struct Slot {
    name: SessionName,
    #[pin]
    session: Mutex<Option<Open>>,
}

/// An open session and whether it has queues that are polled.
struct Open {
    session: Arc<Session>,
    polled: bool,
}

/// A slot and how many want it.
struct Entry {
    slot: Arc<Slot>,
    users: usize,
}

/// The sessions of this host.
#[pin_data]
pub(crate) struct Sessions {
    #[pin]
    slots: Mutex<KVec<Entry>>,
}

impl Sessions {
    /// No sessions.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                slots <- new_mutex!(KVec::new()),
            }),
            GFP_KERNEL,
        )
    }

    /// The session `name`; `open` makes it if there is none. Process context; waits while
    /// another caller opens or closes a session of that name.
    ///
    /// # Errors
    ///
    /// What `open` answers; `EINVAL` if polled queues are asked for and the session is there
    /// already, or if it has some: those belong to one device; `EINVAL` also for a session that is
    /// there already and `elsewhere`, that is in another network namespace than was meant.
    pub(crate) fn acquire(
        self: &Arc<Self>,
        name: &SessionName,
        polled: bool,
        elsewhere: impl FnOnce(&Session) -> bool,
        open: impl FnOnce() -> Result<Arc<Session>>,
    ) -> Result<Lease> {
        let slot = self.slot(name)?;
        // Dropped on every way out from here, which counts this user off again.
        let claim = Claim {
            sessions: self.clone(),
            slot: slot.clone(),
        };
        let mut current = slot.session.lock();
        let session = match &*current {
            Some(open) if polled || open.polled => {
                pr_err!(
                    "session {}: a session with polled queues carries one device only; use another sessname\n",
                    kernel_ext::fmt::Show(name)
                );
                Err(EINVAL)
            }
            Some(open) if elsewhere(&open.session) => {
                pr_err!(
                    "session {}: is in another network namespace; leave path= out to use it, or use another sessname\n",
                    kernel_ext::fmt::Show(name)
                );
                Err(EINVAL)
            }
            Some(open) => Ok(open.session.clone()),
            None => open().inspect(|session| {
                *current = Some(Open {
                    session: session.clone(),
                    polled,
                });
            }),
        };
        drop(current);
        Ok(Lease {
            session: session?,
            _claim: claim,
        })
    }

    /// Finds or makes the slot for a name and counts the caller in.
    fn slot(&self, name: &SessionName) -> Result<Arc<Slot>> {
        let mut slots = self.slots.lock();
        if let Some(entry) = slots.iter_mut().find(|entry| entry.slot.name == *name) {
            entry.users = entry.users.saturating_add(1);
            return Ok(entry.slot.clone());
        }
        let slot = Arc::pin_init(
            pin_init!(Slot {
                name: name.clone(),
                session <- new_mutex!(None),
            }),
            GFP_KERNEL,
        )?;
        slots.push(
            Entry {
                slot: slot.clone(),
                users: 1,
            },
            GFP_KERNEL,
        )?;
        Ok(slot)
    }

    /// Whether nobody but the caller wants the slot; if so the caller closes the session.
    fn count_off(&self, slot: &Arc<Slot>) -> bool {
        let mut slots = self.slots.lock();
        let Some(entry) = slots
            .iter_mut()
            .find(|entry| Arc::ptr_eq(&entry.slot, slot))
        else {
            return false;
        };
        entry.users = entry.users.saturating_sub(1);
        entry.users == 0
    }

    /// Forgets a slot that nobody wants.
    fn forget(&self, slot: &Arc<Slot>) {
        let mut slots = self.slots.lock();
        let unused = slots
            .iter()
            .position(|entry| Arc::ptr_eq(&entry.slot, slot) && entry.users == 0);
        let gone = unused.and_then(|at| slots.remove(at).ok());
        drop(slots);
        drop(gone);
    }
}

/// One user of a slot. Dropping the last closes the session.
struct Claim {
    sessions: Arc<Sessions>,
    slot: Arc<Slot>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        {
            // Whoever wants the name meanwhile waits here until the session is closed.
            let mut current = self.slot.session.lock();
            if self.sessions.count_off(&self.slot) {
                drop(current.take());
            }
        }
        self.sessions.forget(&self.slot);
    }
}

/// The use of a session.
pub(crate) struct Lease {
    // Released before the claim, whose drop closes the session.
    session: Arc<Session>,
    _claim: Claim,
}

impl Lease {
    /// The session.
    pub(crate) fn session(&self) -> &Arc<Session> {
        &self.session
    }
}
