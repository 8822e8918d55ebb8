// SPDX-License-Identifier: GPL-2.0

//! What a client knows of a device that it has opened, and whether it is still the same.
//!
//! A client opens a device again after it had lost the server, or because the server says
//! that something has changed. The disk that was made of the first answer lives on; what
//! can never change under a disk in use is decided here.

use crate::open_ext::OpenExt;
use crate::response::{
    OpenRsp,
    ResponseError, //
};

/// The answer to an opening, with its extension if there is one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Opened {
    /// What every server answers.
    pub rsp: OpenRsp,
    /// What only those answer that have agreed on extensions.
    pub ext: Option<OpenExt>,
}

/// Why a disk cannot go on with what was opened again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Objection {
    /// The name of the device leads to another one.
    OtherDevice,
    /// The smallest unit of access has grown.
    BlockSize,
    /// There is a volatile write cache that the disk would never flush.
    WriteCache,
}

impl Objection {
    /// A phrase for the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OtherDevice => "another device has its name now",
            Self::BlockSize => "its logical block size has grown",
            Self::WriteCache => {
                "it has a volatile write cache now, which this disk would not flush"
            }
        }
    }
}

impl Opened {
    /// Parses what was received; the extension only if it was asked for.
    pub fn parse(received: &[u8], extended: bool) -> Result<Self, ResponseError> {
        let rsp = OpenRsp::parse(received)?;
        let ext = match extended {
            true => OpenExt::parse(received, &rsp)?,
            false => None,
        };
        Ok(Self { rsp, ext })
    }

    /// Whether a disk that was made of `self` can go on with `now`. Sizes may change, and so
    /// may whatever is a hint or only makes requests fail.
    pub fn objection(&self, now: &Self) -> Option<Objection> {
        if let (Some(old), Some(new)) = (&self.ext, &now.ext) {
            let named = !old.identity.is_none() && !new.identity.is_none();
            if named && old.identity != new.identity {
                return Some(Objection::OtherDevice);
            }
        }
        if now.rsp.logical_block_size > self.rsp.logical_block_size {
            return Some(Objection::BlockSize);
        }
        if now.rsp.write_back && !self.rsp.write_back {
            return Some(Objection::WriteCache);
        }
        None
    }

    /// What is known once a disk that was made of `self` goes on with `now`. An identity that is
    /// not repeated is not forgotten: else any other device could follow the one without.
    pub fn followed_by(&self, now: Self) -> Self {
        let ext = match (self.ext, now.ext) {
            (Some(old), Some(new)) if new.identity.is_none() => Some(OpenExt {
                identity: old.identity,
                ..new
            }),
            (old, new) => new.or(old),
        };
        Self { ext, ..now }
    }
}
