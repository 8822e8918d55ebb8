// SPDX-License-Identifier: GPL-2.0

//! Self-test of `block_mq`: disks without memory, loaded by `null.sh` in a VM.
//!
//! - `kx0` ends every request inside `queue_rq`.
//! - `kx1` keeps every request in a slot and ends it later from a work item;
//!   now and then it refuses or requeues one.
//! - `kx2` is read-only.
//!
//! Reads leave the memory as it is. Some writes of three sectors to `kx0` are
//! orders, see [`order`]. The crate must never be part of an installation.
#![forbid(unsafe_code)]

use block_mq::{
    Command,
    Disk,
    DiskConfig,
    DiskEvent,
    IdleRequest,
    Limits,
    LimitsSpec,
    Major,
    Operations,
    Refusal,
    Request,
    Status,
    TagSet,
    View, //
};
use kernel::{
    impl_has_work, new_mutex, new_work,
    prelude::*,
    str::CString,
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
    },
};
use kernel_ext::{
    error::{
        errno, //
        error,
    },
    sg::SgTable,
    sync::AtomicSlot,
    workqueue::{
        Flags,
        OwnedQueue, //
    },
};

module! {
    type: Test,
    name: "kx_null",
    authors: ["The RNBD in Rust authors"],
    description: "Self-test of block_mq",
    license: "GPL",
}

/// Requests in flight, over all disks.
const DEPTH: u32 = 64;
/// Segments of a request.
const SEGMENTS: u16 = 128;
/// Hardware queues before the one poll queue.
const QUEUES: u32 = 2;
/// Size of every disk in sectors: 64 MiB.
const SECTORS: u64 = 131_072;

/// What a write of [`order::BYTES`] bytes to `kx0` asks for, by its sector.
mod order {
    /// The size that makes a write an order.
    pub(super) const BYTES: u32 = 1536;
    /// Fail this request with `ENOLINK`, without starting it.
    pub(super) const FAIL: u64 = 8;
    /// Forget this request.
    pub(super) const FORGET: u64 = 16;
    /// Drop the last disk that is left.
    pub(super) const DROP: u64 = 24;
}

/// What happens to the requests of a disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Now,
    Later,
    ReadOnly,
}

/// What the disks share.
#[pin_data]
struct Shared {
    #[pin]
    disks: Mutex<KVec<Disk<Null>>>,
    slots: KVec<AtomicSlot<Request<Null>>>,
    tables: KVec<AtomicSlot<KBox<SgTable>>>,
    /// What must not have happened.
    wrong: Atomic<u64>,
    #[pin]
    finish: Work<Self, 0>,
    #[pin]
    remove: Work<Self, 1>,
    // Last: draining it runs the work items above.
    queue: OwnedQueue,
}

impl_has_work! {
    impl HasWork<Self, 0> for Shared { self.finish }
    impl HasWork<Self, 1> for Shared { self.remove }
}

/// Ends what the slots hold, and requeues some of it first.
impl WorkItem<0> for Shared {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        for slot in &this.slots {
            let Some(request) = slot.take() else { continue };
            if request.queue().one_of(16) {
                request.requeue();
            } else {
                request.end(Status::OK);
            }
        }
    }
}

/// Drops the last disk, open or not.
impl WorkItem<1> for Shared {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let disk = this.disks.lock().pop();
        if let Some(disk) = disk {
            pr_info!("dropping {}\n", disk.name());
            disk.mark_dead();
            drop(disk);
            pr_info!("dropped\n");
        }
    }
}

/// A disk's own part.
struct Queue {
    mode: Mode,
    shared: Arc<Shared>,
    openers: Atomic<i32>,
    turn: Atomic<u32>,
}

impl Queue {
    /// True once in `n` calls.
    fn one_of(&self, n: u32) -> bool {
        self.turn.fetch_add(1, Relaxed) % n == 0
    }

    /// Maps the memory of a request, and notes what does not fit together.
    fn map(&self, request: &View, tag: usize) {
        let Some(slot) = self.shared.tables.get(tag) else {
            self.shared.wrong.add(1, Relaxed);
            return;
        };
        let Some(mut table) = slot.take() else {
            self.shared.wrong.add(1, Relaxed);
            return;
        };
        let good = match request.map_sg(&mut table) {
            Ok(bytes) => {
                request.op().has_data()
                    && bytes == request.bytes()
                    && bytes == table.bytes()
                    && table.nents() as usize <= request.segments()
            }
            Err(e) => e == EINVAL && !request.op().has_data(),
        };
        if !good {
            self.shared.wrong.add(1, Relaxed);
        }
        drop(slot.put(table));
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        pr_info!(
            "a queue is released, openers {}\n",
            self.openers.load(Relaxed)
        );
    }
}

struct Null;

impl Operations for Null {
    type Set = ();
    type Queue = Queue;

    fn queue_rq<'a>(
        queue: &Queue,
        idle: IdleRequest<'a, Self>,
        _last: bool,
    ) -> Result<(), Refusal<'a>> {
        let Some(tag) = idle.tag().filter(|tag| *tag < DEPTH as usize) else {
            queue.shared.wrong.add(1, Relaxed);
            return Err(idle.fail(Status::IOERR));
        };
        if idle.op() == Command::Write && idle.bytes() == order::BYTES && queue.mode == Mode::Now {
            match idle.sector() {
                order::FAIL => return Err(idle.fail(Status::from_errno(errno::ENOLINK))),
                order::FORGET => return Ok(()),
                order::DROP => {
                    let shared = &queue.shared;
                    let _ = shared.queue.queue().enqueue::<_, 1>(shared.clone());
                }
                _ => {}
            }
        }
        if queue.mode != Mode::Later {
            let request = idle.start();
            queue.map(&request, tag);
            request.end(Status::OK);
            return Ok(());
        }
        if queue.one_of(64) {
            return Err(idle.busy());
        }
        let shared = &queue.shared;
        let request = idle.start();
        queue.map(&request, tag);
        if let Some(slot) = shared.slots.get(tag) {
            if slot.put(request).is_some() {
                // Two requests with one tag; the older one fails now.
                shared.wrong.add(1, Relaxed);
            }
        }
        let _ = shared.queue.queue().enqueue::<_, 0>(shared.clone());
        Ok(())
    }

    fn poll(queue: &Queue, hw_queue: u32) -> u32 {
        if hw_queue < QUEUES {
            queue.shared.wrong.add(1, Relaxed);
        }
        0
    }

    fn open(queue: &Queue, write: bool) -> Result {
        if write && queue.mode == Mode::ReadOnly {
            return Err(EPERM);
        }
        queue.openers.add(1, Relaxed);
        Ok(())
    }

    fn release(queue: &Queue) {
        queue.openers.add(-1, Relaxed);
    }
}

/// Limits as a server might announce them.
fn good_limits() -> LimitsSpec {
    LimitsSpec {
        physical_block_size: 4096,
        max_hw_sectors: 248,
        io_opt: 126_976,
        max_segments: SEGMENTS,
        max_discard_sectors: 4096,
        discard_granularity: 4096,
        max_secure_erase_sectors: 4096,
        max_write_zeroes_sectors: 8192,
        write_cache: true,
        fua: true,
        ..LimitsSpec::default()
    }
}

/// Checks that limits which the block layer would complain about are refused.
fn check_limits() -> Result<Limits> {
    let spoilers: [fn(&mut LimitsSpec); 10] = [
        |l| l.logical_block_size = 0,
        |l| l.logical_block_size = 513,
        |l| l.logical_block_size = 131_072,
        |l| l.physical_block_size = 4097,
        |l| l.max_hw_sectors = 0,
        |l| l.max_hw_sectors = 7,
        |l| l.max_segments = 0,
        |l| l.virt_boundary_mask = 511,
        |l| l.virt_boundary_mask = 4096,
        |l| l.discard_granularity = u32::MAX,
    ];
    let good = good_limits();
    let accepted = spoilers.iter().any(|spoil| {
        let mut spec = good;
        spoil(&mut spec);
        spec.build().is_ok()
    });
    if accepted {
        pr_err!("impossible limits were accepted\n");
        return Err(EINVAL);
    }
    good.build()
}

struct Test {
    shared: Arc<Shared>,
    // Last, as it waits for the release of the disks.
    _major: Arc<Major>,
}

impl kernel::Module for Test {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let limits = check_limits()?;
        let mut slots = KVec::new();
        let mut tables = KVec::new();
        for _ in 0..DEPTH {
            slots.push(AtomicSlot::empty(), GFP_KERNEL)?;
            tables.push(
                AtomicSlot::new(SgTable::new(usize::from(SEGMENTS))?),
                GFP_KERNEL,
            )?;
        }
        let queue = OwnedQueue::new(
            c"kx_null",
            Flags {
                unbound: true,
                ..Flags::default()
            },
        )?;
        let shared = Arc::pin_init(
            pin_init!(Shared {
                disks <- new_mutex!(KVec::new()),
                slots,
                tables,
                wrong: Atomic::new(0),
                finish <- new_work!("kx_null::finish"),
                remove <- new_work!("kx_null::remove"),
                queue,
            }),
            GFP_KERNEL,
        )?;
        let this = Self {
            shared,
            _major: Major::register(c"kx_null", module)?,
        };
        let tags = TagSet::<Null>::new(Arc::new((), GFP_KERNEL)?, QUEUES, 1, DEPTH)?;
        for (index, mode) in (0u32..).zip([Mode::Now, Mode::Later, Mode::ReadOnly]) {
            let name = CString::try_from_fmt(fmt!("kx{}", index))?;
            let data = Arc::new(
                Queue {
                    mode,
                    shared: this.shared.clone(),
                    openers: Atomic::new(0),
                    turn: Atomic::new(1),
                },
                GFP_KERNEL,
            )?;
            let config = DiskConfig {
                name: &name,
                major: &this._major,
                first_minor: index * 64,
                minors: 64,
                capacity_sectors: SECTORS,
                read_only: mode == Mode::ReadOnly,
            };
            let disk = Disk::new(tags.clone(), data, &limits, &config)?;
            disk.add()?;
            disk.uevent(DiskEvent::Online);
            if disk.add() != Err(EBUSY) || disk.set_capacity_and_notify(u64::MAX) != Err(EINVAL) {
                return Err(error(errno::EPROTO));
            }
            this.shared.disks.lock().push(disk, GFP_KERNEL)?;
        }
        Ok(this)
    }
}

impl Drop for Test {
    fn drop(&mut self) {
        // The disks hold what they are kept in, so the circle is cut here.
        loop {
            let disk = self.shared.disks.lock().pop();
            if disk.is_none() {
                break;
            }
        }
        self.shared.queue.flush();
        pr_info!("wrong: {}\n", self.shared.wrong.load(Relaxed));
    }
}
