// SPDX-License-Identifier: GPL-2.0

//! What a path counts, and the file of `stats/` (spec: rtrs 7.3).

use core::fmt::Write as _;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::sysfs::{
    File,
    Files, //
};
use rtrs_core::counters::Counters;
use rtrs_logic::stats::ServerRdma;
use rtrs_proto::Direction;

use crate::sysfs::one;

/// Positions of the counters.
const READS: usize = 0;
const READ_BYTES: usize = 1;
const WRITES: usize = 2;
const WRITE_BYTES: usize = 3;
const COUNTERS: usize = 4;

/// What a path counts.
pub(crate) struct Stats(Counters<COUNTERS>);

impl Stats {
    /// Nothing was counted. Sleeps; fails with `ENOMEM` only.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(Self(Counters::new()?), GFP_KERNEL)?)
    }

    /// A valid request with so many bytes of data and user header arrived. Any context.
    #[inline]
    pub(crate) fn received(&self, direction: Direction, bytes: u32) {
        let (count, size) = match direction {
            Direction::Read => (READS, READ_BYTES),
            Direction::Write => (WRITES, WRITE_BYTES),
        };
        self.0.add([(count, 1), (size, u64::from(bytes))]);
    }

    fn rdma(&self) -> ServerRdma {
        ServerRdma {
            reads: self.0.sum(READS),
            read_bytes: self.0.sum(READ_BYTES),
            writes: self.0.sum(WRITES),
            write_bytes: self.0.sum(WRITE_BYTES),
        }
    }

    fn reset(&self) {
        for counter in [READS, READ_BYTES, WRITES, WRITE_BYTES] {
            self.0.reset(counter);
        }
    }
}

/// The file of `stats/`.
pub(crate) struct StatsFiles(pub(crate) Arc<Stats>);

impl Files for StatsFiles {
    const FILES: &'static [File<Self>] = &[File::read_write(
        c"rdma",
        |files, page| Ok(write!(page, "{}", files.0.rdma())?),
        |files, text, _| {
            one(text)?;
            files.0.reset();
            Ok(())
        },
    )];
}
