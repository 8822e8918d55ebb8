// SPDX-License-Identifier: GPL-2.0
//@ like: rtrs/server/rtrs_server
//@ error: mismatched types

//! Bytes from the wire are not a request until they are parsed.

use rtrs_proto::RequestMsg;

/// Takes what the peer wrote for granted.
pub fn wrong(bytes: &[u8]) -> &RequestMsg {
    bytes
}
