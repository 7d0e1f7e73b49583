//! Version 1: one line, `PROXY TCP4 192.0.2.1 192.0.2.2 50000 80`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Addresses, Header, NO_HEADER, V1_BYTES_MAX, agrees};
use crate::error::Error;

const BEGINNING: &[u8] = b"PROXY ";

const MALFORMED: Error = Error::bad_request("the PROXY header is malformed");

pub(super) fn decode(bytes: &[u8]) -> Result<Option<Header>, Error> {
    if !agrees(bytes, BEGINNING) {
        return Err(NO_HEADER);
    }
    let visible = &bytes[..bytes.len().min(V1_BYTES_MAX)];
    let Some(lf) = visible.iter().position(|&byte| byte == b'\n') else {
        return if bytes.len() >= V1_BYTES_MAX {
            Err(Error::bad_request("the PROXY header is above its bound of 107 bytes"))
        } else {
            Ok(None)
        };
    };
    let line = bytes[..lf].strip_suffix(b"\r").ok_or(MALFORMED)?;
    let text = line.get(BEGINNING.len()..).and_then(|rest| str::from_utf8(rest).ok()).ok_or(MALFORMED)?;
    Ok(Some(Header { bytes: lf + 1, addresses: addresses(text)? }))
}

fn addresses(text: &str) -> Result<Option<Addresses>, Error> {
    let mut words = text.split(' ');
    let family = words.next().unwrap_or_default();
    let parse = |word: Option<&str>| -> Option<IpAddr> {
        let word = word?;
        match family {
            "TCP4" => word.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            _ => word.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        }
    };
    match family {
        // The rest of the line must be ignored.
        "UNKNOWN" => return Ok(None),
        "TCP4" | "TCP6" => {}
        _ => return Err(MALFORMED),
    }
    let (source, destination) = (parse(words.next()), parse(words.next()));
    let (source_port, destination_port) = (port(words.next()), port(words.next()));
    match (source, destination, source_port, destination_port, words.next()) {
        (Some(source), Some(destination), Some(source_port), Some(destination_port), None) => Ok(Some(Addresses {
            source: SocketAddr::new(source.to_canonical(), source_port),
            destination: SocketAddr::new(destination.to_canonical(), destination_port),
        })),
        _ => Err(MALFORMED),
    }
}

/// Decimal without a sign or a leading zero.
fn port(word: Option<&str>) -> Option<u16> {
    let word = word?;
    let is_plain = word.bytes().all(|byte| byte.is_ascii_digit()) && (word.len() == 1 || !word.starts_with('0'));
    word.parse().ok().filter(|_| is_plain)
}
