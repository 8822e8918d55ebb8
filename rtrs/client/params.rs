// SPDX-License-Identifier: GPL-2.0

//! The module's parameters. They are set when the module is loaded and never change.

use kernel_ext::{
    param_bool,
    param_int, //
};
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

/// Largest value of `failover_hold_ms`.
const FAILOVER_HOLD_MAX_MS: i32 = 600_000;

/// What is offered to servers.
pub(crate) fn features() -> Features {
    match EXTENSIONS.get() {
        true => Features::ALL,
        false => Features::NONE,
    }
}

/// Milliseconds before a replay that the server cannot confirm to be safe. What is out of
/// range counts as the nearest value that is not.
#[expect(dead_code, reason = "the failover reads it")]
pub(crate) fn failover_hold_ms() -> u32 {
    let ms = FAILOVER_HOLD_MS.get().clamp(0, FAILOVER_HOLD_MAX_MS);
    u32::try_from(ms).unwrap_or(0)
}
