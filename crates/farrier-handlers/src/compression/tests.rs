//! Tests of compression around an exchange, with a sink that records what reaches it.

use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;

use farrier_http::pipe::{End, Marks, pipe};
use farrier_http::upstream::NoUpstreams;
use farrier_http::{
    Accepted, AnswerSink, BodyMode, Bytes, Coding, Error, Event, Exchange, ExchangeIo, Handler, Next, Plan, Request,
    Respond, ResponseHead, Span, Status,
};
use farrier_protocol::host::NoHost;

use super::{CompressionRules, Compressor, MediaPattern, around};

/// What reached the client.
#[derive(Default)]
struct Recorded {
    heads: Vec<(String, Option<u64>)>,
    content: Vec<u8>,
    files: Vec<(u64, u64)>,
    has_ended: bool,
    error: Option<Error>,
    noted: Option<Error>,
    /// The bytes that it still takes.
    room: u64,
}

impl AnswerSink for Recorded {
    fn head(&mut self, head: &ResponseHead, length: Option<u64>) {
        let lines = String::from_utf8_lossy(head.lines()).replace("\r\n", "\n");
        self.heads.push((lines, head.content_length().or(length)));
    }
    fn inform(&mut self, _: &ResponseHead) {}
    fn data(&mut self, piece: Bytes) -> Accepted {
        assert!(!self.heads.is_empty() && !self.has_ended && self.error.is_none(), "content out of turn");
        self.content.extend_from_slice(&piece);
        self.room = self.room.saturating_sub(piece.len() as u64);
        if self.room == 0 { Accepted::Full } else { Accepted::Room }
    }
    fn file(&mut self, _: Arc<File>, offset: u64, bytes: u64) -> Accepted {
        self.files.push((offset, bytes));
        Accepted::Room
    }
    fn trailers(&mut self, _: &ResponseHead) {}
    fn end(&mut self) {
        self.has_ended = true;
    }
    fn note(&mut self, fault: Error) {
        assert!(!self.has_ended, "too late");
        self.noted = Some(fault);
    }
    fn abort(&mut self, error: Error) {
        self.error = Some(error);
    }
    fn room_bytes(&self) -> u64 {
        self.room
    }
    fn is_gone(&self) -> bool {
        false
    }
}

impl Recorded {
    /// The content so far, decoded; it may be incomplete.
    fn decoded(&self) -> Vec<u8> {
        let mut content = Vec::new();
        // At the end of an incomplete message there is an error.
        let _ = flate2::read::GzDecoder::new(&*self.content).read_to_end(&mut content);
        content
    }
}

/// What the exchange does.
enum Act {
    Head(ResponseHead, Option<u64>),
    Data(Bytes),
    File(Arc<File>, u64),
    Wait,
    End,
    /// Content and the end, whatever the sink says.
    Last(Bytes),
    Abort,
}

/// Does one thing after the other, as far as the sink takes it.
struct Script {
    acts: VecDeque<Act>,
    said: Arc<Mutex<Vec<Accepted>>>,
    left: Arc<AtomicUsize>,
}

impl Exchange for Script {
    fn step(&mut self, _: Event, _: u64, io: &mut ExchangeIo<'_>) -> Next {
        while let Some(act) = self.acts.pop_front() {
            self.left.store(self.acts.len(), Ordering::Relaxed);
            let accepted = match act {
                Act::Head(head, length) => {
                    io.answer.head(&head, length);
                    continue;
                }
                Act::Data(piece) => io.answer.data(piece),
                Act::File(file, bytes) => io.answer.file(file, 0, bytes),
                Act::Wait => return Next::Wait,
                Act::Last(piece) => {
                    io.answer.data(piece);
                    io.answer.end();
                    return Next::Done;
                }
                Act::Abort => {
                    io.answer.abort(Error::application("on purpose"));
                    return Next::Done;
                }
                Act::End => {
                    io.answer.end();
                    return Next::Done;
                }
            };
            self.said.lock().expect("whole").push(accepted);
            if accepted == Accepted::Full {
                return Next::Wait;
            }
        }
        Next::Wait
    }
}

struct Scripted(Mutex<Option<Script>>);

impl Handler for Scripted {
    fn plan(&self, _: &mut Request) -> Plan {
        let script = self.0.lock().expect("whole").take().expect("one request");
        Plan::Exchange(Box::new(script), BodyMode::Buffered)
    }
    fn handle(&self, _: &mut Request, _: &mut dyn Respond) -> Result<(), Error> {
        Ok(())
    }
}

fn compressor() -> Arc<Compressor> {
    let rules = CompressionRules {
        codings: vec![(Coding::Gzip, 5)],
        least_bytes: 100,
        file_bytes_max: 1 << 20,
        types: vec![MediaPattern::Type("text/".into())],
    };
    Compressor::new(rules, Arc::new(NoHost)).expect("a coding")
}

fn asked(method: &str, accepted: &str) -> Request {
    let mut request = Request::with_room(16);
    request.arena.append(method.as_bytes());
    request.head.method = Span::new(0, method.len());
    request.replace_field("accept-encoding", accepted.as_bytes());
    request
}

fn text_head() -> ResponseHead {
    let mut head = ResponseHead::new(Status::OK);
    head.add(b"Content-Type", b"text/plain").expect("a field");
    head.add(b"ETag", b"\"a\"").expect("a field");
    head
}

/// An exchange that runs.
struct Run {
    exchange: Box<dyn Exchange>,
    request: Request,
    client: Recorded,
    said: Arc<Mutex<Vec<Accepted>>>,
    left: Arc<AtomicUsize>,
}

impl Run {
    fn new(compressor: &Arc<Compressor>, mut request: Request, acts: Vec<Act>) -> Run {
        let said = Arc::new(Mutex::new(Vec::new()));
        let left = Arc::new(AtomicUsize::new(acts.len()));
        let script = Script { acts: acts.into(), said: Arc::clone(&said), left: Arc::clone(&left) };
        let handler = around(Arc::new(Scripted(Mutex::new(Some(script)))), Some(compressor));
        let Plan::Exchange(exchange, _) = handler.plan(&mut request) else { panic!("no exchange") };
        Run { exchange, request, client: Recorded { room: 1 << 20, ..Recorded::default() }, said, left }
    }

    /// True: the step stopped early.
    fn step(&mut self, event: Event) -> bool {
        let (_source, content) = pipe(Marks::with_high(1), End::Seat, End::Engine(Waker::noop().clone()));
        let mut upstreams = NoUpstreams;
        let mut io = ExchangeIo::new(&self.request, &content, Some(0), &mut self.client, &mut upstreams, &|| {
            Waker::noop().clone()
        });
        self.exchange.step(event, 0, &mut io);
        io.is_stopped_early
    }

    fn acts_left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }

    fn said(&self) -> Vec<Accepted> {
        self.said.lock().expect("whole").clone()
    }
}

fn data(size: usize) -> Act {
    Act::Data(Bytes::from(vec![b'x'; size]))
}

/// Bytes that gain nothing from compression.
fn noise(size: usize, seed: u64) -> Act {
    let mut state = seed;
    let byte = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    Act::Data(Bytes::from(std::iter::repeat_with(byte).take(size).collect::<Vec<_>>()))
}

#[test]
fn a_short_answer_has_its_encoded_length() {
    let acts = vec![Act::Head(text_head(), None), data(3000), data(2000), Act::End];
    let mut run = Run::new(&compressor(), asked("GET", "gzip"), acts);
    run.step(Event::Begin);
    let lines = "Content-Type: text/plain\nETag: W/\"a\"\nContent-Encoding: gzip\nVary: Accept-Encoding\n";
    assert_eq!(run.client.heads, [(lines.to_owned(), Some(run.client.content.len() as u64))]);
    assert_eq!(run.client.decoded(), vec![b'x'; 5000]);
    assert!(run.client.has_ended);
}

#[test]
fn content_leaves_when_the_exchange_waits() {
    let acts = vec![
        Act::Head(text_head(), None),
        data(10),
        data(10),
        Act::Wait,
        Act::Wait,
        data(1),
        Act::Wait,
        data(5),
        Act::End,
    ];
    let mut run = Run::new(&compressor(), asked("GET", "gzip"), acts);
    // The second step gives no content, so nothing is sent.
    for (decoded, sends) in [(20, true), (20, false), (21, true), (26, true)] {
        let before = run.client.content.len();
        assert!(!run.step(Event::Content));
        assert_eq!(run.client.decoded(), vec![b'x'; decoded]);
        assert_eq!(run.client.content.len() > before, sends);
    }
    assert_eq!((run.client.heads.len(), run.client.heads[0].1, run.client.has_ended), (1, None, true));
}

#[test]
fn a_full_sink_holds_the_exchange_back_and_is_not_flushed_to() {
    let mut acts = vec![Act::Head(text_head(), None)];
    acts.extend((0..40).map(|seed| noise(20_000, seed)));
    let mut run = Run::new(&compressor(), asked("GET", "gzip"), acts);
    run.client.room = 10_000;
    let mut steps = 0;
    while run.step(Event::Room) {
        steps += 1;
    }
    // The first 256 KiB are gathered. Then the sink is full, and the exchange waits for it alone.
    assert!(steps > 0 && run.said().len() < 20, "{steps} {:?}", run.said());
    assert_eq!(run.said().last(), Some(&Accepted::Full));
    let (given, sent) = (run.said().len(), run.client.content.len());
    run.client.room = 1;
    run.step(Event::Room);
    assert!(run.said().len() > given && run.client.content.len() > sent);
    assert_eq!(run.client.room, 0);
}

#[test]
fn one_step_encodes_a_limited_amount() {
    let mut acts = vec![Act::Head(text_head(), None)];
    acts.extend((0..50).map(|_| data(16 * 1024)));
    acts.push(Act::End);
    let mut run = Run::new(&compressor(), asked("GET", "gzip"), acts);
    let mut stops = 0;
    while run.step(Event::Room) {
        stops += 1;
        assert_eq!(run.said().len(), stops * 4);
    }
    assert_eq!((stops, run.client.has_ended), (12, true));
    assert_eq!(run.client.decoded().len(), 50 * 16 * 1024);
    // Nothing was flushed in between, so the length is known.
    assert!(run.client.heads[0].1.is_some());
}

/// One large piece was encoded whole, and everybody else waited for that.
#[test]
fn a_large_piece_is_encoded_in_several_steps() {
    for ends_at_once in [false, true] {
        let last = Bytes::from(vec![b'x'; 1 << 20]);
        let acts = match ends_at_once {
            true => vec![Act::Head(text_head(), None), data(10), Act::Last(last)],
            false => vec![Act::Head(text_head(), None), data(10), Act::Data(last), Act::End],
        };
        let mut run = Run::new(&compressor(), asked("GET", "gzip"), acts);
        let mut stops = 0;
        while run.step(Event::Room) {
            stops += 1;
            assert!(!run.client.has_ended);
        }
        assert_eq!(run.client.decoded().len(), 10 + (1 << 20));
        assert!(run.client.has_ended && stops >= 16, "{stops}");
    }
}

#[test]
fn an_exchange_that_waits_for_its_content_gets_other_events_and_no_room() {
    let acts = vec![Act::Head(text_head(), None), data(200_000), Act::Wait, data(5), Act::End];
    let mut run = Run::new(&compressor(), asked("GET", "gzip"), acts);
    assert!(run.step(Event::Begin));
    // A timer reaches the exchange, whose next act is to wait. Its content goes on meanwhile.
    assert!(run.step(Event::Timer) && run.acts_left() == 2);
    assert!(run.step(Event::Room) && run.acts_left() == 2);
    assert!(run.step(Event::Room) && run.acts_left() == 2, "the last of the content");
    assert!(!run.step(Event::Room) && run.acts_left() == 0);
    assert_eq!(run.client.decoded().len(), 200_005);
    assert!(run.client.has_ended);
}

#[test]
fn an_aborted_answer_gets_no_more_of_what_is_held() {
    let acts = vec![Act::Head(text_head(), None), data(500_000), Act::Abort];
    let mut run = Run::new(&compressor(), asked("GET", "gzip"), acts);
    run.step(Event::Begin);
    run.step(Event::Timer);
    assert!(run.client.error.is_some() && !run.client.has_ended);
    assert!(!run.step(Event::Room));
}

/// A level that is right for a seat would hold the leader for a long time.
#[test]
fn the_level_of_an_exchange_is_limited() {
    let rules = CompressionRules {
        codings: vec![(Coding::Brotli, 11), (Coding::Zstd, 3)],
        least_bytes: 0,
        file_bytes_max: 0,
        types: Vec::new(),
    };
    let compressor = Compressor::new(rules, Arc::new(NoHost)).expect("a coding");
    let levels = |encoders: &[super::Encoders]| encoders.iter().map(super::Encoders::level).collect::<Vec<_>>();
    assert_eq!(levels(&compressor.encoders), [11, 3]);
    assert_eq!(levels(&compressor.exchange_encoders), [5, 3]);
}

#[test]
fn an_answer_that_may_not_be_compressed_goes_through_unchanged() {
    let mut image = ResponseHead::new(Status::OK);
    image.add(b"Content-Type", b"image/png").expect("a field");
    for (head, accepted, vary) in [(image, "gzip", false), (text_head(), "br", true)] {
        let mut run =
            Run::new(&compressor(), asked("GET", accepted), vec![Act::Head(head, Some(500)), data(500), Act::End]);
        run.step(Event::Begin);
        assert_eq!(run.client.heads[0].1, Some(500));
        assert_eq!(run.client.heads[0].0.contains("Vary: Accept-Encoding"), vary);
        assert!(run.client.content == vec![b'x'; 500] && run.client.has_ended);
    }
}

#[test]
fn a_head_request_gets_the_head_of_a_get() {
    let mut run = Run::new(&compressor(), asked("HEAD", "gzip"), vec![Act::Head(text_head(), Some(500)), Act::End]);
    run.step(Event::Begin);
    let (lines, length) = &run.client.heads[0];
    assert!(lines.contains("Content-Encoding: gzip") && length.is_none() && run.client.has_ended);
}

#[test]
fn a_wrong_length_breaks_the_answer_or_cuts_it() {
    let mut run =
        Run::new(&compressor(), asked("GET", "gzip"), vec![Act::Head(text_head(), Some(500)), data(400), Act::End]);
    run.step(Event::Begin);
    assert!(run.client.error.is_some() && !run.client.has_ended);

    let acts = vec![Act::Head(text_head(), Some(500)), data(600), Act::End];
    let mut run = Run::new(&compressor(), asked("GET", "gzip"), acts);
    run.step(Event::Begin);
    assert_eq!(run.said(), [Accepted::End]);
    run.step(Event::Content);
    assert!(run.client.has_ended && run.client.decoded() == vec![b'x'; 500]);
    // Only the client saw that the answer was cut.
    let noted = run.client.noted.expect("a fault for the log");
    assert_eq!(noted.cause, "the application gave more than its Content-Length");
}

#[test]
fn a_head_may_be_replaced_until_content_has_left() {
    let acts = vec![
        Act::Head(text_head(), None),
        data(50),
        Act::Head(ResponseHead::new(Status::NOT_FOUND), Some(3)),
        data(3),
        Act::Head(text_head(), None),
        Act::End,
    ];
    let mut run = Run::new(&compressor(), asked("GET", "gzip"), acts);
    run.step(Event::Begin);
    assert_eq!((run.client.heads.len(), run.client.heads[0].1, &*run.client.content), (1, Some(3), &b"xxx"[..]));
}

#[test]
fn a_file_is_sent_as_it_is_unless_other_content_came_before() {
    let path = std::env::temp_dir().join(format!("farrier-compression-{}", std::process::id()));
    std::fs::write(&path, [b'y'; 5000]).expect("writable");
    let file = Arc::new(File::open(&path).expect("readable"));
    std::fs::remove_file(&path).expect("removable");
    let mut byte = [0];
    file.read_at(&mut byte, 4999).expect("readable");

    let acts = vec![Act::Head(text_head(), Some(5000)), Act::File(Arc::clone(&file), 5000), Act::End];
    let mut run = Run::new(&compressor(), asked("GET", "gzip"), acts);
    run.step(Event::Begin);
    assert_eq!((&run.client.files[..], run.client.heads[0].1), (&[(0, 5000)][..], Some(5000)));

    let acts = vec![Act::Head(text_head(), Some(5001)), data(1), Act::File(file, 5000), Act::End];
    let mut run = Run::new(&compressor(), asked("GET", "gzip"), acts);
    run.step(Event::Begin);
    assert_eq!(run.client.decoded(), [vec![b'x'], vec![b'y'; 5000]].concat());
    assert!(run.client.files.is_empty() && run.client.has_ended);
}

#[test]
fn the_answers_that_are_compressed_at_a_time_are_limited() {
    let compressor = compressor();
    let acts = || vec![Act::Head(text_head(), None), data(5), Act::Wait, Act::End];
    let begun = |_| {
        let mut run = Run::new(&compressor, asked("GET", "gzip"), acts());
        run.step(Event::Begin);
        run
    };
    let is_encoded = |run: &Run| run.client.heads[0].0.contains("Content-Encoding");
    let mut runs: Vec<Run> = (0..65).map(begun).collect();
    assert_eq!(runs.iter().filter(|run| is_encoded(run)).count(), 64);
    assert!(runs[64].client.heads[0].0.contains("Vary"));
    // One that ends and one that is dropped each make room.
    runs[0].step(Event::Content);
    drop(runs.pop());
    drop(runs.pop());
    assert!(is_encoded(&begun(0)) && is_encoded(&begun(0)));
    let more: Vec<Run> = (0..3).map(begun).collect();
    assert_eq!(more.iter().filter(|run| is_encoded(run)).count(), 2);
}
