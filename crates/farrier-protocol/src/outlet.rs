//! Where an answer of HTTP/1.1, uwsgi or FastCGI is sent, and how data is kept that the client does not take.

use std::fs::File;
use std::sync::Arc;

use farrier_http::wire::ResponseAccount;
use farrier_http::wire::response_encoder::PieceFraming;
use farrier_http::{Bytes, Error, Kind, Side, Status};

use crate::after_response::AfterResponse;
use crate::rescue;
use crate::rules::Rules;
use farrier_transport::link::{Link, TakenOver};
use farrier_transport::outbox::Outgoing;
use farrier_transport::pace::TooSlow;

/// The outcome of a response.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// As the client received it, or as the log tells it.
    pub status: Status,
    /// Bytes of content given to the transport.
    pub content_bytes: u64,
    /// What becomes of the connection.
    pub after: AfterResponse,
    /// Data is still to be written.
    pub unsent: bool,
    /// Why the response is not what the handler meant, for the log.
    pub fault: Option<Error>,
    /// Names of hop-by-hop fields that the handler gave and that were left out, for the log.
    pub dropped: Vec<Box<[u8]>>,
}

impl Outcome {
    /// The outcome that an account shows at the end of its answer.
    pub fn of(mut account: ResponseAccount, after: AfterResponse, unsent: bool) -> Outcome {
        let status = match account.fault() {
            // Also if a head was sent: the client did not wait for the rest.
            Some(error) if account.status() == Status(0) || error.side == Side::Client => {
                rescue::logged_status_of(error)
            }
            _ => account.status(),
        };
        let (content_bytes, dropped) = (account.content_bytes(), account.take_dropped());
        Outcome { status, content_bytes, after, unsent, fault: account.into_fault(), dropped }
    }

    /// The connection was taken from the seat during the call, and its client was answered with `error` or cut off.
    pub fn take_over(&mut self, taken: &TakenOver, error: Error) {
        if *taken == TakenOver::Answered {
            self.status = rescue::logged_status_of(&error);
            self.content_bytes = 0;
        }
        self.after = AfterResponse::Close;
        self.unsent = false;
        // It was logged when it happened.
        self.fault = Some(error);
    }
}

/// The connection that an answer is sent on.
pub trait Outlet {
    /// The connection.
    fn link(&self) -> &Link;

    /// The settings that apply.
    fn rules(&self) -> &Rules;

    /// No further request is accepted: responses say `Connection: close`.
    fn is_draining(&self) -> bool;

    /// Whether the peer is a proxy that may receive the name of the file to send. A client never may.
    fn passes_file_names(&self) -> bool;

    /// Data is still to be written.
    fn has_unsent(&self) -> bool;

    /// Sends or keeps content and the bytes around it.
    ///
    /// # Errors
    /// There is no client to answer.
    fn put(&mut self, outgoing: Outgoing<'_>, source: Source<'_>) -> Result<(), GaveUp>;

    /// The answer is complete: sends or keeps data that was held back while it was produced.
    ///
    /// # Errors
    /// There is no client to answer.
    fn complete(&mut self) -> Result<(), GaveUp> {
        Ok(())
    }

    /// Sends a stretch of a file, or keeps it.
    ///
    /// # Errors
    /// There is no client to answer, or the file cannot be read.
    fn put_file(&mut self, file: Arc<File>, stretch: Stretch) -> Result<(), GaveUp>;
}

/// The owner of the content, and how it may be kept.
pub enum Source<'a> {
    /// The producer owns it, and it is gone after the call.
    Borrowed,
    /// The same, of a whole answer: its producer must not be kept waiting for it.
    Whole,
    /// The content of a whole answer, which its producer can make outlive the call: all of it, and where in it the
    /// content begins.
    Shared(&'a mut dyn FnMut() -> Bytes, usize),
    /// The same, of an answer that is being produced.
    Piece(&'a mut dyn FnMut() -> Bytes, usize),
}

impl Source<'_> {
    /// The source of the bytes staged before such content.
    pub fn of_staged(&self) -> Source<'static> {
        match self {
            Source::Borrowed | Source::Piece(..) => Source::Borrowed,
            Source::Whole | Source::Shared(..) => Source::Whole,
        }
    }
}

/// A stretch of a file that is to be sent.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) framing: PieceFraming,
    /// The head named a version of the file.
    pub is_version: bool,
}

/// Why an outlet accepts no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GaveUp {
    pub(crate) kind: Kind,
    pub(crate) cause: &'static str,
}

impl GaveUp {
    /// The client has left.
    pub const GONE: GaveUp = GaveUp { kind: Kind::ClientGone, cause: "the client left before its answer was complete" };

    /// No further seat may wait for a client.
    pub const TOO_MANY_WAIT: GaveUp = GaveUp {
        kind: Kind::WriteTimeout,
        cause: "too many threads wait for clients that read slowly (see threads_waiting_max)",
    };

    /// The client is too slow.
    pub fn of(too_slow: TooSlow) -> GaveUp {
        GaveUp { kind: Kind::WriteTimeout, cause: too_slow.cause() }
    }
}
