// SPDX-License-Identifier: GPL-2.0

//! The module's parameters, readable below `/sys/module/rnbd_server/parameters`.
//!
//! They are set when the module is loaded and never change afterwards.

use kernel::prelude::*;
use kernel_ext::{
    param_bool,
    param_str,
    param_u16, //
};
use rnbd_proto::search_path::PATH_BUF_LEN;

param_u16! {
    /// The port.
    pub(crate) PORT_NR: u16 = 1234,
    "port_nr",
    "The port the server listens on (default: 1234)"
}

param_str! {
    /// Where the names of devices start.
    pub(crate) DEV_SEARCH_PATH = "/",
    max 4096,
    "dev_search_path",
    "Where the names of devices start; %SESSNAME% in it stands for the session (default: /)",
    check: check_search_path
}

param_bool! {
    /// Whether a regular file is exported to a client that did not ask for file IO.
    pub(crate) EXPORT_FILES = false,
    "export_files",
    "Export regular files also to clients that cannot ask for io_mode=fileio (default: N)"
}

param_bool! {
    /// Whether devices are claimed for writing.
    pub(crate) EXCLUSIVE = false,
    "exclusive",
    "Claim devices that are mapped for writing, so that this host cannot mount them (default: N)"
}

param_bool! {
    /// Whether writing to a disk excludes writing to its partitions.
    pub(crate) PARTITION_CONFLICTS = true,
    "partition_conflicts",
    "Count the writers of a disk and of its partitions together (default: Y)"
}

/// A path with its terminator has to fit.
fn check_search_path(value: &[u8]) -> Result {
    if value.len() >= PATH_BUF_LEN {
        pr_err!("dev_search_path has 4096 bytes or more: give a shorter one\n");
        return Err(EINVAL);
    }
    Ok(())
}
