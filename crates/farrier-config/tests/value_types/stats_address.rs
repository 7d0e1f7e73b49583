//! Tests of the values of `value/stats_address.rs`.

use farrier_config::value::*;

#[test]
fn what_is_written_is_read_back() {
    for (text, written) in [
        ("127.0.0.1:9191", "127.0.0.1:9191"),
        ("localhost:9191", "127.0.0.1:9191"),
        ("[::1]:9191", "[::1]:9191"),
        ("public::9191", "public:0.0.0.0:9191"),
        ("public:10.0.0.1:9191", "public:10.0.0.1:9191"),
        ("unix:/run/stats.sock", "unix:/run/stats.sock"),
        ("unix:///run/stats.sock", "unix:/run/stats.sock"),
    ] {
        let read = StatsAddress::parse(text).map(|address| address.text());
        assert_eq!(read.as_deref(), Ok(written), "{text}");
        assert_eq!(StatsAddress::parse(written), StatsAddress::parse(text), "{text}");
    }
}

#[test]
fn an_address_that_others_reach_must_be_called_public() {
    for text in [":9191", "0.0.0.0:9191", "192.168.0.1:9191"] {
        match StatsAddress::parse(text) {
            Err(Rejected { reason: Reason::Because(sentence), .. }) => assert!(sentence.contains("public:")),
            other => panic!("{text}: {other:?}"),
        }
    }
    for text in ["", "9191", "unix:", "host:9191", "127.0.0.1", "127.0.0.1:x"] {
        assert_eq!(StatsAddress::parse(text), Err(Rejected::unexpected(text)), "{text}");
    }
}
