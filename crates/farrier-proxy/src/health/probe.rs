//! What a check sends to a server, and whether what comes back passes.

use farrier_http::wire::client::{Asked, Event, FaultKind, ResponseLimits, ResponseReader};

use super::words::Cause;

/// Content that is looked at for the expected text.
const CONTENT_BYTES_MAX: usize = 64 * 1024;

/// uwsgi: a ping, and the answer to it.
const UWSGI_PING: &[u8] = b"\x64\x00\x00\x00";
const UWSGI_PONG: &[u8] = b"\x64\x00\x00\x01";

/// FastCGI §4.1: FCGI_GET_VALUES for FCGI_MPXS_CONNS. Its answer is a record of type 10.
const FASTCGI_GET_VALUES: &[u8] = b"\x01\x09\x00\x00\x00\x11\x00\x00\x0f\x00FCGI_MPXS_CONNS";
const FASTCGI_GET_VALUES_RESULT: u8 = 10;

/// How servers are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A connection is made.
    Tcp,
    /// A uwsgi ping is answered.
    Uwsgi,
    /// The FastCGI server says what it can do.
    FastCgi,
    /// A request over HTTP/1.1 is answered.
    Http(HttpProbe),
}

/// A request over HTTP/1.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpProbe {
    /// The method.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The Host; the server's own if there is none.
    pub host: Option<String>,
    /// Statuses that pass, both ends included.
    pub statuses: Vec<(u16, u16)>,
    /// What the content must contain.
    pub body: Option<Vec<u8>>,
}

impl Probe {
    /// What is sent.
    pub fn request(&self, authority: &[u8]) -> Vec<u8> {
        match self {
            Probe::Tcp => Vec::new(),
            Probe::Uwsgi => UWSGI_PING.to_vec(),
            Probe::FastCgi => FASTCGI_GET_VALUES.to_vec(),
            Probe::Http(HttpProbe { method, path, host, .. }) => {
                let host = host.as_ref().map_or(authority, |host| host.as_bytes());
                let head = [method.as_bytes(), b" ", path.as_bytes(), b" HTTP/1.1\r\nHost: ", host].concat();
                let rest = b"\r\nUser-Agent: farrier-health\r\nAccept: */*\r\nConnection: close\r\n\r\n";
                [&head, rest.as_slice()].concat()
            }
        }
    }

    /// Reads the answer.
    pub fn answer(&self) -> ProbeAnswer {
        let mut answer = ProbeAnswer {
            probe: self.clone(),
            reader: ResponseReader::default(),
            rest: Vec::new(),
            content: Vec::new(),
        };
        if let Probe::Http(http) = self {
            answer.reader.restart(Asked::of(http.method.as_bytes()));
        }
        answer
    }
}

/// The answer to a check, as far as it has come.
pub struct ProbeAnswer {
    probe: Probe,
    reader: ResponseReader,
    rest: Vec<u8>,
    content: Vec<u8>,
}

impl ProbeAnswer {
    /// The connection is there. `Some`: that is all that the check wants.
    pub fn connected(&self) -> Option<Result<(), Cause>> {
        (self.probe == Probe::Tcp).then_some(Ok(()))
    }

    /// Takes what has come. `Some`: the check has ended.
    pub fn take(&mut self, received: &[u8]) -> Option<Result<(), Cause>> {
        self.rest.extend_from_slice(received);
        match &self.probe {
            Probe::Tcp => Some(Ok(())),
            Probe::Uwsgi if self.rest.len() < UWSGI_PONG.len() => None,
            Probe::Uwsgi => Some(if self.rest == UWSGI_PONG { Ok(()) } else { Err(Cause::BadResponse) }),
            Probe::FastCgi if self.rest.len() < 8 => None,
            Probe::FastCgi => {
                let is_answer = self.rest[0] == 1 && self.rest[1] == FASTCGI_GET_VALUES_RESULT;
                Some(if is_answer { Ok(()) } else { Err(Cause::BadResponse) })
            }
            Probe::Http(http) => {
                let http = http.clone();
                self.read(&http)
            }
        }
    }

    /// The server has closed the connection.
    pub fn closed(&mut self, is_orderly: bool) -> Result<(), Cause> {
        let Probe::Http(http) = &self.probe else { return Err(Cause::Closed) };
        match self.reader.closed(&self.rest, is_orderly) {
            Ok(Event::End) => judge_content(http, &self.content),
            Ok(_) => Err(Cause::Closed),
            Err(fault) => Err(cause(fault.kind)),
        }
    }

    fn read(&mut self, http: &HttpProbe) -> Option<Result<(), Cause>> {
        let limits = ResponseLimits::default();
        loop {
            let step = match self.reader.read(&self.rest, &limits) {
                Ok(step) => step,
                Err(fault) => return Some(Err(cause(fault.kind))),
            };
            match step.event {
                Event::NeedMore => {
                    self.rest.drain(..step.consumed);
                    return None;
                }
                Event::Head => {
                    let status = self.reader.head().status().0;
                    if !http.statuses.iter().any(|(first, last)| (*first..=*last).contains(&status)) {
                        return Some(Err(Cause::Status));
                    }
                    if http.body.is_none() {
                        return Some(Ok(()));
                    }
                }
                Event::Data(range) => {
                    let room = CONTENT_BYTES_MAX.saturating_sub(self.content.len());
                    let data = &self.rest[range];
                    self.content.extend_from_slice(&data[..data.len().min(room)]);
                    if self.content.len() == CONTENT_BYTES_MAX || judge_content(http, &self.content).is_ok() {
                        return Some(judge_content(http, &self.content));
                    }
                }
                Event::Switched => return Some(Err(Cause::BadResponse)),
                Event::End => return Some(judge_content(http, &self.content)),
                Event::Interim | Event::Trailers => {}
            }
            self.rest.drain(..step.consumed);
        }
    }
}

fn judge_content(http: &HttpProbe, content: &[u8]) -> Result<(), Cause> {
    let Some(body) = &http.body else { return Ok(()) };
    let is_there = body.is_empty() || content.windows(body.len()).any(|window| window == body);
    if is_there { Ok(()) } else { Err(Cause::Content) }
}

fn cause(kind: FaultKind) -> Cause {
    match kind {
        FaultKind::Unanswered | FaultKind::HeadIncomplete | FaultKind::ContentIncomplete => Cause::Closed,
        _ => Cause::BadResponse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(body: Option<&str>) -> Probe {
        Probe::Http(HttpProbe {
            method: "GET".to_owned(),
            path: "/healthz?deep".to_owned(),
            host: None,
            statuses: vec![(200, 299), (401, 401)],
            body: body.map(|text| text.as_bytes().to_vec()),
        })
    }

    /// The outcome of a check whose answer comes byte by byte and is then closed.
    fn outcome(probe: &Probe, answer: &[u8]) -> Result<(), Cause> {
        let mut reading = probe.answer();
        let ended = answer.iter().find_map(|byte| reading.take(&[*byte]));
        assert_eq!(ended, probe.answer().take(answer), "in one piece");
        ended.unwrap_or_else(|| reading.closed(true))
    }

    #[test]
    fn the_request_names_the_server_and_asks_for_one_answer() {
        let sent = http(None).request(b"10.0.0.1:80");
        let sent = String::from_utf8_lossy(&sent);
        assert!(sent.starts_with("GET /healthz?deep HTTP/1.1\r\nHost: 10.0.0.1:80\r\n"), "{sent}");
        assert!(sent.ends_with("\r\nConnection: close\r\n\r\n"), "{sent}");
    }

    #[test]
    fn the_status_and_the_content_decide() {
        for (body, answer, expected) in [
            (None, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", Ok(())),
            (None, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 Fine\r\n\r\n", Ok(())),
            (None, "HTTP/1.1 401 No\r\n\r\n", Ok(())),
            (None, "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", Err(Cause::Status)),
            (None, "HTTP/1.1 503 No\r\n\r\n", Err(Cause::Status)),
            (None, "", Err(Cause::Closed)),
            (None, "HTTP/1.1 200 OK\r\nCont", Err(Cause::Closed)),
            (None, "SSH-2.0-OpenSSH_9.9\r\n", Err(Cause::BadResponse)),
            (Some("ready"), "HTTP/1.1 200 OK\r\n\r\nall ready", Ok(())),
            (Some("ready"), "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nread", Err(Cause::Content)),
            (
                Some("ready"),
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nrea\r\n2\r\ndy\r\n0\r\n\r\n",
                Ok(()),
            ),
            (Some("ready"), "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nrea", Err(Cause::Closed)),
        ] {
            assert_eq!(outcome(&http(body), answer.as_bytes()), expected, "{answer:?}");
        }
    }

    #[test]
    fn gateways_are_pinged_in_their_protocol() {
        assert_eq!(outcome(&Probe::Uwsgi, b"\x64\0\0\x01"), Ok(()));
        assert_eq!(outcome(&Probe::Uwsgi, b"HTTP"), Err(Cause::BadResponse));
        assert_eq!(outcome(&Probe::Uwsgi, b"\x64\0"), Err(Cause::Closed));
        assert_eq!(outcome(&Probe::FastCgi, b"\x01\x0a\0\0\0\x12\0\0\x0f\x01FCGI_MPXS_CONNS0"), Ok(()));
        assert_eq!(outcome(&Probe::FastCgi, b"HTTP/1.1 400 "), Err(Cause::BadResponse));
        assert_eq!(Probe::Tcp.answer().connected(), Some(Ok(())));
        assert_eq!(Probe::FastCgi.request(b"a").len(), 8 + 0x11);
    }
}
