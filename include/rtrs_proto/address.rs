// SPDX-License-Identifier: GPL-2.0

//! Addresses as administrators write them and as sysfs shows them (spec: rtrs 3.1, 7).
//!
//! A path is `[src,]dst` or `[src@]dst`; an address is `ip:` with an IPv4 or IPv6
//! address, or `gid:` with a GID in the notation of IPv6. Ports are no part of it.

use core::fmt;
use core::net::{
    Ipv4Addr,
    Ipv6Addr, //
};
use core::str;

use crate::errno::{
    EINVAL,
    EPROTONOSUPPORT, //
};
use crate::scope::Scope;

/// One end of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Addr {
    /// An IPv4 address.
    V4([u8; 4]),
    /// An IPv6 address.
    V6 {
        /// The address, in network order.
        addr: [u8; 16],
        /// The interface of a link-local address.
        scope: Option<Scope>,
    },
    /// A GID of InfiniBand or RoCE, in network order.
    Gid([u8; 16]),
}

/// Why a text is not an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AddrError {
    /// It starts neither with `ip:` nor with `gid:`.
    UnknownPrefix,
    /// What follows the prefix is no address of its kind.
    Malformed,
}

impl Addr {
    /// Parses `ip:<IPv4>`, `ip:<IPv6>[%<interface>]` or `gid:<GID>`.
    ///
    /// The parts of an IPv4 address are decimal without leading zeroes.
    pub fn parse(text: &[u8]) -> Result<Self, AddrError> {
        let parsed = if let Some(rest) = text.strip_prefix(b"ip:") {
            parse_ip(rest)
        } else if let Some(rest) = text.strip_prefix(b"gid:") {
            parse_v6(rest).map(Self::Gid)
        } else {
            return Err(AddrError::UnknownPrefix);
        };
        parsed.ok_or(AddrError::Malformed)
    }
}

fn parse_ip(text: &[u8]) -> Option<Addr> {
    if let Ok(addr) = str::from_utf8(text).ok()?.parse::<Ipv4Addr>() {
        return Some(Addr::V4(addr.octets()));
    }
    let (addr, scope) = match split(text, b'%') {
        Some((addr, scope)) => (addr, Some(Scope::new(scope)?)),
        None => (text, None),
    };
    parse_v6(addr).map(|addr| Addr::V6 { addr, scope })
}

fn parse_v6(text: &[u8]) -> Option<[u8; 16]> {
    let addr: Ipv6Addr = str::from_utf8(text).ok()?.parse().ok()?;
    Some(addr.octets())
}

/// Splits at the first `separator`, which belongs to neither part.
fn split(text: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|byte| *byte == separator)?;
    let (front, rest) = text.split_at_checked(at)?;
    let (_, back) = rest.split_first()?;
    Some((front, back))
}

/// Writes an address as sysfs shows it: IPv6 compressed and without its scope, a GID as
/// eight groups of four digits.
impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(addr) => write!(f, "ip:{}", Ipv4Addr::from(*addr)),
            Self::V6 { addr, .. } => write!(f, "ip:{}", Ipv6Addr::from(*addr)),
            Self::Gid(gid) => {
                f.write_str("gid")?;
                for group in Ipv6Addr::from(*gid).segments() {
                    write!(f, ":{group:04x}")?;
                }
                Ok(())
            }
        }
    }
}

/// A path as an administrator asks for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathSpec {
    /// Where to connect from; none leaves the choice to routing.
    pub src: Option<Addr>,
    /// Where to connect to.
    pub dst: Addr,
}

/// Why a text is not a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PathError {
    /// The source is no address.
    Source(AddrError),
    /// The destination is no address.
    Destination(AddrError),
}

impl PathError {
    /// The negative errno for the administrator. Only the destination's prefix has a
    /// number of its own.
    pub const fn errno(self) -> i32 {
        match self {
            Self::Destination(AddrError::UnknownPrefix) => -EPROTONOSUPPORT,
            Self::Destination(AddrError::Malformed) | Self::Source(_) => -EINVAL,
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (which, error) = match self {
            Self::Source(error) => ("source", error),
            Self::Destination(error) => ("destination", error),
        };
        let what = match error {
            AddrError::UnknownPrefix => "address must start with ip: or gid:",
            AddrError::Malformed => "address is malformed",
        };
        write!(f, "{which} {what}")
    }
}

impl PathSpec {
    /// Parses `[src,]dst` or `[src@]dst`. A comma is looked for first; a single address
    /// is the destination.
    pub fn parse(text: &[u8]) -> Result<Self, PathError> {
        let (src, dst) = match split(text, b',').or_else(|| split(text, b'@')) {
            Some((src, dst)) => (Some(src), dst),
            None => (None, text),
        };
        let src = src
            .map(Addr::parse)
            .transpose()
            .map_err(PathError::Source)?;
        let dst = Addr::parse(dst).map_err(PathError::Destination)?;
        Ok(Self { src, dst })
    }
}

/// The name of a path's directory in sysfs: `<src>@<dst>`.
///
/// On both sides the source is the client and the destination is the server.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PathName {
    /// The address of the client.
    pub src: Addr,
    /// The address of the server.
    pub dst: Addr,
}

impl fmt::Display for PathName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.src, self.dst)
    }
}
