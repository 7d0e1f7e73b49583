//! A server's answer on its way to the client: read, made anew by the mount's policy, and given to the sink.

use std::io;

use farrier_http::wire::client::{Event, Fault, FaultKind};
use farrier_http::{Accepted, Error, ExchangeIo, ResponseHead, Status};

use super::ProxyExchange;
use super::attempt::{Attempt, facts};
use super::scratch::{READ_BYTES, SCRATCH, TURN_BYTES};
use super::stop::{Progress, Stop};
use super::tunnel::Tunnel;
use crate::failure::Failure;
use crate::response::Signals;
use crate::upgrade::{check_switch, encode_switched};
use crate::websocket::{self, accepted_for_http2};

/// What reading has come to.
enum Read {
    /// The bytes were used, or are the beginning of something.
    All,
    /// The sink is full: the rest waits.
    Full,
    /// The answer is complete.
    End,
    /// The client takes no more.
    Unwanted,
    /// The connection is a tunnel from now on.
    Switched,
}

impl ProxyExchange {
    /// Passes on what has come of the answer.
    pub(super) fn pass_on(&mut self, now_ms: u64, io: &mut ExchangeIo<'_>) -> Result<Progress, Stop> {
        if self.is_sink_full {
            return Ok(Progress::Waits);
        }
        let (mut inbox, mut values) = SCRATCH.with_borrow_mut(|scratch| {
            if scratch.inbox.is_empty() {
                scratch.inbox.resize(2 * READ_BYTES, 0);
            }
            (std::mem::take(&mut scratch.inbox), std::mem::take(&mut scratch.values))
        });
        let passed = self.read(&mut inbox, &mut values, now_ms, io);
        SCRATCH.with_borrow_mut(|scratch| (scratch.inbox, scratch.values) = (inbox, values));
        let passed = passed?;
        if self.has_head && self.tunnel.is_none() && passed != Progress::Done {
            // A head without content, so far: the client need not wait for it.
            io.answer.flush();
        }
        Ok(passed)
    }

    fn read(
        &mut self,
        inbox: &mut [u8],
        values: &mut Vec<u8>,
        now_ms: u64,
        io: &mut ExchangeIo<'_>,
    ) -> Result<Progress, Stop> {
        let mut turn = 0;
        loop {
            let Some(attempt) = &mut self.attempt else { return Ok(Progress::Waits) };
            let held = attempt.rest.len();
            if inbox.len() < held + READ_BYTES {
                // A head that is longer than one read, up to its limit.
                return Err(Failure::MALFORMED.into());
            }
            inbox[..held].copy_from_slice(&attempt.rest);
            attempt.rest.clear();
            let mut filled = held;
            let mut end = None;
            if attempt.needs_more {
                match attempt.stream.receive(&mut inbox[held..held + READ_BYTES]) {
                    Ok(None) => {
                        attempt.rest.extend_from_slice(&inbox[..held]);
                        return Ok(Progress::Waits);
                    }
                    Ok(Some(0)) => end = Some(None),
                    Ok(Some(count)) => {
                        filled += count;
                        turn += count;
                        attempt.moved(now_ms, &self.mount.group.policy);
                    }
                    Err(error) => end = Some(Some(error)),
                }
            }
            if let Some(error) = end {
                attempt.rest.extend_from_slice(&inbox[..held]);
                return self.closed(error.as_ref(), now_ms, io);
            }
            match self.take(&inbox[..filled], values, now_ms, io)? {
                Read::All => {}
                Read::Full => {
                    self.is_sink_full = true;
                    return Ok(Progress::Waits);
                }
                Read::End => return Ok(self.end(now_ms, io)),
                Read::Switched => return Ok(Progress::Waits),
                Read::Unwanted => {
                    self.attempt = None;
                    io.answer.end();
                    return Ok(Progress::Done);
                }
            }
            if turn >= TURN_BYTES {
                return Ok(Progress::StoppedEarly);
            }
        }
    }

    /// Takes received bytes. What is left of them is kept.
    fn take(
        &mut self,
        received: &[u8],
        values: &mut Vec<u8>,
        now_ms: u64,
        io: &mut ExchangeIo<'_>,
    ) -> Result<Read, Stop> {
        let mut at = 0;
        loop {
            let Some(attempt) = &mut self.attempt else { return Ok(Read::Unwanted) };
            let step = attempt.wire.read(&received[at..], &self.mount.limits)?;
            let mut accepted = Accepted::Room;
            match step.event {
                Event::NeedMore => {
                    attempt.needs_more = true;
                    attempt.rest.extend_from_slice(&received[at + step.consumed..]);
                    return Ok(Read::All);
                }
                Event::Interim => self.inform(values, io)?,
                Event::Head => self.head(values, now_ms, io)?,
                Event::Data(range) => accepted = io.answer.lend(&received[at..][range]),
                Event::Trailers => {
                    let mut trailers = ResponseHead::new(Status::OK);
                    if let Some(received) = attempt.wire.trailers() {
                        self.mount.response.fill_trailers(received, &mut trailers);
                    }
                    io.answer.trailers(&trailers);
                }
                Event::End => {
                    attempt.rest.extend_from_slice(&received[at + step.consumed..]);
                    return Ok(Read::End);
                }
                Event::Switched => {
                    let rest = received[at + step.consumed..].to_vec();
                    self.switch(rest, values, now_ms, io)?;
                    return Ok(Read::Switched);
                }
            }
            at += step.consumed;
            match accepted {
                Accepted::Room => {}
                Accepted::Full => {
                    if let Some(attempt) = &mut self.attempt {
                        attempt.needs_more = false;
                        attempt.rest.extend_from_slice(&received[at..]);
                        // The end may be known already.
                        if attempt.wire.is_complete() {
                            return Ok(Read::End);
                        }
                    }
                    return Ok(Read::Full);
                }
                Accepted::End | Accepted::Gone => return Ok(Read::Unwanted),
            }
        }
    }

    fn inform(&mut self, values: &mut Vec<u8>, io: &mut ExchangeIo<'_>) -> Result<(), Stop> {
        let Some(attempt) = &self.attempt else { return Ok(()) };
        // 100 is for this server: the client was told to send, or its content is complete (RFC 9110 §10.1.1).
        if attempt.wire.head().status() != Status(100) {
            let mut head = ResponseHead::new(Status::OK);
            self.fill(attempt, &mut head, values, io)?;
            io.answer.inform(&head);
        }
        Ok(())
    }

    fn head(&mut self, values: &mut Vec<u8>, now_ms: u64, io: &mut ExchangeIo<'_>) -> Result<(), Stop> {
        let spare = SCRATCH.with_borrow_mut(|scratch| scratch.head.take());
        let mut head = spare.unwrap_or_else(|| ResponseHead::new(Status::OK));
        if let Some(attempt) = &self.attempt {
            let status = attempt.wire.head().status().0;
            if self.key.is_some() && (200..300).contains(&status) {
                // RFC 8441 §5: a 2xx would tell the client that it was switched.
                let refused = "the upstream answered a request to switch protocols with a 2xx and did not switch";
                return Err(Failure::Answer(Fault::new(FaultKind::Upgrade, refused)).into());
            }
            if self.may_try_for_status(status, attempt, now_ms, io) {
                return Err(Stop::Failed(Failure::Status(status)));
            }
            if self.mount.intercepted.contains(&status) {
                attempt.lease.answered(status, attempt.waited_us(now_ms), now_ms);
                return Err(Stop::Answer(Error::answer(Status(status))));
            }
            let signals = self.fill(attempt, &mut head, values, io)?;
            if let Some(url) = signals.redirect {
                // The filter for internal files sends the file in the place of the content.
                head.add(b"X-Accel-Redirect", &url).map_err(|_| Failure::MALFORMED)?;
            }
            bind(attempt, &mut head, io)?;
        }
        if let Some(attempt) = &mut self.attempt {
            attempt.head_came(now_ms, &self.mount.group.policy);
        }
        self.has_head = true;
        io.answer.head(&head, None);
        SCRATCH.with_borrow_mut(|scratch| scratch.head = Some(head));
        Ok(())
    }

    /// The server switches protocols, and the client with it.
    fn switch(
        &mut self,
        rest: Vec<u8>,
        values: &mut Vec<u8>,
        now_ms: u64,
        io: &mut ExchangeIo<'_>,
    ) -> Result<(), Stop> {
        let Some(attempt) = self.attempt.take() else { return Ok(()) };
        let asked = self.mount.upgrades.asked(io.request).ok_or(Failure::MALFORMED)?;
        let key = self.key.as_ref().map(|key| &key[..]).or_else(|| websocket::key_of(io.request));
        check_switch(attempt.wire.head(), asked, key).map_err(Failure::Answer)?;
        let mut head = ResponseHead::new(Status::OK);
        self.fill(&attempt, &mut head, values, io)?;
        bind(&attempt, &mut head, io)?;
        self.has_head = true;
        let is_websocket = asked.eq_ignore_ascii_case(websocket::PROTOCOL);
        let head_us = attempt.waited_us(now_ms);
        let Attempt { lease, stream, wire, .. } = *attempt;
        SCRATCH.with_borrow_mut(|scratch| {
            // An idle tunnel owns no buffer.
            scratch.keep_buffer(std::mem::take(&mut self.outgoing.before));
            if let Some(reader) = wire.into_reader() {
                scratch.keep_reader(reader);
            }
        });
        lease.answered(101, head_us, now_ms);
        let is_taken = match self.key {
            Some(_) => io.answer.accept_connect(&accepted_for_http2(&head)),
            None => {
                values.clear();
                encode_switched(values, &head, asked);
                io.answer.switch(values)
            }
        };
        if !is_taken {
            return Err(Failure::MALFORMED.into());
        }
        self.tunnel = Some(Box::new(Tunnel::new(stream, lease, rest, is_websocket, now_ms)));
        Ok(())
    }

    fn fill(
        &self,
        attempt: &Attempt,
        head: &mut ResponseHead,
        values: &mut Vec<u8>,
        io: &ExchangeIo<'_>,
    ) -> Result<Signals, Stop> {
        let server = attempt.lease.server();
        let facts = facts(&self.mount, io.request, server, self.outgoing.length, self.key.as_ref());
        Ok(self.mount.response.fill(attempt.wire.head(), io.request, &facts, head, values)?)
    }

    /// The server sends no more.
    fn closed(&mut self, error: Option<&io::Error>, now_ms: u64, io: &mut ExchangeIo<'_>) -> Result<Progress, Stop> {
        let Some(attempt) = &mut self.attempt else { return Ok(Progress::Waits) };
        match attempt.closed(error)? {
            Event::Trailers => {
                let mut trailers = ResponseHead::new(Status::OK);
                if let Some(received) = attempt.wire.trailers() {
                    self.mount.response.fill_trailers(received, &mut trailers);
                }
                io.answer.trailers(&trailers);
                Ok(self.end(now_ms, io))
            }
            Event::End => Ok(self.end(now_ms, io)),
            _ => Err(Failure::MALFORMED.into()),
        }
    }

    /// The answer is complete.
    fn end(&mut self, now_ms: u64, io: &mut ExchangeIo<'_>) -> Progress {
        if let Some(attempt) = self.attempt.take() {
            let Attempt { lease, stream, wire, rest, is_send_broken, .. } = *attempt;
            if !wire.stderr().is_empty() {
                let text = String::from_utf8_lossy(wire.stderr());
                (self.mount.warn)(&format!(
                    "{} wrote to the log: {}",
                    lease.server().name,
                    text.trim_end().escape_debug()
                ));
            }
            let policy = &self.mount.group.policy;
            let is_sent = self.outgoing.is_complete() && !is_send_broken;
            let is_young = stream.requests() < policy.keepalive_requests
                && now_ms.saturating_sub(stream.born_ms()) < policy.keepalive_time_ms;
            if is_sent {
                let server = lease.server();
                let is_reusable = is_young && wire.is_reusable(&rest);
                // For no time at all it is ended in an orderly way.
                let idle_ms = if is_reusable { server.idle_ms(wire.head().keep_alive_timeout_s()) } else { 0 };
                io.upstreams.keep(&server.target, stream, idle_ms);
            }
            SCRATCH.with_borrow_mut(|scratch| {
                if let Some(reader) = wire.into_reader() {
                    scratch.keep_reader(reader);
                }
                scratch.keep_buffer(std::mem::take(&mut self.outgoing.before));
                scratch.keep_buffer(rest);
            });
        }
        io.answer.end();
        Progress::Done
    }
}

/// Adds the cookie by which the client stays with its server.
fn bind(attempt: &Attempt, head: &mut ResponseHead, io: &ExchangeIo<'_>) -> Result<(), Failure> {
    match attempt.lease.cookie(io.request, attempt.wire.head()) {
        Some(cookie) => head.add(b"Set-Cookie", &cookie).map_err(|_| Failure::MALFORMED),
        None => Ok(()),
    }
}
