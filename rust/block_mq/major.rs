// SPDX-License-Identifier: GPL-2.0

//! A block major number.

use crate::gen_disk;
use kernel::{
    bindings,
    prelude::*,
    str::CStrExt,
    sync::Arc,
    ThisModule, //
};

/// Longest name without its terminator (`struct blk_major_name` in
/// `block/genhd.c`).
const MAX_NAME: usize = 15;

/// A dynamically assigned block major number, as listed in `/proc/devices`.
///
/// Every disk holds the major it has its numbers from. Dropping the last handle
/// also waits until the block layer has let go of every disk of this module, so
/// a module that drops its major last cannot be unloaded under a disk's final
/// release. An open disk pins the module, so this wait is short.
pub struct Major {
    number: u32,
    name: &'static CStr,
    owner: &'static ThisModule,
}

impl Major {
    /// Takes the first free major number, under the name `name`, for the disks of the module
    /// `owner`.
    ///
    /// Fails with `EINVAL` for a name of more than 15 bytes, and with `EBUSY` if
    /// there is no number left. May sleep.
    pub fn register(name: &'static CStr, owner: &'static ThisModule) -> Result<Arc<Self>> {
        // The kernel would keep the beginning only, and then warn that the name
        // is another one when the number is given back.
        if name.to_bytes().len() > MAX_NAME {
            return Err(EINVAL);
        }
        let number = gen_disk::positive(
            // SAFETY: `name` is a string that lives for ever; 0 asks for any
            // free number.
            unsafe { bindings::__register_blkdev(0, name.as_char_ptr(), None) },
        )?;
        let this = Self {
            number,
            name,
            owner,
        };
        Ok(Arc::new(this, GFP_KERNEL)?)
    }

    /// The number.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The module that implements the operations of the disks; held while one of them is open.
    pub(crate) fn owner(&self) -> &'static ThisModule {
        self.owner
    }
}

impl Drop for Major {
    fn drop(&mut self) {
        gen_disk::wait_released();
        // SAFETY: number and name are those that were registered.
        unsafe { bindings::unregister_blkdev(self.number, self.name.as_char_ptr()) };
    }
}
