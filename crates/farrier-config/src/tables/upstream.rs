//! `[[upstream]]`: servers that requests are forwarded to, and their bounds.

use std::path::PathBuf;
use std::time::Duration;

use super::macros::record;
use super::{UpstreamFail, UpstreamHealth, UpstreamServer, UpstreamSticky, UpstreamTls};
use crate::value::{
    Balance, HashOn, Rejected, ResolveFamily, RetryCause, SentProxyHeader, ServerUrl, SourceAddress, UpstreamName,
    Value,
};

record! {
    /// Servers that requests are forwarded to, and their bounds.
    Upstream, "NAME=URLS", "`NAME=URL,URL` such as `app=http://10.0.0.1:8000`, or a table with `name` and `servers`";

    /// Its name, for `proxy` in mounts.
    name: UpstreamName = required;

    /// Its servers, each an address or a table with `url`.
    servers: Vec<UpstreamServer> = required;

    /// Which server gets a request: `least` is the one with the fewest requests in flight for its weight, `round_robin` one
    /// after the other, `least_time` the one that answers soonest, `hash` one by a part of the request, `random` by chance,
    /// `first` the first that has room.
    balance: Balance = least;

    /// The part of a request that decides with `balance = "hash"`: `uri`, `path`, `client`, `header:NAME`, `cookie:NAME` or
    /// `query:NAME`.
    hash_on: HashOn = uri;

    /// A server that comes back gets a tenth of its part at first, and all of it after this time. 0 gives it all at once.
    slow_start: Duration = 0s;

    /// Requests in flight to all servers together, from each worker.
    max_requests: u32 = 1024;

    /// Requests that wait when all servers are busy, in each worker. Any further one gets 503.
    queue: u32 = 256;

    /// How long they wait.
    queue_timeout: Duration = 5s;

    /// Time for one attempt to connect, TLS included.
    connect_timeout: Duration = 3s;

    /// Time between two writes that made progress.
    send_timeout: Duration = 30s;

    /// Time from the end of the request to the head of the response.
    first_byte_timeout: Duration = 60s;

    /// Time between two reads of the response's content.
    read_timeout: Duration = 60s;

    /// Time for all attempts, waiting and the head of the response together.
    total_timeout: Duration = 300s;

    /// Idle connections that each worker keeps to a server; 0 makes one connection for each request.
    keepalive: u32 = 32;

    /// How long a connection is kept idle, until the server has shown how long it keeps them.
    keepalive_timeout: Duration = 4s;

    /// Requests on one connection; then it is closed.
    keepalive_requests: u64 = 1000;

    /// How long a connection is used; then it is closed.
    keepalive_time: Duration = 1h;

    /// Attempts beyond the first.
    retries: u32 = 1;

    /// Failures after which another attempt is made: `connect`, `stale`, `reset`, `timeout`, `bad_response`, `429`,
    /// `500`, `502`, `503` and `504`.
    retry_on: Vec<RetryCause> = "connect,stale";

    /// Make another attempt for methods that are not idempotent, too, such as POST.
    retry_unsafe: bool = false;

    /// Attempts beyond the first, in percent of the requests of 10 seconds; at least 3 are allowed. Those after a refused
    /// connection are not counted.
    retry_budget: u32 = 20;

    /// No attempt begins later than this after the request.
    retry_timeout: Duration = 10s;

    /// How often names are looked up; 0 looks them up at the start only.
    resolve: Duration = 10s;

    /// Addresses of names that are used: `any`, `v4` or `v6`.
    resolve_family: ResolveFamily = any;

    /// PROXY header at the beginning of a connection: `off`, `v1` or `v2`.
    proxy_protocol: SentProxyHeader = off;

    /// TLS with servers that have `https://` or another protocol over TLS.
    tls: Option<UpstreamTls> = none;

    /// Local address that connections come from.
    source: Option<SourceAddress> = none;

    /// When a server that fails is left out.
    fail: Option<UpstreamFail> = none;

    /// How servers are checked. One worker checks for all. Without it they are judged by the requests alone.
    health: Option<UpstreamHealth> = none;

    /// How often the agents of servers are asked.
    agent_interval: Duration = 5s;

    /// Which clients stay with a server.
    sticky: Option<UpstreamSticky> = none;

    /// File with addresses or ids of servers that get no new requests, one a line. It is looked at twice a second.
    drain_file: Option<PathBuf> = none;
}

impl Upstream {
    /// An upstream of this name with these servers, and the defaults for the rest.
    pub fn new(name: UpstreamName, servers: Vec<UpstreamServer>) -> Upstream {
        Upstream {
            name,
            servers,
            balance: Balance::Least,
            hash_on: HashOn::Uri,
            slow_start: Duration::ZERO,
            max_requests: 1024,
            queue: 256,
            queue_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(3),
            send_timeout: Duration::from_secs(30),
            first_byte_timeout: Duration::from_secs(60),
            read_timeout: Duration::from_secs(60),
            total_timeout: Duration::from_secs(300),
            keepalive: 32,
            keepalive_timeout: Duration::from_secs(4),
            keepalive_requests: 1000,
            keepalive_time: Duration::from_secs(3600),
            retries: 1,
            retry_on: vec![RetryCause::Connect, RetryCause::Stale],
            retry_unsafe: false,
            retry_budget: 20,
            retry_timeout: Duration::from_secs(10),
            resolve: Duration::from_secs(10),
            resolve_family: ResolveFamily::Any,
            proxy_protocol: SentProxyHeader::Off,
            tls: None,
            source: None,
            fail: None,
            health: None,
            agent_interval: Duration::from_secs(5),
            sticky: None,
            drain_file: None,
            place: super::Place::default(),
        }
    }

    /// The upstream of a mount that names one server.
    pub fn of_server(url: &ServerUrl) -> Upstream {
        Upstream::new(UpstreamName(url.text()), vec![UpstreamServer::new(url.clone())])
    }

    fn from_text(text: &str) -> Result<Upstream, Rejected> {
        match text.split_once('=') {
            Some((name, urls)) if !urls.is_empty() => {
                let servers: Result<_, _> = urls.split(',').map(|url| UpstreamServer::parse(url.trim())).collect();
                Ok(Upstream::new(UpstreamName::parse(name)?, servers?))
            }
            _ => Err(Rejected::unexpected(text)),
        }
    }

    fn to_text(&self) -> String {
        let urls: Vec<String> = self.servers.iter().map(Value::text).collect();
        format!("{}={}", self.name.text(), urls.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Answer, Raw, Source};

    #[test]
    fn the_defaults_of_a_table_and_of_an_address_are_the_same() {
        let text = |text: &str| Answer { raw: Raw::Text(text.into()), source: Source::Default };
        let entries = vec![("name".to_owned(), text("app")), ("servers".to_owned(), text("http://a"))];
        let read = Upstream::read(&Raw::Table(entries));
        assert_eq!(read, Upstream::parse("app=http://a"));
        assert_eq!(read.map(|upstream| upstream.text()), Ok("app=http://a".to_owned()));
    }
}
