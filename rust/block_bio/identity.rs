// SPDX-License-Identifier: GPL-2.0

//! The name that a backend keeps over reboots and over other names.
//!
//! Asked once when a device is opened. Disks know it themselves, or their drivers show it in
//! sysfs, at `/sys` in the mount namespace of the calling thread; what has no name gets one
//! made of the host's name and its own, which is as stable as these are. A volume of the device
//! mapper is never asked for the id of a disk: it would answer with that of the disk below,
//! which other volumes there answer too, and no longer once it lies on two. Nothing here may be
//! used to decide about access: it is text for administrators.

use crate::{
    bdev::BlockDevice,
    file::RegularFile,
    raw, //
};
use kernel::{
    prelude::*,
    str::{
        CStrExt,
        CString, //
    }, //
};

/// Kinds of ids that disks are asked for (`enum blk_unique_id`, asserted in
/// `rust/helpers/block_bio.c`), and how such an id begins as text.
const KINDS: [(u32, &[u8]); 3] = [(3, b"naa."), (2, b"eui."), (1, b"t10.")];

/// Bytes of the longest id of a disk.
const ID_LEN: usize = 16;

/// Most bytes that are taken of a file of sysfs; the longest of [`FILES`] is the name that NVMe
/// makes of a serial number and a model in hexadecimal digits, with 140.
const TEXT_LEN: usize = 192;

/// Files of a disk in sysfs that name it, the best first, and what is put in front.
const FILES: [(&str, &[u8]); 5] = [
    ("wwid", b""),
    ("device/wwid", b""),
    ("md/uuid", b"md."),
    ("serial", b"serial."),
    ("device/serial", b"serial."),
];

/// Bytes of a host's name, which may have 64 characters.
const NODE_LEN: usize = 65;

impl BlockDevice {
    /// The persistent identity, as text that may hold any byte; for a partition that of the
    /// disk with `-part` and the number behind it. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn identity(&self) -> Result<KVec<u8>> {
        let volume = self.shown("dm/name")?;
        let own = match &volume {
            Some(_) => prefixed(b"dm.", self.shown("dm/uuid")?)?,
            None => self.own_id()?,
        };
        let Some(mut text) = own else {
            let mut text = node_name()?;
            text.extend_from_slice(b":", GFP_KERNEL)?;
            let name = volume.as_deref().unwrap_or(self.name().as_bytes());
            text.extend_from_slice(name, GFP_KERNEL)?;
            return Ok(text);
        };
        let number = self.partition();
        if number > 0 {
            let suffix = CString::try_from_fmt(fmt!("-part{}", number))?;
            text.extend_from_slice(suffix.to_bytes(), GFP_KERNEL)?;
        }
        Ok(text)
    }

    /// What the disk or its driver says.
    fn own_id(&self) -> Result<Option<KVec<u8>>> {
        if let Some(text) = self.disk_id()? {
            return Ok(Some(text));
        }
        for (file, prefix) in FILES {
            if let Some(text) = prefixed(prefix, self.shown(file)?)? {
                return Ok(Some(text));
            }
        }
        Ok(None)
    }

    /// What the driver knows of the disk.
    fn disk_id(&self) -> Result<Option<KVec<u8>>> {
        for (kind, prefix) in KINDS {
            let mut id = [0u8; ID_LEN];
            // SAFETY: the device is live, and the buffer has the 16 bytes that the function
            // may fill.
            let len = unsafe { raw::biox_unique_id(self.raw(), kind, id.as_mut_ptr()) };
            let Some(id) = usize::try_from(len).ok().and_then(|len| id.get(..len)) else {
                continue;
            };
            if id.iter().all(|byte| *byte == 0) {
                continue;
            }
            let mut text = KVec::new();
            text.extend_from_slice(prefix, GFP_KERNEL)?;
            for byte in id {
                for digit in [*byte >> 4, *byte & 0xf] {
                    let digit = char::from_digit(u32::from(digit), 16).unwrap_or('0');
                    text.push(u8::try_from(digit).unwrap_or(b'0'), GFP_KERNEL)?;
                }
            }
            return Ok(Some(text));
        }
        Ok(None)
    }

    /// What a file of the disk in sysfs shows, without the blanks around it; none if there is no
    /// such file.
    fn shown(&self, file: &str) -> Result<Option<KVec<u8>>> {
        /// Where the minor number begins in a device number (`MINORBITS`).
        const MINOR_BITS: u32 = 20;
        let dev = self.disk_dev();
        let (major, minor) = (dev >> MINOR_BITS, dev & ((1 << MINOR_BITS) - 1));
        let path = CString::try_from_fmt(fmt!("/sys/dev/block/{}:{}/{}", major, minor, file))?;
        let mut buffer = [0u8; TEXT_LEN];
        // SAFETY: the path is a terminated string, and the buffer as long as we say.
        let len = unsafe {
            raw::biox_read_text(path.as_char_ptr(), buffer.as_mut_ptr().cast(), TEXT_LEN)
        };
        let Some(read) = usize::try_from(len).ok().and_then(|len| buffer.get(..len)) else {
            return Ok(None);
        };
        let mut text = KVec::new();
        text.extend_from_slice(read.trim_ascii(), GFP_KERNEL)?;
        Ok(Some(text))
    }
}

/// `prefix` and the text, if there is any.
fn prefixed(prefix: &[u8], text: Option<KVec<u8>>) -> Result<Option<KVec<u8>>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let mut whole = KVec::new();
    whole.extend_from_slice(prefix, GFP_KERNEL)?;
    whole.extend_from_slice(&text, GFP_KERNEL)?;
    Ok(Some(whole))
}

impl RegularFile {
    /// The persistent identity, as text: the file system and the inode with its generation,
    /// and the subvolume where the file system has some. A
    /// file system without a name of its own is named by host and device.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn identity(&self) -> Result<KVec<u8>> {
        let mut facts = raw::RawFacts::default();
        // SAFETY: the file is open, and `facts` valid for writes.
        unsafe { raw::biox_file_facts(self.raw(), &mut facts) };
        let mut text = KVec::new();
        text.extend_from_slice(b"file.", GFP_KERNEL)?;
        let uuid = usize::try_from(facts.uuid_len)
            .ok()
            .and_then(|len| facts.uuid.get(..len))
            .unwrap_or(&[]);
        if uuid.is_empty() {
            text.extend_from_slice(&node_name()?, GFP_KERNEL)?;
            let dev = CString::try_from_fmt(fmt!(":{:x}", facts.sb_dev))?;
            text.extend_from_slice(dev.to_bytes(), GFP_KERNEL)?;
        }
        for byte in uuid {
            let pair = CString::try_from_fmt(fmt!("{:02x}", *byte))?;
            text.extend_from_slice(pair.to_bytes(), GFP_KERNEL)?;
        }
        let inode = CString::try_from_fmt(fmt!(".{}.{:x}", facts.ino, facts.generation))?;
        text.extend_from_slice(inode.to_bytes(), GFP_KERNEL)?;
        if facts.subvol != 0 {
            let subvol = CString::try_from_fmt(fmt!(".{:x}", facts.subvol))?;
            text.extend_from_slice(subvol.to_bytes(), GFP_KERNEL)?;
        }
        Ok(text)
    }
}

/// The name of this host, as text that may hold any byte.
///
/// # Errors
///
/// `ENOMEM`.
pub fn node_name() -> Result<KVec<u8>> {
    let mut buffer = [0u8; NODE_LEN];
    // SAFETY: the buffer is as long as we say.
    unsafe { raw::biox_node_name(buffer.as_mut_ptr().cast(), NODE_LEN) };
    let name = CStr::from_bytes_until_nul(&buffer).map_or(&[][..], CStr::to_bytes);
    let mut text = KVec::new();
    text.extend_from_slice(name, GFP_KERNEL)?;
    Ok(text)
}
