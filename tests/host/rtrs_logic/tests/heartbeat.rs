// SPDX-License-Identifier: GPL-2.0

//! Heartbeats on an invented clock: how soon a silent peer is dead, that one who answers
//! lives, and that one heartbeat at a time is outstanding (spec: rtrs 6.1).

use proptest::prelude::*;
use rtrs_logic::heartbeat::*;

/// A watch, its clock, and what happened to it.
struct Room {
    watch: Watch,
    limits: Limits,
    now: u64,
    next: u64,
    heard: bool,
    sent: Vec<u64>,
}

impl Room {
    fn new(limits: Limits) -> Self {
        // Some time of day.
        let now = 1_000_000;
        Self {
            watch: Watch::new(now, limits),
            limits,
            now,
            next: now + u64::from(Watch::first_ms(limits)),
            heard: false,
            sent: Vec::new(),
        }
    }

    /// Goes on to `until`; answers when the peer was found dead, if it was. `answer` gives the
    /// time of the answer to a heartbeat.
    fn run(&mut self, until: u64, late: u64, answer: impl Fn(u64) -> Option<u64>) -> Option<u64> {
        let mut answers: Vec<u64> = Vec::new();
        while self.next <= until {
            self.now = self.next + late;
            let now = self.now;
            self.heard |= answers.iter().any(|at| *at <= now);
            answers.retain(|at| *at > now);
            let heard = std::mem::take(&mut self.heard);
            let next = match self.watch.look(heard, now, self.limits) {
                Tick::Dead => return Some(now),
                Tick::Wait(next) => next,
                Tick::Send(next) => {
                    self.sent.push(now);
                    answers.extend(answer(now));
                    next
                }
            };
            assert!((1..=1000).contains(&next));
            self.next = now + u64::from(next);
        }
        None
    }
}

#[test]
fn defaults_are_those_of_every_peer() {
    let limits = Limits::default();
    assert_eq!((limits.interval_ms(), limits.missed_max()), (5000, 5));
    // A peer has to be heard once in 30 s.
    assert_eq!(limits.patience_ms(), 27_500);
}

#[test]
fn limits_are_bounded() {
    for (interval, missed) in [(0, 5), (99, 5), (600_001, 5), (5000, 0), (5000, 1001)] {
        assert_eq!(Limits::new(interval, missed), None);
    }
    for (interval, missed) in [(100, 1), (600_000, 1000)] {
        assert!(Limits::new(interval, missed).is_some());
    }
}

/// However the cut falls between two looks, and if each look comes 12 ms late.
#[test]
fn three_times_500_ms_is_within_two_seconds() {
    let limits = Limits::new(500, 3).unwrap();
    for late in [0, 4, 12] {
        for cut in 0..1200 {
            let mut room = Room::new(limits);
            let cut = room.now + 10_000 + cut;
            // Heartbeats are answered at once until the link is cut.
            let dead = room.run(cut + 5000, late, |sent| (sent < cut).then_some(sent + 1));
            let dead = dead.expect("never noticed");
            let last = room.sent.iter().filter(|at| **at < cut).max().unwrap() + 1;
            assert!(dead - cut < 2000, "{} ms after the cut", dead - cut);
            assert!(dead - last >= 1500, "{} ms of silence", dead - last);
        }
    }
}

#[test]
fn traffic_until_the_cut() {
    let limits = Limits::new(500, 3).unwrap();
    let mut room = Room::new(limits);
    let mut now = room.now;
    // Something arrives every few milliseconds.
    while now < 1_010_000 {
        now += 7;
        room.heard = true;
        assert_eq!(room.run(now, 0, |_| None), None);
    }
    // Heartbeats are sent all the same, for their round trip.
    assert!((18..=21).contains(&room.sent.len()), "{:?}", room.sent);
    let dead = room.run(now + 5000, 0, |_| None).unwrap();
    assert!((1600..2000).contains(&(dead - now)));
}

#[test]
fn one_heartbeat_at_a_time() {
    let mut room = Room::new(Limits::DEFAULT);
    let dead = room.run(u64::MAX, 0, |_| None).unwrap();
    assert_eq!(dead, 1_000_000 + 27_500);
    assert_eq!(room.sent, [1_005_000]);
}

#[test]
fn heartbeats_are_regular() {
    let mut room = Room::new(Limits::DEFAULT);
    assert_eq!(room.run(1_100_000, 0, |at| Some(at + 1)), None);
    let expected: Vec<u64> = (1..=20).map(|i| 1_000_000 + i * 5000).collect();
    assert_eq!(room.sent, expected);
}

/// Time in which we did not run ourselves is not the peer's.
#[test]
fn a_frozen_host_blames_nobody() {
    let limits = Limits::new(500, 3).unwrap();
    let mut room = Room::new(limits);
    assert_eq!(room.run(1_010_000, 0, |at| Some(at + 1)), None);
    room.next += 60_000;
    let thawed = room.next;
    let dead = room.run(u64::MAX, 0, |_| None).unwrap();
    assert!(dead - thawed >= 1000, "{}", dead - thawed);
    assert!(dead - thawed < 2000, "{}", dead - thawed);
}

#[test]
fn shorter_limits_are_seen_within_a_second() {
    let mut room = Room::new(Limits::new(600_000, 1000).unwrap());
    assert_eq!(room.run(1_010_000, 0, |at| Some(at + 1)), None);
    room.heard = true;
    room.limits = Limits::new(500, 3).unwrap();
    let dead = room.run(u64::MAX, 0, |_| None).unwrap();
    assert!(dead - 1_010_000 <= 3000, "{}", dead - 1_010_000);
}

/// It was silent for much longer than it now may be, but nobody had asked.
#[test]
fn shorter_limits_do_not_kill() {
    let mut room = Room::new(Limits::new(600_000, 1000).unwrap());
    assert_eq!(room.run(1_100_000, 0, |_| None), None);
    room.limits = Limits::new(100, 1).unwrap();
    assert_eq!(room.run(1_200_000, 0, |at| Some(at + 1)), None);
    assert!(room.sent.len() > 900);
}

#[test]
fn numbers() {
    for (text, number) in [
        ("500", Some(500)),
        ("500\n", Some(500)),
        ("4294967295", Some(u32::MAX)),
        ("4294967296", None),
        ("", None),
        ("\n", None),
        ("-5", None),
        ("+5", None),
        (" 5", None),
        ("5 ", None),
        ("5\n\n", None),
        ("0x10", None),
        ("5s", None),
    ] {
        assert_eq!(parse_number(text.as_bytes()), number, "{text:?}");
    }
    assert_eq!(parse_number(b"5\xff"), None);
}

proptest! {
    /// Whoever answers within the intervals he may miss, lives.
    #[test]
    fn a_peer_that_answers_lives(
        interval in 100u32..600_000,
        missed in 2u32..1000,
        part in 0u64..100,
        late in 0u64..20,
    ) {
        let limits = Limits::new(interval, missed).unwrap();
        let mut room = Room::new(limits);
        let until = room.now + 20 * limits.patience_ms().min(3_600_000);
        let delay = (limits.patience_ms() - 2 * u64::from(interval)) * part / 100;
        prop_assert_eq!(room.run(until, late, |at| Some(at + delay)), None);
    }

    /// No clock, and no history, makes it panic.
    #[test]
    fn any_clock(looks in proptest::collection::vec((any::<bool>(), any::<u64>()), 1..20)) {
        let mut watch = Watch::new(looks[0].1, Limits::DEFAULT);
        for (heard, now) in looks {
            if let Tick::Send(next) | Tick::Wait(next) = watch.look(heard, now, Limits::DEFAULT) {
                prop_assert!((1..=1000).contains(&next));
            }
        }
    }
}

#[test]
fn a_question_is_sent_once_and_answered_by_anything() {
    let none = Question::NONE;
    assert_eq!(none.owed_ms(5000), None);
    assert_eq!(none.look(true, 5000), none);
    assert_eq!(none.look(false, 5000), none);

    // What was heard before it was sent is no answer; nor is it owed for any time yet.
    let wanted = Question::WANTED;
    assert_eq!(wanted.owed_ms(5000), Some(0));
    let sent = wanted.look(true, 5000);
    assert_eq!(sent, wanted.look(false, 5000));
    assert_eq!(sent.owed_ms(5000), Some(0));
    assert_eq!(sent.owed_ms(7000), Some(2000));

    // Looking again sends nothing and forgives nothing; hearing does.
    assert_eq!(sent.look(false, 6000), sent);
    assert_eq!(sent.look(true, 6000), none);

    // However early it is.
    for now in 0..4 {
        let sent = wanted.look(false, now);
        assert!(sent != none && sent != wanted);
        assert_eq!(Question::from_raw(sent.to_raw()), sent);
    }
}
