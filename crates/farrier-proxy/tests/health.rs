//! Tests of health: one law of ejection, return, panic and sticky clients per test.

#![allow(clippy::expect_used, clippy::panic, reason = "tests")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use farrier_http::upstream::{ServerAddress, Target};
use farrier_proxy::group::{Chosen, Group, GroupPolicy, Lease, Notice};
use farrier_proxy::health::agent::Told;
use farrier_proxy::health::checks::{CheckPolicy, take};
use farrier_proxy::health::words::{AGENT, CHECKED};
use farrier_proxy::health::{Cause, Change, HealthPolicy, Standing};
use farrier_proxy::server::{Protocol, Server};
use farrier_proxy::sticky::{Learned, Sticky};
use farrier_proxy::{Balance, Failure};

mod forwarding;

fn server(id: u64, change: impl Fn(&mut Server)) -> Arc<Server> {
    let address = ServerAddress::Unix(format!("/{id}").into());
    let target = Target { id, address, source: None, security: None, idle_max: 1 };
    let mut server = Server::new(target, format!("unix:/{id}"), b"a"[..].into(), Protocol::Http1, 1);
    change(&mut server);
    Arc::new(server)
}

fn servers(count: u64) -> Vec<Arc<Server>> {
    (1..=count).map(|id| server(id, |_| {})).collect()
}

fn with(servers: Vec<Arc<Server>>, health: HealthPolicy) -> Arc<Group> {
    let policy = GroupPolicy { health, ..GroupPolicy::default() };
    Arc::new(Group::new("app".to_owned(), servers, policy))
}

fn group(count: u64) -> Arc<Group> {
    with(servers(count), HealthPolicy::default())
}

fn choose(group: &Arc<Group>, method: &str, now_ms: u64) -> Result<Lease, Failure> {
    let request = forwarding::request(&format!("{method} / HTTP/1.1\r\nHost: a\r\nCookie: s=1\r\n\r\n"));
    match group.choose(&request, &[], now_ms)? {
        Chosen::Server(lease) => Ok(lease),
        Chosen::Busy => Err(Failure::QueueFull),
    }
}

/// The servers that get requests, in order.
fn asked(group: &Arc<Group>, now_ms: u64) -> Vec<u64> {
    let mut asked: Vec<u64> =
        (0..40).filter_map(|_| choose(group, "POST", now_ms).ok()).map(|lease| lease.server().id()).collect();
    asked.sort_unstable();
    asked.dedup();
    asked
}

fn fail(group: &Arc<Group>, place: usize, now_ms: u64) {
    let servers = group.servers();
    (0..3).for_each(|_| group.failed(&servers[place], false, Cause::Timeout, now_ms));
}

fn fail_checks(server: &Server, cause: Cause) {
    for _ in 0..3 {
        take(&server.words[CHECKED], Err(cause), &CheckPolicy::default(), 1);
    }
}

#[test]
fn a_server_that_fails_is_left_out_and_then_tried_by_one_idempotent_request() {
    let group = group(2);
    fail(&group, 0, 1_000);
    assert_eq!(asked(&group, 1_000), [2]);
    // A POST is no trial, whenever it comes.
    assert_eq!(asked(&group, 11_000), [2]);
    let trial = choose(&group, "GET", 11_000).expect("is due");
    assert!(trial.is_trial() && trial.server().id() == 1);
    assert!(!choose(&group, "GET", 11_000).expect("the other").is_trial());
    trial.answered(200, 1_000, 11_500);
    drop(trial);
    assert_eq!(asked(&group, 11_500), [1, 2]);
}

#[test]
fn where_all_requests_are_posts_one_of_them_is_the_trial_at_last() {
    // Without it a server that is only sent POSTs would never have come back.
    let group = group(2);
    fail(&group, 0, 1_000);
    assert_eq!(asked(&group, 20_999), [2]);
    let trial = choose(&group, "POST", 21_000).expect("is due");
    assert!(trial.is_trial());
    trial.answered(200, 1_000, 21_000);
    drop(trial);
    assert_eq!(asked(&group, 21_000), [1, 2]);
}

#[test]
fn a_trial_that_fails_doubles_the_time() {
    let group = group(2);
    fail(&group, 0, 1_000);
    let trial = choose(&group, "GET", 11_000).expect("is due");
    group.failed(trial.server(), trial.is_trial(), Cause::Refused, 11_000);
    drop(trial);
    assert!(!choose(&group, "GET", 30_999).expect("the other").is_trial());
    assert!(choose(&group, "GET", 31_000).expect("is due").is_trial());
}

#[test]
fn a_trial_whose_client_leaves_is_made_by_the_next_request() {
    let group = group(2);
    fail(&group, 0, 1_000);
    drop(choose(&group, "GET", 11_000).expect("is due"));
    assert!(choose(&group, "GET", 11_000).expect("is due again").is_trial());
}

#[test]
fn failures_of_requests_that_began_before_the_ejection_do_not_prolong_it() {
    let group = group(2);
    fail(&group, 0, 1_000);
    (0..9).for_each(|_| group.failed(&group.servers()[0], false, Cause::Timeout, 9_000));
    assert!(choose(&group, "GET", 11_000).expect("is due").is_trial());
}

#[test]
fn at_most_half_of_the_servers_are_ejected_and_a_single_one_never() {
    let single = group(1);
    fail(&single, 0, 1_000);
    assert_eq!(asked(&single, 1_000), [1]);
    let four = group(4);
    (0..4).for_each(|place| fail(&four, place, 1_000));
    assert_eq!(asked(&four, 1_000), [3, 4]);
}

#[test]
fn a_server_that_was_ejected_gets_more_and_more_during_its_slow_start() {
    let health = HealthPolicy { slow_start_ms: 10_000, ..HealthPolicy::default() };
    let policy = GroupPolicy { health, balance: Balance::RoundRobin, ..GroupPolicy::default() };
    let group = Arc::new(Group::new("app".to_owned(), servers(2), policy));
    let share = |now_ms: u64| {
        let of_first = |_: &i32| choose(&group, "POST", now_ms).expect("is there").server().id() == 1;
        (0..110).filter(of_first).count()
    };
    assert_eq!(share(500), 55, "at the start of the process there is none");
    fail(&group, 0, 1_000);
    choose(&group, "GET", 11_000).expect("is due").answered(200, 1_000, 11_000);
    // A tenth to one is 10 of 110, a half to one 36.
    assert!((9..=11).contains(&share(11_000)));
    assert!((35..=38).contains(&share(16_000)));
    assert_eq!(share(21_000), 55);
}

#[test]
fn a_server_that_is_added_later_has_a_slow_start() {
    let health = HealthPolicy { slow_start_ms: 10_000, ..HealthPolicy::default() };
    let policy = GroupPolicy { health, balance: Balance::RoundRobin, ..GroupPolicy::default() };
    let servers = vec![server(1, |server| server.added_ms = 5_000), server(2, |_| {})];
    let group = Arc::new(Group::new("app".to_owned(), servers, policy));
    let first = (0..110).filter(|_| choose(&group, "GET", 5_000).expect("is there").server().id() == 1).count();
    assert!((9..=11).contains(&first), "{first}");
}

#[test]
fn below_thirty_percent_of_the_weight_verdicts_are_ignored() {
    let checked = HealthPolicy { is_checked: true, ..HealthPolicy::default() };
    let group = with(servers(4), checked.clone());
    let all = group.servers();
    fail_checks(&all[0], Cause::Status);
    fail_checks(&all[1], Cause::Status);
    assert_eq!(asked(&group, 1), [3, 4]);
    fail_checks(&all[2], Cause::Status);
    assert_eq!(asked(&group, 1), [1, 2, 3, 4], "a quarter is left");
    // Servers that cannot be reached are left out even so.
    let group = with(servers(4), checked);
    let all = group.servers();
    fail_checks(&all[0], Cause::Status);
    fail_checks(&all[1], Cause::Refused);
    fail_checks(&all[2], Cause::ConnectTimeout);
    assert_eq!(asked(&group, 1), [1, 4]);
    let standings: Vec<Standing> = all.iter().map(|server| server.standing(&group.policy.health, 1)).collect();
    assert_eq!(standings, [Standing::Ill, Standing::Unreachable, Standing::Unreachable, Standing::Well]);
}

#[test]
fn without_any_server_that_can_be_reached_the_answer_is_503() {
    let group = with(servers(2), HealthPolicy { is_checked: true, ..HealthPolicy::default() });
    group.servers().iter().for_each(|server| fail_checks(server, Cause::Refused));
    assert_eq!(choose(&group, "GET", 1).err(), Some(Failure::NoServer));
}

#[test]
fn a_backup_that_is_well_is_asked_rather_than_servers_that_are_not() {
    let backup = server(3, |server| server.is_backup = true);
    let all = [servers(2), vec![backup]].concat();
    let group = with(all, HealthPolicy { is_checked: true, ..HealthPolicy::default() });
    group.servers()[..2].iter().for_each(|server| fail_checks(server, Cause::Status));
    assert_eq!(asked(&group, 1), [3]);
}

#[test]
fn a_request_waits_while_no_server_was_checked() {
    let health = HealthPolicy { is_checked: true, starts_down: true, ..HealthPolicy::default() };
    let group = with(servers(1), health);
    assert_eq!(choose(&group, "GET", 1).err(), Some(Failure::QueueFull), "it is told to wait");
    take(&group.servers()[0].words[CHECKED], Ok(()), &CheckPolicy::default(), 1);
    assert_eq!(asked(&group, 1), [1]);
}

#[test]
fn what_an_agent_says_counts_only_where_there_are_agents() {
    let told = Told::default().after(b"maint maxconn:1").expect("known words");
    let group_of = |has_agents| {
        let group = with(servers(2), HealthPolicy { has_agents, ..HealthPolicy::default() });
        told.store(&group.servers()[0].words[AGENT]);
        group
    };
    assert_eq!(asked(&group_of(true), 1), [2]);
    assert_eq!(asked(&group_of(false), 1), [1, 2]);
    let share = |has_agents| {
        let health = HealthPolicy { has_agents, ..HealthPolicy::default() };
        let policy = GroupPolicy { health, balance: Balance::RoundRobin, ..GroupPolicy::default() };
        let group = Arc::new(Group::new("app".to_owned(), servers(2), policy));
        Told::default().after(b"50%").expect("a known word").store(&group.servers()[0].words[AGENT]);
        (0..30).filter(|_| choose(&group, "GET", 1).expect("is there").server().id() == 1).count()
    };
    assert_eq!((share(true), share(false)), (10, 15));
}

#[test]
fn each_change_is_told_once_with_what_is_left() {
    let count = Arc::new(AtomicU64::new(0));
    let mut group = Group::new("app".to_owned(), servers(2), GroupPolicy::default());
    let told = Arc::clone(&count);
    group.observer = Some(Box::new(move |server: &Server, notice: &Notice| {
        assert_eq!((server.id(), notice.all, notice.has_server), (1, 2, true));
        match told.fetch_add(1, Ordering::Relaxed) {
            0 => assert_eq!((notice.change, notice.well), (Change::Ejected(Cause::Timeout, 10_000), 1)),
            _ => assert_eq!((notice.change, notice.well), (Change::Readmitted, 2)),
        }
    }));
    let group = Arc::new(group);
    (0..3).for_each(|_| fail(&group, 0, 1_000));
    let trial = choose(&group, "GET", 11_000).expect("is due");
    (0..3).for_each(|_| trial.answered(200, 1, 11_000));
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[test]
fn a_learned_binding_to_a_server_that_is_gone_binds_to_nothing_unless_it_is_strict() {
    for (is_strict, expected) in [(false, Ok(())), (true, Err(Failure::NoServer))] {
        let mut group = Group::new("app".to_owned(), servers(2), GroupPolicy::default());
        let learned = Learned::new("s".to_owned(), is_strict);
        learned.bind(b"1", 4_711);
        group.sticky = Some(Sticky::Learn(learned));
        assert_eq!(choose(&Arc::new(group), "GET", 1).map(drop), expected);
    }
}

#[test]
fn a_bound_client_waits_for_a_server_that_is_full() {
    let all = vec![server(1, |server| server.max_requests = 1), server(2, |_| {})];
    let mut group = Group::new("app".to_owned(), all.clone(), GroupPolicy::default());
    let learned = Learned::new("s".to_owned(), false);
    learned.bind(b"1", all[0].key);
    group.sticky = Some(Sticky::Learn(learned));
    let group = Arc::new(group);
    let held = choose(&group, "GET", 1).expect("has room");
    assert_eq!(held.server().id(), 1);
    assert_eq!(choose(&group, "GET", 1).err(), Some(Failure::QueueFull), "it is told to wait");
}
