//! The address of `proxy_pass`, `uwsgi_pass` and `fastcgi_pass`.

use super::scope::Scope;
use super::tree::Directive;

/// Where a location forwards its requests to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pass {
    /// The protocol, as a URL has it.
    pub(super) protocol: &'static str,
    /// A host with a port, `unix:PATH`, or the name of an `upstream`.
    pub(super) place: String,
    /// The path that takes the place of the location's.
    pub(super) uri: Option<String>,
}

impl Pass {
    /// Reads the address of a `proxy_pass`, `uwsgi_pass` or `fastcgi_pass`.
    ///
    /// # Errors
    /// The address is only known while nginx runs.
    pub(super) fn of(directive: &Directive, scope: &Scope<'_>) -> Result<Pass, String> {
        let text = scope.filled(directive.arg());
        // A variable at the end that says what is forwarded anyway.
        let text = text.strip_suffix("$request_uri").unwrap_or(&text);
        if text.contains('$') {
            return Err(
                "the address is only known when a request comes: write the addresses into an `[[upstream]]`".to_owned()
            );
        }
        let usual = match directive.name.as_str() {
            "uwsgi_pass" => "uwsgi",
            "fastcgi_pass" => "fastcgi",
            _ => "http",
        };
        let (protocol, rest) = match text.split_once("://").filter(|_| !text.starts_with("unix:")) {
            Some(("http", rest)) => ("http", rest),
            Some(("https", rest)) => ("https", rest),
            Some(("uwsgi", rest)) => ("uwsgi", rest),
            Some(("suwsgi", rest)) => ("suwsgi", rest),
            Some((scheme, _)) => return Err(format!("`{scheme}://` is not forwarded")),
            None => (usual, text),
        };
        let (place, uri) = match rest.strip_prefix("unix:") {
            // nginx's guides write `unix:///path`.
            Some(path) => match path.strip_prefix("//").unwrap_or(path).split_once(':') {
                Some((path, uri)) => (format!("unix:{path}"), Some(uri)),
                None => (format!("unix:{}", path.strip_prefix("//").unwrap_or(path)), None),
            },
            None => match rest.find('/') {
                Some(at) if usual == "http" => (rest[..at].to_owned(), Some(&rest[at..])),
                _ => (rest.to_owned(), None),
            },
        };
        if place.is_empty() {
            return Err("there is no address".to_owned());
        }
        Ok(Pass { protocol, place, uri: uri.filter(|uri| !uri.is_empty()).map(str::to_owned) })
    }

    /// The address as a URL.
    pub(super) fn url(&self) -> String {
        format!("{}://{}", self.protocol, self.place)
    }

    /// The beginning of the directives that belong to it.
    pub(super) fn prefix(&self) -> &'static str {
        match self.protocol {
            "uwsgi" | "suwsgi" => "uwsgi_",
            "fastcgi" => "fastcgi_",
            _ => "proxy_",
        }
    }
}
