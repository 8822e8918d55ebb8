// SPDX-License-Identifier: GPL-2.0

//! Fences: a client makes sure that a path it lost is over here, too (`rtrs_proto::fence`).
//!
//! The path is closed, and the fence is answered when its close work is done: by then no request of
//! it is executed any more. Nobody waits for that in a thread: a fence stands in the list of its
//! session until the path ends, or until the path that the fence came by does.

use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};
use rtrs_proto::Uuid;

use crate::{
    fifo::Stack,
    operation::Op,
    path::Path,
    reason::Reason,
    respond, //
};

/// The fences of a session that wait for the end of a path. At most one per chunk and path.
///
/// Those are many if a client wants it: the lock may be held for long, so it is one that sleeps, and
/// the list is never walked through once per fence. All methods: process context.
#[pin_data]
pub(crate) struct Fences {
    #[pin]
    waiting: Mutex<Stack>,
}

impl Fences {
    /// No fence waits.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            waiting <- new_mutex!(Stack::new(), "rtrs_server::Fences"),
        })
    }

    /// Lines up a fence; gives it back if the path it came by is being closed.
    ///
    /// The registry is locked and knows the path that the fence is for, so that its end comes
    /// later.
    pub(crate) fn push(&self, op: KBox<Op>) -> Result<(), KBox<Op>> {
        let mut waiting = self.waiting.lock();
        let connected = op
            .link
            .as_ref()
            .is_some_and(|link| link.con.path.is_connected());
        if !connected {
            return Err(op);
        }
        waiting.push(op);
        Ok(())
    }

    /// The registry has forgotten `path`: whoever waited for that is told.
    pub(crate) fn passed(&self, path: Uuid) {
        let mut over = self.waiting.lock().split(|op| op.fence == Some(path));
        while let Some(op) = over.pop() {
            done(op);
        }
    }

    /// Ends the fences that came by `path`, which is no longer connected.
    pub(crate) fn flush(&self, path: &Path) {
        let mut gone = self.waiting.lock().split(|op| op.is_of(path));
        while let Some(op) = gone.pop() {
            op.release();
        }
    }
}

/// Works on the fence `op` for the path `target`, which came by `path`. Process context.
pub(crate) fn run(path: &Arc<Path>, op: KBox<Op>, target: Uuid) {
    if target == path.uuid {
        path.close(Reason::Protocol(0, "fence of the path it came by"));
        op.release();
        return;
    }
    match path.shared.fence(path, op, target) {
        Ok(Some(other)) => other.close(Reason::Fenced),
        // The fence ended with the path that it came by.
        Ok(None) => {}
        // Not there: it is over.
        Err(op) => done(op),
    }
}

/// Answers a fence.
fn done(mut op: KBox<Op>) {
    op.succeed();
    respond::answer(op);
}
