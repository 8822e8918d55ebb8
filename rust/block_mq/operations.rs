// SPDX-License-Identifier: GPL-2.0

//! What a driver implements, and the C vtable made of it.
//!
//! This is the one file that knows the signatures of `struct blk_mq_ops`; a
//! drift between kernel releases lands here.

use crate::{
    gen_disk::Inner,
    request::{
        IdleRequest,
        Pdu,
        Refusal, //
    },
    status::Status,
    tag_set,
};
use core::marker::PhantomData;
use kernel::{
    bindings,
    ffi::{
        c_int,
        c_uint, //
    },
    prelude::*,
    sync::atomic::Relaxed, //
};

/// A driver of disks with blk-mq queues.
///
/// All methods take the data of the disk they are about. None of them is called
/// after the `Disk` was dropped, but for [`Operations::release`], which comes
/// for every successful [`Operations::open`], however late.
pub trait Operations: Sized + 'static {
    /// What the driver keeps for each tag set, shared by its disks.
    type Set: Send + Sync + 'static;
    /// What the driver keeps for each disk.
    type Queue: Send + Sync + 'static;

    /// Starts or refuses one request.
    ///
    /// Must not sleep or allocate; interrupts and bottom halves may be on or
    /// off. `last` is false if more requests follow at once, in which case a
    /// later call with `last` or [`Operations::commit_rqs`] ends the batch.
    ///
    /// `Err` carries the proof that the request was refused. `Ok` says that the
    /// driver has taken it: it was started, or dropped, which fails it.
    fn queue_rq<'a>(
        queue: &Self::Queue,
        rq: IdleRequest<'a, Self>,
        last: bool,
    ) -> Result<(), Refusal<'a>>;

    /// Ends a batch whose announced next request did not come. Context as for
    /// [`Operations::queue_rq`].
    fn commit_rqs(_queue: &Self::Queue, _hw_queue: u32) {}

    /// Looks for completions of polled requests of hardware queue `hw_queue`
    /// and ends them; returns how many. Called only for the poll queues of the
    /// tag set, in process context with preemption possibly on. Must not sleep.
    fn poll(_queue: &Self::Queue, _hw_queue: u32) -> u32 {
        0
    }

    /// A request that was given the number `token` with `Request::set_token` has been the
    /// driver's for as long as `Disk::set_request_timeout` says, and again each time that
    /// passes. It still is the driver's, or has ended in this very moment: then the number
    /// may belong to another request by now. The driver ends it some time, or does not.
    /// Process context, on a worker of the block layer; must not wait for a request.
    fn timed_out(_queue: &Self::Queue, _token: u32) {}

    /// The disk or one of its partitions is being opened. Called under the
    /// disk's open mutex in process context; may sleep, but must not drop the
    /// disk. Openers are counted by the driver, if it needs to know them.
    /// Called also for the partition scan inside `Disk::add`.
    fn open(_queue: &Self::Queue, _write: bool) -> Result {
        Ok(())
    }

    /// Undoes one successful [`Operations::open`]; same context.
    fn release(_queue: &Self::Queue) {}
}

/// The C vtable of a driver.
pub(crate) struct Vtable<O: Operations>(PhantomData<O>);

impl<O: Operations> Vtable<O> {
    /// The disk's data behind a hardware queue.
    ///
    /// # Safety
    ///
    /// `hctx` must be a live hardware queue of a disk of `O`, and stay so for
    /// `'a`.
    unsafe fn queue_of<'a>(hctx: *mut bindings::blk_mq_hw_ctx) -> &'a O::Queue {
        // SAFETY:
        // - The hardware queue and hence its request queue are live by the
        //   requirements of this function.
        // - `queuedata` was set to a valid `Inner<O>` when the queue was made
        //   and is freed only after the queue has exited.
        unsafe { (*(*(*hctx).queue).queuedata.cast::<Inner<O>>()).queue() }
    }

    /// # Safety
    ///
    /// May only be called by blk-mq through the vtable, with a live hardware
    /// queue and a request in the idle state that the driver owns from now on.
    unsafe extern "C" fn queue_rq(
        hctx: *mut bindings::blk_mq_hw_ctx,
        bd: *const bindings::blk_mq_queue_data,
    ) -> bindings::blk_status_t {
        // SAFETY: `hctx` is live for the duration of this call.
        let queue = unsafe { Self::queue_of(hctx) };
        // SAFETY: `bd` is valid for reads for the duration of this call.
        let (raw, last) = unsafe { ((*bd).rq, (*bd).last) };
        // SAFETY:
        // - `raw` is a live request of a tag set of `O`, in the idle state.
        // - Ownership was passed to this function by blk-mq, and is passed on
        //   once.
        let rq = unsafe { IdleRequest::<O>::from_raw(raw) };
        match O::queue_rq(queue, rq, last) {
            Ok(()) => Status::OK.raw(),
            Err(refusal) => refusal.answer().raw(),
        }
    }

    /// # Safety
    ///
    /// May only be called by blk-mq through the vtable with a live queue.
    unsafe extern "C" fn commit_rqs(hctx: *mut bindings::blk_mq_hw_ctx) {
        // SAFETY: `hctx` is live for the duration of this call.
        let (queue, index) = unsafe { (Self::queue_of(hctx), (*hctx).queue_num) };
        O::commit_rqs(queue, index);
    }

    /// # Safety
    ///
    /// May only be called by blk-mq through the vtable, for a request that
    /// was passed to `blk_mq_complete_request_remote` by this crate.
    unsafe extern "C" fn complete(rq: *mut bindings::request) {
        // SAFETY:
        // - The request is live and its private area was initialised when the
        //   tag set was made.
        // - `Request::end` wrote the status before it gave the request to
        //   blk-mq, and blk-mq orders that before this call.
        let status = unsafe { (&raw const (*Pdu::of(rq)).status).read() };
        // SAFETY:
        // - `Request::end` gave its ownership to blk-mq, which hands it to us
        //   here, once; ending the request gives it up for good.
        unsafe { bindings::blk_mq_end_request(rq, status.raw()) };
    }

    /// # Safety
    ///
    /// May only be called by blk-mq through the vtable with a request of a disk of `O` on which
    /// blk-mq holds a reference, so that it is not handed out anew meanwhile.
    unsafe extern "C" fn timeout(rq: *mut bindings::request) -> bindings::blk_eh_timer_return {
        // SAFETY:
        // - The request and hence its queue are live, and `queuedata` is a valid `Inner<O>`.
        let queue = unsafe { (*(*(*rq).q).queuedata.cast::<Inner<O>>()).queue() };
        // SAFETY:
        // - The private area was initialised with the tag set, and is aligned.
        // - Only the address of the field is taken.
        let token = unsafe { &raw const (*Pdu::of(rq)).token };
        // SAFETY: as above; the field is atomic: the request's owner may write it at the same time.
        let token = unsafe { &*token }.load(Relaxed);
        O::timed_out(queue, token);
        // The request ends in the ordinary way; until then blk-mq goes on watching it.
        bindings::blk_eh_timer_return_BLK_EH_RESET_TIMER
    }

    /// # Safety
    ///
    /// May only be called by blk-mq through the vtable with a live poll queue.
    unsafe extern "C" fn poll(
        hctx: *mut bindings::blk_mq_hw_ctx,
        _batch: *mut bindings::io_comp_batch,
    ) -> c_int {
        // SAFETY: `hctx` is live for the duration of this call.
        let (queue, index) = unsafe { (Self::queue_of(hctx), (*hctx).queue_num) };
        c_int::try_from(O::poll(queue, index)).unwrap_or(c_int::MAX)
    }

    /// # Safety
    ///
    /// May only be called by blk-mq through the vtable, with a request whose
    /// private area is as large as the tag set asked for.
    unsafe extern "C" fn init_request(
        _set: *mut bindings::blk_mq_tag_set,
        rq: *mut bindings::request,
        _hw_queue: c_uint,
        _node: c_int,
    ) -> c_int {
        // SAFETY: the private area follows the request, is large enough and
        // aligned for a `Pdu`, and nobody uses it yet.
        unsafe { Pdu::of(rq).write(Pdu::new()) };
        0
    }

    /// The table that the tag sets of this driver point to.
    pub(crate) const TABLE: &'static bindings::blk_mq_ops = &bindings::blk_mq_ops {
        queue_rq: Some(Self::queue_rq),
        commit_rqs: Some(Self::commit_rqs),
        queue_rqs: None,
        get_budget: None,
        put_budget: None,
        set_rq_budget_token: None,
        get_rq_budget_token: None,
        timeout: Some(Self::timeout),
        poll: Some(Self::poll),
        complete: Some(Self::complete),
        init_hctx: None,
        exit_hctx: None,
        init_request: Some(Self::init_request),
        exit_request: None,
        cleanup_rq: None,
        busy: None,
        map_queues: Some(tag_set::map_queues),
        show_rq: None,
    };
}
