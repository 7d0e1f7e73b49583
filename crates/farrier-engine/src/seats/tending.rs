//! How the leader serves connections between their requests: takes them back, writes unsent data, lets them wait, and
//! ends those that have timed out.

use std::sync::Arc;

use farrier_http::{Error, Kind};

use super::disk::{self, Load};
use super::lead::Lead;
use super::leaving::DRAIN_IDLE_MS;
use super::returns::Returned;
use super::seat::{Seat, Settled};
use super::shared::Work;
use farrier_log::access::peer_text;
use farrier_log::error::Level;
use farrier_protocol::after_response::AfterResponse;
use farrier_protocol::connection::{Connection, Phase};
use farrier_protocol::h1::{self, Expired};
use farrier_protocol::rules::Seating;
use farrier_scheduler::Job;
use farrier_transport::link::{Received, Sent};
use farrier_transport::pace::TooSlow;
use farrier_transport::reactor::poller::Readiness;
use farrier_transport::reactor::slots::Found;

/// Bytes discarded from a lingering connection before other connections get their turn.
const LINGER_TURN_BYTES: usize = 256 * 1024;

impl Seat {
    /// Takes back connections that other seats have finished with.
    pub(super) fn absorb(&mut self, lead: &mut Lead, returns: Vec<Returned>) {
        for returned in returns {
            match returned {
                Returned::Closed(token) => lead.release(token),
                Returned::Ready(waiting) => lead.fetched.push(waiting),
                Returned::Fetched(token) => lead.ready.push(token, Readiness::WRITABLE),
                Returned::Open(connection) if connection.stream.is_some() => self.stream_ended(lead, &connection),
                Returned::Open(connection) if connection.upload.is_some() => {
                    self.upload_answered(lead, &connection, Settled::Open);
                }
                Returned::Open(connection) => {
                    let readiness = Readiness {
                        readable: connection.readable,
                        writable: matches!(connection.phase, Phase::Flushing { .. }),
                        ended: connection.ended,
                        hung_up: connection.link.is_gone(),
                    };
                    let waits = matches!(connection.phase, Phase::Idle) && !readiness.readable && !readiness.hung_up;
                    let token = connection.token;
                    let mut connection = connection;
                    if lead.draining_since_ms.is_some() {
                        connection.deadline_ms = connection.deadline_ms.min(lead.now_ms + DRAIN_IDLE_MS);
                    }
                    self.park(lead, connection);
                    if !waits {
                        lead.ready.push(token, readiness);
                    }
                }
            }
        }
    }

    /// Writes more of a response. False: the connection must be closed.
    pub(super) fn flush(&mut self, lead: &mut Lead, connection: &mut Connection) -> bool {
        match connection.link.flush() {
            Sent::Broken => return false,
            Sent::Unsent(_) => {
                connection.link.watch_writable(&self.shared.poller, connection.token);
                let look_again_ms = lead.now_ms + self.shared.rules.response_pace().look_again_ms();
                // A pending check is not postponed: a client that reads slowly causes an event now and then.
                connection.deadline_ms = connection.deadline_ms.min(look_again_ms);
                if connection.link.has_more_now() {
                    let again = Readiness::WRITABLE;
                    lead.ready.push(connection.token, again);
                }
                if let Some(cold) = connection.link.take_cold() {
                    let load = Load::Stretch(connection.token, Arc::clone(&connection.link), cold);
                    return disk::send(&self.shared, load).is_ok();
                }
                return true;
            }
            Sent::All => {}
        }
        let Phase::Flushing { then, next } = std::mem::replace(&mut connection.phase, Phase::Idle) else { return true };
        let rules = &self.shared.rules;
        match then {
            AfterResponse::Close => return false,
            AfterResponse::Linger => {
                connection.link.shutdown_write();
                connection.phase = Phase::Lingering { left_bytes: rules.linger_bytes_max };
                connection.deadline_ms = lead.now_ms + rules.linger_timeout_ms;
                // No event announces again what came before the answer.
                connection.readable = true;
            }
            AfterResponse::KeepAlive => match next {
                Some(next) => {
                    connection.phase = Phase::Head(next);
                    connection.deadline_ms = lead.now_ms + rules.header_timeout_ms;
                }
                // Its answer promised a persistent connection, but the drain has begun since.
                None if lead.draining_since_ms.is_some() => connection.deadline_ms = lead.now_ms + DRAIN_IDLE_MS,
                None => connection.deadline_ms = lead.now_ms + rules.keepalive_ms,
            },
        }
        true
    }

    /// Reads and discards what a client still sends after its last answer. False: it has closed, or sends more than it
    /// may.
    pub(super) fn discard(&mut self, lead: &mut Lead, connection: &mut Connection) -> bool {
        let Phase::Lingering { left_bytes } = &mut connection.phase else { return true };
        if !connection.readable {
            return true;
        }
        let mut request = self.scratch.take_request();
        let mut turn_bytes = LINGER_TURN_BYTES;
        let open = loop {
            match connection.link.receive(request.arena.spare()) {
                Received::Bytes(count) if count as u64 >= *left_bytes => break false,
                Received::Bytes(count) => {
                    *left_bytes -= count as u64;
                    if count >= turn_bytes {
                        let again = Readiness::READABLE;
                        lead.ready.push(connection.token, again);
                        break true;
                    }
                    turn_bytes -= count;
                }
                Received::Nothing => {
                    connection.readable = false;
                    break true;
                }
                Received::End | Received::Plain(_) | Received::Broken => break false,
            }
        };
        self.scratch.give_back(request);
        open
    }

    /// Hands request content that waits to the disk thread.
    pub(super) fn spool_content(&self, lead: &mut Lead, connection: &Connection) {
        if let Phase::Content(partial) = &connection.phase
            && let Some(spool) = partial.sink.take_load()
            && disk::send_spool(&self.shared, connection.token, spool)
        {
            lead.ready.push(connection.token, Readiness::READABLE);
        }
    }

    pub(super) fn close(&mut self, lead: &mut Lead, connection: Box<Connection>) {
        lead.release(connection.token);
        drop(connection);
        lead.gate.resume();
    }

    /// Lets a connection wait.
    pub(super) fn park(&self, lead: &mut Lead, connection: Box<Connection>) {
        if let Err(error) = lead.park(connection, &self.shared.poller) {
            self.shared.error_log.write(
                Level::Error,
                &format!(
                    "cannot watch a connection, so it is closed: {error}; see /proc/sys/fs/epoll/max_user_watches"
                ),
            );
        }
    }

    pub(super) fn look_at_timers(&mut self, lead: &mut Lead) {
        while let Some(token) = lead.pop_due() {
            match lead.slots.take(token) {
                // A seat owns it: its deadline is entered when it is returned.
                Found::Nothing | Found::Busy(_) => {}
                Found::Connection(mut connection) => {
                    if matches!(connection.phase, Phase::Http2(_)) {
                        self.look_at_session(lead, connection);
                        continue;
                    }
                    if matches!(connection.phase, Phase::Flushing { .. }) {
                        self.look_at_flushing(lead, connection);
                        continue;
                    }
                    if matches!(connection.phase, Phase::Exchange(_)) {
                        lead.ready.push(token, Readiness::WRITABLE);
                        connection.deadline_ms = u64::MAX;
                        self.park(lead, connection);
                        continue;
                    }
                    match h1::expire(&mut connection, &self.shared.rules, lead.now_ms) {
                        Expired::NotYet => self.park(lead, connection),
                        Expired::Close => self.close(lead, connection),
                        Expired::Refuse(error, request) => {
                            self.refuse(&mut connection, error, request, lead.now_ms);
                            let now = Readiness::WRITABLE;
                            lead.ready.push(token, now);
                            self.park(lead, connection);
                        }
                    }
                }
            }
        }
        self.expire_jobs(lead);
    }

    /// The time has come by which a client must have taken some of its response, or enough of it.
    fn look_at_flushing(&mut self, lead: &mut Lead, mut connection: Box<Connection>) {
        // An event reports only a lot of room; a client that reads slowly is noticed here.
        connection.deadline_ms = lead.now_ms + self.shared.rules.response_pace().look_again_ms();
        if !self.flush(lead, &mut connection) {
            return self.close(lead, connection);
        }
        match connection.link.judge(self.shared.rules.response_pace()) {
            Some(Ok(next_ms)) => connection.deadline_ms = lead.now_ms + next_ms,
            Some(Err(too_slow)) => {
                self.note_too_slow(&connection, too_slow);
                connection.link.set_incomplete();
                return self.close(lead, connection);
            }
            // The client has taken everything, or the response waits for the disk.
            None if matches!(connection.phase, Phase::Flushing { .. }) => {}
            None => {
                let now = Readiness::WRITABLE;
                lead.ready.push(connection.token, now);
            }
        }
        self.park(lead, connection);
    }

    /// Says in the log why a client does not get the rest of its response.
    pub(super) fn note_too_slow(&self, connection: &Connection, too_slow: TooSlow) {
        let log = &self.shared.error_log;
        if log.is_on(Level::Debug) {
            let who = peer_text(connection.origin.peer);
            log.write(Level::Debug, &format!("The connection of ip={who} was closed: {}", too_slow.cause()));
        }
    }

    /// Requests that have waited too long for a seat are answered with 503.
    fn expire_jobs(&mut self, lead: &mut Lead) {
        loop {
            let job = self.shared.schedule(|scheduler, out| scheduler.expire(lead.now_ms, out));
            let Some(Job { work: Work { mut connection, request, .. }, .. }) = job else { return };
            let Seating { threads, queue_timeout_ms, .. } = self.shared.seating;
            let cause = format!(
                "no thread was free within queue_timeout ({} s): all threads of the worker ({threads}) were in calls; raise \
                 threads if the calls wait or workers if they compute, or find out why they are slow",
                queue_timeout_ms as f64 / 1000.0,
            );
            let error = Error::server(Kind::Overloaded, cause);
            self.refuse(&mut connection, error, request, lead.now_ms);
            if connection.stream.is_some() {
                self.stream_ended(lead, &connection);
                continue;
            }
            if connection.upload.is_some() {
                self.upload_answered(lead, &connection, Settled::Open);
                continue;
            }
            let now = Readiness::WRITABLE;
            lead.ready.push(connection.token, now);
            self.park(lead, connection);
        }
    }
}
