// SPDX-License-Identifier: GPL-2.0

//! Every number of the protocol, with its unit.
//!
//! Sizes are bytes and times are milliseconds unless the text says otherwise. Values that
//! travel, or that a peer relies upon, must never change; the timing values are our own
//! side's behaviour and equal what existing peers do.

/// First word of the private data of every connect message.
pub const MAGIC: u16 = 0x1BBD;
/// Major protocol version; a peer with another one is refused.
pub const VERSION_MAJOR: u8 = 2;
/// Minor protocol version; sent, never compared.
pub const VERSION_MINOR: u8 = 0;
/// The version word as it travels: the major number in the upper byte.
pub const VERSION: u16 = u16::from_be_bytes([VERSION_MAJOR, VERSION_MINOR]);

/// Bytes of private data in a connect request, and in the answer to it.
pub const CONNECT_MSG_LEN: usize = 56;
/// Bytes of an info request, and of the buffer that is posted for it.
pub const INFO_REQ_LEN: usize = 272;
/// Bytes of an info response before its descriptors.
pub const INFO_RSP_HEADER_LEN: usize = 8;
/// Bytes of one memory descriptor.
pub const DESCRIPTOR_LEN: usize = 16;
/// Bytes of the message that follows the user header of a WRITE.
pub const WRITE_MSG_LEN: usize = 4;
/// Bytes of the message that follows the user header of a READ without a buffer.
pub const READ_MSG_LEN: usize = 8;
/// Bytes of the longest request message: a READ with a buffer.
pub const REQUEST_MSG_MAX: usize = READ_MSG_LEN + DESCRIPTOR_LEN;
/// Bytes of the message that announces a new key for a chunk.
pub const RKEY_MSG_LEN: usize = 8;
/// Bytes of a fence.
pub const FENCE_MSG_LEN: usize = 24;

/// Type of an info request.
pub const MSG_INFO_REQ: u16 = 0;
/// Type of an info response.
pub const MSG_INFO_RSP: u16 = 1;
/// Type of a WRITE request.
pub const MSG_WRITE: u16 = 2;
/// Type of a READ request.
pub const MSG_READ: u16 = 3;
/// Type of the message that announces a new key for a chunk.
pub const MSG_RKEY_RSP: u16 = 4;
/// Type of a fence; an extension, far from the numbers that the C implementation uses.
pub const MSG_FENCE: u16 = 16;
/// Version of the extensions, in connect requests and replies that speak of any.
pub const EXT_VERSION: u8 = 1;
/// Largest payload of a notice: 28 bits.
pub const NOTICE_MAX: u32 = (1 << IMM_PAYLOAD_BITS) - 1;
/// Flag of a READ request: the server shall invalidate the client's key.
pub const READ_NEED_INVAL: u16 = 0x1;
/// Flag of a connect reply: every answer brings a new key for its chunk.
pub const REPLY_NEW_RKEY: u32 = 0x2;

/// Most paths of one session.
pub const MAX_PATHS: usize = 128;
/// Most connections of one path.
pub const MAX_CONNECTIONS: u16 = 4096;
/// Most chunks of one session: the number is 16 bits wide on the wire.
pub const MAX_QUEUE_DEPTH: u32 = 65535;
/// Smallest chunk.
pub const MIN_CHUNK_SIZE: u32 = 8192;
/// Chunk size of a server that was not told another one.
pub const DEFAULT_MAX_CHUNK_SIZE: u32 = 131_072;
/// Number of chunks of a server that was not told another one.
pub const DEFAULT_SESS_QUEUE_DEPTH: u32 = 512;
/// Smallest header area of a chunk that a client accepts.
pub const MIN_HDR_SIZE: u32 = 64;
/// Largest header area of a chunk that a client accepts: one page of any server.
pub const MAX_HDR_SIZE: u32 = 65536;
/// Most segments of one request of a client.
pub const MAX_SEGMENTS: u32 = 128;
/// Most bytes of a session name, without the terminator.
pub const NAME_MAX: usize = 254;
/// Bytes of a name field on the wire: the name and at least one zero byte.
pub const NAME_FIELD_LEN: usize = NAME_MAX + 1;

/// Bits of an immediate that hold its type.
pub const IMM_TYPE_BITS: u32 = 4;
/// Bits of an immediate that hold its payload.
pub const IMM_PAYLOAD_BITS: u32 = 28;
/// Bits of a response that hold the message id.
pub const RSP_ID_BITS: u32 = 19;
/// Largest error number that a response can hold.
pub const RSP_ERRNO_MAX: u16 = 511;

/// Depth of connection 0, which carries the info exchange and the heartbeats.
pub const SERVICE_QUEUE_DEPTH: u32 = 512;
/// Work requests of either queue of connection 0, if the device has room for them.
pub const SERVICE_QUEUE_WRS: u32 = 2 * SERVICE_QUEUE_DEPTH + 2;
/// Retries of the transport, in the connect request.
pub const RETRY_COUNT: u8 = 7;
/// Retries while the peer has no receive posted; this value means without end.
pub const RNR_RETRY_COUNT: u8 = 7;
/// Connect requests that may wait for a listener.
pub const LISTEN_BACKLOG: i32 = 64;
/// Reason code of a reject that carries our private data: consumer defined.
pub const REJECT_REASON: u8 = 28;
/// Service id of a listener for GID addresses, to be combined with the port.
pub const IB_SERVICE_ID: u64 = 0x013F_0000;
/// Partition key of a listener for GID addresses.
pub const IB_PKEY: u16 = 0xffff;

/// Interval of the heartbeat.
pub const HEARTBEAT_INTERVAL_MS: u32 = 5000;
/// A peer that missed more heartbeats than this is dead.
pub const HEARTBEAT_MISSED_MAX: u32 = 5;
/// Time limit of each address and each route resolution.
pub const RESOLVE_TIMEOUT_MS: u32 = 30_000;
/// Time limit of one connection, resolution included.
pub const CONNECT_TIMEOUT_MS: u32 = 30_000;
/// Time limit of the info exchange.
pub const INFO_TIMEOUT_MS: u32 = 30_000;
/// Time to wait for the peer's part of a disconnect.
pub const DISCONNECT_TIMEOUT_MS: u32 = 30_000;
/// Age at which a server gives up a path that is not connected completely.
pub const HALF_OPEN_TIMEOUT_MS: u32 = 30_000;
/// Pause in front of every reconnect attempt, unless an administrator sets another.
pub const RECONNECT_BACKOFF_MS: u32 = 1000;
/// The random part of a reconnect delay is smaller than this, unless an administrator sets
/// another: the 8 s that C means, where it takes milliseconds (spec: rtrs 6.2).
pub const RECONNECT_JITTER_MS: u32 = 8000;
/// Upper bound of the reconnect attempts that an administrator may set.
pub const MAX_RECONNECT_ATTEMPTS: i32 = 9999;
