// SPDX-License-Identifier: GPL-2.0

//! Files as tables of functions, and the C attributes made from them.
//!
//! A room writes a constant table ([`Files::FILES`]); a [`Dir`](super::Dir) or a
//! [`ClassDevice`](super::ClassDevice) turns it into a [`Table`] of C attributes on the heap, each
//! with a [`Hook`] behind it that knows the Rust function and the data.

use super::Page;
use crate::drift::kobj_attribute;
use core::{
    cell::Cell,
    ptr::null_mut,
    slice, //
};
use kernel::{
    bindings,
    ffi::{
        c_char,
        c_void, //
    },
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    }, //
};

/// Data that is shown as files.
pub trait Files: Send + Sync + Sized + 'static {
    /// The files, in the order in which they are created. Names must differ.
    const FILES: &'static [File<Self>];
}

impl Files for () {
    const FILES: &'static [File<Self>] = &[];
}

/// Called when a file is read. Process context, may sleep. An error is what `read` returns.
pub type ShowFn<T> = fn(&T, &mut Page<'_>) -> Result;

/// Called with the raw bytes of one `write`, including a newline if there was one. Process context,
/// may sleep. `Ok` means that all bytes were taken; an error is what `write` returns.
pub type StoreFn<T> = fn(&T, &[u8], &StoreContext<'_>) -> Result;

/// One file of a directory.
///
/// The mode follows from the functions: 0444 with `show` only, 0644 with both, 0200 with `store`
/// only.
pub struct File<T: 'static> {
    /// Name within the directory.
    pub name: &'static CStr,
    /// What reading it does, if it can be read.
    pub show: Option<ShowFn<T>>,
    /// What writing it does, if it can be written.
    pub store: Option<StoreFn<T>>,
}

impl<T> File<T> {
    /// A file that can only be read (0444).
    pub const fn read_only(name: &'static CStr, show: ShowFn<T>) -> Self {
        Self {
            name,
            show: Some(show),
            store: None,
        }
    }

    /// A file that can only be written (0200).
    pub const fn write_only(name: &'static CStr, store: StoreFn<T>) -> Self {
        Self {
            name,
            show: None,
            store: Some(store),
        }
    }

    /// A file that can be read and written (0644).
    pub const fn read_write(name: &'static CStr, show: ShowFn<T>, store: StoreFn<T>) -> Self {
        Self {
            name,
            show: Some(show),
            store: Some(store),
        }
    }

    fn mode(&self) -> bindings::umode_t {
        match (self.show.is_some(), self.store.is_some()) {
            (_, false) => 0o444,
            (true, true) => 0o644,
            (false, true) => 0o200,
        }
    }
}

/// What a `store` function may do besides storing.
///
/// # Invariants
///
/// As long as `asked` is false, the file is active: `kobject` and `attribute` are valid.
pub struct StoreContext<'a> {
    kobject: *mut bindings::kobject,
    attribute: *const bindings::attribute,
    /// The module whose function is running.
    module: *mut bindings::module,
    /// Whether this call wanted to remove its file; then a reference to `module` is held, because
    /// its file may be gone and nobody wait for the call any more.
    asked: Cell<bool>,
    _call: core::marker::PhantomData<&'a ()>,
}

impl StoreContext<'_> {
    /// Removes the file that is being written, so that its directory may be dropped from inside
    /// this call.
    ///
    /// True for exactly one of several writers; that one goes on to remove the directory. The
    /// others, and every second call, get false and should return without doing anything. It waits
    /// for other running functions of the same file.
    pub fn remove_self(&self) -> bool {
        if self.asked.get() {
            return false;
        }
        // Once the file is gone nobody waits for this call any more, so the module must be kept
        // from being unloaded under it. If it is on its way out already, its exit removes all.
        //
        // SAFETY: the module is the one that contains the running function; it is valid, as
        // unloading it has to remove the active file first.
        if !unsafe { bindings::try_module_get(self.module) } {
            return false;
        }
        // One that loses against another writer has no active file any more, either, when it comes
        // back; so it keeps the module, and does not ask again with pointers that may be stale.
        self.asked.set(true);
        // SAFETY: nothing was removed by this call yet, so by the invariant both pointers are
        // valid, and we are inside a call of the file's own `store`, the only place where this
        // function may be called.
        unsafe { bindings::sysfs_remove_file_self(self.kobject, self.attribute) }
    }
}

/// The Rust side of an attribute: plain pointers, so that a callback can copy it before it calls a
/// function that may free the table.
///
/// # Invariants
///
/// - `file` points to a `File<T>` that lives for ever and `data` came from an `Arc<T>` that lives as
///   long as the file is active, for the `T` that `show` and `store` were made for.
#[derive(Clone, Copy)]
pub(super) struct Hook {
    file: *const c_void,
    data: *const c_void,
    show: unsafe fn(Hook, &mut Page<'_>) -> Result,
    store: unsafe fn(Hook, &[u8], &StoreContext<'_>) -> Result,
    /// The module that the two functions belong to.
    module: *mut bindings::module,
}

impl Hook {
    fn new<T: Files>(file: &'static File<T>, data: &Arc<T>) -> Self {
        // INVARIANT: all are made for the same `T`; the owner of the table keeps `data`.
        Self {
            file: core::ptr::from_ref(file).cast(),
            data: Arc::as_ptr(data).cast(),
            show: show_thunk::<T>,
            store: store_thunk::<T>,
            // A generic function is compiled into the module that uses it with a type of its own, and
            // every module has its own `__this_module`; so this names the right one untold.
            module: (&raw const bindings::__this_module).cast_mut(),
        }
    }
}

/// # Safety
///
/// `hook` must have been made for `T`, and its file must be active.
unsafe fn show_thunk<T: Files>(hook: Hook, page: &mut Page<'_>) -> Result {
    // SAFETY: by the invariant of `Hook`.
    let file = unsafe { &*hook.file.cast::<File<T>>() };
    // SAFETY: by the invariant of `Hook` the `Arc` lives as long as the file is active, which it is
    // throughout this call.
    let data = unsafe { ArcBorrow::from_raw(hook.data.cast::<T>()) };
    let show = file.show.ok_or(EIO)?;
    show(&data, page)
}

/// # Safety
///
/// `hook` must have been made for `T`, and its file must be active when the call begins.
unsafe fn store_thunk<T: Files>(hook: Hook, bytes: &[u8], context: &StoreContext<'_>) -> Result {
    // SAFETY: by the invariant of `Hook`.
    let file = unsafe { &*hook.file.cast::<File<T>>() };
    // SAFETY: by the invariant of `Hook` the `Arc` lives as long as the file is active, as it is now.
    // It is cloned, because `store` may remove the file and drop the directory with its `Arc`.
    let data: Arc<T> = unsafe { ArcBorrow::from_raw(hook.data.cast::<T>()) }.into();
    let store = file.store.ok_or(EIO)?;
    store(&data, bytes, context)
}

/// A C attribute with callbacks of its own.
///
/// # Safety
///
/// The type must be `repr(C)` with a `struct attribute` as its first field.
pub(super) unsafe trait RawAttribute: Sized {
    /// The attribute with both callbacks set to those of this module.
    fn new(attribute: bindings::attribute) -> Self;
}

// SAFETY: `attr` is the first field of `struct kobj_attribute`.
unsafe impl RawAttribute for bindings::kobj_attribute {
    fn new(attribute: bindings::attribute) -> Self {
        kobj_attribute(attribute, dir_show, dir_store)
    }
}

// SAFETY: `attr` is the first field of `struct device_attribute`.
unsafe impl RawAttribute for bindings::device_attribute {
    fn new(attribute: bindings::attribute) -> Self {
        // Whatever else is in there (with CONFIG_CFI, the other callback beside it) stays null.
        let mut this: Self = pin_init::zeroed();
        this.attr = attribute;
        this.__bindgen_anon_1.show = Some(device_show);
        this.__bindgen_anon_2.store = Some(device_store);
        this
    }
}

/// An attribute and what it leads to.
#[repr(C)]
struct Entry<A> {
    attribute: A,
    hook: Hook,
}

/// The C attributes of one directory. They must outlive their files in sysfs.
pub(super) struct Table<A: RawAttribute> {
    /// Never changed after construction: C holds pointers into it.
    entries: KVec<Entry<A>>,
    /// Pointers to the attributes, ending with a null.
    pointers: KVec<*mut bindings::attribute>,
}

impl<A: RawAttribute> Table<A> {
    pub(super) fn new<T: Files>(data: &Arc<T>) -> Result<Self> {
        let mut entries = KVec::with_capacity(T::FILES.len(), GFP_KERNEL)?;
        for file in T::FILES {
            let entry = Entry {
                attribute: A::new(attribute(file)),
                hook: Hook::new(file, data),
            };
            entries.push(entry, GFP_KERNEL)?;
        }
        let mut pointers =
            KVec::with_capacity(T::FILES.len().checked_add(1).ok_or(EINVAL)?, GFP_KERNEL)?;
        for entry in &mut entries {
            // An entry begins with its attribute (both types are `repr(C)`); the pointer is made
            // from the whole entry, so that the callbacks may go on to the hook.
            pointers.push(
                core::ptr::from_mut(entry).cast::<bindings::attribute>(),
                GFP_KERNEL,
            )?;
        }
        pointers.push(null_mut(), GFP_KERNEL)?;
        Ok(Self { entries, pointers })
    }

    /// The null-terminated array of attributes.
    pub(super) fn as_ptr(&self) -> *const *mut bindings::attribute {
        debug_assert!(self.pointers.len() == self.entries.len() + 1);
        self.pointers.as_ptr()
    }
}

/// The C attribute of a file.
fn attribute<T: Files>(file: &'static File<T>) -> bindings::attribute {
    let mut attribute: bindings::attribute = pin_init::zeroed();
    attribute.name = file.name.as_char_ptr();
    attribute.mode = file.mode();
    // Lockdep wants the address of something static as the class of the file's active reference,
    // one per file, because a `store` may remove other directories. It only compares the address.
    #[cfg(CONFIG_DEBUG_LOCK_ALLOC)]
    {
        attribute.key = core::ptr::from_ref(file).cast_mut().cast();
    }
    attribute
}

/// Runs `show` of the file behind `hook`; returns the length or a negative errno.
///
/// # Safety
///
/// The file of `hook` must be active, and `buffer` valid for writes of one page.
unsafe fn show(hook: Hook, buffer: *mut c_char) -> isize {
    // SAFETY: sysfs hands over one zeroed page that nobody else uses during the call.
    let bytes = unsafe { slice::from_raw_parts_mut(buffer.cast::<u8>(), PAGE_SIZE) };
    let mut page = Page::new(bytes);
    // SAFETY: by the invariant of `Hook` the thunk was made for the same type; the caller promises
    // that the file is active.
    match unsafe { (hook.show)(hook, &mut page) } {
        // At most a page.
        Ok(()) => page.len() as isize,
        Err(error) => error.to_errno() as isize,
    }
}

/// Runs `store` of the file behind `hook`; returns `count` or a negative errno.
///
/// # Safety
///
/// The file of `hook` must be active with the given kobject and attribute, and `buffer` valid for
/// reads of `count` bytes.
unsafe fn store(
    hook: Hook,
    kobject: *mut bindings::kobject,
    attribute: *const bindings::attribute,
    buffer: *const c_char,
    count: usize,
) -> isize {
    // SAFETY: by the requirement on `buffer`; nobody changes it during the call.
    let bytes = unsafe { slice::from_raw_parts(buffer.cast::<u8>(), count) };
    // INVARIANT: the file is active, as the caller promises.
    let context = StoreContext {
        kobject,
        attribute,
        module: hook.module,
        asked: Cell::new(false),
        _call: core::marker::PhantomData,
    };
    // SAFETY: by the invariant of `Hook` the thunk was made for the same type; the caller promises
    // that the file is active.
    let result = unsafe { (hook.store)(hook, bytes, &context) };
    // From here on kobject, attribute and hook may be gone: only locals are used.
    if context.asked.get() {
        // SAFETY: gives back the reference that `remove_self` took when it set `asked`. This code
        // belongs to the module that all others depend on, so it is still there when the reference
        // is gone.
        unsafe { bindings::module_put(context.module) };
    }
    match result {
        // A write is at most a page.
        Ok(()) => count as isize,
        Err(error) => error.to_errno() as isize,
    }
}

/// # Safety
///
/// Called by sysfs for an attribute that is part of an `Entry<kobj_attribute>`.
unsafe extern "C" fn dir_show(
    _kobject: *mut bindings::kobject,
    attribute: *mut bindings::kobj_attribute,
    buffer: *mut c_char,
) -> isize {
    // SAFETY: the attribute is the first field of an entry, which lives as long as the file.
    let hook = unsafe { (*attribute.cast::<Entry<bindings::kobj_attribute>>()).hook };
    // SAFETY: sysfs calls with the file active and with a page.
    unsafe { show(hook, buffer) }
}

/// # Safety
///
/// Called by sysfs for an attribute that is part of an `Entry<kobj_attribute>`.
unsafe extern "C" fn dir_store(
    kobject: *mut bindings::kobject,
    attribute: *mut bindings::kobj_attribute,
    buffer: *const c_char,
    count: usize,
) -> isize {
    // SAFETY: the attribute is the first field of an entry, which lives as long as the file.
    let hook = unsafe { (*attribute.cast::<Entry<bindings::kobj_attribute>>()).hook };
    // SAFETY: sysfs calls with the file active and with `count` bytes.
    unsafe { store(hook, kobject, attribute.cast(), buffer, count) }
}

/// # Safety
///
/// Called by the driver core for an attribute that is part of an `Entry<device_attribute>`.
unsafe extern "C" fn device_show(
    _device: *mut bindings::device,
    attribute: *mut bindings::device_attribute,
    buffer: *mut c_char,
) -> isize {
    // SAFETY: the attribute is the first field of an entry, which lives as long as the file.
    let hook = unsafe { (*attribute.cast::<Entry<bindings::device_attribute>>()).hook };
    // SAFETY: sysfs calls with the file active and with a page.
    unsafe { show(hook, buffer) }
}

/// # Safety
///
/// Called by the driver core for an attribute that is part of an `Entry<device_attribute>`.
unsafe extern "C" fn device_store(
    device: *mut bindings::device,
    attribute: *mut bindings::device_attribute,
    buffer: *const c_char,
    count: usize,
) -> isize {
    // SAFETY: the attribute is the first field of an entry, which lives as long as the file.
    let hook = unsafe { (*attribute.cast::<Entry<bindings::device_attribute>>()).hook };
    // SAFETY: the device is valid during the call; only the address of the field is taken.
    let kobject = unsafe { &raw mut (*device).kobj };
    // SAFETY: sysfs calls with the file active and with `count` bytes.
    unsafe { store(hook, kobject, attribute.cast(), buffer, count) }
}
