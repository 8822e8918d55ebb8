// SPDX-License-Identifier: GPL-2.0

//! What happens to the requests of a lost path: the proof that the server is done with
//! them, and every combination of facts about one that waits.

use rtrs_logic::wreck::{Event, Facts, Verdict, Wreck};

const EVENTS: [Event; 4] = [Event::Fence, Event::Return, Event::Failed, Event::Over];

#[test]
fn proof_of_the_end() {
    use Wreck::*;
    let table = [
        // Fence, Return, Failed, Over
        (Open, [Some(Fencing), Some(Returning), None, Some(Over)]),
        (Fencing, [None, None, Some(Open), Some(Over)]),
        (Returning, [Some(Fencing), None, Some(Open), Some(Over)]),
        (Over, [None, None, None, None]),
    ];
    assert_eq!(table.map(|(state, _)| state), Wreck::ALL);
    for (state, row) in table {
        for (event, next) in EVENTS.into_iter().zip(row) {
            assert_eq!(state.step(event), next, "{state:?} {event:?}");
        }
        assert_eq!(Wreck::try_from(i32::from(state)), Ok(state));
        assert_eq!(state.is_over(), state == Over);
    }
    assert!(Wreck::try_from(4).is_err());
    assert!(Wreck::try_from(-1).is_err());
}

/// Every combination of what can be known about a request.
fn all() -> impl Iterator<Item = Facts> {
    let waits = [0, 999, 1000, u64::MAX];
    (0..1u32 << 5).flat_map(move |bits| {
        waits.into_iter().map(move |waited_ms| Facts {
            closing: bits & 1 != 0,
            carries_fence: bits & 2 != 0,
            expired: bits & 4 != 0,
            safe: bits & 8 != 0,
            path: bits & 16 != 0,
            waited_ms,
            grace_ms: 1000,
        })
    })
}

#[test]
fn nothing_is_sent_that_the_server_may_still_work_on() {
    let mut sent = 0;
    for facts in all() {
        if facts.verdict() == Verdict::Send {
            assert!(facts.safe && facts.path, "{facts:?}");
            assert!(!facts.closing && !facts.expired && !facts.carries_fence);
            sent += 1;
        }
    }
    assert!(sent > 0);
}

#[test]
fn a_place_with_a_fence_in_it_is_left_alone() {
    for facts in all().filter(|facts| facts.carries_fence) {
        assert_eq!(facts.verdict(), Verdict::Wait(None), "{facts:?}");
    }
}

#[test]
fn closing_ends_everything_else() {
    for facts in all().filter(|facts| facts.closing && !facts.carries_fence) {
        assert_eq!(facts.verdict(), Verdict::Abort, "{facts:?}");
    }
}

#[test]
fn nobody_waits_for_a_time_that_is_over() {
    for facts in all() {
        if let Verdict::Wait(Some(left)) = facts.verdict() {
            assert!(left > 0, "{facts:?}");
            assert!(left <= 1000, "{facts:?}");
        }
    }
}

#[test]
fn a_request_waits_for_the_proof_as_long_as_there_is_a_path() {
    for facts in all().filter(|f| !f.closing && !f.carries_fence && !f.expired) {
        let wanted = match (facts.path, facts.safe) {
            (true, true) => Verdict::Send,
            (true, false) => Verdict::Wait(None),
            (false, _) => Verdict::Abort,
        };
        assert_eq!(facts.verdict(), wanted, "{facts:?}");
    }
}

#[test]
fn an_expired_request_waits_for_the_fence_only_so_long() {
    for facts in all().filter(|f| f.expired && !f.closing && !f.carries_fence) {
        let wanted = match facts.waited_ms {
            0 if !facts.safe => Verdict::Wait(Some(1000)),
            999 if !facts.safe => Verdict::Wait(Some(1)),
            _ => Verdict::TimeOut,
        };
        assert_eq!(facts.verdict(), wanted, "{facts:?}");
    }
}
