// SPDX-License-Identifier: GPL-2.0

//! The name of the symlink by which a client's sysfs lists a mapped device
//! (spec: rnbd 5.2).

use core::ffi::CStr;

use crate::device_name::DeviceName;
use crate::limits::NAME_MAX;

/// Bytes of the longest name and its terminator.
pub const LINK_NAME_BUF_LEN: usize = NAME_MAX + 1 + NAME_MAX + 1;

/// `<device>@<session>`, with every slash of the device written as `!`.
#[derive(Clone, Copy, Debug)]
pub struct LinkName<'a> {
    /// The device on the server.
    pub device: &'a DeviceName,
    /// The name of the session; at most 254 bytes, none of them zero or a slash.
    pub session: &'a [u8],
}

impl<'a> LinkName<'a> {
    /// The bytes of the name, without a terminator. Two devices whose names differ in a
    /// slash and a `!` only have the same.
    pub fn bytes(self) -> impl Iterator<Item = u8> + 'a {
        let device = self.device.as_bytes().iter().map(|byte| match byte {
            b'/' => b'!',
            other => *other,
        });
        let session = self.session.iter().take(NAME_MAX).copied();
        device.chain([b'@']).chain(session)
    }

    /// The name as a C string in `buf`.
    pub fn to_c_str(self, buf: &mut [u8; LINK_NAME_BUF_LEN]) -> &CStr {
        buf.fill(0);
        // The zip stops in front of the last byte, which so terminates the string.
        let room = buf.iter_mut().take(LINK_NAME_BUF_LEN - 1);
        for (to, from) in room.zip(self.bytes()) {
            *to = from;
        }
        CStr::from_bytes_until_nul(buf).unwrap_or(c"")
    }
}
