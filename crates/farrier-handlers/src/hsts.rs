//! Adds `Strict-Transport-Security`, which makes browsers use TLS alone (RFC 6797).

use std::sync::Arc;
use std::time::Duration;

use farrier_http::{Error, Handler, Plan, Request, Respond, Scheme, Stamps};

/// The field.
const FIELD: &str = "Strict-Transport-Security";

/// The parts of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hsts {
    /// How long browsers use TLS alone. Zero means that no field is sent.
    pub max_age: Duration,
    /// Whether the field holds for subdomains too.
    pub include_subdomains: bool,
    /// Whether the host may be put on the preload list of browsers.
    pub preload: bool,
}

/// Adds the field to responses over TLS that have none, if `hsts` asks for it.
pub fn around(inner: Arc<dyn Handler>, hsts: Hsts) -> Arc<dyn Handler> {
    if hsts.max_age.is_zero() {
        return inner;
    }
    Arc::new(Told { value: hsts.value().into_bytes(), inner })
}

impl Hsts {
    fn value(self) -> String {
        let mut value = format!("max-age={}", self.max_age.as_secs());
        if self.include_subdomains {
            value.push_str("; includeSubDomains");
        }
        if self.preload {
            value.push_str("; preload");
        }
        value
    }
}

/// The handler around `inner`.
struct Told {
    value: Vec<u8>,
    inner: Arc<dyn Handler>,
}

impl Handler for Told {
    fn plan(&self, request: &mut Request) -> Plan {
        let plan = self.inner.plan(request);
        let is_secured = request.origin.scheme == Scheme::Https;
        plan.filtered(|| is_secured.then(|| Box::new(Stamps(vec![(FIELD.into(), self.value.clone())])) as _))
    }

    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        // RFC 6797 §7.2: not over a connection without TLS.
        if request.origin.scheme == Scheme::Https {
            respond.stamp(FIELD, &self.value);
        }
        self.inner.handle(request, respond)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_written_as_rfc_6797_has_it() {
        let hsts = Hsts { max_age: Duration::from_secs(31_536_000), include_subdomains: true, preload: true };
        assert_eq!(hsts.value(), "max-age=31536000; includeSubDomains; preload");
        assert_eq!(Hsts { include_subdomains: false, preload: false, ..hsts }.value(), "max-age=31536000");
    }
}
