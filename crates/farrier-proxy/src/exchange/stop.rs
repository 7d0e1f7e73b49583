//! How far a step of an exchange has come, and why it does not go on.

use farrier_http::{Error, Kind, Side};

use crate::failure::Failure;
use crate::request::Refused;

/// Why an exchange does not go on.
pub(super) enum Stop {
    /// The server has failed; another may be asked.
    Failed(Failure),
    /// The request is answered with an error.
    Answer(Error),
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Stop {
        Stop::Failed(failure)
    }
}

/// How far a step has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It waits for an event.
    Waits,
    /// Others get their turn; there is more to do.
    StoppedEarly,
    /// The answer is complete.
    Done,
}

impl From<Refused> for Stop {
    fn from(refused: Refused) -> Stop {
        match refused {
            Refused::Error(error) => Stop::Answer(error),
            Refused::LastHop => Stop::Answer(Error::answer(farrier_http::Status::OK)),
            Refused::Loop => Stop::Failed(Failure::Loop),
        }
    }
}

/// The client's content failed: it broke off, came too slowly, or was too large.
pub(super) fn of_content(error: Error) -> Stop {
    match error.side {
        Side::Client => Stop::Answer(error),
        _ => Stop::Answer(Error { kind: Kind::NoRoom, ..error }),
    }
}
