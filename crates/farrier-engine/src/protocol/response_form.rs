//! What a response looks like on the wire besides HTTP/1.1: bare behind uwsgi, in records behind FastCGI.

use farrier_http::wire::fastcgi::encode::{self, EndStatus, HEADER_BYTES, RECORD_BYTES_MAX};
use farrier_http::wire::h1::ResponseFraming;
use farrier_http::{Error, Kind, ResponseHead, Via};

/// The form of a response.
pub(crate) enum ResponseForm {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 without a transfer coding and without what the web server adds itself.
    Uwsgi,
    /// The same as a CGI program writes it, in records.
    FastCgi(Stdout),
}

impl ResponseForm {
    /// The form in which a request wants its answer.
    pub(crate) fn of(via: Via) -> ResponseForm {
        match via {
            Via::Http => ResponseForm::Http,
            Via::Uwsgi => ResponseForm::Uwsgi,
            Via::FastCgi(id) => ResponseForm::FastCgi(Stdout { id, record: None, status: EndStatus::Complete }),
        }
    }

    /// Takes note of why an answer is none of the handler's.
    pub(crate) fn note(&mut self, error: &Error) {
        if let ResponseForm::FastCgi(stdout) = self
            && matches!(error.kind, Kind::Overloaded | Kind::Stopping)
        {
            stdout.status = EndStatus::Overloaded;
        }
    }
}

/// The stream of a FastCGI response.
pub(crate) struct Stdout {
    id: u16,
    /// Where a staged record begins that may take more.
    record: Option<usize>,
    status: EndStatus,
}

impl Stdout {
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
