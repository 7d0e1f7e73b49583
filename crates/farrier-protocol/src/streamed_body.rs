//! Content as the seat takes it that answers a request whose content still arrives: the drain of a pipe, and how long it waits.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use farrier_http::pipe::{PipeDrain, Popped};
use farrier_http::{Error, Kind, StreamedBody};

use crate::rules::Rules;

/// The drain of a request's content.
pub struct PipedBody {
    drain: PipeDrain,
    length_bytes: Option<u64>,
    fault: Arc<OnceLock<Error>>,
    idle_timeout: Duration,
    /// Bytes a second; 0 is no minimum.
    rate_min: u64,
    taken_bytes: u64,
    /// How long the seat has waited for content in all. Time in which it did not ask is not the client's.
    waited: Duration,
}

impl PipedBody {
    /// The content that a pipe gives. `fault` learns why it failed, when the seat does.
    pub fn new(drain: PipeDrain, length_bytes: Option<u64>, fault: Arc<OnceLock<Error>>, rules: &Rules) -> PipedBody {
        PipedBody {
            drain,
            length_bytes,
            fault,
            idle_timeout: Duration::from_millis(rules.body_timeout_ms),
            rate_min: rules.body_rate_min,
            taken_bytes: 0,
            waited: Duration::ZERO,
        }
    }

    /// Keeps the first fault, and gives it.
    fn fail(&self, error: Error) -> Error {
        self.fault.get_or_init(|| error).clone()
    }

    /// Whether the client keeps to the least rate, judged by the time in which the seat had to wait.
    fn is_fast_enough(&self) -> bool {
        let waited_ms = u64::try_from(self.waited.as_millis()).unwrap_or(u64::MAX);
        self.waited < self.idle_timeout || self.taken_bytes >= self.rate_min.saturating_mul(waited_ms) / 1000
    }
}

impl StreamedBody for PipedBody {
    fn length_bytes(&self) -> Option<u64> {
        self.length_bytes
    }

    fn take(&mut self, bytes_max: usize) -> Option<Result<Bytes, Error>> {
        if let Some(fault) = self.fault.get() {
            return Some(Err(fault.clone()));
        }
        match self.drain.pop(bytes_max) {
            Popped::Piece(piece) => {
                self.taken_bytes += piece.len() as u64;
                Some(Ok(piece))
            }
            Popped::Nothing => None,
            Popped::End => Some(Ok(Bytes::new())),
            Popped::Failed(error) => Some(Err(self.fail(error))),
        }
    }

    fn wait(&mut self) -> Result<(), Error> {
        let began = Instant::now();
        let has_news = self.drain.wait(self.idle_timeout);
        self.waited += began.elapsed();
        match has_news && self.is_fast_enough() {
            true => Ok(()),
            false => Err(self.fail(Error::client(Kind::RequestTimeout, "the content came too slowly"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use farrier_http::pipe::{End, Marks, PipeSource, pipe};

    fn body(idle_ms: u64, rate_min: u64) -> (PipeSource, PipedBody) {
        let (source, drain) = pipe(Marks::with_high(1000), End::Seat, End::Seat);
        let idle_timeout = Duration::from_millis(idle_ms);
        let (fault, waited) = (Arc::default(), Duration::ZERO);
        (source, PipedBody { drain, length_bytes: None, fault, idle_timeout, rate_min, taken_bytes: 0, waited })
    }

    #[test]
    fn what_failed_fails_again() {
        let (source, mut body) = body(1000, 0);
        source.push(Bytes::from_static(b"ab"));
        source.abort(Error::client(Kind::ClientGone, "broke off"));
        assert_eq!(body.take(9), Some(Ok(Bytes::from_static(b"ab"))));
        for _ in 0..2 {
            assert!(matches!(body.take(9), Some(Err(error)) if error.kind == Kind::ClientGone));
        }
    }

    #[test]
    fn a_client_that_sends_nothing_is_too_slow() {
        let (_source, mut body) = body(5, 0);
        assert!(body.take(9).is_none());
        assert!(matches!(body.wait(), Err(error) if error.kind == Kind::RequestTimeout));
        assert!(matches!(body.take(9), Some(Err(error)) if error.kind == Kind::RequestTimeout));
    }

    #[test]
    fn a_client_that_drips_is_too_slow_once_the_seat_has_waited_long_enough() {
        let (source, mut body) = body(1000, 100);
        body.waited = Duration::from_millis(1100);
        source.push(Bytes::from_static(b"a"));
        assert!(body.wait().is_err());
    }
}
