// SPDX-License-Identifier: GPL-2.0

//! A session with a server, as its user sees it: opening, permits, requests, closing.

use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    },
};
use kernel_ext::{
    error::{
        errno,
        error, //
    },
    net::Namespace, //
};
use rtrs_core::address::Endpoints;
use rtrs_logic::reconnect::MaxAttempts;
use rtrs_proto::{
    limits::MAX_PATHS,
    Direction,
    Features,
    SessionName, //
};

use crate::{
    inner::Inner,
    permit::{
        Kind,
        Permit,
        Pool, //
    },
    plan::Operation,
    request::Refused,
    ulp::Ulp,
};

/// What opening a session needs to know.
pub struct OpenParams<'a> {
    /// The name that the session has on both sides; taken only once per machine.
    pub name: &'a SessionName,
    /// The network namespace that all paths, also those that are added later, are in. The session
    /// keeps it alive until it is closed.
    pub net: &'a Namespace,
    /// The paths, 1 to 128; all have to connect.
    pub paths: &'a [Endpoints],
    /// The server's port, for paths that are added later.
    pub port: u16,
    /// Seconds from a failure to the next attempt, until an administrator sets another time.
    pub reconnect_delay_s: u8,
    /// Attempts per outage; -1 is as many as it takes.
    pub max_reconnects: i16,
    /// Connections per path that carry polled requests.
    pub nr_poll: u32,
}

/// What a session can take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Requests in flight, which is also the number of permits.
    pub queue_depth: u16,
    /// Bytes of data in one request.
    pub max_io_size: u32,
    /// Pieces of memory in one request.
    pub max_segments: u32,
}

/// A session, in the hands of its one user.
///
/// Dropping it closes it, which sleeps: the last reference must not be dropped in atomic
/// context, nor in a callback.
pub struct Session {
    inner: Arc<Inner>,
    pool: Arc<Pool>,
    /// Held while the session is closed, so that a second caller waits, too.
    closing: Pin<KBox<Mutex<()>>>,
}

impl Session {
    /// Opens a session: connects all paths, makes the permits. Sleeps, up to tens of
    /// seconds per connection.
    ///
    /// Fails with `EEXIST` if the name is taken, `EINVAL` for parameters out of range,
    /// `ENOMEM`, or with the error of the first path that could not be connected:
    /// `ETIMEDOUT`, `EHOSTUNREACH`, `ECONNRESET`, or what the server gave as its reason.
    pub fn open(params: &OpenParams<'_>, ulp: Arc<dyn Ulp>) -> Result<Self> {
        if !(1..=MAX_PATHS).contains(&params.paths.len()) {
            return Err(EINVAL);
        }
        let max = MaxAttempts::new(i32::from(params.max_reconnects)).ok_or(EINVAL)?;
        let closing = KBox::pin_init(new_mutex!((), "rtrs_client::closing"), GFP_KERNEL)?;
        let inner = Inner::new(params, max, ulp)?;
        match inner.bring_up(params.paths) {
            Ok(pool) => Ok(Self {
                inner,
                pool,
                closing,
            }),
            Err(error) => {
                inner.tear_down();
                Err(error)
            }
        }
    }

    /// Closes the session: takes all paths down, fails what is in flight with
    /// `-ECONNABORTED`, then waits until every permit is back. Sleeps. No callback runs
    /// afterwards, and requests are refused. May be called again.
    ///
    /// The caller must not hold a permit, and must not be in a callback.
    pub fn close(&self) {
        let _closing = self.closing.lock();
        self.inner.tear_down();
        self.pool.wait_all();
    }

    /// The name.
    pub fn name(&self) -> &SessionName {
        self.inner.name()
    }

    /// The network namespace of its paths.
    pub fn net(&self) -> &Namespace {
        self.inner.net()
    }

    /// Whether a path is connected at the moment. Any context.
    pub fn is_connected(&self) -> bool {
        self.inner.is_connected()
    }

    /// What the session can take. Sleeps.
    ///
    /// Fails with `ECOMM` if no path is connected.
    pub fn limits(&self) -> Result<Limits> {
        if !self.is_connected() {
            return Err(error(errno::ECOMM));
        }
        self.inner.limits().ok_or_else(|| error(errno::ECOMM))
    }

    /// What client and server can do beyond the C implementation: [`Features::USER`] says
    /// that the user's own protocol may use its extensions. The same for the whole life of
    /// the session. Sleeps.
    pub fn features(&self) -> Features {
        self.inner.features()
    }

    /// The request that was sent with this use of a permit ([`Permit::index`], [`Permit::turn`])
    /// takes too long: the path that carries it is failed, and the request ends with `-ETIMEDOUT`
    /// instead of being replayed on another. Any context. Does nothing if it has ended.
    pub fn expire(&self, index: usize, turn: u32) {
        self.inner.expire(index, turn);
    }

    /// Takes a permit if one is free. Any context.
    #[inline]
    pub fn permit(&self, kind: Kind) -> Option<Permit> {
        self.pool.take(kind)
    }

    /// Takes a permit, waiting for at most `ms` milliseconds until one is free. Sleeps,
    /// uninterruptibly.
    pub fn permit_wait(&self, kind: Kind, ms: u32) -> Option<Permit> {
        self.pool.take_wait(kind, ms)
    }

    /// Asks the server to read: with `data`, into the memory in the permit's table.
    ///
    /// `user` is copied. Any context; never sleeps. On success the request ends with
    /// [`Ulp::complete`], on failure the permit comes back: `ECONNABORTED` without a
    /// path, `EAGAIN` if a queue is full for the moment, `EMSGSIZE` if header or data
    /// exceed their limits, `EINVAL` for memory that cannot be registered.
    pub fn read(&self, permit: Permit, user: &[u8], data: bool) -> Result<(), (Permit, Error)> {
        self.request(Direction::Read, permit, user, data)
    }

    /// Asks the server to write: with `data`, what is in the memory of the permit's
    /// table. Otherwise as [`Self::read`].
    pub fn write(&self, permit: Permit, user: &[u8], data: bool) -> Result<(), (Permit, Error)> {
        self.request(Direction::Write, permit, user, data)
    }

    /// Handles what the poll connections for `queue` (taken modulo how many there are) have
    /// completed: requests of [`Kind::Poll`] end in here, and nowhere else as long as somebody
    /// calls this; about once per heartbeat the session looks by itself. Returns how many
    /// completions it found, which is more than how many requests ended. Not in interrupts; does
    /// not sleep.
    pub fn poll(&self, queue: u32) -> u32 {
        self.inner.poll(queue)
    }

    fn request(
        &self,
        direction: Direction,
        permit: Permit,
        user: &[u8],
        data: bool,
    ) -> Result<(), Refused> {
        let operation = Operation {
            direction,
            user,
            data,
        };
        self.inner.send(&operation, permit, false)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.close();
    }
}
