//! Tests of upstreams whose servers change while requests are in flight.

use std::sync::Arc;
use std::task::Waker;

use farrier_http::upstream::{ServerAddress, Target};
use farrier_proxy::Failure;
use farrier_proxy::group::{Chosen, Group, GroupPolicy, Lease};
use farrier_proxy::server::{Protocol, Server};

mod forwarding;

fn server(id: u64) -> Arc<Server> {
    let address = ServerAddress::Unix(format!("/{id}").into());
    let target = Target { id, address, source: None, security: None, idle_max: 1 };
    Arc::new(Server::new(target, id.to_string(), b"a"[..].into(), Protocol::Http1, 1))
}

fn group(servers: &[Arc<Server>]) -> Arc<Group> {
    Arc::new(Group::new("app".to_owned(), servers.to_vec(), GroupPolicy::default()))
}

fn chosen(group: &Arc<Group>, tried: &[u64]) -> Result<Lease, Failure> {
    let request = forwarding::request("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    match group.choose(&request, tried, 0)? {
        Chosen::Server(lease) => Ok(lease),
        Chosen::Busy => panic!("a server has room"),
    }
}

fn id(group: &Arc<Group>, tried: &[u64]) -> Result<u64, Failure> {
    chosen(group, tried).map(|lease| lease.server().id())
}

#[test]
fn a_server_that_is_removed_gets_no_new_request_and_keeps_those_that_it_has() {
    let (first, second) = (server(1), server(2));
    let group = group(&[Arc::clone(&first)]);
    let lease = chosen(&group, &[]);
    group.replace_servers(vec![second]);
    assert_eq!((0..4).map(|_| id(&group, &[])).collect::<Vec<_>>(), [const { Ok(2) }; 4]);
    assert_eq!(first.in_flight(), 1);
    drop(lease);
    assert_eq!(first.in_flight(), 0);
}

#[test]
fn a_server_that_stays_keeps_what_is_known_of_it() {
    let (first, second, third) = (server(1), server(2), server(3));
    let group = group(&[Arc::clone(&first), second]);
    let held = chosen(&group, &[2]);
    group.replace_servers(vec![third, Arc::clone(&first)]);
    // Its request counts: the new server has fewer.
    assert_eq!((0..4).map(|_| id(&group, &[])).collect::<Vec<_>>(), [const { Ok(3) }; 4]);
    drop(held);
}

#[test]
fn a_server_that_failed_for_a_request_is_known_by_its_id_whatever_its_place() {
    let group = group(&[server(1), server(2)]);
    assert_eq!(id(&group, &[1]), Ok(2));
    group.replace_servers(vec![server(2), server(1)]);
    assert_eq!(id(&group, &[1]), Ok(2));
}

#[test]
fn without_servers_no_request_is_sent_and_with_the_first_one_they_are() {
    let group = group(&[]);
    assert_eq!(id(&group, &[]), Err(Failure::NoServer));
    group.replace_servers(vec![server(1)]);
    assert_eq!(id(&group, &[]), Ok(1));
}

#[test]
fn a_new_server_is_offered_to_a_request_that_waits() {
    struct Woken(std::sync::atomic::AtomicBool);
    impl std::task::Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
    let group = group(&[server(1)]);
    let woken = Arc::new(Woken(false.into()));
    let place = group.wait(Waker::from(Arc::clone(&woken)));
    group.replace_servers(group.servers().to_vec());
    assert!(!woken.0.load(std::sync::atomic::Ordering::Relaxed));
    group.replace_servers(vec![server(1), server(2)]);
    assert!(place.is_some() && woken.0.load(std::sync::atomic::Ordering::Relaxed));
}
