// SPDX-License-Identifier: GPL-2.0

//! Self-test of the part of `kernel_ext` that has nothing to do with RDMA.
//!
//! Loading the module runs [`checks`] and creates a small sysfs tree ([`tree`]) that the script
//! `base.sh` reads, writes and tears down. Never part of a release; it has no unsafe code, like the
//! rooms it stands for.

#![forbid(unsafe_code)]

mod checks;
mod tree;

use kernel::prelude::*;
use kernel_ext::{
    fmt::escape,
    param_bool,
    param_int,
    param_str,
    param_u16, //
};

module! {
    type: Base,
    name: "kx_base",
    authors: ["RNBD in Rust"],
    description: "Self-test of kernel_ext",
    license: "GPL",
}

param_int! { NUMBER: i32 = 512, "number", "An integer" }
param_u16! { PORT: u16 = 1234, "port_nr", "A port" }
param_bool! { SWITCH: bool = true, "switch_on", "A switch" }
param_str! { PATH = "/", max 4096, "dev_search_path", "A path", check: check_path }

fn check_path(value: &[u8]) -> Result {
    if value.starts_with(b"bad") {
        return Err(EPERM);
    }
    pr_info!("dev_search_path is {}\n", escape(value));
    Ok(())
}

/// The loaded test: its sysfs tree.
struct Base {
    _tree: tree::Tree,
}

impl kernel::Module for Base {
    fn init(module: &'static ThisModule) -> Result<Self> {
        checks::all().inspect_err(|e| pr_err!("failed: {}\n", e.to_errno()))?;
        let tree = tree::Tree::new(module).inspect_err(|e| pr_err!("tree: {}\n", e.to_errno()))?;
        pr_info!(
            "number {} port_nr {} switch_on {} dev_search_path {}\n",
            NUMBER.get(),
            PORT.get(),
            SWITCH.get(),
            escape(&PATH.copy()?)
        );
        pr_info!("ok\n");
        Ok(Base { _tree: tree })
    }
}
