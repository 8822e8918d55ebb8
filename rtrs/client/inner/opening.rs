// SPDX-License-Identifier: GPL-2.0

//! Opening and closing a session, and paths that join and leave it in between.
//!
//! Process context, all of it. The list of the paths belongs to the session's directory, and the
//! lock of that is never held while a path connects or closes.

use kernel::{
    prelude::*,
    str::CString,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
};
use kernel_ext::{
    error::{
        errno,
        error, //
    },
    sync::synchronize_rcu,
    time,
    workqueue::{
        cancel_delayed_sync,
        cancel_sync, //
    },
};
use rtrs_core::address::{
    path_name,
    Endpoints, //
};
use rtrs_logic::client_path::State;

use super::Inner;
use crate::{
    path::Path,
    permit::Pool,
    sysfs::Entry, //
};

/// How often a path is tried again whose addresses the server still has in use, and how many
/// milliseconds are in between.
const PATIENCE: u32 = 10;
const PATIENCE_MS: u32 = 500;

impl Inner {
    /// Connects a path and lists it. Sleeps, for tens of seconds per connection if the
    /// server does not answer.
    ///
    /// Fails with `ENOSPC` if the session has all the paths that it may have, `EEXIST` if it
    /// has one between the same addresses, `ENODEV` if it is being closed, `ENOMEM`, or as
    /// connecting does. Nothing is left of the path then.
    pub(crate) fn add_path(self: &Arc<Self>, endpoints: Endpoints) -> Result {
        for _ in 0..PATIENCE {
            let result = self.try_path(endpoints);
            // The server may not be done with a path that was removed a moment ago.
            let old = result == Err(EEXIST) && !self.tree.lock().joins(&endpoints);
            if !old || self.is_closing() {
                return result;
            }
            time::sleep_ms(PATIENCE_MS);
        }
        self.try_path(endpoints)
    }

    fn try_path(self: &Arc<Self>, endpoints: Endpoints) -> Result {
        let path = {
            let mut tree = self.tree.lock();
            let path = Path::new(self.clone(), endpoints)?;
            tree.add(path.clone())?;
            path
        };
        let listed = self.establish(&path);
        if listed.is_err() {
            // Once it is out of the list `tear_down` does not know it any more.
            path.close();
            let gone = self.tree.lock().remove(&path);
            drop(gone);
        }
        listed
    }

    fn establish(&self, path: &Arc<Path>) -> Result {
        // Until it is connected nobody but us knows the path, except for `tear_down`.
        path.connect()?;
        let known = path.known().ok_or(ENODEV)?;
        let name: CString = path_name(&known.src, &known.dst)?;
        self.tree.lock().show(path, &name)
    }

    /// Closes a path and takes it out of the session. Sleeps. Answers its directory, to be
    /// dropped by the caller, and nothing if somebody else removes it.
    pub(crate) fn remove_path(&self, path: &Arc<Path>) -> Option<Entry> {
        loop {
            path.close();
            if path.retire() {
                return self.tree.lock().remove(path);
            }
            if path.state() == State::Dead {
                return None;
            }
            // Somebody has begun to connect it again in between.
        }
    }

    /// Creates the files, connects all paths, makes the permits. Sleeps. On failure the
    /// caller has to call [`Self::tear_down`].
    pub(crate) fn bring_up(self: &Arc<Self>, paths: &[Endpoints]) -> Result<Arc<Pool>> {
        {
            let _naming = self.context.naming.lock();
            let mut tree = self.tree.lock();
            tree.create(self)?;
        }
        for endpoints in paths {
            self.add_path(*endpoints)?;
        }
        let limits = self.limits().ok_or(EINVAL)?;
        let agreed = (*self.agreed.lock()).ok_or(EINVAL)?;
        let pool = Pool::new(agreed.params, limits.max_segments)?;
        self.pool.populate(pool.clone());
        {
            let mut control = self.control.lock();
            // A path that broke while the others connected: as if it never had.
            if control.lives.len() != paths.len() {
                return Err(error(errno::ECONNRESET));
            }
            control.announced = true;
        }
        self.tree.lock().announce();
        Ok(pool)
    }

    /// Takes everything down. Everything in flight has ended when this returns. Sleeps.
    pub(crate) fn tear_down(self: &Arc<Self>) {
        self.control.lock().announced = false;
        self.closing.store(true, Relaxed);
        // Nobody puts a request into a berth after this.
        synchronize_rcu();
        let tree = self.tree.lock().take();
        // The files go first, and functions of theirs that connect a path are waited for;
        // so they are told.
        tree.give_up();
        let paths = tree.into_paths();
        for path in paths.iter() {
            path.close();
        }
        cancel_sync::<_, 0>(self);
        cancel_delayed_sync::<_, 1>(self);
        self.salvage();
    }
}
