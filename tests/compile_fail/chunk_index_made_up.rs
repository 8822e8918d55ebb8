// SPDX-License-Identifier: GPL-2.0
//@ like: rtrs/server/rtrs_server
//@ error: private

//! A chunk index is bounded by the session: no number becomes one by itself.

use rtrs_proto::ChunkIndex;

/// Makes an index out of thin air.
pub fn wrong(number: u16) -> ChunkIndex {
    ChunkIndex(number)
}
