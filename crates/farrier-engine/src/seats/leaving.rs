//! How the engine ends: commands from outside, the drain, and the last seat.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::lead::Lead;
use super::seat::Seat;
use crate::control::Command;
use farrier_protocol::connection::{Connection, Phase};
use farrier_transport::reactor::poller::Readiness;
use farrier_transport::reactor::slots::Found;

/// How long a connection that was used lately may stay silent in a drain before it is closed, in ms. A client that
/// sends its next request at this moment must not lose it.
pub(super) const DRAIN_IDLE_MS: u64 = 2000;

/// How long the end waits for a first seat that is not inside a call any more, in ms.
const FIRST_SEAT_PATIENCE_MS: u64 = 100;

impl Seat {
    pub(super) fn obey(&mut self, lead: &mut Lead) {
        self.check_descriptors(lead);
        let commands = lead.control.as_mut().map(|control| control.take()).unwrap_or_default();
        for command in commands {
            match command {
                Command::Drain => self.drain(lead),
                Command::Quit => {
                    lead.draining_since_ms.get_or_insert(lead.now_ms);
                    lead.quits = true;
                }
                Command::ReopenLogs => {
                    self.shared.error_log.reopen();
                    if let Some(log) = &self.shared.access_log {
                        log.reopen();
                    }
                }
            }
        }
    }

    /// Begins to stop: accepts the connections that are queued at the listeners, then no more. The listeners are closed, or
    /// clients would connect to a socket at which nobody accepts for as long as a call lasts.
    fn drain(&mut self, lead: &mut Lead) {
        if lead.draining_since_ms.is_some() {
            return;
        }
        self.shared.draining.store(true, Ordering::Relaxed);
        lead.draining_since_ms = Some(lead.now_ms);
        self.sweep_listeners(lead);
        lead.gate.drain();
        lead.apply_gate(&self.shared.poller);
        lead.upstreams.drain();
        lead.listeners.clear();
        for token in lead.slots.parked() {
            if let Found::Connection(mut connection) = lead.slots.take(token) {
                if matches!(connection.phase, Phase::Http2(_)) {
                    self.send_goaway(lead, connection);
                    continue;
                }
                if matches!(connection.phase, Phase::Idle) {
                    connection.deadline_ms = connection.deadline_ms.min(lead.now_ms + DRAIN_IDLE_MS);
                }
                if matches!(connection.phase, Phase::Exchange(_)) {
                    // It is told that the worker ends.
                    lead.ready.push(token, Readiness::WRITABLE);
                }
                self.park(lead, connection);
            }
        }
    }

    /// Whether the engine has nothing left to do.
    pub(super) fn is_over(&self, lead: &Lead) -> bool {
        if lead.draining_since_ms.is_none() {
            return false;
        }
        if lead.quits {
            return true;
        }
        // A client that connects after the stop is served by another process that has the listener, or by none.
        self.is_empty(lead) && lead.ready.is_empty() && lead.arrivals.is_empty()
    }

    /// Whether the only connections left are those whose calls are not waited for.
    pub(super) fn is_empty(&self, lead: &Lead) -> bool {
        let open = lead.slots.open();
        let Some(overdue) = &self.shared.overdue else { return open == 0 };
        if open > overdue.given_up() {
            return false;
        }
        // Streams of one connection are one connection, which is waited for as long as anything else is left of it.
        let awaits_given_up_streams = |connection: &Connection| match &connection.phase {
            Phase::Http2(session) => session.awaits_only_given_up_calls(),
            _ => false,
        };
        open <= overdue.given_up_connections() + lead.slots.count_parked(awaits_given_up_streams)
    }

    /// Orders all seats to end.
    pub(super) fn end(&mut self, lead: Box<Lead>) {
        drop(lead);
        self.shared.overload.write_all(&self.shared.error_log);
        let first_is_parked = self.shared.schedule(|scheduler, out| scheduler.stop(out));
        if let Some(monitor) = self.shared.monitor.get() {
            self.shared.monitor_asleep.store(false, Ordering::SeqCst);
            monitor.unpark();
        }
        if self.id != 0 && !first_is_parked && !self.first_seat_parks() {
            (self.shared.abandon)();
        }
    }

    /// Whether the first seat parks soon. It may have returned its last connection a moment ago, and only it ends the
    /// process in order.
    fn first_seat_parks(&self) -> bool {
        for _ in 0..FIRST_SEAT_PATIENCE_MS {
            if self.shared.scheduler().is_first_parked() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        false
    }
}
