//! Tests of the PROXY codec: what it reads and refuses, one line per case, however the bytes arrive.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod proxy_header;

use farrier_http::wire::proxy::{Versions, decode};
use proptest::prelude::*;
use proxy_header::{check, v2};

const V4: [u8; 12] = [192, 0, 2, 1, 192, 0, 2, 2, 0xc3, 0x50, 0, 80];

fn read(bytes: &[u8]) -> Result<Option<(usize, String)>, String> {
    let stream = [bytes, b"GET / HTTP/1.1\r\n"].concat();
    check(&stream);
    let header = decode(&stream, Versions::Any).map_err(|error| error.cause.into_owned())?;
    Ok(header.map(|header| {
        let ends = header.addresses.map(|ends| format!("{} {}", ends.source, ends.destination)).unwrap_or_default();
        (header.bytes, ends)
    }))
}

#[test]
fn version_1_names_both_ends() {
    for (line, ends) in [
        ("PROXY TCP4 192.0.2.1 192.0.2.2 50000 80\r\n", "192.0.2.1:50000 192.0.2.2:80"),
        ("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n", "[2001:db8::1]:1 [2001:db8::2]:65535"),
        ("PROXY TCP6 ::ffff:192.0.2.1 ::1 0 0\r\n", "192.0.2.1:0 [::1]:0"),
        ("PROXY UNKNOWN\r\n", ""),
        ("PROXY UNKNOWN ffff::1 whatever 1 2\r\n", ""),
    ] {
        assert_eq!(read(line.as_bytes()), Ok(Some((line.len(), ends.to_owned()))), "{line}");
    }
}

#[test]
fn version_1_is_strict() {
    for line in [
        "PROXY TCP4 192.0.2.1 192.0.2.2 50000 80\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 50000\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 50000 80 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 50000 65536\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 050 80\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +50 80\r\n",
        "PROXY TCP4  192.0.2.1 192.0.2.2 50 80\r\n",
        "PROXY TCP4 192.0.2.300 192.0.2.2 50 80\r\n",
        "PROXY TCP4 ::1 ::1 50 80\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 50 80\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 50 80\r\n",
        "PROXY unknown\r\n",
        "PROXY \r\n",
        "PROXY\r\n",
        "PROXYTCP4 192.0.2.1 192.0.2.2 50 80\r\n",
        "POST / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\n",
    ] {
        assert!(read(line.as_bytes()).is_err(), "{line}");
    }
    assert!(read(&[&b"PROXY UNKNOWN "[..], &[b'x'; 100]].concat()).unwrap_err().contains("107"));
    assert_eq!(decode(&[&b"PROXY UNKNOWN "[..], &[b'x'; 92]].concat(), Versions::Any), Ok(None));
}

#[test]
fn version_2_names_both_ends_where_they_are_addresses() {
    let v6: Vec<u8> = [[0x20; 16], [0x30; 16]].concat().into_iter().chain([0, 1, 0, 2]).collect();
    let ends6 = "[2020:2020:2020:2020:2020:2020:2020:2020]:1 [3030:3030:3030:3030:3030:3030:3030:3030]:2";
    let ends4 = "192.0.2.1:50000 192.0.2.2:80";
    for (header, ends) in [
        (v2(0x21, 0x11, &V4), ends4),
        (v2(0x21, 0x12, &V4), ends4),
        (v2(0x21, 0x21, &v6), ends6),
        (v2(0x21, 0x31, &[7; 216]), ""),
        (v2(0x21, 0x00, b"whatever"), ""),
        (v2(0x20, 0x00, b""), ""),
        (v2(0x20, 0x11, &V4), ""),
        (v2(0x21, 0x11, &[&V4[..], &[4, 0, 1, 0, 0xea, 0, 0]].concat()), ends4),
        (v2(0x21, 0x11, &[&V4[..], &[4, 0x01, 0x00], &[0; 256]].concat()), ends4),
    ] {
        assert_eq!(read(&header), Ok(Some((header.len(), ends.to_owned()))), "{header:?}");
    }
}

#[test]
fn version_2_is_strict() {
    for header in [
        v2(0x11, 0x11, &V4),
        v2(0x22, 0x11, &V4),
        v2(0x21, 0x41, &V4),
        v2(0x21, 0x13, &V4),
        v2(0x21, 0x11, &V4[..11]),
        v2(0x21, 0x21, &[0; 35]),
        v2(0x21, 0x11, &[&V4[..], &[1]].concat()),
        v2(0x21, 0x11, &[&V4[..], &[1, 0, 2, 0]].concat()),
        v2(0x21, 0x11, &[0; 4081]),
        [b"\r\n\r\nX".as_slice(), &[0; 20]].concat(),
    ] {
        assert!(read(&header).is_err(), "{header:?}");
    }
}

#[test]
fn a_checksum_must_be_right() {
    let told = |sum: [u8; 4]| v2(0x21, 0x11, &[&V4[..], &[3, 0, 4], &sum].concat());
    // CRC-32C of the header with zeros in the checksum's place, by an independent bitwise calculation.
    let sum = told([0; 4]).iter().fold(!0_u32, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 })
    });
    assert!(read(&told((!sum).to_be_bytes())).is_ok());
    assert!(read(&told((!sum ^ 1).to_be_bytes())).unwrap_err().contains("checksum is wrong"));
    assert!(read(&v2(0x21, 0x11, &[&V4[..], &[3, 0, 3, 1, 1, 1]].concat())).unwrap_err().contains("four bytes"));
}

#[test]
fn only_the_accepted_version_is_read() {
    let (v1, v2) = (b"PROXY UNKNOWN\r\n".to_vec(), v2(0x20, 0, b""));
    assert!(decode(&v1, Versions::V1).is_ok() && decode(&v2, Versions::V2).is_ok());
    assert!(decode(&v1, Versions::V2).is_err() && decode(&v2, Versions::V1).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_headers_have_the_same_result_in_pieces(
        text in "PROXY (TCP4|TCP6|UNKNOWN|X) [0-9.:a-f]{0,20} [0-9.]{0,9} [0-9]{0,6} [0-9]{0,6}\r?\n",
        command in 0x1f..0x23_u8,
        family in prop::sample::select(vec![0_u8, 0x11, 0x21, 0x31, 0x13]),
        content in prop::collection::vec(0..6_u8, 0..240),
        mutation in prop::option::of((0..30_usize, any::<u8>())),
    ) {
        for mut stream in [text.into_bytes(), v2(command, family, &content)] {
            if let Some((at, byte)) = mutation
                && let Some(place) = stream.get_mut(at)
            {
                *place = byte;
            }
            check(&stream);
        }
    }
}
