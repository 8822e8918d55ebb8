// SPDX-License-Identifier: GPL-2.0

//! Numbers as administrators write them: to a file in sysfs (spec: rnbd 5.2), or as an option of a
//! mapping.

use crate::errno::{
    EINVAL,
    ERANGE, //
};

/// Reads a number: decimal, hexadecimal after `0x` or octal after another `0`, with an
/// optional plus in front and at most one newline behind; no blanks.
///
/// # Errors
///
/// -`EINVAL` for anything else, -`ERANGE` for a number of more than 64 bits.
pub fn number(text: &[u8]) -> Result<u64, i32> {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    let text = text.strip_prefix(b"+").unwrap_or(text);
    magnitude(text).ok_or(-EINVAL)?.ok_or(-ERANGE)
}

/// Reads digits: hexadecimal after `0x`, octal after another `0`, else decimal. `None` if these are
/// none, `Some(None)` for more than 64 bits.
pub(crate) fn magnitude(text: &[u8]) -> Option<Option<u64>> {
    let (radix, digits) = match text {
        [b'0', b'x' | b'X', hex @ ..] => (16u32, hex),
        [b'0', _, ..] => (8, text),
        _ => (10, text),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value = Some(0u64);
    for digit in digits {
        let digit = char::from(*digit).to_digit(radix)?;
        value = value
            .and_then(|value| value.checked_mul(u64::from(radix)))
            .and_then(|value| value.checked_add(u64::from(digit)));
    }
    Some(value)
}
