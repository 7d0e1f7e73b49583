//! Where a mount forwards requests to: an upstream by its name, or one server by its address.

use super::{Rejected, ServerUrl, UrlPrefix, Value};
use crate::answer::Source;
use crate::tables::Place;

/// The name of an `[[upstream]]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UpstreamName(pub String);

/// A colon, a dot or a slash makes an address.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

impl Value for UpstreamName {
    const EXPECTED: &'static str = "a name of letters, digits, `-` and `_`";
    const METAVAR: &'static str = "NAME";

    fn parse(text: &str) -> Result<Self, Rejected> {
        if is_name(text) { Ok(UpstreamName(text.to_owned())) } else { Err(Rejected::unexpected(text)) }
    }

    fn text(&self) -> String {
        self.0.clone()
    }
}

/// Where a mount forwards requests to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ProxyTarget {
    /// An upstream, by its name.
    Upstream(UpstreamName),
    /// One server.
    Server(ServerUrl),
}

impl Value for ProxyTarget {
    const EXPECTED: &'static str = "the name of an `[[upstream]]`, or an address such as `http://127.0.0.1:9000`, \
         `HOST:PORT` or `http://unix:PATH`";
    const METAVAR: &'static str = "URL";

    fn parse(text: &str) -> Result<Self, Rejected> {
        match is_name(text.trim()) {
            true => Ok(ProxyTarget::Upstream(UpstreamName(text.trim().to_owned()))),
            false => ServerUrl::parse(text).map(ProxyTarget::Server),
        }
    }

    fn text(&self) -> String {
        match self {
            ProxyTarget::Upstream(name) => name.text(),
            ProxyTarget::Server(url) => url.text(),
        }
    }
}

/// A path and where its requests are forwarded to, on one line.
#[derive(Debug, Clone, PartialEq)]
pub struct ProxyMount {
    /// The path.
    pub path: UrlPrefix,
    /// Where requests are forwarded to.
    pub target: ProxyTarget,
    /// Where it was given.
    pub place: Place,
}

impl Value for ProxyMount {
    const EXPECTED: &'static str = "`PATH=URL` such as `/api=http://127.0.0.1:9000`";
    const METAVAR: &'static str = "PATH=URL";
    const ENDS_AT_COMMA: bool = false;

    fn parse(text: &str) -> Result<Self, Rejected> {
        match text.split_once('=') {
            Some((path, target)) if !target.is_empty() => Ok(ProxyMount {
                path: UrlPrefix::parse(path)?,
                target: ProxyTarget::parse(target)?,
                place: Place::default(),
            }),
            _ => Err(Rejected::unexpected(text)),
        }
    }

    fn text(&self) -> String {
        format!("{}={}", self.path.text(), self.target.text())
    }

    fn placed(&mut self, source: &Source) {
        if self.place.0 == Source::Default {
            self.place.0 = source.clone();
        }
    }
}
