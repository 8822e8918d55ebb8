// SPDX-License-Identifier: GPL-2.0

//! Control messages: one message to the server, and its answer.
//!
//! Used by `session.rs` for the greeting and by `device.rs` for opening and closing. Process
//! context only: an exchange waits for a permit and for the answer. It ends when the server
//! answers or when the transport gives the request up, so it must never be made from a link
//! event or a completion.

use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::{
    error::error,
    new_irq_spinlock,
    sync::{
        Completion,
        IrqSpinLock, //
    },
};
use rnbd_proto::limits::OPEN_RSP_LEN;
use rtrs_client::{
    Kind,
    Permit, //
};

use crate::session::Session;

/// Room for the longest answer.
pub(crate) const ANSWER_MAX: usize = OPEN_RSP_LEN;

/// What came back.
struct Answer {
    status: i32,
    bytes: [u8; ANSWER_MAX],
}

/// A control message that waits for its answer.
#[pin_data]
pub(crate) struct Exchange {
    #[pin]
    done: Completion,
    #[pin]
    answer: IrqSpinLock<Answer>,
}

impl Exchange {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                done <- Completion::new(),
                answer <- new_irq_spinlock!(Answer {
                    status: 0,
                    bytes: [0; ANSWER_MAX],
                }),
            }),
            GFP_KERNEL,
        )
    }

    /// Takes the answer out of the permit's memory and wakes the waiter. Any context.
    pub(crate) fn finish(&self, permit: &mut Permit, status: i32) {
        {
            let mut answer = self.answer.lock();
            answer.status = status;
            if status == 0 {
                permit.sg().scratch_read(&mut answer.bytes);
            }
        }
        self.done.complete_all();
    }
}

/// Which way the data of a message goes.
pub(crate) enum Carrier {
    /// A transport read with room for this many bytes of answer.
    Read(usize),
    /// A transport write without data.
    Write,
}

/// Sends `message` and waits for the answer, of which the bytes that were asked for are valid.
///
/// # Errors
///
/// What the server answered, or what ended the request: `ECONNABORTED` if no path is
/// connected, `ENOMEM`.
pub(crate) fn exchange(
    session: &Session,
    message: &[u8],
    carrier: Carrier,
) -> Result<[u8; ANSWER_MAX]> {
    let exchange = Exchange::new()?;
    let mut permit = session.transport().permit_wait(Kind::Admin);
    let sg = permit.sg();
    sg.reset();
    if let Carrier::Read(len) = &carrier {
        sg.use_scratch((*len).min(ANSWER_MAX))?;
    }
    session.send_control(permit, exchange.clone(), message, &carrier)?;
    exchange.done.wait();
    let answer = exchange.answer.lock();
    match answer.status {
        0 => Ok(answer.bytes),
        status => Err(error(status)),
    }
}
