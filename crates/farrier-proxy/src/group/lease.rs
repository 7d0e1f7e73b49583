//! The place of a request at a server, and what its outcome says of the server.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use farrier_http::Request;
use farrier_http::wire::client::ReceivedHead;

use super::Group;
use crate::health::failures::{self, Trial};
use crate::health::{Cause, Change, words};
use crate::server::Server;

/// A request's place at a server. Dropped, the place is free.
pub struct Lease {
    group: Arc<Group>,
    server: Arc<Server>,
    /// It decides whether the server comes back.
    trial: Option<Trial>,
}

impl Lease {
    pub(super) fn new(group: &Arc<Group>, server: &Arc<Server>, trial: Option<Trial>) -> Lease {
        group.in_flight.fetch_add(1, Ordering::Relaxed);
        server.in_flight.fetch_add(1, Ordering::Relaxed);
        Lease { group: Arc::clone(group), server: Arc::clone(server), trial }
    }

    /// The server.
    pub fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// The Set-Cookie by which the client stays with this server, if it is to have one.
    pub(crate) fn cookie(&self, request: &Request, head: &ReceivedHead) -> Option<Vec<u8>> {
        let sticky = self.group.sticky.as_ref()?;
        // A server that drains keeps its clients and gets no more.
        let binds = !self.server.is_draining.load(Ordering::Relaxed);
        sticky.answered(request, head, self.server.key, binds)
    }

    /// Whether it decides if an ejected server comes back.
    pub fn is_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// The server has answered with this status, so long after the request.
    pub fn answered(&self, status: u16, head_us: u64, now_ms: u64) {
        if self.group.policy.health.fail_on.contains(&status) {
            return self.group.failed(&self.server, self.is_trial(), Cause::Status, now_ms);
        }
        let now_ms = self.group.shared_ms(now_ms);
        self.server.answered(head_us, now_ms);
        if self.is_trial() && failures::readmit(&self.server.words[words::FAILED], now_ms) {
            self.group.note(&self.server, Change::Readmitted, now_ms);
            self.group.wake_all();
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(trial) = self.trial {
            // Without a verdict: the client has left.
            failures::leave_trial(&self.server.words[words::FAILED], trial);
        }
        self.server.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.group.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.group.queue.wake_next();
    }
}
