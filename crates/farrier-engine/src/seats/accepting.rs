//! How the leader takes connections from the listeners.

use std::sync::Arc;

use farrier_http::{Error, Kind};

use super::lead::{Accepted, Lead};
use super::seat::Seat;
use super::turn::Turn;
use farrier_log::error::Level;
use farrier_protocol::connection::{Connection, Phase};
use farrier_transport::reactor::poller::Readiness;

/// Connections that are refused before other connections get their turn.
const DISMISSALS_A_TURN: usize = 64;

impl Seat {
    /// Takes connections that wait at a listener and serves the requests they bring at once. `None`: another seat
    /// leads.
    pub(super) fn accept(&mut self, mut lead: Box<Lead>, listener: usize) -> Option<Box<Lead>> {
        if !lead.gate.is_open() {
            // Closed by an earlier event of the same batch.
            return Some(lead);
        }
        let turn = lead.accepts_a_turn();
        let mut count = 0;
        let mut time: Option<Turn> = None;
        while count < turn {
            let Some(connection) = self.take_connection(&mut lead, listener) else { break };
            count += 1;
            lead = self.advance(lead, connection)?;
            let clock = &self.shared.clock;
            if turn > 1 && time.get_or_insert_with(|| Turn::begin(clock)).is_over(clock) {
                break;
            }
        }
        lead.accepted(count);
        lead.apply_gate(&self.shared.poller);
        Some(lead)
    }

    /// Takes all connections that wait at a listener and parks them.
    fn accept_all(&mut self, lead: &mut Lead, listener: usize) {
        while let Some(connection) = self.take_connection(lead, listener) {
            if matches!(connection.phase, Phase::Flushing { .. }) {
                let now = Readiness::WRITABLE;
                lead.ready.push(connection.token, now);
            }
            self.park(lead, connection);
        }
    }

    /// Takes one connection; one that is above the cap is refused at once.
    fn take_connection(&mut self, lead: &mut Lead, listener: usize) -> Option<Box<Connection>> {
        let shared = Arc::clone(&self.shared);
        let mut accepted = lead.accept(listener, &shared.rules);
        for _ in 0..DISMISSALS_A_TURN {
            if !matches!(accepted, Accepted::Dismissed) {
                break;
            }
            accepted = lead.accept(listener, &shared.rules);
        }
        match accepted {
            Accepted::Connection(connection) => {
                shared.metrics.accepted();
                Some(connection)
            }
            Accepted::OverCap(mut connection) => {
                let error = Error::server(
                    Kind::Overloaded,
                    "the worker has reached its connection limit (see worker_connections; raise it, or add workers)",
                );
                let request = self.scratch.take_request();
                self.refuse(&mut connection, error, request, lead.now_ms);
                Some(connection)
            }
            Accepted::Nobody | Accepted::Dismissed => None,
            Accepted::NoListener(error) => {
                self.lose("listener", &error);
                None
            }
            Accepted::OutOfDescriptors(error) => {
                if let Some(refused) = lead.pause_accepting(listener, &shared.rules) {
                    let lately = match refused {
                        0 => String::new(),
                        refused => format!(" ({refused} clients were refused since the last such line)"),
                    };
                    shared.error_log.write(
                        Level::Error,
                        &format!(
                            "cannot accept a connection: {error}; raise the limit of open files (ulimit -n) or lower \
                             worker_connections{lately}"
                        ),
                    );
                }
                None
            }
        }
    }

    pub(super) fn sweep_listeners(&mut self, lead: &mut Lead) {
        for listener in 0..lead.listeners.len() {
            self.accept_all(lead, listener);
        }
    }
}
