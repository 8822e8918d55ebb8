// SPDX-License-Identifier: GPL-2.0

//! A server: the listeners, and what all paths share.
//!
//! [`Server`] is the handle that the user of the transport owns; dropping it ends everything it has
//! begun, in the order that is written there. [`Shared`] is what paths refer to; it may outlive the
//! handle by moments and therefore holds nothing of the user's by then.

use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full, //
        },
        Arc,
        Mutex, //
    },
};
use kernel_ext::{
    error::{
        self,
        errno, //
    },
    net::{
        Namespace,
        SockAddr, //
    },
    rdma::{
        self,
        Listener, //
    },
    sync::{
        synchronize_rcu,
        Completion, //
    },
    sysfs::Class,
    workqueue::OwnedQueue, //
};
use rtrs_core::global::Global;
use rtrs_proto::{
    limits,
    Uuid, //
};

use crate::{
    budget::Budget,
    connect::Acceptor,
    operation::Op,
    params::Config,
    path::Path,
    reason::Reason,
    registry::Registry,
    ulp::Ulp, //
};

/// What the module has exactly once.
pub(crate) struct Context {
    /// The class of the sessions.
    pub(crate) class: Class,
    /// The queue for timers, heartbeats and for taking paths down.
    pub(crate) queue: OwnedQueue,
    /// The queue for connect requests and info requests.
    pub(crate) setup: OwnedQueue,
    /// Whether there is a server; there can be one at a time.
    pub(crate) in_use: Atomic<bool>,
}

/// Where the module leaves it for [`Server::open`], which is called from another module.
pub(crate) static CONTEXT: Global<Context> = Global::new();

/// What all paths of a server share.
#[pin_data]
pub(crate) struct Shared {
    /// The module's things.
    pub(crate) context: Arc<Context>,
    /// The checked parameters.
    pub(crate) config: Config,
    /// The memory of all clients.
    pub(crate) budget: Arc<Budget>,
    /// All sessions and paths.
    #[pin]
    pub(crate) registry: Mutex<Registry>,
    /// Connect requests that wait.
    pub(crate) pending: Atomic<u32>,
    /// The registry is finished.
    #[pin]
    finished: Completion,
    /// The user; none when the server is gone.
    #[pin]
    user: Mutex<Option<Arc<dyn Ulp>>>,
}

impl Shared {
    /// Forgets a path that was taken down, and tells those who waited for that.
    pub(crate) fn forget(&self, path: &Arc<Path>) {
        let finished = {
            let mut registry = self.registry.lock();
            registry.remove(path);
            registry.is_finished()
        };
        path.session.fences.passed(path.uuid);
        path.gone.complete_all();
        if finished {
            self.finished.complete_all();
        }
    }

    /// Lines up a fence; see [`Registry::fence`].
    pub(crate) fn fence(
        &self,
        path: &Arc<Path>,
        op: KBox<Op>,
        target: Uuid,
    ) -> Result<Option<Arc<Path>>, KBox<Op>> {
        self.registry.lock().fence(path, op, target)
    }

    /// The user of the transport.
    pub(crate) fn user(&self) -> Result<Arc<dyn Ulp>> {
        let user = self.user.lock().clone();
        user.ok_or_else(|| error::error(errno::ESHUTDOWN))
    }
}

/// The right to be the server. The connection manager would allow a second one on another port, but
/// the class of the sessions has room for the names of one.
struct InUse(Arc<Context>);

impl InUse {
    fn take(context: &Arc<Context>) -> Result<Self> {
        if context.in_use.xchg(true, Full) {
            return Err(EBUSY);
        }
        Ok(Self(context.clone()))
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.in_use.xchg(false, Full);
    }
}

/// Where a server listens: one network namespace.
struct Door {
    net: Namespace,
    _ip: Listener,
    _ib: Option<Listener>,
}

/// A server that listens, in one network namespace or several.
pub struct Server {
    doors: Pin<KBox<Mutex<KVec<Door>>>>,
    port: u16,
    shared: Arc<Shared>,
    /// Given back when all else is gone.
    _in_use: InUse,
}

impl Server {
    /// Listens on `port` in the network namespace of the calling process, which is the one that
    /// loads the module; see [`listen`](Self::listen). Process context.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there is a server already; otherwise that of listening for IP clients, as
    /// `EADDRINUSE`. If only GIDs cannot be listened for, the log says so.
    pub fn open(ulp: Arc<dyn Ulp>, port: u16) -> Result<Self> {
        let context = CONTEXT.get()?;
        let config = Config::load()?;
        let in_use = InUse::take(&context)?;
        let budget = Budget::new(config.max_memory)?;
        let shared = Arc::pin_init(
            pin_init!(Shared {
                context,
                config,
                budget,
                registry <- new_mutex!(Registry::new(), "rtrs_server::Registry"),
                pending: Atomic::new(0),
                finished <- Completion::new(),
                user <- new_mutex!(Some(ulp), "rtrs_server::Shared::user"),
            }),
            GFP_KERNEL,
        )?;
        // From here on dropping it undoes everything.
        let server = Self {
            doors: KBox::pin_init(
                new_mutex!(KVec::new(), "rtrs_server::Server::doors"),
                GFP_KERNEL,
            )?,
            port,
            shared,
            _in_use: in_use,
        };
        server.listen(Namespace::current())?;
        Ok(server)
    }

    /// Listens in a network namespace, on all devices there are and will be. Process context.
    ///
    /// Clients that use GIDs are listened for in the initial namespace only, where they are found
    /// from all others, too: the connection manager knows of no namespace for a GID.
    ///
    /// The namespace is kept alive until [`deafen`](Self::deafen) or the server's end: it stays,
    /// with its interfaces, when its last process and its last name are gone.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the server listens there already; otherwise that of listening for IP clients, as
    /// `EADDRINUSE`. If only GIDs cannot be listened for, the log says so.
    pub fn listen(&self, net: Namespace) -> Result {
        let mut doors = self.doors.lock();
        if doors.iter().any(|door| door.net == net) {
            return Err(EEXIST);
        }
        doors.reserve(1, GFP_KERNEL)?;
        let port = self.port;
        let backlog = limits::LISTEN_BACKLOG.unsigned_abs();
        let acceptor = Acceptor::new(&self.shared)?;
        let ip = Listener::new(&net, &SockAddr::any_v6(port), backlog, acceptor.clone())?;
        let ib = if net.is_initial() {
            Listener::new(&net, &SockAddr::any_ib(port), backlog, acceptor)
                .inspect_err(|e| {
                    pr_warn!(
                        "port {}: clients that use GIDs cannot connect (error {})\n",
                        port,
                        e.to_errno()
                    );
                })
                .ok()
        } else {
            None
        };
        doors.push(
            Door {
                net,
                _ip: ip,
                _ib: ib,
            },
            GFP_KERNEL,
        )?;
        Ok(())
    }

    /// Listens no longer in the network namespace with this number, and lets go of it. Connections
    /// that were made there go on, and keep the namespace themselves. Process context.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the server does not listen there.
    pub fn deafen(&self, number: u32) -> Result {
        let door = {
            let mut doors = self.doors.lock();
            let at = doors
                .iter()
                .position(|door| door.net.number() == number)
                .ok_or(ENOENT)?;
            doors.remove(at).map_err(|_| ENOENT)?
        };
        drop(door);
        Ok(())
    }

    /// Calls `show` with the number of every network namespace that the server listens in. Process
    /// context.
    pub fn each_namespace(&self, mut show: impl FnMut(u32)) {
        for door in self.doors.lock().iter() {
            show(door.net.number());
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Nobody asks any more, and those who asked have been answered.
        let doors = core::mem::replace(&mut *self.doors.lock(), KVec::new());
        drop(doors);
        let shared = &self.shared;
        shared.registry.lock().close();
        shared.context.setup.flush();

        // Every path is told to go, and the last one says when it is gone.
        let finished = {
            let registry = shared.registry.lock();
            for path in registry.paths() {
                path.close(Reason::Server);
            }
            registry.is_finished()
        };
        if !finished {
            shared.finished.wait();
        }
        // What is left of the work items is the end of their functions.
        shared.context.setup.flush();
        shared.context.queue.flush();
        rdma::flush_teardown();
        // And of answers in interrupts: whoever was the last to leave the gate of a path still has
        // the path's memory in hand.
        synchronize_rcu();

        let user = shared.user.lock().take();
        drop(user);
    }
}
