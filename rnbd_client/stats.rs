// SPDX-License-Identifier: GPL-2.0

//! What a device counts, and the files of `/sys/block/rnbd<N>/rnbd/stats/`.
//!
//! `session.rs` and `queue.rs` count requests as the block layer hands them out, that is, after
//! it has merged and split them. Counting touches a cache line of this processor only; it never
//! waits and never allocates. The formats are in `Documentation/sysfs.md`.

use core::fmt::Write;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    sysfs::{
        File,
        Files,
        Page,
        StoreContext, //
    },
    time::now_ns,
};
use rnbd_proto::{
    stats::{
        latency_class,
        CLASSES,
        OPS, //
    },
    Op, //
};
use rtrs_core::counters::Counters;

/// Positions of what is counted for each operation.
const IOS: usize = 0;
const BYTES: usize = 1;
const ERRORS: usize = 2;
const SUMS: usize = 3;

/// Positions of what is counted for the device.
const STARTED: usize = 0;
const OVER: usize = 1;
const REQUEUED: usize = 2;
const TIMEOUTS: usize = 3;
const REOPENED: usize = 4;
const EVENTS: usize = 5;

/// Classes of one cache line.
const PER_LINE: usize = 8;
const LINES: usize = CLASSES / PER_LINE;

const _: () = assert!(LINES * PER_LINE == CLASSES);

/// What is counted for one operation.
struct PerOp {
    sums: Counters<SUMS>,
    latency: [Counters<PER_LINE>; LINES],
}

impl PerOp {
    fn new() -> Result<Self> {
        Ok(Self {
            sums: Counters::new()?,
            latency: [Counters::new()?, Counters::new()?, Counters::new()?],
        })
    }

    fn reset(&self) {
        for at in 0..SUMS {
            self.sums.reset(at);
        }
        for line in &self.latency {
            for at in 0..PER_LINE {
                line.reset(at);
            }
        }
    }
}

/// What a device counts.
pub(crate) struct Stats {
    /// In the order of [`OPS`].
    ops: KVec<PerOp>,
    events: Counters<EVENTS>,
}

/// How a request ended.
pub(crate) struct Ended {
    /// What was asked for.
    pub(crate) op: Op,
    /// The length of its range.
    pub(crate) bytes: u32,
    /// When it was handed to the transport, in nanoseconds; 0 if it never was.
    pub(crate) started_ns: u64,
    /// Whether it was executed.
    pub(crate) ok: bool,
}

impl Stats {
    /// Nothing was counted. Sleeps; fails with `ENOMEM` only.
    pub(crate) fn new() -> Result<Arc<Self>> {
        let mut ops = KVec::with_capacity(OPS.len(), GFP_KERNEL)?;
        for _ in OPS {
            ops.push(PerOp::new()?, GFP_KERNEL)?;
        }
        Ok(Arc::new(
            Self {
                ops,
                events: Counters::new()?,
            },
            GFP_KERNEL,
        )?)
    }

    /// A request goes to the transport. Any context.
    #[inline]
    pub(crate) fn started(&self) {
        self.events.add([(STARTED, 1)]);
    }

    /// The transport did not take a request that had started. Any context.
    #[inline]
    pub(crate) fn refused(&self) {
        self.events.add([(OVER, 1)]);
    }

    /// A request lost its path and waits for the next one. Any context.
    pub(crate) fn requeued(&self) {
        self.events.add([(OVER, 1), (REQUEUED, 1)]);
    }

    /// A request took too long. Any context.
    pub(crate) fn timed_out(&self) {
        self.events.add([(TIMEOUTS, 1)]);
    }

    /// The device was opened again after an outage. Any context.
    pub(crate) fn reopened(&self) {
        self.events.add([(REOPENED, 1)]);
    }

    #[inline]
    fn of(&self, op: Op) -> Option<&PerOp> {
        let at = OPS.iter().position(|known| *known == op)?;
        self.ops.get(at)
    }

    /// A request failed before it was counted as started. Any context.
    pub(crate) fn failed(&self, op: Op) {
        if let Some(per_op) = self.of(op) {
            per_op.sums.add([(ERRORS, 1)]);
        }
    }

    /// A request ended. Any context.
    #[inline]
    pub(crate) fn ended(&self, ended: &Ended) {
        self.events.add([(OVER, 1)]);
        let Some(per_op) = self.of(ended.op) else {
            return;
        };
        if !ended.ok {
            per_op.sums.add([(ERRORS, 1)]);
            return;
        }
        let ns = now_ns().saturating_sub(ended.started_ns);
        per_op.sums.add([(IOS, 1), (BYTES, u64::from(ended.bytes))]);
        let class = latency_class(ns);
        if let Some(line) = per_op.latency.get(class / PER_LINE) {
            line.add([(class % PER_LINE, 1)]);
        }
    }

    fn lines(&self) -> impl Iterator<Item = (&'static str, &PerOp)> {
        OPS.iter().map(|op| op.as_str()).zip(&self.ops)
    }
}

/// Lines of `<operation> <requests> <bytes> <errors>`.
fn io(stats: &Stats, page: &mut Page<'_>) -> Result {
    for (name, op) in stats.lines() {
        let sum = |at| op.sums.sum(at);
        writeln!(page, "{name} {} {} {}", sum(IOS), sum(BYTES), sum(ERRORS),)
            .map_err(|_| EINVAL)?;
    }
    Ok(())
}

/// Lines of `<operation>` and a number per class.
fn latency(stats: &Stats, page: &mut Page<'_>) -> Result {
    for (name, op) in stats.lines() {
        write!(page, "{name}").map_err(|_| EINVAL)?;
        for line in &op.latency {
            for at in 0..PER_LINE {
                write!(page, " {}", line.sum(at)).map_err(|_| EINVAL)?;
            }
        }
        writeln!(page).map_err(|_| EINVAL)?;
    }
    Ok(())
}

fn in_flight(stats: &Stats, page: &mut Page<'_>) -> Result {
    // In this order: what ends meanwhile has been counted as started, too.
    let over = stats.events.sum(OVER);
    let started = stats.events.sum(STARTED);
    writeln!(page, "{}", started.wrapping_sub(over)).map_err(|_| EINVAL)
}

fn requeued(stats: &Stats, page: &mut Page<'_>) -> Result {
    writeln!(page, "{}", stats.events.sum(REQUEUED)).map_err(|_| EINVAL)
}

fn timeouts(stats: &Stats, page: &mut Page<'_>) -> Result {
    writeln!(page, "{}", stats.events.sum(TIMEOUTS)).map_err(|_| EINVAL)
}

fn reopened(stats: &Stats, page: &mut Page<'_>) -> Result {
    writeln!(page, "{}", stats.events.sum(REOPENED)).map_err(|_| EINVAL)
}

fn show_reset(_: &Stats, page: &mut Page<'_>) -> Result {
    page.bytes(b"Usage: echo 1 > reset\n");
    Ok(())
}

fn reset(stats: &Stats, text: &[u8], _: &StoreContext<'_>) -> Result {
    if text.trim_ascii() != b"1" {
        pr_err!("stats/reset: write 1\n");
        return Err(EINVAL);
    }
    for op in &stats.ops {
        op.reset();
    }
    // What says how many are in flight stays.
    for at in [REQUEUED, TIMEOUTS, REOPENED] {
        stats.events.reset(at);
    }
    Ok(())
}

impl Files for Stats {
    const FILES: &'static [File<Self>] = &[
        File::read_only(c"io", io),
        File::read_only(c"latency", latency),
        File::read_only(c"in_flight", in_flight),
        File::read_only(c"requeued", requeued),
        File::read_only(c"timeouts", timeouts),
        File::read_only(c"reopened", reopened),
        File::read_write(c"reset", show_reset, reset),
    ];
}
