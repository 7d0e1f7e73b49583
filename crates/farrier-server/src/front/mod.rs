//! Fronts turn a connection's bytes into requests and answers into bytes. They share everything but
//! their codecs: HTTP/1.1, uwsgi, FastCGI, and the PROXY header in front of any of them.

pub(crate) mod admission;
pub(crate) mod bench;
pub(crate) mod dialect;
pub(crate) mod h1;
pub(crate) mod h1_error;
pub(crate) mod h1_respond;
pub(crate) mod reader;
