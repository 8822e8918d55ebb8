// SPDX-License-Identifier: GPL-2.0
//@ like: rtrs/server/rtrs_server
//@ error: private

//! A validated request can only come out of the parser.

use rtrs_proto::{
    Direction,
    RequestMsg, //
};

/// Makes up a request that nobody validated.
pub fn wrong() -> RequestMsg {
    RequestMsg {
        direction: Direction::Write,
        usr_len: 32,
        data_len: u32::MAX,
        desc: None,
        need_inval: false,
    }
}
