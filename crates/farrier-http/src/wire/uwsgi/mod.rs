//! The uwsgi protocol on the server's side: one packet of variables, then content with the length of CONTENT_LENGTH.
//!
//! The response has no framing: it looks like HTTP/1.1 without a transfer coding, and ends with the connection.

pub mod encode;
pub mod head;

pub use head::{HeadDecoder, PacketKind};
