// SPDX-License-Identifier: GPL-2.0

//! Module parameters that can be read below `/sys/module/<module>/parameters`.
//!
//! The kernel's `module!` knows integers only and hides them. The macros here define a static in
//! the crate that uses them, register it under the name of the C driver with mode 0444, and add the
//! lines that `modinfo` shows:
//!
//! - [`param_int!`](crate::param_int), [`param_u16!`](crate::param_u16) and
//!   [`param_bool!`](crate::param_bool): `NAME.get()`;
//! - [`param_str!`](crate::param_str): `NAME.with(|bytes| ..)` and `NAME.copy()`.
//!
//! Parameters are set while the module is loaded, before its `init` runs, and never change
//! afterwards: no file can be written. The exception is
//! [`param_live_str!`](crate::param_live_str), for what an administrator must be able to change
//! while others depend on the module: `NAME.read(|bytes| ..)`. The macros must be used in a crate
//! with `module!`.

use core::cell::UnsafeCell;
use kernel::{
    bindings,
    ffi::{
        c_char,
        c_int,
        c_void, //
    },
    page::PAGE_SIZE,
    prelude::*,
};

/// A parameter of a plain type.
///
/// The memory has the layout that the kernel's own parameter code expects for the type.
#[repr(transparent)]
pub struct Value<T: Copy>(UnsafeCell<T>);

// SAFETY: the value is written only by the kernel's parameter code while the module is being loaded,
// before any code of the module runs; afterwards there are only reads.
unsafe impl<T: Copy + Sync> Sync for Value<T> {}

impl<T: Copy> Value<T> {
    /// A parameter with its default.
    pub const fn new(default: T) -> Self {
        Self(UnsafeCell::new(default))
    }

    /// The value. Any context.
    pub fn get(&self) -> T {
        // SAFETY: the pointer is valid; nobody writes any more when the module's code runs. Volatile,
        // so that the compiler does not take the default for the value.
        unsafe { self.0.get().read_volatile() }
    }

    /// The address for the kernel's parameter code.
    #[doc(hidden)]
    pub const fn as_void_ptr(&self) -> *mut c_void {
        self.0.get().cast()
    }
}

/// A string parameter in a buffer of `MAX` bytes; at most `MAX - 1` bytes can be set.
///
/// Everything from the last newline on is cut when it is set; it reads back with a newline.
pub struct Text<const MAX: usize> {
    set: UnsafeCell<Option<Set<MAX>>>,
    default: &'static str,
    check: fn(&[u8]) -> Result,
}

/// A value that was given when the module was loaded.
struct Set<const MAX: usize> {
    buffer: [u8; MAX],
    /// At most `MAX`.
    len: usize,
}

// SAFETY: as for `Value`: written only while the module is being loaded, before its code runs. What
// is written later is inside a `LiveText`, which lets nobody else at it.
unsafe impl<const MAX: usize> Sync for Text<MAX> {}

impl<const MAX: usize> Text<MAX> {
    /// The C operations of a text parameter of this size.
    const OPS: bindings::kernel_param_ops = bindings::kernel_param_ops {
        flags: 0,
        set: Some(Self::set_callback),
        get: Some(Self::get_callback),
        free: None,
    };

    /// A parameter with its default and the function that may refuse a value.
    pub const fn new(default: &'static str, check: fn(&[u8]) -> Result) -> Self {
        assert!(default.len() < MAX);
        Self {
            set: UnsafeCell::new(None),
            default,
            check,
        }
    }

    /// Calls `f` with the value. Any context.
    pub fn with<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        f(self.bytes())
    }

    /// A copy of the value. Sleeps.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn copy(&self) -> Result<KVec<u8>> {
        let mut copy = KVec::new();
        copy.extend_from_slice(self.bytes(), GFP_KERNEL)?;
        Ok(copy)
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: nobody writes any more when the module's code runs; and the parameter code and
        // `LiveText`, which also get here, serialise reading and writing by a lock.
        match unsafe { &*self.set.get() } {
            Some(set) => set.buffer.get(..set.len).unwrap_or(&[]),
            None => self.default.as_bytes(),
        }
    }

    /// The operations, for the entry that the macro makes.
    #[doc(hidden)]
    pub const fn ops() -> &'static bindings::kernel_param_ops {
        &Self::OPS
    }

    /// The address for the callbacks.
    #[doc(hidden)]
    pub const fn as_void_ptr(&'static self) -> *mut c_void {
        core::ptr::from_ref(self).cast_mut().cast()
    }

    fn assign(&self, given: &[u8]) -> Result {
        if given.len() >= MAX {
            pr_err!("this module parameter takes at most {} bytes\n", MAX - 1);
            return Err(EINVAL);
        }
        let end = given
            .iter()
            .rposition(|&byte| byte == b'\n')
            .unwrap_or(given.len());
        let value = given.get(..end).unwrap_or(given);
        (self.check)(value)?;
        let set = self.set.get();
        // SAFETY: the parameter code calls this under its lock, while the module is being loaded or
        // for a `LiveText`, which is read under the same lock: there is no other reference. Writing in
        // place keeps the buffer off the stack.
        let set = unsafe { &mut *set }.get_or_insert(
            const {
                Set {
                    buffer: [0; MAX],
                    len: 0,
                }
            },
        );
        if let Some(to) = set.buffer.get_mut(..value.len()) {
            to.copy_from_slice(value);
            set.len = value.len();
        }
        Ok(())
    }

    /// # Safety
    ///
    /// Called by the parameter code with the entry of a `Text<MAX>` and with null or a C string,
    /// with its lock held, while the module is being loaded or for a `LiveText`.
    unsafe extern "C" fn set_callback(
        value: *const c_char,
        param: *const bindings::kernel_param,
    ) -> c_int {
        if value.is_null() {
            return EINVAL.to_errno();
        }
        // SAFETY: the macro stored the address of a static `Text<MAX>` in the entry.
        let text = unsafe { &*(*param).__bindgen_anon_1.arg.cast::<Text<MAX>>() };
        // SAFETY: not null, so it is a C string, valid during the call.
        let value = unsafe { CStr::from_char_ptr(value) };
        match text.assign(value.to_bytes()) {
            Ok(()) => 0,
            Err(error) => error.to_errno(),
        }
    }

    /// # Safety
    ///
    /// Called by the parameter code with the entry of a `Text<MAX>` and a buffer of one page.
    unsafe extern "C" fn get_callback(
        buffer: *mut c_char,
        param: *const bindings::kernel_param,
    ) -> c_int {
        // SAFETY: the macro stored the address of a static `Text<MAX>` in the entry.
        let text = unsafe { &*(*param).__bindgen_anon_1.arg.cast::<Text<MAX>>() };
        let bytes = text.bytes();
        // A page must not be filled to the last byte, and the newline needs one.
        let len = bytes.len().min(PAGE_SIZE - 2);
        // SAFETY:
        // - `len` is at most the length of the source, and with the newline less than a page.
        // - a static and the caller's page do not overlap.
        unsafe {
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.cast::<u8>(), len);
            buffer.cast::<u8>().add(len).write(b'\n');
        }
        // Less than a page.
        len.wrapping_add(1) as c_int
    }
}

/// A [`Text`] that can be written at any time; empty by default.
pub struct LiveText<const MAX: usize> {
    text: Text<MAX>,
    /// The module whose lock the parameter code takes.
    module: *mut bindings::module,
}

// SAFETY: the text is read and written with the lock for the module's parameters held only; the
// pointer is that of a static.
unsafe impl<const MAX: usize> Sync for LiveText<MAX> {}

impl<const MAX: usize> LiveText<MAX> {
    /// An empty parameter with the function that may refuse a value; for the macro, which knows
    /// `module`, its own.
    #[doc(hidden)]
    pub const fn new(check: fn(&[u8]) -> Result, module: *mut bindings::module) -> Self {
        Self {
            text: Text::new("", check),
            module,
        }
    }

    /// Calls `f` with the value, which cannot change meanwhile. Sleeps; `f` must not get here
    /// again.
    pub fn read<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        // SAFETY: the module is the one this code is part of, by the macro.
        unsafe { bindings::kernel_param_lock(self.module) };
        // The lock is held, so nobody writes.
        let result = f(self.text.bytes());
        // SAFETY: taken above, and `f` cannot have given it back.
        unsafe { bindings::kernel_param_unlock(self.module) };
        result
    }

    /// The address for the callbacks, which are those of the text.
    #[doc(hidden)]
    pub const fn as_void_ptr(&'static self) -> *mut c_void {
        self.text.as_void_ptr()
    }
}

/// The bytes of a string as an array, for the statics that `modinfo` reads.
#[doc(hidden)]
pub const fn array<const N: usize>(text: &str) -> [u8; N] {
    let bytes = text.as_bytes();
    let mut out = [0; N];
    let mut i = 0;
    while i < N {
        out[i] = bytes[i];
        i += 1;
    }
    out
}

/// Registers a static as a parameter; the common part of the macros.
#[doc(hidden)]
#[macro_export]
macro_rules! __register_param {
    ($name:ident, $ops:expr, $type:literal, $file:literal, $description:literal) => {
        $crate::__register_param!($name, $ops, $type, $file, $description, 0o444);
    };
    ($name:ident, $ops:expr, $type:literal, $file:literal, $description:literal, $perm:literal) => {
        const _: () = {
            #[link_section = "__param"]
            #[used(compiler)]
            static ENTRY: ::kernel::module_param::KernelParam =
                ::kernel::module_param::KernelParam::new(::kernel::bindings::kernel_param {
                    name: ::kernel::str::as_char_ptr_in_const_context(::kernel::c_str!($file)),
                    // Only the address of this module's own descriptor is taken.
                    mod_: (&raw const ::kernel::bindings::__this_module).cast_mut(),
                    ops: $ops,
                    perm: $perm,
                    level: -1,
                    flags: 0,
                    __bindgen_anon_1: ::kernel::bindings::kernel_param__bindgen_ty_1 {
                        arg: $name.as_void_ptr(),
                    },
                });

            const TYPE: &str = ::core::concat!("parmtype=", $file, ":", $type, "\0");
            #[link_section = ".modinfo"]
            #[used(compiler)]
            static MODINFO_TYPE: [u8; TYPE.len()] = $crate::param::array(TYPE);

            const TEXT: &str = ::core::concat!("parm=", $file, ":", $description, "\0");
            #[link_section = ".modinfo"]
            #[used(compiler)]
            static MODINFO_TEXT: [u8; TEXT.len()] = $crate::param::array(TEXT);
        };
    };
}

/// Defines an `i32` parameter (`int` in C).
///
/// `param_int! { NAME: i32 = 512, "file_name", "what it is" }`; read it with `NAME.get()`. Doc
/// comments and a visibility may come first. A value that is no number, or out of the type's
/// range, fails the loading of the module; any other check is up to the module's `init`.
#[macro_export]
macro_rules! param_int {
    ($(#[$meta:meta])* $vis:vis $name:ident $(: i32)? = $default:expr,
     $file:literal, $description:literal $(,)?) => {
        $(#[$meta])*
        $vis static $name: $crate::param::Value<i32> = $crate::param::Value::new($default);
        $crate::__register_param!(
            $name, &raw const ::kernel::bindings::param_ops_int, "int", $file, $description
        );
    };
}

/// Defines a `u16` parameter (`ushort` in C); otherwise like [`param_int!`](crate::param_int).
#[macro_export]
macro_rules! param_u16 {
    ($(#[$meta:meta])* $vis:vis $name:ident $(: u16)? = $default:expr,
     $file:literal, $description:literal $(,)?) => {
        $(#[$meta])*
        $vis static $name: $crate::param::Value<u16> = $crate::param::Value::new($default);
        $crate::__register_param!(
            $name, &raw const ::kernel::bindings::param_ops_ushort, "ushort", $file, $description
        );
    };
}

/// Defines a `bool` parameter, shown as `Y` or `N`; otherwise like
/// [`param_int!`](crate::param_int).
#[macro_export]
macro_rules! param_bool {
    ($(#[$meta:meta])* $vis:vis $name:ident $(: bool)? = $default:expr,
     $file:literal, $description:literal $(,)?) => {
        $(#[$meta])*
        $vis static $name: $crate::param::Value<bool> = $crate::param::Value::new($default);
        $crate::__register_param!(
            $name, &raw const ::kernel::bindings::param_ops_bool, "bool", $file, $description
        );
    };
}

/// Defines a string parameter.
///
/// `param_str! { NAME = "/", max 4096, "file_name", "what it is", check: function }`: fails with
/// `EINVAL` for `max` bytes or more, cuts everything from the last newline on, then asks `function:
/// fn(&[u8]) -> Result`, which may log or refuse. The words `max` and `check:` may be left out.
#[macro_export]
macro_rules! param_str {
    ($(#[$meta:meta])* $vis:vis $name:ident = $default:expr, max $max:expr,
     $file:literal, $description:literal, check: $check:expr $(,)?) => {
        $(#[$meta])*
        $vis static $name: $crate::param::Text<{ $max }> =
            $crate::param::Text::new($default, $check);
        $crate::__register_param!(
            $name, $crate::param::Text::<{ $max }>::ops(), "string", $file, $description
        );
    };
    ($(#[$meta:meta])* $vis:vis $name:ident = $default:expr, $max:expr,
     $file:literal, $description:literal, $check:expr $(,)?) => {
        $crate::param_str! {
            $(#[$meta])* $vis $name = $default, max $max, $file, $description, check: $check
        }
    };
}

/// Defines a string parameter that root can write at any time.
///
/// `param_live_str! { NAME, max 1024, "file_name", "what it is", check: function }`; empty by
/// default. See [`param_str!`](crate::param_str) for the rest, and [`LiveText`](crate::param::LiveText).
#[macro_export]
macro_rules! param_live_str {
    ($(#[$meta:meta])* $vis:vis $name:ident, max $max:expr,
     $file:literal, $description:literal, check: $check:expr $(,)?) => {
        $(#[$meta])*
        $vis static $name: $crate::param::LiveText<{ $max }> = $crate::param::LiveText::new(
            $check,
            // Only the address of this module's own descriptor is taken.
            (&raw const ::kernel::bindings::__this_module).cast_mut(),
        );
        $crate::__register_param!(
            $name, $crate::param::Text::<{ $max }>::ops(), "string", $file, $description, 0o644
        );
    };
}

pub use crate::{
    param_bool,
    param_int,
    param_live_str,
    param_str,
    param_u16, //
};
