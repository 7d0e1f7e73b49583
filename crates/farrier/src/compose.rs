//! Makes the parts of a worker from the settings: handlers, environs, counters. Later code does not read the
//! configuration.

use std::sync::Arc;

use farrier_config::sites::MountPlan;
use farrier_config::{Config, FieldName, UrlPath};
use farrier_engine::metrics::{Called, Metrics};
use farrier_handlers::acme_challenge;
use farrier_handlers::health::{self, HealthPaths};
use farrier_handlers::rate_limit::{self, RateLimit};
use farrier_handlers::sites::route;
use farrier_handlers::{hsts, https_redirect, request_id};
use farrier_http::{Handler, Status};
use farrier_log::error::{ErrorLog, Level};
use farrier_supervisor::heartbeat::Counter;
use farrier_supervisor::{ArbiterSettings, Listener, LocalAddress, Slot};
use farrier_wsgi::{Diagnostics, Surroundings, traceback};
use pyo3::prelude::*;

use crate::painted::Paint;
use crate::sites::Opened;
use crate::{acme, filters, logging, recycling, sites};

/// The arbiter's settings.
pub(crate) fn arbiter_settings(config: &Config) -> ArbiterSettings {
    ArbiterSettings {
        workers: worker_count(config),
        preload: config.preload_app,
        graceful_timeout: config.graceful_timeout,
        drain_delay: config.drain_delay,
        timeout: (!config.timeout.is_zero()).then_some(config.timeout),
        max_worker_lifetime: (!config.max_worker_lifetime.is_zero()).then_some(config.max_worker_lifetime),
        max_worker_lifetime_jitter: config.max_worker_lifetime_jitter,
        jitter_seed: recycling::chance(),
        max_worker_rss_bytes: Some(config.max_worker_rss.0).filter(|&bytes| bytes > 0),
        daemon: config.daemon,
        ..ArbiterSettings::default()
    }
}

/// How many workers serve.
pub(crate) fn worker_count(config: &Config) -> u32 {
    config.workers.on(farrier_supervisor::process::cpus_allowed())
}

/// The handlers, the outermost first: health checks, then filters for every request, then the sites with their mounts.
pub(crate) fn handler(
    config: &Config,
    opened: &Opened,
    mounts: Vec<Vec<Arc<dyn Handler>>>,
    secure_port: Option<u16>,
    rate_limit: Option<RateLimit>,
    slot: Slot,
) -> Arc<dyn Handler> {
    let path = |path: &Option<UrlPath>| path.as_ref().map(|UrlPath(path)| path.clone());
    let paths = HealthPaths {
        live: path(&config.livez_path),
        ready: path(&config.readyz_path),
        is_logged: config.health_access_log,
    };
    let limited = rate_limit::around(route(&opened.sites, mounts), rate_limit, &opened.sites);
    let told = hsts::around(limited, filters::hsts(config));
    let secured = https_redirect::around(told, secure_port);
    let challenged = acme_challenge::around(secured, acme::answers(config, farrier_acme::Challenge::Http01));
    let field = config.request_id_header.as_ref().map(|FieldName(name)| name.as_str());
    let named = request_id::around(challenged, field);
    health::around(named, paths, move || slot.is_leaving())
}

/// The values of every environ of an application.
pub(crate) fn surroundings(
    config: &Config,
    listeners: &[Listener],
    log: &Arc<ErrorLog>,
    mount: &MountPlan,
) -> Surroundings {
    Surroundings {
        listeners: listeners.iter().map(|listener| environ_listener(listener.local())).collect(),
        multithread: config.threads > 1,
        multiprocess: worker_count(config) > 1,
        server_software: format!("farrier/{}", env!("CARGO_PKG_VERSION")),
        script_name: sites::base(),
        mount: mount.path.as_str().to_owned(),
        diagnostics: Arc::new(LoggedDiagnostics(Arc::clone(log), Paint::of(config), config.clone())),
        noted: logging::noted_environ(config),
    }
}

fn environ_listener(local: &LocalAddress) -> farrier_wsgi::Listener {
    match local {
        LocalAddress::Inet(address) => farrier_wsgi::Listener {
            server_name: address.ip().to_string(),
            server_port: address.port().to_string(),
            is_unix: false,
        },
        LocalAddress::Unix(path) => farrier_wsgi::Listener {
            server_name: path.display().to_string(),
            server_port: String::new(),
            is_unix: true,
        },
        LocalAddress::Abstract(name) => farrier_wsgi::Listener {
            server_name: format!("@{}", String::from_utf8_lossy(name)),
            server_port: String::new(),
            is_unix: true,
        },
    }
}

/// The bridge's errors go to the error log.
struct LoggedDiagnostics(Arc<ErrorLog>, Paint, Config);

impl Diagnostics for LoggedDiagnostics {
    fn application_failed(&self, text: &str) {
        self.0.exception(&self.1.traceback(text));
    }

    fn application_raised(&self, py: Python<'_>, text: &str, raised: &PyErr) {
        // The application's own log handlers need the exception, for its type and its stack.
        if !self.0.is_diverted() || logging::raised(py, &self.0, text, raised).is_err() {
            self.application_failed(&format!("{text}\n{}", traceback::text(py, raised)));
        }
    }

    fn application_warned(&self, text: &str) {
        self.0.write(Level::Warning, text);
    }

    fn forked_process_ended(&self, text: &str) {
        match logging::direct(&self.2) {
            Ok(log) => log.write(Level::Error, &self.1.traceback(text)),
            Err(reason) => eprintln!("farrier: {reason}\n{text}"),
        }
    }

    fn put(&self, text: &str) {
        self.0.put(text);
    }
}

/// The worker's counters live in the arbiter's shared memory.
pub(crate) struct SharedCounters {
    pub(crate) slot: Slot,
    /// Whether more counters than the number of requests are read.
    pub(crate) is_read: bool,
}

impl Metrics for SharedCounters {
    fn accepted(&self) {
        self.slot.count(Counter::Accepted, 1);
    }

    fn called(&self, call: &Called) {
        self.slot.count(Counter::Requests, 1);
        if self.is_read {
            self.slot.count(Counter::CallNs, call.duration_ns);
            self.slot.count(Counter::ContentBytes, call.content_bytes);
            if call.has_failed {
                self.slot.count(Counter::Exceptions, 1);
            }
        }
    }

    fn answered(&self, _: Status) {
        self.slot.count(Counter::Answers, 1);
    }

    fn overdue(&self, calls: usize) {
        self.slot.count(Counter::Timeouts, calls as u64);
    }

    fn set_active(&self, active: bool) {
        self.slot.set_active(active);
    }

    fn running(&self, calls: usize) {
        self.slot.set_running(calls as u64);
    }

    fn beat(&self) {
        self.slot.beat(farrier_supervisor::clock::monotonic_ms());
    }
}
