//! The codecs of all protocols behind one door each: for a head, whatever it is made of, and for content.

use farrier_http::wire::fastcgi::StdinDecoder;
use farrier_http::wire::h1::{ContentDecoder, Decoded};
use farrier_http::wire::proxy::{self, Versions};
use farrier_http::wire::uwsgi::PacketKind;
use farrier_http::wire::{fastcgi, h1, uwsgi};
use farrier_http::{Error, Limits, Origin, Peer, Request, RequestHead, Via};

use crate::protocol::admission::{Opening, Spoken};
use crate::protocol::h2::io::PREFACE;
use farrier_transport::link::Link;

/// Reads a head.
pub(crate) enum HeadReader {
    /// A PROXY header comes first.
    Proxy(Versions),
    /// The first bytes will tell the protocol, which may be HTTP/2 if the switch is on.
    Undecided {
        http2: bool,
    },
    /// The first bytes will tell whether it is HTTP/1.1 or HTTP/2.
    HttpOrHttp2,
    /// What was agreed on with TLS tells.
    AsNegotiated,
    Http(h1::HeadDecoder),
    Uwsgi(uwsgi::HeadDecoder),
    FastCgi(fastcgi::HeadDecoder),
}

/// What reading came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// The head is complete.
    Head,
    /// More bytes are needed.
    Partial,
    /// Nothing of a request has come: what came is dealt with.
    Nothing,
    /// The connection speaks HTTP/2: what has come is its beginning.
    Http2,
    /// TLS begins, with bytes of it that have come already.
    Tls,
    /// A question that wants these bytes for an answer, and then the end.
    Question(&'static [u8]),
}

impl HeadReader {
    /// A reader for the next head of a connection.
    pub(crate) fn of(opening: &Opening) -> HeadReader {
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

    /// Looks at what was received for this head. What comes before a head changes `opening` and `origin`, and leaves the arena.
    ///
    /// # Errors
    /// The head is refused.
    #[inline]
    pub(crate) fn read(
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
                    // What the socket does not take goes with the response, and who is gone is found gone there.
                    let _ = link.send(&[&replies], false);
                }
                return Ok(match outcome? {
                    true => Read::Head,
                    false if decoder.is_idle() && arena.filled().is_empty() => Read::Nothing,
                    false => Read::Partial,
                });
            }
            // `read` has dealt with it.
            HeadReader::Http(_) => {}
        }
        *self = HeadReader::of(opening);
        if request.arena.filled().is_empty() {
            return Ok(Read::Nothing);
        }
        self.read(request, limits, opening, origin, link)
    }
}

/// The protocol that a connection begins with. uwsgi's packets begin with 0, 30 or the four bytes of a ping, FastCGI's records
/// with their version, and HTTP with a letter.
fn told_by(bytes: &[u8]) -> Option<Spoken> {
    Some(match *bytes {
        [] | [100] => return None,
        [0 | 30, ..] | [100, 0, ..] => Spoken::Uwsgi,
        [1, ..] => Spoken::FastCgi,
        _ => Spoken::Http,
    })
}

/// Reads content.
pub(crate) enum ContentReader {
    /// As the head's framing says.
    Framed(ContentDecoder),
    /// FastCGI's stream.
    Stdin(StdinDecoder),
}

impl ContentReader {
    /// A reader for the content that follows a head.
    ///
    /// # Errors
    /// The declared length is above its bound.
    pub(crate) fn of(head: &RequestHead, limits: &Limits) -> Result<ContentReader, Error> {
        match head.gateway.via {
            Via::Http | Via::Uwsgi => ContentDecoder::new(head.framing, limits).map(ContentReader::Framed),
            Via::FastCgi(_) => StdinDecoder::new(head, limits).map(ContentReader::Stdin),
        }
    }

    /// Decodes from the front of `input` and stops after one run of content.
    ///
    /// # Errors
    /// The content is refused.
    pub(crate) fn read(&mut self, input: &[u8], limits: &Limits, link: &Link) -> Result<Decoded, Error> {
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

/// The usual FastCGI content, when all of it has come: at most one run. Gives it as a range of `input`, and where it ends.
pub(crate) fn whole_stdin(
    decoder: &StdinDecoder,
    input: &[u8],
    limits: &Limits,
) -> Option<(std::ops::Range<usize>, usize)> {
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
