//! Which methods a mount forwards (RFC 9110 §9).

/// Methods that are forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Methods {
    /// These only; empty for all except [`REFUSED`].
    only: Vec<Box<[u8]>>,
    /// The value of `Allow`.
    allow: Box<[u8]>,
}

/// Methods that are refused unless others are named: a tunnel to anywhere, and one that shows the fields of a request.
const REFUSED: [&[u8]; 2] = [b"CONNECT", b"TRACE"];

impl Methods {
    /// These methods; all but CONNECT and TRACE if there are none.
    pub fn new(only: Vec<Box<[u8]>>) -> Methods {
        let allow = match only.is_empty() {
            true => b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"[..].into(),
            false => only.join(&b", "[..]).into(),
        };
        Methods { only, allow }
    }

    /// Whether a method is refused. Methods are case-sensitive (RFC 9110 §9.1).
    pub fn refuses(&self, method: &[u8]) -> bool {
        REFUSED.contains(&method) || !self.only.is_empty() && !self.only.iter().any(|allowed| **allowed == *method)
    }

    /// The value of `Allow`, which belongs to a response 405 (RFC 9110 §15.5.6).
    pub fn allow(&self) -> &[u8] {
        &self.allow
    }
}

impl Default for Methods {
    fn default() -> Self {
        Methods::new(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connect_and_trace_are_refused_and_so_is_what_a_list_does_not_have() {
        let all = Methods::default();
        assert!(!all.refuses(b"GET") && !all.refuses(b"PROPFIND") && all.refuses(b"TRACE") && all.refuses(b"CONNECT"));
        let some = Methods::new(vec![b"GET"[..].into(), b"HEAD"[..].into()]);
        assert!(!some.refuses(b"HEAD") && some.refuses(b"POST") && some.refuses(b"get"));
        assert_eq!(some.allow(), b"GET, HEAD");
    }
}
