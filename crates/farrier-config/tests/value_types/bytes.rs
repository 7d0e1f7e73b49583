//! Tests of the values of `value/bytes.rs`.

use farrier_config::value::*;

#[test]
fn a_size_is_a_number_and_a_unit() {
    for (text, bytes) in [
        ("0", 0),
        ("8190", 8190),
        ("64KiB", 65_536),
        ("64k", 65_536),
        ("64K", 65_536),
        ("1kB", 1_000),
        ("10MiB", 10_485_760),
        ("10m", 10_485_760),
        ("1MB", 1_000_000),
        ("1.5MiB", 1_572_864),
        ("2g", 2_147_483_648),
        ("1GB", 1_000_000_000),
        ("12b", 12),
        ("1_000", 1_000),
        ("1 MiB", 1_048_576),
    ] {
        assert_eq!(Bytes::parse(text), Ok(Bytes(bytes)), "{text:?}");
    }
}

#[test]
fn what_is_no_size_is_refused() {
    for text in ["", "k", "-1", "0.5", "1.5b", "1x", "1kk", "KiB"] {
        assert_eq!(Bytes::parse(text), Err(Rejected::unexpected(text)), "{text:?}");
    }
    assert!(matches!(Bytes::parse("9000000000g"), Err(Rejected { reason: Reason::Because(_), .. })));
}

#[test]
fn a_size_is_written_in_the_largest_exact_unit() {
    for (bytes, text) in [(0, "0"), (8190, "8190"), (65_536, "64KiB"), (10_485_760, "10MiB"), (1 << 31, "2GiB")] {
        assert_eq!(Bytes(bytes).to_string(), text);
    }
}
