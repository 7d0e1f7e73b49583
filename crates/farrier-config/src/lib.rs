//! The settings of Farrier: one table, and everything that is generated from it.
//!
//! [`table`] holds one row per setting. The row gives the typed field of [`Config`], the flag, the variable, the key of
//! `farrier.toml`, the line of `--help`, the entry of the reference page and the shell completion. A new setting is one
//! row there and the line that uses it.
//!
//! [`gather`] reads the layers (environment, file, command line), checks every answer and returns what the command line
//! asks for. Nothing here opens a file, reads the environment or uses a socket: the caller passes them in.

#![forbid(unsafe_code)]

mod answer;
mod beyond;
mod documents;
mod error;
mod gather;
pub mod gunicorn;
mod layers;
mod lookup;
mod macros;
mod resolve;
mod setting;
mod settle;
pub mod sites;
mod suggest;
pub mod table;
pub mod tables;
pub mod value;

pub use answer::{Answer, Layer, Raw, Source};
pub use documents::{GUNICORN_TABLE_MARKS, gunicorn_table_markdown, reference_markdown};
pub use error::{ConfigError, Problem};
pub use gather::{Files, Outcome, PythonFile, Ran, gather, gather_from, resolve_embedded};
pub use lookup::{probably_meant, setting_name};
pub use resolve::Layers;
pub use setting::{Attribute, Setting};
pub use suggest::nearest;
pub use table::{ACTIONS, Config, SETTINGS};
pub use tables::{
    InternalFolder, Key, Mount, Place, Site, StaticMount, Upstream, UpstreamFail, UpstreamHealth, UpstreamServer,
    UpstreamSticky, UpstreamTls,
};
pub use value::{
    AccessLogFormat, Account, AcmeChallenge, AcmeDirectory, BindAddress, Bytes, CertificateNames, Cidr,
    ClientCertificates, Compress, ContentCoding, Email, EnvVar, ErrorPages, FieldName, HeaderMap, HostName,
    HostPattern, Http2Cleartext, HttpVersion, LogLevel, LogTarget, MediaPattern, Mode, NamePattern, Owner, Piece,
    Plain, Protocol, ProxyHeader, ProxyMount, ProxyProtocol, ProxyTarget, Rate, RedirectTarget, ReloadEngine,
    ResponseStatus, SchemeField, ServerProtocol, ServerUrl, StatsAddress, StatsdAddress, SyslogAddress, SyslogFacility,
    TlsVersion, TrustedPeer, UnixKind, UrlPath, UrlPrefix, WorkerClass, Workers,
};
