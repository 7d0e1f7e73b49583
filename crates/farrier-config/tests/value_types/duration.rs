//! Tests of the values of `value/duration.rs`.

use std::time::Duration;

use farrier_config::value::*;

#[test]
fn a_duration_is_a_number_and_a_unit() {
    for (text, nanoseconds) in [
        ("30", 30_000_000_000_u64),
        ("0", 0),
        ("0.5", 500_000_000),
        ("1.5s", 1_500_000_000),
        ("500ms", 500_000_000),
        ("300us", 300_000),
        ("300µs", 300_000),
        ("1ns", 1),
        ("5m", 300_000_000_000),
        ("5min", 300_000_000_000),
        ("1h", 3_600_000_000_000),
        ("0.5h", 1_800_000_000_000),
        ("1 s", 1_000_000_000),
        ("3650d", 3650 * 86_400_000_000_000),
    ] {
        assert_eq!(Duration::parse(text), Ok(Duration::from_nanos(nanoseconds)), "{text:?}");
    }
}

#[test]
fn what_is_no_duration_is_refused() {
    for text in [
        "",
        "s",
        "-1",
        "1.",
        ".5",
        "1.2.3",
        "1x",
        "1 s 2",
        "1e3",
        "0.0000000001",
        "30S",
        "inf",
        "99999999999999999999999999999999999999999",
    ] {
        assert_eq!(Duration::parse(text), Err(Rejected::unexpected(text)), "{text:?}");
    }
    assert_eq!(Duration::parse("3651d"), Err(Rejected::because("`3651d` is too long, at most 3650d")));
}

#[test]
fn a_duration_is_written_in_the_largest_unit_up_to_seconds() {
    for text in ["0s", "30s", "300s", "1500ms", "1ms", "300us", "100ns"] {
        assert_eq!(Duration::parse(text).map(|duration| duration.text()), Ok(text.to_string()));
    }
}
