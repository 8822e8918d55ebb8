// SPDX-License-Identifier: GPL-2.0

//! Facts about an RDMA device.
//!
//! A device is never owned here: it stays as long as a connection manager id is bound to it, which
//! is why [`HasDevice`] is implemented by the values that hold such an id.

use super::id::IdRef;
use crate::drift::count;
use kernel::sync::Arc;
use rdma_bindings as c;

/// Longest device name (`IB_DEVICE_NAME_MAX`).
const NAME_MAX: usize = 64;

/// What a device can do. Numbers are the device's limits as reported by its driver.
#[derive(Clone)]
pub struct DeviceInfo {
    name: [u8; NAME_MAX],
    name_len: usize,
    /// Most work requests of one queue.
    pub max_qp_wr: u32,
    /// Most entries of a completion queue.
    pub max_cqe: u32,
    /// Most elements of a send's gather list.
    pub max_send_sge: u32,
    /// Most elements of a receive's scatter list.
    pub max_recv_sge: u32,
    /// Most pages of a fast registration.
    pub max_fast_reg_pages: u32,
    /// Completion vectors; at least 1.
    pub num_comp_vectors: u32,
    /// Largest memory region, in bytes.
    pub max_mr_size: u64,
    /// Bit mask of supported page sizes.
    pub page_size_cap: u64,
    /// Fast registration, local invalidation and send with invalidation work.
    pub mem_mgt_extensions: bool,
    /// Memory regions may have gaps between their elements.
    pub gaps_mr: bool,
}

impl DeviceInfo {
    /// The kernel's name of the device, as of when it was asked.
    pub fn name(&self) -> &[u8] {
        self.name.get(..self.name_len).unwrap_or(&[])
    }

    /// Reads the facts.
    ///
    /// # Safety
    ///
    /// `device` must be valid for the duration of the call.
    pub(super) unsafe fn read(device: *mut c::ib_device) -> Self {
        let mut name = [0; NAME_MAX];
        // SAFETY:
        // - The caller promises a valid device; its attributes do not change after registration.
        // - The name may be changed while it is copied; the bytes are copied through raw pointers
        //   and no terminator is relied on, so the worst is a mixed name.
        let (attrs, vectors) = unsafe {
            let source = (&raw const (*device).name).cast::<u8>();
            core::ptr::copy_nonoverlapping(source, name.as_mut_ptr(), NAME_MAX);
            (&(*device).attrs, (*device).num_comp_vectors)
        };
        Self {
            name_len: name.iter().position(|&byte| byte == 0).unwrap_or(NAME_MAX),
            name,
            max_qp_wr: count(attrs.max_qp_wr),
            max_cqe: count(attrs.max_cqe),
            max_send_sge: count(attrs.max_send_sge),
            max_recv_sge: count(attrs.max_recv_sge),
            max_fast_reg_pages: attrs.max_fast_reg_page_list_len,
            num_comp_vectors: count(vectors).max(1),
            max_mr_size: attrs.max_mr_size,
            page_size_cap: attrs.page_size_cap,
            // SAFETY: the caller promises a valid device.
            mem_mgt_extensions: unsafe { c::rdx_device_has_mem_mgt(device) },
            // SAFETY: As above.
            gaps_mr: unsafe { c::rdx_device_has_sg_gaps(device) },
        }
    }
}

/// Something that is bound to a device: [`Resolved`](super::Resolved) and
/// [`Deferred`](super::Deferred). Sealed.
pub trait HasDevice: sealed::HasId {}

pub(super) mod sealed {
    use super::*;

    /// Access to the id, for this crate only.
    pub trait HasId {
        /// The id; it is bound to a device.
        #[doc(hidden)]
        fn id(&self) -> &Arc<IdRef>;
    }
}
