//! Compresses what a handler answers through a `Respond`.

use std::fs::File;
use std::sync::Arc;

use farrier_http::{Bytes, Error, Flush, Request, Respond, ResponseHead, SendError};

use super::Compressor;
use super::answer::{CompressedAnswer, Destination, Producer};

/// A `Respond` around another one.
pub(super) struct Compressing<'a> {
    answer: CompressedAnswer,
    file_bytes_max: u64,
    inner: &'a mut dyn Respond,
}

impl<'a> Compressing<'a> {
    pub(super) fn new(compressor: &Arc<Compressor>, request: &Request, inner: &'a mut dyn Respond) -> Compressing<'a> {
        let file_bytes_max = compressor.rules.file_bytes_max;
        Compressing { answer: CompressedAnswer::new(compressor, Producer::Seat, request), file_bytes_max, inner }
    }

    /// The error in the response, once the handler has returned.
    pub(super) fn end(mut self) -> Result<(), Error> {
        self.answer.take_fault().map_or(Ok(()), Err)
    }
}

impl Respond for Compressing<'_> {
    fn head(&mut self, head: &ResponseHead, length: Option<u64>) {
        self.answer.head(head, length, &mut Behind(self.inner));
    }

    fn stamp(&mut self, name: &str, value: &[u8]) {
        self.inner.stamp(name, value);
    }

    fn inform(&mut self, interim: &ResponseHead) -> Result<(), SendError> {
        self.inner.inform(interim)
    }

    fn head_sent(&self) -> bool {
        self.inner.head_sent()
    }

    fn send(&mut self, chunk: &[u8], flush: Flush) -> Result<(), SendError> {
        if self.answer.is_plain() {
            return self.inner.send(chunk, flush);
        }
        self.answer.give(chunk, flush, &mut Behind(self.inner))
    }

    fn send_shared(&mut self, chunk: &[u8], flush: Flush, keep: &mut dyn FnMut() -> Bytes) -> Result<(), SendError> {
        if self.answer.is_plain() {
            return self.inner.send_shared(chunk, flush, keep);
        }
        self.answer.give(chunk, flush, &mut Behind(self.inner))
    }

    fn send_file(&mut self, file: Arc<File>, offset: u64, bytes: u64) -> Result<(), SendError> {
        if !self.answer.admits_file(bytes, self.file_bytes_max, &mut Behind(self.inner)) {
            return self.inner.send_file(file, offset, bytes);
        }
        self.answer.give_file(&file, offset, bytes, &mut Behind(self.inner))
    }

    fn trailers(&mut self, trailers: &ResponseHead) {
        self.inner.trailers(trailers);
    }

    fn finish(&mut self) {
        self.answer.finish(&mut Behind(self.inner));
    }

    fn client_gone(&self) -> bool {
        self.inner.client_gone()
    }
}

/// The `Respond` behind the encoder.
struct Behind<'a>(&'a mut dyn Respond);

impl Destination for Behind<'_> {
    fn head(&mut self, head: &ResponseHead, length: Option<u64>) {
        self.0.head(head, length);
    }

    fn head_sent(&self) -> bool {
        self.0.head_sent()
    }

    fn content(&mut self, piece: &[u8], flush: Flush) -> Result<(), SendError> {
        self.0.send_shared(piece, flush, &mut || Bytes::copy_from_slice(piece))
    }

    fn finish(&mut self) {
        self.0.finish();
    }
}
