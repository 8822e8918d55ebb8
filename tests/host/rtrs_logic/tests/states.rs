// SPDX-License-Identifier: GPL-2.0

//! Every pair of state and event of every state machine, against the tables of the
//! specification (rtrs 3.5, 3.6).

use rtrs_logic::{
    client_path,
    server_path, //
};

#[test]
fn client_path_all_pairs() {
    use client_path::Event::*;
    use client_path::State::{self, *};

    const EVENTS: [client_path::Event; 9] = [
        Established,
        Failed,
        Retry,
        Reconnect,
        Exhausted,
        Revive,
        Close,
        Drained,
        Remove,
    ];
    let no = None;
    let to = Some;
    // One row per state, one column per event, in the order above.
    let table: [(State, [Option<State>; 9]); 7] = [
        (
            Connecting,
            [
                to(Connected),
                to(ConnectingErr),
                no,
                no,
                no,
                no,
                to(Closing),
                no,
                no,
            ],
        ),
        (
            ConnectingErr,
            [
                no,
                no,
                to(Reconnecting),
                no,
                no,
                to(Reconnecting),
                to(Closing),
                no,
                no,
            ],
        ),
        (
            Reconnecting,
            [
                no,
                no,
                no,
                to(Connecting),
                to(Closing),
                to(Reconnecting),
                to(Closing),
                no,
                no,
            ],
        ),
        (
            Connected,
            [
                no,
                to(Reconnecting),
                no,
                no,
                no,
                to(Reconnecting),
                to(Closing),
                no,
                no,
            ],
        ),
        (Closing, [no, no, no, no, no, no, no, to(Closed), no]),
        (
            Closed,
            [no, no, no, no, no, to(Reconnecting), no, no, to(Dead)],
        ),
        (Dead, [no; 9]),
    ];
    for (state, row) in table {
        for (event, next) in EVENTS.into_iter().zip(row) {
            assert_eq!(state.step(event), next, "{state:?} {event:?}");
        }
    }
}

#[test]
fn client_path_transitions_are_the_legal_ones() {
    use client_path::State::*;

    // "New state, allowed old states", as the specification lists them.
    let legal = |old, new| match new {
        Connecting => matches!(old, Reconnecting),
        Connected | ConnectingErr => matches!(old, Connecting),
        Reconnecting => matches!(old, Connected | ConnectingErr | Closed),
        Closing => matches!(old, Connecting | ConnectingErr | Reconnecting | Connected),
        Closed => matches!(old, Closing),
        Dead => matches!(old, Closed),
    };
    let events = {
        use client_path::Event::*;
        [
            Established,
            Failed,
            Retry,
            Reconnect,
            Exhausted,
            Revive,
            Close,
            Drained,
            Remove,
        ]
    };
    for old in client_path::State::ALL {
        let reached: Vec<_> = events.iter().filter_map(|event| old.step(*event)).collect();
        for new in client_path::State::ALL {
            let expected = legal(old, new) || (old == Reconnecting && new == Reconnecting);
            assert_eq!(reached.contains(&new), expected, "{old:?} -> {new:?}");
        }
    }
}

#[test]
fn server_path_all_pairs() {
    use server_path::Event::*;
    use server_path::State::{self, *};

    let no = None;
    let to = Some;
    let table: [(State, [Option<State>; 3]); 4] = [
        (Connecting, [to(Connected), to(Closing), no]),
        (Connected, [no, to(Closing), no]),
        (Closing, [no, no, to(Closed)]),
        (Closed, [no; 3]),
    ];
    for (state, row) in table {
        for (event, next) in [Established, Close, Drained].into_iter().zip(row) {
            assert_eq!(state.step(event), next, "{state:?} {event:?}");
        }
    }
}

#[test]
fn numbers_of_the_states() {
    for (number, state) in (0..).zip(client_path::State::ALL) {
        assert_eq!(i32::from(state), number);
        assert_eq!(client_path::State::try_from(number), Ok(state));
        assert_eq!(state.is_connected(), number == 3);
        assert_eq!(state.is_closing(), number >= 4);
    }
    for (number, state) in (0..).zip(server_path::State::ALL) {
        assert_eq!(i32::from(state), number);
        assert_eq!(server_path::State::try_from(number), Ok(state));
        assert_eq!(state.is_connected(), number == 1);
    }
    for number in [-1, 7, i32::MIN, i32::MAX] {
        assert!(client_path::State::try_from(number).is_err());
        assert!(server_path::State::try_from(number).is_err());
    }
    assert!(server_path::State::try_from(4).is_err());
    let mut names: Vec<_> = client_path::State::ALL.map(|state| state.as_str()).into();
    names.dedup();
    assert_eq!(names.len(), 7);
}
