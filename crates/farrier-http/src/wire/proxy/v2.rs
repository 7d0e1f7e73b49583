//! Version 2: a signature, version and command, family and protocol, a length, addresses, then further values (TLVs).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Addresses, Header, NO_HEADER, V2_BYTES_MAX, agrees, crc32c};
use crate::error::Error;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family and protocol, length.
const FIXED_BYTES: usize = 16;

/// The checksum's type among the TLVs.
const TYPE_CRC32C: u8 = 3;

pub(super) fn decode(bytes: &[u8]) -> Result<Option<Header>, Error> {
    if !agrees(bytes, SIGNATURE) {
        return Err(NO_HEADER);
    }
    let Some(fixed) = bytes.first_chunk::<FIXED_BYTES>() else { return Ok(None) };
    let [.., command, family, high, low] = *fixed;
    let end = FIXED_BYTES + usize::from(u16::from_be_bytes([high, low]));
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Error::bad_request("the PROXY header's version or command is unknown")),
    };
    let address_bytes = match (is_local, family) {
        // The connection is the proxy's own, such as a health check; the rest must be ignored.
        (true, _) | (_, 0x00) => 0,
        (_, 0x11 | 0x12) => 12,
        (_, 0x21 | 0x22) => 36,
        (_, 0x31 | 0x32) => 216,
        _ => return Err(Error::bad_request("the PROXY header's family or protocol is unknown")),
    };
    if end > V2_BYTES_MAX {
        return Err(Error::bad_request("the PROXY header is above its bound of 4096 bytes"));
    }
    if end - FIXED_BYTES < address_bytes {
        return Err(Error::bad_request("the PROXY header is too short for its addresses"));
    }
    let Some(whole) = bytes.get(..end) else { return Ok(None) };
    let (addresses, rest) = whole[FIXED_BYTES..].split_at(address_bytes);
    if !is_local && family != 0x00 {
        check_rest(whole, rest)?;
    }
    Ok(Some(Header { bytes: end, addresses: ends(addresses) }))
}

fn ends(addresses: &[u8]) -> Option<Addresses> {
    let port = |at: usize| Some(u16::from_be_bytes([*addresses.get(at)?, *addresses.get(at + 1)?]));
    let (source, destination, ports): (IpAddr, IpAddr, usize) = match addresses.len() {
        12 => {
            let ip = |at: usize| Some(Ipv4Addr::from(*addresses.get(at..)?.first_chunk::<4>()?));
            (ip(0)?.into(), ip(4)?.into(), 8)
        }
        36 => {
            let ip = |at: usize| Some(Ipv6Addr::from(*addresses.get(at..)?.first_chunk::<16>()?));
            (ip(0)?.into(), ip(16)?.into(), 32)
        }
        _ => return None,
    };
    Some(Addresses {
        source: SocketAddr::new(source.to_canonical(), port(ports)?),
        destination: SocketAddr::new(destination.to_canonical(), port(ports + 2)?),
    })
}

/// Reads the TLVs after the addresses (`type, u16 length, value`), and verifies the checksum if there is one.
fn check_rest(whole: &[u8], rest: &[u8]) -> Result<(), Error> {
    let mut rest = rest;
    let mut is_checked = false;
    while let [kind, high, low, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let Some((value, next)) = after.split_at_checked(length) else {
            return Err(Error::bad_request("an item of the PROXY header goes beyond its end"));
        };
        if *kind == TYPE_CRC32C {
            // Each one costs a pass over the whole header.
            let Some(told) = value.first_chunk::<4>().filter(|_| length == 4 && !is_checked) else {
                return Err(Error::bad_request("the PROXY header's checksum has not four bytes, or is given twice"));
            };
            is_checked = true;
            let at = whole.len() - after.len();
            if u32::from_be_bytes(*told) != crc32c::with_hole(whole, at..at + 4) {
                return Err(Error::bad_request("the PROXY header's checksum is wrong"));
            }
        }
        rest = next;
    }
    if rest.is_empty() { Ok(()) } else { Err(Error::bad_request("an item of the PROXY header goes beyond its end")) }
}
