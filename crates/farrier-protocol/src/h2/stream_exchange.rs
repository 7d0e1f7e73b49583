//! A stream that an exchange answers, and how fast its client takes the unsent data.

use std::sync::Arc;

use h2::Reason;

use crate::exchanging::Exchanging;
use crate::h2::stream::StreamLink;
use farrier_transport::pace::{PaceRules, Progress};

/// A stream that an exchange answers. Its session owns it.
pub struct StreamExchange {
    /// The answering side of its stream.
    pub stream: Arc<StreamLink>,
    /// The exchange and its content.
    pub exchanging: Exchanging,
    progress: Option<Progress>,
}

impl StreamExchange {
    /// Nothing is unsent yet.
    pub fn new(stream: Arc<StreamLink>, exchanging: Exchanging) -> StreamExchange {
        StreamExchange { stream, exchanging, progress: None }
    }

    /// Notes whether there is unsent data.
    pub fn note_unsent(&mut self, now_ms: u64) {
        self.progress = match self.stream.meter.unsent_bytes() {
            0 => None,
            _ => Some(self.progress.unwrap_or_else(|| Progress::new(self.stream.meter.moved_bytes(), now_ms))),
        };
    }

    /// When it must be checked even if nothing happens, in ms.
    pub fn deadline_ms(&self, pace: PaceRules) -> Option<u64> {
        let judged_ms = self.progress.map(|progress| progress.deadline_ms(pace));
        let timer_ms = self.exchanging.run.timer_ms();
        judged_ms.into_iter().chain(timer_ms).min()
    }

    /// Gives the stream up if its client is too slow.
    pub fn expire(&mut self, pace: PaceRules, now_ms: u64) {
        let moved_bytes = self.stream.meter.moved_bytes();
        if let Some(progress) = &mut self.progress
            && progress.judge(pace, moved_bytes, now_ms).is_err()
        {
            self.stream.give_up(Reason::ENHANCE_YOUR_CALM);
        }
    }
}
