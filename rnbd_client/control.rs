// SPDX-License-Identifier: GPL-2.0

//! Control messages: one message to the server, and its answer.
//!
//! Used by `session.rs` for the greeting and by `device.rs` for opening and closing. Process
//! context only: an exchange waits for a permit and for the answer, so it must never be made
//! from a link event or a completion. It ends when the server answers, when the transport gives
//! the request up, when the caller is in a hurry, or after a time: a server that is alive but
//! does not answer must not hold up an administrator for ever.

use kernel::{
    prelude::*,
    sync::{
        rcu,
        Arc, //
    }, //
};
use kernel_ext::{
    error::{
        errno,
        error, //
    },
    new_irq_spinlock,
    sync::{
        Completion,
        IrqSpinLock, //
    }, //
};
use rnbd_proto::limits::OPEN_RSP_EXT_LEN;
use rtrs_client::{
    Kind,
    Permit, //
};

use crate::session::Session;

/// How long a permit and an answer are waited for, in milliseconds each: twice what the transport
/// allows for its own exchange (`rtrs_proto::limits::INFO_TIMEOUT_MS`). Opening a backend may take
/// its time.
const TIMEOUT_MS: u32 = 60_000;

/// Between two looks whether the caller is in a hurry, in milliseconds.
const HURRY_POLL_MS: u32 = 100;

/// Room for the longest answer.
pub(crate) const ANSWER_MAX: usize = OPEN_RSP_EXT_LEN;

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

/// For an exchange that nobody cuts short.
pub(crate) fn patient() -> bool {
    false
}

/// Sends `message` and waits for the answer, of which the bytes that were asked for are valid. With
/// an epoch it is sent in that one only. Waiting ends early when `hurry` says so.
///
/// # Errors
///
/// What the server answered, or what ended the request: `ECONNABORTED` if no path is
/// connected or the epoch is over, `ETIMEDOUT` if nothing came, `EINTR` if `hurry` said so, `ENOMEM`.
pub(crate) fn exchange(
    session: &Session,
    message: &[u8],
    carrier: Carrier,
    epoch: Option<u64>,
    hurry: &dyn Fn() -> bool,
) -> Result<KBox<[u8; ANSWER_MAX]>> {
    let exchange = Exchange::new()?;
    let mut answer_box = KBox::new([0; ANSWER_MAX], GFP_KERNEL)?;
    let mut permit = permit(session, hurry)?;
    let sg = permit.sg();
    sg.reset();
    if let Carrier::Read(len) = &carrier {
        sg.use_scratch((*len).min(ANSWER_MAX))?;
    }
    {
        // Whoever opens devices in the next epoch waits for those who have seen this one.
        let _reading = rcu::read_lock();
        if epoch.is_some_and(|epoch| epoch != session.epoch()) {
            return Err(error(errno::ECONNABORTED));
        }
        session.send_control(permit, exchange.clone(), message, &carrier)?;
    }
    // A late answer finds the exchange alive, and nobody waiting.
    let mut left = TIMEOUT_MS / HURRY_POLL_MS;
    while !exchange.done.wait_timeout(HURRY_POLL_MS) {
        left = left.saturating_sub(1);
        if left == 0 {
            return Err(error(errno::ETIMEDOUT));
        }
        if hurry() {
            return Err(error(errno::EINTR));
        }
    }
    let answer = exchange.answer.lock();
    match answer.status {
        0 => {
            *answer_box = answer.bytes;
            drop(answer);
            Ok(answer_box)
        }
        status => Err(error(status)),
    }
}

/// Waits for a permit, but not for ever: requests that the server does not answer hold theirs.
fn permit(session: &Session, hurry: &dyn Fn() -> bool) -> Result<Permit> {
    for _ in 0..TIMEOUT_MS / HURRY_POLL_MS {
        if let Some(permit) = session.transport().permit_wait(Kind::Admin, HURRY_POLL_MS) {
            return Ok(permit);
        }
        if hurry() {
            return Err(error(errno::EINTR));
        }
    }
    Err(error(errno::ETIMEDOUT))
}
