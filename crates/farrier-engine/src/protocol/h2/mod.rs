//! The HTTP/2 front (RFC 9113): a connection is a session that many streams share. The `h2` crate does frames, HPACK
//! and flow control. The leader moves bytes between the crate and the socket, and any seat may answer a stream.
//!
//! - `session`: one connection; only the leader touches it.
//! - `arrival`: a request that a session has received, and its content.
//! - `stream`: the answering side of one stream, shared by the seat that answers it and the leader.
//! - `outgoing`: data of a stream that flow control does not admit yet.
//! - `exit`: that side's interface to the `h2` crate.
//! - `open_streams`: the streams of a session whose requests were handed out.
//! - `respond`: one answer, given by a seat or at once; `sink`: one that its producer owns.
//! - `stream_exchange`: a stream that an exchange answers.

pub(crate) mod arrival;
pub(crate) mod exit;
pub(crate) mod frames;
pub(crate) mod io;
pub(crate) mod open_streams;
pub(crate) mod outgoing;
pub(crate) mod piece;
pub(crate) mod respond;
pub(crate) mod session;
pub(crate) mod sink;
pub(crate) mod stream;
pub(crate) mod stream_exchange;
