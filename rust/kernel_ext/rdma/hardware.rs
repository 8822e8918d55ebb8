// SPDX-License-Identifier: GPL-2.0

//! The verbs' objects behind a queue pair: creation, draining, destruction.
//!
//! [`Hardware`] is the only owner of queue pair and completion queue; what is posted on them and who
//! hears of it is the business of the other files.

use super::{
    id::IdRef,
    pd::Pd, //
};
use kernel::{
    error::{
        from_err_ptr,
        to_result, //
    },
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*,
    sync::Arc, //
};
use rdma_bindings as c;

/// Where completions are delivered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Poll {
    /// In softirq: quick, must not sleep.
    Softirq,
    /// In a work item on the CPU of the vector: may sleep a little.
    Workqueue,
    /// In whoever calls [`QueuePair::poll`](super::QueuePair::poll), and nowhere else: there are no
    /// interrupts. Must not sleep.
    Direct,
}

/// What a queue pair needs.
#[derive(Clone, Copy, Debug)]
pub struct QpConfig {
    /// Entries of the send queue; reduced to what the device has.
    pub send_wr: u32,
    /// Entries of the receive queue; reduced to what the device has.
    pub recv_wr: u32,
    /// Elements of a send's gather list; reduced to what the device has.
    pub send_sge: u32,
    /// Tokens for signaled requests: `Token(0)` to `Token(tokens - 1)`.
    pub tokens: u32,
    /// Where completions are delivered.
    pub poll: Poll,
    /// Completion vector, taken modulo what the device has.
    pub vector: u32,
}

/// The hardware's side of a queue pair, and what must not go before it.
///
/// # Invariants
///
/// `qp` is the queue pair of `id`, made in `pd` with `cq` for both directions; all are valid.
pub(super) struct Hardware {
    qp: *mut c::ib_qp,
    cq: *mut c::ib_cq,
    pd: Arc<Pd>,
    id: Arc<IdRef>,
}

// SAFETY: the C objects are bound to no thread.
unsafe impl Send for Hardware {}

impl Hardware {
    /// Creates completion queue and queue pair. Sleeps.
    pub(super) fn new(id: &Arc<IdRef>, pd: &Arc<Pd>, cfg: &Sizes) -> Result<Self> {
        // SAFETY: the device is valid as long as `pd`.
        let cq = from_err_ptr(unsafe {
            c::rdx_alloc_cq(pd.device(), cfg.entries, cfg.vector, cfg.poll)
        })?;
        let mut attr: c::ib_qp_init_attr = pin_init::zeroed();
        attr.event_handler = Some(qp_event);
        attr.qp_context = id.raw().cast();
        attr.send_cq = cq;
        attr.recv_cq = cq;
        // One entry more than can be used, for draining.
        attr.cap.max_send_wr = cfg.send_wr.saturating_add(1);
        attr.cap.max_recv_wr = cfg.recv_wr.saturating_add(1);
        attr.cap.max_send_sge = cfg.send_sge;
        attr.cap.max_recv_sge = 1;
        attr.sq_sig_type = c::ib_sig_type_IB_SIGNAL_REQ_WR;
        attr.qp_type = c::ib_qp_type_IB_QPT_RC;
        // SAFETY:
        // - Id and protection domain are valid; that both are of one device is checked by the call.
        // - The completion queue is valid. The queue pair is destroyed before all of them.
        // - The id outlives the queue pair, so the event handler may use it.
        let made = to_result(unsafe { c::rdma_create_qp(id.raw(), pd.raw(), &mut attr) });
        if let Err(error) = made {
            // SAFETY: nothing uses the completion queue.
            unsafe { c::ib_free_cq(cq) };
            return Err(error);
        }
        // INVARIANT: just created.
        Ok(Self {
            // SAFETY: the id is valid and has just been given its queue pair.
            qp: unsafe { (*id.raw()).qp },
            cq,
            pd: pd.clone(),
            id: id.clone(),
        })
    }

    /// Puts the queue pair into the error state, tells the peer, and waits until every request and
    /// receive has been completed. Sleeps; not from a completion.
    pub(super) fn drain(&self) {
        // Without a connection this changes nothing; draining changes the state anyway.
        self.disconnect();
        // SAFETY:
        // - The queue pair is valid, by the invariant.
        // - Nobody posts any more, as the caller has closed both queues.
        // - There is room for the two draining requests, see `new`.
        unsafe { c::ib_drain_qp(self.qp) }
    }
}

impl Hardware {
    /// The queue pair; valid as long as `self`.
    pub(super) fn qp(&self) -> *mut c::ib_qp {
        self.qp
    }

    /// The completion queue, if it has to be polled; valid as long as `self`.
    pub(super) fn direct_cq(&self) -> Option<*mut c::ib_cq> {
        // SAFETY: the completion queue is valid by the invariant; the field never changes.
        let context = unsafe { (*self.cq).poll_ctx };
        (context == c::ib_poll_context_IB_POLL_DIRECT).then_some(self.cq)
    }

    /// The protection domain.
    pub(super) fn pd(&self) -> &Arc<Pd> {
        &self.pd
    }

    /// The connection manager id.
    pub(super) fn id(&self) -> &Arc<IdRef> {
        &self.id
    }

    /// Ends the connection, if there is one. Sleeps.
    pub(super) fn disconnect(&self) {
        // SAFETY: the id is valid. Failure means that there is no connection to end.
        unsafe { c::rdma_disconnect(self.id.raw()) };
    }
}

impl Drop for Hardware {
    fn drop(&mut self) {
        // SAFETY:
        // - Both are valid and destroyed here only, the queue pair before its completion queue.
        // - Not in a completion: the contract of those who drop queue pairs.
        unsafe {
            c::rdma_destroy_qp(self.id.raw());
            c::ib_free_cq(self.cq);
        }
    }
}

/// Asynchronous events of a queue pair. Any context.
///
/// # Safety
///
/// To be called by the verbs, for a queue pair whose context is its connection manager id.
unsafe extern "C" fn qp_event(event: *mut c::ib_event, context: *mut c_void) {
    // SAFETY: the event is valid for the call.
    let kind = unsafe { (*event).event };
    if kind == c::ib_event_type_IB_EVENT_COMM_EST {
        // The peer's last handshake message got lost, but its data has arrived.
        //
        // SAFETY: the id outlives the queue pair.
        unsafe { c::rdma_notify(context.cast(), kind) };
    }
}

/// A configuration that fits the device.
pub(super) struct Sizes {
    pub(super) send_wr: u32,
    pub(super) recv_wr: u32,
    pub(super) send_sge: u32,
    entries: c_int,
    vector: c_int,
    poll: c::ib_poll_context,
}

impl Sizes {
    /// Fits a configuration to the device of `pd`.
    pub(super) fn new(cfg: &QpConfig, pd: &Pd) -> Self {
        let info = pd.info();
        // One entry of each queue is for draining; and both queues together must fit the completion
        // queue, or completions would be lost.
        let most = info
            .max_qp_wr
            .min(info.max_cqe / 2)
            .saturating_sub(1)
            .max(1);
        let send_wr = cfg.send_wr.clamp(1, most);
        let recv_wr = cfg.recv_wr.clamp(1, most);
        let entries = send_wr.saturating_add(recv_wr).saturating_add(2);
        Self {
            send_wr,
            recv_wr,
            send_sge: cfg.send_sge.clamp(1, info.max_send_sge.max(1)),
            entries: c_int::try_from(entries).unwrap_or(c_int::MAX),
            vector: c_int::try_from(cfg.vector.checked_rem(info.num_comp_vectors).unwrap_or(0))
                .unwrap_or(0),
            poll: match cfg.poll {
                Poll::Softirq => c::ib_poll_context_IB_POLL_SOFTIRQ,
                Poll::Workqueue => c::ib_poll_context_IB_POLL_WORKQUEUE,
                Poll::Direct => c::ib_poll_context_IB_POLL_DIRECT,
            },
        }
    }
}
