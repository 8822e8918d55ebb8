// SPDX-License-Identifier: GPL-2.0

//! Directories, files, links and class devices in sysfs.
//!
//! The kernel crate has nothing for sysfs. Here a room declares the files of a directory as a
//! constant table of functions ([`Files`], [`File`]), and owns what is visible as values:
//!
//! | value | while it lives, there is | dropping it |
//! | --- | --- | --- |
//! | [`Class`] | `/sys/class/<name>` | unregisters, after its last device |
//! | [`ClassDevice`] | `/sys/devices/virtual/<class>/<name>` with files | waits for running files, removes |
//! | [`Dir`] | a directory with files below a [`Parent`] | waits for running files, removes |
//! | [`Link`] | a symbolic link | removes it |
//!
//! **Who owns the memory.** The kernel object behind a directory or a device is allocated and freed
//! by the kernel's own code, so a reference that somebody else still holds can never call into a
//! module that has gone. What Rust adds (the attribute table and the data) is only reached through
//! files; removing a directory waits until no file function runs, and only then is it freed.
//!
//! **Dropping from inside.** A `show` or `store` must not drop its own directory: it would wait for
//! itself. The exception is a `store` that has called [`StoreContext::remove_self`], the way
//! `unmap_device` and `remove_path` work.

mod class;
mod dir;
mod files;
mod link;
mod page;

use core::ptr::null;
use kernel::{bindings, prelude::*};

pub use class::{
    Class,
    ClassDevice, //
};
pub use dir::Dir;
pub use files::{
    File,
    Files,
    ShowFn,
    StoreContext,
    StoreFn, //
};
pub use link::Link;
pub use page::Page;

/// Something in sysfs that can hold directories and links and be linked to.
///
/// # Safety
///
/// `kobject` must return a pointer to an initialised kobject that was added to sysfs and stays
/// allocated as long as `self`. (It may have been removed from sysfs meanwhile.)
pub unsafe trait Parent {
    /// The kobject behind the directory.
    fn kobject(&self) -> *mut bindings::kobject;
}

/// Whether `name` can be that of an entry: not empty, and nothing that means another place in a
/// path. The kernel would turn a `/` into a `!`, which [`exists`] could not foresee.
fn is_name(name: &CStr) -> bool {
    !matches!(name.to_bytes(), b"" | b"." | b"..") && !name.to_bytes().contains(&b'/')
}

/// Whether `dir` contains an entry called `name`.
///
/// Used to refuse a duplicate quietly: the kernel would print a stack trace, and some names are
/// chosen by users or peers.
///
/// # Safety
///
/// `dir` must be valid as [`Parent`] describes.
unsafe fn exists(dir: *mut bindings::kobject, name: &CStr) -> bool {
    // SAFETY: the caller promises that the kobject is valid.
    let node = unsafe { (*dir).sd };
    if node.is_null() {
        return false;
    }
    // SAFETY:
    // - a kobject holds a reference to its node from the time it was added until it is deleted,
    //   and only the owner of the directory, whom the caller borrows, deletes it.
    // - the name is a C string; our directories have no namespaces.
    let found = unsafe { bindings::kernfs_find_and_get_ns(node, name.as_char_ptr(), null()) };
    if found.is_null() {
        return false;
    }
    // SAFETY: the function above returned this node with a reference for us.
    unsafe { bindings::kernfs_put(found) };
    true
}
