//! Sends the bytes of an upstream through the reader of responses, in one piece or in many. The result must not depend on
//! that. Shared by the tests and the fuzz target.

use farrier_http::wire::client::{Asked, Event, Fault, FieldLines, ReceivedHead, ResponseLimits, ResponseReader};

/// Sends the answers of a connection in one piece, byte by byte, and in the given pieces, under several limits. Each answer
/// is to the same kind of request.
///
/// # Panics
/// The outcomes differ, or a rule is broken that holds for every outcome.
pub(crate) fn check(stream: &[u8], pieces: &[usize]) {
    for limits in limits() {
        for (asked, protocol) in asked() {
            let deliver = |pieces: &mut dyn Iterator<Item = usize>| deliver(stream, asked, protocol, &limits, pieces);
            let whole = deliver(&mut std::iter::once(stream.len()));
            let by_byte = deliver(&mut std::iter::repeat(1));
            assert_eq!(by_byte, whole, "byte by byte: {}", stream.escape_ascii());
            let rest = std::iter::repeat(stream.len().max(1));
            let in_pieces = deliver(&mut pieces.iter().copied().chain(rest));
            assert_eq!(in_pieces, whole, "in {pieces:?}: {}", stream.escape_ascii());
        }
    }
}

/// The protocol of the upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http,
    Uwsgi,
}

/// The requests that the answers may be to.
fn asked() -> [(Asked, Protocol); 6] {
    let (get, head) = (Asked::of(b"GET"), Asked::of(b"HEAD"));
    let of_http = [get, head, Asked::of(b"CONNECT"), Asked { upgrade: true, ..get }];
    let [a, b, c, d] = of_http.map(|asked| (asked, Protocol::Http));
    [a, b, c, d, (get, Protocol::Uwsgi), (head, Protocol::Uwsgi)]
}

/// The transcript of a connection.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Transcript {
    /// Heads, content, trailers and ends in order. Neighbouring pieces of content are one.
    pub(crate) parts: Vec<Part>,
    /// The fault that ended it, if any.
    pub(crate) fault: Option<Fault>,
    /// Bytes that were left over: behind a complete answer, or in an incomplete one.
    pub(crate) left: usize,
}

/// A part of an answer.
#[derive(Debug, PartialEq, Eq, Clone)]
pub(crate) enum Part {
    /// An interim head, a final one, or one that switches protocols.
    Head(&'static str, String),
    /// Content.
    Data(Vec<u8>),
    /// Fields behind the content.
    Trailers(String),
    /// The end, and whether the connection may be used again if nothing is left over.
    End(bool),
}

/// Sends a stream in pieces of the given sizes, and then the orderly end of the connection.
pub(crate) fn deliver(
    stream: &[u8],
    asked: Asked,
    protocol: Protocol,
    limits: &ResponseLimits,
    pieces: &mut dyn Iterator<Item = usize>,
) -> Transcript {
    let mut transcript = Transcript::default();
    let mut reader = ResponseReader::default();
    let restart = |reader: &mut ResponseReader| match protocol {
        Protocol::Http => reader.restart(asked),
        Protocol::Uwsgi => reader.restart_uwsgi(asked),
    };
    restart(&mut reader);
    let (mut at, mut received) = (0, 0);
    loop {
        loop {
            let input = &stream[at..received];
            let step = match reader.read(input, limits) {
                Ok(step) => step,
                Err(fault) => {
                    assert!(reader.read(b"HTTP/1.1 204 N\r\n\r\n", limits).is_err(), "it goes on after a fault");
                    assert!(!reader.is_reusable(b""));
                    return Transcript { fault: Some(fault), left: 0, ..transcript };
                }
            };
            assert!(step.consumed <= input.len());
            if let Event::Data(range) = &step.event {
                assert!(!range.is_empty() && range.end <= step.consumed);
            }
            note(&mut transcript.parts, &step.event, input, &reader);
            if protocol == Protocol::Http && matches!(step.event, Event::Interim | Event::Head | Event::Switched) {
                check_oracle(reader.head(), &input[..step.consumed]);
            }
            at += step.consumed;
            match step.event {
                Event::NeedMore => break,
                Event::Switched => return Transcript { left: stream.len() - at, ..transcript },
                Event::End => {
                    assert!(reader.is_complete());
                    if !reader.is_reusable(b"") || at == stream.len() {
                        return Transcript { left: stream.len() - at, ..transcript };
                    }
                    restart(&mut reader);
                }
                _ => {}
            }
        }
        if received == stream.len() {
            break;
        }
        received = (received + pieces.next().expect("a piece")).min(stream.len());
    }
    let left = stream.len() - at;
    assert!(left <= limits.head_bytes_max + 2, "what is left is bounded");
    match reader.closed(&stream[at..], true) {
        Ok(event) => note(&mut transcript.parts, &event, b"", &reader),
        Err(fault) => transcript.fault = Some(fault),
    }
    Transcript { left, ..transcript }
}

fn note(parts: &mut Vec<Part>, event: &Event, input: &[u8], reader: &ResponseReader) {
    let head = |kind| {
        let head = reader.head();
        check_lines(head.fields());
        let reason = head.reason().escape_ascii();
        let text = format!("{} {} {reason} {}", head.version().as_str(), head.status().0, lines(head.fields()));
        Part::Head(kind, text)
    };
    let part = match event {
        Event::NeedMore => return,
        Event::Interim => head("interim"),
        Event::Head => head("final"),
        Event::Switched => head("switched"),
        Event::Data(range) => {
            let content = &input[range.clone()];
            if let Some(Part::Data(before)) = parts.last_mut() {
                before.extend_from_slice(content);
                return;
            }
            Part::Data(content.to_vec())
        }
        Event::Trailers => {
            assert!(!reader.trailers().is_empty());
            check_lines(reader.trailers());
            Part::Trailers(lines(reader.trailers()))
        }
        Event::End => Part::End(reader.is_reusable(b"")),
    };
    parts.push(part);
}

/// An independent parser agrees with every accepted head.
fn check_oracle(head: &ReceivedHead, bytes: &[u8]) {
    let mut known = bytes.to_vec();
    // It knows no minor version above 1.
    known[7] = known[7].min(b'1');
    let mut slots = vec![httparse::EMPTY_HEADER; head.fields().len()];
    let mut oracle = httparse::Response::new(&mut slots);
    assert_eq!(oracle.parse(&known), Ok(httparse::Status::Complete(bytes.len())), "{}", bytes.escape_ascii());
    assert_eq!(oracle.code, Some(head.status().0));
    let fields = oracle.headers.iter().map(|field| (field.name.as_bytes(), field.value.trim_ascii()));
    assert!(head.fields().iter().map(|(_, name, value)| (name, value)).eq(fields), "{}", bytes.escape_ascii());
}

/// Whatever is given out can be written again without a second meaning.
fn check_lines(fields: &FieldLines) {
    for (_, name, value) in fields.iter() {
        assert!(farrier_http::field::is_token(name) && farrier_http::field::is_value(value));
        assert_eq!(value.trim_ascii(), value);
    }
}

fn lines(fields: &FieldLines) -> String {
    let line = |(_, name, value): (_, &[u8], &[u8])| format!("{}: {}", name.escape_ascii(), value.escape_ascii());
    format!("[{}]", fields.iter().map(line).collect::<Vec<_>>().join(", "))
}

/// The defaults, and limits so low that a short answer reaches them.
fn limits() -> [ResponseLimits; 2] {
    let narrow = ResponseLimits {
        head_bytes_max: 60,
        fields_max: 2,
        interim_max: 1,
        chunk_line_bytes_max: 8,
        trailer_bytes_max: 16,
    };
    [ResponseLimits::default(), narrow]
}
