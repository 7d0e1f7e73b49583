//! The settings of the data plane, as the modules of this crate use them: read once, in the units they are used in.

use std::borrow::Cow;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

pub use farrier_config::Protocol;
use farrier_config::sites::Target;
use farrier_config::value::Value;
use farrier_config::{Config, HeaderMap, Http2Cleartext, ProxyProtocol, TrustedPeer};
use farrier_http::wire::proxy::Versions;
use farrier_http::{
    Error, FieldPolicy, Kind, Limits, Peer, Request, ResponseHead, SchemeField, Status, Underscores, field,
};
use rustls::ServerConfig;

use crate::admission::Admission;
use crate::connection_limit::{self, ConnectionLimit, Counted, TooMany};
use crate::dropped_fields::DroppedFields;
use crate::h2::stream::Keeping;
use crate::rescue::{self, Page};
use farrier_scheduler::Bounds;
use farrier_tls::Terms;
use farrier_transport::pace::PaceRules;
use farrier_transport::response_budget::ResponseBudget;
use farrier_transport::spool::SpoolSettings;
use farrier_transport::upload_budget::UploadBudget;

/// Settings of connections and messages.
pub struct Rules {
    pub(crate) limits: Limits,
    /// Temporary files of request content.
    pub spool: SpoolSettings,
    /// An idle connection lives this long.
    pub keepalive_ms: u64,
    /// Requests on one connection; 0 is no limit.
    pub keepalive_requests: u64,
    /// A head arrives within this time.
    pub header_timeout_ms: u64,
    /// Longest pause within the content.
    pub body_timeout_ms: u64,
    /// Bytes a second; 0 is no minimum.
    pub body_rate_min: u64,
    /// Longest pause while a client takes nothing.
    pub write_timeout_ms: u64,
    /// Unread content is dropped for this long.
    pub linger_timeout_ms: u64,
    /// Content of a streamed request that may wait for its seat.
    pub request_buffer_bytes: u64,
    /// Bytes that are read and dropped meanwhile.
    pub linger_bytes_max: u64,
    /// Unsent bytes of a response above which its seat waits.
    pub response_buffer_bytes: u64,
    /// Bytes of all responses that wait for their clients.
    pub responses: Arc<ResponseBudget>,
    /// Bytes a second that a client must take of a response; 0 is no minimum.
    pub response_rate_min: u64,
    pub(crate) sendfile: bool,
    pub(crate) server_header: Vec<u8>,
    pub(crate) retry_after_s: u64,
    /// Open connections of the worker.
    pub connections_max: usize,
    /// Which request fields are obeyed and passed on.
    pub fields: FieldPolicy,
    /// Fields that were dropped were logged.
    pub dropped_fields: DroppedFields,
    /// The same for fields of responses.
    pub dropped_response_fields: DroppedFields,
    /// Which peer may speak which protocol.
    pub admission: Admission,
    pub(crate) http2: Http2Rules,
    /// Variables that are not obeyed were logged.
    pub has_noted_commands: AtomicBool,
    /// A TLS handshake ends within this time.
    pub handshake_timeout_ms: u64,
    /// The sites, if there are several, or error pages.
    sites: Option<Arc<dyn SiteRules>>,
    trusted_peers: Vec<TrustedPeer>,
    security: Security,
    connection_limit: Option<ConnectionLimit>,
}

/// What the engine must know of sites: their error pages, and the longest body of each mount.
pub trait SiteRules: Send + Sync {
    /// The error page for a status: that of the site in `choice` ([`Request::choice`]), or of the default site if none
    /// was chosen yet.
    fn page(&self, choice: u32, status: Status) -> Option<&Page>;

    /// The longest body of a request whose head is complete, in bytes; `usual` if its mount has no limit of its own.
    fn body_bytes_max(&self, request: &mut Request, usual: u64) -> u64;
}

/// Which listeners use TLS, and on what terms.
#[derive(Default)]
pub struct Security {
    /// One per listener, in the order of `bind`; none on those beyond.
    pub secured: Vec<bool>,
    /// The terms; without them no listener uses TLS.
    pub terms: Option<Arc<Terms>>,
}

impl Rules {
    /// The settings in the units of their use.
    pub fn of(
        config: &Config,
        protocols: Vec<Protocol>,
        security: Security,
        connection_limit: Option<ConnectionLimit>,
        sites: Option<Arc<dyn SiteRules>>,
    ) -> Rules {
        Rules {
            limits: Limits {
                request_line_bytes_max: size_unless_zero(config.limit_request_line),
                field_bytes_max: size_unless_zero(config.limit_request_field_size),
                fields_max: match config.limit_request_fields {
                    0 => usize::MAX,
                    fields => fields as usize,
                },
                head_bytes_max: size(config.limit_request_head),
                body_bytes_max: config.limit_request_body.0,
                chunk_line_bytes_max: size(config.limit_chunk_line),
                trailer_bytes_max: size(config.limit_trailers),
                permit_unconventional_method: config.permit_unconventional_http_method,
                permit_folding: config.permit_obsolete_folding,
            },
            spool: SpoolSettings {
                memory_bytes_max: size(config.body_buffer_bytes),
                directory: config.tmp_upload_dir.clone().unwrap_or_else(std::env::temp_dir),
                budget: UploadBudget::new(
                    config.upload_memory_max.0,
                    config.upload_disk_max.0,
                    config.upload_connection_max.0,
                ),
            },
            keepalive_ms: ms(config.keepalive),
            keepalive_requests: config.keepalive_requests,
            header_timeout_ms: ms_unless_zero(config.header_timeout),
            body_timeout_ms: ms_unless_zero(config.body_timeout),
            body_rate_min: config.body_rate_min.0,
            write_timeout_ms: ms_unless_zero(config.write_timeout),
            linger_timeout_ms: ms(config.linger_timeout),
            request_buffer_bytes: config.request_buffer_bytes.0,
            linger_bytes_max: config.linger_bytes_max.0,
            response_buffer_bytes: config.response_buffer_bytes.0,
            responses: Arc::new(ResponseBudget::new(config.response_memory_max.0, config.response_disk_max.0)),
            response_rate_min: config.response_rate_min.0,
            sendfile: config.sendfile,
            server_header: server_header(&config.server_header),
            retry_after_s: config.retry_after.as_secs().max(1),
            connections_max: config.worker_connections as usize,
            fields: field_policy(config),
            dropped_fields: DroppedFields::default(),
            dropped_response_fields: DroppedFields::default(),
            admission: admission(config, protocols),
            http2: Http2Rules::of(config),
            has_noted_commands: AtomicBool::new(false),
            handshake_timeout_ms: ms_unless_zero(config.handshake_timeout),
            sites,
            trusted_peers: config.forwarded_allow_ips.clone(),
            security,
            connection_limit,
        }
    }
}

impl Rules {
    /// Where a response may wait for its client.
    pub fn keeping(&self) -> Keeping<'_> {
        Keeping { budget: &self.responses, directory: &self.spool.directory, seat: None }
    }

    /// The terms of a session with a client that has just connected to a listener; `None` if TLS is not used.
    pub fn terms_of(&self, listener: usize, now_ms: u64) -> Option<Arc<ServerConfig>> {
        let terms = self.security.terms.as_ref()?;
        let is_secured = self.security.secured.get(listener).copied().unwrap_or(false);
        is_secured.then(|| terms.now(now_ms))
    }

    /// Counts a new connection. Web servers and load balancers are not limited, if their protocol identifies them: they
    /// connect for many clients.
    ///
    /// # Errors
    /// The client has reached its limit.
    pub fn count_connection(&self, listener: usize, peer: Peer) -> Result<Option<Counted>, TooMany> {
        match &self.connection_limit {
            Some(limit) if !self.admission.is_for_others(listener, peer) => limit.count(peer),
            _ => Ok(None),
        }
    }

    /// Answers a client that has reached its connection limit.
    pub fn tell_too_many(&self, socket: impl AsFd) {
        if let Some(limit) = &self.connection_limit {
            limit.tell(socket);
        }
    }

    /// The answer for a client that connects when the process is out of descriptors.
    pub fn out_of_descriptors(&self) -> Vec<u8> {
        let error = Error::server(Kind::Overloaded, "the process is out of file descriptors");
        connection_limit::whole_answer(&error, self.retry_after_s)
    }

    /// Whether forwarding fields from a peer at this address are trusted.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.trusted_peers.iter().any(|peer| peer.includes(address))
    }

    /// Whether a peer is a proxy that may receive the name of the file to send. A client never may.
    pub fn passes_file_names(&self, peer: Peer) -> bool {
        match peer {
            Peer::Unix => true,
            Peer::Tcp(address) => self.trusts(address.ip()),
        }
    }

    /// How fast a client must take a response.
    pub fn response_pace(&self) -> PaceRules {
        PaceRules { timeout_ms: self.write_timeout_ms, rate_min: self.response_rate_min }
    }

    /// The response for an error: with the page of the site that the request's choice names, if there is one.
    pub fn response_to(&self, error: &Error, choice: u32) -> Option<(ResponseHead, Cow<'_, [u8]>)> {
        rescue::response_to(error, self.retry_after_s, |status| self.sites.as_ref()?.page(choice, status))
    }

    /// The longest content of a request whose head is complete.
    #[inline]
    pub fn body_bytes_max(&self, request: &mut Request) -> u64 {
        let usual = self.limits.body_bytes_max;
        self.sites.as_ref().map_or(usual, |sites| sites.body_bytes_max(request, usual))
    }

    /// The limits for a request whose head is complete, if its mount has limits of its own.
    #[inline]
    pub fn limits_for(&self, request: &mut Request) -> Option<Limits> {
        let body_bytes_max = self.body_bytes_max(request);
        (body_bytes_max != self.limits.body_bytes_max).then(|| Limits { body_bytes_max, ..self.limits.clone() })
    }
}

fn admission(config: &Config, protocols: Vec<Protocol>) -> Admission {
    Admission {
        protocols,
        uwsgi_peers: Peers(config.uwsgi_allow_ips.clone()),
        fastcgi_peers: Peers(config.fastcgi_allow_ips.clone()),
        proxy_header: match config.proxy_protocol {
            ProxyProtocol::Off => None,
            ProxyProtocol::V1 => Some(Versions::V1),
            ProxyProtocol::V2 => Some(Versions::V2),
            ProxyProtocol::Auto => Some(Versions::Any),
        },
        proxy_peers: Peers(config.proxy_allow_ips.clone()),
        cleartext_http2_peers: match config.http2_cleartext {
            Http2Cleartext::Off => None,
            Http2Cleartext::PriorKnowledge => Some(Peers(config.forwarded_allow_ips.clone())),
        },
    }
}

/// Settings of HTTP/2.
pub struct Http2Rules {
    pub(crate) max_concurrent_streams: u32,
    pub(crate) initial_window_bytes: u32,
    pub(crate) connection_window_bytes: u32,
    pub(crate) max_frame_bytes: u32,
    pub(crate) max_header_list_bytes: u32,
    pub(crate) resets_max: u32,
    pub(crate) control_frames_max: u32,
    /// A mount may switch a stream to WebSocket (RFC 8441): clients are told that they may ask.
    pub(crate) permits_tunnels: bool,
}

impl Http2Rules {
    fn of(config: &Config) -> Http2Rules {
        let size = |bytes: farrier_config::Bytes| u32::try_from(bytes.0).unwrap_or(u32::MAX >> 1);
        Http2Rules {
            max_concurrent_streams: config.http2_max_concurrent_streams,
            initial_window_bytes: size(config.http2_initial_window_size),
            connection_window_bytes: size(config.http2_connection_window_size),
            max_frame_bytes: size(config.http2_max_frame_size),
            max_header_list_bytes: size(config.http2_max_header_list_size),
            resets_max: config.http2_resets_max,
            control_frames_max: config.http2_control_frames_max,
            permits_tunnels: permits_tunnels(config),
        }
    }
}

fn permits_tunnels(config: &Config) -> bool {
    let names_it = |protocol: &String| protocol == "*" || protocol.eq_ignore_ascii_case("websocket");
    let mounts = config.site_plans().unwrap_or_default().into_iter().flat_map(|site| site.mounts);
    mounts.into_iter().any(|mount| match mount.target {
        Target::Proxy(plan) => plan.mount.upgrade.iter().any(names_it),
        _ => false,
    })
}

/// Peers with a privilege; those on unix sockets are among them.
pub struct Peers(Vec<TrustedPeer>);

impl Peers {
    pub(crate) fn includes(&self, peer: Peer) -> bool {
        match peer {
            Peer::Unix => true,
            Peer::Tcp(address) => self.0.iter().any(|known| known.includes(address.ip())),
        }
    }
}

fn field_policy(config: &Config) -> FieldPolicy {
    let underscores = match config.header_map {
        HeaderMap::Drop => Underscores::Drop,
        HeaderMap::Refuse => Underscores::Refuse,
        HeaderMap::Dangerous => Underscores::Keep,
    };
    let scheme_fields =
        config.secure_scheme_headers.iter().map(|field| SchemeField::new(&field.name, &field.value)).collect();
    let believed: Vec<String> = config.proxy_headers.iter().map(Value::text).collect();
    FieldPolicy::new(
        underscores,
        config.forwarder_headers.iter().map(String::as_str),
        scheme_fields,
        believed.iter().map(String::as_str),
    )
    .telling(config.request_id_header.is_some())
    .removing_from_others(!config.trusted_proxy.is_empty())
}

/// The value of the Server field; empty for none, also if the text is not valid in a field.
fn server_header(text: &str) -> Vec<u8> {
    if text == "none" || !field::is_value(text.as_bytes()) { Vec::new() } else { text.as_bytes().to_vec() }
}

/// Settings of the seats.
#[derive(Debug, Clone)]
pub struct Seating {
    /// Calls that may run at the same time.
    pub threads: usize,
    /// How often running calls are looked at.
    pub tick: Duration,
    /// A call that takes longer is slow.
    pub slow_call_ns: u64,
    /// Requests that may wait for a thread.
    pub queue_max: usize,
    /// How long a request may wait for a thread.
    pub queue_timeout_ms: u64,
    /// A thread beyond the kept ones ends after this time.
    pub threads_idle_timeout: Duration,
    /// Calls that may wait for their clients to read.
    pub client_waits_max: usize,
    /// How long a call may take; 0 is no limit.
    pub request_timeout: Duration,
    /// How long calls of one route may hold half of the threads before the log says so; 0 for never.
    pub held_route_after: Duration,
}

impl Seating {
    /// The limits of the scheduler.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            threads: self.threads,
            queue_max: self.queue_max,
            queue_timeout_ms: self.queue_timeout_ms,
            tick_ns: self.tick.as_nanos() as u64,
            slow_call_ns: self.slow_call_ns,
            client_waits_max: self.client_waits_max,
        }
    }

    /// The settings in the units of their use.
    pub fn of(config: &Config) -> Seating {
        Seating {
            threads: config.threads.max(1) as usize,
            tick: config.tick.max(Duration::from_micros(100)),
            slow_call_ns: config.slow_call.as_nanos() as u64,
            queue_max: config.queue_max as usize,
            queue_timeout_ms: ms_unless_zero(config.queue_timeout),
            threads_idle_timeout: config.threads_idle_timeout,
            client_waits_max: match config.threads_waiting_max {
                0 => (config.threads as usize).div_ceil(2),
                most => most as usize,
            },
            request_timeout: config.request_timeout,
            held_route_after: config.held_route_after,
        }
    }
}

fn ms(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

/// A time-out that 0 turns off.
fn ms_unless_zero(duration: Duration) -> u64 {
    match ms(duration) {
        0 => u64::MAX / 4,
        timeout_ms => timeout_ms,
    }
}

/// A part of the head without a limit of its own has the limit of the head.
fn size_unless_zero(bytes: farrier_config::Bytes) -> usize {
    if bytes.0 == 0 { usize::MAX } else { size(bytes) }
}

fn size(bytes: farrier_config::Bytes) -> usize {
    usize::try_from(bytes.0).unwrap_or(usize::MAX)
}
