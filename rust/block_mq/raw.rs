// SPDX-License-Identifier: GPL-2.0

//! Declarations of the C helpers in `rust/helpers/block_mq.c`.
//!
//! The prototypes are those of `rust/helpers/block_mq.h`; keep both together.

use kernel::{
    bindings,
    ffi::c_void, //
};

// The pointed-to structures contain empty ones, which the lint takes amiss; they
// are bindgen's own and are only ever passed through.
#[allow(improper_ctypes)]
unsafe extern "C" {
    /// `blk_mq_alloc_disk` with a lock class of its own: a disk with its own
    /// queue, or an error pointer. May sleep.
    pub(crate) fn bmqx_alloc_disk(
        set: *mut bindings::blk_mq_tag_set,
        limits: *mut bindings::queue_limits,
        data: *mut c_void,
    ) -> *mut bindings::gendisk;

    /// `BLK_MAX_BLOCK_SIZE` in bytes: what it is depends on the configuration.
    pub(crate) safe fn bmqx_max_block_size() -> u32;

    /// Fills in heads, sectors and cylinders for a capacity in sectors.
    pub(crate) fn bmqx_set_geometry(geo: *mut bindings::hd_geometry, sectors: u64);
}
