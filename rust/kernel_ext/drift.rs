// SPDX-License-Identifier: GPL-2.0

//! What is said differently to one kernel and to another.
//!
//! The rest of this crate asks here and does not know which kernel it is built for. Kbuild says
//! `since_7_3` when it is Linux 7.3 or later; without it, it is 7.2. Nothing here decides anything: each
//! item has one meaning and as many spellings as there are kernels.

use kernel::{
    bindings,
    ffi::{
        c_char,
        c_int, //
    },
    prelude::*, //
};

/// The directions of DMA as C numbers (`include/linux/dma-direction.h`); bindgen makes constants of
/// them in 7.2 and a type of its own in 7.3.
#[cfg(not(since_7_3))]
pub(crate) mod dma {
    use super::*;

    pub(crate) const BIDIRECTIONAL: c_int = bindings::dma_data_direction_DMA_BIDIRECTIONAL as c_int;
    pub(crate) const TO_DEVICE: c_int = bindings::dma_data_direction_DMA_TO_DEVICE as c_int;
    pub(crate) const FROM_DEVICE: c_int = bindings::dma_data_direction_DMA_FROM_DEVICE as c_int;
}

/// The directions of DMA as C numbers (`include/linux/dma-direction.h`).
#[cfg(since_7_3)]
pub(crate) mod dma {
    use super::*;
    use bindings::dma_data_direction as c;

    pub(crate) const BIDIRECTIONAL: c_int = c::DMA_BIDIRECTIONAL.0 as c_int;
    pub(crate) const TO_DEVICE: c_int = c::DMA_TO_DEVICE.0 as c_int;
    pub(crate) const FROM_DEVICE: c_int = c::DMA_FROM_DEVICE.0 as c_int;
}

/// A count of a device's attributes, which are `int` in 7.2 and `u32` in 7.3; a negative one is none.
pub(crate) fn count(value: impl TryInto<u32>) -> u32 {
    value.try_into().unwrap_or(0)
}

/// Makes a value where it is to stay.
///
/// # Safety
///
/// `slot` must be valid for writes, and not move until it is dropped.
pub(crate) unsafe fn init_at<T>(slot: *mut T, init: impl PinInit<T>) {
    #[cfg(not(since_7_3))]
    // SAFETY: the caller promises the place; an initialiser of this type cannot fail.
    let Ok(()) = unsafe { init.__pinned_init(slot) };
    #[cfg(since_7_3)]
    // SAFETY: the caller promises the place.
    unsafe {
        pin_init::raw_init(slot, init)
    };
}

type Show = unsafe extern "C" fn(
    *mut bindings::kobject,
    *mut bindings::kobj_attribute,
    *mut c_char,
) -> isize;
type Store = unsafe extern "C" fn(
    *mut bindings::kobject,
    *mut bindings::kobj_attribute,
    *const c_char,
    usize,
) -> isize;

/// An attribute of a plain directory, with its callbacks; in 7.3 each is one of two.
pub(crate) fn kobj_attribute(
    attribute: bindings::attribute,
    show: Show,
    store: Store,
) -> bindings::kobj_attribute {
    #[cfg(not(since_7_3))]
    return bindings::kobj_attribute {
        attr: attribute,
        show: Some(show),
        store: Some(store),
    };
    #[cfg(since_7_3)]
    {
        // Whatever else is in there (with CONFIG_CFI, the other callback beside it) stays null.
        let mut this: bindings::kobj_attribute = pin_init::zeroed();
        this.attr = attribute;
        this.__bindgen_anon_1.show = Some(show);
        this.__bindgen_anon_2.store = Some(store);
        this
    }
}
