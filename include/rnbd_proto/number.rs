// SPDX-License-Identifier: GPL-2.0

//! A number that an administrator writes to a file in sysfs (spec: rnbd 5.2).

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
    let (radix, digits) = match text {
        [b'0', b'x' | b'X', hex @ ..] => (16u32, hex),
        [b'0', _, ..] => (8, text),
        _ => (10, text),
    };
    if digits.is_empty() {
        return Err(-EINVAL);
    }
    let mut value = Some(0u64);
    for digit in digits {
        let digit = char::from(*digit).to_digit(radix).ok_or(-EINVAL)?;
        value = value
            .and_then(|value| value.checked_mul(u64::from(radix)))
            .and_then(|value| value.checked_add(u64::from(digit)));
    }
    value.ok_or(-ERANGE)
}
