//! Sends the bytes of a FastCGI application through the reader of its answers, in one piece or in many. The result must not
//! depend on that. Shared by the tests and the fuzz target.

use farrier_http::wire::client::{Asked, Event, FastCgiReader, Fault, ResponseLimits};

/// What was read.
#[derive(Debug, PartialEq, Eq, Default)]
pub(crate) struct Answer {
    /// Status, reason and fields.
    pub(crate) head: Option<String>,
    /// The content.
    pub(crate) content: Vec<u8>,
    /// What was written for the log.
    pub(crate) stderr: Vec<u8>,
    /// The application's status at the end.
    pub(crate) app_status: u32,
    /// The fault that ended it, or `None` for an answer that is complete.
    pub(crate) fault: Option<Fault>,
    /// Bytes behind a complete answer.
    pub(crate) left: usize,
}

/// Reads an answer in one piece, byte by byte, and in the given pieces, under several limits.
///
/// # Panics
/// The outcomes differ, or a rule is broken that holds for every outcome.
pub(crate) fn check(stream: &[u8], pieces: &[usize]) {
    let narrow = ResponseLimits { head_bytes_max: 40, fields_max: 2, ..ResponseLimits::default() };
    for limits in [ResponseLimits::default(), narrow] {
        for method in [b"GET".as_slice(), b"HEAD"] {
            let asked = Asked::of(method);
            let whole = read(stream, asked, &limits, std::iter::once(stream.len()));
            assert_eq!(read(stream, asked, &limits, std::iter::repeat(1)), whole, "{}", stream.escape_ascii());
            let pieces = pieces.iter().copied().chain(std::iter::repeat(stream.len().max(1)));
            assert_eq!(read(stream, asked, &limits, pieces), whole, "{}", stream.escape_ascii());
        }
    }
}

/// Reads an answer in pieces of the given sizes, and then the end of the connection.
pub(crate) fn read(
    stream: &[u8],
    asked: Asked,
    limits: &ResponseLimits,
    mut pieces: impl Iterator<Item = usize>,
) -> Answer {
    let mut answer = Answer::default();
    let mut reader = FastCgiReader::default();
    reader.restart(asked, true);
    let (mut at, mut received) = (0, 0);
    answer.fault = loop {
        let input = &stream[at..received];
        let step = match reader.read(input, limits) {
            Ok(step) => step,
            Err(fault) => {
                assert!(reader.read(b"", limits).is_err() && reader.closed().is_err(), "it goes on after a fault");
                break Some(fault);
            }
        };
        assert!(step.consumed <= input.len());
        at += step.consumed;
        match step.event {
            Event::Head => {
                let head = reader.head();
                let mut text = format!("{} {}", head.status().0, head.reason().escape_ascii());
                for (_, name, value) in head.fields().iter() {
                    assert!(farrier_http::field::is_token(name) && farrier_http::field::is_value(value));
                    text += &format!(" {}={}", name.escape_ascii(), value.escape_ascii());
                }
                assert_eq!(answer.head.replace(text), None, "there is one head");
            }
            Event::Data(range) => {
                assert!(!range.is_empty() && range.end <= step.consumed && answer.head.is_some());
                answer.content.extend_from_slice(&input[range]);
            }
            Event::End => {
                assert!(reader.is_complete() && reader.is_reusable(b"") && !reader.is_reusable(b"x"));
                answer.left = stream.len() - at;
                break None;
            }
            Event::NeedMore if received == stream.len() => break reader.closed().err(),
            Event::NeedMore => received = (received + pieces.next().unwrap_or(1)).min(stream.len()),
            other => panic!("{other:?} is no event of FastCGI"),
        }
    };
    if answer.fault.is_none() {
        // Until a fault is found, how much was read before it depends on the pieces.
        answer.stderr = reader.stderr().to_vec();
        answer.app_status = reader.app_status();
    } else {
        answer.content.clear();
    }
    answer
}
