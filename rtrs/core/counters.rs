// SPDX-License-Identifier: GPL-2.0

//! Counters of the IO path: one cache line per processor, added up when somebody reads.
//!
//! Used by the statistics of both sides. Counting never waits for another processor: the
//! line is that of the one that counts, and the order among counters is nobody's business.

use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
};
use kernel_ext::cpu;

/// The counters of one processor, on a cache line of their own.
#[repr(align(64))]
struct Cell<const N: usize>([Atomic<u64>; N]);

impl<const N: usize> Cell<N> {
    fn add(&self, counter: usize, by: u64) {
        if let Some(counter) = self.0.get(counter) {
            // Wraps around, as counters of the kernel do.
            counter.add(by, Relaxed);
        }
    }
}

/// `N` counters per processor, at most eight to stay on one cache line. Wrap around.
pub struct Counters<const N: usize> {
    cells: KVVec<Cell<N>>,
}

impl<const N: usize> Counters<N> {
    /// Counters that stand at 0. Sleeps; fails with `ENOMEM` only.
    pub fn new() -> Result<Self> {
        const { assert!(N <= 8) };
        let count = usize::try_from(cpu::nr_cpu_ids())?;
        let mut cells = KVVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            let zeroes = core::array::from_fn(|_| Atomic::new(0));
            cells.push(Cell(zeroes), GFP_KERNEL)?;
        }
        Ok(Self { cells })
    }

    /// Adds to counters, named by their positions, on this processor. Any context.
    #[inline]
    pub fn add<const K: usize>(&self, what: [(usize, u64); K]) {
        let here = cpu::current() as usize;
        if let Some(cell) = self.cells.get(here) {
            for (counter, by) in what {
                cell.add(counter, by);
            }
        }
    }

    /// Adds 1 to a counter of another processor. Any context.
    pub fn add_on(&self, cpu: u32, counter: usize) {
        if let Some(cell) = self.cells.get(cpu as usize) {
            cell.add(counter, 1);
        }
    }

    /// The sum of a counter over all processors. What is counted meanwhile may be in it.
    pub fn sum(&self, counter: usize) -> u64 {
        self.cells
            .iter()
            .filter_map(|cell| cell.0.get(counter))
            .fold(0, |sum, one| sum.wrapping_add(one.load(Relaxed)))
    }

    /// A counter of every possible processor, in the order of their numbers.
    pub fn each(&self, counter: usize) -> impl Iterator<Item = u64> + Clone + '_ {
        (0..cpu::nr_cpu_ids())
            .zip(&self.cells)
            .filter(|(at, _)| cpu::is_possible(*at))
            .filter_map(move |(_, cell)| cell.0.get(counter))
            .map(|one| one.load(Relaxed))
    }

    /// Sets a counter to 0 on all processors. What is counted meanwhile counts before or after.
    pub fn reset(&self, counter: usize) {
        for one in self.cells.iter().filter_map(|cell| cell.0.get(counter)) {
            one.store(0, Relaxed);
        }
    }
}
