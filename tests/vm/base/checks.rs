// SPDX-License-Identifier: GPL-2.0

//! What can be checked without user space: locks, waiting, cells, gates, states, work items.

use kernel::{
    impl_has_delayed_work,
    impl_has_work,
    new_delayed_work,
    new_work,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
    workqueue::{
        DelayedWork,
        Work,
        WorkItem, //
    }, //
};
use kernel_ext::{
    cpu,
    error::{
        errno,
        error, //
    },
    log::RateLimit,
    random,
    sync::{
        new_irq_spinlock,
        ArcCell,
        AtomicEnum,
        AtomicSlot,
        Completion,
        Gate,
        IrqSpinLock,
        WaitQueue, //
    },
    time,
    workqueue::{
        cancel_delayed_sync,
        cancel_sync,
        enqueue_delayed,
        Flags,
        OwnedQueue, //
    }, //
};

/// Nanoseconds in a second.
const NS_PER_S: u64 = 1_000_000_000;

/// Fails with the line's description.
fn claim(holds: bool, what: &str) -> Result {
    if holds {
        return Ok(());
    }
    pr_err!("not true: {}\n", what);
    Err(EINVAL)
}

/// Runs every check.
pub(crate) fn all() -> Result {
    facts()?;
    slots()?;
    states()?;
    limits()?;
    waiting()?;
    gates()?;
    work()
}

fn facts() -> Result {
    claim(error(104).to_errno() == -104, "error of a positive number")?;
    claim(
        error(-errno::ECONNABORTED).to_errno() == -103,
        "error of a negative number",
    )?;
    claim(error(0).to_errno() == -22, "zero is no error")?;
    claim(
        error(i32::MIN).to_errno() == -22,
        "the smallest number is no error",
    )?;
    claim(
        cpu::current() < cpu::nr_cpu_ids(),
        "the current CPU is a CPU",
    )?;
    claim(
        (1..=cpu::nr_cpu_ids()).contains(&cpu::num_online()),
        "CPUs on line",
    )?;
    claim(
        cpu::is_possible(cpu::current()) && !cpu::is_possible(cpu::nr_cpu_ids()),
        "possible CPUs",
    )?;
    let before = time::now_ns();
    time::sleep_ms(2);
    claim(time::now_ns() > before, "time passes")?;
    let mut bytes = [0; 32];
    random::bytes(&mut bytes);
    claim(bytes != [0; 32], "random bytes are random")
}

fn slots() -> Result {
    let slot: AtomicSlot<KBox<u32>> = AtomicSlot::empty();
    claim(
        slot.take().is_none() && slot.is_empty(),
        "a new slot is empty",
    )?;
    claim(
        slot.put(KBox::new(1, GFP_KERNEL)?).is_none(),
        "nothing was there",
    )?;
    claim(
        slot.put(KBox::new(2, GFP_KERNEL)?)
            .is_some_and(|old| *old == 1),
        "put returns the old",
    )?;
    claim(
        slot.take().is_some_and(|old| *old == 2) && slot.is_empty(),
        "take empties",
    )?;

    let shared = Arc::new(7u32, GFP_KERNEL)?;
    let cell = Arc::pin_init(ArcCell::new(Some(shared.clone())), GFP_KERNEL)?;
    let full = AtomicSlot::new(shared.clone());
    claim(
        cell.get().is_some_and(|now| Arc::ptr_eq(&now, &shared)),
        "the cell has it",
    )?;
    claim(
        cell.set(None).is_some() && cell.get().is_none(),
        "the cell is emptied",
    )?;
    drop(full);
    claim(
        Arc::into_unique_or_drop(shared).is_some(),
        "slot and cell let go of their references",
    )
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Live,
    Dead,
}

impl From<State> for i32 {
    fn from(state: State) -> i32 {
        match state {
            State::New => 10,
            State::Live => 20,
            State::Dead => 30,
        }
    }
}

impl TryFrom<i32> for State {
    type Error = ();

    fn try_from(code: i32) -> Result<Self, ()> {
        match code {
            10 => Ok(State::New),
            20 => Ok(State::Live),
            30 => Ok(State::Dead),
            _ => Err(()),
        }
    }
}

fn states() -> Result {
    let state = AtomicEnum::new(State::New);
    let up = |s| (s == State::New).then_some(State::Live);
    claim(state.step(up) == Ok((State::New, State::Live)), "a step")?;
    claim(
        state.step(up) == Err(State::Live),
        "a step that does not exist",
    )?;
    claim(
        state.step(|_| Some(State::Dead)).is_ok() && state.load() == State::Dead,
        "the end",
    )
}

fn limits() -> Result {
    let limit = RateLimit::new(1_000, 3);
    let begin = 5 * NS_PER_S;
    let passed = |now| (0..10).filter(|_| limit.allow_at(now)).count();
    claim(passed(begin) == 3, "the limit limits")?;
    claim(
        passed(begin + NS_PER_S - 1) == 0,
        "until the interval is over",
    )?;
    claim(passed(begin + NS_PER_S) == 3, "the limit recovers")?;
    claim(
        RateLimit::new(1, 1).allow(),
        "the first is always let through",
    )
}

/// Work items of every kind, and what they do.
#[pin_data]
struct Worker {
    #[pin]
    now: Work<Worker, 1>,
    #[pin]
    later: DelayedWork<Worker, 2>,
    /// What item 1 waits for before it goes on.
    #[pin]
    go: Completion,
    #[pin]
    done: Completion,
    #[pin]
    queue: WaitQueue,
    #[pin]
    gate: Gate,
    #[pin]
    log: IrqSpinLock<KVec<u32>>,
    runs: Atomic<i32>,
}

impl_has_work! { impl HasWork<Self, 1> for Worker { self.now } }
impl_has_delayed_work! { impl HasDelayedWork<Self, 2> for Worker { self.later } }

impl Worker {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                now <- new_work!("kx_base::now"),
                later <- new_delayed_work!("kx_base::later"),
                go <- Completion::new(),
                done <- Completion::new(),
                queue <- WaitQueue::new(),
                gate <- Gate::new(),
                log <- new_irq_spinlock!(KVec::new(), "kx_base::log"),
                runs: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }
}

impl WorkItem<1> for Worker {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.go.wait();
        this.runs.fetch_add(1, Full);
        this.queue.wake_all();
        this.done.complete();
        this.gate.leave();
    }
}

impl WorkItem<2> for Worker {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.runs.fetch_add(100, Full);
        this.done.complete_all();
    }
}

fn waiting() -> Result {
    let worker = Worker::new()?;
    claim(!worker.done.wait_timeout(3), "nothing completed yet")?;
    claim(
        worker.done.wait_interruptible_timeout(3) == Ok(false),
        "nor interruptibly",
    )?;
    claim(
        !worker.queue.wait_event_timeout(3, || false),
        "a condition that never holds",
    )?;
    worker.done.complete();
    worker.done.wait();
    claim(!worker.done.wait_timeout(1), "complete lets one through")?;
    worker.done.complete_all();
    claim(
        worker.done.wait_timeout(1) && worker.done.wait_timeout(1),
        "complete_all lets all",
    )?;
    worker.done.reinit();
    claim(!worker.done.wait_timeout(1), "reinit")?;

    worker.log.lock().push(3, GFP_ATOMIC)?;
    let guard = worker.log.try_lock().ok_or(EBUSY)?;
    claim(guard.len() == 1, "the lock protects data")?;
    drop(guard);

    let queue = OwnedQueue::new(c"kx_base_wait", Flags::default())?;
    worker.gate.enter();
    let _ = queue.queue().enqueue::<_, 1>(worker.clone());
    worker.go.complete();
    worker.queue.wait_event(|| worker.runs.load(Relaxed) == 1);
    queue.flush();
    Ok(())
}

fn gates() -> Result {
    let queue = OwnedQueue::new(
        c"kx_base_gate",
        Flags {
            unbound: true,
            ..Flags::default()
        },
    )?;
    for _ in 0..50 {
        let worker = Worker::new()?;
        claim(
            worker.gate.enter() && worker.gate.inside() == 1,
            "an open gate",
        )?;
        claim(
            queue.queue().enqueue::<_, 1>(worker.clone()).is_ok(),
            "queued once",
        )?;
        worker.go.complete();
        claim(worker.gate.close() && !worker.gate.close(), "closed once")?;
        claim(
            worker.gate.is_closed() && !worker.gate.enter(),
            "a closed gate",
        )?;
        worker.gate.wait_idle();
        claim(worker.runs.load(Relaxed) == 1, "idle only after the work")?;
        claim(worker.gate.wait_idle_timeout(0), "still idle")?;
        worker.gate.leave();
        claim(worker.gate.inside() == 0, "a call too many is ignored")?;
    }
    Ok(())
}

fn work() -> Result {
    let queue = OwnedQueue::new(
        c"kx_base_work",
        Flags {
            mem_reclaim: true,
            ordered: true,
            ..Flags::default()
        },
    )?;
    let worker = Worker::new()?;

    claim(!cancel_delayed_sync::<_, 2>(&worker), "nothing to cancel")?;
    claim(
        enqueue_delayed::<_, 2>(queue.queue(), worker.clone(), 60_000).is_ok(),
        "queued",
    )?;
    claim(
        enqueue_delayed::<_, 2>(queue.queue(), worker.clone(), 1).is_err(),
        "only once",
    )?;
    claim(cancel_delayed_sync::<_, 2>(&worker), "cancelled")?;
    claim(
        enqueue_delayed::<_, 2>(queue.queue(), worker.clone(), 5).is_ok(),
        "queued again",
    )?;
    claim(worker.done.wait_timeout(5_000), "it runs")?;
    claim(worker.runs.load(Relaxed) == 100, "it ran once")?;

    // The second item of an ordered queue cannot run while the first waits: it can be cancelled.
    let other = Worker::new()?;
    worker.gate.enter();
    let _ = queue.queue().enqueue::<_, 1>(worker.clone());
    let _ = queue.queue().enqueue::<_, 1>(other.clone());
    let cancelled = cancel_sync::<_, 1>(&other);
    worker.go.complete();
    claim(cancelled, "cancelled before it ran")?;
    queue.drain();
    claim(other.runs.load(Relaxed) == 0, "it never ran")?;
    claim(worker.runs.load(Relaxed) == 101, "the first ran")?;
    drop(queue);
    claim(
        Arc::into_unique_or_drop(other).is_some(),
        "cancelling took the reference back",
    )?;
    claim(
        Arc::into_unique_or_drop(worker).is_some(),
        "running took the reference back",
    )
}
