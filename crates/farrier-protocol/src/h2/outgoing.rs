//! Data of a stream that flow control does not admit yet: bytes, stretches of files, and how the response ends.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Buf, Bytes};
use h2::Reason;
use http::HeaderMap;

use crate::h2::piece::{Meter, Piece, Unsent};
use farrier_transport::file_stretch::{self, ColdStretch, FileStretch};
use farrier_transport::spill::Spilled;

/// Size up to which small pieces are gathered: a frame's usual limit.
const GATHERED_BYTES_MAX: usize = 16 * 1024;

/// An entry of a stream's queue.
pub enum Stretch {
    /// Bytes in memory.
    Bytes(Piece),
    /// A part of a file that a handler has named.
    File(FileStretch),
    /// Bytes that did not fit in memory. The meter counts them as it counts bytes.
    Spilled(Spilled, Unsent),
}

impl Stretch {
    fn in_memory(&self) -> Option<&Piece> {
        match self {
            Stretch::Bytes(piece) => Some(piece),
            Stretch::File(_) | Stretch::Spilled(..) => None,
        }
    }
}

/// How a response ends behind its content.
pub enum End {
    /// Normally.
    Frame,
    /// With trailers.
    Trailers(HeaderMap),
    /// Broken off, so that the client notices, once earlier data is written: a reset at once would overtake that data.
    Reset(Reason),
}

/// The queue of one stream.
#[derive(Default)]
pub struct Outgoing {
    stretches: VecDeque<Stretch>,
    pub(crate) end: Option<End>,
    /// The disk is being read for it.
    is_fetching: bool,
}

/// The next thing to send.
pub enum Next {
    /// A piece to be sent now.
    Piece(Piece),
    /// The next bytes must be read from the disk; [`Outgoing::fetched`] follows.
    Cold(ColdStretch),
}

impl Outgoing {
    /// Nothing waits, not even the end.
    pub fn is_empty(&self) -> bool {
        self.stretches.is_empty() && self.end.is_none()
    }

    pub(crate) fn push(&mut self, stretch: Stretch) {
        self.stretches.push_back(stretch);
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        *self = Outgoing::default();
    }

    /// The missing bytes are in memory now.
    pub fn fetched(&mut self) {
        self.is_fetching = false;
    }

    /// Bytes that can be taken next, as far as any caller needs; `None` if there are none. 0 while the disk is read.
    pub fn next_bytes(&self) -> Option<usize> {
        let bytes = match self.stretches.front()? {
            _ if self.is_fetching => 0,
            Stretch::Bytes(piece) if piece.remaining() >= GATHERED_BYTES_MAX => piece.remaining(),
            Stretch::Bytes(_) => self.stretches.iter().take(64).map_while(Stretch::in_memory).map(Buf::remaining).sum(),
            Stretch::File(file) | Stretch::Spilled(Spilled { stretch: file, .. }, _) => file.left_bytes(),
        };
        Some(bytes)
    }

    /// The end, if nothing waits before it.
    pub fn take_end(&mut self) -> Option<End> {
        if self.stretches.is_empty() { self.end.take() } else { None }
    }

    /// Whether the response ends with no more than a last frame, once the queue is empty.
    pub fn ends_with_last_piece(&self) -> bool {
        self.stretches.is_empty() && matches!(self.end, Some(End::Frame))
    }

    /// The next piece, of at most so many bytes.
    ///
    /// # Errors
    /// A file shrank or was changed: the message must not look complete.
    pub fn take(&mut self, bytes_max: usize, meter: &Arc<Meter>) -> std::io::Result<Option<Next>> {
        let (piece, left_bytes) = match self.stretches.front_mut() {
            None => return Ok(None),
            Some(Stretch::Bytes(piece)) => {
                let first = piece.split_to(bytes_max);
                let left_bytes = piece.remaining();
                if left_bytes == 0 && first.remaining() < bytes_max {
                    self.stretches.pop_front();
                    return Ok(Some(Next::Piece(self.gather(first, bytes_max))));
                }
                (first, left_bytes)
            }
            Some(Stretch::File(file) | Stretch::Spilled(Spilled { stretch: file, .. }, _)) => {
                let mut bytes = vec![0; bytes_max.min(file.left_bytes())];
                match file.read_next(&mut bytes)? {
                    file_stretch::Piece::Bytes(count) => bytes.truncate(count),
                    file_stretch::Piece::Cold => {
                        self.is_fetching = true;
                        return Ok(Some(Next::Cold(file.take_cold())));
                    }
                }
                let (count, left_bytes) = (bytes.len() as u64, file.left_bytes());
                let unsent = match self.stretches.front_mut() {
                    Some(Stretch::Spilled(_, unsent)) => unsent.split_to(count),
                    _ => Unsent::new(meter, count),
                };
                (Piece::new(Bytes::from(bytes), unsent), left_bytes)
            }
        };
        if left_bytes == 0 {
            self.stretches.pop_front();
        }
        if self.stretches.is_empty() {
            self.stretches = VecDeque::new();
        }
        Ok(Some(Next::Piece(piece)))
    }

    /// Adds the data behind a small piece. Otherwise a client that grants only what it has received would get ever
    /// smaller frames.
    fn gather(&mut self, first: Piece, bytes_max: usize) -> Piece {
        let bytes_max = bytes_max.min(GATHERED_BYTES_MAX);
        let mut gathered = first;
        while gathered.remaining() < bytes_max
            && let Some(Stretch::Bytes(piece)) = self.stretches.front_mut()
        {
            let next = piece.split_to(bytes_max - gathered.remaining());
            gathered = gathered.join(next);
            if piece.remaining() == 0 {
                self.stretches.pop_front();
            }
        }
        gathered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(meter: &Arc<Meter>, content: &'static [u8]) -> Stretch {
        Stretch::Bytes(Piece::new(Bytes::from_static(content), Unsent::new(meter, content.len() as u64)))
    }

    fn taken(outgoing: &mut Outgoing, bytes_max: usize, meter: &Arc<Meter>) -> Vec<u8> {
        match outgoing.take(bytes_max, meter).expect("no file") {
            Some(Next::Piece(piece)) => piece.chunk().to_vec(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn small_pieces_are_gathered_and_large_ones_are_split() {
        let meter = Arc::new(Meter::default());
        let mut outgoing = Outgoing::default();
        for content in [&b"one"[..], b"two", b"three"] {
            outgoing.push(bytes(&meter, content));
        }
        outgoing.end = Some(End::Frame);
        assert_eq!((outgoing.next_bytes(), outgoing.is_empty()), (Some(11), false));
        assert_eq!(taken(&mut outgoing, 2, &meter), b"on");
        assert!(outgoing.take_end().is_none() && !outgoing.ends_with_last_piece());
        assert_eq!(taken(&mut outgoing, 5, &meter), b"etwot");
        assert_eq!(meter.unsent_bytes(), 4);
        assert_eq!(taken(&mut outgoing, 100, &meter), b"hree");
        assert!(outgoing.ends_with_last_piece() && outgoing.next_bytes().is_none());
        assert!(outgoing.take_end().is_some() && outgoing.is_empty());
        assert_eq!(meter.unsent_bytes(), 0);
    }

    #[test]
    fn a_file_is_read_in_its_turn_and_what_is_dropped_is_not_unsent() {
        use std::io::Write;
        let meter = Arc::new(Meter::default());
        let mut file = farrier_transport::nameless_file::create(&std::env::temp_dir()).expect("takes files");
        file.write_all(b"file").expect("writes");
        let mut outgoing = Outgoing::default();
        outgoing.push(bytes(&meter, b"before"));
        outgoing.push(Stretch::File(FileStretch::new(Arc::new(file), 0, 4, false).expect("a file")));
        outgoing.push(bytes(&meter, b"behind"));
        assert_eq!(meter.unsent_bytes(), 12);
        assert_eq!(taken(&mut outgoing, 100, &meter), b"before");
        assert_eq!(outgoing.next_bytes(), Some(4));
        assert_eq!(taken(&mut outgoing, 3, &meter), b"fil");
        assert_eq!(taken(&mut outgoing, 3, &meter), b"e");
        outgoing.clear();
        assert_eq!((meter.unsent_bytes(), outgoing.is_empty()), (0, true));
    }
}
