// SPDX-License-Identifier: GPL-2.0

//! `/sys/class/rtrs-client/<session>/` (spec: rtrs 7.1, 7.2), and the list of a session's
//! paths that belongs to it.
//!
//! The names and formats are what tools of the C driver read. A file that could not do
//! what it promises is not here.

use core::num::IntErrorKind;
use kernel::{
    prelude::*,
    str::CString,
    sync::Arc, //
};
use kernel_ext::{
    fmt::Show,
    log::warn_limited,
    sysfs::{
        ClassDevice,
        Dir,
        File,
        Files,
        Page, //
    },
};
use rtrs_core::{
    address::{
        self,
        Endpoints, //
    },
    heartbeat::Settings, //
};
use rtrs_logic::{
    heartbeat::parse_number,
    policy::Policy,
    reconnect::{
        MaxAttempts,
        Pace, //
    },
    stats::{
        self,
        Latency, //
    }, //
};
use rtrs_proto::{
    limits::MAX_PATHS,
    PathSpec, //
};

use crate::{
    inner::Inner, //
    path::{
        Known,
        Path, //
    },
    stats::StatsFiles, //
};

/// The paths of a session and their directories.
///
/// Dropping a directory waits for functions of its files, which may wait for locks of the
/// session; so what is here is taken out under the lock, and dropped outside.
pub(crate) struct Tree {
    entries: KVec<Entry>,
    /// `paths/`; goes before the device.
    paths: Option<Dir<()>>,
    device: Option<ClassDevice<SessionFiles>>,
}

/// A path of the list. Dropping it waits for the functions of its files.
pub(crate) struct Entry {
    /// Goes first: its files look at the path.
    dir: Option<PathDir>,
    path: Arc<Path>,
}

/// The directory of a path.
struct PathDir {
    /// `stats/`; goes before the directory that it is in.
    _stats: Dir<StatsFiles>,
    _path: Dir<PathFiles>,
}

impl Tree {
    pub(crate) const fn new() -> Self {
        Self {
            entries: KVec::new(),
            paths: None,
            device: None,
        }
    }

    /// Creates the session's directory, without telling user space yet.
    ///
    /// Fails with `EEXIST` if there is a session of this name.
    pub(crate) fn create(&mut self, session: &Arc<Inner>) -> Result {
        let name = CString::try_from_fmt(fmt!("{}", Show(session.name())))?;
        let files = Arc::new(
            SessionFiles {
                session: session.clone(),
            },
            GFP_KERNEL,
        )?;
        let device = ClassDevice::new(&session.context().class, &name, files, false)?;
        self.paths = Some(Dir::plain(&device, c"paths")?);
        self.device = Some(device);
        Ok(())
    }

    /// Tells user space about the session.
    pub(crate) fn announce(&self) {
        if let Some(device) = &self.device {
            device.announce();
        }
    }

    /// Whether the session has a path between these hosts; without a source, between any of ours
    /// and that one. Sleeps.
    pub(crate) fn joins(&self, (src, dst): &Endpoints) -> bool {
        self.entries.iter().any(|Entry { path, .. }| {
            let from = src.zip(path.known());
            path.endpoints().1.same_host(dst)
                && from.is_none_or(|(src, known)| known.src.same_host(&src))
        })
    }

    /// Lists a path, without a directory as yet.
    ///
    /// Fails with `ENODEV` if the session is being closed, and with `ENOSPC` if it has all
    /// the paths that it may have (weak point L18).
    pub(crate) fn add(&mut self, path: Arc<Path>) -> Result {
        if self.device.is_none() {
            return Err(ENODEV);
        }
        if self.entries.len() >= MAX_PATHS {
            return Err(ENOSPC);
        }
        self.entries.push(Entry { path, dir: None }, GFP_KERNEL)?;
        Ok(())
    }

    /// Makes the directory of a listed path.
    ///
    /// Fails with `EEXIST` if the session has a path between the same addresses.
    pub(crate) fn show(&mut self, path: &Arc<Path>, name: &CStr) -> Result {
        let paths = self.paths.as_ref().ok_or(ENODEV)?;
        let entry = self
            .entries
            .iter_mut()
            .find(|entry| Arc::ptr_eq(&entry.path, path))
            .ok_or(ENODEV)?;
        let files = Arc::new(PathFiles { path: path.clone() }, GFP_KERNEL)?;
        path.named(name)?;
        let dir = Dir::new(paths, name, files)?;
        entry.dir = Some(PathDir {
            _stats: Dir::new(
                &dir,
                c"stats",
                Arc::new(StatsFiles(path.stats().clone()), GFP_KERNEL)?,
            )?,
            _path: dir,
        });
        Ok(())
    }

    /// Takes a path off the list. To be dropped without the session's lock.
    #[must_use]
    pub(crate) fn remove(&mut self, path: &Arc<Path>) -> Option<Entry> {
        let at = self
            .entries
            .iter()
            .position(|entry| Arc::ptr_eq(&entry.path, path))?;
        self.entries.remove(at).ok()
    }

    /// Has all paths give up what they are about to do. Any context that may sleep.
    pub(crate) fn give_up(&self) {
        for entry in &self.entries {
            entry.path.give_up();
        }
    }

    /// Takes everything out.
    #[must_use]
    pub(crate) fn take(&mut self) -> Self {
        core::mem::replace(self, Self::new())
    }

    /// Removes all files and answers the paths. Sleeps; not under the session's lock.
    pub(crate) fn into_paths(self) -> Paths {
        let Self {
            mut entries,
            paths,
            device,
        } = self;
        for entry in &mut entries {
            entry.dir = None;
        }
        drop(paths);
        drop(device);
        Paths(entries)
    }
}

/// The paths of a session whose files are gone.
pub(crate) struct Paths(KVec<Entry>);

impl Paths {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Path>> {
        self.0.iter().map(|entry| &entry.path)
    }
}

/// The files of a session.
pub(crate) struct SessionFiles {
    session: Arc<Inner>,
}

impl Files for SessionFiles {
    const FILES: &'static [File<Self>] = &[
        File::read_write(
            c"max_reconnect_attempts",
            |files, page| {
                page.emit(fmt!("{}\n", files.session.max_reconnects().get()));
                Ok(())
            },
            |files, text, _| {
                let max = decimal(text).and_then(|max| MaxAttempts::new(max).ok_or(EINVAL));
                let max = max.inspect_err(|_| {
                    warn_limited!("max_reconnect_attempts must be -1 (endless) to 9999\n")
                })?;
                files.session.set_max_reconnects(max);
                Ok(())
            },
        ),
        File::read_write(
            c"reconnect_delay_ms",
            |files, page| show_ms(page, files.session.pace().delay_ms),
            |files, text, _| files.set_pace(text, |pace, ms| pace.delay_ms = ms),
        ),
        File::read_write(
            c"reconnect_backoff_ms",
            |files, page| show_ms(page, files.session.pace().backoff_ms),
            |files, text, _| files.set_pace(text, |pace, ms| pace.backoff_ms = ms),
        ),
        File::read_write(
            c"reconnect_jitter_ms",
            |files, page| show_ms(page, files.session.pace().jitter_ms),
            |files, text, _| files.set_pace(text, |pace, ms| pace.jitter_ms = ms),
        ),
        File::read_write(
            c"mpath_policy",
            |files, page| {
                page.emit(fmt!("{}\n", Show(files.session.policy())));
                Ok(())
            },
            |files, text, _| {
                let policy = Policy::parse(text).ok_or_else(|| {
                    warn_limited!(
                        "mpath_policy must be round-robin (rr, 0), min-inflight (mi, 1) or min-latency (ml, 2)\n"
                    );
                    EINVAL
                })?;
                files.session.set_policy(policy);
                Ok(())
            },
        ),
        File::read_write(
            Settings::INTERVAL,
            |files, page| {
                let limits = files.session.heartbeat().limits();
                page.emit(fmt!("{}\n", limits.interval_ms()));
                Ok(())
            },
            |files, text, _| files.session.heartbeat().set_interval(text),
        ),
        File::read_write(
            Settings::MISSED,
            |files, page| {
                let limits = files.session.heartbeat().limits();
                page.emit(fmt!("{}\n", limits.missed_max()));
                Ok(())
            },
            |files, text, _| files.session.heartbeat().set_missed(text),
        ),
        File::read_only(c"polled_completions", |files, page| {
            page.emit(fmt!("{}\n", files.session.polled()));
            Ok(())
        }),
        File::read_write(
            c"add_path",
            |_, page| {
                page.bytes(ADD_PATH_USAGE);
                Ok(())
            },
            |files, text, _| files.add_path(text),
        ),
    ];
}

impl SessionFiles {
    fn set_pace(&self, text: &[u8], set: fn(&mut Pace, u32)) -> Result {
        let ms = parse_number(text).ok_or(EINVAL);
        ms.and_then(|ms| self.session.set_pace(|pace| set(pace, ms)))
            .inspect_err(|_| {
                warn_limited!(
                    "reconnect_delay_ms and reconnect_jitter_ms must be 0 to {}, reconnect_backoff_ms {} to that\n",
                    Pace::MAX_MS,
                    Pace::BACKOFF_MIN_MS
                )
            })
    }

    fn add_path(&self, text: &[u8]) -> Result {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let name = Show(self.session.name());
        let endpoints = PathSpec::parse(text)
            .map_err(|wrong| {
                pr_warn!("session {name}: add_path: {}\n", Show(wrong));
                EINVAL
            })
            .and_then(|spec| {
                address::endpoints(self.session.net(), &spec, self.session.port()).map_err(|_| {
                    pr_warn!("session {name}: add_path: no such interface\n");
                    EINVAL
                })
            })?;
        let added = self.session.add_path(endpoints);
        if let Err(wrong) = &added {
            let why = match *wrong {
                EEXIST => "there is a path between these addresses; remove it, and let the server close it, first",
                ENOSPC => "the session has as many paths as it may have; remove one first",
                _ => return added,
            };
            pr_warn!("session {name}: add_path: {why}\n");
        }
        added
    }
}

/// What reading `add_path` answers; tools may compare it.
const ADD_PATH_USAGE: &[u8] = b"Usage: echo [<source addr>@]<destination addr> > add_path\n\n\
    *addr ::= [ ip:<ipv4|ipv6> | gid:<gid> ]\n";

/// The files of a path.
pub(crate) struct PathFiles {
    path: Arc<Path>,
}

impl Files for PathFiles {
    const FILES: &'static [File<Self>] = &[
        File::read_only(c"state", |files, page| {
            page.bytes(stats::state(files.path.is_connected()).as_bytes());
            Ok(())
        }),
        File::read_only(c"hca_name", |files, page| {
            page.bytes(files.known()?.device.as_bytes());
            page.bytes(b"\n");
            Ok(())
        }),
        File::read_only(c"hca_port", |files, page| {
            page.emit(fmt!("{}\n", files.known()?.port));
            Ok(())
        }),
        File::read_only(c"src_addr", |files, page| {
            page.emit(fmt!("{}\n", files.known()?.src));
            Ok(())
        }),
        File::read_only(c"dst_addr", |files, page| {
            page.emit(fmt!("{}\n", files.known()?.dst));
            Ok(())
        }),
        File::read_only(c"cur_latency", |files, page| {
            let latency = Latency(files.known()?.heartbeat.latency_ns());
            page.emit(fmt!("{}", Show(latency)));
            Ok(())
        }),
        File::read_write(
            c"disconnect",
            |_, page| {
                page.bytes(b"Usage: echo 1 > disconnect\n");
                Ok(())
            },
            |files, text, _| {
                one(text)?;
                files.path.close();
                Ok(())
            },
        ),
        File::read_write(
            c"reconnect",
            |_, page| {
                page.bytes(b"Usage: echo 1 > reconnect\n");
                Ok(())
            },
            |files, text, _| {
                one(text)?;
                files.path.reconnect()
            },
        ),
        File::read_write(
            c"remove_path",
            |_, page| {
                page.bytes(b"Usage: echo 1 > remove_path\n");
                Ok(())
            },
            |files, text, context| {
                one(text)?;
                // Of several writers one removes the path, and the others are late.
                if context.remove_self() {
                    drop(files.path.session().remove_path(&files.path));
                }
                Ok(())
            },
        ),
    ];
}

impl PathFiles {
    fn known(&self) -> Result<Known> {
        self.path.known().ok_or(ENODEV)
    }
}

/// Shows a time in milliseconds.
fn show_ms(page: &mut Page<'_>, ms: u32) -> Result {
    page.emit(fmt!("{ms}\n"));
    Ok(())
}

/// Accepts "1", with or without a newline.
pub(crate) fn one(text: &[u8]) -> Result {
    if stats::is_one(text) {
        return Ok(());
    }
    warn_limited!("this file takes nothing but a 1\n");
    Err(EINVAL)
}

/// A decimal number, with or without sign and newline.
fn decimal(text: &[u8]) -> Result<i32> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let text = core::str::from_utf8(text).map_err(|_| EINVAL)?;
    text.parse::<i32>().map_err(|wrong| match wrong.kind() {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => ERANGE,
        _ => EINVAL,
    })
}
