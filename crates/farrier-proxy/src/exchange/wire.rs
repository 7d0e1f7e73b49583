//! The protocol of one attempt: writes the beginning of the request, frames its content, and reads the answer.

use farrier_http::Request;
use farrier_http::wire::client::fastcgi::FastCgiReader;
use farrier_http::wire::client::fastcgi_encode::{encode_stdin_end, encode_stdin_header};
use farrier_http::wire::client::{Asked, Event, FieldLines, ReceivedHead, ResponseLimits, ResponseReader, Step};
use farrier_http::wire::h1::encode::encode_chunk_size;

use super::scratch::Scratch;
use crate::failure::Failure;
use crate::gateway::{encode_fastcgi, encode_uwsgi, explain_unanswered};
use crate::http1;
use crate::mount::Mount;
use crate::request::{Facts, Refused};
use crate::server::Protocol;
use crate::variables::{FastCgiFacts, Variables};

/// How the content follows the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Framing {
    /// As it is: the head has its length.
    #[default]
    Plain,
    /// In chunks.
    Chunked,
    /// In records of FastCGI.
    Records,
}

impl Framing {
    /// Appends what stands before a piece, and returns how many bytes of the piece belong to it.
    pub(super) fn begin(self, out: &mut Vec<u8>, bytes: usize) -> usize {
        match self {
            Framing::Plain => bytes,
            Framing::Chunked => {
                encode_chunk_size(out, bytes);
                bytes
            }
            Framing::Records => encode_stdin_header(out, bytes),
        }
    }

    /// What stands behind a piece. It leaves with the piece: a server may wait for it before it uses the chunk.
    pub(super) fn after(self) -> &'static [u8] {
        match self {
            Framing::Chunked => b"\r\n",
            Framing::Plain | Framing::Records => b"",
        }
    }

    /// Appends the end of the content.
    pub(super) fn end(self, out: &mut Vec<u8>) {
        match self {
            Framing::Plain => {}
            Framing::Chunked => out.extend_from_slice(b"0\r\n\r\n"),
            Framing::Records => encode_stdin_end(out),
        }
    }
}

/// The answer's side.
pub(super) enum Wire {
    /// HTTP/1.1, and uwsgi with the number of bytes of its variables.
    Http(ResponseReader, Option<usize>),
    /// FastCGI.
    FastCgi(FastCgiReader),
}

/// Appends the beginning of a request in the protocol of its server. How its content follows, and what reads the answer.
pub(super) fn begin(
    out: &mut Vec<u8>,
    request: &Request,
    mount: &Mount,
    facts: &Facts<'_>,
    protocol: Protocol,
    scratch: &mut Scratch,
) -> Result<(Framing, Wire), Refused> {
    let method = if facts.websocket_key.is_some() { b"GET" } else { request.method() };
    let asked = Asked { upgrade: facts.upgrade.is_some(), ..Asked::of(method) };
    match protocol {
        Protocol::Http1 => {
            http1::encode_head(out, request, &mount.request, facts, &mut scratch.values)?;
            let framing = if facts.content_length.is_some() { Framing::Plain } else { Framing::Chunked };
            let mut reader = scratch.take_reader();
            reader.restart(asked);
            Ok((framing, Wire::Http(reader, None)))
        }
        Protocol::Uwsgi => {
            let mut variables = Variables::default();
            let bytes = encode_uwsgi(out, request, &mount.request, &mount.params, facts, &mut variables)?;
            let mut reader = scratch.take_reader();
            reader.restart_uwsgi(asked);
            Ok((Framing::Plain, Wire::Http(reader, Some(bytes))))
        }
        Protocol::FastCgi => {
            let mut variables = Variables::default();
            let fastcgi = FastCgiFacts { software: mount.software.as_bytes(), root: &mount.fastcgi_root, script: None };
            encode_fastcgi(out, request, &mount.request, &mount.params, facts, &fastcgi, &mut variables)?;
            let mut reader = FastCgiReader::default();
            reader.restart(asked, !facts.is_last);
            Ok((Framing::Records, Wire::FastCgi(reader)))
        }
    }
}

impl Wire {
    /// One step, as [`ResponseReader::read`].
    pub(super) fn read(&mut self, input: &[u8], limits: &ResponseLimits) -> Result<Step, Failure> {
        let step = match self {
            Wire::Http(reader, _) => reader.read(input, limits),
            Wire::FastCgi(reader) => reader.read(input, limits),
        };
        step.map_err(Failure::Answer)
    }

    /// The connection has ended; `rest` is what was received and not used.
    pub(super) fn closed(&mut self, rest: &[u8], is_orderly: bool) -> Result<Event, Failure> {
        let closed = match self {
            Wire::Http(reader, bytes) => {
                let closed = reader.closed(rest, is_orderly);
                closed.map_err(|fault| {
                    bytes.map_or_else(|| fault.clone(), |bytes| explain_unanswered(fault.clone(), bytes))
                })
            }
            Wire::FastCgi(reader) => reader.closed(),
        };
        closed.map_err(Failure::Answer)
    }

    pub(super) fn head(&self) -> &ReceivedHead {
        match self {
            Wire::Http(reader, _) => reader.head(),
            Wire::FastCgi(reader) => reader.head(),
        }
    }

    pub(super) fn trailers(&self) -> Option<&FieldLines> {
        match self {
            Wire::Http(reader, _) => Some(reader.trailers()),
            Wire::FastCgi(_) => None,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        match self {
            Wire::Http(reader, _) => reader.is_complete(),
            Wire::FastCgi(reader) => reader.is_complete(),
        }
    }

    /// Whether the connection can carry another request.
    pub(super) fn is_reusable(&self, rest: &[u8]) -> bool {
        match self {
            // uWSGI closes after each answer.
            Wire::Http(_, Some(_)) => false,
            Wire::Http(reader, None) => reader.is_reusable(rest),
            Wire::FastCgi(reader) => reader.is_reusable(rest),
        }
    }

    /// The reader, for another answer.
    pub(super) fn into_reader(self) -> Option<ResponseReader> {
        match self {
            Wire::Http(reader, _) => Some(reader),
            Wire::FastCgi(_) => None,
        }
    }

    /// What the application wrote for the log.
    pub(super) fn stderr(&self) -> &[u8] {
        match self {
            Wire::Http(..) => b"",
            Wire::FastCgi(reader) => reader.stderr(),
        }
    }
}
