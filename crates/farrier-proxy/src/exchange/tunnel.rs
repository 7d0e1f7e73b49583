//! A request that has switched protocols: bytes go both ways until both sides have ended (RFC 9110 §7.8).
//!
//! The end of one direction is passed on as such, and the other direction goes on. An idle tunnel owns no buffer.
//!
//! A worker that ends takes leave of the clients of its tunnels: `leaving`.

use farrier_http::pipe::Popped;
use farrier_http::upstream::UpstreamStream;
use farrier_http::{Accepted, Bytes, ExchangeIo, Next};

use super::leaving::Leaving;
use super::scratch::{READ_BYTES, SCRATCH, TURN_BYTES};
use super::stop::Progress;
use crate::group::Lease;
use crate::mount::TunnelPolicy;
use crate::websocket_frames::{FrameFollower, GOING_AWAY};

/// A tunnel.
pub(super) struct Tunnel {
    stream: Box<dyn UpstreamStream>,
    /// The server counts it as long as it lives.
    _lease: Lease,
    /// Bytes of the server that the client does not take yet.
    to_client: Vec<u8>,
    /// Bytes of the client that the server does not take yet.
    to_server: Bytes,
    from_client: Way,
    from_server: Way,
    /// When bytes came last, in ms.
    moved_ms: u64,
    /// When the first direction ended, in ms.
    ended_ms: Option<u64>,
    began_ms: u64,
    /// The frames of both directions, if it is a WebSocket.
    frames: Option<Box<Frames>>,
    /// The worker ends.
    leaving: Option<Leaving>,
    /// The direction to the client has ended before that of the server: what the server still sends is dropped.
    is_cut: bool,
}

/// The frames of both directions.
#[derive(Default)]
struct Frames {
    to_client: FrameFollower,
    to_server: FrameFollower,
}

/// How far one direction has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// Its sender has ended. What came before is still on its way.
    Ending,
    /// The receiver knows.
    Ended,
}

/// The tunnel broke: nothing more can be passed on.
struct Broken;

impl Tunnel {
    /// `rest` are bytes of the server's that came behind its head.
    pub(super) fn new(
        stream: Box<dyn UpstreamStream>,
        lease: Lease,
        rest: Vec<u8>,
        is_websocket: bool,
        now_ms: u64,
    ) -> Tunnel {
        Tunnel {
            frames: is_websocket.then(Box::default),
            leaving: None,
            is_cut: false,
            stream,
            _lease: lease,
            to_client: rest,
            to_server: Bytes::new(),
            from_client: Way::Open,
            from_server: Way::Open,
            moved_ms: now_ms,
            ended_ms: None,
            began_ms: now_ms,
        }
    }

    /// The worker ends; it has begun to at this time.
    pub(super) fn leave(&mut self, since_ms: u64, policy: &TunnelPolicy) {
        self.leaving.get_or_insert_with(|| Leaving::begin(since_ms, policy.drain_ms));
    }

    /// Whether the client is to get a Close frame: at the next border of frames, unless one side has begun to close.
    fn is_to_close(&self, now_ms: u64) -> bool {
        let is_due = self.leaving.as_ref().is_some_and(|leaving| leaving.close_ms() <= now_ms);
        let is_open = self.from_server == Way::Open
            && self
                .frames
                .as_ref()
                .is_some_and(|frames| !frames.to_client.has_close() && !frames.to_server.has_close());
        is_due && is_open
    }

    /// Moves bytes both ways as far as it goes now.
    pub(super) fn step(&mut self, is_sink_full: &mut bool, now_ms: u64, io: &mut ExchangeIo<'_>) -> Progress {
        let mut turn = 0;
        let moved = self.send(now_ms, &mut turn, io).and_then(|()| self.receive(is_sink_full, now_ms, &mut turn, io));
        if moved.is_err() || (self.from_client == Way::Ended && self.from_server == Way::Ended && !self.is_cut) {
            io.answer.end();
            return Progress::Done;
        }
        if self.ended_ms.is_none() && (self.from_client == Way::Ended || self.from_server == Way::Ended) {
            self.ended_ms = Some(now_ms);
        }
        if turn >= TURN_BYTES { Progress::StoppedEarly } else { Progress::Waits }
    }

    /// From the client to the server.
    ///
    /// # Errors
    /// The client's content failed.
    fn send(&mut self, now_ms: u64, turn: &mut usize, io: &mut ExchangeIo<'_>) -> Result<(), Broken> {
        loop {
            if self.to_server.is_empty() {
                if self.from_client == Way::Ending {
                    self.stream.end_sending();
                    self.from_client = Way::Ended;
                }
                if self.from_client == Way::Ended || *turn >= TURN_BYTES {
                    return Ok(());
                }
                match io.content.pop(READ_BYTES) {
                    Popped::Piece(piece) => {
                        if let Some(frames) = &mut self.frames {
                            frames.to_server.follow(&piece, false);
                        }
                        self.to_server = piece;
                    }
                    Popped::Nothing => return Ok(()),
                    Popped::End => {
                        self.from_client = Way::Ending;
                        continue;
                    }
                    Popped::Failed(_) => return Err(Broken),
                }
            }
            let Ok(sent) = self.stream.send(&[&self.to_server], false) else {
                // The server has closed. What it sent before is still read, and then its end.
                self.to_server = Bytes::new();
                self.from_client = Way::Ended;
                return Ok(());
            };
            if sent > 0 {
                self.moved_ms = now_ms;
                *turn += sent;
            }
            let is_whole = sent == self.to_server.len();
            self.to_server = if is_whole { Bytes::new() } else { self.to_server.slice(sent..) };
            if !is_whole {
                return Ok(());
            }
        }
    }

    /// From the server to the client.
    fn receive(
        &mut self,
        is_sink_full: &mut bool,
        now_ms: u64,
        turn: &mut usize,
        io: &mut ExchangeIo<'_>,
    ) -> Result<(), Broken> {
        let is_to_close = self.is_to_close(now_ms);
        loop {
            if *is_sink_full {
                return Ok(());
            }
            if !self.to_client.is_empty() {
                let piece = std::mem::take(&mut self.to_client);
                self.pass(&piece, is_to_close, is_sink_full, io)?;
                continue;
            }
            let is_at_border = self.frames.as_ref().is_some_and(|frames| frames.to_client.is_at_border());
            if is_at_border && self.is_to_close(now_ms) {
                (self.from_server, self.is_cut) = (Way::Ending, true);
                give(&GOING_AWAY, is_sink_full, io)?;
                continue;
            }
            match self.from_server {
                Way::Open => {}
                Way::Ending => {
                    if !io.answer.end_direction() {
                        // It is tried again when the client has taken what waits.
                        *is_sink_full = true;
                        return Ok(());
                    }
                    self.from_server = Way::Ended;
                }
                Way::Ended => {}
            }
            if self.from_server == Way::Ended && !self.is_cut {
                return Ok(());
            }
            if *turn >= TURN_BYTES {
                return Ok(());
            }
            let received = SCRATCH.with_borrow_mut(|scratch| {
                if scratch.inbox.is_empty() {
                    scratch.inbox.resize(2 * READ_BYTES, 0);
                }
                match self.stream.receive(&mut scratch.inbox[..READ_BYTES]) {
                    Ok(Some(count)) if count > 0 => {
                        if !self.is_cut {
                            self.pass(&scratch.inbox[..count], is_to_close, is_sink_full, io)?;
                        }
                        Ok(Some(count))
                    }
                    Ok(received) => Ok(received),
                    Err(_) => Err(Broken),
                }
            })?;
            match received {
                None => return Ok(()),
                Some(0) if self.is_cut => self.is_cut = false,
                Some(0) => self.from_server = Way::Ending,
                Some(count) => {
                    self.moved_ms = now_ms;
                    *turn += count;
                }
            }
        }
    }

    /// Gives the client bytes of the server. If a Close frame is to follow, what comes behind the border is dropped.
    fn pass(
        &mut self,
        piece: &[u8],
        is_to_close: bool,
        is_sink_full: &mut bool,
        io: &mut ExchangeIo<'_>,
    ) -> Result<(), Broken> {
        let end = match &mut self.frames {
            Some(frames) => frames.to_client.follow(piece, is_to_close),
            None => piece.len(),
        };
        if end > 0 { give(&piece[..end], is_sink_full, io) } else { Ok(()) }
    }

    /// When it is over even if nothing happens, in ms.
    pub(super) fn deadline_ms(&self, policy: &TunnelPolicy) -> u64 {
        let idle_ms = self.moved_ms.saturating_add(policy.idle_ms);
        let whole_ms = if policy.max_ms == 0 { u64::MAX } else { self.began_ms.saturating_add(policy.max_ms) };
        let fin_ms = self.ended_ms.map_or(u64::MAX, |at_ms| at_ms.saturating_add(policy.fin_ms));
        let leaving_ms = self.leaving.as_ref().map_or(u64::MAX, Leaving::end_ms);
        idle_ms.min(whole_ms).min(fin_ms).min(leaving_ms)
    }

    /// What it waits for.
    pub(super) fn next(&self, policy: &TunnelPolicy, now_ms: u64) -> Next {
        let close_ms = self.leaving.as_ref().map(Leaving::close_ms).filter(|&close_ms| close_ms > now_ms);
        Next::WaitUntil(self.deadline_ms(policy).min(close_ms.unwrap_or(u64::MAX)))
    }
}

fn give(piece: &[u8], is_sink_full: &mut bool, io: &mut ExchangeIo<'_>) -> Result<(), Broken> {
    match io.answer.lend(piece) {
        Accepted::Room => Ok(()),
        Accepted::Full => {
            *is_sink_full = true;
            Ok(())
        }
        Accepted::End | Accepted::Gone => Err(Broken),
    }
}
