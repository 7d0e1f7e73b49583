//! Tests of the values of `value/log_address.rs`.

use farrier_config::value::*;

#[test]
fn every_form_of_a_syslog_address_is_read() {
    for (text, written) in [
        ("udp://localhost:514", "udp://localhost:514"),
        ("udp://localhost", "udp://localhost:514"),
        ("tcp://[::1]:601", "tcp://[::1]:601"),
        ("unix:///dev/log", "unix:///dev/log"),
        ("unix:///dev/log#dgram", "unix:///dev/log#dgram"),
        ("unix:///dev/log#stream", "unix:///dev/log#stream"),
    ] {
        assert_eq!(SyslogAddress::parse(text).map(|address| address.text()), Ok(written.to_string()));
    }
    for text in ["", "localhost:514", "http://x", "udp://", "udp://h:x", "unix://", "unix:///dev/log#x"] {
        assert_eq!(SyslogAddress::parse(text), Err(Rejected::unexpected(text)), "{text:?}");
    }
}

#[test]
fn every_form_of_a_statsd_address_is_read() {
    for (text, written) in [
        ("localhost:8125", "localhost:8125"),
        ("statsd", "statsd:8125"),
        ("[::1]:9125", "[::1]:9125"),
        ("unix:///run/statsd.sock", "unix:///run/statsd.sock"),
        ("unix:/run/statsd.sock", "unix:///run/statsd.sock"),
    ] {
        assert_eq!(StatsdAddress::parse(text).map(|address| address.text()), Ok(written.to_string()));
    }
    for text in ["", ":8125", "host:port", "unix:", "a b:1"] {
        assert_eq!(StatsdAddress::parse(text), Err(Rejected::unexpected(text)), "{text:?}");
    }
}
