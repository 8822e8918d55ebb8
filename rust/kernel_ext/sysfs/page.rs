// SPDX-License-Identifier: GPL-2.0

//! The buffer a `show` function writes into.

use core::fmt;
use kernel::page::PAGE_SIZE;

/// What a file can hold: sysfs warns about a `show` that fills the whole page.
pub(super) const CAPACITY: usize = PAGE_SIZE - 1;

/// A bounded writer over the page that sysfs hands to `show`.
///
/// What does not fit is cut off silently, as C's `sysfs_emit` does: writing never fails. Use
/// `core::write!` for values with `core`'s `Display`, [`Page::emit`] with `fmt!(..)` for those with
/// the kernel's.
pub struct Page<'a> {
    buffer: &'a mut [u8],
    /// Bytes written; at most `CAPACITY` and at most the buffer's length.
    len: usize,
}

impl<'a> Page<'a> {
    pub(super) fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    /// Appends bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let end = self.buffer.len().min(CAPACITY);
        let Some(room) = self.buffer.get_mut(self.len..end) else {
            return;
        };
        for (to, from) in room.iter_mut().zip(bytes) {
            *to = *from;
            // Bounded by the length of `room`.
            self.len = self.len.wrapping_add(1);
        }
    }

    /// Appends formatted text: `page.emit(fmt!("{}\n", value))`.
    pub fn emit(&mut self, arguments: fmt::Arguments<'_>) {
        // Writing into a page cannot fail; a `Display` that fails by itself leaves what it wrote.
        let _ = fmt::Write::write_fmt(self, arguments);
    }

    /// Number of bytes written so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing has been written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl fmt::Write for Page<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.bytes(text.as_bytes());
        Ok(())
    }
}
