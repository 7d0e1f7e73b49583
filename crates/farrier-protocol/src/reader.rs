//! One interface to the codecs of all protocols: for a head, whatever its format, and for content.

use farrier_http::wire::fastcgi::StdinDecoder;
use farrier_http::wire::h1::{ContentDecoder, Decoded};
use farrier_http::wire::proxy::{self, Versions};
use farrier_http::wire::uwsgi::PacketKind;
use farrier_http::wire::{fastcgi, h1, uwsgi};
use farrier_http::{Error, Limits, Origin, Peer, Request, RequestHead, Via};

use crate::admission::{Opening, Spoken};
use crate::h2::io::PREFACE;
use farrier_transport::link::Link;

/// Reads a head.
pub enum HeadReader {
    /// A PROXY header comes first.
    Proxy(Versions),
    /// The first bytes decide the protocol, which may be HTTP/2 if the switch is on.
    Undecided {
        /// HTTP/2 with prior knowledge is accepted.
        http2: bool,
    },
    /// The first bytes decide between HTTP/1.1 and HTTP/2.
    HttpOrHttp2,
    /// The result of ALPN in the TLS handshake decides.
    AsNegotiated,
    /// HTTP/1.1.
    Http(h1::HeadDecoder),
    /// The uwsgi protocol.
    Uwsgi(uwsgi::HeadDecoder),
    /// FastCGI.
    FastCgi(fastcgi::HeadDecoder),
}

/// The result of reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// The head is complete.
    Head,
    /// More bytes are needed.
    Partial,
    /// No part of a request has come: what came has been handled.
    Nothing,
    /// The connection speaks HTTP/2: its first bytes have come.
    Http2,
    /// TLS begins; some bytes of it have come already.
    Tls,
    /// A question that these bytes answer; then the connection ends.
    Question(&'static [u8]),
}

impl HeadReader {
    /// A reader for the next head of a connection.
    pub fn of(opening: &Opening) -> HeadReader {
        if let Some(versions) = opening.proxy_header {
            return HeadReader::Proxy(versions);
        }
        match opening.protocol {
            Spoken::Http => HeadReader::Http(h1::HeadDecoder::default()),
            Spoken::HttpOrHttp2 => HeadReader::HttpOrHttp2,
            Spoken::AsNegotiated => HeadReader::AsNegotiated,
            Spoken::Uwsgi => HeadReader::Uwsgi(uwsgi::HeadDecoder::default()),
            Spoken::FastCgi => HeadReader::FastCgi(fastcgi::HeadDecoder::default()),
            Spoken::Auto { http2 } => HeadReader::Undecided { http2 },
        }
    }

    /// The protocol in which a client can be told that its head did not come in time; `None` if no request has begun.
    pub fn via(&self) -> Option<Via> {
        match self {
            HeadReader::FastCgi(decoder) => decoder.request_id().map(Via::FastCgi),
            HeadReader::Uwsgi(_) => Some(Via::Uwsgi),
            _ => Some(Via::Http),
        }
    }

    /// Decodes what was received for this head. Anything before the head changes `opening` and `origin`, and is removed
    /// from the arena.
    ///
    /// # Errors
    /// The head is refused.
    #[inline]
    pub fn read(
        &mut self,
        request: &mut Request,
        limits: &Limits,
        opening: &mut Opening,
        origin: &mut Origin,
        link: &Link,
    ) -> Result<Read, Error> {
        let Request { arena, head, .. } = request;
        match self {
            HeadReader::Http(decoder) => decoder
                .decode(arena.filled(), limits, head)
                .map(|complete| if complete { Read::Head } else { Read::Partial }),
            _ => self.read_other(request, limits, opening, origin, link),
        }
    }

    #[inline(never)]
    fn read_other(
        &mut self,
        request: &mut Request,
        limits: &Limits,
        opening: &mut Opening,
        origin: &mut Origin,
        link: &Link,
    ) -> Result<Read, Error> {
        let Request { arena, head, .. } = request;
        match self {
            HeadReader::Proxy(versions) => {
                let Some(header) = proxy::decode(arena.filled(), *versions)? else { return Ok(Read::Partial) };
                arena.consume(header.bytes);
                if let Some(addresses) = header.addresses {
                    origin.peer = Peer::Tcp(addresses.source);
                }
                opening.proxy_header = None;
                if link.begin_tls(arena.filled()) {
                    arena.consume(arena.filled().len());
                    return Ok(Read::Tls);
                }
            }
            HeadReader::AsNegotiated => {
                if link.negotiated().is_some_and(|negotiated| negotiated.http2) {
                    return Ok(Read::Http2);
                }
                opening.protocol = Spoken::Http;
            }
            HeadReader::HttpOrHttp2 => {
                let beginning = arena.filled();
                let preface = &PREFACE[..PREFACE.len().min(beginning.len())];
                if !beginning.starts_with(preface) {
                    opening.protocol = Spoken::Http;
                } else if preface.len() == PREFACE.len() {
                    return Ok(Read::Http2);
                } else {
                    return Ok(if beginning.is_empty() { Read::Nothing } else { Read::Partial });
                }
            }
            HeadReader::Undecided { http2 } => match told_by(arena.filled()) {
                Some(Spoken::Http) if *http2 => opening.protocol = Spoken::HttpOrHttp2,
                Some(protocol) => opening.protocol = protocol,
                None => return Ok(if arena.filled().is_empty() { Read::Nothing } else { Read::Partial }),
            },
            HeadReader::Uwsgi(decoder) => {
                return Ok(match decoder.decode(arena.filled_mut(), limits, head)? {
                    None => Read::Partial,
                    Some(PacketKind::Request) => Read::Head,
                    Some(PacketKind::Ping) => Read::Question(&uwsgi::encode::PONG),
                });
            }
            HeadReader::FastCgi(decoder) => {
                let mut replies = Vec::new();
                let outcome = decoder.decode(arena, limits, head, &mut replies);
                if !replies.is_empty() {
                    // Unsent bytes go with the response; a client that has left is noticed there.
                    let _ = link.send(&[&replies], false);
                }
                // Records beside a request are no reason to wait longer for it than for a head.
                return Ok(if outcome? { Read::Head } else { Read::Partial });
            }
            // `read` has handled it.
            HeadReader::Http(_) => {}
        }
        *self = HeadReader::of(opening);
        if request.arena.filled().is_empty() {
            return Ok(Read::Nothing);
        }
        self.read(request, limits, opening, origin, link)
    }
}

/// The protocol that a connection begins with. A uwsgi packet begins with 0, 30 or the four bytes of a ping, a FastCGI
/// record with its version, and HTTP with a letter.
fn told_by(bytes: &[u8]) -> Option<Spoken> {
    Some(match *bytes {
        [] | [100] => return None,
        [0 | 30, ..] | [100, 0, ..] => Spoken::Uwsgi,
        [1, ..] => Spoken::FastCgi,
        _ => Spoken::Http,
    })
}

/// Reads content.
pub enum ContentReader {
    /// Content framed as the head says.
    Framed(ContentDecoder),
    /// The stream of FastCGI.
    Stdin(StdinDecoder),
}

impl ContentReader {
    /// A reader for the content that follows a head.
    ///
    /// # Errors
    /// The declared length is above its limit.
    pub fn of(head: &RequestHead, limits: &Limits) -> Result<ContentReader, Error> {
        match head.gateway.via {
            Via::Http | Via::Uwsgi => ContentDecoder::new(head.framing, limits).map(ContentReader::Framed),
            Via::FastCgi(_) => StdinDecoder::new(head, limits).map(ContentReader::Stdin),
        }
    }

    /// Decodes from the front of `input` and stops after one piece of content.
    ///
    /// # Errors
    /// The content is refused.
    pub fn read(&mut self, input: &[u8], limits: &Limits, link: &Link) -> Result<Decoded, Error> {
        match self {
            ContentReader::Framed(decoder) => decoder.decode(input, limits),
            ContentReader::Stdin(decoder) => {
                let mut replies = Vec::new();
                let outcome = decoder.decode(input, limits, &mut replies);
                if !replies.is_empty() {
                    let _ = link.send(&[&replies], false);
                }
                outcome
            }
        }
    }
}

/// The usual FastCGI content, if all of it has come: at most one piece. Returns it as a range of `input`, and where it
/// ends.
pub fn whole_stdin(decoder: &StdinDecoder, input: &[u8], limits: &Limits) -> Option<(std::ops::Range<usize>, usize)> {
    let mut decoder = decoder.clone();
    let mut replies = Vec::new();
    let mut content = 0..0;
    let mut at = 0;
    loop {
        let decoded = decoder.decode(&input[at..], limits, &mut replies).ok()?;
        if !replies.is_empty() || (decoded.consumed == 0 && !decoded.done) {
            return None;
        }
        if !decoded.content.is_empty() {
            if !content.is_empty() {
                return None;
            }
            content = at + decoded.content.start..at + decoded.content.end;
        }
        at += decoded.consumed;
        if decoded.done {
            return Some((content, at));
        }
    }
}
