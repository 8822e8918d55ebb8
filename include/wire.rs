// SPDX-License-Identifier: GPL-2.0

//! Little-endian bytes in and out, without a way to panic.
//!
//! Both protocol crates compile this file as a private module. A [`Reader`] answers
//! `None` at the end of its bytes, so a message is parsed by a chain of `?`; a
//! [`Writer`] fills an array that starts as zeroes, so whatever a builder skips is a
//! reserved field that is sent as zero. Neither of them knows any message.

/// Takes fields off the front of a byte slice.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first of `bytes`.
    #[inline]
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `N` bytes.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(*head)
    }

    /// The next byte.
    #[inline]
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// The next 16-bit field.
    #[inline]
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// The next 32-bit field.
    #[inline]
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// The next 64-bit field.
    #[inline]
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Puts fields behind one another into an array of `N` zeroes.
pub(crate) struct Writer<const N: usize> {
    bytes: [u8; N],
    at: usize,
}

impl<const N: usize> Writer<N> {
    /// Starts at the first byte.
    #[inline]
    pub(crate) fn new() -> Self {
        Self {
            bytes: [0; N],
            at: 0,
        }
    }

    /// Appends `field`. What does not fit is dropped: the sizes are constants, and the
    /// golden bytes of the tests are what shows that they are right.
    #[inline]
    pub(crate) fn put(mut self, field: &[u8]) -> Self {
        let room = self.bytes.iter_mut().skip(self.at);
        for (to, from) in room.zip(field) {
            *to = *from;
        }
        self.skip(field.len())
    }

    /// Leaves `count` bytes zero.
    #[inline]
    pub(crate) fn skip(mut self, count: usize) -> Self {
        self.at = self.at.saturating_add(count);
        self
    }

    /// Appends one byte.
    #[inline]
    pub(crate) fn u8(self, value: u8) -> Self {
        self.put(&[value])
    }

    /// Appends a 16-bit field.
    #[inline]
    pub(crate) fn u16(self, value: u16) -> Self {
        self.put(&value.to_le_bytes())
    }

    /// Appends a 32-bit field.
    #[inline]
    pub(crate) fn u32(self, value: u32) -> Self {
        self.put(&value.to_le_bytes())
    }

    /// Appends a 64-bit field.
    #[inline]
    pub(crate) fn u64(self, value: u64) -> Self {
        self.put(&value.to_le_bytes())
    }

    /// The finished message.
    #[inline]
    pub(crate) fn finish(self) -> [u8; N] {
        self.bytes
    }
}
