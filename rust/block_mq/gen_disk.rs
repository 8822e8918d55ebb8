// SPDX-License-Identifier: GPL-2.0

//! Disks.
//!
//! Two lifetimes meet here. The [`Disk`] is the driver's: dropping it takes the
//! disk away from the system and waits for its requests. The C disk lives on
//! until the last opener has closed it; what the callbacks of openers need is in
//! [`Inner`], which the block layer frees with the C disk.

use crate::{
    major::Major,
    operations::Operations,
    queue_limits::Limits,
    raw,
    tag_set::TagSet, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        from_result,
        to_result, //
    },
    ffi::{
        c_int,
        c_uint, //
    },
    prelude::*,
    str::CStrExt,
    sync::{
        atomic::{
            ordering::{
                Acquire,
                Full,
                Relaxed, //
            },
            Atomic, //
        },
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    },
    types::ScopeGuard,
    ThisModule, //
};
use kernel_ext::{
    sysfs::Parent,
    time::ms_to_jiffies, //
};

// Asserted in `rust/helpers/block_mq.c`.
const BLK_OPEN_WRITE: u32 = 1 << 1;
const DISK_NAME_LEN: usize = bindings::DISK_NAME_LEN as usize;
const DISK_MAX_PARTS: u32 = 256;

/// Largest capacity the block layer accepts without complaint, in sectors
/// (`BLK_DEV_MAX_SECTORS` in `block/blk.h`: signed byte offsets).
const MAX_CAPACITY: u64 = (i64::MAX >> 9) as u64;

/// Disks whose C part has not been released yet, over all drivers that are
/// linked with this crate, that is, one module.
static UNRELEASED: Atomic<i32> = Atomic::new(0);

/// Sleeps until the block layer has released every disk.
pub(crate) fn wait_released() {
    let mut rounds: u32 = 0;
    while UNRELEASED.load(Acquire) != 0 {
        rounds = rounds.saturating_add(1);
        if rounds == 1000 {
            // Going on would free the code that the last release will run.
            pr_err!("a disk is not released; waiting for it\n");
        }
        fsleep(Delta::from_millis(10));
    }
}

/// A C return value that is a number or a negative errno.
pub(crate) fn positive(ret: c_int) -> Result<u32> {
    to_result(ret)?;
    Ok(u32::try_from(ret)?)
}

/// What the block layer's callbacks need; lives as long as the C disk.
pub(crate) struct Inner<O: Operations> {
    queue: Arc<O::Queue>,
    fops: bindings::block_device_operations,
}

impl<O: Operations> Inner<O> {
    pub(crate) fn queue(&self) -> &O::Queue {
        &self.queue
    }
}

/// What a disk is called and how it starts out.
pub struct DiskConfig<'a> {
    /// The name in `/dev`, at most 31 bytes, without `/`.
    pub name: &'a CStr,
    /// Where the device numbers come from.
    pub major: &'a Arc<Major>,
    /// First minor number.
    pub first_minor: u32,
    /// How many minor numbers belong to the disk, 1..=256: itself and its
    /// partitions. Further partitions get numbers from elsewhere.
    pub minors: u32,
    /// Size in sectors of 512 bytes.
    pub capacity_sectors: u64,
    /// Whether writers are refused by the block layer's own means.
    pub read_only: bool,
}

/// An event to announce about a disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DiskEvent {
    /// The disk works (again).
    Online,
    /// The disk does not work for now.
    Offline,
}

/// Where a disk is in its life; only ever moves forward.
mod state {
    /// Allocated; nobody sees it.
    pub(super) const NEW: i32 = 0;
    /// Being added, or adding failed: `add` is not possible (any more).
    pub(super) const ADDING: i32 = 1;
    /// Visible to the system.
    pub(super) const ADDED: i32 = 2;
}

/// A disk, owned by its driver.
///
/// Dropping it removes the disk from the system, which flushes what file
/// systems and page cache hold, and **waits until every request of the disk has
/// ended**; after that no operation but [`Operations::release`] is called. May
/// sleep for long; must not be done from [`Operations::open`] or `release`, nor
/// from where a request of this disk has to be completed.
///
/// # Invariants
///
/// - `disk` is a C disk with a queue of `tags`, on which we hold a reference.
/// - `private_data` and `queuedata` point to its `Inner<O>`.
/// - The disk was added, and not yet deleted, iff `state` is `ADDED`.
pub struct Disk<O: Operations> {
    disk: NonNull<bindings::gendisk>,
    state: Atomic<i32>,
    /// Whether the queue is quiesced by us.
    halted: Atomic<bool>,
    // Dropped in this order after `disk` is gone: its queue needs the tags until
    // it has exited, and the disk its numbers.
    tags: Arc<TagSet<O>>,
    _major: Arc<Major>,
}

// SAFETY: a C disk is not bound to a thread; what is reachable through it from
// here, the tag set and `O::Queue`, is `Send` and `Sync`.
unsafe impl<O: Operations> Send for Disk<O> {}

// SAFETY: the C functions called with a shared reference synchronise by
// themselves, and `add` is guarded by `state`.
unsafe impl<O: Operations> Sync for Disk<O> {}

impl<O: Operations> Disk<O> {
    /// Allocates a disk. It is invisible, and none of its operations is called,
    /// until [`Disk::add`].
    ///
    /// Fails with `EINVAL` for an impossible name, number or capacity, and with
    /// `ENOMEM`. May sleep.
    pub fn new(
        tags: Arc<TagSet<O>>,
        data: Arc<O::Queue>,
        limits: &Limits,
        config: &DiskConfig<'_>,
    ) -> Result<Self> {
        let name = config.name.to_bytes();
        if name.is_empty() || name.len() >= DISK_NAME_LEN || name.contains(&b'/') {
            return Err(EINVAL);
        }
        if config.minors == 0 || config.minors > DISK_MAX_PARTS {
            return Err(EINVAL);
        }
        check_capacity(config.capacity_sectors)?;
        let mut raw_limits = limits.raw();
        let major = c_int::try_from(config.major.number())?;
        let first_minor = c_int::try_from(config.first_minor)?;

        let inner = KBox::new(
            Inner::<O> {
                queue: data,
                fops: Self::operations(config.major.owner()),
            },
            GFP_KERNEL,
        )?;
        let inner = KBox::into_raw(inner);
        let free_inner = ScopeGuard::new(|| {
            // SAFETY: `inner` came from `into_raw`, and on this path no disk
            // was made of it.
            drop(unsafe { KBox::from_raw(inner) });
        });
        // SAFETY:
        // - The tag set is allocated, and held by the new value until the
        //   queue has exited.
        // - The limits are initialised and were checked.
        let disk = from_err_ptr(unsafe {
            raw::bmqx_alloc_disk(tags.raw(), &mut raw_limits, inner.cast())
        })?;
        free_inner.dismiss();

        // SAFETY:
        // - The disk was just made and nobody else knows it, so its fields are
        //   ours to write.
        // - The operations live in `inner`, as long as the C disk.
        unsafe {
            (*disk).major = major;
            (*disk).first_minor = first_minor;
            // At most 256, see above.
            (*disk).minors = config.minors as c_int;
            (*disk).fops = &raw const (*inner).fops;
            (*disk).private_data = inner.cast();
            (&mut (*disk).disk_name)[..name.len()].copy_from_slice(name);
            bindings::set_capacity(disk, config.capacity_sectors);
            if config.read_only {
                bindings::set_disk_ro(disk, true);
            }
        }
        UNRELEASED.fetch_add(1, Relaxed);

        // INVARIANT: the disk was made above with our tags, we hold its first
        // reference, both pointers are set, and it was not added.
        Ok(Self {
            // SAFETY: `from_err_ptr` leaves a valid pointer.
            disk: unsafe { NonNull::new_unchecked(disk) },
            state: Atomic::new(state::NEW),
            halted: Atomic::new(false),
            tags,
            _major: config.major.clone(),
        })
    }

    /// Makes the disk visible. Before this returns, the partition table is read
    /// through [`Operations::queue_rq`], and the `add` event is sent.
    ///
    /// Works once; another call, also after a failure, is `EBUSY`. May sleep as
    /// long as those reads take.
    pub fn add(&self) -> Result {
        if self.state.cmpxchg(state::NEW, state::ADDING, Full).is_err() {
            return Err(EBUSY);
        }
        // SAFETY:
        // - The disk is live, completely set up, and was not added before.
        // - No parent and no attribute groups are wanted.
        to_result(unsafe {
            bindings::device_add_disk(
                core::ptr::null_mut(),
                self.disk.as_ptr(),
                core::ptr::null_mut(),
            )
        })?;
        // INVARIANT: the disk was added.
        let _ = self.state.xchg(state::ADDED, Full);
        Ok(())
    }

    /// Whether [`Disk::add`] has succeeded.
    pub fn is_added(&self) -> bool {
        self.state.load(Acquire) == state::ADDED
    }

    /// Changes the size, in sectors of 512 bytes; a visible disk announces it
    /// with a `change` event (`RESIZE=1`) and a line in the log. The same size
    /// again does nothing. `EINVAL` if it is too large for any disk. May sleep.
    pub fn set_capacity_and_notify(&self, sectors: u64) -> Result {
        check_capacity(sectors)?;
        // SAFETY: the disk is live; the function may be called before and
        // after it was added.
        unsafe { bindings::set_capacity_and_notify(self.disk.as_ptr(), sectors) };
        Ok(())
    }

    /// The size in sectors of 512 bytes.
    pub fn capacity(&self) -> u64 {
        // SAFETY: the disk is live.
        unsafe { capacity(self.disk.as_ptr()) }
    }

    /// Makes every request to come fail at once, without reaching the driver,
    /// and tells whoever has the disk open. The disk stays until it is dropped;
    /// there is no way back. Does nothing before [`Disk::add`]. May sleep.
    pub fn mark_dead(&self) {
        if self.is_added() {
            // SAFETY: the disk is live, and still there by the invariant.
            unsafe { bindings::blk_mark_disk_dead(self.disk.as_ptr()) };
        }
    }

    /// Keeps requests in the block layer: none is handed to the driver until
    /// [`Disk::go_on`], but for those that are on their way in this moment. Does nothing if
    /// they are kept already. Any context, but never at the same time as [`Disk::go_on`]: one of
    /// the two would see what the other has not done yet.
    pub fn halt(&self) {
        if self.halted.cmpxchg(false, true, Full).is_ok() {
            // SAFETY: the disk is live, and its queue with it.
            unsafe { bindings::blk_mq_quiesce_queue_nowait(self.queue()) };
        }
    }

    /// Undoes [`Disk::halt`] and hands out what was kept. Any context, see there; dropping the disk
    /// does it, too.
    pub fn go_on(&self) {
        if self.halted.cmpxchg(true, false, Full).is_ok() {
            // SAFETY:
            // - The disk is live, and its queue with it.
            // - The flag says that it was quiesced, and only one caller gets to see that.
            unsafe {
                bindings::blk_mq_unquiesce_queue(self.queue());
                bindings::blk_mq_kick_requeue_list(self.queue());
            }
        }
    }

    /// How long a request may be the driver's until [`Operations::timed_out`] is called, in
    /// milliseconds. Requests that are started from now on have it. Any context.
    pub fn set_request_timeout(&self, ms: u32) {
        let ticks = c_uint::try_from(ms_to_jiffies(ms)).unwrap_or(c_uint::MAX);
        // SAFETY: the disk is live, and its queue with it.
        unsafe { bindings::blk_queue_rq_timeout(self.queue(), ticks.max(1)) };
    }

    fn queue(&self) -> *mut bindings::request_queue {
        // SAFETY: the disk is live; its queue does not change.
        unsafe { (*self.disk.as_ptr()).queue }
    }

    /// Sends an event about the disk to user space, which has no effect before
    /// [`Disk::add`]. A lost event is not worth an error. May sleep.
    pub fn uevent(&self, event: DiskEvent) {
        if !self.is_added() {
            return;
        }
        let action = match event {
            DiskEvent::Online => bindings::kobject_action_KOBJ_ONLINE,
            DiskEvent::Offline => bindings::kobject_action_KOBJ_OFFLINE,
        };
        // SAFETY: the disk and so its kobject are live.
        let _ = unsafe { bindings::kobject_uevent(self.kobject(), action) };
    }

    /// The name in `/dev`.
    pub fn name(&self) -> &CStr {
        // SAFETY:
        // - The name was written, with a terminating zero, when the disk was
        //   made, and does not change.
        unsafe { CStr::from_char_ptr((&raw const (*self.disk.as_ptr()).disk_name).cast()) }
    }

    /// The driver's data.
    pub fn data(&self) -> &Arc<O::Queue> {
        // SAFETY: by the invariants the pointer is to an `Inner<O>`, which
        // lives as long as the C disk.
        unsafe { &(*(*self.disk.as_ptr()).private_data.cast::<Inner<O>>()).queue }
    }

    /// The tag set the disk has its requests from.
    pub fn tags(&self) -> &Arc<TagSet<O>> {
        &self.tags
    }

    /// The table of file operations. It is a value per disk, not a static,
    /// because only the module that uses this crate knows its owner.
    fn operations(owner: &'static ThisModule) -> bindings::block_device_operations {
        bindings::block_device_operations {
            open: Some(open::<O>),
            release: Some(release::<O>),
            getgeo: Some(getgeo),
            free_disk: Some(free_disk::<O>),
            owner: owner.as_ptr(),
            ..pin_init::zeroed()
        }
    }
}

impl<O: Operations> Drop for Disk<O> {
    fn drop(&mut self) {
        let disk = self.disk.as_ptr();
        let added = self.is_added();
        // What was kept has to end before the disk can go.
        self.go_on();
        // SAFETY: the disk is live, and so is its `Inner`.
        let inner: *mut Inner<O> = unsafe { (*disk).private_data }.cast();
        // SAFETY:
        // - The disk is live; it is deleted iff it was added, and we give up
        //   our reference as the last thing we do with it.
        unsafe {
            if added {
                bindings::del_gendisk(disk);
            }
            bindings::put_disk(disk);
        }
        if !added {
            // Nobody else ever had a reference, so the disk is gone; and for a
            // disk that was not added the block layer does not call
            // `free_disk`.
            // SAFETY: `inner` came from `into_raw` and is given back once.
            unsafe { free_inner(inner) };
        }
    }
}

// SAFETY: the kobject is that of the disk's device, which lives as long as the
// C disk, on which a `Disk` holds a reference.
unsafe impl<O: Operations> Parent for Disk<O> {
    fn kobject(&self) -> *mut bindings::kobject {
        // SAFETY: the disk is live, and its first partition is the disk itself.
        unsafe { &raw mut (*(*self.disk.as_ptr()).part0).bd_device.kobj }
    }
}

fn check_capacity(sectors: u64) -> Result {
    if sectors > MAX_CAPACITY {
        return Err(EINVAL);
    }
    Ok(())
}

/// The size of a disk in sectors.
///
/// # Safety
///
/// `disk` must be live.
unsafe fn capacity(disk: *mut bindings::gendisk) -> u64 {
    // SAFETY:
    // - The disk is live.
    // - The field may change under us; a volatile read of an aligned word
    //   yields the old or the new value, as C reads it.
    unsafe { (&raw const (*(*disk).part0).bd_nr_sectors).read_volatile() }
}

/// Frees what the callbacks need, when nobody can call them any more.
///
/// # Safety
///
/// `inner` must come from `KBox::into_raw` and not be used afterwards.
unsafe fn free_inner<O: Operations>(inner: *mut Inner<O>) {
    // SAFETY: by the requirements of this function.
    drop(unsafe { KBox::from_raw(inner) });
    UNRELEASED.fetch_sub(1, Full);
}

/// The data of a disk in a file operation.
///
/// # Safety
///
/// `disk` must be a live disk of `O` for `'a`.
unsafe fn queue_of<'a, O: Operations>(disk: *mut bindings::gendisk) -> &'a O::Queue {
    // SAFETY: `private_data` was set to a valid `Inner<O>` when the disk was
    // made, and is freed with it.
    unsafe { (*(*disk).private_data.cast::<Inner<O>>()).queue() }
}

/// # Safety
///
/// May only be called by the block layer through the table of a disk of `O`.
unsafe extern "C" fn open<O: Operations>(
    disk: *mut bindings::gendisk,
    mode: bindings::blk_mode_t,
) -> c_int {
    // SAFETY: the opener holds the disk during this call.
    let queue = unsafe { queue_of::<O>(disk) };
    from_result(|| {
        O::open(queue, mode & BLK_OPEN_WRITE != 0)?;
        Ok(0)
    })
}

/// # Safety
///
/// May only be called by the block layer through the table of a disk of `O`.
unsafe extern "C" fn release<O: Operations>(disk: *mut bindings::gendisk) {
    // SAFETY: the opener holds the disk during this call.
    O::release(unsafe { queue_of::<O>(disk) });
}

/// # Safety
///
/// May only be called by the block layer through the table of a disk.
unsafe extern "C" fn getgeo(
    disk: *mut bindings::gendisk,
    geo: *mut bindings::hd_geometry,
) -> c_int {
    // SAFETY: the caller holds the disk, and `geo` is valid for writes.
    unsafe { raw::bmqx_set_geometry(geo, capacity(disk)) };
    0
}

/// # Safety
///
/// May only be called by the block layer through the table of a disk of `O`, as
/// the last call about that disk.
unsafe extern "C" fn free_disk<O: Operations>(disk: *mut bindings::gendisk) {
    // SAFETY:
    // - The pointer was set from `KBox::into_raw` when the disk was made.
    // - The last reference to the disk is gone, so no callback runs or will,
    //   and the table of operations is not used after this call.
    unsafe { free_inner((*disk).private_data.cast::<Inner<O>>()) };
}
