//! HTTP/1.1 (RFC 9112) and HTTP/1.0 on the server's side.

pub mod content;
pub mod encode;
pub mod framing;
pub mod head;

mod chunk;
pub(crate) mod field_line;
pub(crate) mod host;
pub(crate) mod line;
pub(crate) mod list;
pub(crate) mod request_line;
pub(crate) mod semantics;
pub(crate) mod target;
pub(crate) mod trailer;

pub use content::{ContentDecoder, Decoded};
pub use framing::{RequestFacts, ResponseFraming};
pub use head::HeadDecoder;
