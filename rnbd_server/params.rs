// SPDX-License-Identifier: GPL-2.0

//! The module's parameters, readable below `/sys/module/rnbd_server/parameters`.
//!
//! They are set when the module is loaded and never change afterwards.

use kernel::prelude::*;
use kernel_ext::{
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

/// A path with its terminator has to fit.
fn check_search_path(value: &[u8]) -> Result {
    if value.len() >= PATH_BUF_LEN {
        pr_err!("dev_search_path has 4096 bytes or more: give a shorter one\n");
        return Err(EINVAL);
    }
    Ok(())
}
