// SPDX-License-Identifier: GPL-2.0

//! All sessions and paths of a server, and who may join them (spec: rtrs 3.4, rows 6 to 12).
//!
//! Looking up and adding are one step under one lock (weak points S12 to S14), and so is the
//! reservation of a name. The number of sessions and paths is bounded; their memory is too, where it
//! is allocated (S20, `budget.rs`). The caller holds the lock; nothing here waits for anybody.
//!
//! A session belongs to whoever knows its identifier, which travels in clear: a second path may
//! come from another address of the same client, so the address proves nothing (S33). The
//! connections of one path, however, have to come from one host.

use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    error::{
        self,
        errno, //
    },
    net::SockAddr, //
};
use rtrs_proto::{
    limits,
    ConnectRequest,
    SessionName, //
};

use crate::{
    path::Path,
    server::Shared,
    session::Session, //
};

/// A session and what belongs to it.
struct Entry {
    session: Arc<Session>,
    /// Set by the first info request.
    name: Option<SessionName>,
    paths: KVec<Arc<Path>>,
}

/// All sessions of a server.
pub(crate) struct Registry {
    entries: KVec<Entry>,
    closed: bool,
}

impl Registry {
    /// A registry without sessions.
    pub(crate) const fn new() -> Self {
        Self {
            entries: KVec::new(),
            closed: false,
        }
    }

    /// Admits nobody any more.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether nobody is here and nobody will come.
    pub(crate) fn is_finished(&self) -> bool {
        self.closed && self.entries.is_empty()
    }

    /// All paths.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Arc<Path>> {
        self.entries.iter().flat_map(|entry| entry.paths.iter())
    }

    /// The path that `request` belongs to; a new one if there is none yet.
    ///
    /// # Errors
    ///
    /// Those of the table in the specification: `ENXIO`, `ENOMEM`, `ECONNRESET`, `EEXIST`.
    pub(crate) fn admit(
        &mut self,
        shared: &Arc<Shared>,
        request: &ConnectRequest,
        client: SockAddr,
        server: SockAddr,
    ) -> Result<Arc<Path>> {
        if self.closed {
            return Err(reset());
        }
        let at = match self.find(request) {
            Some(at) => at,
            None if !request.first_conn() => return Err(ENXIO),
            None => {
                self.room(shared)?;
                // An entry without a path must not stay; `add` removes it again on failure.
                let features = request.features().and(shared.config.features);
                let session = Session::new(request.session(), features)?;
                let entry = Entry {
                    session,
                    name: None,
                    paths: KVec::new(),
                };
                self.entries.push(entry, GFP_KERNEL)?;
                self.entries.len().saturating_sub(1)
            }
        };
        let entry = self.entries.get(at).ok_or(ENXIO)?;
        // What was agreed upon holds for all connections of all paths.
        if entry.session.features != request.features().and(shared.config.features) {
            return Err(reset());
        }
        let known = entry
            .paths
            .iter()
            .find(|path| path.uuid == request.path())
            .cloned();
        if let Some(path) = known {
            return join(path, request, &client, &server);
        }
        let result = self.add(at, shared, request, client, server);
        if result.is_err() {
            self.entries.retain(|entry| !entry.paths.is_empty());
        }
        result
    }

    fn find(&self, request: &ConnectRequest) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| entry.session.uuid == request.session())
    }

    /// Whether there is room for one more path.
    fn room(&self, shared: &Shared) -> Result {
        if self.paths().count() >= shared.config.max_paths {
            return Err(ENOMEM);
        }
        Ok(())
    }

    /// Adds a path to the session at `at`.
    fn add(
        &mut self,
        at: usize,
        shared: &Arc<Shared>,
        request: &ConnectRequest,
        client: SockAddr,
        server: SockAddr,
    ) -> Result<Arc<Path>> {
        let entry = self.entries.get(at).ok_or(ENXIO)?;
        if entry.paths.len() >= limits::MAX_PATHS {
            return Err(reset());
        }
        if entry
            .paths
            .iter()
            .any(|path| same_pair(path, &client, &server))
        {
            return Err(EEXIST);
        }
        self.room(shared)?;
        let entry = self.entries.get_mut(at).ok_or(ENXIO)?;
        let path = Path::new(shared, &entry.session, request, client, server)?;
        entry.paths.push(path.clone(), GFP_KERNEL)?;
        // Nobody can close the path before the lock is released, so the timer is there when the
        // close work cancels it.
        path.start_timer(shared.config.setup_timeout_ms);
        Ok(path)
    }

    /// Gives the session of `path` its name.
    ///
    /// # Errors
    ///
    /// `EINVAL` if it has another one, `EPERM` if another session has this one.
    pub(crate) fn reserve_name(&mut self, path: &Arc<Path>, name: &SessionName) -> Result {
        let is_ours = |entry: &Entry| Arc::ptr_eq(&entry.session, &path.session);
        let taken = self
            .entries
            .iter()
            .any(|entry| !is_ours(entry) && entry.name.as_ref() == Some(name));
        if taken {
            return Err(EPERM);
        }
        let entry = self
            .entries
            .iter_mut()
            .find(|entry| is_ours(entry))
            .ok_or(ENXIO)?;
        match &entry.name {
            Some(other) if other != name => Err(EINVAL),
            Some(_) => Ok(()),
            None => {
                entry.name = Some(name.clone());
                Ok(())
            }
        }
    }

    /// Forgets a path, and its session with its last path.
    pub(crate) fn remove(&mut self, path: &Arc<Path>) {
        for entry in self.entries.iter_mut() {
            entry.paths.retain(|other| !Arc::ptr_eq(other, path));
        }
        self.entries.retain(|entry| !entry.paths.is_empty());
    }
}

/// Whether one more connection may join a path that is known.
fn join(
    path: Arc<Path>,
    request: &ConnectRequest,
    client: &SockAddr,
    server: &SockAddr,
) -> Result<Arc<Path>> {
    let fits = path.is_connecting()
        && path.cid_num == request.cid_num()
        && same_pair(&path, client, server);
    if fits {
        Ok(path)
    } else {
        Err(reset())
    }
}

/// Whether a path is between these two hosts. Addresses of different families differ (S28).
fn same_pair(path: &Path, client: &SockAddr, server: &SockAddr) -> bool {
    path.client.same_host(client) && path.server.same_host(server)
}

/// The errno for whatever breaks the rules.
fn reset() -> Error {
    error::error(errno::ECONNRESET)
}
