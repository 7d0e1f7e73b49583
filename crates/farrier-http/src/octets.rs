//! Tests on several bytes at once, for the hot path of decoding heads.

/// How many bytes at the front are neither a control character nor DEL; tab counts as none.
#[inline]
pub(crate) fn text_prefix(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(word) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let hits = controls(u64::from_le_bytes(*word));
        if hits == 0 {
            at += 8;
            continue;
        }
        at += (hits.trailing_zeros() / 8) as usize;
        if bytes[at] != b'\t' {
            return at;
        }
        at += 1;
    }
    while at < bytes.len() && (bytes[at] == b'\t' || (bytes[at] >= b' ' && bytes[at] != 0x7f)) {
        at += 1;
    }
    at
}

/// The first position of the byte.
#[inline]
pub(crate) fn position(bytes: &[u8], byte: u8) -> Option<usize> {
    let (words, rest) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let hits = zeros(u64::from_le_bytes(*word) ^ (u64::from(byte) * ONES));
        if hits != 0 {
            return Some(index * 8 + (hits.trailing_zeros() / 8) as usize);
        }
    }
    rest.iter().position(|&b| b == byte).map(|at| words.len() * 8 + at)
}

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * ONES;

/// The high bit of each byte that is 0. Exact for the lowest such byte; bytes above it may be marked in error.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGH
}

/// The high bit of each byte that is below a space, or DEL. Exact for the lowest such byte, as with [`zeros`].
fn controls(word: u64) -> u64 {
    (word.wrapping_sub(0x20 * ONES) & !word & HIGH) | zeros(word ^ (0x7f * ONES))
}

/// Whether `lower`, which has no upper-case letters, is `bytes` in lower case. Only ASCII letters have a case.
#[inline]
pub(crate) fn is_lower_case_of(lower: &[u8], bytes: &[u8]) -> bool {
    if lower.len() != bytes.len() {
        return false;
    }
    let (lower_words, _) = lower.as_chunks::<8>();
    let (words, _) = bytes.as_chunks::<8>();
    match (lower.last_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(lower_last), Some(last)) => {
            lower_words.iter().zip(words).all(|(l, w)| u64::from_le_bytes(*l) == lower_case(u64::from_le_bytes(*w)))
                && u64::from_le_bytes(*lower_last) == lower_case(u64::from_le_bytes(*last))
        }
        _ => match (ends(lower), ends(bytes)) {
            (Some(l), Some(w)) => l == lower_case(w),
            _ => bytes.eq_ignore_ascii_case(lower),
        },
    }
}

/// The first and the last four bytes, which overlap where there are fewer than eight.
fn ends(bytes: &[u8]) -> Option<u64> {
    let first = u32::from_le_bytes(*bytes.first_chunk()?);
    let last = u32::from_le_bytes(*bytes.last_chunk()?);
    Some(u64::from(first) | u64::from(last) << 32)
}

/// Eight bytes with their ASCII letters in lower case.
fn lower_case(word: u64) -> u64 {
    let low = word & !HIGH;
    // The high bit of a byte is set where its low seven bits are at least `A`, and above `Z`.
    let from_a = low + (0x80 - b'A' as u64) * ONES;
    let above_z = low + (0x7f - b'Z' as u64) * ONES;
    let upper = (from_a ^ above_z) & !word & HIGH;
    word | upper >> 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_ends_at_the_first_control_character_wherever_it_stands() {
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=255u8 {
                    let mut bytes = vec![0xff; length];
                    bytes[at] = byte;
                    let control = byte != b'\t' && (byte < b' ' || byte == 0x7f);
                    assert_eq!(text_prefix(&bytes), if control { at } else { length }, "{byte:#x} at {at} of {length}");
                    bytes[length - 1] = b'\r';
                    assert_eq!(text_prefix(&bytes), if control { at } else { length - 1 }, "{byte:#x} at {at}");
                }
            }
        }
    }

    #[test]
    fn the_first_of_equal_bytes_is_found() {
        for length in 0..40 {
            for at in 0..length {
                for other in [b'a', b':' + 1, b':' - 1, b':' ^ 0x80, 0, 0xff] {
                    let mut bytes = vec![other; length];
                    bytes[at..].fill(b':');
                    assert_eq!(position(&bytes, b':'), Some(at));
                    assert_eq!(position(&bytes[..at], b':'), None);
                }
            }
        }
    }

    #[test]
    fn only_letters_have_a_case() {
        for length in 1..30 {
            for at in 0..length {
                for byte in 0..=255 {
                    let mut bytes = vec![b'q'; length];
                    bytes[at] = byte;
                    let lower = bytes.to_ascii_lowercase();
                    assert!(is_lower_case_of(&lower, &bytes));
                    let mut other = lower.clone();
                    for twin in [byte ^ 0x20, byte ^ 0x80, byte ^ 0x40, b'q'] {
                        other[at] = twin;
                        if !other[at].is_ascii_uppercase() {
                            assert_eq!(is_lower_case_of(&other, &bytes), other == lower, "{byte:#x} {twin:#x}");
                        }
                    }
                }
            }
        }
        assert!(!is_lower_case_of(b"host", b"hosts"));
    }
}
