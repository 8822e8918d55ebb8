// SPDX-License-Identifier: GPL-2.0

//! The text that an administrator writes to map a device (spec: rnbd 3.1, 3.2).
//!
//! Words are separated by spaces and nothing else; each is an option. There is no
//! quoting. The last of equal options wins, except `path=`, which accumulates. Addresses
//! belong to the transport and are handed over as text, each with the port in force at
//! its place; the caller parses all of them even if it will not use them.
//!
//! Three more options are those of IBNBD, the predecessor: `server=` is a path that also
//! names the session if nothing else does, `io_mode=` is asked of servers that know it,
//! and `input_mode=` may say what is so anyway.

use core::fmt;

use crate::access::AccessMode;
use crate::device_name::DeviceName;
use crate::errno::{
    EINVAL,
    ENOMEM,
    ENXIO, //
};
use crate::io_mode::IoMode;
use crate::limits::{
    DEFAULT_PORT,
    MAX_MAP_PATHS,
    NAME_MAX, //
};
use crate::number::magnitude;

/// What reading the file shows, in front of the name of the file.
pub const USAGE_HEAD: &str = "Usage: echo \"[dest_port=server port number] \
    sessname=<name of the rtrs session> path=<[srcaddr@]dstaddr> [path=<[srcaddr@]dstaddr>] \
    device_path=<full path on remote side> [access_mode=<ro|rw|migration>] \
    [nr_poll_queues=<number of queues>]\" > ";
/// What reading the file shows, behind the name of the file.
pub const USAGE_TAIL: &str = "\n\naddr ::= [ ip:<ipv4> | ip:<ipv6> | gid:<gid> ]\n";

/// Everything that one write asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MapOptions<'a> {
    /// The session to use or to create, 1 to 254 bytes. Not checked any further: only a
    /// name that is new must obey the rules of the transport. Empty if `server` names it;
    /// see [`Self::session_name`].
    pub sessname: &'a [u8],
    /// The last `server=`, which is also among the paths.
    pub server: Option<&'a [u8]>,
    /// The device on the server.
    pub device_path: DeviceName,
    /// The texts of the paths in their order, each with the port to use for it.
    pub paths: [Option<(&'a [u8], u16)>; MAX_MAP_PATHS],
    /// The port for paths that are added later.
    pub dest_port: u16,
    /// What the mapping is for.
    pub access_mode: AccessMode,
    /// How the server shall do the IO; none leaves it to the server.
    pub io_mode: Option<IoMode>,
    /// How many extra queues are polled; -1 is already resolved.
    pub nr_poll_queues: u32,
}

/// Why nothing is mapped. Where there is a word in it, that is the one to blame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MapError<'a> {
    /// The word is no option, has no value, or a number in it is followed by something.
    Unknown(&'a [u8]),
    /// The name of the session or the device is longer than 255 bytes.
    NameTooLong(&'a [u8]),
    /// The port is not 0 to 65535.
    Port(&'a [u8]),
    /// The number of queues is not -1 to the number of processors.
    PollQueues(&'a [u8]),
    /// The access mode is none.
    AccessMode(&'a [u8]),
    /// The io mode is none.
    IoMode(&'a [u8]),
    /// The input mode is not the one there is.
    InputMode(&'a [u8]),
    /// There are more than six paths.
    TooManyPaths,
    /// There is no name of a session.
    NoSessname,
    /// There is no device.
    NoDevicePath,
    /// The session does not exist yet, and there is no path to create it with.
    NoPath,
}

impl MapError<'_> {
    /// The negative errno for the writer.
    pub const fn errno(self) -> i32 {
        match self {
            Self::TooManyPaths => -ENOMEM,
            Self::NoPath => -ENXIO,
            Self::Unknown(_)
            | Self::NameTooLong(_)
            | Self::Port(_)
            | Self::PollQueues(_)
            | Self::AccessMode(_)
            | Self::IoMode(_)
            | Self::InputMode(_)
            | Self::NoSessname
            | Self::NoDevicePath => -EINVAL,
        }
    }

    /// One line that tells what to do.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Unknown(_) => {
                "unknown option or bad value: known are sessname=, path=, device_path=, \
                 dest_port=, access_mode=, nr_poll_queues=, server=, io_mode= and input_mode="
            }
            Self::NameTooLong(_) => "a name is too long: use at most 254 characters",
            Self::Port(_) => "bad dest_port: use a number from 0 to 65535",
            Self::PollQueues(_) => {
                "bad nr_poll_queues: use -1 or a number up to the number of processors"
            }
            Self::AccessMode(_) => "bad access_mode: use ro, rw or migration",
            Self::IoMode(_) => "bad io_mode: use blockio or fileio",
            Self::InputMode(_) => {
                "bad input_mode: mq is the only one there is; rq went with the kernel's old request queues"
            }
            Self::TooManyPaths => "too many paths: give at most 6",
            Self::NoSessname => "no session name: add sessname=",
            Self::NoDevicePath => "no device: add device_path=",
            Self::NoPath => "the session does not exist yet: add path= to create it",
        }
    }

    /// The word to blame, if there is one.
    const fn word(&self) -> Option<&[u8]> {
        match self {
            Self::Unknown(word)
            | Self::NameTooLong(word)
            | Self::Port(word)
            | Self::PollQueues(word)
            | Self::AccessMode(word)
            | Self::IoMode(word)
            | Self::InputMode(word) => Some(word),
            Self::TooManyPaths | Self::NoSessname | Self::NoDevicePath | Self::NoPath => None,
        }
    }
}

/// Writes the message and, escaped, the word to blame.
impl fmt::Display for MapError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())?;
        match self.word() {
            Some(word) => write!(f, " (in \"{}\")", word.escape_ascii()),
            None => Ok(()),
        }
    }
}

impl<'a> MapOptions<'a> {
    /// Parses the text of one write on a machine with `nr_cpu_ids` processors.
    pub fn parse(text: &'a [u8], nr_cpu_ids: u32) -> Result<Self, MapError<'a>> {
        let mut sessname = None;
        let mut device_path = None;
        let mut paths = [None; MAX_MAP_PATHS];
        let mut dest_port = DEFAULT_PORT;
        let mut access_mode = AccessMode::Rw;
        let mut server = None;
        let mut io_mode = None;
        let mut nr_poll_queues = 0;

        let words = strip(text).split(|byte| *byte == b' ');
        for word in words.filter(|word| !word.is_empty()) {
            let option = Word::parse(word)?;
            if let Word::Server(address) = option {
                server = Some(address);
            }
            match option {
                Word::Sessname(name) => sessname = Some(name),
                Word::DevicePath(name) => device_path = Some(name),
                Word::Path(path) | Word::Server(path) => {
                    let free = paths.iter_mut().find(|slot| slot.is_none());
                    *free.ok_or(MapError::TooManyPaths)? = Some((path, dest_port));
                }
                Word::IoMode(mode) => io_mode = Some(mode),
                Word::InputMode => {}
                Word::DestPort(port) => dest_port = port,
                Word::AccessMode(mode) => access_mode = mode,
                Word::PollQueues(-1) => nr_poll_queues = nr_cpu_ids,
                Word::PollQueues(count) => match u32::try_from(count) {
                    Ok(count) if count <= nr_cpu_ids => nr_poll_queues = count,
                    _ => return Err(MapError::PollQueues(word)),
                },
            }
        }

        Ok(Self {
            sessname: match (sessname, server) {
                (Some(name), _) => name,
                (None, Some(_)) => &[],
                (None, None) => return Err(MapError::NoSessname),
            },
            server,
            // The cut value has neither a terminator nor too many bytes.
            device_path: device_path
                .and_then(|name| DeviceName::new(name).ok())
                .ok_or(MapError::NoDevicePath)?,
            paths,
            dest_port,
            access_mode,
            io_mode,
            nr_poll_queues,
        })
    }

    /// The name of the session: the one that is given, or else the address of the server
    /// with a `-` for every dot and slash, which such a name must not have.
    pub fn session_name<'b>(&self, buffer: &'b mut [u8; NAME_MAX]) -> &'b [u8] {
        let text = match self.server {
            Some(server) if self.sessname.is_empty() => server,
            _ => self.sessname,
        };
        let replace = self.sessname.is_empty();
        let len = text.len().min(NAME_MAX);
        for (to, from) in buffer.iter_mut().zip(text) {
            *to = match from {
                b'.' | b'/' if replace => b'-',
                other => *other,
            };
        }
        buffer.get(..len).unwrap_or_default()
    }

    /// The texts of the paths and their ports, in order.
    pub fn paths(&self) -> impl Iterator<Item = (&'a [u8], u16)> + '_ {
        self.paths.iter().copied().flatten()
    }

    /// To be asked when the session has to be created: that needs a path.
    pub const fn require_path(&self) -> Result<(), MapError<'a>> {
        match self.paths {
            [Some(_), ..] => Ok(()),
            _ => Err(MapError::NoPath),
        }
    }
}

/// One word of the text.
#[derive(Clone, Copy)]
enum Word<'a> {
    Sessname(&'a [u8]),
    DevicePath(&'a [u8]),
    Path(&'a [u8]),
    DestPort(u16),
    AccessMode(AccessMode),
    PollQueues(i64),
    Server(&'a [u8]),
    IoMode(IoMode),
    InputMode,
}

impl<'a> Word<'a> {
    fn parse(word: &'a [u8]) -> Result<Self, MapError<'a>> {
        let unknown = MapError::Unknown(word);
        let equals = word.iter().position(|byte| *byte == b'=').ok_or(unknown)?;
        let (key, value) = word.split_at_checked(equals).ok_or(unknown)?;
        let value = value.strip_prefix(b"=").ok_or(unknown)?;
        if value.is_empty() {
            return Err(unknown);
        }
        match key {
            b"sessname" => cut_name(value)
                .map(Self::Sessname)
                .ok_or(MapError::NameTooLong(word)),
            b"device_path" => cut_name(value)
                .map(Self::DevicePath)
                .ok_or(MapError::NameTooLong(word)),
            b"path" => Ok(Self::Path(value)),
            b"dest_port" => u16::try_from(integer(value).ok_or(unknown)?)
                .map(Self::DestPort)
                .map_err(|_| MapError::Port(word)),
            b"access_mode" => AccessMode::from_keyword(value)
                .map(Self::AccessMode)
                .ok_or(MapError::AccessMode(word)),
            b"server" => Ok(Self::Server(value)),
            b"io_mode" => IoMode::from_keyword(value)
                .map(Self::IoMode)
                .ok_or(MapError::IoMode(word)),
            b"input_mode" => match value {
                b"mq" => Ok(Self::InputMode),
                _ => Err(MapError::InputMode(word)),
            },
            b"nr_poll_queues" => integer(value).map(Self::PollQueues).ok_or(unknown),
            _ => Err(unknown),
        }
    }
}

/// Cuts off the 255th byte of a name, as has always been done; more are an error.
fn cut_name(name: &[u8]) -> Option<&[u8]> {
    if name.len() > NAME_MAX + 1 {
        return None;
    }
    Some(name.get(..NAME_MAX).unwrap_or(name))
}

/// The text up to its terminator, without white space around it.
fn strip(text: &[u8]) -> &[u8] {
    let mut text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    while let [b' ' | b'\t'..=b'\r', rest @ ..] | [rest @ .., b' ' | b'\t'..=b'\r'] = text {
        text = rest;
    }
    text
}

/// A number with an optional minus sign. What is too large for any option saturates.
fn integer(text: &[u8]) -> Option<i64> {
    let (sign, digits) = match text.strip_prefix(b"-") {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let value = magnitude(digits)?.and_then(|value| i64::try_from(value).ok());
    Some(value.unwrap_or(i64::MAX).saturating_mul(sign))
}
