//! The fields that belong to one connection and are not forwarded (RFC 9110 §7.6.1).

use farrier_http::Error;
use farrier_http::field::{is_hop_by_hop, is_token};

/// The most names that the Connection fields of a message may give, besides the usual options.
const NAMES_MAX: usize = 32;

/// The names that the Connection fields of a message give. The usual options are not kept, so usually nothing is allocated.
#[derive(Debug, Default)]
pub struct Named<'a> {
    names: Vec<&'a [u8]>,
    has_upgrade: bool,
}

impl<'a> Named<'a> {
    /// Reads all Connection fields of a request as one list; empty elements are skipped.
    ///
    /// # Errors
    /// Too many names, or a name that the message cannot do without: Host or Content-Length.
    pub fn of_request(values: impl Iterator<Item = &'a [u8]>) -> Result<Self, Error> {
        let named = Named::read(values).ok_or(Error::bad_request("the Connection field names too many fields"))?;
        let is_vital =
            |name: &&[u8]| name.eq_ignore_ascii_case(b"host") || name.eq_ignore_ascii_case(b"content-length");
        if named.names.iter().any(is_vital) {
            // The request would have another meaning for the upstream than for this server.
            return Err(Error::bad_request("the Connection field names Host or Content-Length"));
        }
        Ok(named)
    }

    /// The same for a response. `None`: too many names.
    pub fn read(values: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let mut named = Named::default();
        for option in values.flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii) {
            named.has_upgrade |= option.eq_ignore_ascii_case(b"upgrade");
            if option.eq_ignore_ascii_case(b"close") || is_hop_by_hop(option) || !is_token(option) {
                continue;
            }
            if named.names.len() == NAMES_MAX {
                return None;
            }
            named.names.push(option);
        }
        Some(named)
    }

    /// Whether a field of this name belongs to the connection.
    pub fn has(&self, name: &[u8]) -> bool {
        is_hop_by_hop(name)
            || name.eq_ignore_ascii_case(b"http2-settings")
            || self.names.iter().any(|its| its.eq_ignore_ascii_case(name))
    }

    /// Whether `upgrade` is among the options.
    pub fn has_upgrade(&self) -> bool {
        self.has_upgrade
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&'static str]) -> Result<Named<'static>, Error> {
        Named::of_request(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn all_connection_fields_are_one_list() {
        // CVE-2021-33197: only the first line was read, or reading stopped at an empty element.
        let named = of(&["close,, X-One ,", "", "\tx-two"]).unwrap_or_default();
        for (name, is) in [("x-one", true), ("X-TWO", true), ("x-three", false), ("close", false), ("", false)] {
            assert_eq!(named.has(name.as_bytes()), is, "{name}");
        }
    }

    #[test]
    fn hop_by_hop_fields_need_not_be_named() {
        let named = of(&[]).unwrap_or_default();
        for name in [
            "Connection",
            "Keep-Alive",
            "Proxy-Connection",
            "TE",
            "Trailer",
            "Transfer-Encoding",
            "Upgrade",
            "Proxy-Authenticate",
            "Proxy-Authorization",
            "HTTP2-Settings",
        ] {
            assert!(named.has(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn vital_fields_may_not_be_named_and_the_names_are_bounded() {
        for value in ["Host", "x, content-length", &"a,".repeat(33)] {
            assert!(Named::of_request([value.as_bytes()].into_iter()).is_err(), "{value}");
        }
        assert!(of(&["upgrade, close"]).is_ok_and(|named| named.has_upgrade()));
    }
}
