//! Unsent data of one client, in order: copies, content that is kept by reference, and stretches of files.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, Bytes};
use farrier_http::wire::response_encoder::PieceFraming;

use crate::account::Kept;
use crate::file_stretch::{ColdStretch, FileStretch, Piece, Turn};
use crate::pace::{PaceRules, Progress, TooSlow};
use crate::response_budget::ResponseBudget;
use crate::security::{Security, transmit};
use crate::send_pieces;
use crate::spill::SpillFile;

/// Bytes handled before other connections get their turn.
const TURN_BYTES: usize = 1 << 20;

/// Bytes of a file that are read at a time: what fits into one FastCGI record, and into four TLS records.
const FILE_PIECE_BYTES: usize = if PieceFraming::BYTES_MAX < 65_000 { PieceFraming::BYTES_MAX } else { 65_000 };

/// Sent bytes that may stay at a copy's front before their memory is freed.
const COPY_SENT_MAX: usize = 64 * 1024;

thread_local! {
    /// A piece of a file, and the same piece with its framing.
    static SCRATCH: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// Data that a client has not taken.
#[derive(Default)]
pub struct Rest {
    /// Encrypted bytes from TLS, which are sent first.
    sealed: Vec<u8>,
    /// How many of them have been written.
    sealed_sent: usize,
    queue: VecDeque<Segment>,
    /// Bytes of all copies in the queue.
    copied_bytes: u64,
    /// Bytes in the queue that are kept by reference.
    shared_bytes: u64,
    /// What is counted for copies and encrypted bytes.
    counted: Option<Kept>,
    pause: Pause,
    taken_bytes: u64,
    /// Since when there is unsent data, and what the client has taken since.
    since: Option<(Instant, Progress)>,
}

enum Segment {
    Copy(Vec<u8>, usize),
    /// Counted as long as there is unsent data.
    Shared(Bytes, #[allow(dead_code, reason = "dropping it gives the bytes back")] Kept),
    File(FileSegment),
}

/// A stretch of a file, and how it is sent.
pub struct FileSegment {
    /// The stretch.
    pub stretch: FileStretch,
    /// The framing around each piece of it.
    pub framing: PieceFraming,
    /// Whether the kernel may send it, because its bytes need no processing.
    pub by_kernel: bool,
    /// What is counted for it, if it holds a response that was too large for memory.
    pub on_disk: Option<Arc<SpillFile>>,
}

/// Why the last flush stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pause {
    /// The socket takes no more: an event will report room.
    #[default]
    None,
    /// Other connections get their turn.
    TurnOver,
    /// The next bytes are not in memory.
    Cold,
    /// The next bytes are being brought into memory.
    Fetching,
}

impl Rest {
    /// Keeps encrypted bytes, in front of everything that is not encrypted yet.
    pub fn keep_sealed(&mut self, bytes: &[u8]) {
        self.sealed.extend_from_slice(bytes);
    }

    /// Appends a copy.
    pub fn keep_copy(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.copied_bytes += bytes.len() as u64;
        match self.queue.back_mut() {
            Some(Segment::Copy(last, _)) => last.extend_from_slice(bytes),
            _ => self.queue.push_back(Segment::Copy(bytes.to_vec(), 0)),
        }
    }

    /// Appends content by reference.
    pub fn keep_shared(&mut self, bytes: Bytes, kept: Kept) {
        self.shared_bytes += bytes.len() as u64;
        self.queue.push_back(Segment::Shared(bytes, kept));
    }

    /// Appends a stretch of a file.
    pub fn keep_file(&mut self, segment: FileSegment) {
        self.queue.push_back(Segment::File(segment));
    }

    /// Counts copied bytes, and notes that the client is behind.
    pub fn account(&mut self, budget: &ResponseBudget) {
        let bytes = self.copy_bytes();
        let counted = self.counted.get_or_insert_with(|| budget.keep_nothing());
        match bytes.checked_sub(counted.bytes()) {
            Some(more) => counted.grow(more),
            None => counted.give_back(counted.bytes() - bytes),
        }
        self.since.get_or_insert_with(|| (Instant::now(), Progress::new(0, 0)));
    }

    /// Bytes that wait as copies.
    pub fn copy_bytes(&self) -> u64 {
        (self.sealed.len() - self.sealed_sent) as u64 + self.copied_bytes
    }

    /// Bytes that are kept for the client: copies, content kept by reference, and responses too large for memory.
    pub fn kept_bytes(&self) -> u64 {
        let spilled = self.queue.iter().map(|segment| match segment {
            Segment::File(file) if file.on_disk.is_some() => file.stretch.bytes(),
            _ => 0,
        });
        self.copy_bytes() + self.shared_bytes + spilled.sum::<u64>()
    }

    /// Judges how fast the client is: `Ok` is when to judge again, in ms from now. `None` while it waits for the disk.
    pub fn judge(&mut self, rules: PaceRules) -> Option<Result<u64, TooSlow>> {
        let (began, progress) = self.since.as_mut()?;
        let now_ms = elapsed_ms(*began);
        if matches!(self.pause, Pause::Cold | Pause::Fetching) {
            return None;
        }
        let next_ms = progress.judge(rules, self.taken_bytes, now_ms);
        Some(next_ms.map(|next_ms| rules.look_again_ms().min(next_ms - now_ms)))
    }

    /// Whether the last flush ended so that other connections get their turn: no event will report room.
    pub fn is_turn_over(&self) -> bool {
        self.pause == Pause::TurnOver
    }

    /// Takes what must be read from the disk before more can be sent, unless it is being read already.
    /// [`Rest::fetched`] follows.
    pub fn take_cold(&mut self) -> Option<ColdStretch> {
        if self.pause != Pause::Cold {
            return None;
        }
        let Some(Segment::File(file)) = self.queue.front_mut() else { return None };
        self.pause = Pause::Fetching;
        Some(file.stretch.take_cold())
    }

    /// The missing bytes are in memory now.
    pub fn fetched(&mut self) {
        if self.pause == Pause::Fetching {
            self.pause = Pause::None;
        }
    }

    /// Writes what the socket takes. True when nothing is left.
    ///
    /// # Errors
    /// The client is gone, a file has changed, or TLS cannot go on.
    pub fn flush(&mut self, socket: &OwnedFd, security: &mut Security) -> io::Result<bool> {
        let before = self.taken_bytes;
        let flushed = self.flush_turn(socket, security);
        if self.taken_bytes > before
            && let Some((began, progress)) = &mut self.since
        {
            progress.note(self.taken_bytes, elapsed_ms(*began));
        }
        flushed
    }

    fn flush_turn(&mut self, socket: &OwnedFd, security: &mut Security) -> io::Result<bool> {
        if self.pause != Pause::Fetching {
            self.pause = Pause::None;
        }
        let mut turn_bytes = TURN_BYTES;
        loop {
            if !self.flush_sealed(socket)? {
                return Ok(false);
            }
            let more = self.queue.len() > 1;
            let is_plain = !matches!(security, Security::Session(_));
            let taken = match self.queue.front_mut() {
                None => return Ok(true),
                Some(Segment::File(_)) if self.pause == Pause::Fetching => return Ok(false),
                Some(_) if turn_bytes == 0 => {
                    self.pause = Pause::TurnOver;
                    return Ok(false);
                }
                Some(Segment::File(file)) if file.by_kernel && is_plain => self.send_by_kernel(socket)?,
                Some(Segment::File(_)) => self.read_and_send(socket, security, more)?,
                Some(Segment::Copy(..) | Segment::Shared(..)) => self.send_front(socket, security, turn_bytes, more)?,
            };
            let Some(taken) = taken else { return Ok(false) };
            turn_bytes = turn_bytes.saturating_sub(taken);
        }
    }

    /// Sends more of the bytes at the front. `None`: the socket takes no more now.
    fn send_front(
        &mut self,
        socket: &OwnedFd,
        security: &mut Security,
        turn_bytes: usize,
        more: bool,
    ) -> io::Result<Option<usize>> {
        let bytes = match self.queue.front() {
            Some(Segment::Copy(bytes, sent)) => &bytes[*sent..],
            Some(Segment::Shared(bytes, _)) => &bytes[..],
            Some(Segment::File(_)) | None => return Ok(Some(0)),
        };
        let piece = &bytes[..bytes.len().min(turn_bytes)];
        let taken = transmit(security, socket, &mut self.sealed, &[piece], more)?;
        let (is_full, is_done) = (taken < piece.len(), taken == bytes.len());
        match self.queue.front_mut() {
            Some(Segment::Copy(bytes, sent)) => {
                self.copied_bytes -= taken as u64;
                *sent += taken;
                if !is_done && *sent > COPY_SENT_MAX {
                    bytes.drain(..*sent);
                    *sent = 0;
                }
            }
            Some(Segment::Shared(bytes, _)) => {
                self.shared_bytes -= taken as u64;
                bytes.advance(taken);
            }
            Some(Segment::File(_)) | None => {}
        }
        if is_done {
            self.queue.pop_front();
        }
        self.taken_bytes += taken as u64;
        Ok((!is_full).then_some(taken))
    }

    /// Lets the kernel send more of the file at the front. `None`: it has stopped; `pause` says why if the socket is
    /// not the reason.
    fn send_by_kernel(&mut self, socket: &OwnedFd) -> io::Result<Option<usize>> {
        let Some(Segment::File(file)) = self.queue.front_mut() else { return Ok(None) };
        let before = file.stretch.bytes();
        let turn = file.stretch.send_to(socket);
        let taken = before - file.stretch.bytes();
        self.taken_bytes += taken;
        self.pause = match turn? {
            Turn::Done => {
                self.queue.pop_front();
                return Ok(Some(taken as usize));
            }
            Turn::Over => Pause::TurnOver,
            Turn::Full => Pause::None,
            Turn::Cold => Pause::Cold,
        };
        Ok(None)
    }

    /// Reads a piece of the file at the front, frames it and sends it. `None`: the piece is not in memory, or the
    /// socket takes no more now.
    fn read_and_send(&mut self, socket: &OwnedFd, security: &mut Security, more: bool) -> io::Result<Option<usize>> {
        SCRATCH.with_borrow_mut(|(piece, framed)| {
            let Some(Segment::File(file)) = self.queue.front_mut() else { return Ok(None) };
            piece.resize(FILE_PIECE_BYTES, 0);
            let Piece::Bytes(count) = file.stretch.read_next(piece)? else {
                self.pause = Pause::Cold;
                return Ok(None);
            };
            framed.clear();
            let wire = match file.framing {
                _ if count == 0 => &[],
                PieceFraming::Bare => &piece[..count],
                framing => {
                    framing.encode(framed, &piece[..count]);
                    &framed[..]
                }
            };
            let is_done = file.stretch.bytes() == 0;
            if is_done {
                self.queue.pop_front();
            }
            let taken = transmit(security, socket, &mut self.sealed, &[wire], more || !is_done)?;
            self.taken_bytes += taken as u64;
            if taken == wire.len() {
                return Ok(Some(taken));
            }
            self.copied_bytes += (wire.len() - taken) as u64;
            self.queue.push_front(Segment::Copy(wire[taken..].to_vec(), 0));
            Ok(None)
        })
    }

    /// Writes encrypted bytes as far as the socket takes them. True when none is left.
    fn flush_sealed(&mut self, socket: &OwnedFd) -> io::Result<bool> {
        while self.sealed_sent < self.sealed.len() {
            let sent = send_pieces(socket, &[&self.sealed[self.sealed_sent..]], !self.queue.is_empty())?;
            if sent == 0 {
                return Ok(false);
            }
            self.sealed_sent += sent;
        }
        self.sealed.clear();
        self.sealed_sent = 0;
        Ok(true)
    }
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
