// SPDX-License-Identifier: GPL-2.0

//! The texts of sysfs, byte for byte (spec: rtrs 7.2, 7.3).

use rtrs_logic::stats::*;

#[test]
fn client_rdma() {
    let all = ClientRdma {
        reads: 1,
        read_bytes: 4128,
        writes: u64::MAX,
        write_bytes: 18_446_744_073_709_551_614,
        inflight: u32::MAX,
        failovers: 7,
    };
    assert_eq!(
        all.to_string(),
        "1 4128 18446744073709551615 18446744073709551614 4294967295 7\n"
    );
    assert_eq!(ClientRdma::default().to_string(), "0 0 0 0 0 0\n");
}

#[test]
fn server_rdma() {
    let all = ServerRdma {
        reads: 3,
        read_bytes: 12_384,
        writes: 2,
        write_bytes: 64,
    };
    assert_eq!(all.to_string(), "3 12384 2 64\n");
    assert_eq!(ServerRdma::default().to_string(), "0 0 0 0\n");
}

#[test]
fn reconnects() {
    let mut path = Reconnects {
        successes: Reconnects::NEVER,
        failures: 0,
    };
    assert_eq!(path.to_string(), "-1 0\n");
    path.successes += 1;
    path.failures = 12;
    assert_eq!(path.to_string(), "0 12\n");
}

#[test]
fn per_cpu() {
    assert_eq!(PerCpu([0u64, 5, 12].into_iter()).to_string(), "0 5 12 \n");
    assert_eq!(PerCpu(core::iter::empty()).to_string(), "\n");
    // An int, which wraps.
    assert_eq!(
        PerCpu([u64::from(u32::MAX), 1 << 31].into_iter()).to_string(),
        "-1 -2147483648 \n"
    );
}

#[test]
fn one_line_files() {
    assert_eq!(state(true), "connected\n");
    assert_eq!(state(false), "disconnected\n");
    assert_eq!(Latency(None).to_string(), "0 ns\n");
    assert_eq!(Latency(Some(123_456)).to_string(), "123456 ns\n");
    assert_eq!(RESET_ALL_USAGE, "echo 1 to reset all statistics\n");
}

#[test]
fn only_a_one_resets() {
    for yes in ["1", "1\n"] {
        assert!(is_one(yes.as_bytes()), "{yes:?}");
    }
    for no in [
        "", "\n", "0", "0\n", "1\n\n", " 1", "1 ", "11", "01", "+1", "y", "1\0",
    ] {
        assert!(!is_one(no.as_bytes()), "{no:?}");
    }
}
