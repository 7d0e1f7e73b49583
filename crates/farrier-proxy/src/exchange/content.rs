//! The content of a request on its way to a server: taken from the pipe, framed, and kept for another attempt as long as it
//! is small.

use std::collections::VecDeque;

use farrier_http::pipe::{PipeDrain, Popped};
use farrier_http::{Bytes, Error};

use super::wire::Framing;

/// Content up to this size is kept, so that it can be sent again.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// Content that is taken from the pipe at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// A request's content, and what has been sent of it.
#[derive(Default)]
pub(super) struct Outgoing {
    /// Its length; `None` if it is sent in chunks.
    pub(super) length: Option<u64>,
    /// What was taken from the pipe, from the beginning on.
    kept: VecDeque<Bytes>,
    kept_bytes: usize,
    /// The next piece of `kept` that is to be sent.
    next: usize,
    /// The beginning is no longer kept.
    is_dropped: bool,
    /// The pipe has ended.
    has_ended: bool,
    /// Bytes before the piece: the rest of the head, and the framing.
    pub(super) before: Vec<u8>,
    pub(super) before_sent: usize,
    /// What is being sent.
    pub(super) piece: Bytes,
    /// Bytes behind the piece that belong to its framing.
    pub(super) after: &'static [u8],
    /// All of it is in `before` and `piece`, or was sent.
    pub(super) is_taken: bool,
    /// How long the client was waited for, in ms.
    pub(super) awaited_ms: u64,
    /// How it is framed.
    pub(super) framing: Framing,
    /// What is left of a piece that was too large for one frame.
    later: Bytes,
}

impl Outgoing {
    /// The content has this length, if it is known.
    pub(super) fn begin(&mut self, length: Option<u64>) {
        self.length = length;
        self.has_ended = length == Some(0);
    }

    /// Whether another attempt can send all of it.
    pub(super) fn is_replayable(&self) -> bool {
        !self.is_dropped
    }

    /// The next attempt begins with the first byte.
    pub(super) fn rewind(&mut self) {
        self.next = 0;
        self.before.clear();
        self.before_sent = 0;
        self.piece = Bytes::new();
        self.after = b"";
        self.is_taken = false;
        self.later = Bytes::new();
    }

    /// Puts the next bytes into `before`, `piece` and `after`, which are sent together. False: there are none now.
    ///
    /// # Errors
    /// The content failed.
    pub(super) fn refill(&mut self, content: &PipeDrain) -> Result<bool, Error> {
        if !self.piece.is_empty() || !self.after.is_empty() {
            return Ok(true);
        }
        if self.before_sent == self.before.len() {
            self.before.clear();
            self.before_sent = 0;
        }
        if !self.later.is_empty() {
            let later = std::mem::take(&mut self.later);
            self.begin_piece(later);
            return Ok(true);
        }
        let piece = match self.kept.get(self.next) {
            Some(piece) => {
                self.next += 1;
                Some(piece.clone())
            }
            None if self.has_ended => None,
            None => match content.pop(PIECE_BYTES) {
                Popped::Piece(piece) => {
                    self.keep(&piece);
                    Some(piece)
                }
                Popped::Nothing => return Ok(!self.before.is_empty()),
                Popped::End => {
                    self.has_ended = true;
                    None
                }
                Popped::Failed(error) => return Err(error),
            },
        };
        match piece {
            Some(piece) => {
                self.begin_piece(piece);
                Ok(true)
            }
            None => {
                if !self.is_taken {
                    self.framing.end(&mut self.before);
                }
                self.is_taken = true;
                Ok(!self.before.is_empty())
            }
        }
    }

    fn begin_piece(&mut self, mut piece: Bytes) {
        let bytes = self.framing.begin(&mut self.before, piece.len());
        self.after = self.framing.after();
        if bytes < piece.len() {
            self.later = piece.split_off(bytes);
        }
        self.piece = piece;
    }

    /// Whether it is known that more follows at once: the kernel may wait for it.
    pub(super) fn has_more(&self) -> bool {
        !self.later.is_empty() || self.next < self.kept.len()
    }

    fn keep(&mut self, piece: &Bytes) {
        if self.is_dropped {
            return;
        }
        self.kept_bytes += piece.len();
        if self.kept_bytes > KEPT_BYTES_MAX {
            self.is_dropped = true;
            self.kept.clear();
            self.next = 0;
            return;
        }
        self.kept.push_back(piece.clone());
        self.next += 1;
    }

    /// So many of the bytes were sent.
    pub(super) fn sent(&mut self, bytes: usize) {
        let of_before = bytes.min(self.before.len() - self.before_sent);
        self.before_sent += of_before;
        let of_piece = (bytes - of_before).min(self.piece.len());
        drop(self.piece.split_to(of_piece));
        self.after = self.after.get(bytes - of_before - of_piece..).unwrap_or_default();
    }

    /// Whether everything was sent.
    pub(super) fn is_complete(&self) -> bool {
        let is_all_sent = self.before_sent == self.before.len() && self.piece.is_empty() && self.after.is_empty();
        self.is_taken && is_all_sent && self.later.is_empty()
    }
}
