// SPDX-License-Identifier: GPL-2.0

//! From the addresses that administrators write to those that the connection manager
//! takes, and back to the names of path directories (spec: rtrs 3.1, 7).
//!
//! Parsing is the protocol crate's; here the text of an IPv6 scope becomes the number of
//! an interface, which needs a kernel. Control path only.

use kernel::{
    prelude::*,
    str::CString, //
};
use kernel_ext::net::{
    Family,
    Namespace,
    SockAddr, //
};
use rtrs_proto::{
    Addr,
    PathSpec,
    Scope, //
};

/// The two ends of a path: a source, if one was asked for, and a destination.
pub type Endpoints = (Option<SockAddr>, SockAddr);

/// The socket address of `addr` with `port`.
///
/// Fails with `ENODEV` if the interface of a link-local address does not exist in `net`.
pub fn sock_addr(net: &Namespace, addr: &Addr, port: u16) -> Result<SockAddr> {
    Ok(match addr {
        Addr::V4(addr) => SockAddr::v4(*addr, port),
        Addr::V6 { addr, scope } => {
            let scope = scope
                .as_ref()
                .map_or(Ok(0), |scope| interface(net, scope))?;
            SockAddr::v6(*addr, port, scope)
        }
        Addr::Gid(gid) => SockAddr::gid(*gid, port),
    })
}

/// The address of `addr` without port and scope; none for an unknown family.
pub fn bare(addr: &SockAddr) -> Option<Addr> {
    let octets = addr.octets();
    match addr.family() {
        Family::V4 => octets.first_chunk().copied().map(Addr::V4),
        Family::V6 => Some(Addr::V6 {
            addr: octets,
            scope: None,
        }),
        Family::Ib => Some(Addr::Gid(octets)),
        Family::Other => None,
    }
}

/// The number of the interface that a scope names, by number or by name.
fn interface(net: &Namespace, scope: &Scope) -> Result<u32> {
    if let Some(index) = scope.index() {
        return Ok(index);
    }
    // A scope has at most 15 bytes and no NUL, so the terminator always fits.
    let mut name = [0u8; 16];
    let bytes = scope.as_bytes();
    name.get_mut(..bytes.len())
        .ok_or(EINVAL)?
        .copy_from_slice(bytes);
    let name = CStr::from_bytes_until_nul(&name).map_err(|_| EINVAL)?;
    net.ifindex(name).ok_or(ENODEV)
}

/// The socket addresses of a path in `net`: the destination with `port`, the source with none.
///
/// Fails as [`sock_addr`] does.
pub fn endpoints(net: &Namespace, spec: &PathSpec, port: u16) -> Result<Endpoints> {
    let src = match &spec.src {
        Some(src) => Some(sock_addr(net, src, 0)?),
        None => None,
    };
    Ok((src, sock_addr(net, &spec.dst, port)?))
}

/// The name of the directory of a path: `<client>@<server>`, the same on both sides.
///
/// The source is the real one, known when the connection is up. Allocates.
pub fn path_name(client: &SockAddr, server: &SockAddr) -> Result<CString> {
    CString::try_from_fmt(fmt!("{client}@{server}"))
}
