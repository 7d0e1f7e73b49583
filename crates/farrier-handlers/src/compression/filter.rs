//! Compresses what an exchange answers. It runs on the leader's thread, so each step encodes a limited amount.

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use farrier_http::{Accepted, AnswerFilter, AnswerSink, Bytes, Flush, Request, ResponseHead, SendError, Stepped};

use super::Compressor;
use super::answer::{CompressedAnswer, Destination, Producer};

/// The most answers of exchanges that one worker compresses at a time. An encoder takes up to a few MiB, and many more
/// exchanges than seats can be open. Further answers are sent unencoded.
const ANSWERS_MAX: usize = 64;

/// The content that one step of an exchange may have encoded before others get their turn. At the levels of exchanges that
/// takes a few milliseconds at most.
const STEP_BYTES_MAX: usize = 64 * 1024;

/// The filter of one answer.
pub(super) struct CompressingFilter {
    answer: CompressedAnswer,
    compressor: Arc<Compressor>,
    permit: Option<Permit>,
    /// Content that waits to be encoded in a later step.
    held: VecDeque<Held>,
    /// The exchange has ended the answer. The end follows the held content.
    has_ended: bool,
    /// Content that this step has encoded.
    step_bytes: usize,
    is_stopped_early: bool,
}

/// A piece of content that is not encoded yet.
enum Held {
    Bytes(Bytes),
    File(Arc<File>, Range<u64>),
}

impl CompressingFilter {
    /// The filter of the answer to this request.
    pub(super) fn new(compressor: &Arc<Compressor>, request: &Request) -> CompressingFilter {
        CompressingFilter {
            answer: CompressedAnswer::new(compressor, Producer::Exchange, request),
            compressor: Arc::clone(compressor),
            permit: None,
            held: VecDeque::new(),
            has_ended: false,
            step_bytes: 0,
            is_stopped_early: false,
        }
    }

    /// Takes one more piece of content.
    fn take(&mut self, piece: Held, next: &mut dyn AnswerSink) -> Accepted {
        if self.has_ended {
            return Accepted::End;
        }
        self.held.push_back(piece);
        self.go_on(next)
    }

    /// Encodes held content, as much as this step may and `next` has room for.
    fn go_on(&mut self, next: &mut dyn AnswerSink) -> Accepted {
        let mut behind = Behind::new(next);
        let mut given = Ok(());
        while given.is_ok() && self.step_bytes < STEP_BYTES_MAX && behind.next.room_bytes() > 0 {
            given = match self.held.pop_front() {
                None => break,
                Some(Held::Bytes(mut bytes)) => {
                    let slice = bytes.split_to(bytes.len().min(STEP_BYTES_MAX - self.step_bytes));
                    if !bytes.is_empty() {
                        self.held.push_front(Held::Bytes(bytes));
                    }
                    self.step_bytes += slice.len();
                    self.answer.give(&slice, Flush::Later, &mut behind)
                }
                Some(Held::File(file, Range { start, end })) => {
                    let bytes = (end - start).min((STEP_BYTES_MAX - self.step_bytes) as u64);
                    if start + bytes < end {
                        self.held.push_front(Held::File(Arc::clone(&file), start + bytes..end));
                    }
                    self.step_bytes += bytes as usize;
                    self.answer.give_file(&file, start, bytes, &mut behind)
                }
            };
        }
        self.settle(given, behind)
    }

    /// What came of content, after the answer has done what it can.
    fn settle(&mut self, given: Result<(), SendError>, behind: Behind<'_>) -> Accepted {
        let Behind { next, accepted } = behind;
        self.settle_permit();
        if given.is_err() || accepted == Accepted::Gone {
            self.held.clear();
        }
        if self.abort_if_broken(next) {
            return Accepted::Gone;
        }
        if given.is_err()
            && let Some(fault) = self.answer.take_fault()
        {
            next.note(fault);
        }
        let has_room = next.room_bytes() > 0;
        match (given, accepted) {
            (Err(SendError::Full), _) => Accepted::End,
            (Err(SendError::Gone), _) | (Ok(()), Accepted::Gone) => Accepted::Gone,
            (Ok(()), _) if has_room && self.held.is_empty() && self.step_bytes < STEP_BYTES_MAX => Accepted::Room,
            (Ok(()), _) => {
                self.is_stopped_early = has_room;
                Accepted::Full
            }
        }
    }

    fn finish(&mut self, next: &mut dyn AnswerSink) {
        self.answer.finish(&mut Behind::new(next));
        self.settle_permit();
        self.abort_if_broken(next);
    }

    fn abort_if_broken(&mut self, next: &mut dyn AnswerSink) -> bool {
        if self.answer.is_broken() {
            self.held.clear();
            if let Some(error) = self.answer.take_fault() {
                next.abort(error);
            }
        }
        self.answer.is_broken()
    }

    /// An answer that has no encoder leaves its place to another one.
    fn settle_permit(&mut self) {
        if !self.answer.has_encoder() {
            self.permit = None;
        }
    }
}

impl AnswerFilter for CompressingFilter {
    fn head(&mut self, head: &ResponseHead, length: Option<u64>, next: &mut dyn AnswerSink) {
        if !self.answer.has_left() {
            // It belongs to the head that is replaced.
            self.held.clear();
            self.has_ended = false;
        }
        if self.answer.may_encode() && self.permit.is_none() {
            self.permit = Permit::take(&self.compressor);
            if self.permit.is_none() {
                self.answer.decline();
            }
        }
        self.answer.head(head, length, &mut Behind::new(next));
        self.settle_permit();
        self.abort_if_broken(next);
    }

    fn data(&mut self, piece: Bytes, next: &mut dyn AnswerSink) -> Accepted {
        if self.answer.is_plain() {
            if !piece.is_empty() {
                self.answer.note_plain_content();
            }
            return next.data(piece);
        }
        self.take(Held::Bytes(piece), next)
    }

    fn lend(&mut self, piece: &[u8], next: &mut dyn AnswerSink) -> Accepted {
        if !self.answer.is_plain() {
            return self.data(Bytes::copy_from_slice(piece), next);
        }
        if !piece.is_empty() {
            self.answer.note_plain_content();
        }
        next.lend(piece)
    }

    fn file(&mut self, file: Arc<File>, offset: u64, bytes: u64, next: &mut dyn AnswerSink) -> Accepted {
        // A file that begins the content is not compressed, since reading it here could wait for the disk.
        if self.held.is_empty() && !self.answer.admits_file(bytes, 0, &mut Behind::new(next)) {
            self.settle_permit();
            self.answer.note_plain_content();
            return next.file(file, offset, bytes);
        }
        self.take(Held::File(file, offset..offset.saturating_add(bytes)), next)
    }

    fn end(&mut self, _: &Request, next: &mut dyn AnswerSink) {
        if self.held.is_empty() {
            self.finish(next);
        } else {
            self.has_ended = true;
        }
    }

    fn holds_back(&self) -> bool {
        !self.held.is_empty()
    }

    fn step_ended(&mut self, next: &mut dyn AnswerSink) -> Stepped {
        if std::mem::take(&mut self.is_stopped_early) {
            self.step_bytes = 0;
            // More content is at hand.
            return Stepped::StoppedEarly;
        }
        if !self.held.is_empty() {
            self.go_on(next);
            (self.step_bytes, self.is_stopped_early) = (0, false);
            if self.held.is_empty() && std::mem::take(&mut self.has_ended) {
                self.finish(next);
                return Stepped::Waits;
            }
            return Stepped::StoppedEarly;
        }
        self.step_bytes = 0;
        // A client that takes nothing gains nothing from a flush. It comes with the room.
        if next.room_bytes() > 0 {
            let flushed = self.answer.flush(&mut Behind::new(next));
            if flushed.is_err() {
                self.abort_if_broken(next);
            }
        }
        Stepped::Waits
    }
}

/// The sink behind the encoder.
struct Behind<'a> {
    next: &'a mut dyn AnswerSink,
    /// What it said of the last piece.
    accepted: Accepted,
}

impl<'a> Behind<'a> {
    fn new(next: &'a mut dyn AnswerSink) -> Behind<'a> {
        Behind { next, accepted: Accepted::Room }
    }
}

impl Destination for Behind<'_> {
    fn head(&mut self, head: &ResponseHead, length: Option<u64>) {
        self.next.head(head, length);
    }

    fn head_sent(&self) -> bool {
        false
    }

    fn content(&mut self, piece: &[u8], _: Flush) -> Result<(), SendError> {
        self.accepted = self.next.data(Bytes::copy_from_slice(piece));
        if self.accepted == Accepted::Gone { Err(SendError::Gone) } else { Ok(()) }
    }

    fn finish(&mut self) {
        self.next.end();
    }
}

/// The place of one answer among those that are compressed at a time.
struct Permit(Arc<Compressor>);

impl Permit {
    fn take(compressor: &Arc<Compressor>) -> Option<Permit> {
        let taken: &AtomicUsize = &compressor.exchanges;
        let more = |count| (count < ANSWERS_MAX).then_some(count + 1);
        taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Permit(Arc::clone(compressor)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.exchanges.fetch_sub(1, Ordering::Relaxed);
    }
}
