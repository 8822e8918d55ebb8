// SPDX-License-Identifier: GPL-2.0

//! Requests, and who owns them.
//!
//! blk-mq lends a request to the driver with `queue_rq` and wants it back
//! exactly once. That is ownership, so it is written as ownership: an
//! [`IdleRequest`] or a [`Request`] is the only handle to its request, it is
//! consumed by starting, refusing, ending or requeueing, and dropping it fails
//! the request. A double end or a use after the end cannot be written down.

use crate::{
    gen_disk::Inner,
    operations::Operations,
    status::Status, //
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    ffi::{
        c_uint,
        c_void, //
    },
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    types::{
        ForeignOwnable,
        Opaque, //
    },
};
use kernel_ext::sg::SgTable;

// `REQ_*` and `RQF_*` are `__force` casts in C; these are asserted in
// `rust/helpers/block_mq.c`.
const REQ_OP_MASK: u32 = 0xff;
const REQ_SYNC: u32 = 1 << bindings::req_flag_bits___REQ_SYNC;
const REQ_FUA: u32 = 1 << bindings::req_flag_bits___REQ_FUA;
const REQ_PREFLUSH: u32 = 1 << bindings::req_flag_bits___REQ_PREFLUSH;
const REQ_NOUNMAP: u32 = 1 << bindings::req_flag_bits___REQ_NOUNMAP;
const RQF_SPECIAL_PAYLOAD: u32 = 1 << bindings::rqf_flags___RQF_SPECIAL_PAYLOAD;

/// The operation of a request (`REQ_OP_*`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Command {
    /// Reads sectors into memory.
    Read,
    /// Writes sectors from memory.
    Write,
    /// Flushes the volatile write cache; no range, no data.
    Flush,
    /// Discards a range; no data.
    Discard,
    /// Discards a range for good; no data.
    SecureErase,
    /// Zeroes a range; no data.
    WriteZeroes,
    /// Anything else, with its number; a disk gets it only if its limits ask
    /// for it, which those of this crate never do.
    Other(u32),
}

impl Command {
    fn from_flags(flags: u32) -> Self {
        match flags & REQ_OP_MASK {
            bindings::req_op_REQ_OP_READ => Self::Read,
            bindings::req_op_REQ_OP_WRITE => Self::Write,
            bindings::req_op_REQ_OP_FLUSH => Self::Flush,
            bindings::req_op_REQ_OP_DISCARD => Self::Discard,
            bindings::req_op_REQ_OP_SECURE_ERASE => Self::SecureErase,
            bindings::req_op_REQ_OP_WRITE_ZEROES => Self::WriteZeroes,
            other => Self::Other(other),
        }
    }

    /// Whether requests of this operation carry memory that can be mapped.
    pub fn has_data(self) -> bool {
        matches!(self, Self::Read | Self::Write)
    }
}

/// What this crate keeps in the private area of every request.
pub(crate) struct Pdu {
    /// How the request ends, while it travels to the CPU that submitted it.
    /// Written by the owner just before it gives the request to blk-mq.
    pub(crate) status: Status,
    /// The driver's number for the request, for [`Operations::timed_out`]. The one
    /// field that is read by somebody who does not own the request.
    pub(crate) token: Atomic<u32>,
}

impl Pdu {
    pub(crate) fn new() -> Self {
        Self {
            status: Status::IOERR,
            token: Atomic::new(0),
        }
    }

    /// The private area of `rq`: blk-mq puts it right behind the request.
    pub(crate) fn of(rq: *mut bindings::request) -> *mut Self {
        rq.wrapping_add(1).cast()
    }
}

/// What can be read from a request, whichever handle owns it.
///
/// All methods may be called in any context and do not sleep.
#[repr(transparent)]
pub struct View(Opaque<bindings::request>);

impl View {
    fn raw(&self) -> *mut bindings::request {
        self.0.get()
    }

    fn flags(&self) -> u32 {
        // SAFETY: a `View` is only reachable through a handle that owns a live
        // request; nobody writes the flags meanwhile.
        unsafe { (*self.raw()).cmd_flags }
    }

    fn special_payload(&self) -> bool {
        // SAFETY: as in `flags`.
        unsafe { (*self.raw()).rq_flags & RQF_SPECIAL_PAYLOAD != 0 }
    }

    /// The operation.
    pub fn op(&self) -> Command {
        Command::from_flags(self.flags())
    }

    /// The first sector (512 bytes each) of the range; 0 for a flush, for
    /// which the block layer itself has no sensible number.
    pub fn sector(&self) -> u64 {
        if self.op() == Command::Flush {
            return 0;
        }
        // SAFETY: as in `flags`.
        unsafe { (*self.raw()).__sector }
    }

    /// Length of the range in bytes; 0 for a flush.
    pub fn bytes(&self) -> u32 {
        // SAFETY: as in `flags`.
        unsafe { (*self.raw()).__data_len }
    }

    /// Whether somebody waits for this request (`REQ_SYNC` as submitted; the
    /// block layer does not set it for reads, although they are synchronous).
    pub fn sync(&self) -> bool {
        self.flags() & REQ_SYNC != 0
    }

    /// Whether a write must be on stable media when it ends.
    pub fn fua(&self) -> bool {
        self.flags() & REQ_FUA != 0
    }

    /// Whether the cache is to be flushed before a write.
    pub fn preflush(&self) -> bool {
        self.flags() & REQ_PREFLUSH != 0
    }

    /// Whether write-zeroes must keep the blocks allocated.
    pub fn nounmap(&self) -> bool {
        self.flags() & REQ_NOUNMAP != 0
    }

    /// The IO priority (`IOPRIO_PRIO_VALUE` of class and level); 0 if none.
    pub fn ioprio(&self) -> u16 {
        // SAFETY:
        // - As in `flags`; the bios of a request belong to its owner too, and
        //   an absent one is null.
        unsafe { (*self.raw()).bio.as_ref() }.map_or(0, |bio| bio.bi_ioprio)
    }

    /// How many physical segments the data has; 0 if there is none to map.
    pub fn segments(&self) -> usize {
        if !self.op().has_data() || self.special_payload() {
            return 0;
        }
        // SAFETY: as in `flags`.
        usize::from(unsafe { (*self.raw()).nr_phys_segments })
    }

    /// The request's tag, unique among all requests in flight of the tag set
    /// and below its depth; `None` if it has none.
    pub fn tag(&self) -> Option<usize> {
        // SAFETY: as in `flags`.
        usize::try_from(unsafe { (*self.raw()).tag }).ok()
    }

    /// The hardware queue through which the request came.
    pub fn hw_queue(&self) -> u32 {
        // SAFETY:
        // - As in `flags`; a request in the driver's hands has a hardware
        //   queue, which lives as long as its disk's queue.
        unsafe { (*(*self.raw()).mq_hctx).queue_num }
    }

    /// Puts the memory of a read or write into `table` and returns its length
    /// in bytes, which is [`View::bytes`].
    ///
    /// Fails with `EINVAL` if the operation carries no memory, and with `E2BIG`
    /// if the table is too small; the table is then empty. Does not sleep or
    /// allocate. The table refers to memory that is the request's: whoever maps
    /// the table for a device must unmap it before the request ends.
    pub fn map_sg(&self, table: &mut SgTable) -> Result<u32> {
        let segments = self.segments();
        // Cheaper than a reset, which clears all entries; the block layer moves
        // the end mark by itself.
        table.prepare(segments)?;
        if segments == 0 {
            return Err(EINVAL);
        }
        let mut last = core::ptr::null_mut();
        // SAFETY:
        // - The request is live and owned by our caller, has memory (checked
        //   above) and no special payload.
        // - The table has room for as many entries as the request has physical
        //   segments, and blk-mq fills in no more than that.
        let mapped =
            unsafe { bindings::__blk_rq_map_sg(self.raw(), table.as_mut_ptr(), &mut last) };
        let mapped = u32::try_from(mapped)?;
        let bytes = self.bytes();
        // SAFETY:
        // - The first `mapped` entries were just filled in by the block layer,
        //   the last of them is marked as the end.
        // - They cover the request's memory, which is `bytes` long.
        // - The memory stays until the request ends; that the table is unmapped
        //   by then is demanded from the caller.
        unsafe { table.set_mapped(mapped, bytes) };
        Ok(bytes)
    }
}

/// Ties a value to one call of `queue_rq`: neither longer nor shorter lifetimes
/// will do.
type Call<'a> = PhantomData<fn(&'a ()) -> &'a ()>;

/// A request that was handed to `queue_rq` and is not started yet.
///
/// The lifetime is that of the call to `queue_rq`, so that neither the request
/// nor the [`Refusal`] made of it can be kept and returned from another call.
/// Dropping it starts it and ends it with an IO error.
///
/// # Invariants
///
/// `rq` is a live request in the idle state, of a disk of `O`, and this value
/// is its only owner.
pub struct IdleRequest<'a, O: Operations> {
    rq: NonNull<bindings::request>,
    _call: Call<'a>,
    _ops: PhantomData<O>,
}

impl<'a, O: Operations> IdleRequest<'a, O> {
    /// # Safety
    ///
    /// `rq` must be a live request in the idle state of a disk of `O`, and its
    /// ownership must be the caller's to give.
    pub(crate) unsafe fn from_raw(rq: *mut bindings::request) -> Self {
        // INVARIANT: by the requirements of this function.
        Self {
            // SAFETY: a live request is not at address 0.
            rq: unsafe { NonNull::new_unchecked(rq) },
            _call: PhantomData,
            _ops: PhantomData,
        }
    }

    /// Tells the block layer that the request is being worked on.
    pub fn start(self) -> Request<O> {
        let rq = ManuallyDrop::new(self).rq;
        // SAFETY: by the invariant the request is live, idle and ours.
        unsafe { bindings::blk_mq_start_request(rq.as_ptr()) };
        // INVARIANT: the request is started now, and `self` is gone without
        // running its destructor, so the new value is the only owner.
        Request {
            rq,
            _ops: PhantomData,
        }
    }

    /// Starts the request and hands it to `work`. If that gives it back, a resource
    /// was missing that only showed then: the block layer tries again, as after
    /// [`Self::busy`].
    pub fn start_and<F>(self, work: F) -> Result<(), Refusal<'a>>
    where
        F: FnOnce(Request<O>) -> Result<(), Request<O>>,
    {
        let idle = self.rq;
        let Err(back) = work(self.start()) else {
            return Ok(());
        };
        if back.rq != idle {
            // Another request than the one of this call: it has to wait on its own.
            back.requeue();
            return Ok(());
        }
        // INVARIANT: the request of this call is live and ours again, and `back` is
        // gone without running its destructor. That it was started does not matter:
        // the block layer resets it when it is refused for want of a resource.
        Err(Refusal {
            rq: ManuallyDrop::new(back).rq,
            status: Status::RESOURCE,
            started: true,
            _call: PhantomData,
        })
    }

    /// Gives the request back because a resource is missing at the moment.
    /// blk-mq tries again by itself: when a request of the queue ends, or
    /// after a few milliseconds.
    pub fn busy(self) -> Refusal<'a> {
        self.refuse(Status::RESOURCE)
    }

    /// Fails the request without starting it. A status that does not mean
    /// failure becomes an IO error.
    pub fn fail(self, status: Status) -> Refusal<'a> {
        self.refuse(status.failing())
    }

    fn refuse(self, status: Status) -> Refusal<'a> {
        // INVARIANT: the request is live, idle and ours, and `self` is gone
        // without running its destructor.
        Refusal {
            rq: ManuallyDrop::new(self).rq,
            status,
            started: false,
            _call: PhantomData,
        }
    }

    /// The data of the disk the request is for.
    pub fn queue(&self) -> &O::Queue {
        // SAFETY: by the invariant `rq` is a live request of a disk of `O`.
        unsafe { queue_of::<O>(self.rq) }
    }
}

impl<O: Operations> Deref for IdleRequest<'_, O> {
    type Target = View;

    fn deref(&self) -> &View {
        // SAFETY: by the invariant the request is live, and `View` is a
        // transparent wrapper of it.
        unsafe { self.rq.cast::<View>().as_ref() }
    }
}

impl<O: Operations> Drop for IdleRequest<'_, O> {
    fn drop(&mut self) {
        // SAFETY: by the invariant the request is live, idle and ours, and
        // `self` is not used afterwards.
        unsafe { abandon(self.rq) };
    }
}

/// A request that the driver does not take: the error of `queue_rq`. Dropping it
/// instead of returning it fails the request.
///
/// # Invariants
///
/// `rq` is a live request, started if `started` says so and idle otherwise, and
/// this value is its only owner.
#[must_use = "return it from queue_rq"]
pub struct Refusal<'a> {
    rq: NonNull<bindings::request>,
    status: Status,
    started: bool,
    _call: Call<'a>,
}

impl Refusal<'_> {
    /// What `queue_rq` has to answer to blk-mq, which thereby owns the request
    /// again.
    pub(crate) fn answer(self) -> Status {
        ManuallyDrop::new(self).status
    }
}

impl Drop for Refusal<'_> {
    fn drop(&mut self) {
        if self.started {
            // SAFETY: by the invariant the request is live, started and ours, and
            // `self` is not used afterwards.
            unsafe { finish(self.rq, Status::IOERR) };
            return;
        }
        // SAFETY: by the invariant the request is live, idle and ours, and
        // `self` is not used afterwards.
        unsafe { abandon(self.rq) };
    }
}

/// A started request, owned by the driver until it ends it.
///
/// One pointer wide, and a [`ForeignOwnable`], so that it fits a lock-free slot.
/// Dropping it ends it with an IO error.
///
/// # Invariants
///
/// `rq` is a live, started request of a disk of `O`, and this value is its only
/// owner. Hence the disk's queue is not frozen, and its data is alive.
#[must_use = "end it"]
pub struct Request<O: Operations> {
    rq: NonNull<bindings::request>,
    _ops: PhantomData<O>,
}

// SAFETY: a started request belongs to no thread: it may be ended or requeued
// from any context, and `O::Queue`, which it gives access to, is `Sync`.
unsafe impl<O: Operations> Send for Request<O> {}

// SAFETY: through `&Request` the request is only read, and nobody writes to it
// while the driver owns it; `O::Queue` is `Sync`.
unsafe impl<O: Operations> Sync for Request<O> {}

impl<O: Operations> Request<O> {
    /// Ends the request. Any context, does not sleep.
    ///
    /// Where the block layer asks for it, the rest of the work is done on the
    /// CPU that submitted the request.
    pub fn end(self, status: Status) {
        let rq = ManuallyDrop::new(self).rq;
        // SAFETY: by the invariant the request is live, started and ours, and
        // `self` is gone without running its destructor.
        unsafe { finish(rq, status) };
    }

    /// Gives the request back to the block layer, which will hand it out again
    /// as soon as it can. Any context, does not sleep. Where a resource is short
    /// use [`IdleRequest::start_and`], after which the block layer waits a little.
    pub fn requeue(self) {
        let rq = ManuallyDrop::new(self).rq;
        // SAFETY: by the invariant the request is live, started and ours, and
        // `self` is gone without running its destructor.
        unsafe { bindings::blk_mq_requeue_request(rq.as_ptr(), true) };
    }

    /// Gives the request a number by which [`Operations::timed_out`] will call it.
    /// Any context.
    pub fn set_token(&self, token: u32) {
        // SAFETY:
        // - By the invariant the request is live; its private area was initialised with
        //   the tag set, and is aligned.
        // - Only the address of the field is taken.
        let field = unsafe { &raw const (*Pdu::of(self.rq.as_ptr())).token };
        // SAFETY: as above; the field is atomic, and reached without a reference to its
        // neighbours.
        unsafe { &*field }.store(token, Relaxed);
    }

    /// The data of the disk the request is for.
    pub fn queue(&self) -> &O::Queue {
        // SAFETY: by the invariant `rq` is a live request of a disk of `O`.
        unsafe { queue_of::<O>(self.rq) }
    }
}

impl<O: Operations> Deref for Request<O> {
    type Target = View;

    fn deref(&self) -> &View {
        // SAFETY: by the invariant the request is live, and `View` is a
        // transparent wrapper of it.
        unsafe { self.rq.cast::<View>().as_ref() }
    }
}

impl<O: Operations> Drop for Request<O> {
    fn drop(&mut self) {
        // SAFETY: by the invariant the request is live, started and ours, and
        // `self` is not used afterwards.
        unsafe { finish(self.rq, Status::IOERR) };
    }
}

// SAFETY:
// - `into_foreign` returns the address of the request, which is not null and
//   aligned as `FOREIGN_ALIGN` says.
// - `from_foreign` and `borrow` only rebuild the handle from that address.
unsafe impl<O: Operations> ForeignOwnable for Request<O> {
    const FOREIGN_ALIGN: usize = core::mem::align_of::<bindings::request>();

    type Borrowed<'a> = &'a View;
    type BorrowedMut<'a> = &'a View;

    fn into_foreign(self) -> *mut c_void {
        ManuallyDrop::new(self).rq.as_ptr().cast()
    }

    unsafe fn from_foreign(ptr: *mut c_void) -> Self {
        // INVARIANT: `ptr` came from `into_foreign`, which gave its ownership.
        Self {
            // SAFETY: `into_foreign` returns no null pointer.
            rq: unsafe { NonNull::new_unchecked(ptr.cast()) },
            _ops: PhantomData,
        }
    }

    unsafe fn borrow<'a>(ptr: *mut c_void) -> &'a View {
        // SAFETY: the foreign owner keeps the request for `'a`, and `View` is
        // a transparent wrapper of it.
        unsafe { &*ptr.cast::<View>() }
    }

    unsafe fn borrow_mut<'a>(ptr: *mut c_void) -> &'a View {
        // SAFETY: the same obligations as `borrow`, which suffice.
        unsafe { Self::borrow(ptr) }
    }
}

/// Ends a started request, here or on the CPU that submitted it.
///
/// # Safety
///
/// `rq` must be live and started, and its ownership the caller's to give.
unsafe fn finish(rq: NonNull<bindings::request>, status: Status) {
    let rq = rq.as_ptr();
    // SAFETY:
    // - The private area was initialised with the tag set, and belongs to the
    //   owner of the request, which is our caller.
    // - After `blk_mq_complete_request_remote` returned true the request is
    //   blk-mq's and is not touched; if it returned false it still is ours,
    //   and ending it is the last thing done with it.
    unsafe {
        (&raw mut (*Pdu::of(rq)).status).write(status);
        if !bindings::blk_mq_complete_request_remote(rq) {
            bindings::blk_mq_end_request(rq, status.raw());
        }
    }
}

/// Fails a request about which nobody has decided.
///
/// # Safety
///
/// `rq` must be live and idle, and its ownership the caller's to give.
unsafe fn abandon(rq: NonNull<bindings::request>) {
    // SAFETY: the request is live and idle, and after that started; its
    // ownership is the caller's to give.
    unsafe {
        bindings::blk_mq_start_request(rq.as_ptr());
        finish(rq, Status::IOERR);
    }
}

/// The data of the disk of a request.
///
/// # Safety
///
/// `rq` must be a live request of a disk of `O` for `'a`.
unsafe fn queue_of<'a, O: Operations>(rq: NonNull<bindings::request>) -> &'a O::Queue {
    // SAFETY:
    // - The request is live, hence its queue has not exited.
    // - `queuedata` is a valid `Inner<O>` as long as that.
    unsafe { (*(*(*rq.as_ptr()).q).queuedata.cast::<Inner<O>>()).queue() }
}

/// Bytes that the block layer must reserve behind each request.
pub(crate) const PDU_SIZE: c_uint = core::mem::size_of::<Pdu>() as c_uint;

const _: () = assert!(
    core::mem::align_of::<Pdu>() <= core::mem::align_of::<bindings::request>(),
    "the private area has the alignment of a request"
);
