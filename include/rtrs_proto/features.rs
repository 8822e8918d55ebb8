// SPDX-License-Identifier: GPL-2.0

//! What this implementation can do beyond the protocol of the C one, as a set of bits.
//!
//! The client offers a set in every connect request, the server answers with the part of
//! it that it wants. Both travel in bytes that a C peer sends as zero and ignores, so
//! with such a peer the set is empty and every other byte is what it always was.

use core::fmt;

use crate::limits::EXT_VERSION;

/// A set of extensions.
///
/// # Invariants
///
/// Only bits of [`Self::ALL`] are set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features(u16);

impl Features {
    /// No extension: the protocol of the C implementation.
    pub const NONE: Self = Self(0);
    /// The message [`FenceRequest`](crate::FenceRequest) may be sent.
    pub const FENCE: Self = Self(1);
    /// The server may send [`Immediate::Notice`](crate::Immediate::Notice).
    pub const NOTICE: Self = Self(2);
    /// The users of the session may use extensions of their own protocol.
    pub const USER: Self = Self(4);
    /// Everything that this version knows.
    pub const ALL: Self = Self(Self::FENCE.0 | Self::NOTICE.0 | Self::USER.0);

    /// What a peer's version byte and bits mean. Bits that this version does not know
    /// are dropped; a later version keeps the place and the meaning of the known ones.
    pub const fn from_wire(version: u8, bits: u16) -> Self {
        // INVARIANT: The bits are masked.
        if version == 0 {
            Self::NONE
        } else {
            Self(bits & Self::ALL.0)
        }
    }

    /// The version byte to send: 0 with nothing else, so that nothing differs then.
    pub const fn version(self) -> u8 {
        if self.0 == 0 {
            0
        } else {
            EXT_VERSION
        }
    }

    /// The bits to send.
    pub const fn bits(self) -> u16 {
        self.0
    }

    /// What is in both sets.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What is in either set.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of `other` is in this set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is in this set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = [
            (Self::FENCE, "fence"),
            (Self::NOTICE, "notice"),
            (Self::USER, "user"),
        ];
        let mut separator = "";
        for (_, name) in names.iter().filter(|(feature, _)| self.has(*feature)) {
            write!(f, "{separator}{name}")?;
            separator = " ";
        }
        if self.is_empty() {
            f.write_str("none")?;
        }
        Ok(())
    }
}
