//! Writes a uwsgi packet: four bytes of header, then variables as `u16 length, name, u16 length, value`, little-endian.

use crate::error::{Error, Kind};

/// A ping. An upstream that is alive answers with [`crate::wire::uwsgi::encode::PONG`].
pub const PING: [u8; 4] = [100, 0, 0, 0];

/// Bytes of the header.
pub const HEADER_BYTES: usize = 4;

/// The most bytes of variables in one packet, with their lengths: what 16 bits can say.
pub const BLOCK_BYTES_MAX: usize = 65_535;

/// Begins a packet of a request, and returns its position for [`end_packet`].
pub fn begin_packet(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    start
}

/// Appends a variable.
///
/// # Errors
/// Name or value are longer than 65,535 bytes. Nothing is appended.
pub fn append_variable(out: &mut Vec<u8>, name: &[u8], value: &[u8]) -> Result<(), Error> {
    let (Ok(name_bytes), Ok(value_bytes)) = (u16::try_from(name.len()), u16::try_from(value.len())) else {
        return Err(TOO_LARGE);
    };
    out.extend_from_slice(&name_bytes.to_le_bytes());
    out.extend_from_slice(name);
    out.extend_from_slice(&value_bytes.to_le_bytes());
    out.extend_from_slice(value);
    Ok(())
}

/// Ends the packet that began at `start`: all bytes after its header are its variables. The content follows, with the length
/// of CONTENT_LENGTH. The number of bytes of variables: uWSGI refuses a block above its `buffer-size`, 4096 by default.
///
/// # Errors
/// The variables are above [`BLOCK_BYTES_MAX`] together. The packet is removed.
pub fn end_packet(out: &mut Vec<u8>, start: usize) -> Result<usize, Error> {
    let bytes = out.len().saturating_sub(start + HEADER_BYTES);
    let Ok(size) = u16::try_from(bytes) else {
        out.truncate(start);
        return Err(TOO_LARGE);
    };
    let [low, high] = size.to_le_bytes();
    if let Some(header) = out.get_mut(start..start + HEADER_BYTES) {
        header.copy_from_slice(&[0, low, high, 0]);
    }
    Ok(bytes)
}

const TOO_LARGE: Error = Error::client(
    Kind::HeadTooLarge,
    "the request's variables are above the 65,535 bytes that a uwsgi packet can carry",
);
