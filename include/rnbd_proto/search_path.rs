// SPDX-License-Identifier: GPL-2.0

//! From the name of a device to a path on the server (spec: rnbd 4.3, weak point S21).
//!
//! The administrator sets a search path that may hold `%SESSNAME%` any number of times,
//! anywhere; the client's name goes below it. No byte that the client sends may lead out
//! of the search path by its spelling. Symlinks below it are the administrator's.

use core::ffi::CStr;

use crate::device_name::DeviceName;
use crate::errno::EINVAL;

/// Bytes of the longest path and its terminator.
pub const PATH_BUF_LEN: usize = 4096;

/// What stands for the name of the session.
const PLACEHOLDER: &[u8] = b"%SESSNAME%";

/// Why there is no path for a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SearchPathError {
    /// The name of the device has two dots in a row.
    DotDot,
    /// The path would be too long.
    TooLong,
}

impl SearchPathError {
    /// The negative errno to answer with.
    pub const fn errno(self) -> i32 {
        -EINVAL
    }
}

/// A search path as the administrator wrote it.
#[derive(Clone, Copy, Debug)]
pub struct SearchPath<'a>(pub &'a [u8]);

impl SearchPath<'_> {
    /// Puts together the path of `device` for a session of this name in `buf`, with runs
    /// of slashes made one.
    ///
    /// The session name must be a checked one, without slashes and dots.
    pub fn resolve<'b>(
        &self,
        session: &[u8],
        device: &DeviceName,
        buf: &'b mut [u8; PATH_BUF_LEN],
    ) -> Result<&'b CStr, SearchPathError> {
        if device.as_bytes().windows(2).any(|pair| pair == b"..") {
            return Err(SearchPathError::DotDot);
        }
        let mut path = Path { buf, len: 0 };
        let mut rest = self.0;
        while let Some((byte, tail)) = rest.split_first() {
            rest = match rest.strip_prefix(PLACEHOLDER) {
                Some(tail) => {
                    path.append(session)?;
                    tail
                }
                None => {
                    path.push(*byte)?;
                    tail
                }
            };
        }
        path.push(b'/')?;
        path.append(device.as_bytes())?;
        path.finish()
    }
}

/// A path that grows in a buffer and never has two slashes in a row.
struct Path<'b> {
    buf: &'b mut [u8; PATH_BUF_LEN],
    len: usize,
}

impl<'b> Path<'b> {
    fn push(&mut self, byte: u8) -> Result<(), SearchPathError> {
        let last = self.len.checked_sub(1).and_then(|at| self.buf.get(at));
        if byte == b'/' && last == Some(&b'/') {
            return Ok(());
        }
        let slot = self.buf.get_mut(self.len).ok_or(SearchPathError::TooLong)?;
        *slot = byte;
        self.len = self.len.saturating_add(1);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), SearchPathError> {
        bytes.iter().try_for_each(|byte| self.push(*byte))
    }

    fn finish(mut self) -> Result<&'b CStr, SearchPathError> {
        self.push(0)?;
        CStr::from_bytes_until_nul(self.buf).map_err(|_| SearchPathError::TooLong)
    }
}
