//! `listen`: an address, and what is said of its connections.

use super::account::Account;
use super::tree::Directive;

/// An address that a server listens on.
#[derive(Debug, Clone)]
pub(super) struct Listen<'t> {
    pub(super) directive: Option<&'t Directive>,
    /// As `bind` has it, without a protocol.
    pub(super) address: String,
    pub(super) is_tls: bool,
    pub(super) is_default: bool,
    pub(super) has_proxy_header: bool,
    pub(super) reuses_port: bool,
    pub(super) backlog: Option<u64>,
}

impl<'t> Listen<'t> {
    /// The address of a server that names none.
    pub(super) fn usual() -> Listen<'t> {
        Listen {
            directive: None,
            address: "0.0.0.0:80".to_owned(),
            is_tls: false,
            is_default: false,
            has_proxy_header: false,
            reuses_port: false,
            backlog: None,
        }
    }

    /// Reads a `listen`; `None` for an address that cannot be served, which is noted.
    pub(super) fn of(directive: &'t Directive, account: &mut Account) -> Option<Listen<'t>> {
        let mut listen = Listen { directive: Some(directive), ..Listen::usual() };
        let Some(address) = address(directive.arg()) else {
            account.without(directive, "the address is not understood: write it into `bind`");
            return None;
        };
        listen.address = address;
        for flag in directive.args.iter().skip(1) {
            match flag.as_str() {
                "ssl" => listen.is_tls = true,
                "default_server" | "default" => listen.is_default = true,
                "proxy_protocol" => listen.has_proxy_header = true,
                "reuseport" => listen.reuses_port = true,
                "quic" => {
                    account.without(directive, "HTTP/3 is not served");
                    return None;
                }
                flag => listen.backlog = flag.strip_prefix("backlog=").and_then(|n| n.parse().ok()).or(listen.backlog),
            }
        }
        Some(listen)
    }

    /// The address without its port; a unix socket is one of its own.
    pub(super) fn host(&self) -> &str {
        match self.address.starts_with("unix:") {
            true => &self.address,
            false => self.address.rsplit_once(':').map_or(&self.address, |(host, _)| host),
        }
    }

    /// The port; empty for a unix socket.
    pub(super) fn port(&self) -> &str {
        match self.address.starts_with("unix:") {
            true => "",
            false => self.address.rsplit_once(':').map_or("", |(_, port)| port),
        }
    }

    /// Whether it is at all addresses of the machine.
    pub(super) fn is_everywhere(&self) -> bool {
        matches!(self.host(), "0.0.0.0" | "[::]")
    }

    /// The address with its protocol, as `bind` has it.
    pub(super) fn bind(&self) -> String {
        match (self.is_tls, self.address.starts_with("unix:")) {
            (true, true) => format!("https+{}", self.address),
            (true, false) => format!("https://{}", self.address),
            (false, _) => {
                format!("{}{}", if self.address.starts_with("unix:") { "http+" } else { "http://" }, self.address)
            }
        }
    }
}

/// nginx's address as `HOST:PORT`.
fn address(text: &str) -> Option<String> {
    if text.starts_with("unix:") {
        return (text.len() > 5).then(|| text.to_owned());
    }
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse::<u16>().ok().map(|port| format!("0.0.0.0:{port}"));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse::<u16>().ok()?),
        _ => (text, 80),
    };
    let is_host = host == "*" || (host.starts_with('[') && host.ends_with(']')) || !host.contains([':', '/', '$']);
    match host {
        "*" => Some(format!("0.0.0.0:{port}")),
        host if is_host && !host.is_empty() => Some(format!("{host}:{port}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_with_host_and_port() {
        for (text, written) in [
            ("80", Some("0.0.0.0:80")),
            ("*:8080", Some("0.0.0.0:8080")),
            ("[::]:443", Some("[::]:443")),
            ("[::1]", Some("[::1]:80")),
            ("127.0.0.1", Some("127.0.0.1:80")),
            ("example.org:81", Some("example.org:81")),
            ("unix:/run/a.sock", Some("unix:/run/a.sock")),
            ("99999", None),
            ("unix:", None),
            ("", None),
        ] {
            assert_eq!(address(text).as_deref(), written, "{text}");
        }
    }
}
