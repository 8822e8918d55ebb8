// SPDX-License-Identifier: GPL-2.0

//! The verbs, the connection manager and our C helpers, as bindgen sees them.
//!
//! Only `kernel_ext::rdma` and its siblings below `rust/` may use this crate.
//! Nothing here is safe to call; it adds declarations and no code, and must
//! never contain a decision.

#![allow(
    clippy::all,
    clippy::as_underscore,
    clippy::cast_lossless,
    clippy::ptr_as_ptr,
    clippy::ref_as_ptr,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    improper_ctypes,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn
)]
#![cfg_attr(CONFIG_RUSTC_HAS_UNNECESSARY_TRANSMUTES, allow(unnecessary_transmutes))]

mod generated {
    use kernel::ffi;
    use pin_init::{MaybeZeroable, Zeroable};

    // Types which are in the kernel's own bindings come from there. What is
    // generated below takes precedence over this glob import.
    pub use kernel::bindings::*;

    // bindgen is told to leave these out, as for the kernel's own bindings.
    type __kernel_size_t = usize;
    type __kernel_ssize_t = isize;
    type __kernel_ptrdiff_t = isize;

    include!(env!("RDMA_BINDINGS_RS"));

    // SAFETY:
    // - The five unions below consist of integers and raw pointers only, for
    //   which all zeroes is a valid value (`ib_cqe *`, `wr_id`, immediate data,
    //   keys).
    unsafe impl Zeroable for ib_send_wr__bindgen_ty_1 {}
    // SAFETY: See above.
    unsafe impl Zeroable for ib_send_wr__bindgen_ty_2 {}
    // SAFETY: See above.
    unsafe impl Zeroable for ib_recv_wr__bindgen_ty_1 {}
    // SAFETY: See above.
    unsafe impl Zeroable for ib_wc__bindgen_ty_1 {}
    // SAFETY: See above.
    unsafe impl Zeroable for ib_wc__bindgen_ty_2 {}
}

pub use generated::*;
