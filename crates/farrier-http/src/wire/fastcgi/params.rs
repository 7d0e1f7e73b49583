//! Name-value pairs: lengths of one byte, or of four with the highest bit set; then both texts.

use crate::field::Span;

/// The pair that begins at `at`, as name and value; `None` when it goes beyond the end.
pub(super) fn pair(bytes: &[u8], at: usize) -> Option<(Span, Span)> {
    let (name_bytes, at) = length(bytes, at)?;
    let (value_bytes, at) = length(bytes, at)?;
    let value = at.checked_add(name_bytes)?;
    let end = value.checked_add(value_bytes)?;
    (end <= bytes.len()).then(|| (Span::new(at, value), Span::new(value, end)))
}

fn length(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = bytes.get(at..)?;
    match *rest {
        [short @ 0..0x80, ..] => Some((usize::from(short), at + 1)),
        [a, b, c, d, ..] => Some((u32::from_be_bytes([a & 0x7f, b, c, d]) as usize, at + 4)),
        _ => None,
    }
}
