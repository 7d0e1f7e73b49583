//! The sending side of a connection: TLS, and the bytes that the client has not taken yet.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use bytes::Bytes;

use crate::moved::Sent;
use crate::response_budget::ResponseBudget;
use crate::rest::{FileSegment, Rest};
use crate::security::{Security, transmit};
use crate::{send_pieces, tls_flow};

/// Unsent data of a connection. It owns no memory while it is empty.
pub struct Outbox {
    /// Data that the client has not taken.
    pub rest: Option<Box<Rest>>,
    /// TLS, if it is used.
    pub security: Security,
    /// Nothing more can be sent.
    pub broken: bool,
    /// Something was sent since [`Link::begin_response`](super::link::Link::begin_response).
    pub begun: bool,
    /// Another thread than the seat's has given a whole answer.
    pub is_answered: bool,
    budget: Arc<ResponseBudget>,
}

/// Content to be sent, and the bytes of its protocol around it.
#[derive(Clone, Copy)]
pub struct Outgoing<'a> {
    /// Bytes in front of it.
    pub before: &'a [u8],
    /// The content.
    pub content: &'a [u8],
    /// Bytes behind it.
    pub end: &'a [u8],
    /// More bytes follow at once.
    pub more: bool,
}

/// How content is kept that the socket does not take.
pub enum Keep<'a> {
    /// As a copy, even above the worker's limit.
    All,
    /// As a copy, if no more than so many bytes wait as copies and the worker's limit leaves room.
    UpTo(u64),
    /// By reference to the whole, in which the content begins at this offset, if the worker's limit leaves room.
    Shared(&'a mut dyn FnMut() -> Bytes, usize),
    /// By reference, even above the worker's limit.
    Owned(Bytes),
}

/// Content up to this size is copied rather than kept by reference.
const COPIED_BYTES_MAX: usize = 4096;

impl Outbox {
    /// An empty outbox; what it keeps is counted in `budget`.
    pub fn new(security: Security, budget: Arc<ResponseBudget>) -> Outbox {
        Outbox { rest: None, security, broken: false, begun: false, is_answered: false, budget }
    }

    /// Sends content or keeps what the socket does not take of it. Returns how many bytes of the content were taken. If
    /// some were not, the bytes behind the content were not taken either.
    pub fn give(&mut self, socket: &OwnedFd, outgoing: Outgoing<'_>, keep: Keep<'_>) -> (Sent, usize) {
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
    pub fn send(&mut self, socket: &OwnedFd, pieces: &[&[u8]], more: bool) -> Sent {
        match pieces {
            [before] => self.give(socket, Outgoing { before, content: b"", end: b"", more }, Keep::All).0,
            [before, content] => self.give(socket, Outgoing { before, content, end: b"", more }, Keep::All).0,
            [before, content, end] => self.give(socket, Outgoing { before, content, end, more }, Keep::All).0,
            _ => self.send(socket, &[&pieces.concat()], more),
        }
    }

    /// Appends a stretch of a file to the unsent data, and bytes behind it.
    pub fn send_file(&mut self, socket: &OwnedFd, segment: FileSegment, end: &[u8]) -> Sent {
        if self.broken {
            return Sent::Broken;
        }
        self.begun = true;
        let rest = self.rest.get_or_insert_default();
        rest.keep_file(segment);
        rest.keep_copy(end);
        self.flush(socket)
    }

    /// Writes more of the unsent data.
    pub fn flush(&mut self, socket: &OwnedFd) -> Sent {
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

    /// Sends the last bytes of the connection.
    pub fn send_last(&mut self, socket: &OwnedFd, answer: &[u8]) -> io::Result<()> {
        match &mut self.security {
            Security::None | Security::Later(_) => send_pieces(socket, &[answer], false).map(drop),
            Security::Wanted(_) => Err(io::ErrorKind::NotConnected.into()),
            Security::Session(session) => {
                tls_flow::send(session, socket, &mut Vec::new(), &[answer], true)?;
                send_pieces(socket, &[&session.close_notify()], false).map(drop)
            }
        }
    }

    /// Ends TLS in an orderly way (RFC 8446 §6.1), where everything was sent.
    pub fn send_close_notify(&mut self, socket: &OwnedFd) {
        if !self.broken
            && self.rest.is_none()
            && let Security::Session(session) = &mut self.security
        {
            let close_notify = session.close_notify();
            if !close_notify.is_empty() {
                // A client that has left does not need it.
                let _ = send_pieces(socket, &[&close_notify], false);
            }
        }
    }

    /// Drops the unsent data: nothing more can be sent.
    pub fn give_up(&mut self) -> Sent {
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

    /// Keeps what was not sent. Returns how many bytes of the content were sent or kept.
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

    /// Counts the unsent data.
    fn unsent(&mut self) -> Sent {
        let Some(rest) = self.rest.as_deref_mut() else { return Sent::All };
        rest.account(&self.budget);
        Sent::Unsent(rest.copy_bytes())
    }
}

/// Sends bytes of the wire, or keeps what the socket does not take.
///
/// # Errors
/// The client is gone.
pub fn put(socket: &OwnedFd, rest: &mut Option<Box<Rest>>, bytes: &[u8]) -> io::Result<()> {
    let sent = match rest {
        Some(_) => 0,
        None => send_pieces(socket, &[bytes], false)?,
    };
    if sent < bytes.len() {
        rest.get_or_insert_default().keep_sealed(&bytes[sent..]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    use farrier_http::wire::response_encoder::PieceFraming;

    use super::*;
    use crate::file_stretch::FileStretch;

    /// An outbox and its socket, the client's end, and the account of what is kept.
    fn connection(memory_max: u64) -> (Outbox, OwnedFd, UnixStream, Arc<ResponseBudget>) {
        let (ours, theirs) = UnixStream::pair().expect("a pair of sockets");
        ours.set_nonblocking(true).expect("can be set");
        let budget = Arc::new(ResponseBudget::new(memory_max, 0));
        (Outbox::new(Security::None, Arc::clone(&budget)), ours.into(), theirs, budget)
    }

    fn outgoing(content: &[u8]) -> Outgoing<'_> {
        Outgoing { before: b"<", content, end: b">", more: false }
    }

    /// Flushes while the client reads, until so many bytes have come.
    fn received(outbox: &mut Outbox, socket: &OwnedFd, client: &mut UnixStream, bytes: usize) -> Vec<u8> {
        let mut all = vec![0; bytes];
        for piece in all.chunks_mut(10_000) {
            client.read_exact(piece).expect("more comes");
            assert_ne!(outbox.flush(socket), Sent::Broken);
        }
        all
    }

    #[test]
    fn what_the_socket_does_not_take_is_kept_by_reference_and_counted_until_it_is_sent() {
        let (mut outbox, socket, mut client, budget) = connection(64 << 20);
        let whole = Bytes::from(vec![b'x'; 4 << 20]);
        let mut asked = 0;
        let mut keep = || {
            asked += 1;
            whole.clone()
        };
        let (sent, taken) = outbox.give(&socket, outgoing(&whole), Keep::Shared(&mut keep, 0));
        assert!(matches!(sent, Sent::Unsent(..10)) && taken == whole.len() && asked == 1);
        assert!(budget.memory_bytes() > 3 << 20);
        let all = received(&mut outbox, &socket, &mut client, whole.len() + 2);
        assert!(all == [b"<", &whole[..], b">"].concat());
        assert_eq!(outbox.flush(&socket), Sent::All);
        assert_eq!(budget.memory_bytes(), 0);
    }

    #[test]
    fn beyond_the_bound_nothing_is_kept_by_reference_and_the_rest_can_follow_later() {
        let (mut outbox, socket, mut client, budget) = connection(1 << 20);
        let whole = Bytes::from(vec![b'x'; 4 << 20]);
        let (sent, taken) = outbox.give(&socket, outgoing(&whole), Keep::Shared(&mut || whole.clone(), 0));
        assert!(sent == Sent::Unsent(0) && taken < whole.len() && budget.memory_bytes() == 0);
        let rest = Outgoing { before: b"", content: &whole[taken..], end: b">", more: false };
        let (_, more) = outbox.give(&socket, rest, Keep::UpTo(1000));
        assert_eq!((more, budget.memory_bytes()), (1000, 1000));
        let (_, last) = outbox.give(
            &socket,
            Outgoing { content: &whole[taken + more..], ..rest },
            Keep::Owned(whole.slice(taken + more..)),
        );
        assert_eq!(taken + more + last, whole.len());
        let all = received(&mut outbox, &socket, &mut client, whole.len() + 2);
        assert!(all == [b"<", &whole[..], b">"].concat());
        assert_eq!(budget.memory_bytes(), 0);
    }

    #[test]
    fn a_file_is_read_and_framed_as_the_client_takes_it_between_what_was_given_before_and_after() {
        let (mut outbox, socket, mut client, budget) = connection(64 << 20);
        let mut file = crate::nameless_file::create(&std::env::temp_dir()).expect("a file");
        let content: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
        file.write_all(&content).expect("written");
        let file: Arc<File> = Arc::new(file);
        let stretch = FileStretch::new(file, 0, content.len() as u64, false).expect("a file");
        let segment = FileSegment { stretch, framing: PieceFraming::Chunk, by_kernel: false, on_disk: None };
        assert_eq!(outbox.send(&socket, &[b"head "], true), Sent::All);
        assert!(matches!(outbox.send_file(&socket, segment, b"0\r\n\r\n"), Sent::Unsent(..200_000)));
        assert!(budget.memory_bytes() < 200_000);
        let mut got = [0; 5];
        client.read_exact(&mut got).expect("the head");
        let mut decoded = Vec::new();
        loop {
            let mut line = Vec::new();
            while !line.ends_with(b"\r\n") {
                line.extend(received(&mut outbox, &socket, &mut client, 1));
            }
            let text = std::str::from_utf8(&line[..line.len() - 2]).expect("hexadecimal");
            let bytes = usize::from_str_radix(text, 16).expect("hexadecimal");
            decoded.extend(received(&mut outbox, &socket, &mut client, bytes));
            assert_eq!(received(&mut outbox, &socket, &mut client, 2), b"\r\n");
            if bytes == 0 {
                break;
            }
        }
        assert!(decoded == content);
        assert_eq!((outbox.flush(&socket), budget.memory_bytes()), (Sent::All, 0));
    }

    #[test]
    fn unsent_data_of_a_client_that_left_is_dropped() {
        let (mut outbox, socket, client, budget) = connection(64 << 20);
        let whole = Bytes::from(vec![b'x'; 4 << 20]);
        outbox.give(&socket, outgoing(&whole), Keep::Shared(&mut || whole.clone(), 0));
        drop(client);
        assert_eq!((outbox.flush(&socket), budget.memory_bytes()), (Sent::Broken, 0));
    }
}
