//! Farrier's types for HTTP messages, and its codecs.
//!
//! Nothing in this crate does I/O, reads a clock or uses Python: bytes and time come in as arguments, values go out. So
//! fuzzers and property tests can drive every codec without a socket.

#![forbid(unsafe_code)]

pub mod accept_encoding;
pub mod body;
pub mod conditional;
pub mod error;
pub mod exchange;
pub mod field;
pub mod field_policy;
pub mod filter;
mod forwarded;
pub mod gateway;
pub mod handler;
pub mod http_date;
pub mod immutable_name;
pub mod limits;
pub mod media_type;
pub mod origin;
pub mod percent;
pub mod pipe;
pub mod plan;
pub mod ranges;
pub mod request;
pub mod response;
pub mod secure;
pub mod sink;
pub mod status;
pub mod upstream;
pub mod wire;

mod octets;

/// Content that is shared and not copied.
pub use bytes::Bytes;

pub use accept_encoding::{AcceptEncoding, Coding};
pub use body::{Body, StreamedBody};
pub use error::{Error, Kind, Side};
pub use exchange::{Event, Exchange, ExchangeIo, Next};
pub use field::{Field, KnownField, Seen, Span};
pub use field_policy::{FieldPolicy, SchemeField, Underscores};
pub use filter::{AnswerFilter, Stamps, Stepped};
pub use forwarded::Forwarded;
pub use gateway::{Gateway, Variable, Via};
pub use handler::{Flush, Handler, Respond, SendError};
pub use limits::Limits;
pub use origin::{ListenerId, Origin, Peer, Scheme};
pub use plan::{BodyMode, DiskLookup, Plan};
pub use request::{Arena, BodyFraming, Request, RequestHead, TargetForm, Version};
pub use response::ResponseHead;
pub use secure::{ClientCertificate, Secure};
pub use sink::{Accepted, AnswerSink};
pub use status::Status;
