//! Tests of supervision with real processes: crash, stop, reload, boot failure, and the death of the arbiter itself.
//!
//! It is a separate program with one thread, because it forks. Nothing sleeps: each step waits for a line from a
//! process, or for the end of all of them.

mod server;

use std::time::Duration;

use farrier_supervisor::process::{ExitStatus, fork_plain, own_pid};
use farrier_supervisor::sockets::{BindOptions, rebind_all};
use farrier_supervisor::{ArbiterSettings, CompanionLink, Forked, Level, ListenSpec, Pid, Renewal, Signal, clock};
use rustix::event::{PollFd, PollFlags, poll};
use server::{Report, Script, Server, expect_gone, serve, settings};

const SCENARIOS: &[(&str, fn())] = &[
    ("a crashed worker is replaced and TERM ends all with 0", a_crashed_worker_is_replaced),
    ("INT ends all with 0", int_ends_all),
    ("HUP replaces all workers while some serve", hup_replaces_all_workers),
    ("a generation that cannot boot leaves the old one serving", a_broken_generation),
    ("a configuration with an error leaves the old one serving", a_broken_configuration),
    ("a server that never booted ends with 3", a_server_that_never_booted),
    ("an application that is not found ends with 4", an_application_not_found),
    ("a worker that ends while it boots ends a new server with 3", a_worker_that_dies_at_boot),
    ("workers leave when the arbiter is killed", workers_leave_an_arbiter_that_was_killed),
    ("a hung worker is aborted and replaced", a_hung_worker_is_replaced),
    ("a worker that ignores TERM is killed when its time is over", a_worker_that_ignores_term),
    ("TERM while workers boot ends at once", term_while_booting),
    ("TTIN and TTOU change the number of workers", ttin_and_ttou),
    ("a worker that retires is replaced before it leaves", retirement),
    ("a panic ends the worker and nothing else", a_panic),
    ("USR1 reaches all workers", usr1_reaches_all),
    ("orphans of others are reaped", orphans_are_reaped),
    ("the file of a Unix socket goes with the server", a_unix_socket_goes),
    ("a reload moves to other listeners", a_reload_moves),
    ("a fork that fails is tried again", a_fork_that_fails),
    ("a template forks the workers and leaves with the server", a_template_forks),
    ("a template that is killed takes no worker with it", a_template_is_killed),
    ("a template that cannot load ends a new server with its code", a_template_cannot_load),
    ("a template leaves when the arbiter is killed", a_template_ends_when_the_arbiter_is_killed),
    ("a companion that dies comes back and ends with the server", a_companion_comes_back),
    ("a companion is replaced after a reload", a_companion_is_replaced),
    ("a companion leaves when the arbiter is killed", a_companion_ends_when_the_arbiter_is_killed),
    ("a companion that ignores TERM does not outlive the server", a_companion_that_ignores_term),
];

fn main() {
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    for (name, scenario) in SCENARIOS {
        if only.as_ref().is_none_or(|only| name.contains(only.as_str())) {
            println!("scenario {name}");
            scenario();
        }
    }
}

fn stop(mut server: Server, signal: Signal) -> Vec<String> {
    server.signal(signal);
    server.expect(&format!("INFO Handling signal: {}", signal.name()));
    server.expect("INFO Shutting down: Master");
    let (status, lines) = server.end();
    assert_eq!(status, ExitStatus::Code(0));
    lines
}

fn a_crashed_worker_is_replaced() {
    let mut server = Server::start(Script::default());
    let pids = server.expect_ready(2);
    for pid in &pids {
        server.expect(&format!("INFO Booting worker with pid: {pid}"));
    }
    server.expect("notice Ready");
    farrier_supervisor::process::kill(pids[0], Signal::Kill).expect("lives");
    server.expect(&format!("ERROR Worker (pid:{}) was sent SIGKILL! Perhaps out of memory?", pids[0]));
    let [new] = server.expect_ready(1)[..] else { panic!("one") };
    assert!(!pids.contains(&new));
    let lines = stop(server, Signal::Term);
    let left = |pid: Pid| {
        lines.contains(&format!("term {pid}")) && lines.contains(&format!("INFO Worker exiting (pid: {pid})"))
    };
    assert!(left(pids[1]) && left(new), "{lines:#?}");
}

fn int_ends_all() {
    let mut server = Server::start(Script::default());
    let pids = server.expect_ready(2);
    let lines = stop(server, Signal::Int);
    assert!(pids.iter().all(|pid| lines.contains(&format!("quit {pid}"))), "{lines:#?}");
}

fn tcp() -> Vec<ListenSpec> {
    vec![ListenSpec::Tcp { host: "127.0.0.1".to_owned(), port: 0 }]
}

fn hup_replaces_all_workers() {
    let mut server = Server::start(Script { listen: tcp(), ..Script::default() });
    server.expect(&format!("INFO Listening at: http://{} ({})", server.address.expect("bound"), server.pid));
    let old = server.expect_ready(2);
    server.signal(Signal::Hup);
    server.expect("INFO Handling signal: hup");
    server.expect("INFO Hang up: Master");
    // A worker answers at every moment until the reload is over, and then only new ones.
    let mut new = Vec::new();
    while new.len() < 2 {
        server.ask();
        new.extend(server.expect_ready(1));
        server.ask();
    }
    server.expect("notice Reloaded { generation: 2 }");
    assert!(new.iter().all(|pid| !old.contains(pid)));
    assert!(new.contains(&server.ask()));
    stop(server, Signal::Term);
}

fn a_broken_generation() {
    let worker = |link: farrier_supervisor::WorkerLink, listeners: &[_], report: &Report| match link.generation() {
        2 => link.boot_failed(true),
        _ => serve(link, listeners, report),
    };
    let mut server = Server::start(Script { listen: tcp(), worker, ..Script::default() });
    let old = server.expect_ready(2);
    server.signal(Signal::Hup);
    server.expect("ERROR Reload abandoned: worker (pid:");
    server.expect("notice ReloadAbandoned { generation: 1 }");
    assert!(old.contains(&server.ask()));
    server.signal(Signal::Hup);
    let new = server.expect_ready(2);
    server.expect("notice Reloaded { generation: 3 }");
    assert!(new.contains(&server.ask()));
    stop(server, Signal::Term);
}

fn a_broken_configuration() {
    let read_config = |_: &[_]| Err("there is an error in line 3".to_owned());
    let mut server = Server::start(Script { listen: tcp(), read_config, ..Script::default() });
    let old = server.expect_ready(2);
    server.signal(Signal::Hup);
    server.expect("ERROR Reload abandoned: there is an error in line 3");
    assert!(old.contains(&server.ask()));
    stop(server, Signal::Term);
}

fn a_server_that_never_booted() {
    let worker = |link: farrier_supervisor::WorkerLink, _: &[_], _: &Report| link.boot_failed(true);
    let mut server = Server::start(Script { worker, ..Script::default() });
    server.expect("ERROR Shutting down: Master");
    server.expect("ERROR Reason: Worker failed to boot.");
    assert_eq!(server.end().0, ExitStatus::Code(3));
}

fn an_application_not_found() {
    let worker = |link: farrier_supervisor::WorkerLink, _: &[_], _: &Report| link.boot_failed(false);
    let mut server = Server::start(Script { worker, ..Script::default() });
    server.expect("ERROR Reason: App failed to load.");
    assert_eq!(server.end().0, ExitStatus::Code(4));
}

fn a_worker_that_dies_at_boot() {
    let mut server = Server::start(Script { worker: |_, _, _| 0, ..Script::default() });
    server.expect("ERROR Reason: Worker failed to boot.");
    assert_eq!(server.end().0, ExitStatus::Code(3));
}

fn workers_leave_an_arbiter_that_was_killed() {
    let mut server = Server::start(Script::default());
    let pids = server.expect_ready(2);
    server.signal(Signal::Kill);
    for pid in pids {
        server.expect(&format!("orphan {pid}"));
    }
    assert_eq!(server.end().0, ExitStatus::Signal(9));
}

fn a_hung_worker_is_replaced() {
    let worker = |link: farrier_supervisor::WorkerLink, listeners: &[_], report: &Report| {
        if link.restarts() == 0 {
            link.slot().beat(clock::monotonic_ms());
            link.slot().set_active(true);
        }
        serve(link, listeners, report)
    };
    let settings = ArbiterSettings { timeout: Some(Duration::from_millis(50)), ..settings(1) };
    let mut server = Server::start(Script { worker, settings, ..Script::default() });
    let [hung] = server.expect_ready(1)[..] else { panic!("one") };
    server.expect(&format!("CRITICAL WORKER TIMEOUT (pid:{hung})"));
    server.expect(&format!("abrt {hung}"));
    let [new] = server.expect_ready(1)[..] else { panic!("one") };
    assert_ne!(new, hung);
    // It caught ABRT and continued, so it is killed a second later, and the log does not blame the memory.
    server.expect(&format!("ERROR Worker (pid:{hung}) was sent SIGKILL!"));
    let lines = stop(server, Signal::Term);
    assert!(!lines.iter().any(|line| line.contains("out of memory")));
}

fn a_worker_that_ignores_term() {
    let worker = |link: farrier_supervisor::WorkerLink, _: &[_], report: &Report| {
        let signals = link.catch_signals().expect("caught");
        link.ready();
        report.line(&format!("ready {}", own_pid()));
        loop {
            let mut fds = [rustix::event::PollFd::new(&signals, rustix::event::PollFlags::IN)];
            let _ = rustix::event::poll(&mut fds, None);
            signals.drain();
        }
    };
    let settings = ArbiterSettings { graceful_timeout: Duration::from_millis(50), ..settings(2) };
    let mut server = Server::start(Script { worker, settings, ..Script::default() });
    server.expect_ready(2);
    let lines = stop(server, Signal::Term);
    assert_eq!(lines.iter().filter(|line| line.ends_with("was sent SIGKILL!")).count(), 2, "{lines:#?}");
}

fn term_while_booting() {
    let worker = |_: farrier_supervisor::WorkerLink, _: &[_], report: &Report| {
        report.line(&format!("loading {}", own_pid()));
        loop {
            std::thread::park();
        }
    };
    let mut server = Server::start(Script { worker, ..Script::default() });
    server.expect("loading ");
    server.expect("loading ");
    let lines = stop(server, Signal::Term);
    assert!(!lines.iter().any(|line| line.contains("SIGKILL")), "{lines:#?}");
}

fn ttin_and_ttou() {
    let mut server = Server::start(Script { settings: settings(1), ..Script::default() });
    let [oldest] = server.expect_ready(1)[..] else { panic!("one") };
    server.signal(Signal::Ttin);
    server.expect("notice WorkersChanged { old: Some(1), new: 2 }");
    server.expect_ready(1);
    server.signal(Signal::Ttou);
    server.expect(&format!("term {oldest}"));
    server.expect(&format!("INFO Worker exiting (pid: {oldest})"));
    server.signal(Signal::Ttou);
    server.expect("INFO Handling signal: ttou");
    let lines = stop(server, Signal::Term);
    assert_eq!(lines.iter().filter(|line| line.starts_with("term ")).count(), 1, "the last one stayed: {lines:#?}");
}

fn retirement() {
    let worker = |link: farrier_supervisor::WorkerLink, listeners: &[_], report: &Report| {
        if link.restarts() > 0 {
            return serve(link, listeners, report);
        }
        let signals = link.catch_signals().expect("caught");
        link.ready();
        link.wants_recycling(farrier_supervisor::Cause::Asked);
        report.line(&format!("ready {}", own_pid()));
        loop {
            let mut fds = [rustix::event::PollFd::new(&signals, rustix::event::PollFlags::IN)];
            let _ = rustix::event::poll(&mut fds, None);
            if signals.drain().contains(&Signal::Term) {
                report.line(&format!("relieved {}", own_pid()));
                return 0;
            }
        }
    };
    let mut server = Server::start(Script { worker, settings: settings(1), ..Script::default() });
    let pids = server.expect_ready(2);
    server.expect(&format!("relieved {}", pids[0]));
    stop(server, Signal::Term);
}

fn a_panic() {
    let worker = |link: farrier_supervisor::WorkerLink, listeners: &[_], report: &Report| {
        if link.restarts() == 0 {
            link.ready();
            report.line(&format!("panics {}", own_pid()));
            std::panic::resume_unwind(Box::new("a fault of our own"));
        }
        serve(link, listeners, report)
    };
    let mut server = Server::start(Script { worker, settings: settings(1), ..Script::default() });
    let pid = server.expect("panics ");
    server.expect(&format!("ERROR Worker (pid:{pid}) exited with code 255."));
    server.expect_ready(1);
    stop(server, Signal::Term);
}

fn usr1_reaches_all() {
    let mut server = Server::start(Script::default());
    let pids = server.expect_ready(2);
    server.signal(Signal::Usr1);
    server.expect("notice ReopenLogs");
    for pid in pids {
        server.expect(&format!("usr1 {pid}"));
    }
    stop(server, Signal::Term);
}

fn orphans_are_reaped() {
    // Stands for process 1: it inherits what its workers leave behind.
    let prepare = || rustix::process::set_child_subreaper(rustix::process::Pid::from_raw(1)).expect("set");
    let worker = |link: farrier_supervisor::WorkerLink, listeners: &[_], report: &Report| {
        if link.restarts() > 0 {
            return serve(link, listeners, report);
        }
        // SAFETY: a worker of this test has one thread.
        let forked = unsafe { fork_plain() }.expect("forked");
        match forked {
            Forked::Child => loop {
                std::thread::park();
            },
            Forked::Parent(pid) => {
                report.line(&format!("grandchild {pid}"));
                link.ready();
                1
            }
        }
    };
    let mut server = Server::start(Script { prepare, worker, settings: settings(1), ..Script::default() });
    let orphan: Pid = server.expect("grandchild ").parse().expect("a pid");
    server.expect_ready(1);
    farrier_supervisor::process::kill(orphan, Signal::Kill).expect("lives");
    // A zombie would still be there.
    expect_gone(orphan);
    stop(server, Signal::Term);
}

fn a_unix_socket_goes() {
    let path = std::env::temp_dir().join(format!("farrier-processes-{}.sock", std::process::id()));
    let spec = ListenSpec::Unix { path: path.clone(), mode: Some(0o600), uid: None, gid: None };
    let mut server = Server::start(Script { listen: vec![spec], ..Script::default() });
    let pids = server.expect_ready(2);
    server.expect(&format!("INFO Listening at: unix:{}", path.display()));
    farrier_supervisor::process::kill(pids[0], Signal::Term).expect("lives");
    server.expect_ready(1);
    assert!(path.exists(), "a worker does not take the file with it");
    stop(server, Signal::Term);
    assert!(!path.exists());
}

fn a_reload_moves() {
    let mut script = Script { listen: tcp(), ..Script::default() };
    script.read_config = |old| {
        let specs =
            [ListenSpec::Tcp { host: "127.0.0.1".to_owned(), port: 0 }, ListenSpec::Abstract(b"farrier-x".to_vec())];
        let options = BindOptions { tries: 1, ..BindOptions::default() };
        // Only the second address: the first listener is closed.
        let listeners = rebind_all(old, &specs[1..], &options, &mut |_, _| {}).map_err(|error| error.to_string())?;
        Ok(Renewal { settings: settings(1), listeners: Some(listeners) })
    };
    let mut server = Server::start(script);
    server.expect_ready(2);
    let address = server.address.expect("listens");
    server.signal(Signal::Hup);
    server.expect_ready(1);
    server.expect("notice Reloaded { generation: 2 }");
    let refused = std::net::TcpStream::connect(address).expect_err("nobody holds the old listener");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    stop(server, Signal::Term);
}

fn a_fork_that_fails() {
    let mut server = Server::start(Script { forks_failing: 2, settings: settings(1), ..Script::default() });
    server.expect("ERROR A worker could not be forked: ");
    server.expect("ERROR A worker could not be forked: ");
    server.expect_ready(1);
    stop(server, Signal::Term);
}

fn preloading() -> Script {
    Script { settings: ArbiterSettings { preload: true, ..settings(2) }, ..Script::default() }
}

fn a_template_forks() {
    let mut server = Server::start(preloading());
    let template: Pid = server.expect("template 1 ").parse().expect("a pid");
    let pids = server.expect_ready(2);
    assert!(!pids.contains(&template));
    for pid in &pids {
        server.expect(&format!("INFO Booting worker with pid: {pid}"));
    }
    server.signal(Signal::Usr1);
    server.expect(&format!("template reopens {template}"));
    let lines = stop(server, Signal::Term);
    assert!(lines.contains(&format!("template leaves {template}")), "{lines:#?}");
    assert!(lines.contains(&format!("template reaped {template}")), "{lines:#?}");
}

fn a_template_is_killed() {
    let mut server = Server::start(preloading());
    let template: Pid = server.expect("template 1 ").parse().expect("a pid");
    let pids = server.expect_ready(2);
    farrier_supervisor::process::kill(template, Signal::Kill).expect("lives");
    server.expect(&format!("ERROR Template (pid:{template}) was sent SIGKILL!"));
    let next: Pid = server.expect("template 1 ").parse().expect("a pid");
    assert_ne!(template, next);
    expect_gone(template);
    farrier_supervisor::process::kill(pids[0], Signal::Kill).expect("the workers still run");
    // A worker that was requested just before its end is forked by the next template.
    farrier_supervisor::process::kill(next, Signal::Kill).expect("lives");
    server.expect_ready(1);
    let lines = stop(server, Signal::Term);
    assert!(lines.contains(&format!("term {}", pids[1])), "{lines:#?}");
}

fn a_template_cannot_load() {
    let load = |_: u64, _: &Report| Err(4);
    let server = Server::start(Script { load, ..preloading() });
    let (status, lines) = server.end();
    assert_eq!(status, ExitStatus::Code(4), "{lines:#?}");
    assert!(lines.contains(&"ERROR Reason: App failed to load.".to_owned()), "{lines:#?}");
}

fn a_template_ends_when_the_arbiter_is_killed() {
    let mut server = Server::start(preloading());
    let template: Pid = server.expect("template 1 ").parse().expect("a pid");
    let pids = server.expect_ready(2);
    server.signal(Signal::Kill);
    for pid in pids {
        server.expect(&format!("orphan {pid}"));
    }
    server.expect(&format!("template leaves {template}"));
    let (status, _) = server.end();
    assert_eq!(status, ExitStatus::Signal(Signal::Kill.number()));
}

/// Reports its pid and its number of descriptors, and lives until the arbiter has ended.
fn accompany(link: CompanionLink) -> i32 {
    let open = std::fs::read_dir("/proc/self/fd").expect("there").count();
    link.say(Level::Info, &format!("companion {} has {open}", own_pid()));
    let alive = link.alive().expect("cloned");
    let mut fds = [PollFd::new(&alive, PollFlags::IN)];
    while poll(&mut fds, None).is_err() {}
    0
}

fn with_companion(companion: fn(CompanionLink) -> i32) -> Server {
    let listen = vec![ListenSpec::Tcp { host: "127.0.0.1".to_owned(), port: 0 }];
    Server::start(Script { listen, companion: Some(companion), ..Script::default() })
}

fn expect_companion(server: &mut Server) -> Pid {
    let said = server.expect("INFO companion ");
    let (pid, descriptors) = said.split_once(" has ").expect("both");
    // The standard streams, the two of its link and the one that lists them; no listener.
    assert_eq!(descriptors, "6");
    pid.parse().expect("a pid")
}

fn a_companion_comes_back() {
    let mut server = with_companion(accompany);
    let first = expect_companion(&mut server);
    farrier_supervisor::process::kill(first, Signal::Kill).expect("lives");
    server.expect(&format!(
        "WARNING The process for company (pid:{first}) ended with SIGKILL; it is started again in 1 s"
    ));
    let second = expect_companion(&mut server);
    assert_ne!(first, second);
    server.expect_ready(2);
    stop(server, Signal::Int);
    expect_gone(second);
}

fn a_companion_is_replaced() {
    let mut server = with_companion(accompany);
    let first = expect_companion(&mut server);
    server.expect_ready(2);
    server.signal(Signal::Hup);
    server.expect("notice Reloaded");
    let second = expect_companion(&mut server);
    expect_gone(first);
    stop(server, Signal::Term);
    expect_gone(second);
}

fn a_companion_ends_when_the_arbiter_is_killed() {
    let mut server = with_companion(accompany);
    let pid = expect_companion(&mut server);
    server.expect_ready(2);
    server.signal(Signal::Kill);
    let (status, _) = server.end();
    assert_eq!(status, ExitStatus::Signal(9));
    expect_gone(pid);
}

fn a_companion_that_ignores_term() {
    let mut server = with_companion(|link| {
        // SAFETY: ignoring a signal runs no code.
        unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
        accompany(link)
    });
    let said = server.expect("INFO companion ");
    server.expect_ready(2);
    stop(server, Signal::Term);
    expect_gone(said.split(' ').next().and_then(|pid| pid.parse().ok()).expect("a pid"));
}
