//! Memory that all exchanges of a thread use in turn, and how much they do in one turn.

use std::cell::RefCell;

use farrier_http::ResponseHead;
use farrier_http::wire::client::ResponseReader;

/// Bytes that are read from a server in one turn.
pub(super) const TURN_BYTES: usize = 256 * 1024;

/// Bytes of one read.
pub(super) const READ_BYTES: usize = 64 * 1024;

/// Memory that all exchanges of a thread use in turn.
pub(super) struct Scratch {
    pub(super) inbox: Vec<u8>,
    pub(super) values: Vec<u8>,
    /// The head that is given to the sink, which takes a copy.
    pub(super) head: Option<ResponseHead>,
    /// Readers and buffers of exchanges that are over.
    pub(super) readers: Vec<ResponseReader>,
    pub(super) buffers: Vec<Vec<u8>>,
}

/// Readers and buffers that are kept for the next exchanges.
pub(super) const SPARES_MAX: usize = 64;

/// Buffers above this size are not kept.
pub(super) const SPARE_BYTES_MAX: usize = 8 * 1024;

impl Scratch {
    pub(super) fn take_reader(&mut self) -> ResponseReader {
        self.readers.pop().unwrap_or_default()
    }

    pub(super) fn keep_reader(&mut self, reader: ResponseReader) {
        if self.readers.len() < SPARES_MAX {
            self.readers.push(reader);
        }
    }

    pub(super) fn take_buffer(&mut self) -> Vec<u8> {
        self.buffers.pop().unwrap_or_default()
    }

    pub(super) fn keep_buffer(&mut self, mut buffer: Vec<u8>) {
        if self.buffers.len() < SPARES_MAX && (1..=SPARE_BYTES_MAX).contains(&buffer.capacity()) {
            buffer.clear();
            self.buffers.push(buffer);
        }
    }
}

thread_local! {
    pub(super) static SCRATCH: RefCell<Scratch> = const {
        RefCell::new(Scratch {
            inbox: Vec::new(),
            values: Vec::new(),
            head: None,
            readers: Vec::new(),
            buffers: Vec::new(),
        })
    };
}
