// SPDX-License-Identifier: GPL-2.0

//! Every pair of state and event of a mapped device, against the table of the specification
//! (rnbd 3.11).

use rnbd_proto::{
    DeviceEvent::*,
    DeviceState::{self, *}, //
};

#[test]
fn device_all_pairs() {
    let no = None;
    let to = Some;
    // One row per state, one column per event: Opened, LinkDown, Unmap.
    let table: [(DeviceState, [Option<DeviceState>; 3]); 4] = [
        (Init, [to(Mapped), no, to(Unmapped)]),
        (Mapped, [no, to(Disconnected), to(Unmapped)]),
        (Disconnected, [to(Mapped), no, to(Unmapped)]),
        (Unmapped, [no; 3]),
    ];
    for (state, row) in table {
        for (event, next) in [Opened, LinkDown, Unmap].into_iter().zip(row) {
            assert_eq!(state.step(event), next, "{state:?} {event:?}");
        }
    }
}

#[test]
fn device_state_numbers_and_names() {
    let names = ["init", "open", "closed", "unmapped"];
    for ((number, state), name) in (0..).zip(DeviceState::ALL).zip(names) {
        assert_eq!(i32::from(state), number);
        assert_eq!(DeviceState::try_from(number), Ok(state));
        assert_eq!(state.as_str(), name);
    }
    for number in [-1, 4, i32::MIN, i32::MAX] {
        assert!(DeviceState::try_from(number).is_err());
    }
}
