// SPDX-License-Identifier: GPL-2.0

//! What the trace points tell about a path (spec: rtrs 9). One function per event, called
//! where the thing happens, in any context; it costs nothing as long as nobody traces.

use trace_client::PathFacts;

use crate::path::Path;

/// The work that connects a path again begins.
pub(crate) fn reconnect_work(path: &Path) {
    trace_client::rtrs_clt_reconnect_work(|| facts(path));
}

/// The connections of a path are to be closed for good.
pub(crate) fn close_conns(path: &Path) {
    trace_client::rtrs_clt_close_conns(|| facts(path));
}

/// Something of a path broke.
pub(crate) fn error_recovery(path: &Path) {
    trace_client::rtrs_rdma_error_recovery(|| facts(path));
}

fn facts(path: &Path) -> PathFacts<'_> {
    let reconnects = path.stats().reconnects();
    PathFacts {
        state: path.state().into(),
        attempts: path.stats().outage(),
        max_attempts: path.session().max_reconnects().get(),
        failures: reconnects.failures,
        successes: reconnects.successes,
        name: path.name().unwrap_or(c""),
    }
}
