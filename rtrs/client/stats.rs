// SPDX-License-Identifier: GPL-2.0

//! What a path counts, and the files of `stats/` (spec: rtrs 4.11, 7.2).
//!
//! The counters belong to the path and stay through its reconnects. Every incarnation of
//! the path holds them too, so whatever still completes finds them (weak point L4).

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
};
use kernel_ext::{
    cpu,
    fmt::Show,
    sysfs::{
        File,
        Files,
        Page, //
    },
};
use rtrs_core::counters::Counters;
use rtrs_logic::stats::{
    ClientRdma,
    PerCpu,
    Reconnects,
    RESET_ALL_USAGE, //
};
use rtrs_proto::Direction;

use crate::sysfs::one;

/// Positions of the counters.
const READS: usize = 0;
const READ_BYTES: usize = 1;
const WRITES: usize = 2;
const WRITE_BYTES: usize = 3;
const FAILOVERS: usize = 4;
const MIGRATED_FROM: usize = 5;
const MIGRATED_TO: usize = 6;
const COUNTERS: usize = 7;

/// What a path counts.
pub(crate) struct Stats {
    counters: Counters<COUNTERS>,
    /// Requests in flight, as far as the policy counts them. No statistics: the choice of a
    /// path depends on it, so nothing resets it (weak point L9).
    inflight: Atomic<u32>,
    successes: Atomic<i32>,
    failures: Atomic<i32>,
    /// Failed attempts since the path was connected last; nothing resets it either.
    outage: Atomic<i32>,
}

impl Stats {
    /// Nothing was counted. Sleeps; fails with `ENOMEM` only.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Ok(Arc::new(
            Self {
                counters: Counters::new()?,
                inflight: Atomic::new(0),
                successes: Atomic::new(Reconnects::NEVER),
                failures: Atomic::new(0),
                outage: Atomic::new(0),
            },
            GFP_KERNEL,
        )?)
    }

    /// A request with so many bytes of data and user header was sent, for the first time or
    /// again. Any context.
    #[inline]
    pub(crate) fn sent(&self, direction: Direction, bytes: u32) {
        let (count, size) = match direction {
            Direction::Read => (READS, READ_BYTES),
            Direction::Write => (WRITES, WRITE_BYTES),
        };
        self.counters.add([(count, 1), (size, u64::from(bytes))]);
    }

    /// Something arrived by a connection that was made for processor `wanted`. Any context.
    #[inline]
    pub(crate) fn arrived(&self, wanted: u32) {
        if wanted != cpu::current() {
            self.counters.add([(MIGRATED_TO, 1)]);
            self.counters.add_on(wanted, MIGRATED_FROM);
        }
    }

    /// A request of another path was replayed on this one. Any context.
    #[inline]
    pub(crate) fn failed_over(&self) {
        self.counters.add([(FAILOVERS, 1)]);
    }

    /// The path is connected, for the first time or again (true), or an attempt to connect it
    /// again has failed (false). Any context.
    pub(crate) fn reconnected(&self, ok: bool) {
        if ok {
            self.successes.add(1, Relaxed);
            self.outage.store(0, Relaxed);
        } else {
            self.failures.add(1, Relaxed);
            self.outage.add(1, Relaxed);
        }
    }

    /// Attempts to connect it again that failed since it was connected last. Any context.
    pub(crate) fn outage(&self) -> i32 {
        self.outage.load(Relaxed)
    }

    /// A request that the policy counts begins. Any context.
    #[inline]
    pub(crate) fn enter(&self) {
        self.inflight.add(1, Relaxed);
    }

    /// A request that [`Self::enter`] has counted is over. Any context.
    #[inline]
    pub(crate) fn leave(&self) {
        self.inflight.fetch_sub(1, Relaxed);
    }

    /// Requests in flight that are counted. Any context.
    #[inline]
    pub(crate) fn inflight(&self) -> u32 {
        self.inflight.load(Relaxed)
    }

    /// Connections after the first, and failed attempts.
    pub(crate) fn reconnects(&self) -> Reconnects {
        Reconnects {
            successes: self.successes.load(Relaxed),
            failures: self.failures.load(Relaxed),
        }
    }

    fn rdma(&self) -> ClientRdma {
        let sum = |counter| self.counters.sum(counter);
        ClientRdma {
            reads: sum(READS),
            read_bytes: sum(READ_BYTES),
            writes: sum(WRITES),
            write_bytes: sum(WRITE_BYTES),
            inflight: self.inflight(),
            failovers: sum(FAILOVERS),
        }
    }

    fn reset_rdma(&self) {
        for counter in [READS, READ_BYTES, WRITES, WRITE_BYTES, FAILOVERS] {
            self.counters.reset(counter);
        }
    }

    fn reset_migrations(&self) {
        self.counters.reset(MIGRATED_FROM);
        self.counters.reset(MIGRATED_TO);
    }

    fn reset_reconnects(&self) {
        self.successes.store(0, Relaxed);
        self.failures.store(0, Relaxed);
    }
}

/// The files of `stats/`.
pub(crate) struct StatsFiles(pub(crate) Arc<Stats>);

impl Files for StatsFiles {
    const FILES: &'static [File<Self>] = &[
        File::read_write(
            c"cpu_migration_from",
            show_each::<MIGRATED_FROM>,
            |files, text, _| reset(text, || files.0.reset_migrations()),
        ),
        File::read_write(
            c"cpu_migration_to",
            show_each::<MIGRATED_TO>,
            |files, text, _| reset(text, || files.0.reset_migrations()),
        ),
        File::read_write(
            c"reconnects",
            |files, page| {
                page.emit(fmt!("{}", Show(files.0.reconnects())));
                Ok(())
            },
            |files, text, _| reset(text, || files.0.reset_reconnects()),
        ),
        File::read_write(
            c"rdma",
            |files, page| {
                page.emit(fmt!("{}", Show(files.0.rdma())));
                Ok(())
            },
            |files, text, _| reset(text, || files.0.reset_rdma()),
        ),
        File::read_write(
            c"reset_all",
            |_, page| {
                page.bytes(RESET_ALL_USAGE.as_bytes());
                Ok(())
            },
            |files, text, _| {
                reset(text, || {
                    files.0.reset_rdma();
                    files.0.reset_migrations();
                    files.0.reset_reconnects();
                })
            },
        ),
    ];
}

/// Shows a counter of every processor.
fn show_each<const COUNTER: usize>(files: &StatsFiles, page: &mut Page<'_>) -> Result {
    let each = PerCpu(files.0.counters.each(COUNTER));
    page.emit(fmt!("{}", Show(each)));
    Ok(())
}

/// Does it if a 1 was written, and only then.
fn reset(text: &[u8], it: impl FnOnce()) -> Result {
    one(text)?;
    it();
    Ok(())
}
