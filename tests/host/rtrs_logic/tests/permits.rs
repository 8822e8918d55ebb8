// SPDX-License-Identifier: GPL-2.0

//! The bitmap of permits: alone, against a simple model, and with many threads at once.

use std::collections::BTreeSet;
use std::sync::atomic::{
    AtomicBool,
    AtomicUsize,
    Ordering, //
};

use proptest::collection::vec;
use proptest::prelude::*;
use rtrs_logic::permits::{
    words_for,
    Permits,
    Word, //
};

struct Atomic(AtomicUsize);

impl Word for Atomic {
    fn load(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    fn compare_exchange(&self, current: usize, new: usize) -> Result<usize, usize> {
        self.0
            .compare_exchange(current, new, Ordering::AcqRel, Ordering::Relaxed)
    }
}

fn words(count: usize) -> Vec<Atomic> {
    (0..words_for(count))
        .map(|_| Atomic(AtomicUsize::new(0)))
        .collect()
}

#[test]
fn every_permit_exactly_once() {
    for count in [1, 2, 63, 64, 65, 127, 128, 129, 512, 513, 1000] {
        for hint in [0, 1, 63, 64, 65, count - 1, count, usize::MAX] {
            let words = words(count);
            let permits = Permits::new(&words, count);
            assert_eq!(permits.count(), count);
            let taken: BTreeSet<usize> =
                (0..count).map(|_| permits.acquire(hint).unwrap()).collect();
            assert!(taken.into_iter().eq(0..count));
            assert_eq!(permits.acquire(hint), None);
            assert_eq!(permits.in_use(), count);
            for index in 0..count {
                assert!(permits.release(index));
                assert!(!permits.release(index));
                assert_eq!(permits.acquire(hint), Some(index));
            }
        }
    }
}

#[test]
fn search_starts_at_the_hint() {
    let words = words(200);
    let permits = Permits::new(&words, 200);
    assert_eq!(permits.acquire(70), Some(70));
    assert_eq!(permits.acquire(70), Some(71));
    assert_eq!(permits.acquire(199), Some(199));
    // Behind the end comes the beginning.
    assert_eq!(permits.acquire(199), Some(0));
    assert_eq!(permits.acquire(200 + 5), Some(5));
}

#[test]
fn nothing_to_give() {
    let none: [Atomic; 0] = [];
    let permits = Permits::new(&none, 10);
    assert_eq!(permits.count(), 0);
    assert_eq!(permits.acquire(3), None);
    assert!(!permits.release(0));
    let words = words(10);
    assert_eq!(Permits::new(&words, 0).acquire(0), None);
    // Never more than there are bits.
    assert_eq!(Permits::new(&words, 1000).count(), 64);
    assert!(!Permits::new(&words, 10).release(usize::MAX));
}

#[test]
fn threads_never_share_a_permit() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 20_000;
    // Fewer permits than threads could hold, over a word's border.
    const COUNT: usize = 70;
    let words = words(COUNT);
    let owned: Vec<AtomicBool> = (0..COUNT).map(|_| AtomicBool::new(false)).collect();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let permits = Permits::new(&words, COUNT);
            let owned = &owned;
            scope.spawn(move || {
                let mut mine = Vec::new();
                for round in 0..ROUNDS {
                    if let Some(index) = permits.acquire(thread * 17) {
                        assert!(!owned[index].swap(true, Ordering::Relaxed));
                        mine.push(index);
                    }
                    if mine.len() > 30 || round % 3 == 0 {
                        if let Some(index) = mine.pop() {
                            assert!(owned[index].swap(false, Ordering::Relaxed));
                            assert!(permits.release(index));
                        }
                    }
                }
                for index in mine {
                    assert!(owned[index].swap(false, Ordering::Relaxed));
                    assert!(permits.release(index));
                }
            });
        }
    });
    assert_eq!(Permits::new(&words, COUNT).in_use(), 0);
}

#[test]
fn the_last_permit_is_found_under_contention() {
    // One permit goes round: whoever fails must have met a moment when it was taken.
    const THREADS: usize = 4;
    let words = words(65);
    let permits = Permits::new(&words, 65);
    for _ in 0..64 {
        assert!(permits.acquire(0).is_some());
    }
    let got = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for hint in 0..10_000 {
                    if let Some(index) = permits.acquire(hint) {
                        got.fetch_add(1, Ordering::Relaxed);
                        assert!(permits.release(index));
                    }
                }
            });
        }
    });
    assert!(got.load(Ordering::Relaxed) > 0);
    assert_eq!(permits.in_use(), 64);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn like_a_set(count in 1usize..200, steps in vec((any::<bool>(), any::<usize>()), 0..400)) {
        let words = words(count);
        let permits = Permits::new(&words, count);
        let mut model = BTreeSet::new();
        for (acquire, number) in steps {
            if acquire {
                match permits.acquire(number) {
                    Some(index) => {
                        prop_assert!(index < count);
                        prop_assert!(model.insert(index));
                        // The first free one from the hint on, round the end.
                        let start = number % count;
                        let first = (start..count)
                            .chain(0..start)
                            .find(|at| *at == index || !model.contains(at));
                        let same_word = index / 64 == start / 64 && index >= start;
                        prop_assert!(!same_word || first == Some(index));
                    }
                    None => prop_assert_eq!(model.len(), count),
                }
            } else {
                let index = number % (count + 10);
                prop_assert_eq!(permits.release(index), model.remove(&index));
            }
            prop_assert_eq!(permits.in_use(), model.len());
        }
    }
}
