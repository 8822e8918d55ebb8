// SPDX-License-Identifier: GPL-2.0

//! The files of `/sys/class/rnbd-client/ctl`.
//!
//! Names, modes and texts are user-space ABI (`spec` of the client's sysfs files).

use core::fmt::Write;
use kernel::prelude::*;
use kernel_ext::sysfs::{
    File,
    Files,
    Page,
    StoreContext, //
};
use rnbd_proto::map_options::{
    USAGE_HEAD,
    USAGE_TAIL, //
};

use crate::registry::REGISTRY;

/// What the control device shows. It has no data of its own: the registry is the module's.
pub(crate) struct Control;

fn usage(_: &Control, page: &mut Page<'_>) -> Result {
    write!(page, "{USAGE_HEAD}map_device{USAGE_TAIL}").map_err(|_| EINVAL)
}

fn map(_: &Control, text: &[u8], _: &StoreContext<'_>) -> Result {
    // Writing nothing asks for nothing.
    if text.is_empty() {
        return Ok(());
    }
    REGISTRY.get()?.map(text)
}

impl Files for Control {
    const FILES: &'static [File<Self>] = &[File::read_write(c"map_device", usage, map)];
}
