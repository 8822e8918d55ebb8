// SPDX-License-Identifier: GPL-2.0

//! Statistics of an exported device, in `ctl/devices/<dev>/stats/`.
//!
//! Counted by `io.rs` for all sessions together. The counters lie in shards, of which a request
//! uses the one of its processor: counting is a few additions to memory that others rarely touch.
//! Nothing is locked, so a file that is read while requests run shows a moment per number, not
//! one moment for all of them.

use core::fmt::Write;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    }, //
};
use kernel_ext::{
    cpu,
    sysfs::{
        File,
        Files,
        Page,
        StoreContext, //
    },
    time, //
};
use rnbd_proto::{
    stats::{
        latency_class,
        CLASSES,
        OPS, //
    },
    Op, //
};

use crate::export::one;

/// Most shards; more processors share them.
const MAX_SHARDS: u32 = 16;

/// What is counted of one operation.
struct Counters {
    ios: Atomic<u64>,
    bytes: Atomic<u64>,
    errors: Atomic<u64>,
    latency: [Atomic<u64>; CLASSES],
}

impl Counters {
    fn new() -> Self {
        Self {
            ios: Atomic::new(0),
            bytes: Atomic::new(0),
            errors: Atomic::new(0),
            latency: [const { Atomic::new(0) }; CLASSES],
        }
    }

    fn reset(&self) {
        self.ios.store(0, Relaxed);
        self.bytes.store(0, Relaxed);
        self.errors.store(0, Relaxed);
        for class in &self.latency {
            class.store(0, Relaxed);
        }
    }
}

/// The counters of some processors, in cache lines of their own.
#[repr(align(64))]
struct Shard {
    /// Requests that were begun; never reset.
    begun: Atomic<u64>,
    /// Requests that have ended; never reset.
    ended: Atomic<u64>,
    ops: [Counters; OPS.len()],
}

/// A request that is being measured.
#[derive(Clone, Copy)]
pub(crate) struct Begun {
    op: Op,
    bytes: u32,
    at_ns: u64,
}

/// The statistics of one device.
pub(crate) struct Stats {
    /// At least one.
    shards: KVec<Shard>,
}

impl Stats {
    /// All zero. Process context.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let count = cpu::nr_cpu_ids().clamp(1, MAX_SHARDS);
        let mut shards = KVec::new();
        for _ in 0..count {
            shards.push(
                Shard {
                    begun: Atomic::new(0),
                    ended: Atomic::new(0),
                    ops: [(); OPS.len()].map(|()| Counters::new()),
                },
                GFP_KERNEL,
            )?;
        }
        Ok(Arc::new(Self { shards }, GFP_KERNEL)?)
    }

    fn shard(&self) -> Option<&Shard> {
        // There is at least one shard, and as many fit into an index.
        let at = cpu::current().checked_rem(u32::try_from(self.shards.len()).ok()?)?;
        self.shards.get(usize::try_from(at).ok()?)
    }

    /// A request is handed to the backend. Any context.
    pub(crate) fn begin(&self, op: Op, bytes: u32) -> Begun {
        if let Some(shard) = self.shard() {
            shard.begun.fetch_add(1, Relaxed);
        }
        Begun {
            op,
            bytes,
            at_ns: time::now_ns(),
        }
    }

    /// The backend has done it, with 0 or an errno. Any context.
    pub(crate) fn end(&self, request: Begun, errno: i32) {
        let Some(shard) = self.shard() else {
            return;
        };
        shard.ended.fetch_add(1, Relaxed);
        let Some(counters) = shard.ops.get(usize::from(request.op as u8)) else {
            return;
        };
        if errno != 0 {
            counters.errors.fetch_add(1, Relaxed);
            return;
        }
        counters.ios.fetch_add(1, Relaxed);
        counters.bytes.fetch_add(u64::from(request.bytes), Relaxed);
        let class = latency_class(time::now_ns().saturating_sub(request.at_ns));
        if let Some(class) = counters.latency.get(class) {
            class.fetch_add(1, Relaxed);
        }
    }

    /// A request was refused before it reached the backend. Any context.
    pub(crate) fn refuse(&self, op: Op) {
        let counters = self
            .shard()
            .and_then(|shard| shard.ops.get(usize::from(op as u8)));
        if let Some(counters) = counters {
            counters.errors.fetch_add(1, Relaxed);
        }
    }

    /// The sum of one counter over all shards.
    fn sum(&self, op: Op, counter: impl Fn(&Counters) -> u64) -> u64 {
        self.shards
            .iter()
            .filter_map(|shard| shard.ops.get(usize::from(op as u8)))
            .fold(0, |sum, counters| sum.wrapping_add(counter(counters)))
    }

    fn io(&self, page: &mut Page<'_>) -> Result {
        for op in OPS {
            let ios = self.sum(op, |counters| counters.ios.load(Relaxed));
            let bytes = self.sum(op, |counters| counters.bytes.load(Relaxed));
            let errors = self.sum(op, |counters| counters.errors.load(Relaxed));
            writeln!(page, "{} {} {} {}", op.as_str(), ios, bytes, errors).map_err(|_| EINVAL)?;
        }
        Ok(())
    }

    fn latency(&self, page: &mut Page<'_>) -> Result {
        for op in OPS {
            write!(page, "{}", op.as_str()).map_err(|_| EINVAL)?;
            for class in 0..CLASSES {
                let count = self.sum(op, |counters| {
                    counters
                        .latency
                        .get(class)
                        .map_or(0, |class| class.load(Relaxed))
                });
                write!(page, " {count}").map_err(|_| EINVAL)?;
            }
            writeln!(page).map_err(|_| EINVAL)?;
        }
        Ok(())
    }

    fn in_flight(&self, page: &mut Page<'_>) -> Result {
        // First what has ended, so that the difference is never below zero for long.
        let ended = self.shards.iter().fold(0u64, |sum, shard| {
            sum.wrapping_add(shard.ended.load(Relaxed))
        });
        let begun = self.shards.iter().fold(0u64, |sum, shard| {
            sum.wrapping_add(shard.begun.load(Relaxed))
        });
        writeln!(page, "{}", begun.saturating_sub(ended)).map_err(|_| EINVAL)
    }

    fn reset_usage(&self, page: &mut Page<'_>) -> Result {
        page.bytes(b"Usage: echo 1 > reset\n");
        Ok(())
    }

    fn reset(&self, text: &[u8], _context: &StoreContext<'_>) -> Result {
        one(text)?;
        for counters in self.shards.iter().flat_map(|shard| &shard.ops) {
            counters.reset();
        }
        Ok(())
    }
}

impl Files for Stats {
    const FILES: &'static [File<Self>] = &[
        File::read_only(c"io", Self::io),
        File::read_only(c"latency", Self::latency),
        File::read_only(c"in_flight", Self::in_flight),
        File::read_write(c"reset", Self::reset_usage, Self::reset),
    ];
}
