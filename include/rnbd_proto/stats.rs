// SPDX-License-Identifier: GPL-2.0

//! How both sides count what a device does.
//!
//! The counters themselves belong to the modules; here is what must be the same on both
//! sides so that their files can be compared: the operations in their order, and the
//! classes of the latency.

use crate::io::Op;

/// The operations in the order of the lines of a file.
pub const OPS: [Op; 6] = [
    Op::Read,
    Op::Write,
    Op::Flush,
    Op::Discard,
    Op::SecureErase,
    Op::WriteZeroes,
];

/// Classes of latencies.
pub const CLASSES: usize = 24;

/// The class of a latency in nanoseconds: 0 is less than a microsecond, class `n` from
/// 2^(n-1) to less than 2^n microseconds, and the last one everything longer (4.2 s and more).
#[inline]
pub const fn latency_class(ns: u64) -> usize {
    let class = match (ns / 1000).checked_ilog2() {
        Some(log) => log as usize + 1,
        None => 0,
    };
    if class < CLASSES {
        class
    } else {
        CLASSES - 1
    }
}
