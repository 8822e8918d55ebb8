// SPDX-License-Identifier: GPL-2.0

//! Taking a path down (spec: rtrs 3.7).
//!
//! Runs once per path, as a work item, after the step to the closing state. The order matters:
//!
//! 1. Nothing is added any more: the setup lock was taken after the step, so whoever adds something
//!    has finished, and the next one sees the state.
//! 2. No timer runs any more, and no notice is sent over it.
//! 3. The client is told, on all connections at once, and every queue pair is drained: no
//!    completion runs any more.
//! 4. Requests that would have been continued by a completion end (weak point S9), and so do those
//!    that wait for their turn or for the end of another path: nobody waits for a path but itself.
//! 5. The user answers the requests it has. They take their time; nobody is told.
//! 6. The directory goes, the session counts one path less, and perhaps tells its user.
//! 7. Memory regions, chunks and the protection domain go.
//! 8. The path is forgotten, and its addresses and perhaps the name of its session are free again;
//!    whoever fenced it is answered.

use core::mem;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    fmt::Show,
    log::{
        info_limited,
        warn_limited, //
    },
    workqueue::cancel_delayed_sync, //
};

use crate::path::{
    Path,
    TIMER, //
};

/// Takes a closing path down. Sleeps, possibly for as long as the user works on requests.
pub(crate) fn run(path: &Arc<Path>) {
    if let Some(reason) = path.reason() {
        if reason.is_ordinary() {
            info_limited!("{}: closing: {}\n", path.name(), Show(reason));
        } else {
            warn_limited!("{}: closing: {}\n", path.name(), Show(reason));
        }
    }
    let (pool, connections, dir) = {
        let mut setup = path.setup.lock();
        (
            setup.pool.take(),
            mem::replace(&mut setup.connections, KVec::new()),
            setup.dir.take(),
        )
    };
    path.session.remove_outlet(path);
    path.heartbeat.stop();
    cancel_delayed_sync::<_, TIMER>(path);

    let connections = || connections.iter().flatten();
    for established in connections() {
        established.qp.disconnect();
    }
    for established in connections() {
        established.qp.shutdown();
    }

    for established in connections() {
        established.con.flush();
    }
    if let Some(pool) = &pool {
        for slot in pool.slots() {
            if let Some(op) = slot.invalidating.take() {
                op.release();
            }
        }
    }

    path.session.turns.flush(path);
    path.session.fences.flush(path);
    path.flush_later();

    path.ops.close();
    path.ops.wait_idle();

    for established in connections() {
        drop(established.con.link.set(None));
    }
    if let Some(dir) = dir {
        path.session.down(dir);
    }
    drop(pool);
    path.drained();
    path.shared.forget(path);
}
