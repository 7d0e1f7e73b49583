//! The stream of a FastCGI response: content put into records.

use super::encode::{self, EndStatus, HEADER_BYTES, RECORD_BYTES_MAX};
use crate::response::ResponseHead;
use crate::wire::h1::ResponseFraming;

/// The stream of a FastCGI response.
#[derive(Debug)]
pub(crate) struct Stdout {
    pub(crate) id: u16,
    /// Where a staged record begins that may take more.
    record: Option<usize>,
    pub(crate) status: EndStatus,
}

impl Stdout {
    pub(crate) fn new(id: u16) -> Stdout {
        Stdout { id, record: None, status: EndStatus::Complete }
    }

    /// Stages the head at the beginning of `out`.
    pub(crate) fn head(&mut self, out: &mut Vec<u8>, head: &ResponseHead, framing: ResponseFraming) {
        let start = encode::begin_stdout(out, self.id);
        encode::encode_head(out, head, framing);
        self.record = Some(start);
        if out.len() - start - HEADER_BYTES > RECORD_BYTES_MAX {
            let text = out.split_off(start + HEADER_BYTES);
            out.truncate(start);
            for piece in text.chunks(RECORD_BYTES_MAX) {
                let start = encode::begin_stdout(out, self.id);
                out.extend_from_slice(piece);
                encode::end_record(out, start);
            }
            self.record = None;
        }
    }

    /// Sees to it that a record is open, and gives how much content it can take.
    pub(crate) fn room(&mut self, out: &mut Vec<u8>) -> usize {
        let room = |start: usize, out: &Vec<u8>| RECORD_BYTES_MAX.saturating_sub(out.len() - start - HEADER_BYTES);
        if let Some(start) = self.record {
            match room(start, out) {
                0 => self.close(out, 0),
                bytes => return bytes,
            }
        }
        self.record = Some(encode::begin_stdout(out, self.id));
        RECORD_BYTES_MAX
    }

    /// Ends the open record, if there is one: its content is what is staged, and `more` bytes that follow.
    pub(crate) fn close(&mut self, out: &mut [u8], more: usize) {
        if let Some(start) = self.record.take() {
            encode::end_record_before(out, start, more);
        }
    }

    /// What ends the response.
    pub(crate) fn end(&self, out: &mut Vec<u8>) {
        encode::end_response(out, self.id, self.status);
    }
}
