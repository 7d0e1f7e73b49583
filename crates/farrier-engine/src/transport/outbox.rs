//! What stands between whoever answers a connection and its socket: TLS, and what the client did not take.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;
use farrier_tls::session::Session;
use rustls::ServerConfig;

use crate::transport::link::Sent;
use crate::transport::response_budget::ResponseBudget;
use crate::transport::rest::{FileSegment, Rest, transmit};
use crate::transport::{send_pieces, tls_flow};

/// What is still to be written. It owns no memory while nothing is.
pub(crate) struct Outbox {
    pub(crate) rest: Option<Box<Rest>>,
    pub(crate) security: Security,
    pub(crate) broken: bool,
    /// Something was sent since [`Link::begin_response`](super::link::Link::begin_response).
    pub(crate) begun: bool,
    /// Another than the seat has given a whole answer.
    pub(crate) is_answered: bool,
    budget: Arc<ResponseBudget>,
}

/// What stands between the outbox and the socket.
#[derive(Default)]
pub(crate) enum Security {
    /// Nothing.
    #[default]
    None,
    /// Nothing yet: a PROXY header comes first, in the clear, and then TLS on these terms.
    Later(Arc<ServerConfig>),
    /// TLS, on these terms; the client has not sent anything yet.
    Wanted(Arc<ServerConfig>),
    /// TLS.
    Session(Box<Session>),
}

/// Content on its way out, and the bytes of its protocol around it.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing<'a> {
    pub(crate) before: &'a [u8],
    pub(crate) content: &'a [u8],
    pub(crate) end: &'a [u8],
    /// Something follows at once.
    pub(crate) more: bool,
}

/// How content is kept that the socket does not take.
pub(crate) enum Keep<'a> {
    /// As a copy, whatever it costs.
    All,
    /// As a copy, as long as no more than so many bytes wait as copies and the worker's bound leaves room.
    UpTo(u64),
    /// By reference to the whole, in which the content begins at this place, where the worker's bound leaves room.
    Shared(&'a mut dyn FnMut() -> Bytes, usize),
    /// The same, whatever it costs.
    Owned(Bytes),
}

/// Content up to this size is copied rather than kept by reference.
const COPIED_BYTES_MAX: usize = 4096;

impl Outbox {
    pub(crate) fn new(security: Security, budget: Arc<ResponseBudget>) -> Outbox {
        Outbox { rest: None, security, broken: false, begun: false, is_answered: false, budget }
    }

    /// Sends content or keeps what the socket does not take of it. Gives how many bytes of the content were taken: where some
    /// were not, what ends it was not either.
    pub(crate) fn give(&mut self, socket: &OwnedFd, outgoing: Outgoing<'_>, keep: Keep<'_>) -> (Sent, usize) {
        if self.broken {
            return (Sent::Broken, 0);
        }
        self.begun = true;
        let Outgoing { before, content, end, more } = outgoing;
        let waited = self.rest.is_some();
        let mut sent = 0;
        if !waited {
            let transmitted = match (before, content, end) {
                (only, [], []) | ([], only, []) => self.transmit(socket, &[only], more),
                (before, content, []) => self.transmit(socket, &[before, content], more),
                (before, content, end) => self.transmit(socket, &[before, content, end], more),
            };
            match transmitted {
                Ok(count) => sent = count,
                Err(_) => return (self.give_up(), 0),
            }
            if sent == before.len() + content.len() + end.len() && self.rest.is_none() {
                return (Sent::All, content.len());
            }
        }
        let taken = self.keep(before, content, end, sent, keep);
        if waited {
            return (self.flush(socket), taken);
        }
        (self.unsent(), taken)
    }

    /// Writes pieces, or keeps what the socket does not take.
    pub(crate) fn send(&mut self, socket: &OwnedFd, pieces: &[&[u8]], more: bool) -> Sent {
        match pieces {
            [before] => self.give(socket, Outgoing { before, content: b"", end: b"", more }, Keep::All).0,
            [before, content] => self.give(socket, Outgoing { before, content, end: b"", more }, Keep::All).0,
            [before, content, end] => self.give(socket, Outgoing { before, content, end, more }, Keep::All).0,
            _ => self.send(socket, &[&pieces.concat()], more),
        }
    }

    /// Puts a stretch of a file behind what is unsent, and bytes behind it.
    pub(crate) fn send_file(&mut self, socket: &OwnedFd, segment: FileSegment, end: &[u8]) -> Sent {
        if self.broken {
            return Sent::Broken;
        }
        self.begun = true;
        let rest = self.rest.get_or_insert_default();
        rest.keep_file(segment);
        rest.keep_copy(end);
        self.flush(socket)
    }

    /// Writes more of what is unsent.
    pub(crate) fn flush(&mut self, socket: &OwnedFd) -> Sent {
        if self.broken {
            return Sent::Broken;
        }
        let Some(rest) = self.rest.as_deref_mut() else { return Sent::All };
        match rest.flush(socket, &mut self.security) {
            Ok(true) => {
                self.rest = None;
                Sent::All
            }
            Ok(false) => self.unsent(),
            Err(_) => self.give_up(),
        }
    }

    /// Sends what ends the connection.
    pub(crate) fn send_last(&mut self, socket: &OwnedFd, answer: &[u8]) -> io::Result<()> {
        match &mut self.security {
            Security::None | Security::Later(_) => send_pieces(socket, &[answer], false).map(drop),
            Security::Wanted(_) => Err(io::ErrorKind::NotConnected.into()),
            Security::Session(session) => {
                tls_flow::send(session, socket, &mut Vec::new(), &[answer], true)?;
                send_pieces(socket, &[&session.close_notify()], false).map(drop)
            }
        }
    }

    pub(crate) fn send_close_notify(&mut self, socket: &OwnedFd) {
        if !self.broken
            && self.rest.is_none()
            && let Security::Session(session) = &mut self.security
        {
            let close_notify = session.close_notify();
            if !close_notify.is_empty() {
                // Whoever has left need not know.
                let _ = send_pieces(socket, &[&close_notify], false);
            }
        }
    }

    pub(crate) fn give_up(&mut self) -> Sent {
        self.rest = None;
        self.broken = true;
        Sent::Broken
    }

    fn transmit(&mut self, socket: &OwnedFd, pieces: &[&[u8]], more: bool) -> io::Result<usize> {
        let mut sealed = Vec::new();
        let sent = transmit(&mut self.security, socket, &mut sealed, pieces, more)?;
        if !sealed.is_empty() {
            self.rest.get_or_insert_default().keep_sealed(&sealed);
        }
        Ok(sent)
    }

    /// Keeps what was not sent. Gives how many bytes of the content were sent or kept.
    fn keep(&mut self, before: &[u8], content: &[u8], end: &[u8], sent: usize, keep: Keep<'_>) -> usize {
        let Outbox { rest, budget, .. } = self;
        let rest = rest.get_or_insert_default();
        rest.keep_copy(&before[sent.min(before.len())..]);
        let sent = sent.saturating_sub(before.len());
        let sent_content = sent.min(content.len());
        let unsent = &content[sent_content..];
        let kept = match keep {
            _ if unsent.is_empty() => 0,
            Keep::All => {
                rest.keep_copy(unsent);
                unsent.len()
            }
            Keep::UpTo(bytes_max) => {
                let room = if budget.is_used_up() { 0 } else { bytes_max.saturating_sub(rest.copy_bytes()) };
                let kept = unsent.len().min(usize::try_from(room).unwrap_or(usize::MAX));
                rest.keep_copy(&unsent[..kept]);
                kept
            }
            Keep::Shared(..) if unsent.len() <= COPIED_BYTES_MAX && !budget.is_used_up() => {
                rest.keep_copy(unsent);
                unsent.len()
            }
            Keep::Shared(whole, at) => match budget.try_keep(unsent.len() as u64) {
                Some(counted) => {
                    rest.keep_shared(whole().slice(at + sent_content..at + content.len()), counted);
                    unsent.len()
                }
                None => 0,
            },
            Keep::Owned(bytes) => {
                let mut counted = budget.keep_nothing();
                counted.grow(unsent.len() as u64);
                rest.keep_shared(bytes.slice(sent_content..content.len()), counted);
                unsent.len()
            }
        };
        if kept == unsent.len() {
            rest.keep_copy(&end[sent.saturating_sub(content.len()).min(end.len())..]);
        }
        sent_content + kept
    }

    /// What is unsent now, counted.
    fn unsent(&mut self) -> Sent {
        let Some(rest) = self.rest.as_deref_mut() else { return Sent::All };
        rest.account(&self.budget);
        Sent::Unsent(rest.copy_bytes())
    }
}
