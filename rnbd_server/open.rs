// SPDX-License-Identifier: GPL-2.0

//! Opening a device for a client: from the name in its message to a mapping and the answer.
//!
//! Called by `session.rs` under the session's control lock. It must never open anything that
//! the search path does not lead to, and must identify a backend by its device number: two
//! spellings of one device are one device.

use kernel::{
    prelude::*,
    str::CString,
    sync::Arc, //
};
use kernel_ext::{
    error::{
        errno,
        error, //
    },
    fmt::escape,
    warn_limited, //
};
use rnbd_proto::{
    limits::{
        MAX_NOTICE_ID,
        OPEN_RSP_EXT_LEN, //
    },
    search_path::PATH_BUF_LEN,
    AccessMode,
    BlockSize,
    IoMode,
    Open,
    OpenExt,
    OpenRsp,
    OpenWish,
    SearchPath, //
};
use rtrs_server::Operation;

use crate::{
    backend::Backend,
    io::CachePool,
    mapping::{
        Mapping,
        MappingFiles, //
    },
    params,
    session::{
        Control,
        Session,
        Table,
        MAX_MAPPINGS, //
    },
};

/// Why a client does not get a device: the errno for it, and the reason for the log.
pub(crate) struct Refusal {
    error: Error,
    why: &'static str,
    /// The session that has what the client wants, and how.
    holder: Option<(CString, AccessMode)>,
}

impl Refusal {
    /// A refusal with its reason.
    pub(crate) fn new(error: Error, why: &'static str) -> Self {
        Self {
            error,
            why,
            holder: None,
        }
    }

    /// What opening the backend answered.
    pub(crate) fn from_backend(error: Error) -> Self {
        let why = match -error.to_errno() {
            errno::ENOENT => "there is no such file below dev_search_path",
            errno::ENOTBLK => "it is neither a block device nor a regular file",
            errno::EACCES | errno::EROFS => "the backend is read-only; map it ro",
            errno::EBUSY => {
                "this host uses it exclusively; unmount it, or load rnbd_server with exclusive=N"
            }
            errno::ENXIO => "there is no such device",
            _ => "it cannot be opened",
        };
        Self::new(error, why)
    }

    /// Names the session that is in the way.
    pub(crate) fn held_by(mut self, files: &MappingFiles) -> Self {
        // Without memory the log says less.
        self.holder = CString::try_from(&*files.session().name)
            .ok()
            .map(|name| (name, files.mode()));
        self
    }

    /// The negative errno to answer with.
    pub(crate) fn errno(&self) -> i32 {
        self.error.to_errno()
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let why = match -error.to_errno() {
            errno::ENOMEM => "the server is out of memory",
            errno::EEXIST => "its entry in sysfs exists already",
            errno::ENOTCONN => "the session is going",
            _ => "the server cannot do it",
        };
        Self::new(error, why)
    }
}

impl From<kernel::alloc::AllocError> for Refusal {
    fn from(_: kernel::alloc::AllocError) -> Self {
        Self::from(ENOMEM)
    }
}

/// Makes a mapping for the message, which names nothing that the session has open.
///
/// # Errors
///
/// `EINVAL` for a name with `..` or a path that is too long, whatever opening the backend
/// answers (`ENOENT`, `ENOTBLK`, `EACCES` ...), `EEXIST` if the session has the same device
/// open under another name, `EPERM` if the writers it already has exclude this one, `EBUSY` if it is
/// open with another io mode, `EOPNOTSUPP` for a zoned device, `ENOSPC` if the session has opened
/// too many devices, `ENOMEM`.
pub(crate) fn mapping(
    session: &Arc<Session>,
    control: &mut Control,
    table: &Table,
    message: &Open,
) -> Result<Arc<Mapping>, Refusal> {
    if table.iter().count() >= MAX_MAPPINGS || control.next_id > MAX_NOTICE_ID {
        return Err(Refusal::new(
            ENOSPC,
            "the session has opened too many devices",
        ));
    }
    let id = control.next_id;
    let next_id = id.checked_add(1).ok_or(ENOSPC)?;
    let backend = open(session, message)?;
    // Another spelling of a device that the client has: two of its disks would then be one
    // here, and the first close would end both.
    if table.iter().any(|known| known.key == backend.key()) {
        return Err(Refusal::new(
            EEXIST,
            "the session has the same device open under another name",
        ));
    }
    let cache = match backend.io_mode {
        IoMode::Block => None,
        IoMode::File => Some(cache(session, control)?),
    };
    let backend = Arc::new(backend, GFP_KERNEL)?;
    let open = backend.clone();
    let mapping = session
        .exports
        .add(&backend, message.mode, &session.name, |share| {
            let name = message.name.clone();
            Mapping::new(id, message.mode, name, open, session, cache, share)
        })?;
    control.next_id = next_id;
    Ok(mapping)
}

/// The session's requests through the page cache: as many as it can have in flight, however many
/// files it opens.
fn cache(session: &Session, control: &mut Control) -> Result<Arc<CachePool>> {
    if let Some(cache) = &control.cache {
        return Ok(cache.clone());
    }
    let cache = CachePool::of_requests(session.depth)?;
    control.cache = Some(cache.clone());
    Ok(cache)
}

/// Opens the backend that the name leads to.
fn open(session: &Session, message: &Open) -> Result<Backend, Refusal> {
    let template = params::DEV_SEARCH_PATH.copy()?;
    let mut buffer = KBox::new([0u8; PATH_BUF_LEN], GFP_KERNEL)?;
    let path = SearchPath(&template)
        .resolve(session.name.to_bytes(), &message.name, &mut buffer)
        .map_err(|e| Refusal::new(error(e.errno()), "the name is too long or has '..' in it"))?;
    let wish = message.wish.and_then(|OpenWish { io_mode }| io_mode);
    let backend = Backend::open(path, message.mode.is_writable(), wish)?;
    let limits = backend.limits();
    if limits.zoned {
        return Err(Refusal::new(
            error(errno::EOPNOTSUPP),
            "it is a zoned device, which this protocol cannot carry",
        ));
    }
    // A size that the answer cannot carry would reach the client as zero.
    if BlockSize::new(limits.logical_block_size).is_none() {
        return Err(Refusal::new(
            EINVAL,
            "its logical block size is above 32768 bytes",
        ));
    }
    Ok(backend)
}

/// Puts the answer to an open message into place; the result is the status to respond with.
pub(crate) fn answer(operation: &Operation, mapping: &Mapping, message: &Open) -> i32 {
    let Some(backend) = mapping.backend.get() else {
        return -errno::ENOTCONN;
    };
    let limits = backend.limits();
    let Some(logical) = BlockSize::new(limits.logical_block_size) else {
        return -errno::EINVAL;
    };
    let sectors = backend.sectors();
    let answer = OpenRsp {
        device_id: mapping.id,
        nsectors: sectors,
        max_hw_sectors: limits.max_hw_sectors,
        max_write_zeroes_sectors: limits.max_write_zeroes_sectors,
        max_discard_sectors: limits.max_discard_sectors,
        discard_granularity: limits.discard_granularity,
        discard_alignment: limits.discard_alignment,
        physical_block_size: BlockSize::new(limits.physical_block_size).unwrap_or(logical),
        logical_block_size: logical,
        max_segments: u16::try_from(limits.max_segments).unwrap_or(u16::MAX),
        secure_discard: limits.max_secure_erase_sectors > 0,
        fua: limits.fua,
        write_back: limits.write_cache,
    };
    let room = usize::try_from(operation.answer_len()).unwrap_or(0);
    let sent = if message.wish.is_some() && room >= OPEN_RSP_EXT_LEN {
        let ext = OpenExt {
            rotational: limits.rotational,
            stable_writes: limits.stable_writes,
            read_only: backend.is_read_only(),
            io_mode: Some(backend.io_mode),
            physical_block_size: limits.physical_block_size,
            logical_block_size: limits.logical_block_size,
            io_min: limits.io_min,
            io_opt: limits.io_opt,
            max_secure_erase_sectors: limits.max_secure_erase_sectors,
            // The block layer has one granularity for both.
            secure_erase_granularity: limits.discard_granularity,
            max_hw_sectors: limits.max_hw_sectors,
            dma_alignment: limits.dma_alignment,
            chunk_sectors: limits.chunk_sectors,
            generation: mapping.generation,
            identity: backend.identity,
        };
        operation.reply(&ext.to_bytes(&answer))
    } else {
        operation.reply(&answer.to_bytes())
    };
    match sent {
        Ok(()) => {
            mapping.told(sectors);
            0
        }
        Err(e) => e.to_errno(),
    }
}

/// Says once in the log why a client did not get a device.
pub(crate) fn refused(session: &Session, message: &Open, refusal: &Refusal) {
    let (holder, how) = match &refusal.holder {
        Some((name, mode)) => (name.to_bytes(), mode.as_str()),
        None => (&[][..], ""),
    };
    let (before, between, after) = match how {
        "" => ("", "", ""),
        _ => (" (held by session ", " as ", ")"),
    };
    warn_limited!(
        "session {}: device '{}' ({}) refused with {}: {}{}{}{}{}{}\n",
        escape(session.name.to_bytes()),
        escape(message.name.as_bytes()),
        message.mode.as_str(),
        refusal.errno(),
        refusal.why,
        before,
        escape(holder),
        between,
        how,
        after
    );
}
