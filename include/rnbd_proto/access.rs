// SPDX-License-Identifier: GPL-2.0

//! What a client may do with a device that it opens.

use core::fmt;

/// The access mode of a mapping; the values are those on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AccessMode {
    /// Reading only; any number of clients may have it.
    Ro = 0,
    /// Reading and writing; for one client at a time.
    Rw = 1,
    /// Reading and writing while another client still or already may: for moving a
    /// virtual machine.
    Migration = 2,
}

impl AccessMode {
    /// The keyword of options and of sysfs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ro => "ro",
            Self::Rw => "rw",
            Self::Migration => "migration",
        }
    }

    /// The mode of a keyword, which must match exactly.
    pub fn from_keyword(word: &[u8]) -> Option<Self> {
        match word {
            b"ro" => Some(Self::Ro),
            b"rw" => Some(Self::Rw),
            b"migration" => Some(Self::Migration),
            _ => None,
        }
    }

    /// Whether the mode allows any change of the device.
    pub const fn is_writable(self) -> bool {
        !matches!(self, Self::Ro)
    }
}

/// The value on the wire is not an access mode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownAccessMode(pub u8);

impl TryFrom<u8> for AccessMode {
    type Error = UnknownAccessMode;

    fn try_from(value: u8) -> Result<Self, Self::Error> {
        match value {
            0 => Ok(Self::Ro),
            1 => Ok(Self::Rw),
            2 => Ok(Self::Migration),
            _ => Err(UnknownAccessMode(value)),
        }
    }
}

impl From<AccessMode> for u8 {
    fn from(mode: AccessMode) -> Self {
        mode as Self
    }
}

impl fmt::Display for AccessMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
