// SPDX-License-Identifier: GPL-2.0

//! All mapped devices of this host, and how a line of text becomes one.
//!
//! The registry belongs to the loaded module. A device is in its list from before the server
//! is asked for it until after its disk is gone; so neither a name nor a number nor a link can
//! be given twice.
//!
//! What a mapping takes is kept out of line, each step in its own frame: below it are the
//! transport's and the connection manager's, and a kernel stack is small.
//!
//! Lock order: the list of devices, then nothing. It is never held while the network or a
//! disk is waited for.

use block_mq::Major;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};
use kernel_ext::{
    cpu,
    error::{
        errno,
        error, //
    },
    fmt::{
        escape,
        Show, //
    },
    net::Namespace,
    sysfs::{
        Dir,
        StoreContext, //
    },
    workqueue::{
        Flags,
        OwnedQueue, //
    },
};
use rnbd_proto::{
    limits::{
        MAX_DEVICES,
        MAX_MAP_PATHS,
        NAME_MAX, //
    },
    link_name::LINK_NAME_BUF_LEN,
    MapError,
    MapOptions, //
};
use rtrs_client::OpenParams;
use rtrs_core::{
    address::{
        endpoints,
        Endpoints, //
    },
    global::Global,
};
use rtrs_proto::{
    PathSpec,
    SessionName, //
};

use crate::{
    device::{
        Device,
        Label,
        Wanted, //
    },
    session::Session,
    sessions::{
        Lease,
        Sessions, //
    },
};

/// Seconds between two attempts to reconnect a path, and how many there are: no end (`spec`
/// of the calls into the transport).
const RECONNECT_DELAY_S: u8 = 30;
const MAX_RECONNECTS: i16 = -1;

/// The registry of the loaded module.
pub(crate) static REGISTRY: Global<Registry> = Global::new();

/// The devices, and whether there may be more.
struct Devices {
    list: KVec<Arc<Device>>,
    closed: bool,
}

/// All mapped devices of this host.
#[pin_data]
pub(crate) struct Registry {
    #[pin]
    devices: Mutex<Devices>,
    sessions: Arc<Sessions>,
    major: Arc<Major>,
    /// `ctl/devices`, where the links are.
    links: Dir<()>,
    /// Where devices settle after changes.
    worker: Arc<OwnedQueue>,
}

impl Registry {
    /// An empty registry of the module, whose links are in `links`.
    pub(crate) fn new(module: &'static ThisModule, links: Dir<()>) -> Result<Arc<Self>> {
        Arc::pin_init(
            try_pin_init!(Self {
                devices <- new_mutex!(Devices {
                    list: KVec::new(),
                    closed: false,
                }),
                sessions: Sessions::new()?,
                major: Major::register(c"rnbd", module)?,
                links,
                worker: Arc::new(
                    OwnedQueue::new(
                        c"rnbd_client",
                        Flags {
                            mem_reclaim: true,
                            unbound: true,
                            ordered: false,
                        },
                    )?,
                    GFP_KERNEL,
                )?,
            }),
            GFP_KERNEL,
        )
    }

    /// Maps what the text asks for. Process context, may take half a minute per connection.
    ///
    /// # Errors
    ///
    /// The table of `spec` "map_device results"; each is logged once, with what to do.
    pub(crate) fn map(self: &Arc<Self>, text: &[u8]) -> Result {
        let options = MapOptions::parse(text, cpu::nr_cpu_ids()).map_err(|e| complain(&e))?;
        // The addresses are those of the process that writes them.
        let net = Namespace::current();
        let mut paths = KVec::with_capacity(MAX_MAP_PATHS, GFP_KERNEL)?;
        for (path, port) in options.paths() {
            paths.push(parse_path(&net, path, port)?, GFP_KERNEL)?;
        }
        let mut name = KBox::new([0u8; NAME_MAX], GFP_KERNEL)?;
        let name = options.session_name(&mut name);
        self.refuse_twice(&options, name)?;
        let lease = self.session(&options, name, &net, &paths)?;
        let device = self.insert(&options, name, lease)?;
        let mapped = device.map(&self.major, &self.links);
        if let Err(e) = mapped {
            // Nobody else ends a device that is not there yet, but its file may be.
            if device.begin_unmap(true).is_ok() {
                device.unmap(true);
                self.remove(&device);
            }
            return Err(e);
        }
        pr_info!("{}: mapped as rnbd{}\n", Label(&device), device.index);
        Ok(())
    }

    /// The early test for a device that is mapped already, before a session is opened for it.
    #[inline(never)]
    fn refuse_twice(&self, options: &MapOptions<'_>, name: &[u8]) -> Result {
        self.devices.lock().check(options, name)
    }

    /// Finds or opens the session.
    #[inline(never)]
    fn session(
        &self,
        options: &MapOptions<'_>,
        name: &[u8],
        net: &Namespace,
        paths: &[Endpoints],
    ) -> Result<Lease> {
        let name = SessionName::new(name).map_err(|e| {
            // No session has such a name, so one would be created; without a path C says that.
            if let Err(e) = options.require_path() {
                return complain(&e);
            }
            pr_err!("sessname={}: {}\n", escape(name), Show(e));
            error(e.errno())
        })?;
        let polled = options.nr_poll_queues > 0;
        // Addresses of another namespace could lead to another server, so they may not be ignored.
        let elsewhere = |session: &Session| !paths.is_empty() && !session.is_in(net);
        self.sessions.acquire(&name, polled, elsewhere, || {
            options.require_path().map_err(|e| complain(&e))?;
            Session::open(&OpenParams {
                name: &name,
                net,
                paths,
                port: options.dest_port,
                reconnect_delay_s: RECONNECT_DELAY_S,
                max_reconnects: MAX_RECONNECTS,
                nr_poll: options.nr_poll_queues,
            })
            .inspect_err(|e| {
                pr_err!(
                    "session {}: cannot be opened ({}); {}\n",
                    Show(&name),
                    e.to_errno(),
                    hint(*e)
                );
            })
        })
    }

    /// Makes a device in the list, with the lowest number that is free.
    #[inline(never)]
    fn insert(&self, options: &MapOptions<'_>, name: &[u8], lease: Lease) -> Result<Arc<Device>> {
        let mut devices = self.devices.lock();
        devices.check(options, name)?;
        devices.list.reserve(1, GFP_KERNEL)?;
        let index = (0..MAX_DEVICES)
            .find(|index| devices.list.iter().all(|device| device.index != *index))
            .ok_or_else(|| {
                pr_err!(
                    "all {} device numbers are in use; unmap a device\n",
                    MAX_DEVICES
                );
                ENOSPC
            })?;
        let device = Device::new(
            index,
            Wanted {
                name: options.device_path.clone(),
                mode: options.access_mode,
                io_mode: options.io_mode,
                nr_poll_queues: options.nr_poll_queues,
            },
            lease,
            self.worker.clone(),
        )?;
        devices.list.push(device.clone(), GFP_KERNEL)?;
        Ok(device)
    }

    /// Forgets a device that is unmapped.
    fn remove(&self, device: &Device) {
        let mut devices = self.devices.lock();
        let at = devices
            .list
            .iter()
            .position(|known| core::ptr::eq(&**known, device));
        let gone = at.and_then(|at| devices.list.remove(at).ok());
        drop(devices);
        drop(gone);
    }

    /// Maps nothing more and unmaps everything. Process context.
    pub(crate) fn close(&self) {
        self.devices.lock().closed = true;
        loop {
            let next = self.devices.lock().list.first().cloned();
            let Some(device) = next else {
                break;
            };
            if device.begin_unmap(true).is_ok() {
                // Nobody has it open, so there is nothing to force.
                device.unmap(false);
                self.remove(&device);
            } else {
                // Somebody else is at it.
                kernel_ext::time::sleep_ms(10);
            }
        }
    }
}

impl Devices {
    /// Whether what the options ask for is still free.
    #[inline(never)]
    fn check(&self, options: &MapOptions<'_>, session: &[u8]) -> Result {
        if self.closed {
            return Err(ENODEV);
        }
        let mut wanted = KBox::new([0u8; LINK_NAME_BUF_LEN], GFP_KERNEL)?;
        let mut used = KBox::new([0u8; LINK_NAME_BUF_LEN], GFP_KERNEL)?;
        let wanted = rnbd_proto::LinkName {
            device: &options.device_path,
            session,
        }
        .to_c_str(&mut wanted);
        for device in &self.list {
            // Two names that differ only in `/` and `!` have the same link.
            if device.link_name(&mut used) == wanted {
                pr_err!(
                    "{}: this session has it mapped already as rnbd{}; use another sessname, or unmap it first\n",
                    Label(device),
                    device.index
                );
                return Err(EEXIST);
            }
        }
        Ok(())
    }
}

/// Unmaps the device whose file `unmap_device` is being written.
///
/// # Errors
///
/// `EBUSY` if it is in use and this is not forced, `EALREADY` if it is being unmapped,
/// `ENODEV` if the module is being unloaded.
pub(crate) fn unmap(device: &Device, force: bool, context: &StoreContext<'_>) -> Result {
    let registry = REGISTRY.get()?;
    let device = &find(device)?;
    device.begin_unmap(force).inspect_err(|e| {
        let reason = match -e.to_errno() {
            errno::EBUSY => "it is in use; unmount it, or write 'force'",
            _ => "it is being unmapped already",
        };
        pr_err!("{}: not unmapped: {}\n", Label(device), reason);
    })?;
    // It keeps the module loaded until the write returns. Nobody else removes the file of a device
    // that is going, so it fails only if the module is going: then its exit unmaps everything, which
    // would wait for this call if the device were ours.
    if !context.remove_self() {
        device.cancel_unmap();
        pr_err!(
            "{}: not unmapped: {}\n",
            Label(device),
            "the module is being unloaded, which unmaps it"
        );
        return Err(ENODEV);
    }
    device.unmap(force);
    pr_info!("{}: rnbd{} is unmapped\n", Label(device), device.index);
    registry.remove(device);
    Ok(())
}

/// The device as the list has it.
///
/// # Errors
///
/// `ENODEV` if it is not there any more.
pub(crate) fn find(device: &Device) -> Result<Arc<Device>> {
    let registry = REGISTRY.get()?;
    let devices = registry.devices.lock();
    devices
        .list
        .iter()
        .find(|known| core::ptr::eq(&***known, device))
        .cloned()
        .ok_or(ENODEV)
}

/// Logs what is wrong with the text of a mapping.
#[inline(never)]
fn complain(e: &MapError<'_>) -> Error {
    pr_err!("map_device: {}\n", Show(e));
    error(e.errno())
}

/// Parses one `path=`.
#[inline(never)]
fn parse_path(net: &Namespace, text: &[u8], port: u16) -> Result<Endpoints> {
    let path = PathSpec::parse(text).map_err(|e| {
        pr_err!("path={}: {}\n", escape(text), Show(e));
        error(e.errno())
    })?;
    endpoints(net, &path, port).inspect_err(|e| {
        pr_err!(
            "path={}: no such interface ({})\n",
            escape(text),
            e.to_errno()
        );
    })
}

/// What an administrator can do about a session that cannot be opened.
fn hint(e: Error) -> &'static str {
    match -e.to_errno() {
        errno::ECONNRESET => "is rnbd_server loaded there, and listening on this port?",
        errno::ETIMEDOUT => "the host does not answer; check the address and the network",
        errno::EHOSTUNREACH => "there is no route to the host, or no RDMA device on the way",
        errno::ENODEV => "no RDMA device has the source address; GIDs are for InfiniBand only",
        errno::EEXIST => "the name or the address pair is in use",
        errno::ENOMEM => "memory is short here, or a limit of rtrs_server is reached",
        errno::EACCES => "allowed_clients of rtrs_server does not name this host",
        _ => "see the lines above",
    }
}
