//! The streams of a session whose requests were handed out. They wait for a seat, are with one, or are answered and not
//! written to their end. Each in turn passes the connection what flow control admits.

use std::sync::Arc;
use std::task::Waker;

use h2::Reason;

use crate::h2::exit::{Fed, PIECE_BYTES_MAX};
use crate::h2::stream::{QueueSignal, StreamLink};
use farrier_transport::file_stretch::ColdStretch;
use farrier_transport::pace::{PaceRules, Progress};

/// Streams for which an idle connection keeps room.
const STREAMS_KEPT: usize = 4;

/// The streams of one session.
pub struct OpenStreams {
    streams: Vec<OpenStream>,
    /// Streams that are leaving.
    leaving: usize,
    /// One of them has something in its queue.
    pub queued: Arc<QueueSignal>,
    /// At the last check, data was left in a queue.
    has_rest: bool,
}

struct OpenStream {
    stream: Arc<StreamLink>,
    /// How fast its client takes the rest, once the seat has passed all of it.
    leaving: Option<Progress>,
}

impl OpenStreams {
    /// None yet. `waker` makes the leader drive the session.
    pub fn new(waker: Waker) -> OpenStreams {
        let queued = Arc::new(QueueSignal::new(waker));
        OpenStreams { streams: Vec::new(), leaving: 0, queued, has_rest: false }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Whether any is answered and not written to its end.
    pub fn has_leaving(&self) -> bool {
        self.leaving > 0
    }

    /// A request was handed out.
    pub fn add(&mut self, stream: Arc<StreamLink>) {
        self.streams.push(OpenStream { stream, leaving: None });
    }

    /// The seat that has answered a stream returns it.
    pub fn take_back(&mut self, stream: &Arc<StreamLink>, now_ms: u64) {
        let Some(index) = self.streams.iter().position(|open| Arc::ptr_eq(&open.stream, stream)) else { return };
        if stream.meter.unsent_bytes() > 0 || stream.has_rest() {
            self.streams[index].leaving = Some(Progress::new(stream.meter.moved_bytes(), now_ms));
            self.leaving += 1;
        } else {
            self.streams.swap_remove(index);
        }
    }

    /// Passes more of each stream to the connection, and removes those that are written. True when something was
    /// passed. What must be read from the disk first is added to `cold`.
    pub fn feed(&mut self, turn_bytes: &mut usize, cold: &mut Vec<(Arc<StreamLink>, ColdStretch)>) -> bool {
        if !(self.queued.take() || self.has_rest || self.has_leaving()) {
            return false;
        }
        let (mut has_fed, mut has_rest) = (false, false);
        let (mut visited, mut fed_until) = (0, 0);
        self.keep(|OpenStream { stream, leaving }| {
            let mut stays = true;
            if !stream.has_rest() {
                stays = leaving.is_none() || stream.meter.unsent_bytes() > 0;
            } else {
                match stream.feed(PIECE_BYTES_MAX.min(*turn_bytes)) {
                    Fed::Given(is_something, bytes) => {
                        has_fed |= is_something;
                        *turn_bytes -= bytes.min(*turn_bytes);
                        if bytes > 0 {
                            fed_until = visited + 1;
                        }
                    }
                    Fed::Cold(stretch) => cold.push((Arc::clone(stream), stretch)),
                    Fed::GivenUp => {
                        has_fed = true;
                        stays = leaving.is_none();
                    }
                }
                has_rest |= stays && stream.has_rest();
            }
            visited += usize::from(stays);
            stays
        });
        self.has_rest = has_rest;
        if *turn_bytes == 0 {
            // The streams behind it are the first of the next turn.
            let first = fed_until.min(self.streams.len());
            self.streams.rotate_left(first);
        }
        has_fed
    }

    /// When a client will be too slow with one of them, in ms.
    pub fn deadline_ms(&self, pace: PaceRules) -> Option<u64> {
        self.streams.iter().filter_map(|open| open.leaving).map(|progress| progress.deadline_ms(pace)).min()
    }

    /// Resets the streams whose client is too slow: a client that keeps a window shut must not hold memory or other
    /// streams.
    pub fn expire(&mut self, pace: PaceRules, now_ms: u64) {
        self.keep(|OpenStream { stream, leaving }| {
            let Some(progress) = leaving else { return true };
            let keeps_pace = progress.judge(pace, stream.meter.moved_bytes(), now_ms).is_ok();
            if !keeps_pace {
                stream.give_up(Reason::ENHANCE_YOUR_CALM);
            }
            keeps_pace
        });
    }

    /// Whether no call that answers one of them is waited for any more.
    pub fn are_given_up(&self) -> bool {
        !self.has_leaving() && self.streams.iter().all(|open| open.stream.is_given_up())
    }

    /// A seat or exchange that still answers a stream finds it gone, and its waiting data is dropped.
    pub fn give_up(&mut self) {
        self.keep(|OpenStream { stream, leaving }| {
            stream.give_up(Reason::CANCEL);
            leaving.is_none()
        });
    }

    /// An idle connection keeps room for few streams.
    pub fn let_go_of_room(&mut self) {
        self.streams.shrink_to(STREAMS_KEPT);
    }

    fn keep(&mut self, stays: impl FnMut(&mut OpenStream) -> bool) {
        self.streams.retain_mut(stays);
        self.leaving = self.streams.iter().filter(|open| open.leaving.is_some()).count();
    }
}
