// SPDX-License-Identifier: GPL-2.0

//! The connect request: 56 bytes of private data with which a client asks for one
//! connection of a path (spec: rtrs 2.2, 3.4 rows 1 to 5).
//!
//! The client builds it once per connection; the server parses it before it looks at
//! anything else. It must never be answered with anything but a reject when it does not
//! parse.

use core::fmt;

use crate::errno::ECONNRESET;
use crate::features::Features;
use crate::limits::{
    CONNECT_MSG_LEN,
    MAGIC,
    MAX_CONNECTIONS,
    VERSION,
    VERSION_MAJOR, //
};
use crate::wire::{
    Reader,
    Writer, //
};

/// Bit of the flag byte that allows the server to create the session. A C peer on a
/// big-endian machine has it at the other end of the byte; the protocol is this one.
const FIRST_CONN: u8 = 0x01;

/// Sixteen random bytes that name a session or a path. They are never swapped.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Uuid(pub [u8; 16]);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// A well-formed connect request.
///
/// # Invariants
///
/// `cid < cid_num <= MAX_CONNECTIONS`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectRequest {
    cid: u16,
    cid_num: u16,
    recon_cnt: u16,
    path: Uuid,
    session: Uuid,
    first_conn: bool,
    features: Features,
}

/// Why private data is not a connect request of this protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConnectError {
    /// Fewer bytes than the message has.
    Short,
    /// Another magic number: not our protocol.
    Magic,
    /// Another major version, given here.
    Version(u8),
    /// More connections than a path may have.
    ConnectionCount(u16),
    /// The connection id is not below the number of connections.
    ConnectionId(u16),
}

impl ConnectError {
    /// The negative errno of the reject; existing clients expect this one for all.
    pub const fn errno(self) -> i32 {
        -ECONNRESET
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Short => f.write_str("private data too short"),
            Self::Magic => f.write_str("wrong magic number"),
            Self::Version(major) => {
                write!(f, "protocol version {major} instead of {VERSION_MAJOR}")
            }
            Self::ConnectionCount(count) => write!(f, "{count} connections are too many"),
            Self::ConnectionId(cid) => write!(f, "connection id {cid} out of range"),
        }
    }
}

impl ConnectRequest {
    /// A request for connection `cid` of the `cid_num` connections of `path`.
    ///
    /// `recon_cnt` counts the attempts, starting at 1; `first_conn` allows the server to
    /// create the session. Fails as parsing would.
    pub fn new(
        cid: u16,
        cid_num: u16,
        recon_cnt: u16,
        path: Uuid,
        session: Uuid,
        first_conn: bool,
    ) -> Result<Self, ConnectError> {
        if cid_num > MAX_CONNECTIONS {
            return Err(ConnectError::ConnectionCount(cid_num));
        }
        // Covers `cid_num` 0 too.
        if cid >= cid_num {
            return Err(ConnectError::ConnectionId(cid));
        }
        // INVARIANT: Both conditions were checked above.
        Ok(Self {
            cid,
            cid_num,
            recon_cnt,
            path,
            session,
            first_conn,
            features: Features::NONE,
        })
    }

    /// The same request, offering `features`: the same ones for every connection of every
    /// path of a session.
    pub const fn offer(self, features: Features) -> Self {
        Self { features, ..self }
    }

    /// Parses private data of at least 56 bytes; the connection manager pads it.
    ///
    /// Reserved bytes and the minor version are ignored.
    pub fn parse(private_data: &[u8]) -> Result<Self, ConnectError> {
        let Some(message) = private_data.first_chunk::<CONNECT_MSG_LEN>() else {
            return Err(ConnectError::Short);
        };
        Self::parse_message(message)
    }

    fn parse_message(message: &[u8; CONNECT_MSG_LEN]) -> Result<Self, ConnectError> {
        let fields = &mut Reader::new(message);
        let short = ConnectError::Short;
        // Two bytes that belong to the connection manager.
        fields.u16().ok_or(short)?;
        if fields.u16().ok_or(short)? != MAGIC {
            return Err(ConnectError::Magic);
        }
        let [_minor, major] = fields.array().ok_or(short)?;
        if major != VERSION_MAJOR {
            return Err(ConnectError::Version(major));
        }
        let cid = fields.u16().ok_or(short)?;
        let cid_num = fields.u16().ok_or(short)?;
        let recon_cnt = fields.u16().ok_or(short)?;
        let path = Uuid(fields.array().ok_or(short)?);
        let session = Uuid(fields.array().ok_or(short)?);
        let first_conn = fields.u8().ok_or(short)? & FIRST_CONN != 0;
        let version = fields.u8().ok_or(short)?;
        let bits = fields.u16().ok_or(short)?;
        let request = Self::new(cid, cid_num, recon_cnt, path, session, first_conn)?;
        Ok(request.offer(Features::from_wire(version, bits)))
    }

    /// The private data to send.
    pub fn to_bytes(&self) -> [u8; CONNECT_MSG_LEN] {
        Writer::new()
            .skip(2)
            .u16(MAGIC)
            .u16(VERSION)
            .u16(self.cid)
            .u16(self.cid_num)
            .u16(self.recon_cnt)
            .put(&self.path.0)
            .put(&self.session.0)
            .u8(if self.first_conn { FIRST_CONN } else { 0 })
            .u8(self.features.version())
            .u16(self.features.bits())
            .finish()
    }

    /// The id of the connection asked for, below [`Self::cid_num`].
    pub const fn cid(&self) -> u16 {
        self.cid
    }

    /// How many connections the path will have, 1 to 4096.
    pub const fn cid_num(&self) -> u16 {
        self.cid_num
    }

    /// Which attempt this is, 1 for the first; the low 16 bits of the counter.
    pub const fn recon_cnt(&self) -> u16 {
        self.recon_cnt
    }

    /// The path that the connection belongs to.
    pub const fn path(&self) -> Uuid {
        self.path
    }

    /// The session that the path belongs to.
    pub const fn session(&self) -> Uuid {
        self.session
    }

    /// Whether the server may create the session if it does not know it.
    pub const fn first_conn(&self) -> bool {
        self.first_conn
    }

    /// What the client can do beyond the C implementation.
    pub const fn features(&self) -> Features {
        self.features
    }
}
