//! Fronts turn a connection's bytes into requests and answers into bytes. HTTP/1.1, uwsgi and FastCGI carry one request
//! at a time and share everything but their codecs; a PROXY header may precede each of them. HTTP/2 has a folder of its
//! own.

pub(crate) mod admission;
pub(crate) mod after_response;
pub(crate) mod answer;
pub(crate) mod answer_sink;
pub(crate) mod client_wait;
pub(crate) mod connection;
pub(crate) mod exchange;
pub(crate) mod exchanging;
pub(crate) mod file_names;
pub(crate) mod h1;
pub(crate) mod h1_content;
pub(crate) mod h1_error;
pub(crate) mod h1_respond;
pub(crate) mod h2;
pub(crate) mod outlet;
pub(crate) mod reader;
pub(crate) mod scratch;
pub(crate) mod seat_outlet;
pub(crate) mod streamed_body;
pub(crate) mod upload;
