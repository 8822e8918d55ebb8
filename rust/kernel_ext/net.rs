// SPDX-License-Identifier: GPL-2.0

//! Socket addresses of the connection manager, as plain Rust values, and the network namespaces in
//! which they mean something.
//!
//! Used by everybody who connects, listens or compares peers. A value of [`SockAddr`] is an IPv4,
//! IPv6 or InfiniBand (GID) address with a port; the C structures exist only while a call into the
//! connection manager runs. Nothing here may resolve or look up anything but an interface index.

use core::{
    fmt,
    mem::size_of,
    net::{
        Ipv4Addr,
        Ipv6Addr, //
    },
    ptr::NonNull, //
};
use kernel::{
    bindings as k,
    prelude::*, //
};
use rdma_bindings as c;

/// `AF_INET`.
const AF_INET: u16 = 2;
/// `AF_INET6`.
const AF_INET6: u16 = 10;
/// `AF_IB`.
const AF_IB: u16 = 27;
/// Service ids of the RDMA port space "IB" (`RDMA_IB_IP_PS_IB`, rtrs.md 3.1); the low 16 bits are
/// the port.
const SERVICE_IB: u64 = 0x0000_0000_013f_0000;
/// The default partition with full membership.
const PKEY_DEFAULT: u16 = 0xffff;

/// Address family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
    /// InfiniBand, addressed by GID.
    Ib,
    /// None of these.
    Other,
}

/// An address with a port.
///
/// Equality compares family, address, scope and port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SockAddr {
    family: Family,
    /// The first four bytes for IPv4, all for IPv6 and GIDs; zero beyond.
    addr: [u8; 16],
    port: u16,
    /// Interface index of a link-local IPv6 address; 0 otherwise.
    scope: u32,
}

impl SockAddr {
    /// An IPv4 address, bytes in network order.
    pub const fn v4(addr: [u8; 4], port: u16) -> Self {
        let [a, b, c, d] = addr;
        Self {
            family: Family::V4,
            addr: [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            port,
            scope: 0,
        }
    }

    /// An IPv6 address, bytes in network order; `scope_id` is the interface index of a link-local
    /// address, or 0.
    pub const fn v6(addr: [u8; 16], port: u16, scope_id: u32) -> Self {
        Self {
            family: Family::V6,
            addr,
            port,
            scope: scope_id,
        }
    }

    /// A GID, bytes in network order. The port becomes the service id 0x013F0000 | port.
    pub const fn gid(addr: [u8; 16], port: u16) -> Self {
        Self {
            family: Family::Ib,
            addr,
            port,
            scope: 0,
        }
    }

    /// The IPv6 wildcard; a listener bound to it also receives IPv4.
    pub const fn any_v6(port: u16) -> Self {
        Self::v6([0; 16], port, 0)
    }

    /// The InfiniBand wildcard.
    pub const fn any_ib(port: u16) -> Self {
        Self::gid([0; 16], port)
    }

    /// No address at all.
    pub const fn unspecified() -> Self {
        Self {
            family: Family::Other,
            addr: [0; 16],
            port: 0,
            scope: 0,
        }
    }

    /// The family.
    pub const fn family(&self) -> Family {
        self.family
    }

    /// The port; 0 if there is none.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The same address with another port.
    #[must_use]
    pub const fn with_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Whether both name the same host: family first, then the address; the port does not count.
    ///
    /// Two unspecified addresses are not the same host.
    pub fn same_host(&self, other: &Self) -> bool {
        self.family != Family::Other
            && self.family == other.family
            && self.addr == other.addr
            && self.scope == other.scope
    }

    /// The address in network order: the first four bytes for IPv4, all for IPv6 and GIDs.
    pub const fn octets(&self) -> [u8; 16] {
        self.addr
    }

    /// The first four bytes.
    fn v4_bytes(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.addr;
        [a, b, c, d]
    }

    /// Writes the address as the C code wants it.
    pub(crate) fn to_storage(self) -> k::__kernel_sockaddr_storage {
        let mut storage: k::__kernel_sockaddr_storage = pin_init::zeroed();
        let raw = &raw mut storage;
        // SAFETY:
        // - A `sockaddr_storage` is larger than each of the three structures and aligned to a
        //   pointer, which is enough for all of them (checked below).
        // - The storage is ours and not borrowed while it is written.
        unsafe {
            match self.family {
                Family::V4 => raw.cast::<c::sockaddr_in>().write(c::sockaddr_in {
                    sin_family: AF_INET,
                    sin_port: self.port.to_be(),
                    sin_addr: c::in_addr {
                        s_addr: u32::from_ne_bytes(self.v4_bytes()),
                    },
                    __pad: [0; 8],
                }),
                Family::V6 => {
                    let mut v6: k::sockaddr_in6 = pin_init::zeroed();
                    v6.sin6_family = AF_INET6;
                    v6.sin6_port = self.port.to_be();
                    v6.sin6_scope_id = self.scope;
                    (&raw mut v6.sin6_addr).cast::<[u8; 16]>().write(self.addr);
                    raw.cast::<k::sockaddr_in6>().write(v6);
                }
                Family::Ib => {
                    let ib = raw.cast::<c::sockaddr_ib>();
                    (*ib).sib_family = AF_IB;
                    (*ib).sib_pkey = PKEY_DEFAULT.to_be();
                    (*ib).sib_sid = (SERVICE_IB | u64::from(self.port)).to_be();
                    (*ib).sib_sid_mask = u64::MAX;
                    (&raw mut (*ib).sib_addr)
                        .cast::<[u8; 16]>()
                        .write(self.addr);
                }
                Family::Other => {}
            }
        }
        storage
    }

    /// Reads an address the C code filled in; unknown families become
    /// [`unspecified`](Self::unspecified).
    pub(crate) fn from_storage(storage: &k::__kernel_sockaddr_storage) -> Self {
        let raw: *const k::__kernel_sockaddr_storage = storage;
        // SAFETY:
        // - Every address structure starts with its 16-bit family.
        // - The storage is larger than each of the structures and suitably aligned (checked
        //   below), and all of them are plain data.
        unsafe {
            match raw.cast::<u16>().read() {
                AF_INET => {
                    let v4 = &*raw.cast::<c::sockaddr_in>();
                    Self::v4(v4.sin_addr.s_addr.to_ne_bytes(), u16::from_be(v4.sin_port))
                }
                AF_INET6 => {
                    let v6 = raw.cast::<k::sockaddr_in6>();
                    let addr = (&raw const (*v6).sin6_addr).cast::<[u8; 16]>().read();
                    Self::v6(addr, u16::from_be((*v6).sin6_port), (*v6).sin6_scope_id)
                }
                AF_IB => {
                    let ib = raw.cast::<c::sockaddr_ib>();
                    let addr = (&raw const (*ib).sib_addr).cast::<[u8; 16]>().read();
                    let [.., high, low] = (*ib).sib_sid.to_ne_bytes();
                    Self::gid(addr, u16::from_be_bytes([high, low]))
                }
                _ => Self::unspecified(),
            }
        }
    }
}

// What `to_storage` and `from_storage` rely on.
const _: () = {
    assert!(size_of::<c::sockaddr_in>() <= size_of::<k::__kernel_sockaddr_storage>());
    assert!(size_of::<k::sockaddr_in6>() <= size_of::<k::__kernel_sockaddr_storage>());
    assert!(size_of::<c::sockaddr_ib>() <= size_of::<k::__kernel_sockaddr_storage>());
    assert!(align_of::<c::sockaddr_in>() <= align_of::<k::__kernel_sockaddr_storage>());
    assert!(align_of::<k::sockaddr_in6>() <= align_of::<k::__kernel_sockaddr_storage>());
    assert!(align_of::<c::sockaddr_ib>() <= align_of::<k::__kernel_sockaddr_storage>());
};

impl fmt::Display for SockAddr {
    /// Prints `ip:1.2.3.4`, `ip:fe80::1` or `gid:fe80:0000:...:0001`, without the port.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.family {
            Family::V4 => {
                f.write_str("ip:")?;
                fmt::Display::fmt(&Ipv4Addr::from(self.v4_bytes()), f)
            }
            Family::V6 => {
                f.write_str("ip:")?;
                fmt::Display::fmt(&Ipv6Addr::from(self.addr), f)
            }
            Family::Ib => {
                f.write_str("gid")?;
                for pair in self.addr.chunks_exact(2) {
                    if let [high, low] = pair {
                        core::write!(f, ":{high:02x}{low:02x}")?;
                    }
                }
                Ok(())
            }
            Family::Other => f.write_str("unspecified"),
        }
    }
}

impl kernel::fmt::Display for SockAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A network namespace, and a reference that keeps it alive.
///
/// As long as it is kept, its interfaces stay, even when its last process and its last name are
/// gone; so whoever stores one has to say when it lets go. Giving it up is possible in any context:
/// the kernel takes a namespace down in a work item of its own.
///
/// # Invariants
///
/// `raw` is valid, and one of its counted references is ours.
pub struct Namespace {
    raw: NonNull<k::net>,
}

// SAFETY: a namespace is bound to no task, and its counter is atomic.
unsafe impl Send for Namespace {}
// SAFETY: a shared reference allows to read its number, which never changes, to look up interfaces
// under the kernel's own locks, and to take another counted reference.
unsafe impl Sync for Namespace {}

impl Namespace {
    /// The namespace of the process that runs, for instance that writes into a file or loads a
    /// module; the initial one for kernel threads. Process context.
    pub fn current() -> Self {
        // SAFETY: a task may look at its own namespaces at any time.
        let raw = unsafe { c::rdx_net_current() };
        // SAFETY: the helper answers a valid namespace with a reference for us.
        unsafe { Self::from_counted(raw) }
    }

    /// The namespace that the system has begun with.
    pub fn initial() -> Self {
        // SAFETY: the initial namespace is static; it counts references like all others.
        let raw = unsafe { c::rdx_net_get(c::rdx_net_initial()) };
        // SAFETY: As above.
        unsafe { Self::from_counted(raw) }
    }

    /// Takes over a reference.
    ///
    /// # Safety
    ///
    /// `raw` must be a valid namespace, and one of its counted references the caller's to give.
    unsafe fn from_counted(raw: *mut k::net) -> Self {
        // INVARIANT: what the caller promises.
        Self {
            // SAFETY: a valid namespace is not at address 0.
            raw: unsafe { NonNull::new_unchecked(raw) },
        }
    }

    /// The number by which user space knows it: what `stat -L -c %i /proc/self/ns/net` prints.
    pub fn number(&self) -> u32 {
        // SAFETY: the namespace is valid by the invariant.
        unsafe { c::rdx_net_number(self.as_ptr()) }
    }

    /// Whether it is the one that the system has begun with.
    pub fn is_initial(&self) -> bool {
        // SAFETY: the function only answers an address.
        self.as_ptr() == unsafe { c::rdx_net_initial() }
    }

    /// The index of a network interface in it, by name. Any context.
    pub fn ifindex(&self, name: &CStr) -> Option<u32> {
        // SAFETY: the namespace is valid by the invariant; the name is NUL terminated and lives for
        // the call.
        let index = unsafe { c::rdx_ifindex(self.as_ptr(), name.as_char_ptr()) };
        u32::try_from(index).ok().filter(|&index| index != 0)
    }

    /// For calls into the connection manager, which takes a reference of its own.
    pub(crate) fn as_ptr(&self) -> *mut k::net {
        self.raw.as_ptr()
    }
}

impl Clone for Namespace {
    fn clone(&self) -> Self {
        // SAFETY: the namespace is valid, as we have a reference.
        let raw = unsafe { c::rdx_net_get(self.as_ptr()) };
        // SAFETY: the helper has taken the reference for the new value.
        unsafe { Self::from_counted(raw) }
    }
}

impl PartialEq for Namespace {
    fn eq(&self, other: &Self) -> bool {
        self.raw == other.raw
    }
}

impl Eq for Namespace {}

impl Drop for Namespace {
    fn drop(&mut self) {
        // SAFETY: the reference is ours by the invariant, and nobody uses the value any more.
        unsafe { c::rdx_net_put(self.as_ptr()) }
    }
}
