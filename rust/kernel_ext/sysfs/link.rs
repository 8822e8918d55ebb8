// SPDX-License-Identifier: GPL-2.0

//! A symbolic link from one directory to another.

use super::{
    exists,
    is_name,
    Parent, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    str::CString, //
};

/// A symbolic link. Dropping it removes it; if directory or target went first, that is fine.
/// Process context.
///
/// # Invariants
///
/// We hold a reference to `node`, which is the node of the directory that holds the link. (The node
/// and not the kobject, whose way to its node ends when its owner deletes it, at any time.)
pub struct Link {
    node: NonNull<bindings::kernfs_node>,
    name: CString,
}

// SAFETY: a directory's node is bound to no thread.
unsafe impl Send for Link {}
// SAFETY: a shared reference to a link offers nothing.
unsafe impl Sync for Link {}

impl Link {
    /// Creates `name` in `dir`, pointing to `target`. Sleeps.
    ///
    /// # Errors
    ///
    /// - `EEXIST` if `dir` contains the name already; the log stays quiet.
    /// - `EINVAL` for an empty name, `.`, `..`, or a name that contains a `/`.
    /// - `ENOENT` if `dir` or `target` has been removed from sysfs.
    /// - `ENOMEM`.
    pub fn new(dir: &impl Parent, name: &CStr, target: &impl Parent) -> Result<Link> {
        if !is_name(name) {
            return Err(EINVAL);
        }
        let name = CString::try_from(name)?;
        let dir = dir.kobject();
        let target = target.kobject();
        // SAFETY: `Parent` promises valid kobjects as long as both are borrowed.
        let (node, aim) = unsafe { ((*dir).sd, (*target).sd) };
        let node = NonNull::new(node).ok_or(ENOENT)?;
        if aim.is_null() {
            return Err(ENOENT);
        }
        // SAFETY: as above.
        if unsafe { exists(dir, &name) } {
            return Err(EEXIST);
        }
        // SAFETY: as above; the name is a C string, which the function copies.
        to_result(unsafe { bindings::sysfs_create_link(dir, target, name.as_char_ptr()) })?;
        // SAFETY: the directory is borrowed, so nobody deletes it and its node is alive.
        unsafe { bindings::kernfs_get(node.as_ptr()) };
        // INVARIANT: the reference was just taken.
        Ok(Link { node, name })
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // The function wants a kobject, but only to find the node; the real one may lose its node
        // under us. So it gets one with nothing but the node.
        let mut dir: bindings::kobject = pin_init::zeroed();
        dir.sd = self.node.as_ptr();
        // A directory that was removed took its links with it; then nothing is found.
        //
        // SAFETY:
        // - by the invariant the node is alive, and it is a directory.
        // - the function reads `sd` of the kobject and keeps no reference to it.
        unsafe { bindings::sysfs_remove_link(&raw mut dir, self.name.as_char_ptr()) };
        // SAFETY: gives our reference back.
        unsafe { bindings::kernfs_put(self.node.as_ptr()) };
    }
}
