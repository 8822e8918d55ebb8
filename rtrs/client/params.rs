// SPDX-License-Identifier: GPL-2.0

//! The module's parameters. They are set when the module is loaded and never change.

use kernel::prelude::*;
use kernel_ext::{
    param_bool,
    param_int, //
};
use rtrs_core::heartbeat::checked_limits;
use rtrs_logic::heartbeat::Limits;
use rtrs_proto::Features;

param_bool! {
    EXTENSIONS = true,
    "extensions",
    "Offer servers what is beyond the protocol of the C implementation; without, every server is treated as a C one (default: Y)"
}

param_int! {
    FAILOVER_HOLD_MS: i32 = 1000,
    "failover_hold_ms",
    "Milliseconds that requests of a lost path wait before they are repeated on another one, if the server cannot confirm that it is done with them: 0 to 600000 (default: 1000)"
}

param_int! {
    HEARTBEAT_INTERVAL_MS: i32 = 5000,
    "heartbeat_interval_ms",
    "Milliseconds between the heartbeats of a new session's paths: 100 to 600000 (default: 5000)"
}

param_int! {
    HEARTBEAT_MISSED_MAX: i32 = 5,
    "heartbeat_missed_max",
    "Intervals that a peer may be silent before its path is given up, half an interval later: 1 to 1000 (default: 5)"
}

/// Largest value of `failover_hold_ms`.
const FAILOVER_HOLD_MAX_MS: i32 = 600_000;

/// What is offered to servers.
pub(crate) fn features() -> Features {
    match EXTENSIONS.get() {
        true => Features::ALL,
        false => Features::NONE,
    }
}

/// Checks all parameters when the module is loaded, which it is not if this fails.
///
/// Fails with `EINVAL`, and says so in the log, if one is out of range.
pub(crate) fn check() -> Result {
    heartbeat()?;
    if (0..=FAILOVER_HOLD_MAX_MS).contains(&FAILOVER_HOLD_MS.get()) {
        return Ok(());
    }
    pr_err!("failover_hold_ms must be 0 to {FAILOVER_HOLD_MAX_MS}\n");
    Err(EINVAL)
}

/// Milliseconds before a replay that the server cannot confirm to be safe, at most 600000.
pub(crate) fn failover_hold_ms() -> u32 {
    u32::try_from(FAILOVER_HOLD_MS.get()).unwrap_or(0)
}

/// How patient the paths of a new session are. Fails only in [`check`].
pub(crate) fn heartbeat() -> Result<Limits> {
    checked_limits(HEARTBEAT_INTERVAL_MS.get(), HEARTBEAT_MISSED_MAX.get())
}
