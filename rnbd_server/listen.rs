// SPDX-License-Identifier: GPL-2.0

//! `ctl/listen`: the network namespaces in which the server listens (Documentation/operations.md).
//!
//! It listens in the namespace of the process that has loaded the module; by this file an
//! administrator adds others and takes them away again. A namespace in which the server listens is
//! kept alive, so the file shows all of them, and each can be given up from everywhere.

use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};
use kernel_ext::{
    error::{
        errno,
        error, //
    },
    net::Namespace,
    sysfs::{
        File,
        Files, //
    }, //
};
use rtrs_server::Server;

/// The content of `ctl/`, and the server behind it.
#[pin_data]
pub(crate) struct Control {
    /// None before the server listens, and when it is about to end.
    #[pin]
    server: Mutex<Option<Server>>,
}

impl Control {
    /// Without a server.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                server <- new_mutex!(None, "rnbd_server::Control"),
            }),
            GFP_KERNEL,
        )
    }

    /// Takes the server.
    pub(crate) fn attach(&self, server: Server) {
        let old = self.server.lock().replace(server);
        drop(old);
    }

    /// Gives the server back, for its end; from then on the file refuses.
    pub(crate) fn detach(&self) -> Option<Server> {
        self.server.lock().take()
    }
}

/// What somebody writes.
enum Order {
    /// Listen in the writer's namespace.
    Add,
    /// Do not listen in the namespace of that number, or in the writer's.
    Remove(Option<u32>),
}

impl Order {
    fn parse(text: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(text.trim_ascii()).ok()?;
        let mut words = text.split_ascii_whitespace();
        let order = match words.next()? {
            "add" => Self::Add,
            "remove" => match words.next() {
                Some(number) => Self::Remove(Some(number.parse().ok()?)),
                None => Self::Remove(None),
            },
            _ => return None,
        };
        words.next().is_none().then_some(order)
    }
}

impl Files for Control {
    const FILES: &'static [File<Self>] = &[File::read_write(
        c"listen",
        |control, page| {
            if let Some(server) = &*control.server.lock() {
                server.each_namespace(|number| page.emit(fmt!("{number}\n")));
            }
            Ok(())
        },
        |control, text, _| {
            let Some(order) = Order::parse(text) else {
                pr_err!("listen: write 'add', 'remove', or 'remove <number of a namespace>'\n");
                return Err(EINVAL);
            };
            let guard = control.server.lock();
            let server = guard.as_ref().ok_or(ENODEV)?;
            match order {
                Order::Add => add(server),
                Order::Remove(number) => remove(
                    server,
                    number.unwrap_or_else(|| Namespace::current().number()),
                ),
            }
        },
    )];
}

/// Listens in the writer's namespace.
fn add(server: &Server) -> Result {
    let net = Namespace::current();
    let number = net.number();
    server.listen(net).inspect_err(|e| {
        let reason = match -e.to_errno() {
            errno::EEXIST => "it does already",
            errno::EADDRINUSE => "the port is in use there",
            _ => "see the lines above",
        };
        pr_err!(
            "cannot listen in network namespace {}: {} ({})\n",
            number,
            reason,
            e.to_errno()
        );
    })?;
    pr_info!("listening in network namespace {}\n", number);
    Ok(())
}

/// Listens no longer in a namespace.
fn remove(server: &Server, number: u32) -> Result {
    server.deafen(number).map_err(|_| {
        pr_err!(
            "listen: the server does not listen in network namespace {}\n",
            number
        );
        error(errno::ENOENT)
    })?;
    pr_info!("no longer listening in network namespace {}\n", number);
    Ok(())
}
