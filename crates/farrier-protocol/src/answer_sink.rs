//! An answer of HTTP/1.1, uwsgi or FastCGI from a producer that must not wait. Data that the client does not take is
//! kept and counted, and the producer learns when the limit is reached.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use farrier_http::wire::h1::RequestFacts;
use farrier_http::wire::response_encoder::PieceFraming;
use farrier_http::{Accepted, AnswerSink, Error, Flush, Peer, ResponseHead, SendError, Via};

use crate::answer::Answer;
use crate::outlet::{GaveUp, Outcome, Outlet, Source, Stretch};
use crate::rules::Rules;
use crate::upload::UploadStatus;
use farrier_transport::file_stretch::FileStretch;
use farrier_transport::link::{Link, Sent};
use farrier_transport::outbox::{Keep, Outgoing};
use farrier_transport::reactor::clock::Date;
use farrier_transport::reactor::poller::Poller;
use farrier_transport::reactor::token::Token;
use farrier_transport::rest::FileSegment;

/// Room for the head of an answer and a small content.
const HEAD_ROOM_BYTES: usize = 512;

/// What all answers of a worker share that their producers own.
#[derive(Clone)]
pub struct SinkContext {
    /// The settings that apply.
    pub rules: Arc<Rules>,
    /// Watches the socket.
    pub poller: Arc<Poller>,
    /// The worker ends: responses say so.
    pub draining: Arc<AtomicBool>,
}

/// The outcome of an answer: set once, when the answer has ended or its sink was dropped.
pub type Ended = Arc<OnceLock<(Outcome, Option<Vec<u8>>)>>;

/// One answer that is owned by its producer.
pub struct H1Sink {
    /// Removed when the answer ends.
    answer: Option<Answer>,
    outlet: SinkOutlet,
    date: Date,
    ended: Ended,
}

impl H1Sink {
    /// The answer to a request that came on this connection.
    pub fn new(
        context: SinkContext,
        link: Arc<Link>,
        token: Token,
        peer: Peer,
        answer: Answer,
        ended: Ended,
    ) -> H1Sink {
        let outlet = SinkOutlet { context, link, token, peer, upload: None, unsent: false };
        H1Sink { answer: Some(answer), outlet, date: Date::default(), ended }
    }

    /// The same answer to a request whose content is still read.
    pub fn with_upload(mut self, upload: Option<Arc<UploadStatus>>) -> H1Sink {
        self.outlet.upload = upload;
        self
    }

    /// An empty answer for [`H1Sink::new`].
    pub fn answer(facts: RequestFacts, via: Via, choice: u32, keep_lines: bool) -> Answer {
        Answer::new(facts, via, choice, keep_lines, Vec::with_capacity(HEAD_ROOM_BYTES))
    }

    fn accepted(&self, given: Result<(), SendError>) -> Accepted {
        match given {
            Err(SendError::Gone) => Accepted::Gone,
            Err(SendError::Full) => Accepted::End,
            Ok(()) if self.room_bytes() == 0 => Accepted::Full,
            Ok(()) => Accepted::Room,
        }
    }

    fn close(&mut self) {
        if let Some(answer) = self.answer.take() {
            let (outcome, lines, _) = answer.outcome(&mut self.outlet, &mut self.date, false);
            // Set once: the answer was still there.
            let _ = self.ended.set((outcome, lines));
        }
    }
}

impl AnswerSink for H1Sink {
    fn stamp(&mut self, name: &str, value: &[u8]) {
        if let Some(answer) = &mut self.answer {
            answer.stamp(name, value);
        }
    }

    fn head(&mut self, head: &ResponseHead, length: Option<u64>) {
        if let Some(answer) = &mut self.answer {
            answer.head(&mut self.outlet, &mut self.date, head, length);
        }
    }

    fn inform(&mut self, interim: &ResponseHead) {
        if let Some(answer) = &mut self.answer
            && let Some(bytes) = answer.interim(interim)
            && let Err(gave_up) = self.outlet.note(self.outlet.link.send_interim(&bytes))
        {
            answer.give_up(&self.outlet, gave_up);
        }
    }

    fn data(&mut self, piece: Bytes) -> Accepted {
        let Some(answer) = &mut self.answer else { return Accepted::Gone };
        let mut whole = || piece.clone();
        let given = answer.send(&mut self.outlet, &piece, Flush::Now, Source::Piece(&mut whole, 0));
        self.accepted(given)
    }

    fn lend(&mut self, piece: &[u8]) -> Accepted {
        let Some(answer) = &mut self.answer else { return Accepted::Gone };
        let mut whole = || Bytes::copy_from_slice(piece);
        let given = answer.send(&mut self.outlet, piece, Flush::Now, Source::Piece(&mut whole, 0));
        self.accepted(given)
    }

    fn flush(&mut self) {
        if let Some(answer) = &mut self.answer {
            answer.flush(&mut self.outlet);
        }
    }

    fn file(&mut self, file: Arc<File>, offset: u64, bytes: u64) -> Accepted {
        let Some(answer) = &mut self.answer else { return Accepted::Gone };
        let given = answer.send_file(&mut self.outlet, file, offset, bytes);
        self.accepted(given)
    }

    fn switch(&mut self, head: &[u8]) -> bool {
        self.answer.as_mut().is_some_and(|answer| answer.switch(&mut self.outlet, head))
    }

    fn end_direction(&mut self) -> bool {
        let link = &self.outlet.link;
        let is_empty = link.kept_bytes() == 0;
        if is_empty {
            link.shutdown_write();
        }
        is_empty
    }

    fn trailers(&mut self, trailers: &ResponseHead) {
        if let Some(answer) = &mut self.answer {
            answer.trailers(trailers);
        }
    }

    fn end(&mut self) {
        if let Some(answer) = &mut self.answer {
            answer.finish(&mut self.outlet);
        }
        self.close();
    }

    fn note(&mut self, fault: Error) {
        if let Some(answer) = &mut self.answer {
            answer.note(fault);
        }
    }

    fn abort(&mut self, error: Error) {
        if let Some(answer) = &mut self.answer {
            answer.fail(&mut self.outlet, &mut self.date, error);
        }
        self.close();
    }

    fn room_bytes(&self) -> u64 {
        self.outlet.context.rules.response_buffer_bytes.saturating_sub(self.outlet.link.kept_bytes())
    }

    fn is_gone(&self) -> bool {
        self.outlet.link.is_gone()
    }
}

impl Drop for H1Sink {
    fn drop(&mut self) {
        self.close();
    }
}

/// The outlet of a producer that never waits.
struct SinkOutlet {
    context: SinkContext,
    link: Arc<Link>,
    token: Token,
    peer: Peer,
    upload: Option<Arc<UploadStatus>>,
    unsent: bool,
}

impl SinkOutlet {
    fn note(&mut self, sent: Sent) -> Result<(), GaveUp> {
        self.unsent = matches!(sent, Sent::Unsent(_));
        if self.unsent {
            self.link.watch_writable(&self.context.poller, self.token);
        }
        if sent == Sent::Broken { Err(GaveUp::GONE) } else { Ok(()) }
    }
}

impl Outlet for SinkOutlet {
    fn link(&self) -> &Link {
        &self.link
    }

    fn rules(&self) -> &Rules {
        &self.context.rules
    }

    fn is_draining(&self) -> bool {
        let is_last = self.upload.as_ref().is_some_and(|upload| !upload.can_live_on());
        is_last || self.context.draining.load(Ordering::Relaxed)
    }

    fn passes_file_names(&self) -> bool {
        self.context.rules.passes_file_names(self.peer)
    }

    fn has_unsent(&self) -> bool {
        self.unsent
    }

    fn put(&mut self, outgoing: Outgoing<'_>, source: Source<'_>) -> Result<(), GaveUp> {
        let keep = match source {
            Source::Borrowed | Source::Whole => Keep::All,
            Source::Shared(whole, at) | Source::Piece(whole, at) => {
                Keep::Owned(whole().slice(at..at + outgoing.content.len()))
            }
        };
        let (sent, _) = self.link.give(outgoing, keep);
        self.note(sent)
    }

    fn put_file(&mut self, file: Arc<File>, stretch: Stretch) -> Result<(), GaveUp> {
        let Stretch { offset, bytes, framing, is_version } = stretch;
        let Ok(stretch) = FileStretch::new(file, offset, bytes, is_version) else {
            self.link.break_off();
            return self.note(Sent::Broken);
        };
        let by_kernel = self.context.rules.sendfile && framing == PieceFraming::Bare;
        let sent = self.link.send_file(FileSegment { stretch, framing, by_kernel, on_disk: None }, b"");
        self.note(sent)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use farrier_config::Config;
    use farrier_http::{Kind, Status, Version};

    use super::*;
    use crate::after_response::AfterResponse;
    use crate::rules::Security;

    const FACTS: RequestFacts = RequestFacts { is_head: false, version: Version::Http11, keep_alive: true };

    fn sink() -> (H1Sink, UnixStream, Ended) {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        ours.set_nonblocking(true).expect("can be set");
        let rules = Arc::new(Rules::of(&Config::default(), Vec::new(), Security::default(), None, None));
        let link = Arc::new(Link::new(ours.into(), None, None, Arc::clone(&rules.responses)));
        let poller = Arc::new(Poller::new().expect("a poller"));
        let context = SinkContext { rules, poller, draining: Arc::default() };
        let ended = Ended::default();
        let answer = H1Sink::answer(FACTS, Via::Http, 0, false);
        let sink = H1Sink::new(context, link, Token::new(0, 0), Peer::Unix, answer, Arc::clone(&ended));
        (sink, theirs, ended)
    }

    fn available(client: &mut UnixStream) -> usize {
        client.set_nonblocking(true).expect("can be set");
        let (mut all, mut piece) = (0, [0; 65_536]);
        while let Ok(count @ 1..) = client.read(&mut piece) {
            all += count;
        }
        all
    }

    #[test]
    fn a_producer_learns_when_the_limit_is_reached_and_never_waits() {
        let (mut sink, mut client, ended) = sink();
        sink.head(&ResponseHead::new(Status::OK), None);
        let piece = Bytes::from(vec![b'x'; 100_000]);
        let mut given = 0;
        while sink.data(piece.clone()) == Accepted::Room {
            given += 1;
            assert!(given < 100, "the sink is bottomless");
        }
        assert_eq!(sink.room_bytes(), 0);
        let mut got = 0;
        while sink.room_bytes() == 0 {
            got += available(&mut client);
            sink.outlet.link.flush();
        }
        assert_eq!(sink.data(Bytes::from_static(b"last")), Accepted::Room);
        sink.end();
        while sink.outlet.link.flush() != Sent::All {
            got += available(&mut client);
        }
        got += available(&mut client);
        let content = (given + 1) * 100_000 + 4;
        assert!(got > content && got < content + 2000);
        let (outcome, _) = ended.get().expect("it has ended");
        assert_eq!((outcome.after, outcome.content_bytes), (AfterResponse::KeepAlive, content as u64));
        assert!(outcome.fault.is_none());
    }

    #[test]
    fn an_answer_that_is_dropped_is_aborted() {
        let (mut sink, mut client, ended) = sink();
        sink.head(&ResponseHead::new(Status::OK), Some(10));
        assert_eq!(sink.data(Bytes::from_static(b"12345")), Accepted::Room);
        drop(sink);
        let (outcome, _) = ended.get().expect("it has ended");
        assert_eq!(outcome.after, AfterResponse::Close);
        assert!(outcome.fault.is_some());
        let mut text = String::new();
        let _ = client.read_to_string(&mut text);
        assert!(text.ends_with("\r\n\r\n12345"));
    }

    #[test]
    fn an_error_before_the_head_left_becomes_a_whole_answer() {
        let (mut sink, mut client, ended) = sink();
        sink.head(&ResponseHead::new(Status::OK), None);
        sink.abort(Error::server(Kind::Overloaded, "too much"));
        assert_eq!(sink.data(Bytes::from_static(b"more")), Accepted::Gone);
        drop(sink);
        let mut text = String::new();
        let _ = client.read_to_string(&mut text);
        assert!(text.starts_with("HTTP/1.1 503 ") && text.ends_with("503 Service Unavailable\n"));
        assert_eq!(ended.get().expect("it has ended").0.status, Status(503));
    }

    #[test]
    fn more_than_the_declared_length_is_cut() {
        let (mut sink, _client, _) = sink();
        sink.head(&ResponseHead::new(Status::OK), Some(3));
        assert_eq!(sink.data(Bytes::from_static(b"12345")), Accepted::End);
    }
}
