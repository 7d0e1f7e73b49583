//! Puts a response into the form of its protocol: values in, bytes out. HTTP/1.1 and HTTP/1.0, uwsgi and FastCGI.
//!
//! Bytes are staged in a buffer that the caller owns and empties whenever it likes, after [`ResponseEncoder::settle`].

use crate::error::{Error, Kind};
use crate::gateway::Via;
use crate::request::Version;
use crate::response::ResponseHead;
use crate::status::Status;
use crate::wire::fastcgi::encode::{self as records, EndStatus, RECORD_BYTES_MAX};
use crate::wire::fastcgi::stdout::Stdout;
use crate::wire::h1::encode::{CHUNK_END, LAST_CHUNK, encode_chunk_size, encode_head, encode_interim};
use crate::wire::h1::framing::response_framing;
use crate::wire::h1::{RequestFacts, ResponseFraming};
use crate::wire::response_account::ResponseAccount;
use crate::wire::uwsgi;

/// One response's encoder.
#[derive(Debug)]
pub struct ResponseEncoder {
    form: Form,
    facts: RequestFacts,
    framing: ResponseFraming,
    takes_trailers: bool,
    trailer_lines: Vec<u8>,
}

#[derive(Debug)]
enum Form {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 without a transfer coding and without what the web server adds itself.
    Uwsgi,
    /// The same as a CGI program writes it, in records.
    FastCgi(Stdout),
}

/// What the server adds to the head of an HTTP response.
#[derive(Debug, Clone, Copy)]
pub struct ServerFields<'a> {
    /// An IMF-fixdate.
    pub date: &'a [u8],
    /// The Server field's value; empty for none.
    pub server: &'a [u8],
}

/// Where content stands that is not copied: behind what is staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame {
    /// Bytes of the content that belong there; what is left of it needs another frame.
    pub bytes: usize,
    /// What follows them.
    pub end: &'static [u8],
}

/// How a stretch of content is framed by somebody who has no encoder: the pieces of a file that is read as the client takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceFraming {
    /// As it is.
    Bare,
    /// As chunks (RFC 9112 §7.1).
    Chunk,
    /// In records of the FastCGI request of this id.
    Record(u16),
}

impl ResponseEncoder {
    /// An encoder for the response to a request that came by this protocol.
    pub fn new(mut facts: RequestFacts, via: Via) -> ResponseEncoder {
        let form = match via {
            Via::Http => Form::Http,
            Via::Uwsgi => {
                // There is no chunked coding: content of unknown length ends with the connection.
                (facts.version, facts.keep_alive) = (Version::Http10, false);
                Form::Uwsgi
            }
            Via::FastCgi(id) => {
                // Records delimit content of any length, whatever the client spoke.
                facts.version = Version::Http11;
                Form::FastCgi(Stdout::new(id))
            }
        };
        let framing = ResponseFraming::UntilClose;
        ResponseEncoder { form, facts, framing, takes_trailers: false, trailer_lines: Vec::new() }
    }

    /// Says that the client takes trailers.
    pub fn permit_trailers(&mut self) {
        self.takes_trailers = matches!(self.form, Form::Http);
    }

    /// Takes note of the error that the response tells of: FastCGI has a word of its own for an overload.
    pub fn note(&mut self, error: &Error) {
        if let Form::FastCgi(stdout) = &mut self.form
            && matches!(error.kind, Kind::Overloaded | Kind::Stopping)
        {
            stdout.status = EndStatus::Overloaded;
        }
    }

    /// Closes the connection after this response.
    pub fn end_connection(&mut self) {
        self.facts.keep_alive = false;
    }

    /// Stages a head in an empty buffer, and begins the account of its response. `length` is the content's whole length where it
    /// is known.
    pub fn head(
        &mut self,
        out: &mut Vec<u8>,
        head: &ResponseHead,
        length: Option<u64>,
        fields: ServerFields<'_>,
        account: &mut ResponseAccount,
    ) {
        // A connection of a gateway protocol is the web server's: the application cannot close it.
        self.facts.keep_alive &= !(head.closes() && matches!(self.form, Form::Http));
        self.framing = response_framing(self.facts, head, length);
        account.begin(head, self.framing);
        let keep_alive = self.lives_on();
        match &mut self.form {
            Form::Http => encode_head(out, head, self.framing, self.facts, keep_alive, fields.date, fields.server),
            Form::Uwsgi => uwsgi::encode::encode_head(out, head, self.framing),
            Form::FastCgi(stdout) => stdout.head(out, head, self.framing),
        }
    }

    /// Stages an interim response. False: the protocol or the client knows none. Not beside a staged head.
    pub fn interim(&self, out: &mut Vec<u8>, interim: &ResponseHead) -> bool {
        // Behind a gateway protocol the first head is the only one.
        let may =
            self.facts.version != Version::Http10 && matches!(self.form, Form::Http) && interim.status().is_interim();
        if may {
            encode_interim(out, interim);
        }
        may
    }

    /// Stages content: for pieces that are small enough to be copied. It is not empty.
    pub fn copy(&mut self, out: &mut Vec<u8>, content: &[u8]) {
        let mut rest = content;
        loop {
            match &mut self.form {
                Form::FastCgi(stdout) => {
                    let room = stdout.room(out);
                    let (piece, after) = rest.split_at(rest.len().min(room));
                    out.extend_from_slice(piece);
                    rest = after;
                    if rest.is_empty() {
                        return;
                    }
                }
                Form::Http if self.framing == ResponseFraming::Chunked => {
                    encode_chunk_size(out, rest.len());
                    out.extend_from_slice(rest);
                    return out.extend_from_slice(CHUNK_END);
                }
                Form::Http | Form::Uwsgi => return out.extend_from_slice(rest),
            }
        }
    }

    /// Stages what stands before content that is not copied. `bytes` is not 0. What is staged is complete with it.
    pub fn frame(&mut self, out: &mut Vec<u8>, bytes: usize) -> Frame {
        match &mut self.form {
            Form::FastCgi(stdout) => {
                let bytes = bytes.min(stdout.room(out));
                stdout.close(out, bytes);
                Frame { bytes, end: b"" }
            }
            Form::Http if self.framing == ResponseFraming::Chunked => {
                encode_chunk_size(out, bytes);
                Frame { bytes, end: CHUNK_END }
            }
            Form::Http | Form::Uwsgi => Frame { bytes, end: b"" },
        }
    }

    /// How a stretch is framed that somebody else puts behind what is staged, once it is settled.
    pub fn piece_framing(&self) -> PieceFraming {
        match &self.form {
            Form::FastCgi(stdout) => PieceFraming::Record(stdout.id),
            Form::Http if self.framing == ResponseFraming::Chunked => PieceFraming::Chunk,
            Form::Http | Form::Uwsgi => PieceFraming::Bare,
        }
    }

    /// Completes what is staged, so that it may leave.
    pub fn settle(&mut self, out: &mut [u8]) {
        if let Form::FastCgi(stdout) = &mut self.form {
            stdout.close(out, 0);
        }
    }

    /// Keeps fields that follow the content. RFC 9110 §6.5.1: only for a client that says it takes them, and only the chunked
    /// coding has a place for them.
    pub fn trailers(&mut self, trailers: &ResponseHead) {
        if self.takes_trailers {
            self.trailer_lines = trailers.lines().to_vec();
        }
    }

    /// Stages the end of a complete response.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        match &mut self.form {
            Form::FastCgi(stdout) => {
                stdout.close(out, 0);
                stdout.end(out);
            }
            Form::Http if self.framing == ResponseFraming::Chunked => {
                if self.trailer_lines.is_empty() {
                    out.extend_from_slice(LAST_CHUNK);
                } else {
                    out.extend_from_slice(b"0\r\n");
                    out.extend_from_slice(&self.trailer_lines);
                    out.extend_from_slice(CHUNK_END);
                }
            }
            Form::Http | Form::Uwsgi => {}
        }
    }

    /// Whether something follows the content of a response whose length was declared.
    pub fn has_end(&self) -> bool {
        matches!(self.form, Form::FastCgi(_))
    }

    /// Whether the connection can stay open after this response.
    pub fn lives_on(&self) -> bool {
        self.facts.keep_alive && self.framing.permits_keep_alive()
    }

    /// The connection changes to another protocol, whose bytes are sent as they are until it ends. False: the protocol has no such
    /// change.
    pub fn switch(&mut self, account: &mut ResponseAccount) -> bool {
        if !matches!(self.form, Form::Http) || self.facts.version == Version::Http10 {
            return false;
        }
        self.framing = ResponseFraming::UntilClose;
        account.begin(&ResponseHead::new(Status::SWITCHING_PROTOCOLS), self.framing);
        true
    }

    /// Whether the client takes the end of the connection for the end of the response: one that breaks off must not end in
    /// an orderly way (RFC 9112 §8).
    pub fn ends_by_close(&self) -> bool {
        self.framing == ResponseFraming::UntilClose && !matches!(self.form, Form::FastCgi(_))
    }
}

impl PieceFraming {
    /// Bytes of content that may be given to [`PieceFraming::encode`] at once.
    pub const BYTES_MAX: usize = RECORD_BYTES_MAX;

    /// Appends a piece that is not empty.
    pub fn encode(self, out: &mut Vec<u8>, piece: &[u8]) {
        match self {
            PieceFraming::Bare => out.extend_from_slice(piece),
            PieceFraming::Chunk => {
                encode_chunk_size(out, piece.len());
                out.extend_from_slice(piece);
                out.extend_from_slice(CHUNK_END);
            }
            PieceFraming::Record(id) => {
                let start = records::begin_stdout(out, id);
                out.extend_from_slice(piece);
                records::end_record(out, start);
            }
        }
    }
}
