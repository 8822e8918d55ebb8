// SPDX-License-Identifier: GPL-2.0

//! Protection domains.
//!
//! A [`Pd`] is the owner of everything a device may touch: it keeps the list of mapped memory and
//! of memory regions and tears them down in the one correct order, after the last queue pair is
//! gone. It also holds the connection manager id it was made from, without which the device could
//! vanish. One per path; never shared between peers (rtrs.md S19).

use super::{
    device::{
        DeviceInfo,
        HasDevice, //
    },
    id::IdRef,
    mr::Mr,
    reaper, //
};
use crate::dma::{
    Buffer,
    Chunk,
    Direction,
    Memory,
    Region,
    Source, //
};
use kernel::{
    error::{
        from_err_ptr,
        to_result, //
    },
    impl_has_work,
    new_mutex,
    new_work,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    },
    workqueue::{
        Work,
        WorkItem, //
    }, //
};
use rdma_bindings as c;

/// Gives every protection domain a number of its own, so that a stale [`Sge`](super::Sge) is
/// recognised. 64 bits do not wrap in practice.
static SERIAL: Atomic<i64> = Atomic::new(1);

/// Things of a protection domain which the device may use.
#[derive(Default)]
struct Owned {
    regions: KVec<MrPtr>,
    memory: KVec<Arc<Memory>>,
}

/// A memory region in the list of its protection domain.
struct MrPtr(*mut c::ib_mr);

// SAFETY: a memory region is bound to no thread; it is destroyed by one thread, in `Teardown`.
unsafe impl Send for MrPtr {}

/// The C protection domain and all it owns; separate from [`Pd`] so that it can be torn down later
/// and elsewhere.
///
/// # Invariants
///
/// - `raw` is a protection domain of `device`.
/// - `id` is bound to `device`, which therefore stays.
/// - Every element of `owned` belongs to `raw` or is mapped for `device`.
#[pin_data(PinnedDrop)]
struct Teardown {
    raw: *mut c::ib_pd,
    device: *mut c::ib_device,
    #[pin]
    owned: Mutex<Owned>,
    #[pin]
    work: Work<Teardown>,
    /// Dropped last: destroying it lets the device go.
    id: Arc<IdRef>,
}

// SAFETY: the C objects are bound to no thread.
unsafe impl Send for Teardown {}
// SAFETY: all changes to what the pointers point to go through C functions with own locking, or
// happen under `owned`, or in `drop`.
unsafe impl Sync for Teardown {}

impl_has_work! {
    impl HasWork<Self> for Teardown { self.work }
}

impl WorkItem for Teardown {
    type Pointer = Pin<KBox<Self>>;

    fn run(this: Pin<KBox<Self>>) {
        drop(this);
    }
}

#[pinned_drop]
impl PinnedDrop for Teardown {
    fn drop(self: Pin<&mut Self>) {
        let Owned {
            mut regions,
            mut memory,
        } = core::mem::take(&mut *self.owned.lock());
        for region in regions.drain_all() {
            // SAFETY:
            // - The region belongs to this protection domain and is destroyed nowhere else.
            // - No handle is left: each holds the `Pd`, whose end brought us here.
            // - No queue pair is left, for the same reason, so no work request refers to it.
            let left = to_result(unsafe { c::ib_dereg_mr_user(region.0, core::ptr::null_mut()) });
            if left.is_err() {
                // The device may still use the memory: leaking everything is the lesser evil.
                pr_err!("a memory region cannot be destroyed; its memory is lost\n");
                core::mem::forget(memory);
                return;
            }
        }
        for piece in memory.drain_all() {
            // SAFETY:
            // - It was mapped for this device by `Pd::region` and is unmapped here only.
            // - Queue pairs and memory regions are gone, see above.
            unsafe { piece.unmap(self.device) };
        }
        // SAFETY: all objects of the protection domain are gone; it is destroyed here only.
        if unsafe { c::rdx_dealloc_pd(self.raw) } != 0 {
            pr_err!("a protection domain cannot be destroyed\n");
        }
    }
}

/// A protection domain, always in an [`Arc`].
///
/// The last reference may be dropped in any context: the teardown itself runs on the queue of the
/// [`Reaper`](super::Reaper).
pub struct Pd {
    /// Present until `drop`.
    inner: Option<Pin<KBox<Teardown>>>,
    raw: *mut c::ib_pd,
    device: *mut c::ib_device,
    local_key: u32,
    serial: u64,
    port_num: u32,
    info: DeviceInfo,
}

// SAFETY: see `Teardown`; the other fields are plain values.
unsafe impl Send for Pd {}
// SAFETY: As above.
unsafe impl Sync for Pd {}

impl Pd {
    /// Makes a protection domain on the device a connection is bound to. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENODEV` or the errno of the driver.
    pub fn new(from: &impl HasDevice) -> Result<Arc<Pd>> {
        Self::of(from.id().clone())
    }

    /// The part of `new` that is not generic, and so exists once: a lock class must have one name,
    /// at one address, in all modules.
    #[inline(never)]
    fn of(id: Arc<IdRef>) -> Result<Arc<Pd>> {
        let device = id.device().ok_or(ENODEV)?;
        let room = KBox::<Teardown>::new_uninit(GFP_KERNEL)?;
        // SAFETY: the id is bound to the device and `id` keeps it.
        let raw = from_err_ptr(unsafe { c::rdx_alloc_pd(device) })?;
        // SAFETY: `raw` was just returned and is valid.
        let local_key = unsafe { (*raw).local_dma_lkey };
        let port_num = id.port_num();
        // SAFETY: as for `rdx_alloc_pd`.
        let info = unsafe { DeviceInfo::read(device) };
        // INVARIANT: `raw` belongs to `device`, to which `id` is bound; nothing is owned yet.
        let inner = room.write_pin_init(pin_init!(Teardown {
            raw,
            device,
            owned <- new_mutex!(Owned::default(), "Pd::owned"),
            work <- new_work!("Pd::teardown"),
            id,
        }))?;
        let pd = Pd {
            inner: Some(inner),
            raw,
            device,
            local_key,
            serial: SERIAL.fetch_add(1, Relaxed) as u64,
            port_num,
            info,
        };
        Ok(Arc::new(pd, GFP_KERNEL)?)
    }

    /// The key for local access to all mapped memory.
    pub fn local_key(&self) -> u32 {
        self.local_key
    }

    /// Facts about the device.
    pub fn info(&self) -> &DeviceInfo {
        &self.info
    }

    /// The device's port of the connection this was made from.
    pub fn port_num(&self) -> u32 {
        self.port_num
    }

    /// Allocates `len` zeroed bytes (1..=4 MiB) from the heap and maps them. Sleeps.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a length out of range, `ENOMEM`.
    pub fn buffer(self: &Arc<Self>, len: usize, dir: Direction) -> Result<Buffer> {
        Ok(Buffer(self.region(len, Source::Heap, dir)?))
    }

    /// Allocates `len` bytes (1..=4 MiB) of physically contiguous zeroed pages and maps them in
    /// both directions. Sleeps. Failure prints nothing.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a length out of range, `ENOMEM`.
    pub fn chunk(self: &Arc<Self>, len: usize) -> Result<Chunk> {
        Ok(Chunk(self.region(
            len,
            Source::Pages,
            Direction::Bidirectional,
        )?))
    }

    /// Allocates a memory region for up to `max_pages` pages. Sleeps.
    ///
    /// With `gaps` its elements need not be aligned to pages, if the device can
    /// ([`DeviceInfo::gaps_mr`]).
    ///
    /// # Errors
    ///
    /// `ENOMEM` or the errno of the driver.
    pub fn mr(self: &Arc<Self>, max_pages: u32, gaps: bool) -> Result<Mr> {
        let kind = if gaps {
            c::ib_mr_type_IB_MR_TYPE_SG_GAPS
        } else {
            c::ib_mr_type_IB_MR_TYPE_MEM_REG
        };
        let teardown = self.teardown()?;
        let mut owned = teardown.owned.lock();
        owned.regions.reserve(1, GFP_KERNEL)?;
        // SAFETY: the protection domain is valid as long as `self`.
        let raw = from_err_ptr(unsafe { c::ib_alloc_mr(self.raw, kind, max_pages) })?;
        // There is room: it was reserved under the same lock.
        owned
            .regions
            .push_within_capacity(MrPtr(raw))
            .map_err(|_| ENOMEM)?;
        drop(owned);
        // SAFETY: `raw` is in the list of `self`.
        unsafe { Mr::new(raw, self.clone()) }
    }

    /// Memory for receives: whole pages, written by the device only. Sleeps.
    pub(super) fn receive_memory(self: &Arc<Self>, len: usize) -> Result<Region> {
        self.region(len, Source::Pages, Direction::FromDevice)
    }

    fn region(
        self: &Arc<Self>,
        len: usize,
        source: Source,
        direction: Direction,
    ) -> Result<Region> {
        let teardown = self.teardown()?;
        let mut owned = teardown.owned.lock();
        owned.memory.reserve(1, GFP_KERNEL)?;
        let room = kernel::sync::UniqueArc::<Memory>::new_uninit(GFP_KERNEL)?;
        // SAFETY:
        // - The device is valid as long as `self`.
        // - `Teardown` unmaps what is in its list, exactly once and before its own reference goes;
        //   the memory gets into the list below without a failing step in between, as the room was
        //   reserved.
        let memory = unsafe { Memory::map(self.device, len, source, direction) }?;
        let memory: Arc<Memory> = room.write(memory).into();
        if owned.memory.push_within_capacity(memory.clone()).is_err() {
            // SAFETY: not reached, as there is room; undoes the mapping of a moment ago.
            unsafe { memory.unmap(self.device) };
            return Err(ENOMEM);
        }
        drop(owned);
        // SAFETY: the memory is in the list.
        Ok(unsafe { Region::new(memory, self.clone()) })
    }

    fn teardown(&self) -> Result<Pin<&Teardown>> {
        self.inner
            .as_ref()
            .map(|inner| inner.as_ref())
            .ok_or(ENODEV)
    }

    /// The C object; valid as long as `self`.
    pub(crate) fn raw(&self) -> *mut c::ib_pd {
        self.raw
    }

    /// The device; valid as long as `self`.
    pub(crate) fn device(&self) -> *mut c::ib_device {
        self.device
    }

    /// A number no other protection domain has or had.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }
}

impl Drop for Pd {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take() {
            reaper::with_queue(|queue| queue.enqueue(inner));
        }
    }
}
