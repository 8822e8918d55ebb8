// SPDX-License-Identifier: GPL-2.0

//! `rnbd_client`: block devices of a remote host as local disks `/dev/rnbd<N>`.
//!
//! A table of contents:
//!
//! - [`registry`]: all mapped devices, mapping and unmapping;
//! - [`device`]: one mapped device and its disk;
//! - [`queue`]: from a request of the block layer to a message;
//! - [`session`], [`sessions`]: what the devices of one session share, and the sessions by name;
//! - [`control`]: messages that are not IO;
//! - [`files`], [`control_files`]: sysfs.
//!
//! This crate knows disks. Everything it knows of the network is that a request which it
//! hands to `rtrs_client` ends once, well or badly.

#![forbid(unsafe_code)]

mod control;
mod control_files;
mod device;
mod files;
mod mapping;
mod patience;
mod queue;
mod registry;
mod revive;
mod session;
mod sessions;
mod stats;

use kernel::{
    prelude::*,
    sync::Arc, //
};
use kernel_ext::sysfs::{
    Class,
    ClassDevice,
    Dir, //
};

use crate::{
    control_files::Control,
    registry::{
        Registry,
        REGISTRY, //
    },
};

module! {
    type: RnbdClient,
    name: "rnbd_client",
    authors: ["The RNBD in Rust authors"],
    description: "RDMA Network Block Device Client",
    license: "GPL",
}

/// The loaded module.
struct RnbdClient {
    // `drop` has emptied the registry; sysfs goes from the leaves to the root.
    registry: Option<Arc<Registry>>,
    _control: ClassDevice<Control>,
    _class: Class,
}

impl kernel::Module for RnbdClient {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let class = Class::new(c"rnbd-client", module)?;
        let control = ClassDevice::new(&class, c"ctl", Arc::new(Control, GFP_KERNEL)?, true)?;
        let links = Dir::new(&control, c"devices", Arc::new((), GFP_KERNEL)?)?;
        let registry = Registry::new(module, links)?;
        // From here on a write to `map_device` finds the registry.
        REGISTRY.set(registry.clone());
        Ok(Self {
            registry: Some(registry),
            _control: control,
            _class: class,
        })
    }
}

impl Drop for RnbdClient {
    fn drop(&mut self) {
        if let Some(registry) = self.registry.take() {
            registry.close();
            REGISTRY.clear();
        }
    }
}
