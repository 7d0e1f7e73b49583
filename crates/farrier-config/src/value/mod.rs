//! The types of settings. Each can be read from text or TOML, documents what it accepts, and can be written back.

mod access_log_format;
mod authority;
mod bind_address;
mod bytes;
mod certificate_names;
mod client_certificates;
mod compress;
mod duration;
mod env_var;
mod error_pages;
mod field_name;
mod hash_on;
mod host_name;
mod http2;
mod list;
mod log;
mod log_address;
mod media_pattern;
mod mode;
mod name_pattern;
mod number;
mod owner;
mod proxy_host;
mod proxy_protocol;
mod proxy_target;
mod proxy_word;
mod quote;
mod rate;
mod redirect;
mod scheme_field;
mod server_url;
mod stats_address;
mod status_range;
mod switch;
mod text;
mod text_map;
mod trusted_peer;
mod url_prefix;
mod word;
mod worker_class;
mod workers;

use std::cmp::Ordering;

pub use access_log_format::AccessLogFormat;
pub use authority::{AcmeDirectory, Email};
pub use bind_address::BindAddress;
pub use bytes::Bytes;
pub use certificate_names::CertificateNames;
pub use client_certificates::ClientCertificates;
pub use compress::{Compress, ContentCoding};
pub use env_var::EnvVar;
pub use error_pages::ErrorPages;
pub use field_name::FieldName;
pub use hash_on::HashOn;
pub use host_name::{HostName, HostPattern};
pub use http2::{Http2Cleartext, HttpVersion};
pub use log::{LogLevel, LogTarget};
pub use log_address::{StatsdAddress, SyslogAddress, UnixKind};
pub use media_pattern::MediaPattern;
pub use mode::Mode;
pub use name_pattern::NamePattern;
pub use owner::{Account, Owner};
pub use proxy_host::{ProxyHost, SourceAddress};
pub use proxy_protocol::ProxyProtocol;
pub use proxy_target::{ProxyMount, ProxyTarget, UpstreamName};
pub use proxy_word::{
    AccelField, Balance, CheckKind, CookiePath, CookieSecure, Flush, Forwarded, InitialHealth, ResolveFamily,
    RetryCause, SameSite, SentProxyHeader,
};
pub use rate::{Period, Rate};
pub use redirect::{Piece, RedirectTarget, ResponseStatus};
pub use scheme_field::SchemeField;
pub use server_url::{ServerProtocol, ServerUrl};
pub use stats_address::StatsAddress;
pub use status_range::StatusRange;
pub use text::UrlPath;
pub use text_map::TextMap;
pub use trusted_peer::{Cidr, TrustedPeer};
pub use url_prefix::UrlPrefix;
pub use word::{AcmeChallenge, HeaderMap, Protocol, ProxyHeader, ReloadEngine, SyslogFacility, TlsVersion};
pub use worker_class::WorkerClass;
pub use workers::Workers;

pub use quote::quoted;

use crate::answer::{Raw, Source};
use crate::tables::{Key, TableText, Written};

/// A type of settings. `parse` and `text` are each other's inverse, which a test checks for every default.
pub trait Value: Sized + PartialEq {
    /// What is accepted; completes the sentence "expected …".
    const EXPECTED: &'static str;
    /// The placeholder for the value in `--help`.
    const METAVAR: &'static str;
    /// How the flag takes its value.
    const SHAPE: Shape = Shape::Single;
    /// What a shell can offer as its completions.
    const COMPLETES: Completes = Completes::Nothing;
    /// Whether a TOML number is accepted; it is then parsed as the file spells it.
    const IS_NUMBER: bool = false;
    /// The keys of its tables in a file; empty if it is no table.
    const KEYS: &'static [Key] = &[];
    /// Whether a comma separates two values in a list; false if a value may contain a comma.
    const ENDS_AT_COMMA: bool = true;

    /// Reads the value from text.
    ///
    /// # Errors
    /// When the text is not one of [`Self::EXPECTED`].
    fn parse(text: &str) -> Result<Self, Rejected>;

    /// Writes the value as [`Self::parse`] reads it.
    fn text(&self) -> String;

    /// Reads the value from an answer.
    ///
    /// # Errors When the answer is of a kind that this type does not accept, or its text does not parse.
    fn read(raw: &Raw) -> Result<Self, Rejected> {
        match raw {
            Raw::Text(text) => Self::parse(text),
            Raw::Number(text) if Self::IS_NUMBER => Self::parse(text),
            Raw::Integer(number) if Self::IS_NUMBER => Self::parse(&number.to_string()),
            other => Err(Rejected::unexpected_raw(other)),
        }
    }

    /// Writes the value as TOML.
    fn toml(&self) -> String {
        quoted(&self.text())
    }

    /// The value as a type that every language has.
    fn plain(&self) -> Plain {
        Plain::Text(self.text())
    }

    /// The value as a table of a file; `None` if it is no table.
    fn table(&self) -> Option<TableText> {
        None
    }

    /// The value as written in a TOML file.
    fn written(&self) -> Written {
        Written::Inline(self.toml())
    }

    /// Tells the value where it was given, for types that keep their place.
    fn placed(&mut self, _source: &Source) {}

    /// Compares with a bound; `None` for types that have no order.
    fn order(&self, _bound: &Self) -> Option<Ordering> {
        None
    }
}

/// A value as a type that every language has, for code outside of Rust.
#[derive(Debug, Clone, PartialEq)]
pub enum Plain {
    /// No value.
    Nothing,
    /// On or off.
    Switch(bool),
    /// A whole number: a count, bytes, seconds, permissions.
    Whole(u64),
    /// Seconds that are not whole.
    Fraction(f64),
    /// Text.
    Text(String),
    /// Several values.
    List(Vec<Plain>),
    /// Values by name.
    Table(Vec<(String, Plain)>),
}

/// How the command line gives a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One value; the last flag wins.
    Single,
    /// Each flag adds to the list.
    List,
    /// The flag takes no value, and `--no-` turns it off.
    Switch,
}

/// What a shell can offer when it completes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Completes {
    /// No completions.
    Nothing,
    /// One of these words.
    Words(&'static [&'static str]),
    /// A path.
    Path,
}

/// Why a value was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The reason.
    pub reason: Reason,
    /// The place, if it is narrower than the answer's: the item of a list.
    pub source: Option<Source>,
}

/// The reason of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The row does not accept it; the message is made from the row.
    Unexpected {
        /// The value, as the message shows it.
        got: String,
    },
    /// A message that says more than "expected …".
    Because(String),
    /// Several errors, each with its place.
    Several(Vec<Rejected>),
}

impl Rejected {
    /// The text is not what the type accepts.
    pub fn unexpected(text: &str) -> Rejected {
        Rejected { reason: Reason::Unexpected { got: format!("`{text}`") }, source: None }
    }

    /// The refusal has a message of its own.
    pub fn because(sentence: impl Into<String>) -> Rejected {
        Rejected { reason: Reason::Because(sentence.into()), source: None }
    }

    /// The errors of several places; `Ok` if there is none.
    pub(crate) fn all(mut found: Vec<Rejected>) -> Result<(), Rejected> {
        match found.len() {
            0 => Ok(()),
            1 => Err(found.remove(0)),
            _ => Err(Rejected { reason: Reason::Several(found), source: None }),
        }
    }

    pub(crate) fn unexpected_raw(raw: &Raw) -> Rejected {
        let got = match raw {
            Raw::Text(text) | Raw::Number(text) => format!("`{text}`"),
            Raw::Switch(on) => format!("`{on}`"),
            Raw::Integer(number) => format!("`{number}`"),
            Raw::List(_) => "a list".to_string(),
            Raw::Table(_) => "a table".to_string(),
            Raw::Absent => "`None`".to_string(),
            Raw::Object(name) => name.clone(),
            Raw::Other(kind) => (*kind).to_string(),
        };
        Rejected { reason: Reason::Unexpected { got }, source: None }
    }

    /// Sets the place, unless a narrower one is known already.
    pub(crate) fn or_at(mut self, source: &Source) -> Rejected {
        if let Reason::Several(found) = self.reason {
            let found = found.into_iter().map(|each| each.or_at(source)).collect();
            return Rejected { reason: Reason::Several(found), source: self.source };
        }
        self.source.get_or_insert_with(|| source.clone());
        self
    }
}
