// SPDX-License-Identifier: GPL-2.0

//! A session: the paths of one client, and what its user sees of them.
//!
//! A session begins with the first connect request that names it and ends with its last path; the
//! registry keeps it in between. Its user and sysfs know it from the first path that serves to the
//! last (spec: rtrs 7.3, 8.2).
//!
//! The lock of a session is held while its user is called and while its directories change, so that
//! coming up and going down never overlap. See `path.rs` for the lock order.

use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        Arc,
        Mutex, //
    },
};
use kernel_ext::{
    error::{
        self,
        errno, //
    },
    sysfs::{
        ClassDevice,
        Dir, //
    },
};
use rtrs_core::{
    address,
    heartbeat::Settings, //
};
use rtrs_proto::{
    Features,
    SessionName,
    Uuid, //
};

use crate::{
    fence::Fences,
    notice::{
        Outlet,
        SessionLink, //
    },
    params,
    path::Path,
    server::Shared,
    sysfs::{
        PathDir,
        PathFiles,
        SessionFiles, //
    },
    turns::Turns,
    ulp::{
        SessionFacts,
        UlpSession, //
    }, //
};

/// What sysfs shows of a session, in the order in which it has to go.
struct Directories {
    paths: Dir<()>,
    _device: ClassDevice<SessionFiles>,
}

/// What the lock of a session protects.
struct Inner {
    /// Paths that serve.
    up: usize,
    /// The user's part; present while there are any.
    user: Option<Arc<dyn UlpSession>>,
    /// Present while there are any.
    directories: Option<Directories>,
}

/// A session.
#[pin_data]
pub(crate) struct Session {
    /// The identifier that the client made.
    pub(crate) uuid: Uuid,
    /// What was agreed upon with the client beyond the C implementation.
    pub(crate) features: Features,
    /// How patient its paths are.
    pub(crate) heartbeat: Arc<Settings>,
    /// Where notices may go: the paths that serve. Taken alone.
    #[pin]
    outlets: Mutex<KVec<Outlet>>,
    /// Whose turn it is, by chunk index.
    #[pin]
    pub(crate) turns: Turns,
    /// Fences that wait for the end of a path.
    #[pin]
    pub(crate) fences: Fences,
    #[pin]
    inner: Mutex<Inner>,
}

impl Session {
    /// A session without paths. Process context.
    pub(crate) fn new(uuid: Uuid, features: Features, depth: u16) -> Result<Arc<Self>> {
        let turns = Turns::new(depth)?;
        let heartbeat = Arc::new(Settings::new(params::heartbeat()?), GFP_KERNEL)?;
        Arc::pin_init(
            pin_init!(Self {
                uuid,
                features,
                heartbeat,
                outlets <- new_mutex!(KVec::new(), "rtrs_server::Session::outlets"),
                turns <- turns,
                fences <- Fences::new(),
                inner <- new_mutex!(
                    Inner {
                        up: 0,
                        user: None,
                        directories: None,
                    },
                    "rtrs_server::Session"
                ),
            }),
            GFP_KERNEL,
        )
    }

    /// One more path serves: makes its directory, and asks the user about the session if it is the
    /// first. Sleeps.
    ///
    /// What is returned goes back with [`Self::down`]. On an error nothing has changed.
    pub(crate) fn up(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        name: &SessionName,
        files: Arc<PathFiles>,
    ) -> Result<(PathDir, Arc<dyn UlpSession>)> {
        let dir_name = address::path_name(&files.client(), &files.server())?;
        let mut inner = self.inner.lock();
        if inner.directories.is_none() {
            inner.directories = Some(directories(shared, name, &self.heartbeat)?);
        }
        let result = inner.add(self, shared, name, &dir_name, files);
        if inner.up == 0 {
            inner.directories = None;
        }
        result
    }

    /// Notices may go over this path. Sleeps.
    pub(crate) fn add_outlet(&self, outlet: Outlet) -> Result {
        self.outlets.lock().push(outlet, GFP_KERNEL)?;
        Ok(())
    }

    /// No notice goes over `path` any more. Sleeps.
    pub(crate) fn remove_outlet(&self, path: &Path) {
        let of_path = |outlet: &Outlet| core::ptr::eq(&*outlet.con.path, path);
        let mut outlets = self.outlets.lock();
        let at = outlets.iter().position(of_path);
        let gone = at.and_then(|at| outlets.remove(at).ok());
        drop(outlets);
        drop(gone);
    }

    /// Sends a notice over the first path that takes it. See [`SessionLink::notice`].
    pub(crate) fn notice(&self, payload: u32) -> Result {
        let mut result = Err(error::error(errno::ENOTCONN));
        for outlet in self.outlets.lock().iter() {
            match outlet.send(payload) {
                Ok(()) => return Ok(()),
                Err(EAGAIN) => result = Err(EAGAIN),
                Err(_) => {}
            }
        }
        result
    }

    /// A path no longer serves; tells the user if it was the last. All its requests are answered.
    /// Sleeps.
    pub(crate) fn down(&self, dir: PathDir) {
        let mut inner = self.inner.lock();
        drop(dir);
        inner.up = inner.up.saturating_sub(1);
        if inner.up == 0 {
            if let Some(user) = inner.user.take() {
                user.disconnected();
            }
            inner.directories = None;
        }
    }
}

impl Inner {
    fn add(
        &mut self,
        session: &Arc<Session>,
        shared: &Arc<Shared>,
        name: &SessionName,
        dir_name: &CStr,
        files: Arc<PathFiles>,
    ) -> Result<(PathDir, Arc<dyn UlpSession>)> {
        let directories = self.directories.as_ref().ok_or(ENOENT)?;
        let dir = PathDir::new(&directories.paths, dir_name, files)?;
        let user = match &self.user {
            Some(user) => user.clone(),
            None => shared.user()?.connected(SessionFacts {
                name: name.as_bytes(),
                queue_depth: shared.config.params.depth().get(),
                max_io_size: shared.config.params.max_io(),
                features: session.features,
                link: SessionLink::new(session),
            })?,
        };
        self.user = Some(user.clone());
        self.up = self.up.saturating_add(1);
        Ok((dir, user))
    }
}

/// The device of the session and the directory of its paths. It is announced when both are there.
fn directories(
    shared: &Shared,
    name: &SessionName,
    heartbeat: &Arc<Settings>,
) -> Result<Directories> {
    // The field is terminated, by the invariant of a name.
    let name = CStr::from_bytes_until_nul(name.as_field()).map_err(|_| EINVAL)?;
    let name = CString::try_from(name)?;
    let files = Arc::new(SessionFiles(heartbeat.clone()), GFP_KERNEL)?;
    let device = ClassDevice::new(&shared.context.class, &name, files, false)?;
    let paths = Dir::plain(&device, c"paths")?;
    device.announce();
    Ok(Directories {
        paths,
        _device: device,
    })
}
