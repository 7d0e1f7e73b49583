//! Tables within an `[[upstream]]`: TLS with its servers, and when a server is left out.

use std::path::PathBuf;
use std::time::Duration;

use super::Place;
use super::macros::record;
use crate::value::{Rejected, StatusRange, TlsVersion};

record! {
    /// TLS with the servers of an upstream.
    UpstreamTls, "TABLE", "a table with `verify` and other keys";

    /// Check the server's certificate.
    verify: bool = true;

    /// Name that is asked for (SNI) and checked; the host of the server's address by default.
    name: Option<String> = none;

    /// File of the authorities whose certificates are accepted; the system's by default.
    ca: Option<PathBuf> = none;

    /// File of the certificate that is shown to the server.
    certificate: Option<PathBuf> = none;

    /// File of its key.
    key: Option<PathBuf> = none;

    /// Oldest version of TLS.
    min: TlsVersion = "1.2";
}

impl Default for UpstreamTls {
    fn default() -> UpstreamTls {
        UpstreamTls {
            verify: true,
            name: None,
            ca: None,
            certificate: None,
            key: None,
            min: TlsVersion::V1_2,
            place: Place::default(),
        }
    }
}

impl UpstreamTls {
    fn from_text(text: &str) -> Result<UpstreamTls, Rejected> {
        Err(Rejected::unexpected(text))
    }

    fn to_text(&self) -> String {
        String::new()
    }
}

record! {
    /// When a server that fails is left out.
    UpstreamFail, "TABLE", "a table with `max` and `eject`";

    /// Failures within `window` after which a server is left out; 0 leaves none out.
    max: u32 = 3;

    /// The window.
    window: Duration = 10s;

    /// How long it is left out the first time. The time doubles each time, up to 5 minutes. Then one request tries it.
    eject: Duration = 10s;

    /// Statuses that are failures, too. Others are none: a server that answers 503 is busy, not gone.
    on: Vec<StatusRange> = none;
}

impl UpstreamFail {
    fn from_text(text: &str) -> Result<UpstreamFail, Rejected> {
        Err(Rejected::unexpected(text))
    }

    fn to_text(&self) -> String {
        String::new()
    }
}
