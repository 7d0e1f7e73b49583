//! Sends any bytes through the PROXY codec: the result of every prefix must agree with that of the whole. Shared by the
//! tests and the fuzz target.

#![allow(dead_code, reason = "each test and each fuzz target uses a part of it")]

use farrier_http::wire::proxy::{V2_BYTES_MAX, Versions, decode};

/// Decodes the stream as it grows byte by byte.
///
/// # Panics
/// A beginning was judged that the whole contradicts, or a bound was passed without a judgement.
pub(crate) fn check(stream: &[u8]) {
    for accepted in [Versions::V1, Versions::V2, Versions::Any] {
        let whole = decode(stream, accepted);
        if let Ok(Some(header)) = &whole {
            assert!(header.bytes <= stream.len() && header.bytes <= V2_BYTES_MAX);
            assert_eq!(decode(&stream[..header.bytes - 1], accepted), Ok(None));
        }
        let judged =
            (0..=stream.len()).map(|length| decode(&stream[..length], accepted)).find(|found| *found != Ok(None));
        assert_eq!(judged.unwrap_or(Ok(None)), whole, "{}", stream.escape_ascii());
        assert!(whole != Ok(None) || stream.len() < V2_BYTES_MAX, "no judgement within the bound");
    }
}

/// A version 2 header.
pub(crate) fn v2(command: u8, family: u8, content: &[u8]) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend_from_slice(&[command, family]);
    header.extend_from_slice(&(content.len() as u16).to_be_bytes());
    header.extend_from_slice(content);
    header
}
