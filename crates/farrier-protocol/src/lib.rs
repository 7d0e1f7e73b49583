//! Fronts turn a connection's bytes into requests and answers into bytes. HTTP/1.1, uwsgi and FastCGI carry one request
//! at a time and share everything but their codecs; a PROXY header may precede each of them. HTTP/2 has a folder of its
//! own.
//!
//! Nothing here starts a thread or decides who serves what: the seats of `farrier-engine` call these modules. `rules`
//! holds the settings as values, `rescue` turns errors into statuses, `host` is the interpreter as the engine sees it.

#![forbid(unsafe_code)]

pub mod admission;
pub mod after_response;
pub mod answer;
pub mod answer_sink;
pub mod client_hash;
pub mod client_wait;
pub mod connection;
pub mod connection_limit;
pub mod content_pace;
pub mod dropped_fields;
pub mod exchange;
pub mod exchanging;
mod final_head;
pub mod h1;
pub mod h1_content;
pub mod h1_error;
pub mod h1_respond;
pub mod h2;
pub mod host;
pub mod outlet;
pub mod reader;
pub mod rescue;
pub mod rules;
pub mod scratch;
pub mod seat_outlet;
pub mod streamed_body;
pub mod tunnel;
pub mod upload;
