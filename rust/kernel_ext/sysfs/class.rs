// SPDX-License-Identifier: GPL-2.0

//! A device class and devices without hardware in it.
//!
//! This is how a driver gets a place below `/sys/devices/virtual` and uevents. Both structures are
//! allocated and released by the driver core (`class_create`, `device_create`), not by us.

use super::{
    files::Table,
    is_name,
    Files,
    Parent, //
};
use core::ptr::{
    null,
    null_mut,
    NonNull, //
};
use kernel::{
    bindings,
    error::from_err_ptr,
    ffi::{
        c_int,
        c_void, //
    },
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Release, //
        },
        Arc, //
    }, //
};

/// # Invariants
///
/// `raw` came from `class_create` and has not been destroyed.
struct Registered {
    raw: NonNull<bindings::class>,
}

// SAFETY: a class is bound to no thread.
unsafe impl Send for Registered {}
// SAFETY: the driver core locks a class itself.
unsafe impl Sync for Registered {}

impl Drop for Registered {
    fn drop(&mut self) {
        // SAFETY: by the invariant; every device of ours holds an `Arc` of this, so none is left.
        unsafe { bindings::class_destroy(self.raw.as_ptr()) }
    }
}

/// A device class, `/sys/class/<name>`.
///
/// It is unregistered when it and all its devices have been dropped. Process context.
pub struct Class {
    inner: Arc<Registered>,
}

impl Class {
    /// Registers a class. Sleeps.
    ///
    /// `_owner` names the module whose life the class belongs to: keep the class in a value that
    /// this module drops.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the name is taken, `ENOMEM`.
    pub fn new(name: &'static CStr, _owner: &'static ThisModule) -> Result<Class> {
        // SAFETY: the name lives for ever.
        let raw = from_err_ptr(unsafe { bindings::class_create(name.as_char_ptr()) })?;
        let raw = NonNull::new(raw).ok_or(ENOMEM)?;
        // SAFETY: the class was allocated for us and has no devices yet, so nobody reads the field.
        unsafe { (*raw.as_ptr()).dev_uevent = Some(filter_uevent) };
        // INVARIANT: it comes from `class_create`.
        let registered = Registered { raw };
        Ok(Class {
            inner: Arc::new(registered, GFP_KERNEL)?,
        })
    }
}

/// Keeps back the events of a device that has not been announced: an error makes the driver core
/// drop the event.
///
/// # Safety
///
/// Called by the driver core for a registered device of a class of ours.
unsafe extern "C" fn filter_uevent(
    device: *const bindings::device,
    _env: *mut bindings::kobj_uevent_env,
) -> c_int {
    // SAFETY: the device is valid during the call; `ClassDevice::new` set its driver data to a flag
    // that lives until the device has been unregistered.
    let announced = unsafe { &*(*device).driver_data.cast::<Atomic<bool>>() };
    if announced.load(Acquire) {
        0
    } else {
        EAGAIN.to_errno()
    }
}

/// A device of a class, without parent and device number, with the files of `T`.
///
/// Its directory is `/sys/devices/virtual/<class>/<name>`. Dropping it waits until none of its file
/// functions runs, then removes it; so it must not happen in one of those functions (but see
/// [`StoreContext::remove_self`](super::StoreContext::remove_self)). Process context.
///
/// # Invariants
///
/// `device` was returned by `device_create_with_groups` and is registered; the reference is ours.
pub struct ClassDevice<T: Files> {
    device: NonNull<bindings::device>,
    /// What C reads of us; freed after `drop` has unregistered the device.
    parts: KBox<Parts>,
    data: Arc<T>,
    /// Keeps the class until the device is gone.
    _class: Arc<Registered>,
}

/// Memory that the registered device points to.
struct Parts {
    /// Whether uevents may be sent.
    announced: Atomic<bool>,
    table: Table<bindings::device_attribute>,
    group: bindings::attribute_group,
    /// Pointer to `group`, and a null.
    groups: [*const bindings::attribute_group; 2],
}

// SAFETY: a device is bound to no thread; the parts are not changed after construction except for
// the atomic flag; `T` is `Send + Sync` by the bound of `Files`.
unsafe impl<T: Files> Send for ClassDevice<T> {}
// SAFETY: a shared reference offers the device's address, the atomic flag and the shared data only.
unsafe impl<T: Files> Sync for ClassDevice<T> {}

impl<T: Files> ClassDevice<T> {
    /// Registers a device with its files. Sleeps.
    ///
    /// With `announce` the add event is sent at once, when all files exist. Without it no event
    /// is sent until [`announce`](Self::announce): for devices whose directories below come later.
    ///
    /// # Errors
    ///
    /// - `EEXIST` if the class has a device of this name already; the log stays quiet.
    /// - `EINVAL` for an empty name, `.`, `..`, or a name that contains a `/`.
    /// - `ENOMEM`.
    pub fn new(class: &Class, name: &CStr, data: Arc<T>, announce: bool) -> Result<Self> {
        if !is_name(name) {
            return Err(EINVAL);
        }
        let raw = class.inner.raw.as_ptr();
        // SAFETY: the class is registered, as `class` is borrowed; the function compares names.
        let twin = unsafe {
            bindings::class_find_device(
                raw,
                null(),
                name.as_char_ptr().cast::<c_void>(),
                Some(bindings::device_match_name),
            )
        };
        if !twin.is_null() {
            // SAFETY: the search returned it with a reference for us.
            unsafe { bindings::put_device(twin) };
            return Err(EEXIST);
        }
        let mut parts = KBox::new(
            Parts {
                announced: Atomic::new(announce),
                table: Table::new(&data)?,
                group: pin_init::zeroed(),
                groups: [null(), null()],
            },
            GFP_KERNEL,
        )?;
        parts.group.__bindgen_anon_2 = bindings::attribute_group__bindgen_ty_2 {
            attrs: parts.table.as_ptr().cast_mut(),
        };
        parts.groups[0] = &raw const parts.group;
        let flag = &raw const parts.announced;
        let groups = parts.groups.as_mut_ptr();
        // SAFETY:
        // - the class is registered.
        // - the flag, the groups, the group and the attributes are on the heap, do not move, and
        //   are freed only after `drop` has unregistered the device, or here if this fails.
        // - the format takes one string.
        let device = from_err_ptr(unsafe {
            bindings::device_create_with_groups(
                raw,
                null_mut(),
                0,
                flag.cast_mut().cast::<c_void>(),
                groups,
                c"%s".as_char_ptr(),
                name.as_char_ptr(),
            )
        })?;
        // INVARIANT: it was returned by `device_create_with_groups`.
        Ok(Self {
            device: NonNull::new(device).ok_or(ENODEV)?,
            parts,
            data,
            _class: class.inner.clone(),
        })
    }

    /// Sends the add event that was kept back. Only the first call does anything. Sleeps.
    pub fn announce(&self) {
        if self.parts.announced.load(Acquire) {
            return;
        }
        self.parts.announced.store(true, Release);
        // The event is a courtesy; that it could not be sent must not break the device.
        //
        // SAFETY: by the invariant the device is registered.
        let _ =
            unsafe { bindings::kobject_uevent(self.kobject(), bindings::kobject_action_KOBJ_ADD) };
    }

    /// What the files show.
    pub fn data(&self) -> &Arc<T> {
        &self.data
    }
}

impl<T: Files> Drop for ClassDevice<T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant. This removes the files, waits for running ones, and gives our
        // reference back; the parts and the data are dropped afterwards only.
        unsafe { bindings::device_unregister(self.device.as_ptr()) }
    }
}

// SAFETY: the device was added to sysfs and is kept by our reference.
unsafe impl<T: Files> Parent for ClassDevice<T> {
    fn kobject(&self) -> *mut bindings::kobject {
        // SAFETY: by the invariant the device is valid; only the field's address is taken.
        unsafe { &raw mut (*self.device.as_ptr()).kobj }
    }
}
