// SPDX-License-Identifier: GPL-2.0
//@ like: rtrs/client/rtrs_client
//@ compiles

//! The control: the same calls in the right order compile.

#![forbid(unsafe_code)]

use kernel::prelude::*;
use kernel_ext::rdma::{
    ConnectError,
    Context,
    Prepared, //
};

/// Connects a queue pair and posts to it.
pub fn right<C: Context>(prepared: Prepared<C>) -> Result<(), ConnectError> {
    let (queue_pair, _reply) = prepared.connect(&[], 1000)?;
    let _ = queue_pair.post(&[], None);
    Ok(())
}
