// SPDX-License-Identifier: GPL-2.0

//! Every number of the protocol, with its unit (spec: rnbd 2).

/// The major version we speak. Only this one travels.
pub const VERSION_MAJOR: u8 = 2;
/// The minor version, which is documentation.
pub const VERSION_MINOR: u8 = 2;
/// First major version whose IO messages have a priority.
pub const VERSION_WITH_PRIORITY: u8 = 2;

/// Port that servers listen on unless told otherwise.
pub const DEFAULT_PORT: u16 = 1234;

/// Type of the message that starts a session.
pub const MSG_SESS_INFO: u16 = 0;
/// Type of the answer to it.
pub const MSG_SESS_INFO_RSP: u16 = 1;
/// Type of the message that opens a device.
pub const MSG_OPEN: u16 = 2;
/// Type of the answer to it.
pub const MSG_OPEN_RSP: u16 = 3;
/// Type of the message that asks for an operation on a device.
pub const MSG_IO: u16 = 4;
/// Type of the message that closes a device.
pub const MSG_CLOSE: u16 = 5;

/// Bytes of the message that starts a session, and of the answer.
pub const SESS_INFO_LEN: usize = 36;
/// Bytes of the message that opens a device.
pub const OPEN_LEN: usize = 264;
/// Bytes of the answer to it.
pub const OPEN_RSP_LEN: usize = 56;
/// Bytes of the answer with its extension, if both sides have agreed on extensions.
pub const OPEN_RSP_EXT_LEN: usize = 256;
/// Version of the extensions of OPEN and its answer; 0 stands for none.
pub const EXT_VERSION: u8 = 1;
/// Most characters of the identity of a device.
pub const IDENTITY_MAX: usize = 127;
/// The largest device id that a notice of the transport can carry.
pub const MAX_NOTICE_ID: u32 = (1 << 28) - 1;
/// Bytes of the message that closes a device.
pub const CLOSE_LEN: usize = 8;
/// Bytes of an IO message as we send it, with its padding.
pub const IO_LEN: usize = 32;
/// Bytes of the shortest IO message: without priority and padding.
pub const IO_MIN_LEN: usize = 24;
/// Bytes that a server must copy to have every message completely.
pub const MSG_MAX_LEN: usize = OPEN_LEN;

/// Most bytes of the name of a device, without the terminator.
pub const NAME_MAX: usize = 254;
/// Bytes of a name field on the wire: the name and at least one zero byte.
pub const NAME_FIELD_LEN: usize = NAME_MAX + 1;

/// Bytes of a sector, the unit of all positions and most sizes.
pub const SECTOR_SIZE: u32 = 512;
/// Most sectors of a device: its bytes must fit into a signed 64-bit number.
pub const MAX_SECTORS: u64 = (i64::MAX as u64) >> 9;

/// Most `path=` options of one mapping.
pub const MAX_MAP_PATHS: usize = 6;
/// Devices that a client can have at the same time.
pub const MAX_DEVICES: u32 = 16384;
/// Minor numbers of one device, for itself and its partitions.
pub const MINORS_PER_DEVICE: u32 = 64;

/// The version that both sides will use, if the peer can do up to `peer`.
///
/// No value is refused.
pub const fn negotiate(peer: u8) -> u8 {
    if peer < VERSION_MAJOR {
        peer
    } else {
        VERSION_MAJOR
    }
}
