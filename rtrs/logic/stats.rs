// SPDX-License-Identifier: GPL-2.0

//! The texts of the files below a path's directory, to the byte (spec: rtrs 7.2, 7.3).
//!
//! Tools that were written for other implementations parse these. Both rooms read their
//! counters, put the numbers into one of these values, and print it; what is written to a
//! file of statistics is judged here, too.

use core::fmt;

/// `stats/rdma` of a client's path: what was sent over it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ClientRdma {
    /// Requests to read; counted when they are sent, and again when they are replayed.
    pub reads: u64,
    /// Bytes of these: data and user header.
    pub read_bytes: u64,
    /// Requests to write.
    pub writes: u64,
    /// Bytes of these: data and user header.
    pub write_bytes: u64,
    /// Requests that are in flight, as far as the policy counts them.
    pub inflight: u32,
    /// Requests of other paths that were replayed on this one.
    pub failovers: u64,
}

impl fmt::Display for ClientRdma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} {} {} {} {} {}",
            self.reads,
            self.read_bytes,
            self.writes,
            self.write_bytes,
            self.inflight,
            self.failovers
        )
    }
}

/// `stats/rdma` of a server's path: what was received by it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ServerRdma {
    /// Requests to read.
    pub reads: u64,
    /// Bytes of these: data and user header.
    pub read_bytes: u64,
    /// Requests to write.
    pub writes: u64,
    /// Bytes of these: data and user header.
    pub write_bytes: u64,
}

impl fmt::Display for ServerRdma {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} {} {} {}",
            self.reads, self.read_bytes, self.writes, self.write_bytes
        )
    }
}

/// `stats/reconnects`: how often a path was connected anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reconnects {
    /// Connections after the first one; [`Self::NEVER`] before the first one.
    pub successes: i32,
    /// Attempts to connect anew that failed.
    pub failures: i32,
}

impl Reconnects {
    /// A path that was never connected: the first connection makes it 0.
    pub const NEVER: i32 = -1;
}

impl fmt::Display for Reconnects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}", self.successes, self.failures)
    }
}

/// `stats/cpu_migration_from` and `stats/cpu_migration_to`: one number per possible CPU,
/// each with a space behind it.
#[derive(Clone, Copy, Debug)]
pub struct PerCpu<I>(pub I);

impl<I> fmt::Display for PerCpu<I>
where
    I: Iterator<Item = u64> + Clone,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for count in self.0.clone() {
            // The field is an int for those who parse it.
            write!(f, "{} ", count as i32)?;
        }
        f.write_str("\n")
    }
}

/// `cur_latency`: the last round trip of a heartbeat; 0 before the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Latency(pub Option<u64>);

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} ns", self.0.unwrap_or(0))
    }
}

/// What reading `stats/reset_all` answers.
pub const RESET_ALL_USAGE: &str = "echo 1 to reset all statistics\n";

/// `state`: whether the path carries requests.
pub const fn state(connected: bool) -> &'static str {
    match connected {
        true => "connected\n",
        false => "disconnected\n",
    }
}

/// Whether what was written to a file says "do it": a 1, with or without a newline.
pub fn is_one(text: &[u8]) -> bool {
    matches!(text, b"1" | b"1\n")
}
