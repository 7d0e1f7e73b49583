//! Compresses what an exchange answers. It runs on the leader's thread, so each step encodes a limited amount.

use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use farrier_http::{Accepted, AnswerFilter, AnswerSink, Bytes, Flush, Request, ResponseHead, SendError, Stepped};

use super::Compressor;
use super::answer::{CompressedAnswer, Destination};

/// The most answers of exchanges that one worker compresses at a time. An encoder takes up to a few MiB, and many more
/// exchanges than seats can be open. Further answers are sent unencoded.
const ANSWERS_MAX: usize = 64;

/// The content that one step of an exchange may have encoded before others get their turn.
const STEP_BYTES_MAX: usize = 128 * 1024;

/// The filter of one answer.
pub(super) struct CompressingFilter {
    answer: CompressedAnswer,
    compressor: Arc<Compressor>,
    permit: Option<Permit>,
    /// Content that this step has encoded.
    step_bytes: usize,
    is_stopped_early: bool,
}

impl CompressingFilter {
    /// The filter of the answer to this request.
    pub(super) fn new(compressor: &Arc<Compressor>, request: &Request) -> CompressingFilter {
        CompressingFilter {
            answer: CompressedAnswer::new(compressor, request),
            compressor: Arc::clone(compressor),
            permit: None,
            step_bytes: 0,
            is_stopped_early: false,
        }
    }

    /// What came of content, after the answer has done what it can.
    fn settle(&mut self, given: Result<(), SendError>, behind: Behind<'_>) -> Accepted {
        let Behind { next, accepted } = behind;
        self.settle_permit();
        if self.abort_if_broken(next) {
            return Accepted::Gone;
        }
        match (given, accepted) {
            (Err(SendError::Full), _) => Accepted::End,
            (Err(SendError::Gone), _) | (Ok(()), Accepted::Gone) => Accepted::Gone,
            (Ok(()), Accepted::Room | Accepted::End) if next.room_bytes() > 0 => {
                if self.step_bytes < STEP_BYTES_MAX {
                    return Accepted::Room;
                }
                self.is_stopped_early = true;
                Accepted::Full
            }
            (Ok(()), _) => Accepted::Full,
        }
    }

    fn abort_if_broken(&mut self, next: &mut dyn AnswerSink) -> bool {
        if self.answer.is_broken()
            && let Some(error) = self.answer.take_fault()
        {
            next.abort(error);
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
        self.step_bytes += piece.len();
        let mut behind = Behind::new(next);
        let given = self.answer.give(&piece, Flush::Later, &mut behind);
        self.settle(given, behind)
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
        let mut behind = Behind::new(next);
        // A file that begins the content is not compressed, since reading it here could wait for the disk.
        if !self.answer.admits_file(bytes, 0, &mut behind) {
            self.settle_permit();
            self.answer.note_plain_content();
            return next.file(file, offset, bytes);
        }
        let given = self.answer.give_file(&file, offset, bytes, &mut behind);
        self.step_bytes = self.step_bytes.saturating_add(usize::try_from(bytes).unwrap_or(usize::MAX));
        self.settle(given, behind)
    }

    fn end(&mut self, _: &Request, next: &mut dyn AnswerSink) {
        self.answer.finish(&mut Behind::new(next));
        self.settle_permit();
        self.abort_if_broken(next);
    }

    fn step_ended(&mut self, next: &mut dyn AnswerSink) -> Stepped {
        self.step_bytes = 0;
        if std::mem::take(&mut self.is_stopped_early) {
            // More content is at hand.
            return Stepped::StoppedEarly;
        }
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
