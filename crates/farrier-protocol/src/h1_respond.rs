//! How a seat answers: an [`Answer`] whose outlet may wait for the client.

use std::fs::File;
use std::sync::Arc;

use farrier_http::wire::h1::RequestFacts;
use farrier_http::{Bytes, Error, Flush, Respond, ResponseHead, SendError, Via};

use crate::answer::Answer;
use crate::outlet::{Outcome, Source};
use crate::scratch::Scratch;
use crate::seat_outlet::{Channel, SeatOutlet};

/// Answers one request.
pub struct H1Respond<'a> {
    answer: Answer,
    outlet: SeatOutlet<'a>,
    scratch: &'a mut Scratch,
}

impl<'a> H1Respond<'a> {
    /// The answer to one request on one connection.
    pub fn new(
        channel: Channel<'a>,
        scratch: &'a mut Scratch,
        facts: RequestFacts,
        via: Via,
        choice: u32,
        keep_lines: bool,
    ) -> Self {
        let mut out = std::mem::take(&mut scratch.out);
        out.clear();
        let answer = Answer::new(facts, via, choice, keep_lines, out);
        H1Respond { answer, outlet: SeatOutlet::new(channel), scratch }
    }

    /// Notes that the client accepts trailers.
    pub fn permit_trailers(&mut self) {
        self.answer.permit_trailers();
    }

    /// Answers with an error: a whole response if nothing was sent yet, otherwise the response visibly breaks off.
    pub fn fail(&mut self, error: Error) {
        self.answer.fail(&mut self.outlet, &mut self.scratch.date, error);
    }

    /// Ends the response, as far as the handler produced it, and returns its outcome.
    pub fn outcome(self, lingers: bool) -> (Outcome, Option<Vec<u8>>) {
        let H1Respond { answer, mut outlet, scratch } = self;
        let (outcome, lines, out) = answer.outcome(&mut outlet, &mut scratch.date, lingers);
        scratch.out = out;
        (outcome, lines)
    }
}

impl Respond for H1Respond<'_> {
    fn head(&mut self, head: &ResponseHead, length: Option<u64>) {
        self.answer.head(&mut self.outlet, &mut self.scratch.date, head, length);
    }

    fn stamp(&mut self, name: &str, value: &[u8]) {
        self.answer.stamp(name, value);
    }

    fn inform(&mut self, interim: &ResponseHead) -> Result<(), SendError> {
        let Some(bytes) = self.answer.interim(interim) else { return Ok(()) };
        let sent = self.outlet.channel.link.send_interim(&bytes);
        let noted = self.outlet.note(sent);
        noted.map_err(|gave_up| self.answer.give_up(&self.outlet, gave_up))
    }

    fn head_sent(&self) -> bool {
        self.answer.head_sent()
    }

    fn send(&mut self, chunk: &[u8], flush: Flush) -> Result<(), SendError> {
        self.answer.send(&mut self.outlet, chunk, flush, Source::Borrowed)
    }

    fn send_shared(&mut self, chunk: &[u8], flush: Flush, keep: &mut dyn FnMut() -> Bytes) -> Result<(), SendError> {
        let mut kept = None;
        let mut keep_once = || -> Bytes { kept.get_or_insert_with(&mut *keep).clone() };
        let source = match flush {
            Flush::Later => Source::Shared(&mut keep_once, 0),
            Flush::Now => Source::Piece(&mut keep_once, 0),
        };
        self.answer.send(&mut self.outlet, chunk, flush, source)
    }

    fn send_file(&mut self, file: Arc<File>, offset: u64, bytes: u64) -> Result<(), SendError> {
        self.answer.send_file(&mut self.outlet, file, offset, bytes)
    }

    fn trailers(&mut self, trailers: &ResponseHead) {
        self.answer.trailers(trailers);
    }

    fn finish(&mut self) {
        self.answer.finish(&mut self.outlet);
    }

    fn client_gone(&self) -> bool {
        self.outlet.channel.link.is_gone()
    }
}
