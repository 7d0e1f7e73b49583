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

pub mod arrival;
pub mod exit;
pub mod frames;
pub mod io;
pub mod open_streams;
pub mod outgoing;
pub mod piece;
pub mod respond;
pub mod session;
pub mod sink;
pub mod stream;
pub mod stream_exchange;
