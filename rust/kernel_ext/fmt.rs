// SPDX-License-Identifier: GPL-2.0

//! Bridges between the formatting traits of `core` and of the kernel, and a safe way to print
//! what a peer or a user wrote.
//!
//! `pr_*!` and `fmt!` want the kernel's own `Display`; pure crates implement `core`'s. A third
//! crate cannot join the two, hence [`Show`].

use core::fmt::{
    self,
    Write, //
};

/// Prints a value that implements `core::fmt::Display` where the kernel's `Display` is wanted.
pub struct Show<T: fmt::Display>(pub T);

impl<T: fmt::Display> kernel::fmt::Display for Show<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Show<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Bytes of unknown origin, printed so that they cannot harm a log or a terminal.
///
/// See [`escape`].
#[derive(Clone, Copy)]
pub struct Escaped<'a>(&'a [u8]);

/// Wraps bytes for printing: printable ASCII as it is, a backslash doubled, everything else as
/// `\xNN`.
///
/// A trailing run of NUL bytes, as fixed-size wire fields carry, is left out. Use it for every
/// string that a peer or a user supplied.
pub fn escape(bytes: &[u8]) -> Escaped<'_> {
    let end = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last.saturating_add(1));
    Escaped(bytes.get(..end).unwrap_or(&[]))
}

impl Escaped<'_> {
    fn print(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for &byte in self.0 {
            match byte {
                b'\\' => f.write_str("\\\\")?,
                b' '..=b'~' => f.write_char(char::from(byte))?,
                _ => core::write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f)
    }
}

impl kernel::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.print(f)
    }
}
