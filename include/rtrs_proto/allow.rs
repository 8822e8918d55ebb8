// SPDX-License-Identifier: GPL-2.0

//! A list of addresses that may connect, as an administrator writes it.
//!
//! Entries are separated by commas or white space. Each is an address as in a path, with
//! an optional length of the prefix that counts: `ip:10.0.0.0/24, ip:fd00::/64,
//! gid:fe80::2`. A list without entries admits everybody, as the C implementation does.

use core::fmt;
use core::str;

use crate::address::{
    Addr,
    AddrError, //
};

/// Why a text is not a list of addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AllowError {
    /// An entry is no address.
    Address(AddrError),
    /// What follows the slash is no number of bits that the address has.
    Prefix,
    /// An address with a zone; whether it counts would depend on where it is compared.
    Zone,
}

impl fmt::Display for AllowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address(AddrError::UnknownPrefix) => "an address starts with ip: or gid:",
            Self::Address(AddrError::Malformed) => "not an address",
            Self::Prefix => "behind the slash comes the length of the prefix in bits",
            Self::Zone => "an address in this list has no zone",
        })
    }
}

/// A list that was checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AllowList<'a>(&'a [u8]);

impl<'a> AllowList<'a> {
    /// Checks every entry of `text`.
    pub fn parse(text: &'a [u8]) -> Result<Self, AllowError> {
        for word in words(text) {
            Entry::parse(word)?;
        }
        Ok(Self(text))
    }

    /// Whether `addr` may connect.
    pub fn admits(&self, addr: &Addr) -> bool {
        let mut empty = true;
        for entry in words(self.0).filter_map(|word| Entry::parse(word).ok()) {
            empty = false;
            if entry.covers(addr) {
                return true;
            }
        }
        empty
    }
}

fn words(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b',' || byte.is_ascii_whitespace())
        .filter(|word| !word.is_empty())
}

/// One entry: addresses of which the first `bits` bits are these.
struct Entry {
    addr: Addr,
    bits: u8,
}

impl Entry {
    fn parse(word: &[u8]) -> Result<Self, AllowError> {
        let mut parts = word.splitn(2, |byte| *byte == b'/');
        let addr = Addr::parse(parts.next().unwrap_or_default()).map_err(AllowError::Address)?;
        let most = match addr {
            Addr::V4(_) => 32,
            Addr::V6 { scope: Some(_), .. } => return Err(AllowError::Zone),
            Addr::V6 { .. } | Addr::Gid(_) => 128,
        };
        let bits = match parts.next() {
            None => most,
            Some(digits) => digits
                .iter()
                .all(u8::is_ascii_digit)
                .then(|| str::from_utf8(digits).ok()?.parse().ok())
                .flatten()
                .filter(|bits| *bits <= most)
                .ok_or(AllowError::Prefix)?,
        };
        Ok(Self { addr, bits })
    }

    fn covers(&self, other: &Addr) -> bool {
        match (&self.addr, other) {
            (Addr::V4(own), Addr::V4(other)) => same_front(own, other, self.bits),
            (Addr::V6 { addr: own, .. }, Addr::V6 { addr: other, .. })
            | (Addr::Gid(own), Addr::Gid(other)) => same_front(own, other, self.bits),
            _ => false,
        }
    }
}

/// Whether the first `bits` bits are equal.
fn same_front(one: &[u8], other: &[u8], bits: u8) -> bool {
    let mut left = u32::from(bits);
    for (one, other) in one.iter().zip(other) {
        let count = left.min(8);
        // The upper `count` bits; none of them if there are none left.
        let mask = !0xffu8.checked_shr(count).unwrap_or(0);
        if (one ^ other) & mask != 0 {
            return false;
        }
        left = left.saturating_sub(count);
    }
    true
}
