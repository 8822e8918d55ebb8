// SPDX-License-Identifier: GPL-2.0

//! A directory with files.

use super::{
    exists,
    files::Table,
    is_name,
    Files,
    Parent, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    sync::Arc, //
};

/// A directory below a [`Parent`], with the files of `T`.
///
/// Dropping it waits until none of its file functions runs, then removes it with everything in it;
/// so it must not happen in one of those functions (but see
/// [`StoreContext::remove_self`](super::StoreContext::remove_self)). Process context.
///
/// # Invariants
///
/// `kobject` was made by `kobject_create_and_add`; the reference that returned is ours.
pub struct Dir<T: Files> {
    kobject: NonNull<bindings::kobject>,
    /// Read by C; freed after `drop` has removed the files.
    table: Table<bindings::kobj_attribute>,
    data: Arc<T>,
}

// SAFETY: a kobject is bound to no thread; `T` is `Send + Sync` by the bound of `Files`.
unsafe impl<T: Files> Send for Dir<T> {}
// SAFETY: a shared reference offers the kobject's address and the shared data only; the functions
// that add to a directory lock it themselves.
unsafe impl<T: Files> Sync for Dir<T> {}

impl<T: Files> Dir<T> {
    /// Creates the directory and its files. Sleeps.
    ///
    /// # Errors
    ///
    /// - `EEXIST` if the parent contains the name already; the log stays quiet.
    /// - `EINVAL` for an empty name, `.`, `..`, or a name that contains a `/`.
    /// - `ENOENT` if the parent has been removed from sysfs.
    /// - `ENOMEM`.
    pub fn new(parent: &impl Parent, name: &CStr, data: Arc<T>) -> Result<Dir<T>> {
        if !is_name(name) {
            return Err(EINVAL);
        }
        let above = parent.kobject();
        // SAFETY: `Parent` promises a valid kobject as long as `parent` is borrowed.
        if unsafe { (*above).sd }.is_null() {
            return Err(ENOENT);
        }
        // SAFETY: as above.
        if unsafe { exists(above, name) } {
            return Err(EEXIST);
        }
        let table = Table::new(&data)?;
        // SAFETY: as above; the name is a C string, which the function copies.
        let kobject = unsafe { bindings::kobject_create_and_add(name.as_char_ptr(), above) };
        // It does not tell why it failed; memory is the one cause left.
        let kobject = NonNull::new(kobject).ok_or(ENOMEM)?;
        // INVARIANT: the kobject comes from `kobject_create_and_add`.
        let dir = Dir {
            kobject,
            table,
            data,
        };
        // SAFETY:
        // - the kobject is in sysfs, and its type calls the callbacks of `kobj_attribute`, which is
        //   what the table consists of.
        // - the array ends with a null; it and the attributes live until `drop` has removed them.
        to_result(unsafe {
            bindings::sysfs_create_files(kobject.as_ptr(), dir.table.as_ptr().cast())
        })?;
        Ok(dir)
    }

    /// What the files show.
    pub fn data(&self) -> &Arc<T> {
        &self.data
    }
}

impl Dir<()> {
    /// A directory without files; see [`Dir::new`] for the errors.
    pub fn plain(parent: &impl Parent, name: &CStr) -> Result<Dir<()>> {
        Dir::new(parent, name, Arc::new((), GFP_KERNEL)?)
    }
}

impl<T: Files> Drop for Dir<T> {
    fn drop(&mut self) {
        // The files go first and one by one: as long as one is active its functions may use the
        // kobject's way to its node, which `kobject_del` cuts before it waits for them.
        //
        // SAFETY: by the invariant; a file that does not exist (any more) is passed over. The table
        // and the data are dropped after this function only, when no file function runs.
        unsafe { bindings::sysfs_remove_files(self.kobject.as_ptr(), self.table.as_ptr().cast()) };
        // SAFETY: by the invariant. This removes the directory with all that is left in it.
        unsafe { bindings::kobject_del(self.kobject.as_ptr()) };
        // SAFETY: by the invariant this is our reference; the memory belongs to the kernel, which
        // frees it with its own code when the last reference goes.
        unsafe { bindings::kobject_put(self.kobject.as_ptr()) };
    }
}

// SAFETY: the kobject was added to sysfs and is kept by our reference.
unsafe impl<T: Files> Parent for Dir<T> {
    fn kobject(&self) -> *mut bindings::kobject {
        self.kobject.as_ptr()
    }
}
