//! Sends the answer of a seat. Data that the client does not take is kept by reference, as a copy or in a nameless
//! file. If the producer may go on only when there is room, the seat waits for the client, detached from the
//! interpreter.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use farrier_http::wire::response_encoder::PieceFraming;
use farrier_http::{Bytes, Peer};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::client_wait::ClientWait;
use crate::host::Host;
use crate::outlet::{GaveUp, Outlet, Source, Stretch};
use crate::rules::Rules;
use crate::upload::UploadStatus;
use farrier_transport::file_stretch::FileStretch;
use farrier_transport::link::{Link, Sent};
use farrier_transport::outbox::{Keep, Outgoing};
use farrier_transport::pace::TooSlow;
use farrier_transport::reactor::poller::Poller;
use farrier_transport::reactor::token::Token;
use farrier_transport::rest::FileSegment;
use farrier_transport::spill::{Spill, Spilled};

/// What the answers of one connection have in common.
pub struct Channel<'a> {
    /// The settings that apply.
    pub rules: &'a Rules,
    /// The interpreter.
    pub host: &'a dyn Host,
    /// Notified when the response waits for its client.
    pub client_wait: &'a dyn ClientWait,
    /// Watches the socket.
    pub poller: &'a Poller,
    /// Its socket and what is unsent.
    pub link: &'a Arc<Link>,
    /// Its name in the poller and the slots.
    pub token: Token,
    /// The peer, which may be a proxy.
    pub peer: Peer,
    /// No further request is accepted: responses say `Connection: close`.
    pub draining: &'a AtomicBool,
    /// The producer may wait for the client: it occupies a seat.
    pub may_wait: bool,
    /// The request's content, if it is still read.
    pub upload: Option<&'a UploadStatus>,
}

/// The outlet of a seat.
pub struct SeatOutlet<'a> {
    pub(crate) channel: Channel<'a>,
    unsent: bool,
    /// The files for data that does not fit in memory.
    spill: Spill,
    /// The client must take more before the next piece is sent.
    must_wait: bool,
    /// The part of the last piece that is kept nowhere else.
    put_off: VecDeque<PutOff>,
}

/// Content that goes before the next piece.
struct PutOff {
    before: Vec<u8>,
    content: Bytes,
    end: Vec<u8>,
}

impl Outlet for SeatOutlet<'_> {
    fn link(&self) -> &Link {
        self.channel.link
    }

    fn rules(&self) -> &Rules {
        self.channel.rules
    }

    fn is_draining(&self) -> bool {
        let is_last = self.channel.upload.is_some_and(|upload| !upload.can_live_on());
        is_last || self.channel.draining.load(Ordering::Relaxed)
    }

    fn passes_file_names(&self) -> bool {
        self.channel.rules.passes_file_names(self.channel.peer)
    }

    fn has_unsent(&self) -> bool {
        self.unsent
    }

    fn put(&mut self, outgoing: Outgoing<'_>, source: Source<'_>) -> Result<(), GaveUp> {
        match source {
            Source::Piece(whole, at) if self.channel.may_wait => self.put_piece(outgoing, whole, at),
            source => {
                self.settle()?;
                self.put_now(outgoing, source)
            }
        }
    }

    fn complete(&mut self) -> Result<(), GaveUp> {
        self.must_wait = false;
        while let Some(PutOff { before, content, end }) = self.put_off.pop_front() {
            let outgoing = Outgoing { before: &before, content: &content, end: &end, more: true };
            self.put_now(outgoing, Source::Shared(&mut || content.clone(), 0))?;
        }
        Ok(())
    }

    fn put_file(&mut self, file: Arc<File>, stretch: Stretch) -> Result<(), GaveUp> {
        self.settle()?;
        let Stretch { offset, bytes, framing, is_version } = stretch;
        let link = self.channel.link;
        let sent = match FileStretch::new(file, offset, bytes, is_version) {
            Ok(stretch) => {
                let by_kernel = self.channel.rules.sendfile && framing == PieceFraming::Bare;
                link.send_file(FileSegment { stretch, framing, by_kernel, on_disk: None }, b"")
            }
            Err(_) => {
                link.break_off();
                Sent::Broken
            }
        };
        // The leader writes the rest; a file needs no memory, so the seat need not wait.
        self.note(sent)
    }
}

impl<'a> SeatOutlet<'a> {
    /// An outlet to this connection.
    pub fn new(channel: Channel<'a>) -> SeatOutlet<'a> {
        SeatOutlet { channel, unsent: false, spill: Spill::default(), must_wait: false, put_off: VecDeque::new() }
    }

    /// Sends a piece of an answer that is being produced. Data that is not sent is waited for when the next piece
    /// comes. If none comes, the answer is complete and its producer is free.
    fn put_piece(&mut self, outgoing: Outgoing<'_>, whole: &mut dyn FnMut() -> Bytes, at: usize) -> Result<(), GaveUp> {
        let is_same_piece = at > 0;
        if !is_same_piece {
            self.settle()?;
        }
        let Outgoing { before, content, end, .. } = outgoing;
        if !self.put_off.is_empty() {
            let content = whole().slice(at..at + content.len());
            self.put_off.push_back(PutOff { before: before.to_vec(), content, end: end.to_vec() });
            return Ok(());
        }
        let (sent, taken) = self.channel.link.give(outgoing, Keep::Shared(whole, at));
        self.note(sent)?;
        if taken < content.len() {
            let content = whole().slice(at + taken..at + content.len());
            self.put_off.push_back(PutOff { before: Vec::new(), content, end: end.to_vec() });
        }
        self.must_wait = self.is_behind();
        Ok(())
    }

    /// Whether so much data waits for the client that the producer has to wait before the next piece.
    fn is_behind(&self) -> bool {
        self.unsent && self.channel.link.kept_bytes() > self.channel.rules.response_buffer_bytes
    }

    /// Waits until the client has taken enough for more to be sent.
    fn settle(&mut self) -> Result<(), GaveUp> {
        while let Some(PutOff { before, content, end }) = self.put_off.pop_front() {
            let outgoing = Outgoing { before: &before, content: &content, end: &end, more: false };
            self.put_now(outgoing, Source::Borrowed)?;
        }
        if std::mem::take(&mut self.must_wait) { self.wait_for_room() } else { Ok(()) }
    }

    /// Sends content, keeps what may be kept of it, and waits until the rest is sent.
    fn put_now(&mut self, mut outgoing: Outgoing<'_>, mut source: Source<'_>) -> Result<(), GaveUp> {
        let Outgoing { end, more, .. } = outgoing;
        let high_water_bytes = self.channel.rules.response_buffer_bytes;
        loop {
            let content = outgoing.content;
            let mut copy = || Bytes::copy_from_slice(content);
            let keep = match &mut source {
                _ if !self.channel.may_wait => Keep::All,
                Source::Borrowed | Source::Piece(..) => Keep::UpTo(high_water_bytes),
                Source::Whole => Keep::Shared(&mut copy, 0),
                Source::Shared(whole, at) => Keep::Shared(&mut **whole, *at),
            };
            let (sent, taken) = self.channel.link.give(outgoing, keep);
            self.note(sent)?;
            let is_whole = matches!(source, Source::Whole | Source::Shared(..));
            if taken == content.len() {
                // Waits when the next piece comes: often this was the last.
                self.must_wait = !is_whole && self.channel.may_wait && self.is_behind();
                return Ok(());
            }
            outgoing = Outgoing { before: b"", content: &content[taken..], end, more };
            if is_whole && self.spill(outgoing)? {
                return Ok(());
            }
            // As for a generator, whose pieces cannot be kept.
            source = Source::Borrowed;
            self.wait_for_room()?;
        }
    }

    /// Notes the result of a write.
    ///
    /// # Errors
    /// The client is gone.
    pub fn note(&mut self, sent: Sent) -> Result<(), GaveUp> {
        match sent {
            Sent::All => {
                self.unsent = false;
                Ok(())
            }
            Sent::Unsent(_) => {
                self.unsent = true;
                self.channel.link.watch_writable(self.channel.poller, self.channel.token);
                Ok(())
            }
            Sent::Broken => Err(self.gave_up(GaveUp::GONE)),
        }
    }

    /// Keeps the unsent part of a whole answer in a nameless file. False: there is no room for it.
    fn spill(&mut self, outgoing: Outgoing<'_>) -> Result<bool, GaveUp> {
        let SeatOutlet { channel: Channel { rules, host, link, client_wait, .. }, spill, .. } = self;
        let content = outgoing.content;
        let mut spilled = None;
        client_wait.disk_begins();
        host.detached(&mut || spilled = spill.append(content, &rules.responses, &rules.spool.directory).ok());
        let Some(Spilled { stretch, file }) = spilled else { return Ok(false) };
        let (framing, by_kernel) = (PieceFraming::Bare, rules.sendfile);
        let segment = FileSegment { stretch, framing, by_kernel, on_disk: Some(file) };
        let sent = link.send_file(segment, outgoing.end);
        self.note(sent).map(|()| true)
    }

    /// Waits until the client has taken half of the high-water mark, detached from the interpreter.
    fn wait_for_room(&mut self) -> Result<(), GaveUp> {
        if !self.channel.client_wait.begins() {
            return Err(self.gave_up(GaveUp::TOO_MANY_WAIT));
        }
        let waited = self.wait_until_room();
        self.channel.client_wait.ended();
        waited
    }

    fn wait_until_room(&mut self) -> Result<(), GaveUp> {
        let Channel { rules, host, link, .. } = &self.channel;
        let low_water_bytes = rules.response_buffer_bytes / 2;
        let pace = rules.response_pace();
        let mut waited = Err(GaveUp::GONE);
        host.detached(&mut || {
            let began = Instant::now();
            let mut look_again_ms = pace.look_again_ms();
            waited = loop {
                if let Some(cold) = link.take_cold() {
                    cold.warm();
                    link.fetched();
                }
                let limit = Timespec {
                    tv_sec: i64::try_from(look_again_ms / 1000).unwrap_or(i64::MAX),
                    tv_nsec: (look_again_ms % 1000 * 1_000_000) as i64,
                };
                let is_writable = match poll(&mut [PollFd::new(link, PollFlags::OUT)], Some(&limit)) {
                    Ok(count) => count > 0,
                    Err(rustix::io::Errno::INTR) => false,
                    Err(_) => break Err(GaveUp::GONE),
                };
                match link.flush() {
                    Sent::Broken => break Err(GaveUp::GONE),
                    Sent::All if is_writable => break Ok(false),
                    Sent::Unsent(_) if is_writable && link.kept_bytes() <= low_water_bytes => break Ok(true),
                    Sent::All | Sent::Unsent(_) => {}
                }
                let judged = link.judge(pace);
                match judged.unwrap_or(Ok(pace.look_again_ms())) {
                    Ok(next_ms) => look_again_ms = next_ms,
                    Err(too_slow) => break Err(GaveUp::of(too_slow)),
                }
                // If nothing could be kept there is no pace to judge.
                if judged.is_none() && began.elapsed().as_millis() as u64 >= rules.write_timeout_ms {
                    break Err(GaveUp::of(TooSlow::Idle));
                }
            };
        });
        self.unsent = waited.map_err(|gave_up| self.gave_up(gave_up))?;
        Ok(())
    }

    fn gave_up(&mut self, gave_up: GaveUp) -> GaveUp {
        self.unsent = false;
        gave_up
    }
}
