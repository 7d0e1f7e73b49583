//! The PROXY protocol, versions 1 and 2: a header in front of a connection's first byte, with the client's address.

mod crc32c;
mod v1;
mod v2;

use std::net::SocketAddr;

use crate::error::Error;

/// The most bytes of a version 1 header with its CRLF.
pub const V1_BYTES_MAX: usize = 107;

/// The most bytes of a version 2 header. Addresses take up to 232; the rest is for further values, such as names in
/// certificates.
pub const V2_BYTES_MAX: usize = 4096;

/// The accepted versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versions {
    /// The text form.
    V1,
    /// The binary form.
    V2,
    /// Both.
    Any,
}

/// A complete header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Its length in bytes; the connection's own bytes follow.
    pub bytes: usize,
    /// Client and server, if they are IP addresses. Otherwise the connection is the proxy's own (LOCAL, UNKNOWN) or
    /// came from a unix socket.
    pub addresses: Option<Addresses>,
}

/// Both ends of the client's connection to the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// The client's.
    pub source: SocketAddr,
    /// The one it connected to.
    pub destination: SocketAddr,
}

/// Decodes all bytes of a connection so far. `None` until the header is complete. The result depends only on the bytes,
/// and the work is bounded by the header's length.
///
/// # Errors The bytes are no header, or not one of an accepted version.
pub fn decode(bytes: &[u8], accepted: Versions) -> Result<Option<Header>, Error> {
    match bytes.first() {
        None => Ok(None),
        Some(b'P') if accepted != Versions::V2 => v1::decode(bytes),
        Some(b'\r') if accepted != Versions::V1 => v2::decode(bytes),
        Some(_) => Err(Error::bad_request(
            "the connection does not begin with a PROXY header of a version that is accepted (see proxy_protocol and proxy_allow_ips)",
        )),
    }
}

/// The error of a header that begins well and turns out to be none.
const NO_HEADER: Error = Error::bad_request("the connection does not begin with a PROXY header (see proxy_protocol)");

/// Whether the bytes are the beginning of `whole`, or begin with it.
fn agrees(bytes: &[u8], whole: &[u8]) -> bool {
    bytes.iter().zip(whole).all(|(a, b)| a == b)
}
