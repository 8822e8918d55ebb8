// SPDX-License-Identifier: GPL-2.0

//! The name of a session, and who gets it when a session has it already (weak point S34).
//!
//! A client whose host was reset comes with a new session while the server still has the old one.
//! So a session from the same host is asked for a sign of life, and makes room if it gives none.
//! `info.rs` calls this for every info request. It must never end a session that answers, and never
//! keep more than a few workers waiting.

use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::time;
use rtrs_proto::SessionName;

use crate::{
    path::Path,
    reason::Reason,
    server::Shared, //
};

/// Milliseconds without a sign of life, after one was asked for, that make a session a dead one. A
/// client answers in interrupts.
const SIGN_OF_LIFE_MS: u64 = 2000;

/// Milliseconds that this is waited for. The question is asked within a second, if the server is not
/// too busy for it; then nobody is dead.
const ASK_LIMIT_MS: u64 = 6000;

/// Milliseconds between two looks.
const LOOK_MS: u32 = 20;

/// Milliseconds that a client waits for its own dead session to be over.
const REPLACE_TIMEOUT_MS: u64 = 5000;

/// Gives the session of `path` its name. Sleeps; for some seconds, if a session of the same host has
/// it.
///
/// # Errors
///
/// `EPERM` if another session has it and keeps it, `EINVAL` if this session has another name,
/// `ENOMEM`.
pub(crate) fn reserve_name(shared: &Shared, path: &Arc<Path>, name: &SessionName) -> Result {
    let contest = {
        let mut registry = shared.registry.lock();
        match registry.reserve_name(path, name) {
            Err(EPERM) => registry.contest(path, name)?,
            result => return result,
        }
    };
    if are_dead(shared, &contest.paths, path) {
        bury(&contest.paths);
    }
    let mut registry = shared.registry.lock();
    registry.end_contest(&contest);
    registry.reserve_name(path, name)
}

/// Whether none of the paths gives a sign of life, as far as `path` waits for it.
fn are_dead(shared: &Shared, paths: &[Arc<Path>], path: &Arc<Path>) -> bool {
    for other in paths {
        other.ask();
    }
    let end = time::now_ms().saturating_add(ASK_LIMIT_MS);
    loop {
        // It is not the client who takes his time.
        path.progress();
        let mut silences = paths.iter().map(|other| other.silence_ms());
        let Some(shortest) = silences.try_fold(u64::MAX, |least, ms| Some(least.min(ms?))) else {
            return false;
        };
        if shortest >= SIGN_OF_LIFE_MS {
            return true;
        }
        let given_up = !path.is_connecting() || shared.registry.lock().is_closed();
        if given_up || time::now_ms() >= end {
            return false;
        }
        time::sleep_ms(LOOK_MS);
    }
}

/// Closes the paths and waits until they are gone. A backend may hold on to one; the client then has
/// to come again.
fn bury(paths: &[Arc<Path>]) {
    for path in paths {
        path.close(Reason::Replaced);
    }
    let end = time::now_ms().saturating_add(REPLACE_TIMEOUT_MS);
    for path in paths {
        let left = end.saturating_sub(time::now_ms());
        path.gone.wait_timeout(u32::try_from(left).unwrap_or(0));
    }
}
