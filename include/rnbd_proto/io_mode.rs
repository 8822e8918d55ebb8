// SPDX-License-Identifier: GPL-2.0

//! How a server does the IO of a mapping: on a block device or on a file.
//!
//! The word comes from an administrator on the client and travels in a byte that means
//! nothing unless both sides have agreed on extensions: existing clients send garbage
//! there, so nobody may look at it without that agreement.

use core::fmt;

/// The io mode of a mapping; the values are those on the wire, where 0 says nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IoMode {
    /// Straight to a block device.
    Block = 1,
    /// Through the page cache of the server, to a regular file or a block device.
    File = 2,
}

impl IoMode {
    /// The keyword of options and of sysfs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "blockio",
            Self::File => "fileio",
        }
    }

    /// The mode of a keyword, which must match exactly.
    pub fn from_keyword(word: &[u8]) -> Option<Self> {
        match word {
            b"blockio" => Some(Self::Block),
            b"fileio" => Some(Self::File),
            _ => None,
        }
    }

    /// What a byte of a message says; 0 leaves it to the server.
    pub(crate) const fn from_wire(value: u8) -> Result<Option<Self>, UnknownIoMode> {
        match value {
            0 => Ok(None),
            1 => Ok(Some(Self::Block)),
            2 => Ok(Some(Self::File)),
            _ => Err(UnknownIoMode(value)),
        }
    }
}

/// The value on the wire is not an io mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownIoMode(pub u8);

impl fmt::Display for IoMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
