// SPDX-License-Identifier: GPL-2.0

//! Opening a device for a client: from the name in its message to a mapping and the answer.
//!
//! Called by `session.rs` under the session's control lock. It must never open anything that
//! the search path does not lead to, and must identify a backend by its device number: two
//! spellings of one device are one device.

use block_bio::BlockDevice;
use kernel::{
    prelude::*,
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
    search_path::PATH_BUF_LEN,
    AccessMode,
    BlockSize,
    Open,
    OpenRsp,
    SearchPath, //
};
use rtrs_server::Operation;

use crate::{
    mapping::Mapping,
    params,
    session::{
        Control,
        Session,
        Table,
        MAX_MAPPINGS, //
    },
};

/// Makes a mapping for the message, which names nothing that the session has open.
///
/// # Errors
///
/// `EINVAL` for a name with `..` or a path that is too long, whatever opening the backend
/// answers (`ENOENT`, `ENOTBLK`, `EACCES` ...), `EEXIST` if the session has the same device
/// open under another name, `EPERM` if the writers it already has exclude this one, `ENOSPC`
/// if the session has opened too many devices, `ENOMEM`.
pub(crate) fn mapping(
    session: &Session,
    control: &mut Control,
    table: &Table,
    message: &Open,
) -> Result<Arc<Mapping>> {
    if table.iter().count() >= MAX_MAPPINGS {
        return Err(ENOSPC);
    }
    let id = control.next_id;
    let next_id = id.checked_add(1).ok_or(ENOSPC)?;
    let backend = open(session, message)?;
    // Another spelling of a device that the client has: two of its disks would then be one
    // here, and the first close would end both.
    if table.iter().any(|known| known.dev == backend.dev()) {
        return Err(EEXIST);
    }
    let backend = Arc::new(backend, GFP_KERNEL)?;
    let mapping = Mapping::new(
        id,
        message.mode,
        message.name.clone(),
        backend,
        &session.name,
        &session.exports,
        session.pool.clone(),
    )?;
    control.next_id = next_id;
    Ok(mapping)
}

/// Opens the backend that the name leads to.
fn open(session: &Session, message: &Open) -> Result<BlockDevice> {
    let template = params::DEV_SEARCH_PATH.copy()?;
    let mut buffer = KBox::new([0u8; PATH_BUF_LEN], GFP_KERNEL)?;
    let path = SearchPath(&template)
        .resolve(session.name.to_bytes(), &message.name, &mut buffer)
        .map_err(|e| error(e.errno()))?;
    let backend = BlockDevice::open(path, message.mode != AccessMode::Ro)?;
    // A size that the answer cannot carry would reach the client as zero.
    if BlockSize::new(backend.limits().logical_block_size).is_none() {
        return Err(EINVAL);
    }
    Ok(backend)
}

/// Puts the answer to an open message into place; the result is the status to respond with.
pub(crate) fn answer(operation: &Operation, mapping: &Mapping) -> i32 {
    let Some(backend) = mapping.backend.get() else {
        return -errno::ENOTCONN;
    };
    let limits = backend.limits();
    let Some(logical) = BlockSize::new(limits.logical_block_size) else {
        return -errno::EINVAL;
    };
    let answer = OpenRsp {
        device_id: mapping.id,
        nsectors: backend.sectors(),
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
    match operation.reply(&answer.to_bytes()) {
        Ok(()) => 0,
        Err(e) => e.to_errno(),
    }
}

/// Says once in the log why a client did not get a device.
pub(crate) fn refused(session: &Session, message: &Open, e: Error) {
    let reason = match -e.to_errno() {
        errno::EPERM => "another session has it open for writing; map it ro, or migration",
        errno::EEXIST => "the session has the same device open under another name",
        errno::ENOENT => "there is no such file below dev_search_path",
        errno::ENOTBLK => "it is not a block device",
        errno::EACCES => "the backend is read-only; map it ro",
        errno::EINVAL => "the name is too long, has '..' in it, or the block size is not supported",
        _ => "it cannot be opened",
    };
    warn_limited!(
        "session {}: device '{}' ({}) refused with {}: {}\n",
        escape(session.name.to_bytes()),
        escape(message.name.as_bytes()),
        message.mode.as_str(),
        e.to_errno(),
        reason
    );
}
