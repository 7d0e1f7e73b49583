//! Tests of how a server is chosen: one law of the balance per test, over many requests.

#![allow(clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::sync::Arc;

use farrier_http::Request;
use farrier_http::upstream::{ServerAddress, Target};
use farrier_proxy::group::{Chosen, Group, GroupPolicy, Lease};
use farrier_proxy::server::{Protocol, Server};
use farrier_proxy::{Balance, Failure, HashOn};

mod forwarding;

fn server(id: u64, change: impl Fn(&mut Server)) -> Arc<Server> {
    let address = ServerAddress::Unix(format!("/{id}").into());
    let target = Target { id, address, source: None, security: None, idle_max: 1 };
    let mut server = Server::new(target, format!("unix:/{id}"), b"a"[..].into(), Protocol::Http1, 1);
    change(&mut server);
    Arc::new(server)
}

fn weighted(weights: &[u32]) -> Vec<Arc<Server>> {
    (1..).zip(weights).map(|(id, weight)| server(id, |server| server.weight = *weight)).collect()
}

fn group(balance: Balance, servers: &[Arc<Server>]) -> Arc<Group> {
    let policy = GroupPolicy { balance, ..GroupPolicy::default() };
    Arc::new(Group::new("app".to_owned(), servers.to_vec(), policy))
}

fn get(target: &str) -> Request {
    forwarding::request(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"))
}

fn lease(group: &Arc<Group>, request: &Request) -> Lease {
    match group.choose(request, &[], 0) {
        Ok(Chosen::Server(lease)) => lease,
        Ok(Chosen::Busy) => panic!("a server has room"),
        Err(failure) => panic!("{failure:?}"),
    }
}

/// How many of so many requests, one after the other, each server gets.
fn shares(group: &Arc<Group>, requests: usize) -> Vec<usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        *shares.entry(lease(group, &get("/")).server().id()).or_default() += 1;
    }
    let last = group.servers().iter().map(|server| server.id()).max().unwrap_or(0);
    (1..=last).map(|id| shares.get(&id).copied().unwrap_or(0)).collect()
}

#[test]
fn the_round_robin_gives_each_server_its_weight_in_each_round() {
    let group = group(Balance::RoundRobin, &weighted(&[5, 1, 1]));
    for _ in 0..10 {
        assert_eq!(shares(&group, 7), [5, 1, 1]);
    }
    let order: Vec<u64> = (0..7).map(|_| lease(&group, &get("/")).server().id()).collect();
    assert_eq!(order, [1, 1, 2, 1, 3, 1, 1], "a heavy server's turns are spread");
}

#[test]
fn the_round_robins_of_workers_begin_with_different_servers() {
    let first: Vec<u64> = (0..4)
        .map(|worker| {
            let group = group(Balance::RoundRobin, &weighted(&[1, 1, 1]));
            group.begin_at(worker);
            lease(&group, &get("/")).server().id()
        })
        .collect();
    assert_eq!(first, [1, 2, 3, 1]);
    // Also where the servers are found later.
    let group = group(Balance::RoundRobin, &[]);
    group.begin_at(1);
    group.replace_servers(weighted(&[1, 1, 1]));
    assert_eq!(lease(&group, &get("/")).server().id(), 2);
}

#[test]
fn the_server_with_the_fewest_requests_for_its_weight_gets_the_next() {
    let group = group(Balance::Least, &weighted(&[3, 1]));
    let held: Vec<Lease> = (0..8).map(|_| lease(&group, &get("/"))).collect();
    let of = |id| held.iter().filter(|lease| lease.server().id() == id).count();
    assert_eq!((of(1), of(2)), (6, 2));
}

#[test]
fn equal_servers_take_turns_while_nothing_is_to_do() {
    assert_eq!(shares(&group(Balance::Least, &weighted(&[1, 1, 1])), 30), [10, 10, 10]);
}

#[test]
fn of_two_that_are_drawn_the_one_with_fewer_requests_is_asked() {
    // Ten servers with one request each, except that one has a hundred.
    let servers = weighted(&[1; 10]);
    let busy = group(Balance::Least, &servers[..1]);
    let held: Vec<Lease> = (0..100).map(|_| lease(&busy, &get("/"))).collect();
    let group = group(Balance::Least, &servers);
    assert_eq!(shares(&group, 1000)[0], 0);
    drop(held);
    assert!(shares(&group, 1000).iter().all(|&share| share > 50));
}

#[test]
fn a_server_that_answers_much_sooner_is_preferred_among_equals() {
    let servers = weighted(&[1, 1]);
    let group = group(Balance::Least, &servers);
    for _ in 0..4 {
        let lease = lease(&group, &get("/"));
        let head_us = if lease.server().id() == 1 { 50_000 } else { 2_000 };
        lease.answered(200, head_us, 1);
    }
    assert_eq!(shares(&group, 10), [0, 10]);
    // After ten seconds without an answer the average says nothing.
    let again: Vec<u64> = (0..2)
        .map(|_| match group.choose(&get("/"), &[], 20_000) {
            Ok(Chosen::Server(lease)) => lease.server().id(),
            _ => 0,
        })
        .collect();
    assert!(again.contains(&1) && again.contains(&2));
}

#[test]
fn the_first_answer_does_not_decide_for_seconds() {
    // Times are measured in ms. A first answer within the same ms counted as 1 µs, and the server got all requests.
    let servers = weighted(&[1, 1]);
    for balance in [Balance::Least, Balance::LeastTime] {
        let group = group(balance, &servers);
        for number in 0..40 {
            let lease = lease(&group, &get("/"));
            let is_same_ms = lease.server().id() == 1 && number < 2;
            lease.answered(200, if is_same_ms { 0 } else { 1_000 }, 1);
        }
        let shares = shares(&group, 100);
        assert!(shares.iter().all(|share| (40..=60).contains(share)), "{shares:?}");
    }
}

#[test]
fn the_least_time_weighs_time_and_requests() {
    let servers = weighted(&[1, 1]);
    let group = group(Balance::LeastTime, &servers);
    for _ in 0..4 {
        let lease = lease(&group, &get("/"));
        let head_us = if lease.server().id() == 1 { 4_000 } else { 1_000 };
        lease.answered(200, head_us, 1);
    }
    let held: Vec<Lease> = (0..10).map(|_| lease(&group, &get("/"))).collect();
    let of = |id| held.iter().filter(|lease| lease.server().id() == id).count();
    assert_eq!((of(1), of(2)), (2, 8));
}

#[test]
fn the_same_key_gets_the_same_server_and_one_that_leaves_moves_its_own_keys_only() {
    let servers = weighted(&[1, 1, 1, 1, 1]);
    let group = group(Balance::Hash(HashOn::Uri), &servers);
    let places = |group: &Arc<Group>| -> Vec<u64> {
        (0..1000).map(|key| lease(group, &get(&format!("/?{key}"))).server().id()).collect()
    };
    let before = places(&group);
    assert_eq!(places(&group), before);
    for id in 1..=5 {
        let share = before.iter().filter(|its| **its == id).count();
        assert!((140..=260).contains(&share), "server {id} has {share} of 1000 keys");
    }
    group.replace_servers(servers[..4].to_vec());
    let after = places(&group);
    assert!(before.iter().zip(&after).all(|(before, after)| before == after || *before == 5));
    assert!(!after.contains(&5));
}

#[test]
fn the_order_of_servers_means_nothing_to_a_key() {
    let servers = weighted(&[1, 2, 3]);
    let mut turned = servers.clone();
    turned.reverse();
    let (one, other) = (group(Balance::Hash(HashOn::Uri), &servers), group(Balance::Hash(HashOn::Uri), &turned));
    for key in 0..200 {
        let places = [&one, &other].map(|group| lease(group, &get(&format!("/{key}"))).server().id());
        assert_eq!(places[0], places[1]);
    }
}

#[test]
fn keys_are_shared_out_by_weight() {
    let group = group(Balance::Hash(HashOn::Path), &weighted(&[3, 1]));
    let first = (0..2000).filter(|key| lease(&group, &get(&format!("/{key}"))).server().id() == 1).count();
    assert!((1400..=1600).contains(&first), "{first} of 2000");
}

#[test]
fn one_key_cannot_fill_a_server() {
    let group = group(Balance::Hash(HashOn::Path), &weighted(&[1, 1, 1, 1]));
    let held: Vec<Lease> = (0..80).map(|_| lease(&group, &get("/one"))).collect();
    let most = group.servers().iter().map(|server| server.in_flight()).max();
    assert_eq!((held.len(), most), (80, Some(25)));
}

#[test]
fn each_part_of_a_request_can_be_the_key() {
    let key = |on: HashOn, head: &str| on.key(&forwarding::request(head));
    let head = "GET /a?x=1&y=2 HTTP/1.1\r\nHost: a\r\nX-Tenant: t\r\nCookie: s=1; u=2\r\n\r\n";
    let other = "GET /a?x=2&y=2 HTTP/1.1\r\nHost: a\r\nX-Tenant: v\r\nCookie: s=1; u=3\r\n\r\n";
    for (on, is_same) in [
        (HashOn::Uri, false),
        (HashOn::Path, true),
        (HashOn::Client, true),
        (HashOn::Header("x-tenant".to_owned()), false),
        (HashOn::Cookie("s".to_owned()), true),
        (HashOn::Cookie("u".to_owned()), false),
        (HashOn::Query("x".to_owned()), false),
        (HashOn::Query("y".to_owned()), true),
    ] {
        let (key, its) = (key(on.clone(), head), key(on.clone(), other));
        assert!(key.is_some(), "{on:?}");
        assert_eq!(key == its, is_same, "{on:?}");
    }
    assert_eq!(key(HashOn::Cookie("none".to_owned()), head), None);
    assert_eq!(key(HashOn::Query("z".to_owned()), head), None);
}

#[test]
fn chance_gives_each_server_about_its_weight() {
    let shares = shares(&group(Balance::Random, &weighted(&[3, 1])), 4000);
    assert!((2800..=3200).contains(&shares[0]), "{shares:?}");
}

#[test]
fn the_first_that_has_room_is_asked() {
    let servers: Vec<Arc<Server>> = (1..=3).map(|id| server(id, |server| server.max_requests = 2)).collect();
    let group = group(Balance::First, &servers);
    let held: Vec<Lease> = (0..6).map(|_| lease(&group, &get("/"))).collect();
    assert_eq!(held.iter().map(|lease| lease.server().id()).collect::<Vec<_>>(), [1, 1, 2, 2, 3, 3]);
    assert!(matches!(group.choose(&get("/"), &[], 0), Ok(Chosen::Busy)));
}

#[test]
fn a_backup_is_asked_only_if_no_other_server_may_be() {
    let backup = server(2, |server| server.is_backup = true);
    let group = group(Balance::Least, &[server(1, |server| server.max_requests = 1), backup]);
    assert_eq!(shares(&group, 3), [3, 0]);
    let held = lease(&group, &get("/"));
    assert_eq!(lease(&group, &get("/")).server().id(), 2, "the first is full");
    drop(held);
    match group.choose(&get("/"), &[1], 0) {
        Ok(Chosen::Server(lease)) => assert_eq!(lease.server().id(), 2, "the first has failed"),
        _ => panic!("the backup is there"),
    }
}

#[test]
fn servers_that_are_down_or_drain_get_nothing() {
    let down = |id| server(id, |server| server.is_down = true);
    let draining = server(2, |server| server.is_draining = true.into());
    let group_of = |servers: &[Arc<Server>]| group(Balance::Least, servers);
    assert_eq!(shares(&group_of(&[down(1), draining, server(3, |_| {})]), 5), [0, 0, 5]);
    assert_eq!(group_of(&[down(1)]).choose(&get("/"), &[], 0).err(), Some(Failure::NoServer));
}
