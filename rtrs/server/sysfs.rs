// SPDX-License-Identifier: GPL-2.0

//! The files of a path below `/sys/class/rtrs-server/<session>/paths/<client@server>`
//! (spec: rtrs 7.3). They take no lock, so a directory may be removed under any.

use core::fmt::Write as _;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    fmt::escape,
    log::warn_limited,
    net::SockAddr,
    sysfs::{
        Dir,
        File,
        Files,
        Page,
        StoreContext, //
    },
};
use rtrs_core::heartbeat::Settings;
use rtrs_logic::stats::is_one;

use crate::{
    path::Path,
    reason::Reason,
    stats::StatsFiles, //
};

/// Accepts "1", with or without a newline.
pub(crate) fn one(text: &[u8]) -> Result {
    if is_one(text) {
        return Ok(());
    }
    warn_limited!("this file takes nothing but a 1\n");
    Err(EINVAL)
}

/// The files of a session: how patient its paths are.
pub(crate) struct SessionFiles(pub(crate) Arc<Settings>);

impl Files for SessionFiles {
    const FILES: &'static [File<Self>] = &[
        File::read_write(
            Settings::INTERVAL,
            |files, page| Ok(writeln!(page, "{}", files.0.limits().interval_ms())?),
            |files, text, _| files.0.set_interval(text),
        ),
        File::read_write(
            Settings::MISSED,
            |files, page| Ok(writeln!(page, "{}", files.0.limits().missed_max())?),
            |files, text, _| files.0.set_missed(text),
        ),
    ];
}

/// The directory of a path.
pub(crate) struct PathDir {
    /// `stats/`; goes before the directory that it is in.
    _stats: Dir<StatsFiles>,
    _path: Dir<PathFiles>,
}

impl PathDir {
    /// Makes the directory `name` below `paths`. Process context; errors as [`Dir::new`] has.
    pub(crate) fn new(paths: &Dir<()>, name: &CStr, files: Arc<PathFiles>) -> Result<Self> {
        let stats = Arc::new(StatsFiles(files.path.stats.clone()), GFP_KERNEL)?;
        let path = Dir::new(paths, name, files)?;
        Ok(Self {
            _stats: Dir::new(&path, c"stats", stats)?,
            _path: path,
        })
    }
}

/// What the files of a path show.
pub(crate) struct PathFiles {
    path: Arc<Path>,
    hca_name: KVec<u8>,
    hca_port: u32,
}

impl PathFiles {
    /// The files of `path`, which runs over port `hca_port` of the device `hca_name`. Process
    /// context.
    pub(crate) fn new(path: &Arc<Path>, hca_name: &[u8], hca_port: u32) -> Result<Arc<Self>> {
        let mut name = KVec::new();
        name.extend_from_slice(hca_name, GFP_KERNEL)?;
        Ok(Arc::new(
            Self {
                path: path.clone(),
                hca_name: name,
                hca_port,
            },
            GFP_KERNEL,
        )?)
    }

    /// The address of the client.
    pub(crate) fn client(&self) -> SockAddr {
        self.path.client
    }

    /// The address of the server.
    pub(crate) fn server(&self) -> SockAddr {
        self.path.server
    }

    fn show_hca_name(&self, page: &mut Page<'_>) -> Result {
        Ok(writeln!(page, "{}", escape(&self.hca_name))?)
    }

    fn show_hca_port(&self, page: &mut Page<'_>) -> Result {
        Ok(writeln!(page, "{}", self.hca_port)?)
    }

    fn show_src_addr(&self, page: &mut Page<'_>) -> Result {
        Ok(writeln!(page, "{}", self.path.client)?)
    }

    fn show_dst_addr(&self, page: &mut Page<'_>) -> Result {
        Ok(writeln!(page, "{}", self.path.server)?)
    }

    fn show_disconnect(&self, page: &mut Page<'_>) -> Result {
        Ok(writeln!(page, "Usage: echo 1 > disconnect")?)
    }

    /// Closes the path without waiting for it. The file goes first, so that nobody can write to it
    /// twice.
    fn store_disconnect(&self, text: &[u8], context: &StoreContext<'_>) -> Result {
        one(text)?;
        // Whether it was this writer that removed it makes no difference.
        context.remove_self();
        self.path.close(Reason::Administrator);
        Ok(())
    }
}

impl Files for PathFiles {
    const FILES: &'static [File<Self>] = &[
        File {
            name: c"hca_name",
            show: Some(Self::show_hca_name),
            store: None,
        },
        File {
            name: c"hca_port",
            show: Some(Self::show_hca_port),
            store: None,
        },
        File {
            name: c"src_addr",
            show: Some(Self::show_src_addr),
            store: None,
        },
        File {
            name: c"dst_addr",
            show: Some(Self::show_dst_addr),
            store: None,
        },
        File {
            name: c"disconnect",
            show: Some(Self::show_disconnect),
            store: Some(Self::store_disconnect),
        },
    ];
}
