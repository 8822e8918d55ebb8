// SPDX-License-Identifier: GPL-2.0

//! Heartbeats, the choice of a path, reconnects and the accounting of send queues, step
//! by step (rtrs 4.9, 5.4, 6.1, 6.2).

use proptest::collection::vec;
use proptest::prelude::*;
use rtrs_logic::credits::{
    Full,
    SendQueue, //
};
use rtrs_logic::heartbeat::RoundTrip;
use rtrs_logic::policy::{
    Facts,
    Policy, //
};
use rtrs_logic::reconnect::{
    MaxAttempts,
    Next,
    Pace,
    Schedule, //
};

#[test]
fn unasked_answers_measure_nothing() {
    // C12.
    assert_eq!(RoundTrip::IDLE.answered(1000), None);
    let sent = RoundTrip::started(1000);
    assert_eq!(sent.answered(1500), Some(500));
    assert_eq!(sent.answered(1000), Some(1));
    // A clock that goes backwards is no reason to panic.
    assert_eq!(sent.answered(1), Some(1));
    assert_eq!(RoundTrip::from_raw(sent.to_raw()), sent);
    assert_eq!(RoundTrip::IDLE.to_raw(), 0);
}

fn facts(usable: bool, inflight: u32, latency: u64) -> Facts {
    Facts {
        usable,
        inflight,
        latency_ns: (latency != 0).then_some(latency),
    }
}

#[test]
fn round_robin() {
    let paths = [true, false, true, true].map(|usable| facts(usable, 0, 0));
    let next = |last| Policy::RoundRobin.choose(last, paths);
    assert_eq!(next(None), Some(0));
    assert_eq!(next(Some(0)), Some(2));
    assert_eq!(next(Some(1)), Some(2));
    assert_eq!(next(Some(2)), Some(3));
    assert_eq!(next(Some(3)), Some(0));
    assert_eq!(next(Some(99)), Some(0));
    assert_eq!(
        Policy::RoundRobin.choose(Some(0), [facts(true, 0, 0)]),
        Some(0)
    );
    assert_eq!(
        Policy::RoundRobin.choose(Some(0), [facts(false, 0, 0)]),
        None
    );
}

#[test]
fn min_inflight() {
    let choose = |paths: &[Facts]| Policy::MinInflight.choose(None, paths.iter().copied());
    assert_eq!(choose(&[]), None);
    assert_eq!(
        choose(&[facts(true, 3, 0), facts(true, 2, 0), facts(true, 2, 0)]),
        Some(1)
    );
    assert_eq!(choose(&[facts(true, 3, 0), facts(false, 0, 0)]), Some(0));
    assert_eq!(choose(&[facts(true, 0, 0), facts(true, 0, 0)]), Some(0));
}

#[test]
fn min_latency() {
    let choose = |paths: &[Facts]| Policy::MinLatency.choose(None, paths.iter().copied());
    assert_eq!(choose(&[facts(true, 0, 30), facts(true, 9, 20)]), Some(1));
    // A path that was never measured does not attract everything.
    assert_eq!(choose(&[facts(true, 0, 0), facts(true, 9, 20)]), Some(1));
    assert_eq!(choose(&[facts(true, 0, 0), facts(true, 0, 0)]), Some(0));
    assert_eq!(choose(&[facts(false, 0, 1), facts(true, 0, 0)]), Some(1));
}

#[test]
fn policy_in_sysfs() {
    let parse = |text: &str| Policy::parse(text.as_bytes());
    for (policy, number, short, long, shown) in [
        (
            Policy::RoundRobin,
            "0",
            "rr",
            "Round-Robin",
            "round-robin (RR: 0)",
        ),
        (
            Policy::MinInflight,
            "1",
            "mi",
            "MIN-INFLIGHT",
            "min-inflight (MI: 1)",
        ),
        (
            Policy::MinLatency,
            "2",
            "Ml",
            "min-latency",
            "min-latency (ML: 2)",
        ),
    ] {
        assert_eq!(policy.to_string(), shown);
        for text in [number, short, long, shown] {
            assert_eq!(parse(text), Some(policy));
            assert_eq!(parse(&format!("{text}\n")), Some(policy));
        }
        assert_eq!(parse(&format!("{short}x")), None);
        assert_eq!(parse(&format!("{number} ")), None);
        let number: i32 = number.parse().unwrap();
        assert_eq!(i32::from(policy), number);
        assert_eq!(Policy::try_from(number), Ok(policy));
    }
    for text in [
        "",
        "\n",
        "3",
        "-1",
        "00",
        "min",
        "round",
        "round robin",
        " rr",
    ] {
        assert_eq!(parse(text), None, "{text:?}");
    }
    assert!(Policy::try_from(3).is_err());
    assert_eq!(Policy::default(), Policy::MinInflight);
}

#[test]
fn reconnect_attempts() {
    let pace = Pace::new(30);
    let max = MaxAttempts::new(2).unwrap();
    let mut schedule = Schedule::new();
    assert_eq!(schedule.on_failure(max, &pace, 0), Next::After(31_000));
    schedule.on_attempt();
    assert_eq!(schedule.on_failure(max, &pace, 7999), Next::After(38_999));
    schedule.on_attempt();
    assert_eq!(schedule.on_failure(max, &pace, 0), Next::GiveUp);
    // More is allowed later, or everything begins anew.
    assert_eq!(
        schedule.on_failure(MaxAttempts::ENDLESS, &pace, 8000),
        Next::After(31_000)
    );
    schedule.reset();
    assert_eq!(schedule.on_failure(max, &pace, 1), Next::After(31_001));

    let none = MaxAttempts::new(0).unwrap();
    assert_eq!(schedule.on_failure(none, &pace, 0), Next::GiveUp);
    assert_eq!(none.get(), 0);
    for count in [-2, 10_000, i32::MIN, i32::MAX] {
        assert_eq!(MaxAttempts::new(count), None);
    }
    assert_eq!(MaxAttempts::new(-1), Some(MaxAttempts::ENDLESS));
    assert_eq!(MaxAttempts::new(9999).unwrap().get(), 9999);
}

#[test]
fn reconnect_pace() {
    let next = |pace: Pace, random| Schedule::new().on_failure(MaxAttempts::ENDLESS, &pace, random);
    // None of the three makes the sum wrap.
    let none = Pace {
        delay_ms: 0,
        backoff_ms: 0,
        jitter_ms: 0,
    };
    assert_eq!(next(none, u32::MAX), Next::After(0));
    let (jitter_ms, max) = (10, Pace::MAX_MS);
    assert_eq!(next(Pace { jitter_ms, ..none }, 19), Next::After(9));
    let longest = Pace {
        delay_ms: max,
        backoff_ms: max,
        jitter_ms: max,
    };
    assert_eq!(next(longest, max - 1), Next::After(3 * max - 1));
    let backoff_ms = Pace::BACKOFF_MIN_MS;
    let least = Pace { backoff_ms, ..none };
    assert!(Pace::new(0).is_valid() && Pace::new(255).is_valid());
    assert!(least.is_valid() && longest.is_valid());
    for (delay_ms, backoff_ms, jitter_ms) in [
        (max + 1, backoff_ms, 0),
        (0, backoff_ms - 1, 0),
        (0, max + 1, 0),
        (0, backoff_ms, max + 1),
        (u32::MAX, u32::MAX, u32::MAX),
    ] {
        let pace = Pace {
            delay_ms,
            backoff_ms,
            jitter_ms,
        };
        assert!(!pace.is_valid(), "{pace:?}");
    }
}

#[test]
fn send_queue_step_by_step() {
    let mut queue = SendQueue::new(10);
    assert_eq!(queue.reserve(3, false), Ok(0));
    assert_eq!(queue.reserve(2, false), Ok(0));
    // Half of the queue waits for a signaled request.
    assert!(queue.must_signal(1));
    assert_eq!(queue.reserve(1, false), Err(Full));
    // The signaled one returns all of them.
    assert_eq!(queue.reserve(2, true), Ok(7));
    assert_eq!(queue.free(), 3);
    assert_eq!(queue.reserve(4, true), Err(Full));
    assert_eq!(queue.reserve(3, false), Ok(0));
    queue.completed(7);
    assert_eq!(queue.free(), 7);
    assert_eq!(queue.reserve(1, true), Ok(4));
    queue.completed(4);
    assert_eq!(queue.free(), 10);
    assert_eq!(queue.reserve(u32::MAX, true), Err(Full));
    assert_eq!(queue.reserve(11, true), Err(Full));
    assert_eq!(queue.reserve(10, true), Ok(10));
    // More than was ever taken cannot come back.
    queue.completed(u32::MAX);
    assert_eq!(queue.free(), 10);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    /// Against a queue that really holds its entries.
    #[test]
    fn send_queue_is_exact(capacity in 1u32..64, steps in vec((0u32..8, any::<bool>(), any::<bool>()), 0..200)) {
        let mut queue = SendQueue::new(capacity);
        // Per entry in the queue: what its completion returns, if it is signaled.
        let mut entries: Vec<Option<u32>> = Vec::new();
        for (count, signaled, complete) in steps {
            let count = count.max(1);
            match queue.reserve(count, signaled) {
                Ok(back) => {
                    prop_assert_eq!(back != 0, signaled);
                    entries.extend(vec![None; count as usize - 1]);
                    entries.push(signaled.then_some(back));
                }
                Err(Full) => prop_assert!(
                    entries.len() as u32 + count > capacity || (!signaled && queue.must_signal(count))
                ),
            }
            if complete {
                if let Some(at) = entries.iter().position(|entry| entry.is_some()) {
                    let back = entries[at].unwrap();
                    prop_assert_eq!(back as usize, at + 1);
                    entries.drain(..=at);
                    queue.completed(back);
                }
            }
            prop_assert_eq!(queue.free(), capacity - entries.len() as u32);
            // It never locks up: a signaled request fits, or one is on its way.
            prop_assert!(
                capacity < 2 || queue.free() > 0 || entries.iter().any(|entry| entry.is_some())
            );
        }
    }

    #[test]
    fn policy_chooses_a_usable_path(
        paths in vec((any::<bool>(), any::<u32>(), any::<u64>()), 0..20),
        last in proptest::option::of(0usize..30),
        policy in 0i32..3,
    ) {
        let paths: Vec<Facts> = paths.into_iter().map(|(u, i, l)| facts(u, i, l)).collect();
        let chosen = Policy::try_from(policy).unwrap().choose(last, paths.iter().copied());
        match chosen {
            Some(at) => prop_assert!(paths[at].usable),
            None => prop_assert!(paths.iter().all(|path| !path.usable)),
        }
    }

    #[test]
    fn policy_never_panics(text in vec(any::<u8>(), 0..40)) {
        let _ = Policy::parse(&text);
    }
}
