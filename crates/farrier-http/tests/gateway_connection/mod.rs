//! Sends a whole connection through the uwsgi or the FastCGI codec, in one piece or in many. The result must not depend
//! on that. Shared by the tests and the fuzz targets.

#![allow(dead_code, reason = "each test and each fuzz target uses a part of it")]

use farrier_http::wire::uwsgi::PacketKind;
use farrier_http::wire::{fastcgi, h1, uwsgi};
use farrier_http::{Error, Limits, Request};

/// The transcript of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Transcript {
    /// The requests; the content of the last may be incomplete.
    pub(crate) requests: Vec<Said>,
    /// The error that ended it; otherwise whether it waits for a request (true) or is within one.
    pub(crate) end: Result<bool, Error>,
    /// The codec's own answers.
    pub(crate) replies: Vec<u8>,
}

/// One request of a transcript.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) head: String,
    pub(crate) content: Vec<u8>,
}

/// Which codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    Uwsgi,
    FastCgi,
}

/// Sends a stream of bytes through a codec in one piece, byte by byte, and in the given pieces, under several limits.
///
/// # Panics
/// The outcomes differ.
pub(crate) fn check(codec: Codec, stream: &[u8], pieces: &[usize]) {
    for limits in limits() {
        let whole = deliver(codec, stream, &limits, std::iter::once(stream.len()));
        let by_byte = deliver(codec, stream, &limits, std::iter::repeat(1));
        assert_eq!(by_byte, whole, "byte by byte: {}", stream.escape_ascii());
        let pieces_then_rest = pieces.iter().copied().chain(std::iter::repeat(stream.len().max(1)));
        let in_pieces = deliver(codec, stream, &limits, pieces_then_rest);
        assert_eq!(in_pieces, whole, "in {pieces:?}: {}", stream.escape_ascii());
    }
}

/// Sends a stream in pieces of the given sizes; the sizes must suffice for all of it.
pub(crate) fn deliver(codec: Codec, stream: &[u8], limits: &Limits, pieces: impl Iterator<Item = usize>) -> Transcript {
    match codec {
        Codec::Uwsgi => deliver_uwsgi(stream, limits, pieces),
        Codec::FastCgi => deliver_fastcgi(stream, limits, pieces),
    }
}

fn deliver_uwsgi(stream: &[u8], limits: &Limits, mut pieces: impl Iterator<Item = usize>) -> Transcript {
    let mut transcript = Transcript { requests: Vec::new(), end: Ok(true), replies: Vec::new() };
    let mut request = Request::with_room(64);
    let mut heads = uwsgi::HeadDecoder::default();
    let mut content: Option<h1::ContentDecoder> = None;
    let mut received = 0;
    let mut complete = false;
    while received < stream.len() && transcript.end.is_ok() && !complete {
        let end = (received + pieces.next().expect("a piece")).min(stream.len());
        request.arena.append(&stream[received..end]);
        received = end;
        let Request { arena, head, .. } = &mut request;
        let outcome = match &mut content {
            Some(decoder) => read(decoder, arena, limits, &mut transcript, &mut complete),
            None => match heads.decode(arena.filled_mut(), limits, head) {
                Ok(None) => Ok(()),
                Ok(Some(PacketKind::Ping)) => {
                    transcript.replies.extend_from_slice(&uwsgi::encode::PONG);
                    complete = true;
                    Ok(())
                }
                Ok(Some(PacketKind::Request)) => {
                    transcript.end = Ok(false);
                    transcript.requests.push(Said { head: describe(&request), content: Vec::new() });
                    request.arena.consume(request.head.bytes);
                    h1::ContentDecoder::new(request.head.framing, limits).and_then(|decoder| {
                        let decoder = content.insert(decoder);
                        read(decoder, &mut request.arena, limits, &mut transcript, &mut complete)
                    })
                }
                Err(error) => Err(error),
            },
        };
        if let Err(error) = outcome {
            transcript.end = Err(error);
        }
    }
    transcript
}

fn read(
    decoder: &mut h1::ContentDecoder,
    arena: &mut farrier_http::Arena,
    limits: &Limits,
    transcript: &mut Transcript,
    complete: &mut bool,
) -> Result<(), Error> {
    let decoded = decoder.decode(arena.filled(), limits)?;
    let said = transcript.requests.last_mut().expect("content follows a head");
    said.content.extend_from_slice(&arena.filled()[decoded.content]);
    arena.consume(decoded.consumed);
    if decoded.done {
        *complete = true;
        transcript.end = Ok(true);
    }
    Ok(())
}

fn deliver_fastcgi(stream: &[u8], limits: &Limits, mut pieces: impl Iterator<Item = usize>) -> Transcript {
    let mut transcript = Transcript { requests: Vec::new(), end: Ok(true), replies: Vec::new() };
    let mut request = Request::with_room(64);
    let mut heads = fastcgi::HeadDecoder::default();
    let mut content: Option<fastcgi::StdinDecoder> = None;
    let mut received = 0;
    while received < stream.len() {
        let end = (received + pieces.next().expect("a piece")).min(stream.len());
        request.arena.append(&stream[received..end]);
        received = end;
        while transcript.end.is_ok() {
            let replies = &mut transcript.replies;
            let progress = match &mut content {
                None => heads.decode(&mut request.arena, limits, &mut request.head, replies).and_then(|complete| {
                    transcript.end = Ok(heads.is_idle());
                    assert!(request.arena.filled().len() <= limits.head_bytes_max + stream.len());
                    if complete {
                        transcript.end = Ok(false);
                        transcript.requests.push(Said { head: describe(&request), content: Vec::new() });
                        request.arena.consume(request.head.bytes);
                        content = Some(fastcgi::StdinDecoder::new(&request.head, limits)?);
                    }
                    Ok(complete)
                }),
                Some(decoder) => decoder.decode(request.arena.filled(), limits, replies).map(|decoded| {
                    let said = transcript.requests.last_mut().expect("content follows a head");
                    said.content.extend_from_slice(&request.arena.filled()[decoded.content]);
                    assert!(said.content.len() as u64 <= limits.body_bytes_max);
                    request.arena.consume(decoded.consumed);
                    if decoded.done {
                        content = None;
                        heads = fastcgi::HeadDecoder::default();
                        transcript.end = Ok(true);
                    }
                    decoded.consumed > 0 || decoded.done
                }),
            };
            match progress {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => transcript.end = Err(error),
            }
        }
    }
    transcript
}

/// A head as text, without the places of its parts.
pub(crate) fn describe(request: &Request) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let head = &request.head;
    let gateway = &head.gateway;
    let mut lines = vec![format!(
        "{} {} {} path={}{} query={} host={} {:?} keep={}",
        text(request.method()),
        text(request.target()),
        head.version.as_str(),
        text(request.path()),
        if gateway.path_is_decoded { " (decoded)" } else { "" },
        text(request.query()),
        text(request.host()),
        head.framing,
        head.keep_alive,
    )];
    if !gateway.script_name.is_empty() {
        lines.push(format!("mounted at {}", text(request.arena.slice(gateway.script_name))));
    }
    if let Some(client) = gateway.client {
        lines.push(format!("from {client}"));
    }
    if let Some(scheme) = gateway.scheme {
        lines.push(format!("by {}", scheme.as_str()));
    }
    if gateway.had_uwsgi_variables {
        lines.push("not obeyed: UWSGI_*".to_owned());
    }
    for (known, name, value) in request.fields() {
        assert_eq!(known, farrier_http::KnownField::of(name));
        lines.push(format!("{}: {}", text(name), text(value)));
    }
    for (name, value) in request.variables() {
        assert!(!name.is_empty() && !name.starts_with(b"HTTP_") && !name.starts_with(b"UWSGI_"));
        lines.push(format!("{}={}", text(name), text(value)));
    }
    lines.join("\n")
}

fn limits() -> [Limits; 2] {
    let strict = Limits {
        request_line_bytes_max: 24,
        field_bytes_max: 32,
        fields_max: 3,
        head_bytes_max: 160,
        body_bytes_max: 12,
        ..Limits::default()
    };
    [Limits::default(), strict]
}

/// A uwsgi packet of the variables.
pub(crate) fn packet(modifier: u8, variables: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in variables {
        for text in [name, value] {
            block.extend_from_slice(&(text.len() as u16).to_le_bytes());
            block.extend_from_slice(text.as_bytes());
        }
    }
    let mut packet = vec![modifier];
    packet.extend_from_slice(&(block.len() as u16).to_le_bytes());
    packet.push(0);
    packet.extend_from_slice(&block);
    packet
}

/// A FastCGI record.
pub(crate) fn record(kind: u8, id: u16, content: &[u8], padding: u8) -> Vec<u8> {
    let mut record = vec![1, kind];
    record.extend_from_slice(&id.to_be_bytes());
    record.extend_from_slice(&(content.len() as u16).to_be_bytes());
    record.extend_from_slice(&[padding, 0]);
    record.extend_from_slice(content);
    record.extend(std::iter::repeat_n(0, usize::from(padding)));
    record
}

/// FastCGI's name-value pairs.
pub(crate) fn pairs(variables: &[(&str, &str)]) -> Vec<u8> {
    let mut pairs = Vec::new();
    for (name, value) in variables {
        for text in [name, value] {
            match text.len() {
                short @ 0..0x80 => pairs.push(short as u8),
                long => pairs.extend_from_slice(&(long as u32 | 0x8000_0000).to_be_bytes()),
            }
        }
        pairs.extend_from_slice(name.as_bytes());
        pairs.extend_from_slice(value.as_bytes());
    }
    pairs
}

/// The record that begins a request.
pub(crate) fn begin(id: u16, role: u8, flags: u8) -> Vec<u8> {
    record(1, id, &[0, role, flags, 0, 0, 0, 0, 0], 0)
}
