// SPDX-License-Identifier: GPL-2.0
//@ like: rnbd_server/rnbd_server
//@ error: use of moved value: `operation`

//! An operation is answered once.

use rtrs_server::Operation;

/// Answers twice.
pub fn wrong(operation: Operation) {
    operation.respond(0);
    operation.respond(0);
}
