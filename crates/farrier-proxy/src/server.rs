//! One server of an upstream: where it is, how much it has to do, and whether it may be asked.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

use farrier_http::upstream::Target;

use crate::hash::mixed;
use crate::health::agent::{self, Told};
use crate::health::{Failed, Failures, HealthPolicy, Standing, Words, checks, failed, words};

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// uwsgi, with the HTTP answer that uWSGI gives.
    Uwsgi,
    /// FastCGI, role RESPONDER.
    FastCgi,
}

/// An average without an answer in this time says nothing.
const HEAD_MS_MAX: u64 = 10_000;

/// The average's memory: its half-life of 10 s divided by ln 2.
const HEAD_MEMORY_MS: u64 = 14_427;

/// The average is kept in parts of 1/1024 µs.
const HEAD_PARTS: u64 = 1024;

/// The first answers count alike; later ones by the time that has passed.
const HEAD_FIRST: u32 = 16;

/// A server. Its counters are those of this worker, its [`Words`] those of all.
pub struct Server {
    /// Where it is.
    pub target: Target,
    /// Its name in the log: as the configuration writes it.
    pub name: String,
    /// Its name for operators: its id, or as the configuration writes it.
    pub label: String,
    /// Its entry in the configuration, counted from 0.
    pub place: usize,
    /// `host[:port]`, for Host and for addresses in its answers.
    pub authority: Box<[u8]>,
    /// How it is spoken to.
    pub protocol: Protocol,
    /// Its part of the requests; above 0.
    pub weight: u32,
    /// It is asked only if no other server may be.
    pub is_backup: bool,
    /// The configuration has taken it out.
    pub is_down: bool,
    /// It gets no new requests, except those of clients that are bound to it.
    pub is_draining: AtomicBool,
    /// Requests that it has at most; 0 is no bound.
    pub max_requests: u32,
    /// Names it in all processes, for hashes and cookies.
    pub key: u64,
    /// What all workers know of it.
    pub words: Words,
    /// When it was added, in ms of the clock that the processes share; 0 if it was there from the start.
    pub added_ms: u64,
    pub(crate) in_flight: AtomicU32,
    /// What the round robin owes it.
    pub(crate) turn: AtomicI64,
    pub(crate) failures: Failures,
    /// The longest time that a connection was idle and still usable, in ms; learned from connections that were not.
    pub(crate) idle_limit_ms: AtomicU64,
    /// Time from the request to the head, as a moving average.
    head: AtomicU64,
    /// When it last changed, in ms.
    head_ms: AtomicU64,
    /// Answers that it is made of, as far as they are counted.
    head_count: AtomicU32,
}

impl Server {
    /// A server with weight 1 that has nothing to do.
    pub fn new(target: Target, name: String, authority: Box<[u8]>, protocol: Protocol, idle_limit_ms: u64) -> Server {
        let key = mixed(0, name.as_bytes());
        Server {
            target,
            label: name.clone(),
            place: 0,
            name,
            authority,
            protocol,
            weight: 1,
            is_backup: false,
            is_down: false,
            is_draining: AtomicBool::new(false),
            max_requests: 0,
            key,
            words: Words::default(),
            added_ms: 0,
            in_flight: AtomicU32::new(0),
            turn: AtomicI64::new(0),
            failures: Failures::default(),
            idle_limit_ms: AtomicU64::new(idle_limit_ms),
            head: AtomicU64::new(0),
            head_ms: AtomicU64::new(0),
            head_count: AtomicU32::new(0),
        }
    }

    /// A key that names a server in all processes, made of texts.
    pub fn key_of(texts: &[&str]) -> u64 {
        texts.iter().fold(0, |key, text| mixed(key, text.as_bytes()))
    }

    /// Names it within the worker.
    pub fn id(&self) -> u64 {
        self.target.id
    }

    /// Requests that it has from this worker.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether it has room for another request.
    pub(crate) fn has_room(&self, has_agents: bool) -> bool {
        let most = match (self.max_requests, if has_agents { self.told().max_requests } else { 0 }) {
            (0, its) | (its, 0) => its,
            (a, b) => a.min(b),
        };
        most == 0 || self.in_flight() < most
    }

    fn told(&self) -> Told {
        Told::of(&self.words[words::AGENT])
    }

    /// Whether it may be asked. `now_ms` is of the clock that the processes share.
    pub fn standing(&self, policy: &HealthPolicy, now_ms: u64) -> Standing {
        if self.is_down {
            return Standing::Out;
        }
        let mode = if policy.has_agents { self.told().mode } else { agent::Mode::Ready };
        match mode {
            agent::Mode::Maintenance => return Standing::Out,
            _ if self.is_draining.load(Ordering::Relaxed) => return Standing::Draining,
            agent::Mode::Drains => return Standing::Draining,
            agent::Mode::Down => return Standing::Ill,
            agent::Mode::Ready => {}
        }
        if policy.is_checked {
            match checks::verdict(&self.words[words::CHECKED]) {
                checks::Verdict::Down(cause) if cause.is_unreachable() => return Standing::Unreachable,
                checks::Verdict::Down(_) => return Standing::Ill,
                checks::Verdict::Unchecked if policy.starts_down => return Standing::Unchecked,
                checks::Verdict::Unchecked | checks::Verdict::Up(_) => {}
            }
        }
        if policy.fail_max == 0 {
            return Standing::Well;
        }
        match failed(&self.words[words::FAILED], now_ms) {
            Failed::Well(_) => Standing::Well,
            Failed::Ejected => Standing::Ill,
            Failed::MayBeTried => Standing::Trial,
        }
    }

    /// Its weight in thousandths, above 0: what the agent says of it, and less after it has come back.
    pub(crate) fn effective_weight(&self, policy: &HealthPolicy, now_ms: u64) -> u64 {
        let slow_start_ms = policy.slow_start_ms;
        let mut weight = u64::from(self.weight) * 1000;
        if policy.has_agents
            && let Some(percent) = self.told().percent
        {
            weight = weight * u64::from(percent) / 100;
        }
        if slow_start_ms > 0 {
            let checked_ms = match checks::verdict(&self.words[words::CHECKED]) {
                checks::Verdict::Up(since_ms) if policy.is_checked => since_ms,
                _ => 0,
            };
            let failed_ms = match failed(&self.words[words::FAILED], now_ms) {
                Failed::Well(since_ms) if policy.fail_max > 0 => since_ms,
                _ => 0,
            };
            let since_ms = checked_ms.max(failed_ms).max(self.added_ms);
            let age_ms = now_ms.saturating_sub(since_ms);
            if since_ms > 0 && age_ms < slow_start_ms {
                weight = (weight / 10).max(weight * age_ms / slow_start_ms);
            }
        }
        weight.max(1)
    }

    /// A connection was closed after it had been idle for so long, before it answered: connections are kept for half of that
    /// time from now on.
    pub(crate) fn went_stale(&self, idle_ms: u64) {
        self.idle_limit_ms.store((idle_ms / 2).max(500), Ordering::Relaxed);
    }

    /// How long a connection may be idle: as learned, or as the server said.
    pub(crate) fn idle_ms(&self, told_s: Option<u32>) -> u64 {
        match told_s {
            // A second less than it says, so that it does not close the connection first.
            Some(seconds) => (u64::from(seconds) * 1000).saturating_sub(1000),
            None => self.idle_limit_ms.load(Ordering::Relaxed),
        }
    }

    /// The time to the head on average, in µs. `None`: there was no answer lately.
    pub(crate) fn head_us(&self, now_ms: u64) -> Option<u64> {
        let is_recent = now_ms.saturating_sub(self.head_ms.load(Ordering::Relaxed)) < HEAD_MS_MAX;
        Some(self.head.load(Ordering::Relaxed) / HEAD_PARTS).filter(|&us| us > 0 && is_recent)
    }

    /// A head has come, so long after the request. `now_ms` is of the clock that the processes share.
    pub(crate) fn answered(&self, head_us: u64, now_ms: u64) {
        let before = self.head.load(Ordering::Relaxed);
        let sample = head_us.clamp(1, 1 << 40) * HEAD_PARTS;
        let passed_ms = now_ms.saturating_sub(self.head_ms.swap(now_ms, Ordering::Relaxed));
        let is_first = before == 0 || passed_ms >= HEAD_MS_MAX;
        let count = if is_first { 0 } else { self.head_count.load(Ordering::Relaxed) };
        let moved = sample as i64 - before as i64;
        let after = if count < HEAD_FIRST {
            self.head_count.store(count + 1, Ordering::Relaxed);
            if is_first { sample } else { before.saturating_add_signed(moved / i64::from(count + 1)) }
        } else {
            // At least a part of the answers of one ms counts.
            let part = passed_ms.max(1);
            let moved = i128::from(moved) * i128::from(part) / i128::from(part + HEAD_MEMORY_MS);
            before.saturating_add_signed(moved as i64)
        };
        self.head.store(after.max(1), Ordering::Relaxed);
    }

    /// It has failed: that counts as an answer that took three times as long as usual, so that a server that fails at once does
    /// not seem quick.
    pub(crate) fn took_failing(&self, now_ms: u64) {
        let before_us = self.head.load(Ordering::Relaxed) / HEAD_PARTS;
        if before_us > 0 {
            self.answered(before_us * 3, now_ms);
        }
    }
}
