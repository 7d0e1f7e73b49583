//! The answering side of one stream. The seat that answers it, the leader that sends it, and the watch that answers in
//! place of an overdue call share it.
//!
//! The `h2` crate gets only what flow control admits. All other data waits here, counted, and the leader passes it on
//! as the client's windows open.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::{HeaderMap, Response};

use crate::client_wait::ClientWait;
use crate::h2::exit::{Exit, Fed, Gone, ask};
use crate::h2::outgoing::{End, Stretch};
use crate::h2::piece::{Meter, Piece, Unsent};
use crate::host::Host;
use farrier_transport::account::kept_bytes;
use farrier_transport::file_stretch::FileStretch;
use farrier_transport::link::TakenOver;
use farrier_transport::pace::PaceRules;
use farrier_transport::response_budget::ResponseBudget;
use farrier_transport::spill::Spill;

/// Content in memory is kept in segments of this size, so that sent content frees its memory soon.
const SEGMENT_BYTES: usize = 64 * 1024;

/// Why a stream accepts nothing.
#[derive(Debug)]
pub enum Unsendable {
    /// It was reset, taken over, or its connection is gone.
    Gone,
    /// There is no room for data that its client does not take yet.
    NoRoom(std::io::Error),
}

/// Where content may wait for its client.
#[derive(Clone, Copy)]
pub struct Keeping<'a> {
    pub(crate) budget: &'a ResponseBudget,
    /// Folder of the files for data that does not fit in memory.
    pub directory: &'a Path,
    /// The seat that may wait for the disk meanwhile, if any.
    pub seat: Option<(&'a dyn ClientWait, &'a dyn Host)>,
}

/// Tells a session that one of its streams has something in its queue.
pub struct QueueSignal {
    is_raised: AtomicBool,
    /// The connection's socket takes nothing more for now: data passed to it would wait there uncounted.
    is_full: AtomicBool,
    waker: Waker,
}

impl QueueSignal {
    /// `waker` makes the leader drive the session.
    pub fn new(waker: Waker) -> QueueSignal {
        QueueSignal { is_raised: AtomicBool::new(false), is_full: AtomicBool::new(false), waker }
    }

    /// Whether a stream has queued something since the last call.
    pub fn take(&self) -> bool {
        self.is_raised.load(Ordering::SeqCst) && self.is_raised.swap(false, Ordering::SeqCst)
    }

    /// Notes whether the socket takes anything.
    pub fn set_full(&self, is_full: bool) {
        self.is_full.store(is_full, Ordering::Relaxed);
    }

    fn raise(&self) {
        if !self.is_raised.swap(true, Ordering::SeqCst) {
            self.waker.wake_by_ref();
        }
    }
}

/// One stream's answering side.
pub struct StreamLink {
    exit: Mutex<Exit>,
    /// Separate from the rest: the producer of the response may hold this lock while it waits for the disk, and the
    /// leader must not wait for that.
    spill: Mutex<Spill>,
    pub(crate) meter: Arc<Meter>,
    signal: Arc<QueueSignal>,
    /// Its call runs and is not waited for any more.
    is_given_up: AtomicBool,
}

impl StreamLink {
    /// The side that answers, and who is told when it has something to send.
    pub fn new(respond: SendResponse<Piece>, signal: &Arc<QueueSignal>) -> StreamLink {
        StreamLink {
            exit: Mutex::new(Exit::new(respond)),
            spill: Mutex::default(),
            meter: Arc::default(),
            signal: Arc::clone(signal),
            is_given_up: AtomicBool::new(false),
        }
    }

    /// Sends the head, content in two parts and perhaps the end, as far as they are given. Never waits for the client.
    ///
    /// # Errors
    /// There is no client to answer, or the content cannot be kept.
    pub fn send(
        &self,
        head: Option<Response<()>>,
        first: Vec<u8>,
        then: &[u8],
        end: bool,
        keeping: Keeping<'_>,
    ) -> Result<(), Unsendable> {
        let (mut first, mut then) = (first, then);
        if first.len() + then.len() <= SEGMENT_BYTES {
            first.extend_from_slice(then);
            then = &[];
        }
        {
            let mut exit = self.exit();
            if exit.takes_nothing() {
                return Err(Unsendable::Gone);
            }
            if let Some(head) = head {
                exit.send_head(head, end && first.is_empty() && then.is_empty())?;
            }
            let is_full = self.signal.is_full.load(Ordering::Relaxed);
            if exit.ended || exit.send_at_once(&mut first, then, end, is_full, keeping.budget, &self.meter)? {
                return Ok(());
            }
        }
        let mut stretches = Vec::new();
        self.keep(&first, keeping, &mut stretches).map_err(Unsendable::NoRoom)?;
        self.keep(then, keeping, &mut stretches).map_err(Unsendable::NoRoom)?;
        self.queue(stretches, end.then_some(End::Frame))
    }

    /// Sends content that is shared with its owner, so that it is not copied.
    ///
    /// # Errors
    /// There is no client to answer, or the content cannot be kept.
    pub fn send_shared(&self, content: Bytes, end: bool, keeping: Keeping<'_>) -> Result<(), Unsendable> {
        let mut stretches = Vec::new();
        match keeping.budget.try_keep(content.len() as u64) {
            Some(kept) => {
                let unsent = Unsent::new(&self.meter, content.len() as u64);
                stretches.push(Stretch::Bytes(Piece::new(kept_bytes(content, kept), unsent)));
            }
            None => self.spill(&content, keeping, &mut stretches).map_err(Unsendable::NoRoom)?,
        }
        self.queue(stretches, end.then_some(End::Frame))
    }

    /// Sends trailers, which end the response.
    ///
    /// # Errors
    /// There is no client to answer.
    pub fn send_trailers(&self, trailers: HeaderMap) -> Result<(), Unsendable> {
        self.queue(Vec::new(), Some(End::Trailers(trailers)))
    }

    /// Appends a stretch of a file. It is read as the client takes it.
    ///
    /// # Errors
    /// There is no client to answer.
    pub fn send_file(&self, stretch: FileStretch) -> Result<(), Unsendable> {
        self.queue(vec![Stretch::File(stretch)], None)
    }

    /// Sends an interim response.
    ///
    /// # Errors
    /// There is no client to answer.
    pub fn inform(&self, interim: Response<()>) -> Result<(), Gone> {
        let mut exit = self.exit();
        if exit.is_closed {
            return Err(Gone);
        }
        let respond = exit.respond.as_mut().ok_or(Gone)?;
        ask(|| respond.send_informational(interim))?.map_err(|_| Gone)
    }

    /// Whether the leader has something to send, or must reset the stream.
    pub fn has_rest(&self) -> bool {
        !self.exit().outgoing.is_empty()
    }

    /// The missing bytes are in memory now.
    pub fn fetched(&self) {
        self.exit().outgoing.fetched();
    }

    /// Passes the connection what flow control admits now, at most so many bytes.
    pub fn feed(&self, bytes_max: usize) -> Fed {
        let mut exit = self.exit();
        let fed = exit.feed(bytes_max, &self.meter);
        let fed = fed.unwrap_or_else(|reason| {
            exit.give_up(reason);
            Fed::GivenUp
        });
        drop(exit);
        if let Fed::GivenUp = fed {
            self.meter.wake();
        }
        fed
    }

    /// Whether the client has reset the stream, or its connection is gone.
    pub fn is_gone(&self) -> bool {
        let mut exit = self.exit();
        exit.is_closed || exit.is_reset()
    }

    /// Breaks the stream off visibly, once earlier data is written.
    pub fn break_off(&self, reason: Reason) {
        let mut exit = self.exit();
        if !exit.is_closed {
            exit.is_closed = true;
            exit.outgoing.end = Some(End::Reset(reason));
            drop(exit);
            self.signal.raise();
        }
    }

    /// The producer breaks the stream off visibly, at once. Does nothing if the stream was answered in the producer's
    /// place.
    pub fn abandon(&self, reason: Reason) {
        let mut exit = self.exit();
        if !exit.is_closed {
            exit.give_up(reason);
        }
    }

    /// Breaks the stream off visibly, at once, whatever is still unsent.
    pub fn give_up(&self, reason: Reason) {
        self.exit().give_up(reason);
        self.meter.wake();
    }

    /// Waits until no more than `low_water_bytes` are unsent; `Ok(false)` when the client is too slow.
    ///
    /// # Errors
    /// The stream is gone.
    pub fn wait_for_room(&self, low_water_bytes: u64, pace: PaceRules) -> Result<bool, Gone> {
        let drained = self.meter.wait_for(low_water_bytes, pace, || self.is_gone());
        if self.is_gone() { Err(Gone) } else { Ok(drained) }
    }

    /// Takes the stream from the seat that answers it: data that the seat sends from now on is dropped. The client gets
    /// the given answer if the seat has sent nothing yet; otherwise the stream is reset. Other streams stay open.
    pub fn take_over(&self, answer: Option<(Response<()>, Vec<u8>)>, budget: &ResponseBudget) -> TakenOver {
        let mut exit = self.exit();
        if exit.is_closed || exit.is_reset() {
            return TakenOver::Gone;
        }
        let taken = match answer {
            Some((head, content)) if exit.body.is_none() && !exit.ended => {
                let piece = (!content.is_empty()).then(|| {
                    let bytes = content.len() as u64;
                    Piece::new(kept_bytes(content, budget.keep(bytes)), Unsent::new(&self.meter, bytes))
                });
                match exit.send_head(head, piece.is_none()) {
                    Ok(()) => {
                        if let Some(piece) = piece {
                            exit.outgoing.push(Stretch::Bytes(piece));
                            exit.outgoing.end = Some(End::Frame);
                        }
                        TakenOver::Answered
                    }
                    Err(Gone) => TakenOver::Gone,
                }
            }
            _ => {
                exit.give_up(Reason::INTERNAL_ERROR);
                TakenOver::Cut
            }
        };
        exit.is_closed = true;
        drop(exit);
        self.signal.raise();
        self.meter.wake();
        taken
    }

    /// Notes whether the call that answers it is waited for.
    pub fn set_given_up(&self, is_given_up: bool) {
        self.is_given_up.store(is_given_up, Ordering::Relaxed);
    }

    /// Whether its call runs and is not waited for any more.
    pub fn is_given_up(&self) -> bool {
        self.is_given_up.load(Ordering::Relaxed)
    }

    /// Splits content into stretches: in memory as long as the worker has room, the rest in a file.
    fn keep(&self, content: &[u8], keeping: Keeping<'_>, stretches: &mut Vec<Stretch>) -> std::io::Result<()> {
        let mut rest = content;
        while !rest.is_empty() {
            let (segment, behind) = rest.split_at(rest.len().min(SEGMENT_BYTES));
            let Some(kept) = keeping.budget.try_keep(segment.len() as u64) else {
                return self.spill(rest, keeping, stretches);
            };
            let unsent = Unsent::new(&self.meter, segment.len() as u64);
            stretches.push(Stretch::Bytes(Piece::new(kept_bytes(segment.to_vec(), kept), unsent)));
            rest = behind;
        }
        Ok(())
    }

    fn spill(&self, content: &[u8], keeping: Keeping<'_>, stretches: &mut Vec<Stretch>) -> std::io::Result<()> {
        let append = || {
            let mut spill = self.spill.lock().unwrap_or_else(PoisonError::into_inner);
            spill.append(content, keeping.budget, keeping.directory)
        };
        let spilled = match keeping.seat {
            None => append()?,
            Some((waits, host)) => {
                waits.disk_begins();
                let mut spilled = None;
                host.detached(&mut || spilled = Some(append()));
                spilled.unwrap_or_else(append)?
            }
        };
        stretches.push(Stretch::Spilled(spilled, Unsent::new(&self.meter, content.len() as u64)));
        Ok(())
    }

    fn queue(&self, stretches: Vec<Stretch>, end: Option<End>) -> Result<(), Unsendable> {
        let mut exit = self.exit();
        if exit.takes_nothing() {
            return Err(Unsendable::Gone);
        }
        stretches.into_iter().for_each(|stretch| exit.outgoing.push(stretch));
        exit.outgoing.end = end;
        drop(exit);
        self.signal.raise();
        Ok(())
    }

    fn exit(&self) -> MutexGuard<'_, Exit> {
        self.exit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl From<Gone> for Unsendable {
    fn from(Gone: Gone) -> Unsendable {
        Unsendable::Gone
    }
}
