// SPDX-License-Identifier: GPL-2.0

//! The files of a mapped device in `/sys/block/rnbd<N>/rnbd/`.
//!
//! Names, modes and texts are user-space ABI (`spec` of the client's sysfs files). They only
//! read the device; the one that ends it asks the registry to.

use core::fmt::Write;
use kernel::prelude::*;
use kernel_ext::sysfs::{
    File,
    Files,
    Page,
    StoreContext, //
};

use crate::{
    device::{
        Device,
        Label, //
    },
    registry, //
};

/// One line of text.
fn line(page: &mut Page<'_>, text: &str) -> Result {
    writeln!(page, "{text}").map_err(|_| EINVAL)
}

/// One line of bytes that are perhaps no text.
fn bytes(page: &mut Page<'_>, bytes: &[u8]) -> Result {
    page.bytes(bytes);
    page.bytes(b"\n");
    Ok(())
}

fn show_unmap(_: &Device, page: &mut Page<'_>) -> Result {
    line(page, "Usage: echo <normal|force> > unmap_device")
}

fn unmap(device: &Device, text: &[u8], context: &StoreContext<'_>) -> Result {
    let force = match text.trim_ascii() {
        b"normal" => false,
        b"force" => true,
        _ => {
            pr_err!(
                "{}: unmap_device takes 'normal' or 'force'\n",
                Label(device)
            );
            return Err(EINVAL);
        }
    };
    registry::unmap(device, force, context)
}

fn state(device: &Device, page: &mut Page<'_>) -> Result {
    line(page, device.state().as_str())
}

fn session(device: &Device, page: &mut Page<'_>) -> Result {
    bytes(page, device.session_name.as_bytes())
}

fn mapping_path(device: &Device, page: &mut Page<'_>) -> Result {
    bytes(page, device.name.as_bytes())
}

fn access_mode(device: &Device, page: &mut Page<'_>) -> Result {
    line(page, device.mode.as_str())
}

fn nr_poll_queues(device: &Device, page: &mut Page<'_>) -> Result {
    writeln!(page, "{}", device.nr_poll_queues).map_err(|_| EINVAL)
}

/// A file that is only read.
const fn shown(name: &'static CStr, show: fn(&Device, &mut Page<'_>) -> Result) -> File<Device> {
    File {
        name,
        show: Some(show),
        store: None,
    }
}

impl Files for Device {
    const FILES: &'static [File<Self>] = &[
        File {
            name: c"unmap_device",
            show: Some(show_unmap),
            store: Some(unmap),
        },
        shown(c"state", state),
        shown(c"session", session),
        shown(c"mapping_path", mapping_path),
        shown(c"access_mode", access_mode),
        shown(c"nr_poll_queues", nr_poll_queues),
    ];
}
