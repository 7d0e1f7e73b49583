//! A panic in the engine itself: when it costs one request, and when it visibly ends the worker.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use farrier_config::{Config, Protocol};
use farrier_engine::Parts;
use farrier_engine::metrics::NoMetrics;
use farrier_http::{BodyMode, Error, Handler, Plan, Request, Respond, ResponseHead, Status};
use farrier_log::error::{ErrorLog, Level};
use farrier_log::writer::Target;
use farrier_protocol::host::NoHost;
use farrier_protocol::rules::Security;

const PATIENCE: Duration = Duration::from_secs(20);

/// Panics if a path says so.
struct Panics;

impl Handler for Panics {
    fn plan(&self, request: &mut Request) -> Plan {
        assert_ne!(request.path(), b"/before", "a fault before the call");
        Plan::Seat(BodyMode::Buffered)
    }

    fn handle(&self, request: &mut Request, respond: &mut dyn Respond) -> Result<(), Error> {
        assert_ne!(request.path(), b"/within", "a fault within the call");
        respond.head(&ResponseHead::new(Status(204)), None);
        respond.finish();
        Ok(())
    }
}

/// Starts an engine; returns the fault that ended it, if any.
fn start() -> (std::net::SocketAddr, Receiver<&'static str>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.set_nonblocking(true).expect("set");
    let address = listener.local_addr().expect("bound");
    let (tell, told) = mpsc::channel();
    let failed = tell.clone();
    std::thread::spawn(move || {
        let nowhere = Target::File("/dev/null".into()).direct(1 << 20).expect("opened");
        let parts = Parts {
            listeners: vec![OwnedFd::from(listener)],
            protocols: vec![Protocol::Http],
            security: Security::default(),
            connection_limit: None,
            handler: Arc::new(Panics),
            sites: None,
            host: Arc::new(NoHost),
            control: None,
            access_log: None,
            error_log: Arc::new(ErrorLog::new(Level::Critical, nowhere, None, None)),
            metrics: Arc::new(NoMetrics),
            abandon: Box::new(|| ()),
            fail: Box::new(move || failed.send("failed").expect("somebody listens")),
            stuck: Box::new(|| ()),
        };
        farrier_engine::run(&Config::default(), parts).expect("it runs");
        let _ = tell.send("ended");
    });
    (address, told)
}

fn ask(address: std::net::SocketAddr, path: &str) -> String {
    let mut client = TcpStream::connect(address).expect("it listens");
    client.set_read_timeout(Some(PATIENCE)).expect("set");
    write!(client, "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = String::new();
    let _ = client.read_to_string(&mut answer);
    answer
}

#[test]
fn a_panic_within_a_call_ends_only_that_request() {
    let (address, told) = start();
    assert!(ask(address, "/within").starts_with("HTTP/1.1 500 "));
    assert!(ask(address, "/").starts_with("HTTP/1.1 204 "));
    assert!(told.try_recv().is_err());
}

#[test]
fn a_panic_that_loses_the_lead_ends_the_worker_visibly() {
    let (address, told) = start();
    assert!(ask(address, "/").starts_with("HTTP/1.1 204 "));
    ask(address, "/before");
    assert_eq!(told.recv_timeout(PATIENCE), Ok("failed"));
}
