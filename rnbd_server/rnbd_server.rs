// SPDX-License-Identifier: GPL-2.0

//! `rnbd_server`: exports block devices and files of this host to RNBD clients.
//!
//! A table of contents:
//!
//! - [`session`]: what a client has open, and its messages;
//! - [`open`]: from a name to a mapping;
//! - [`mapping`]: one device of one session;
//! - [`backend`]: a block device or a file;
//! - [`io`]: from an IO message to a bio or the page cache and back;
//! - [`export`]: all exported devices, access rules and sysfs;
//! - [`watch`]: devices that grow or shrink;
//! - [`stats`]: what is counted of a device;
//! - [`listen`]: the network namespaces in which clients are listened for;
//! - [`params`]: module parameters.
//!
//! RDMA is a word this crate has heard: everything it knows of a peer comes through
//! `rtrs_server`, parsed by `rnbd_proto`.

#![forbid(unsafe_code)]

mod backend;
mod export;
mod io;
mod listen;
mod mapping;
mod open;
mod params;
mod session;
mod stats;
mod watch;

use kernel::{
    prelude::*,
    sync::Arc, //
};
use rtrs_server::Server;

use crate::{
    export::Exports,
    listen::Control,
    session::Sessions, //
};

module! {
    type: RnbdServer,
    name: "rnbd_server",
    authors: ["The RNBD in Rust authors"],
    description: "RDMA Network Block Device Server",
    license: "GPL",
}

/// The loaded module.
struct RnbdServer {
    control: Arc<Control>,
    exports: Arc<Exports>,
}

impl kernel::Module for RnbdServer {
    fn init(module: &'static ThisModule) -> Result<Self> {
        // sysfs is there before the first client can be.
        let control = Control::new()?;
        let exports = Exports::new(module, control.clone())?;
        let sessions: Arc<dyn rtrs_server::Ulp> = Sessions::new(exports.clone())?;
        let port = params::PORT_NR.get();
        let server = Server::open(sessions, port).inspect_err(|e| {
            pr_err!(
                "cannot listen on port {}: {}; is the port in use, and is ib_core loaded?\n",
                port,
                e.to_errno()
            );
        })?;
        pr_info!("listening on port {}\n", port);
        control.attach(server);
        Ok(Self { control, exports })
    }
}

impl Drop for RnbdServer {
    fn drop(&mut self) {
        // Ends all sessions; only then the exports are empty.
        drop(self.control.detach());
        watch::stop(&self.exports);
        // The last requests on files are answered, but their work items may not have returned.
        self.exports.cache().drain();
        // A worker may still hold the session whose last message it answered, and with it the
        // exports, which must not go on their own queue.
        self.exports.control().drain();
    }
}
