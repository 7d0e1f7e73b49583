//! The checksum CRC-32C (RFC 3309), as the PROXY protocol uses it.

use std::ops::Range;

/// The checksum of the bytes as if those in `hole` were 0.
pub(super) fn with_hole(bytes: &[u8], hole: Range<usize>) -> u32 {
    let crc = bytes.iter().enumerate().fold(!0, |crc, (at, &byte)| {
        let byte = if hole.contains(&at) { 0 } else { byte };
        (crc >> 8) ^ TABLE[usize::from(crc as u8 ^ byte)]
    });
    !crc
}

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

static TABLE: [u32; 256] = table();

#[cfg(test)]
mod tests {
    use super::with_hole;

    #[test]
    fn the_check_value_is_the_published_one() {
        assert_eq!(with_hole(b"123456789", 0..0), 0xe306_9283);
        assert_eq!(with_hole(&[0xff; 32], 0..32), 0x8a91_36aa);
    }
}
