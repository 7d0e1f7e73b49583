//! Starts the engine: its threads, its first seat, and the lead.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use farrier_config::{Config, Protocol};
use farrier_http::Handler;

use super::lead::Lead;
use super::overdue::Overdue;
use super::reserve::Reserve;
use super::seat::{Seat, guard};
use super::shared::Shared;
use super::thread_state::InterpreterLock;
use super::{monitor, overdue, spawner};
use crate::control::Control;
use crate::metrics::Metrics;
use farrier_log::access::AccessLog;
use farrier_log::error::ErrorLog;
use farrier_protocol::connection_limit::ConnectionLimit;
use farrier_protocol::host::Host;
use farrier_protocol::rules::SiteRules;
use farrier_protocol::rules::{Rules, Seating, Security};
use farrier_scheduler::AcceptGate;
use farrier_transport::reactor::poller::Poller;
use farrier_transport::reactor::ready::ReadyQueue;
use farrier_transport::reactor::slots::Slots;
use farrier_transport::reactor::timers::Timers;
use farrier_transport::reactor::token::Token;
use farrier_transport::upstream::UpstreamPool;

/// What an engine is made of.
pub struct Parts {
    /// Listening sockets, non-blocking, in the order of `bind`.
    pub listeners: Vec<OwnedFd>,
    /// The protocol of each of them; HTTP for those beyond the list.
    pub protocols: Vec<Protocol>,
    /// Which of them use TLS, and on what terms.
    pub security: Security,
    /// What limits the connections of one client, if anything does.
    pub connection_limit: Option<ConnectionLimit>,
    /// The handler of all requests.
    pub handler: Arc<dyn Handler>,
    /// The sites that the handler routes to, if the engine needs their error pages and limits.
    pub sites: Option<Arc<dyn SiteRules>>,
    /// The runtime that the handler runs in.
    pub host: Arc<dyn Host>,
    /// The source of commands.
    pub control: Option<Box<dyn Control>>,
    /// The access log, if there is one.
    pub access_log: Option<Arc<AccessLog>>,
    /// The error log.
    pub error_log: Arc<ErrorLog>,
    /// The counters.
    pub metrics: Arc<dyn Metrics>,
    /// Ends the process at once; called when it must end and its first thread is inside a call.
    pub abandon: Box<dyn Fn() + Send + Sync>,
    /// Ends the process at once with a code that the arbiter takes for a crash. It is called after an internal error
    /// that has lost the lead or a request's accounting.
    pub fail: Box<dyn Fn() + Send + Sync>,
    /// Asks for the worker's replacement; called when a call does not return.
    pub stuck: Box<dyn Fn() + Send + Sync>,
}

/// Serves until told to stop. The calling thread becomes the first seat.
///
/// # Errors
/// The process is out of descriptors, memory or threads.
pub fn run(config: &Config, parts: Parts) -> io::Result<()> {
    let poller = Arc::new(Poller::new()?);
    let mut lead = Box::new(Lead {
        slots: Slots::default(),
        timers: Timers::default(),
        ready: ReadyQueue::default(),
        fetched: Vec::new(),
        listeners: parts.listeners,
        gate: AcceptGate::default(),
        is_watching: false,
        control: parts.control,
        now_ms: 0,
        draining_since_ms: None,
        quits: false,
        single_accepts: 0,
        arrivals: VecDeque::new(),
        woken: Vec::new(),
        upstreams: UpstreamPool::new(Arc::clone(&poller)),
        reserve: Reserve::new(),
    });
    if let Some(control) = &lead.control {
        for descriptor in control.descriptors() {
            poller.watch_control(descriptor, Token::CONTROL)?;
        }
    }
    for listener in &lead.listeners {
        // Linux copies the option to accepted sockets. On a unix socket there is nothing to set.
        let _ = rustix::net::sockopt::set_tcp_nodelay(listener.as_fd(), true);
    }
    lead.apply_gate(&poller);
    let interpreter_lock = InterpreterLock::learn(&parts.host);
    let seating = Seating::of(config);
    let overdue = Overdue::new(seating.request_timeout, parts.stuck);
    let shared = Arc::new(Shared::new(
        poller,
        parts.host,
        parts.handler,
        Rules::of(config, parts.protocols, parts.security, parts.connection_limit, parts.sites),
        seating,
        interpreter_lock,
        parts.access_log,
        parts.error_log,
        parts.metrics,
        parts.abandon,
        parts.fail,
        lead,
        overdue,
    ));
    shared.threads.occupy(0, &*shared.host);
    let watched = Arc::clone(&shared);
    let monitor = std::thread::Builder::new()
        .name("farrier-monitor".into())
        .spawn(move || guard(&watched, || monitor::run(&watched)))?;
    // The first and only time it is set.
    let _ = shared.monitor.set(monitor.thread().clone());
    if shared.overdue.is_some() {
        let watched = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("farrier-overdue".into())
            .spawn(move || guard(&watched, || overdue::run(&watched)))?;
    }
    let watched = Arc::clone(&shared);
    let spawner = std::thread::Builder::new()
        .name("farrier-spawner".into())
        .spawn(move || guard(&watched, || spawner::run(&watched)))?;
    let _ = shared.spawner.set(spawner.thread().clone());
    spawner::bring_spares(&shared);
    Seat::new(0, Arc::clone(&shared)).run();
    Ok(())
}
