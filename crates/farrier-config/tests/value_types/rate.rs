//! Tests of the values of `value/rate.rs`.

use farrier_config::value::*;

#[test]
fn a_rate_is_read_and_written_back() {
    for (text, written) in [
        ("10/s", "10/s"),
        ("10r/s burst=20", "10/s burst 20"),
        ("300/m burst 1", "300/m burst 1"),
        ("5/h burst 5", "5/h"),
        ("1/d", "1/d"),
    ] {
        assert_eq!(Rate::parse(text).map(|rate| rate.text()).as_deref(), Ok(written), "{text}");
    }
    assert_eq!(Rate::parse("1/m").map(|rate| rate.period.seconds()), Ok(60));
}

#[test]
fn what_is_no_rate_is_refused() {
    for text in [
        "",
        "10",
        "10/",
        "/s",
        "0/s",
        "10/x",
        "10/s burst",
        "10/s burst 0",
        "10/s 20",
        "1.5/s",
        "-1/s",
        "10/s burst 1 2",
    ] {
        assert_eq!(Rate::parse(text), Err(Rejected::unexpected(text)), "{text:?}");
    }
}
