// SPDX-License-Identifier: GPL-2.0

//! All sessions and paths of a server, and who may join them (spec: rtrs 3.4, rows 6 to 12).
//!
//! Looking up and adding are one step under one lock (weak points S12 to S14), and so is the
//! reservation of a name. The number of sessions and paths is bounded; their memory is too, where it
//! is allocated (S20, `budget.rs`). Each number has a limit for all clients and one for each host
//! they come from. The caller holds the lock; nothing here waits for anybody.
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
    SessionName,
    Uuid, //
};

use crate::{
    operation::Op,
    path::Path,
    peer::Peers,
    reason::Reason,
    server::Shared,
    session::Session, //
};

/// A session and what belongs to it.
struct Entry {
    session: Arc<Session>,
    /// Set by the first info request.
    name: Option<SessionName>,
    paths: KVec<Arc<Path>>,
    /// A new session wants the name.
    contested: bool,
}

/// Names that may be contested at a time: whoever contests one waits, on a worker that others need.
const MAX_CONTESTS: usize = 4;

/// A session whose name another one wants; see [`Registry::contest`].
pub(crate) struct Contest {
    session: Arc<Session>,
    /// Its paths.
    pub(crate) paths: KVec<Arc<Path>>,
}

/// All sessions of a server.
pub(crate) struct Registry {
    entries: KVec<Entry>,
    peers: Peers,
    closed: bool,
}

impl Registry {
    /// A registry without sessions.
    pub(crate) const fn new() -> Self {
        Self {
            entries: KVec::new(),
            peers: Peers::new(),
            closed: false,
        }
    }

    /// Admits nobody any more.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    /// Whether nobody is admitted any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
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
                self.room_for_session(shared, &client)?;
                // An entry without a path must not stay; `add` removes it again on failure.
                let features = request.features().and(shared.config.features);
                let session = Session::new(
                    request.session(),
                    features,
                    shared.config.params.depth().get(),
                )?;
                let entry = Entry {
                    session,
                    name: None,
                    paths: KVec::new(),
                    contested: false,
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
            self.tidy();
        }
        result
    }

    fn find(&self, request: &ConnectRequest) -> Option<usize> {
        self.entries
            .iter()
            .position(|entry| entry.session.uuid == request.session())
    }

    /// Whether there is room for one more path from `client`.
    fn room(&self, shared: &Shared, client: &SockAddr) -> Result {
        let config = &shared.config;
        let own = self.paths().filter(|path| path.client.same_host(client));
        if self.paths().count() >= config.max_paths || own.count() >= config.max_paths_per_peer {
            return Err(ENOMEM);
        }
        Ok(())
    }

    /// Whether there is room for one more session from `client`.
    fn room_for_session(&self, shared: &Shared, client: &SockAddr) -> Result {
        let config = &shared.config;
        let is_own = |entry: &&Entry| {
            let mut paths = entry.paths.iter();
            paths.any(|path| path.client.same_host(client))
        };
        let own = self.entries.iter().filter(is_own).count();
        if self.entries.len() >= config.max_sessions || own >= config.max_sessions_per_peer {
            return Err(ENOMEM);
        }
        self.room(shared, client)
    }

    /// Forgets sessions without paths, and hosts without any.
    fn tidy(&mut self) {
        self.entries.retain(|entry| !entry.paths.is_empty());
        let entries = &self.entries;
        self.peers.retain(|host| {
            let mut paths = entries.iter().flat_map(|entry| entry.paths.iter());
            paths.any(|path| path.client.same_host(host))
        });
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
        self.room(shared, &client)?;
        let limit = shared.config.max_memory_per_peer;
        let budget = self.peers.budget(&client, &shared.budget, limit)?;
        let entry = self.entries.get_mut(at).ok_or(ENXIO)?;
        let path = Path::new(shared, &entry.session, budget, request, client, server)?;
        entry.paths.push(path.clone(), GFP_KERNEL)?;
        // Nobody can close the path before the lock is released, so the timer is there when the
        // close work cancels it.
        path.start_timer(shared.config.setup_timeout_ms);
        Ok(path)
    }

    /// The session that has the name `name`, which `path` wants, and its paths, if all of these are
    /// from the host of `path`. Nobody else gets it before [`Self::end_contest`].
    ///
    /// # Errors
    ///
    /// `EPERM` if the name is not to be had: it belongs to somebody else, it is contested already,
    /// or too many names are.
    pub(crate) fn contest(&mut self, path: &Arc<Path>, name: &SessionName) -> Result<Contest> {
        let contested = self.entries.iter().filter(|entry| entry.contested).count();
        let holder = self.entries.iter_mut().find(|entry| {
            !Arc::ptr_eq(&entry.session, &path.session) && entry.name.as_ref() == Some(name)
        });
        let holder = holder.ok_or(EPERM)?;
        let is_own = |other: &Arc<Path>| other.client.same_host(&path.client);
        if holder.contested || contested >= MAX_CONTESTS || !holder.paths.iter().all(is_own) {
            return Err(EPERM);
        }
        let mut paths = KVec::with_capacity(holder.paths.len(), GFP_KERNEL)?;
        for other in &holder.paths {
            paths.push(other.clone(), GFP_KERNEL)?;
        }
        holder.contested = true;
        Ok(Contest {
            session: holder.session.clone(),
            paths,
        })
    }

    /// The contest is decided.
    pub(crate) fn end_contest(&mut self, contest: &Contest) {
        for entry in self.entries.iter_mut() {
            if Arc::ptr_eq(&entry.session, &contest.session) {
                entry.contested = false;
            }
        }
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

    /// Lines up the fence `op`, which came by `path`, for the path `target` of the same session,
    /// which is returned; none if the fence came too late for its own path. Gives the fence back
    /// if there is no such path.
    pub(crate) fn fence(
        &mut self,
        path: &Arc<Path>,
        op: KBox<Op>,
        target: Uuid,
    ) -> Result<Option<Arc<Path>>, KBox<Op>> {
        let found = self
            .entries
            .iter()
            .find(|entry| Arc::ptr_eq(&entry.session, &path.session))
            .and_then(|entry| entry.paths.iter().find(|other| other.uuid == target));
        let Some(other) = found else {
            return Err(op);
        };
        match path.session.fences.push(op) {
            Ok(()) => Ok(Some(other.clone())),
            Err(op) => {
                op.release();
                Ok(None)
            }
        }
    }

    /// Forgets a path, and its session with its last path.
    pub(crate) fn remove(&mut self, path: &Arc<Path>) {
        for entry in self.entries.iter_mut() {
            entry.paths.retain(|other| !Arc::ptr_eq(other, path));
        }
        self.tidy();
    }
}

/// Whether one more connection may join a path that is known.
fn join(
    path: Arc<Path>,
    request: &ConnectRequest,
    client: &SockAddr,
    server: &SockAddr,
) -> Result<Arc<Path>> {
    // The client has begun anew with a path that was served until now: it knows more than we do.
    // It is told to come again, and gets its path when the old one is over, with all its requests
    // (weak point S34). Only from the same host: the identifier travels in clear.
    if request.cid() == 0 && path.is_connected() && path.client.same_host(client) {
        path.close(Reason::Replaced);
        return Err(reset());
    }
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
