//! A server of an `[[upstream]]`.

use super::macros::record;
use crate::value::{Rejected, ServerUrl, Value};

record! {
    /// A server of an upstream.
    UpstreamServer, "URL", "an address such as `http://10.0.0.1:8000`, or a table with `url`";

    /// Its address: `http://HOST:PORT`, `HOST:PORT` or `unix:PATH`. Each address of a name is a server.
    url: ServerUrl = required;

    /// Its part of the requests, compared with the other servers.
    weight: u32 = 1;

    /// Ask it only if no other server can be asked.
    backup: bool = false;

    /// Do not use it.
    down: bool = false;

    /// Send it no new requests.
    drain: bool = false;

    /// Requests that it has at most, from each worker; 0 sets no bound of its own.
    max_requests: u32 = 0;

    /// Name by which the server is known in `drain_file`, in hashes and in cookies; by default its address.
    id: Option<String> = none;

    /// Address of the server's agent, such as `10.0.0.1:9999`, whose line says whether the server is up, drains or gets less.
    agent: Option<ServerUrl> = none;
}

impl UpstreamServer {
    /// A server at an address, and the defaults for the rest.
    pub fn new(url: ServerUrl) -> UpstreamServer {
        UpstreamServer {
            url,
            weight: 1,
            backup: false,
            down: false,
            drain: false,
            max_requests: 0,
            id: None,
            agent: None,
            place: super::Place::default(),
        }
    }

    fn from_text(text: &str) -> Result<UpstreamServer, Rejected> {
        ServerUrl::parse(text).map(UpstreamServer::new)
    }

    fn to_text(&self) -> String {
        self.url.text()
    }
}
