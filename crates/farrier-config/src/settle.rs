//! Makes a `Config` from the layers: every setting by itself, then the settings whose value follows from another.

use std::time::Duration;

use crate::answer::Source;
use crate::error::{ConfigError, Problem};
use crate::resolve::Layers;
use crate::table::Config;
use crate::value::{Bytes, Mode, ProxyHeader, TrustedPeer, WorkerClass};

impl Config {
    /// Takes every setting from the layers, and the values that follow from those that were set.
    ///
    /// # Errors
    /// Every error at once.
    pub fn resolve(layers: &Layers) -> Result<Config, ConfigError> {
        let (mut config, problems) = Config::from_layers(layers);
        let problems = if problems.is_empty() { settle(&mut config) } else { problems };
        if problems.is_empty() { Ok(config) } else { Err(ConfigError::of(problems)) }
    }

    /// Whether some layer gave the setting `name`, even with its default value.
    pub fn is_set(&self, name: &str) -> bool {
        !matches!(self.source_of(name), None | Some(Source::Default))
    }
}

impl Default for Config {
    /// The table's defaults, as when no layer answers.
    fn default() -> Config {
        match Config::resolve(&Layers::default()) {
            Ok(config) => config,
            // Invariant: without an answer there is nothing that could be wrong.
            Err(error) => unreachable!("the defaults do not resolve: {error}"),
        }
    }
}

/// Fills in the values that follow from the settings that were set, and returns contradictions. A setting that was set
/// is never changed, except `sync` with several threads, which is `gthread` as in Gunicorn.
fn settle(config: &mut Config) -> Vec<Problem> {
    if let Some(class) = config.worker_class {
        if !config.is_set("threads") {
            config.threads = 1;
            config.follow("threads", "worker_class");
        } else if class == WorkerClass::Sync && config.threads > 1 {
            config.worker_class = Some(WorkerClass::Gthread);
            config.follow("worker_class", "threads");
        }
    }
    if config.is_set("timeout") && !config.is_set("request_timeout") && config.timeout > Duration::ZERO {
        config.request_timeout = config.timeout;
        config.follow("request_timeout", "timeout");
    }
    if let Some(Mode(mask)) = config.umask
        && !config.is_set("unix_socket_mode")
    {
        config.unix_socket_mode = Mode(config.unix_socket_mode.0 & !mask);
        config.follow("unix_socket_mode", "umask");
    }
    if !config.is_set("limit_request_head") {
        let parts = [
            ("limit_request_line", config.limit_request_line),
            ("limit_request_field_size", config.limit_request_field_size),
        ];
        for (name, Bytes(part)) in parts {
            let more = part.saturating_sub(PART_BYTES_USUAL);
            if more > 0 {
                config.limit_request_head = Bytes(config.limit_request_head.0.saturating_add(more));
                config.follow("limit_request_head", name);
            }
        }
    }
    if config.trusted_proxy.is_empty() { Vec::new() } else { settle_trusted_proxy(config) }
}

/// `trusted_proxy` sets both `forwarded_allow_ips` and `proxy_headers`.
fn settle_trusted_proxy(config: &mut Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut contradicts = |config: &Config, name: &str, says: &str| {
        let source = config.source_of(name).cloned().unwrap_or_default();
        problems.push(Problem::at(source, format!("{name} {says}; set one of the two")));
    };
    let is_same = |peers: &[TrustedPeer], others: &[TrustedPeer]| {
        peers.iter().all(|peer| others.contains(peer)) && others.iter().all(|peer| peers.contains(peer))
    };
    if !config.is_set("forwarded_allow_ips") {
        config.forwarded_allow_ips = config.trusted_proxy.clone();
        config.follow("forwarded_allow_ips", "trusted_proxy");
    } else if !is_same(&config.forwarded_allow_ips, &config.trusted_proxy) {
        contradicts(config, "forwarded_allow_ips", "names other peers than trusted_proxy");
    }
    if !config.is_set("proxy_headers") {
        config.proxy_headers = ProxyHeader::ALL.to_vec();
        config.follow("proxy_headers", "trusted_proxy");
    } else if !ProxyHeader::ALL.iter().all(|field| config.proxy_headers.contains(field)) {
        contradicts(config, "proxy_headers", "does not name every field, and trusted_proxy trusts them all");
    }
    problems
}

/// The default limit of a request line and of a field. The default limit of the head has room for both.
const PART_BYTES_USUAL: u64 = 8190;
