//! The same for an answer whose producer owns it: a filter that drops the content and sends the file at the end.

use std::fs::File;
use std::sync::Arc;

use farrier_http::{Accepted, AnswerFilter, AnswerSink, Bytes, Flush, Request, Respond, ResponseHead, SendError};

use super::{InternalFiles, Looking, Order, order_of};

/// Acts on one answer.
pub(super) struct DivertingFilter {
    files: Arc<InternalFiles>,
    order: Option<Order>,
    /// Whether content was dropped. Then the head can no longer be replaced.
    is_dropped: bool,
}

impl DivertingFilter {
    pub(super) fn new(files: Arc<InternalFiles>) -> DivertingFilter {
        DivertingFilter { files, order: None, is_dropped: false }
    }

    fn drop_content(&mut self) -> Accepted {
        self.is_dropped = true;
        Accepted::End
    }
}

impl AnswerFilter for DivertingFilter {
    fn head(&mut self, head: &ResponseHead, length: Option<u64>, next: &mut dyn AnswerSink) {
        if self.is_dropped {
            return;
        }
        self.order = if head.names_file() { order_of(head) } else { None };
        if self.order.is_none() {
            next.head(head, length);
        }
    }

    fn data(&mut self, piece: Bytes, next: &mut dyn AnswerSink) -> Accepted {
        if self.order.is_some() { self.drop_content() } else { next.data(piece) }
    }

    fn lend(&mut self, piece: &[u8], next: &mut dyn AnswerSink) -> Accepted {
        if self.order.is_some() { self.drop_content() } else { next.lend(piece) }
    }

    fn file(&mut self, file: Arc<File>, offset: u64, bytes: u64, next: &mut dyn AnswerSink) -> Accepted {
        if self.order.is_some() { self.drop_content() } else { next.file(file, offset, bytes) }
    }

    fn trailers(&mut self, trailers: &ResponseHead, next: &mut dyn AnswerSink) {
        // Trailers describe content that is not sent.
        if self.order.is_none() {
            next.trailers(trailers);
        }
    }

    fn end(&mut self, request: &Request, next: &mut dyn AnswerSink) {
        let Some(order) = self.order.take() else { return next.end() };
        // The leader is here. A name that the kernel does not know yet makes it wait for the disk, once.
        let carried = self.files.carry_out(&order, request, &mut SinkRespond { sink: next }, Looking::Here);
        if let Err(error) = carried {
            next.abort(error);
        }
    }
}

/// A response on a sink: a file is taken whole, so nothing waits.
struct SinkRespond<'a> {
    sink: &'a mut dyn AnswerSink,
}

fn sent(accepted: Accepted) -> Result<(), SendError> {
    match accepted {
        Accepted::Room | Accepted::Full => Ok(()),
        Accepted::End => Err(SendError::Full),
        Accepted::Gone => Err(SendError::Gone),
    }
}

impl Respond for SinkRespond<'_> {
    fn head(&mut self, head: &ResponseHead, length: Option<u64>) {
        self.sink.head(head, length);
    }

    fn stamp(&mut self, name: &str, value: &[u8]) {
        self.sink.stamp(name, value);
    }

    fn inform(&mut self, interim: &ResponseHead) -> Result<(), SendError> {
        self.sink.inform(interim);
        Ok(())
    }

    fn head_sent(&self) -> bool {
        false
    }

    fn send(&mut self, chunk: &[u8], _: Flush) -> Result<(), SendError> {
        if chunk.is_empty() { Ok(()) } else { sent(self.sink.data(Bytes::copy_from_slice(chunk))) }
    }

    fn send_file(&mut self, file: Arc<File>, offset: u64, bytes: u64) -> Result<(), SendError> {
        sent(self.sink.file(file, offset, bytes))
    }

    fn finish(&mut self) {
        self.sink.end();
    }

    fn client_gone(&self) -> bool {
        self.sink.is_gone()
    }
}
