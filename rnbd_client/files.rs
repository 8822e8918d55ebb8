// SPDX-License-Identifier: GPL-2.0

//! The files of a mapped device in `/sys/block/rnbd<N>/rnbd/`.
//!
//! Names, modes and texts are user-space ABI (`spec` of the client's sysfs files). They only
//! read the device and ask it for changes; the one that ends it asks the registry to. The files
//! `io_mode`, `identity`, `revalidate`, `io_timeout`, `no_path_timeout` and the directory `stats`
//! are ours.

use core::fmt::Write;
use kernel::prelude::*;
use kernel_ext::{
    error::{
        errno,
        error, //
    },
    sysfs::{
        File,
        Files,
        Page,
        StoreContext, //
    },
};
use rnbd_proto::{
    number,
    IoMode, //
};

use crate::{
    device::{
        Device,
        Label, //
    },
    patience::{
        NoPath,
        LIMIT_MAX_S, //
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
    bytes(page, device.wanted.name.as_bytes())
}

fn access_mode(device: &Device, page: &mut Page<'_>) -> Result {
    line(page, device.wanted.mode.as_str())
}

fn nr_poll_queues(device: &Device, page: &mut Page<'_>) -> Result {
    writeln!(page, "{}", device.wanted.nr_poll_queues).map_err(|_| EINVAL)
}

fn io_mode(device: &Device, page: &mut Page<'_>) -> Result {
    let said = {
        let known = device.known.lock();
        let ext = known.as_ref().and_then(|known| known.ext.as_ref());
        ext.and_then(|ext| ext.io_mode)
    };
    // A server that does not say has done what it was asked for, or what all servers do.
    let mode = said.or(device.wanted.io_mode).unwrap_or(IoMode::Block);
    line(page, mode.as_str())
}

fn identity(device: &Device, page: &mut Page<'_>) -> Result {
    let known = device.known.lock();
    let ext = known.as_ref().and_then(|known| known.ext.as_ref());
    bytes(page, ext.map_or(&[], |ext| ext.identity.as_bytes()))
}

fn show_remap(_: &Device, page: &mut Page<'_>) -> Result {
    line(page, "Usage: echo <1> > remap_device")
}

fn remap(device: &Device, text: &[u8], _: &StoreContext<'_>) -> Result {
    if text.trim_ascii() != b"1" {
        pr_err!("{}: remap_device takes '1'\n", Label(device));
        return Err(EINVAL);
    }
    registry::find(device)?.remap().inspect_err(|e| {
        let reason = match -e.to_errno() {
            errno::EALREADY => "it is open",
            errno::ECONNABORTED => "no path is connected",
            _ => "see the lines above",
        };
        pr_info!("{}: not mapped again: {}\n", Label(device), reason);
    })
}

fn show_resize(_: &Device, page: &mut Page<'_>) -> Result {
    line(page, "Usage: echo <new size in sectors> > resize")
}

fn resize(device: &Device, text: &[u8], _: &StoreContext<'_>) -> Result {
    let sectors = number(text).map_err(|e| {
        pr_err!("{}: resize takes a number of sectors\n", Label(device));
        error(e)
    })?;
    registry::find(device)?.resize(sectors)
}

fn show_revalidate(_: &Device, page: &mut Page<'_>) -> Result {
    line(page, "Usage: echo 1 > revalidate")
}

fn revalidate(device: &Device, text: &[u8], _: &StoreContext<'_>) -> Result {
    if text.trim_ascii() != b"1" {
        pr_err!("{}: revalidate takes '1'\n", Label(device));
        return Err(EINVAL);
    }
    registry::find(device)?.revalidate()
}

fn show_io_timeout(device: &Device, page: &mut Page<'_>) -> Result {
    writeln!(page, "{}", device.patience.io_s()).map_err(|_| EINVAL)
}

fn io_timeout(device: &Device, text: &[u8], _: &StoreContext<'_>) -> Result {
    let set = number(text)
        .map_err(error)
        .and_then(|seconds| device.patience.set_io_s(seconds));
    set.inspect_err(|_| {
        pr_err!(
            "{}: io_timeout takes seconds up to {}, or 0 for no limit\n",
            Label(device),
            LIMIT_MAX_S
        );
    })?;
    let _ = device.with_disk(|disk| disk.set_request_timeout(device.patience.io_poll_ms()));
    Ok(())
}

fn show_no_path_timeout(device: &Device, page: &mut Page<'_>) -> Result {
    match device.patience.no_path() {
        NoPath::Fail => line(page, "0"),
        NoPath::Wait => line(page, "-1"),
        NoPath::Seconds(seconds) => writeln!(page, "{seconds}").map_err(|_| EINVAL),
    }
}

fn no_path_timeout(device: &Device, text: &[u8], _: &StoreContext<'_>) -> Result {
    let wanted = match text.trim_ascii() {
        b"-1" => Ok(NoPath::Wait),
        _ => number(text).map_err(error).and_then(|seconds| {
            Ok(match u32::try_from(seconds)? {
                0 => NoPath::Fail,
                seconds => NoPath::Seconds(seconds),
            })
        }),
    };
    wanted
        .and_then(|wanted| device.patience.set_no_path(wanted))
        .inspect_err(|_| {
            pr_err!(
                "{}: no_path_timeout takes seconds up to {}, 0 to fail at once, or -1 for no limit\n",
                Label(device),
                LIMIT_MAX_S
            );
        })?;
    // If there is no path now, this is when it begins to count.
    registry::find(device)?.settle_soon();
    Ok(())
}

impl Files for Device {
    const FILES: &'static [File<Self>] = &[
        File::read_write(c"unmap_device", show_unmap, unmap),
        File::read_write(c"resize", show_resize, resize),
        File::read_write(c"remap_device", show_remap, remap),
        File::read_write(c"revalidate", show_revalidate, revalidate),
        File::read_write(c"io_timeout", show_io_timeout, io_timeout),
        File::read_write(c"no_path_timeout", show_no_path_timeout, no_path_timeout),
        File::read_only(c"state", state),
        File::read_only(c"session", session),
        File::read_only(c"mapping_path", mapping_path),
        File::read_only(c"access_mode", access_mode),
        File::read_only(c"nr_poll_queues", nr_poll_queues),
        File::read_only(c"io_mode", io_mode),
        File::read_only(c"identity", identity),
    ];
}
