//! Tests of the values of `value/trusted_peer.rs`.

use farrier_config::value::*;

fn includes(peer: &str, address: &str) -> bool {
    match (TrustedPeer::parse(peer), address.parse()) {
        (Ok(peer), Ok(address)) => peer.includes(address),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_network_includes_the_addresses_that_share_its_prefix() {
    for (peer, address, included) in [
        ("*", "203.0.113.9", true),
        ("127.0.0.1", "127.0.0.1", true),
        ("127.0.0.1", "127.0.0.2", false),
        ("127.0.0.1", "::ffff:127.0.0.1", true),
        ("10.0.0.0/8", "10.255.255.255", true),
        ("10.0.0.0/8", "11.0.0.0", false),
        ("0.0.0.0/0", "203.0.113.9", true),
        ("0.0.0.0/0", "::1", false),
        ("::1", "::1", true),
        ("::/0", "2001:db8::1", true),
        ("2001:db8::/32", "2001:db8:ffff::1", true),
        ("2001:db8::/32", "2001:db9::1", false),
    ] {
        assert_eq!(includes(peer, address), included, "{address} in {peer}");
    }
}

#[test]
fn what_is_no_address_is_refused() {
    for text in ["", "localhost", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0/8", "**"] {
        assert_eq!(TrustedPeer::parse(text), Err(Rejected::unexpected(text)), "{text:?}");
    }
}

#[test]
fn an_address_with_bits_after_the_prefix_is_refused() {
    for text in ["10.0.0.1/8", "2001:db8::1/32", "1.2.3.4/0"] {
        assert!(TrustedPeer::parse(text).is_err(), "{text:?}");
    }
}
