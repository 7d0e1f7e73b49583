//! The uwsgi protocol on the server's side: one packet of variables, then the content, as long as CONTENT_LENGTH says.
//!
//! There is no framing of the response: it looks like HTTP/1.1 without a transfer coding, and the connection's end is its own.

pub mod encode;
pub mod head;

pub use head::{HeadDecoder, PacketKind};
