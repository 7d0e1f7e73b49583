//! Sends a whole connection through the HTTP/1.1 codec, in one piece or in many. The result must not depend on that.
//! Shared by the property test and the fuzz target.

use farrier_http::wire::h1::{ContentDecoder, HeadDecoder};
use farrier_http::{BodyFraming, Error, Limits, RequestHead, Seen};

/// Sends a stream of bytes through the codec in one piece, byte by byte, and in the given pieces, under several limits.
///
/// # Panics
/// The outcomes differ, or a rule is broken that holds for every outcome.
pub(crate) fn check(stream: &[u8], pieces: &[usize]) {
    for limits in limits() {
        let whole = deliver(stream, &limits, std::iter::once(stream.len()));
        let by_byte = deliver(stream, &limits, std::iter::repeat(1));
        assert_eq!(by_byte, whole, "byte by byte: {}", stream.escape_ascii());
        let in_pieces = deliver(stream, &limits, pieces.iter().copied().chain(std::iter::repeat(stream.len().max(1))));
        assert_eq!(in_pieces, whole, "in {pieces:?}: {}", stream.escape_ascii());
    }
}

/// The transcript of a connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Transcript {
    /// The requests; the content of the last may be incomplete.
    pub(crate) requests: Vec<Request>,
    /// The error that ended it, or whether it waits for a head (true) or for content.
    pub(crate) end: Result<bool, Error>,
    /// The number of consumed bytes, without those of a call that ended with an error.
    pub(crate) consumed: usize,
}

/// One request of a transcript.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The head as it is debug-printed.
    pub(crate) head: String,
    /// The content so far.
    pub(crate) content: Vec<u8>,
}

/// Sends a stream in pieces of the given sizes; the sizes must suffice for all of it.
pub(crate) fn deliver(stream: &[u8], limits: &Limits, mut pieces: impl Iterator<Item = usize>) -> Transcript {
    let mut transcript = Transcript { requests: Vec::new(), end: Ok(true), consumed: 0 };
    let mut heads = HeadDecoder::default();
    let mut content: Option<ContentDecoder> = None;
    // One head is recycled for all requests, but each call after which it was incomplete is followed by one with another.
    let mut head = RequestHead::default();
    let mut received = 0;
    while received < stream.len() {
        received = (received + pieces.next().expect("a piece")).min(stream.len());
        while transcript.end.is_ok() {
            let input = &stream[transcript.consumed..received];
            let progress = match &mut content {
                None => heads.decode(input, limits, &mut head).and_then(|complete| {
                    if !complete {
                        head = RequestHead::default();
                        return Ok(false);
                    }
                    check_head(&head, input);
                    transcript.requests.push(Request { head: format!("{head:?}"), content: Vec::new() });
                    transcript.consumed += head.bytes;
                    transcript.end = Ok(false);
                    content = Some(ContentDecoder::new(head.framing, limits)?);
                    Ok(true)
                }),
                Some(decoder) => decoder.decode(input, limits).map(|decoded| {
                    assert!(decoded.consumed <= input.len() && decoded.content.end <= decoded.consumed);
                    let request = transcript.requests.last_mut().expect("content follows a head");
                    request.content.extend_from_slice(&input[decoded.content]);
                    assert!(request.content.len() as u64 <= limits.body_bytes_max);
                    transcript.consumed += decoded.consumed;
                    if decoded.done {
                        content = None;
                        transcript.end = Ok(true);
                    }
                    decoded.consumed > 0 || decoded.done
                }),
            };
            match progress {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => (transcript.end, transcript.consumed) = (Err(error), 0),
            }
        }
    }
    transcript
}

/// Checks every accepted head: its spans are correct, and an independent parser agrees.
fn check_head(head: &RequestHead, input: &[u8]) {
    let bytes = &input[..head.bytes];
    assert!(bytes.ends_with(b"\r\n\r\n"));
    let target = &bytes[head.target.range()];
    assert!(target.is_ascii() && !target.contains(&b'#'));
    for part in [head.path, head.query] {
        assert!(head.target.range().start <= part.range().start && part.range().end <= head.target.range().end);
    }
    assert!(!bytes[head.query.range()].contains(&b'#') && !bytes[head.path.range()].contains(&b'?'));
    let count = |name: &str| {
        head.fields.iter().filter(|field| bytes[field.name.range()].eq_ignore_ascii_case(name.as_bytes())).count()
    };
    match head.framing {
        BodyFraming::None => assert_eq!((count("content-length"), count("transfer-encoding")), (0, 0)),
        BodyFraming::Length(_) => assert_eq!((count("content-length"), count("transfer-encoding")), (1, 0)),
        BodyFraming::Chunked => assert_eq!((count("content-length"), count("transfer-encoding")), (0, 1)),
    }

    if head.seen.has_any(Seen::FOLDED) {
        // The other parser refuses folded values.
        return;
    }
    let mut slots = vec![httparse::EMPTY_HEADER; head.fields.len()];
    let mut oracle = httparse::Request::new(&mut slots);
    // It knows no minor version above 1.
    let version = head.target.range().end + 1;
    let mut known = bytes.to_vec();
    known[version + 7] = known[version + 7].min(b'1');
    assert_eq!(oracle.parse(&known), Ok(httparse::Status::Complete(head.bytes)));
    assert_eq!(oracle.method.map(str::as_bytes), Some(&bytes[head.method.range()]));
    assert_eq!(oracle.path.map(str::as_bytes), Some(target));
    let fields = head.fields.iter().map(|field| (&bytes[field.name.range()], &bytes[field.value.range()]));
    assert!(oracle.headers.iter().map(|field| (field.name.as_bytes(), field.value)).eq(fields));
}

/// The defaults, and limits so low that a short message reaches them.
fn limits() -> [Limits; 3] {
    let narrow = Limits {
        request_line_bytes_max: 40,
        field_bytes_max: 30,
        fields_max: 3,
        head_bytes_max: 120,
        body_bytes_max: 20,
        chunk_line_bytes_max: 8,
        trailer_bytes_max: 16,
        permit_unconventional_method: true,
        permit_folding: true,
    };
    [Limits::default(), Limits { head_bytes_max: 48, ..narrow.clone() }, narrow]
}
