//! Tests of the arbiter: its actions after each event.

use std::time::Duration;

use farrier_supervisor::{
    Action, Arbiter, ArbiterSettings, Cause, Event, ExitStatus, Notice, Signal, TemplateId, WorkerId,
};

/// An arbiter at some time. A worker's pid is 100 + its id.
struct Bench {
    arbiter: Arbiter,
    now: Duration,
}

impl Bench {
    fn new(settings: ArbiterSettings) -> Bench {
        Bench { arbiter: Arbiter::new(settings, 64), now: Duration::from_secs(1000) }
    }

    /// An arbiter with that many workers, all ready.
    fn serving(workers: u32) -> Bench {
        Bench::serving_with(settings(workers))
    }

    fn serving_with(settings: ArbiterSettings) -> Bench {
        let workers = settings.workers;
        let mut bench = Bench::new(settings);
        bench.tell(Event::Started);
        (1..=u64::from(workers)).for_each(|worker| drop(bench.tell(ready(worker))));
        bench
    }

    /// Sends it an event, lets every fork succeed, and returns its actions as text.
    fn tell(&mut self, event: Event) -> Vec<String> {
        let actions = self.arbiter.on(event, self.now);
        let mut words = Vec::new();
        for action in actions {
            words.push(in_words(&action));
            if let Action::Spawn(spawn) = action {
                let pid = pid(spawn.worker);
                words.extend(self.tell(Event::Spawned { worker: spawn.worker, pid }));
            }
            if let Action::StartTemplate(spawn) = action {
                let TemplateId(template) = spawn.template;
                let pid = 900 + i32::try_from(template).expect("small");
                words.extend(self.tell(Event::TemplateStarted { template: spawn.template, pid }));
            }
        }
        words.retain(|word| !word.starts_with("DEBUG"));
        words
    }

    #[track_caller]
    fn check(&mut self, event: Event, expect: &[&str]) {
        assert_eq!(self.tell(event), expect);
    }

    /// Advances the time to the tick that the arbiter has asked for, which must be this many milliseconds away.
    #[track_caller]
    fn check_tick(&mut self, after_ms: u64, expect: &[&str]) {
        let wake_at = self.arbiter.wake_at().expect("wants a tick");
        assert_eq!(wake_at - self.now, Duration::from_millis(after_ms));
        self.now = wake_at;
        self.check(Event::Tick, expect);
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }
}

fn settings(workers: u32) -> ArbiterSettings {
    ArbiterSettings { workers, ..ArbiterSettings::default() }
}

fn pid(WorkerId(worker): WorkerId) -> i32 {
    100 + i32::try_from(worker).expect("small")
}

fn ready(worker: u64) -> Event {
    Event::Ready(WorkerId(worker))
}

fn exited(worker: u64, code: i32) -> Event {
    Event::Exited { worker: WorkerId(worker), status: ExitStatus::Code(code) }
}

fn died(worker: u64, signal: Signal) -> Event {
    Event::Exited { worker: WorkerId(worker), status: ExitStatus::Signal(signal.number()) }
}

fn boot_failed(worker: u64, code: i32) -> Event {
    Event::BootFailed { worker: WorkerId(worker), code }
}

fn retiring(worker: u64) -> Event {
    Event::Retiring { worker: WorkerId(worker), cause: Cause::Requests }
}

fn in_words(action: &Action) -> String {
    match action {
        Action::Spawn(spawn) => {
            let WorkerId(worker) = spawn.worker;
            let from = spawn.template.map_or_else(String::new, |TemplateId(template)| format!(" from {template}"));
            format!(
                "spawn {worker} number {} generation {} restarts {}{from}",
                spawn.number, spawn.generation, spawn.restarts
            )
        }
        Action::StartTemplate(spawn) => {
            let TemplateId(template) = spawn.template;
            format!("template {template} generation {}", spawn.generation)
        }
        Action::SignalTemplate { pid, signal, .. } => format!("{} {pid}", signal.name()),
        Action::Signal { pid, signal, .. } => format!("{} {pid}", signal.name()),
        Action::Log { level, message } => format!("{} {message}", level.name()),
        Action::ReadConfig { .. } => "read config".to_owned(),
        Action::CloseListeners => "close listeners".to_owned(),
        Action::Exit(code) => format!("exit {code}"),
        // Every exit has its notice; the lines are about what follows.
        Action::Notify(Notice::WorkerExited { .. }) => "DEBUG".to_owned(),
        Action::Notify(notice) => format!("notice {notice:?}"),
    }
}

#[test]
fn it_starts_the_workers_and_then_needs_no_tick() {
    let mut bench = Bench::new(ArbiterSettings { boot_timeout: None, ..settings(2) });
    assert_eq!(bench.arbiter.wake_at(), None);
    bench.check(
        Event::Started,
        &[
            "notice WorkersChanged { old: None, new: 2 }",
            "notice Listening",
            "spawn 1 number 1 generation 1 restarts 0",
            "spawn 2 number 2 generation 1 restarts 0",
        ],
    );
    bench.check(ready(2), &["notice Ready"]);
    bench.check(ready(1), &[]);
    assert_eq!(bench.arbiter.wake_at(), None);
    bench.check(Event::Tick, &[]);
}

#[test]
fn a_worker_that_crashed_after_a_healthy_life_is_replaced_at_once() {
    let mut bench = Bench::serving(2);
    bench.pass(5);
    bench.check(
        died(1, Signal::Kill),
        &[
            "ERROR Worker (pid:101) was sent SIGKILL! Perhaps out of memory?",
            "spawn 3 number 1 generation 1 restarts 1",
        ],
    );
    bench.check(
        exited(2, 255),
        &["ERROR Worker (pid:102) exited with code 255.", "spawn 4 number 2 generation 1 restarts 1"],
    );
}

#[test]
fn a_worker_that_keeps_dying_early_is_replaced_later_and_later() {
    let mut bench = Bench::serving(1);
    let died_early = |worker: u64| format!("ERROR Worker (pid:{}) exited with code 1.", 100 + worker);
    let spawn = |worker: u64, restarts: u64| format!("spawn {worker} number 1 generation 1 restarts {restarts}");
    bench.check(exited(1, 1), &[&died_early(1), &spawn(2, 1)]);
    for (worker, delay_ms) in (2..).zip([100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]) {
        bench.tell(ready(worker));
        bench.check(exited(worker, 1), &[&died_early(worker)]);
        bench.check_tick(delay_ms, &[&spawn(worker + 1, worker)]);
    }
    // A worker that lives for five seconds resets the delay.
    bench.tell(ready(11));
    bench.pass(5);
    bench.check(exited(11, 1), &[&died_early(11), &spawn(12, 11)]);
}

#[test]
fn workers_that_somebody_kills_one_after_the_other_are_replaced_after_a_tenth_of_a_second() {
    let mut bench = Bench::serving(1);
    let killed = |worker: u64| format!("ERROR Worker (pid:{}) was sent SIGKILL! Perhaps out of memory?", 100 + worker);
    let spawn = |worker: u64, restarts: u64| format!("spawn {worker} number 1 generation 1 restarts {restarts}");
    bench.check(died(1, Signal::Kill), &[&killed(1), &spawn(2, 1)]);
    for worker in 2..20 {
        bench.tell(ready(worker));
        bench.check(died(worker, Signal::Kill), &[&killed(worker)]);
        bench.check_tick(100, &[&spawn(worker + 1, worker)]);
    }
}

#[test]
fn once_an_application_was_loaded_a_boot_failure_only_delays() {
    let mut bench = Bench::serving(1);
    bench.pass(60);
    bench.check(exited(1, 0), &["spawn 2 number 1 generation 1 restarts 1"]);
    bench.check(boot_failed(2, 3), &["spawn 3 number 1 generation 1 restarts 2"]);
    bench.check(exited(2, 3), &["ERROR Worker (pid:102) exited with code 3."]);
    bench.check(exited(3, 3), &["ERROR Worker (pid:103) exited with code 3."]);
    bench.check_tick(100, &["spawn 4 number 1 generation 1 restarts 3"]);
}

#[test]
fn an_application_that_was_never_loaded_ends_the_server() {
    for (code, reason) in [(3, "Worker failed to boot."), (4, "App failed to load."), (1, "Worker failed to boot.")] {
        let mut bench = Bench::new(settings(2));
        bench.tell(Event::Started);
        bench.check(boot_failed(1, code), &["notice Stopping", "close listeners", "term 102"]);
        bench.check(exited(1, 3), &["ERROR Worker (pid:101) exited with code 3."]);
        let exit = format!("exit {}", if code == 4 { 4 } else { 3 });
        let reason = format!("ERROR Reason: {reason}");
        bench.check(died(2, Signal::Term), &["ERROR Shutting down: Master", &reason, "notice Stopped", &exit]);
        bench.check(Event::Tick, &[]);
    }
}

#[test]
fn a_worker_that_ends_before_it_is_ready_could_not_boot() {
    let mut bench = Bench::new(settings(1));
    bench.tell(Event::Started);
    bench.check(
        exited(1, 0),
        &[
            "notice Stopping",
            "close listeners",
            "ERROR Shutting down: Master",
            "ERROR Reason: Worker failed to boot.",
            "notice Stopped",
            "exit 3",
        ],
    );
}

#[test]
fn a_boot_that_takes_too_long_is_a_failure() {
    let mut bench = Bench::new(settings(1));
    bench.tell(Event::Started);
    bench.check_tick(
        300_000,
        &[
            "CRITICAL Worker (pid:101) took too long to load the application",
            "abrt 101",
            "notice Stopping",
            "close listeners",
        ],
    );
    bench.check_tick(1000, &["kill 101"]);
    bench.check(
        died(1, Signal::Kill),
        &[
            "ERROR Worker (pid:101) was sent SIGKILL!",
            "ERROR Shutting down: Master",
            "ERROR Reason: Worker failed to boot.",
            "notice Stopped",
            "exit 3",
        ],
    );
}

#[test]
fn term_drains_all_and_ends_with_0() {
    let mut bench = Bench::serving(2);
    bench.check(
        Event::Signal(Signal::Term),
        &["INFO Handling signal: term", "notice Stopping", "close listeners", "term 101", "term 102"],
    );
    bench.check(Event::Signal(Signal::Term), &["INFO Handling signal: term"]);
    bench.check(exited(1, 0), &[]);
    bench.check(exited(2, 0), &["INFO Shutting down: Master", "notice Stopped", "exit 0"]);
    assert_eq!(bench.arbiter.wake_at(), None);
}

#[test]
fn a_drain_that_takes_too_long_ends_with_kill_and_still_with_0() {
    let mut bench = Bench::serving(2);
    bench.tell(Event::Signal(Signal::Term));
    bench.tell(exited(1, 0));
    bench.check_tick(25_000, &["kill 102"]);
    bench.check(
        died(2, Signal::Kill),
        &["ERROR Worker (pid:102) was sent SIGKILL!", "INFO Shutting down: Master", "notice Stopped", "exit 0"],
    );
}

#[test]
fn a_process_that_survives_a_kill_does_not_block_the_arbiter() {
    let mut bench = Bench::serving(1);
    bench.tell(Event::Signal(Signal::Term));
    bench.check_tick(25_000, &["kill 101"]);
    bench.check_tick(
        2000,
        &[
            "ERROR Worker (pid:101) survived SIGKILL and is left behind",
            "INFO Shutting down: Master",
            "notice Stopped",
            "exit 0",
        ],
    );
}

#[test]
fn int_and_quit_stop_quickly() {
    for signal in [Signal::Int, Signal::Quit] {
        let mut bench = Bench::serving(1);
        let handling = format!("INFO Handling signal: {}", signal.name());
        bench.check(Event::Signal(signal), &[&handling, "notice Stopping", "close listeners", "quit 101"]);
        bench.check_tick(2000, &["kill 101"]);
    }
}

#[test]
fn a_second_signal_makes_a_graceful_stop_quick() {
    let mut bench = Bench::serving(1);
    bench.tell(Event::Signal(Signal::Term));
    bench.pass(10);
    bench.check(Event::Signal(Signal::Int), &["INFO Handling signal: int", "quit 101"]);
    bench.check_tick(2000, &["kill 101"]);
}

#[test]
fn a_worker_that_boots_is_never_sent_quit_which_would_dump_its_core() {
    let mut bench = Bench::new(settings(1));
    bench.tell(Event::Started);
    bench.check(
        Event::Signal(Signal::Int),
        &["INFO Handling signal: int", "notice Stopping", "close listeners", "term 101"],
    );
    bench.check(died(1, Signal::Term), &["INFO Shutting down: Master", "notice Stopped", "exit 0"]);
}

#[test]
fn a_worker_whose_fork_is_not_answered_yet_is_told_as_soon_as_it_has_a_pid() {
    let spawned = Event::Spawned { worker: WorkerId(1), pid: 101 };
    let mut arbiter = Arbiter::new(settings(1), 64);
    let mut tell = |event: Event, second: u64| {
        arbiter.on(event, Duration::from_secs(second)).iter().map(in_words).collect::<Vec<_>>()
    };
    tell(Event::Started, 0);
    tell(Event::Signal(Signal::Term), 0);
    assert_eq!(tell(spawned.clone(), 0), ["term 101"]);

    let mut arbiter = Arbiter::new(settings(1), 64);
    let mut tell = |event: Event, second: u64| {
        arbiter.on(event, Duration::from_secs(second)).iter().map(in_words).collect::<Vec<_>>()
    };
    tell(Event::Started, 0);
    tell(Event::Signal(Signal::Term), 0);
    tell(Event::Tick, 25);
    assert_eq!(tell(spawned, 25), ["kill 101"]);
}

const READS: &[&str] = &["INFO Handling signal: hup", "INFO Hang up: Master", "notice Reloading", "read config"];

#[test]
fn hup_starts_a_new_generation_and_each_ready_worker_replaces_an_old_one() {
    let mut bench = Bench::serving(2);
    bench.check(Event::Signal(Signal::Hup), READS);
    bench.check(
        Event::Reloaded(settings(2)),
        &[
            "notice Renewed { generation: 2 }",
            "spawn 3 number 1 generation 2 restarts 0",
            "spawn 4 number 2 generation 2 restarts 0",
        ],
    );
    bench.check(ready(4), &["term 101"]);
    bench.check(exited(1, 0), &[]);
    bench.check(ready(3), &["term 102"]);
    bench.check(exited(2, 0), &["INFO Reloaded: generation 2 serves", "notice Reloaded { generation: 2 }"]);
    assert_eq!(bench.arbiter.generation(), 2);
    assert_eq!(bench.arbiter.wake_at(), None);
}

#[test]
fn a_reload_works_with_one_worker() {
    let mut bench = Bench::serving(1);
    bench.tell(Event::Signal(Signal::Hup));
    bench.check(
        Event::Reloaded(settings(1)),
        &["notice Renewed { generation: 2 }", "spawn 2 number 1 generation 2 restarts 0"],
    );
    bench.check(ready(2), &["term 101"]);
    bench.check(exited(1, 0), &["INFO Reloaded: generation 2 serves", "notice Reloaded { generation: 2 }"]);
}

#[test]
fn a_reload_takes_over_the_new_settings() {
    let mut bench = Bench::serving(1);
    bench.tell(Event::Signal(Signal::Hup));
    let new = ArbiterSettings { graceful_timeout: Duration::from_secs(3), ..settings(3) };
    bench.check(
        Event::Reloaded(new.clone()),
        &[
            "notice WorkersChanged { old: Some(1), new: 3 }",
            "notice Renewed { generation: 2 }",
            "spawn 2 number 1 generation 2 restarts 0",
            "spawn 3 number 2 generation 2 restarts 0",
            "spawn 4 number 3 generation 2 restarts 0",
        ],
    );
    for worker in 2..=4 {
        bench.tell(ready(worker));
    }
    bench.tell(exited(1, 0));
    assert_eq!(*bench.arbiter.settings(), new);
    bench.check(
        Event::Signal(Signal::Ttou),
        &["INFO Handling signal: ttou", "notice WorkersChanged { old: Some(3), new: 2 }", "term 102"],
    );
    bench.check_tick(3000, &["kill 102"]);
}

#[test]
fn a_generation_that_cannot_boot_is_abandoned_and_the_old_one_keeps_serving() {
    let mut bench = Bench::serving(2);
    bench.tell(Event::Signal(Signal::Hup));
    bench.tell(Event::Reloaded(settings(3)));
    bench.check(
        boot_failed(4, 3),
        &[
            "term 103",
            "term 105",
            "notice WorkersChanged { old: Some(3), new: 2 }",
            "ERROR Reload abandoned: worker (pid:104) of the new generation failed to boot; generation 1 goes on serving",
            "notice ReloadAbandoned { generation: 1 }",
        ],
    );
    assert_eq!(bench.arbiter.generation(), 1);
    bench.pass(100);
    bench.tell(died(3, Signal::Term));
    bench.check(exited(1, 0), &["spawn 6 number 1 generation 1 restarts 1"]);
}

#[test]
fn a_configuration_with_an_error_is_refused_before_anything_is_forked() {
    let mut bench = Bench::serving(1);
    bench.tell(Event::Signal(Signal::Hup));
    bench.check(
        Event::ReloadFailed("line 3 is wrong".to_owned()),
        &[
            "ERROR Reload abandoned: line 3 is wrong; generation 1 goes on serving",
            "notice ReloadAbandoned { generation: 1 }",
        ],
    );
}

#[test]
fn once_a_worker_of_the_new_generation_is_ready_another_that_fails_is_tried_again() {
    let mut bench = Bench::serving(2);
    bench.tell(Event::Signal(Signal::Hup));
    bench.tell(Event::Reloaded(settings(2)));
    bench.check(ready(3), &["term 101"]);
    bench.check(boot_failed(4, 3), &["spawn 5 number 2 generation 2 restarts 1"]);
    bench.tell(exited(4, 3));
    bench.check(boot_failed(5, 3), &[]);
    bench.check_tick(100, &["spawn 6 number 2 generation 2 restarts 2"]);
    bench.check(ready(6), &["term 102"]);
}

#[test]
fn hups_during_a_reload_make_one_more() {
    let mut bench = Bench::serving(1);
    bench.tell(Event::Signal(Signal::Hup));
    bench.tell(Event::Reloaded(settings(1)));
    for _ in 0..3 {
        bench.check(Event::Signal(Signal::Hup), &READS[..2]);
    }
    bench.tell(ready(2));
    bench.check(
        exited(1, 0),
        &["INFO Reloaded: generation 2 serves", "notice Reloaded { generation: 2 }", "notice Reloading", "read config"],
    );
    bench.tell(Event::Reloaded(settings(1)));
    bench.tell(ready(3));
    bench.check(exited(2, 0), &["INFO Reloaded: generation 3 serves", "notice Reloaded { generation: 3 }"]);
}

#[test]
fn a_queued_reload_does_not_wait_for_one_that_cannot_be_completed() {
    let mut bench = Bench::serving(2);
    bench.tell(Event::Signal(Signal::Hup));
    bench.tell(Event::Reloaded(settings(2)));
    bench.tell(ready(3));
    bench.tell(Event::Signal(Signal::Hup));
    bench.check(
        boot_failed(4, 3),
        &[
            "WARNING Reload incomplete: the next one replaces both generations",
            "INFO Reloaded: generation 2 serves",
            "notice Reloaded { generation: 2 }",
            "notice Reloading",
            "read config",
        ],
    );
    bench.check(
        Event::Reloaded(settings(2)),
        &[
            "notice Renewed { generation: 3 }",
            "spawn 5 number 1 generation 3 restarts 0",
            "spawn 6 number 2 generation 3 restarts 0",
        ],
    );
    bench.check(ready(5), &["term 102"]);
    bench.check(ready(6), &["term 103"]);
}

#[test]
fn an_old_worker_that_crashes_during_a_reload_is_replaced_by_its_own_generation() {
    let mut bench = Bench::serving(1);
    bench.pass(60);
    bench.tell(Event::Signal(Signal::Hup));
    bench.tell(Event::Reloaded(settings(1)));
    bench.check(exited(1, 0), &["spawn 3 number 1 generation 1 restarts 1"]);
    // The new one is first after all; what still boots is not needed.
    bench.check(ready(2), &["term 103"]);
}

#[test]
fn a_generation_that_cannot_be_forked_is_abandoned_after_five_tries() {
    let mut arbiter = Arbiter::new(settings(1), 64);
    let mut now = Duration::ZERO;
    let spawned = Event::Spawned { worker: WorkerId(1), pid: 101 };
    for event in [Event::Started, spawned, ready(1), Event::Signal(Signal::Hup)] {
        arbiter.on(event, now);
    }
    let mut actions = arbiter.on(Event::Reloaded(settings(1)), now).split_off(1);
    let mut tries = 0;
    while let Some(Action::Spawn(spawn)) = actions.first() {
        tries += 1;
        actions = arbiter.on(Event::ForkFailed { worker: spawn.worker, reason: "no memory".to_owned() }, now);
        assert_eq!(in_words(&actions[0]), "ERROR A worker could not be forked: no memory");
        if let (1, Some(at)) = (actions.len(), arbiter.wake_at()) {
            assert!(at >= now + Duration::from_millis(100), "never at once");
            now = at;
            actions = arbiter.on(Event::Tick, now);
        }
    }
    assert_eq!(tries, 5);
    assert_eq!(in_words(actions.last().expect("some")), "notice ReloadAbandoned { generation: 1 }");
}

#[test]
fn ttin_adds_a_worker_and_ttou_drains_the_oldest_but_never_the_last() {
    let mut bench = Bench::serving(1);
    bench.check(
        Event::Signal(Signal::Ttin),
        &[
            "INFO Handling signal: ttin",
            "notice WorkersChanged { old: Some(1), new: 2 }",
            "spawn 2 number 2 generation 1 restarts 0",
        ],
    );
    bench.tell(ready(2));
    bench.check(
        Event::Signal(Signal::Ttou),
        &["INFO Handling signal: ttou", "notice WorkersChanged { old: Some(2), new: 1 }", "term 101"],
    );
    bench.check(Event::Signal(Signal::Ttou), &["INFO Handling signal: ttou"]);
}

#[test]
fn ttou_gives_up_booting_workers_before_serving_ones() {
    let mut bench = Bench::serving(1);
    bench.tell(Event::Signal(Signal::Ttin));
    bench.check(
        Event::Signal(Signal::Ttou),
        &["INFO Handling signal: ttou", "notice WorkersChanged { old: Some(2), new: 1 }", "term 102"],
    );
}

#[test]
fn a_hung_worker_is_aborted_replaced_and_killed_a_second_later() {
    let mut bench = Bench::serving(1);
    bench.pass(60);
    bench.check(
        Event::HeartbeatStale(WorkerId(1)),
        &["CRITICAL WORKER TIMEOUT (pid:101)", "abrt 101", "spawn 2 number 1 generation 1 restarts 1"],
    );
    bench.check(Event::HeartbeatStale(WorkerId(1)), &[]);
    bench.tell(ready(2));
    bench.check_tick(1000, &["kill 101"]);
    bench.check(died(1, Signal::Kill), &["ERROR Worker (pid:101) was sent SIGKILL!"]);
}

#[test]
fn a_worker_that_runs_no_call_and_does_not_answer_is_aborted_replaced_and_killed() {
    let mut bench = Bench::serving(1);
    bench.pass(60);
    bench.check(
        Event::Unanswered(WorkerId(1)),
        &[
            "CRITICAL WORKER TIMEOUT (pid:101) although it runs no call: it does not poll",
            "abrt 101",
            "spawn 2 number 1 generation 1 restarts 1",
        ],
    );
    bench.check(Event::Unanswered(WorkerId(1)), &[]);
    bench.tell(ready(2));
    bench.check_tick(1000, &["kill 101"]);
}

#[test]
fn late_messages_of_a_killed_worker_are_ignored() {
    let mut bench = Bench::serving(1);
    bench.tell(Event::Signal(Signal::Ttin));
    bench.check_tick(
        300_000,
        &[
            "CRITICAL Worker (pid:102) took too long to load the application",
            "abrt 102",
            "spawn 3 number 2 generation 1 restarts 1",
        ],
    );
    bench.check_tick(1000, &["kill 102"]);
    bench.check(boot_failed(2, 3), &[]);
    bench.pass(10);
    bench.check(Event::Tick, &[]);
}

#[test]
fn a_reload_is_over_when_also_those_of_an_abandoned_one_have_left() {
    let mut bench = Bench::serving(1);
    bench.tell(Event::Signal(Signal::Hup));
    bench.tell(Event::Reloaded(settings(1)));
    bench.tell(exited(2, 3));
    bench.tell(Event::Signal(Signal::Hup));
    bench.tell(Event::Reloaded(settings(2)));
    bench.tell(boot_failed(3, 3));
    bench.tell(Event::Signal(Signal::Hup));
    bench.tell(Event::Reloaded(settings(1)));
    bench.check(ready(5), &["term 101"]);
    bench.check(exited(1, 0), &[]);
    bench.check(exited(3, 3), &["ERROR Worker (pid:103) exited with code 3."]);
    bench.check(died(4, Signal::Term), &["INFO Reloaded: generation 4 serves", "notice Reloaded { generation: 4 }"]);
}

#[test]
fn workers_that_wish_to_retire_are_relieved_one_after_the_other() {
    let mut bench = Bench::serving(2);
    bench.check(retiring(2), &["spawn 3 number 2 generation 1 restarts 1"]);
    bench.check(retiring(1), &[]);
    bench.check(ready(3), &["term 102"]);
    bench.check(exited(2, 0), &["spawn 4 number 1 generation 1 restarts 1"]);
    bench.check(ready(4), &["term 101"]);
    bench.check(exited(1, 0), &[]);
}

#[test]
fn a_retirement_waits_until_the_crew_is_complete() {
    let mut bench = Bench::serving(2);
    bench.pass(60);
    bench.tell(exited(1, 0));
    bench.check(retiring(2), &[]);
    bench.check(ready(3), &["spawn 4 number 2 generation 1 restarts 1"]);
    bench.check(ready(4), &["term 102"]);
}

#[test]
fn a_successor_that_cannot_boot_is_tried_again_later_and_the_old_worker_serves_on() {
    let mut bench = Bench::serving(1);
    bench.check(retiring(1), &["spawn 2 number 1 generation 1 restarts 1"]);
    bench.check(boot_failed(2, 3), &["spawn 3 number 1 generation 1 restarts 2"]);
    bench.check(exited(2, 3), &["ERROR Worker (pid:102) exited with code 3."]);
    bench.check(boot_failed(3, 3), &[]);
    bench.check(exited(3, 3), &["ERROR Worker (pid:103) exited with code 3."]);
    bench.check_tick(100, &["spawn 4 number 1 generation 1 restarts 3"]);
    bench.check(ready(4), &["term 101"]);
}

#[test]
fn workers_that_have_lived_long_enough_are_relieved_one_after_the_other() {
    let lifetime = Some(Duration::from_secs(60));
    let mut bench = Bench::serving_with(ArbiterSettings { max_worker_lifetime: lifetime, ..settings(2) });
    bench.check_tick(
        60_000,
        &[
            "INFO Worker (pid:101) has lived for 60 s and is replaced",
            "INFO Worker (pid:102) has lived for 60 s and is replaced",
            "spawn 3 number 1 generation 1 restarts 1",
        ],
    );
    bench.check(ready(3), &["term 101"]);
    bench.check(exited(1, 0), &["spawn 4 number 2 generation 1 restarts 1"]);
    bench.check(ready(4), &["term 102"]);
}

#[test]
fn lifetimes_are_scattered_by_the_jitter_and_no_longer_than_that() {
    let jitter = Duration::from_secs(10);
    let ends = |jitter_seed| {
        let settings = ArbiterSettings {
            max_worker_lifetime: Some(Duration::from_secs(60)),
            max_worker_lifetime_jitter: jitter,
            jitter_seed,
            ..settings(1)
        };
        Bench::serving_with(settings).arbiter.wake_at().expect("ages")
    };
    let all: Vec<Duration> = (0..50).map(ends).collect();
    let (least, most) = (all.iter().min().expect("some"), all.iter().max().expect("some"));
    assert!(*most - *least > jitter / 2, "{all:?}");
    assert!(*most - *least <= jitter, "{all:?}");
}

#[test]
fn a_worker_that_is_too_large_from_the_beginning_is_not_replaced_in_a_tight_loop() {
    let settings = ArbiterSettings { max_worker_rss_bytes: Some(100 << 20), boot_timeout: None, ..settings(1) };
    let mut bench = Bench::serving_with(settings);
    let outgrown = |worker| Event::Retiring { worker: WorkerId(worker), cause: Cause::Memory { rss_bytes: 150 << 20 } };
    let line = |pid| format!("WARNING Worker (pid:{pid}) holds 150 MiB, more than 100 MiB, and is replaced");
    bench.check(outgrown(1), &[&line(101), "spawn 2 number 1 generation 1 restarts 1"]);
    bench.check(ready(2), &["term 101"]);
    bench.check(exited(1, 0), &[]);
    bench.check(outgrown(2), &[&line(102)]);
    bench.check_tick(100, &["spawn 3 number 1 generation 1 restarts 2"]);
    bench.check(ready(3), &["term 102"]);
    bench.pass(5);
    let line = line(103).replace("WARNING", "INFO");
    bench.check(outgrown(3), &[&line, "spawn 4 number 1 generation 1 restarts 3"]);
}

#[test]
fn usr1_reopens_all_logs_and_usr2_asks_for_a_successor() {
    let mut bench = Bench::serving(2);
    bench.check(
        Event::Signal(Signal::Usr1),
        &["INFO Handling signal: usr1", "notice ReopenLogs", "usr1 101", "usr1 102"],
    );
    bench.check(Event::Signal(Signal::Usr2), &["INFO Handling signal: usr2", "notice Upgrade"]);
    bench.check(Event::Signal(Signal::Chld), &[]);
}

#[test]
fn there_are_never_more_processes_than_slots() {
    let mut arbiter = Arbiter::new(settings(100), 4);
    let spawns = |actions: Vec<Action>| actions.iter().filter(|action| matches!(action, Action::Spawn(_))).count();
    let mut now = Duration::ZERO;
    assert_eq!(spawns(arbiter.on(Event::Started, now)), 1, "half of the slots are for a reload, two for stragglers");
    let mut living = 1;
    // Each worker hangs, survives KILL and keeps its slot.
    for worker in 1..10 {
        arbiter.on(Event::Spawned { worker: WorkerId(worker), pid: pid(WorkerId(worker)) }, now);
        arbiter.on(ready(worker), now);
        now += Duration::from_secs(60);
        living += spawns(arbiter.on(Event::HeartbeatStale(WorkerId(worker)), now));
        now += Duration::from_secs(1);
        living += spawns(arbiter.on(Event::Tick, now));
        assert!(living <= 4);
    }
    assert_eq!(living, 4);
    assert_eq!(arbiter.wake_at(), None, "it waits for an exit, not for the clock");
}

#[test]
fn winch_sends_a_daemons_workers_away_until_hup_brings_new_ones() {
    let mut bench = Bench::new(ArbiterSettings { daemon: true, ..settings(2) });
    bench.tell(Event::Started);
    bench.tell(ready(1));
    bench.tell(ready(2));
    bench.check(
        Event::Signal(Signal::Winch),
        &["INFO Handling signal: winch", "notice WorkersChanged { old: Some(2), new: 0 }", "term 101", "term 102"],
    );
    bench.tell(exited(1, 0));
    bench.tell(exited(2, 0));
    bench.check(Event::Signal(Signal::Ttou), &["INFO Handling signal: ttou"]);
    bench.tell(Event::Signal(Signal::Hup));
    let told = bench.tell(Event::Reloaded(settings(2)));
    assert_eq!(told.iter().filter(|word| word.starts_with("spawn")).count(), 2, "{told:?}");
}

#[test]
fn winch_is_ignored_without_a_daemon() {
    let mut bench = Bench::serving(1);
    bench.check(Event::Signal(Signal::Winch), &["INFO Handling signal: winch"]);
}

#[test]
fn no_successor_is_started_by_a_server_that_is_stopping() {
    let mut bench = Bench::serving(1);
    bench.check(Event::Signal(Signal::Usr2), &["INFO Handling signal: usr2", "notice Upgrade"]);
    bench.tell(Event::Signal(Signal::Term));
    bench.check(
        Event::Signal(Signal::Usr2),
        &["INFO Handling signal: usr2", "WARNING USR2 signal ignored. The server is stopping."],
    );
}

#[test]
fn a_worker_that_the_stop_signal_reached_too_while_it_booted_is_no_failure() {
    for stop in [Signal::Int, Signal::Quit, Signal::Term] {
        let mut bench = Bench::new(settings(1));
        bench.tell(Event::Started);
        bench.tell(Event::Signal(stop));
        bench.check(died(1, stop), &["INFO Shutting down: Master", "notice Stopped", "exit 0"]);
    }
}

#[test]
fn a_stop_signal_that_reaches_a_booting_worker_before_the_arbiter_is_a_stop() {
    // A platform signals all processes at once, in no order: the end of the worker may be seen first.
    for stop in [Signal::Int, Signal::Quit, Signal::Term] {
        let mut bench = Bench::new(settings(1));
        bench.tell(Event::Started);
        let name = stop.name().to_uppercase();
        let line = format!("INFO Worker (pid:101) was sent SIG{name}!");
        bench.check(died(1, stop), &[&line, "spawn 2 number 1 generation 1 restarts 1"]);
        bench.tell(Event::Signal(stop));
        bench.check(died(2, stop), &["INFO Shutting down: Master", "notice Stopped", "exit 0"]);

        let mut bench = Bench::new(preloading(1));
        bench.tell(Event::Started);
        let status = ExitStatus::Signal(stop.number());
        let line = format!("INFO Template (pid:901) was sent SIG{name}!");
        bench.check(Event::TemplateExited { template: template(1), status }, &[&line, GO_ON]);
        let told = bench.tell(Event::Signal(stop));
        assert_eq!(told.last().map(String::as_str), Some("exit 0"), "{told:?}");
    }
}

#[test]
fn a_reload_because_of_changed_code_is_not_logged_as_a_signal() {
    let mut bench = Bench::serving(1);
    bench.check(Event::CodeChanged(WorkerId(1)), &["INFO Code changed: Master", "notice Reloading", "read config"]);
}

#[test]
fn a_graceful_stop_may_begin_later_and_everything_goes_on_until_then() {
    let mut bench = Bench::new(ArbiterSettings { drain_delay: Duration::from_secs(5), ..settings(1) });
    bench.tell(Event::Started);
    bench.tell(ready(1));
    bench.check(
        Event::Signal(Signal::Term),
        &["INFO Handling signal: term", "INFO Serving for 5 s more before the drain begins", "notice Leaving"],
    );
    bench.check(
        Event::Signal(Signal::Hup),
        &["INFO Handling signal: hup", "INFO Hang up ignored: the server is about to stop"],
    );
    // A worker that dies meanwhile is replaced.
    bench.pass(1);
    bench.tell(died(1, Signal::Kill));
    bench.tell(ready(2));
    bench.check_tick(4000, &["notice Stopping", "close listeners", "term 102"]);
    let told = bench.tell(exited(2, 0));
    assert_eq!(told.last().map(String::as_str), Some("exit 0"));
}

#[test]
fn a_second_signal_ends_the_delay() {
    for (signal, word) in [(Signal::Term, "term 101"), (Signal::Int, "quit 101")] {
        let mut bench = Bench::new(ArbiterSettings { drain_delay: Duration::from_secs(5), ..settings(1) });
        bench.tell(Event::Started);
        bench.tell(ready(1));
        bench.tell(Event::Signal(Signal::Term));
        let told = bench.tell(Event::Signal(signal));
        assert_eq!(told.last().map(String::as_str), Some(word));
    }
}

#[test]
fn a_delayed_stop_without_a_worker_ends_at_once() {
    let mut bench = Bench::new(ArbiterSettings { drain_delay: Duration::from_secs(5), ..settings(1) });
    bench.tell(Event::Started);
    bench.tell(ready(1));
    bench.tell(died(1, Signal::Kill));
    bench.tell(died(2, Signal::Kill));
    bench.tell(Event::Signal(Signal::Term));
    bench.pass(5);
    let told = bench.tell(Event::Tick);
    assert!(told.contains(&"notice Stopping".to_owned()), "{told:?}");
}

const fn template(id: u64) -> TemplateId {
    TemplateId(id)
}

fn template_died(id: u64) -> Event {
    Event::TemplateExited { template: template(id), status: ExitStatus::Signal(9) }
}

fn preloading(workers: u32) -> ArbiterSettings {
    ArbiterSettings { preload: true, boot_timeout: None, ..settings(workers) }
}

/// Preloaded: template 1 with the worker 1.
fn preloaded() -> Bench {
    let mut bench = Bench::new(preloading(1));
    bench.tell(Event::Started);
    bench.tell(Event::TemplateReady(template(1)));
    bench.tell(ready(1));
    bench.pass(60);
    bench
}

const LOST: &str = "ERROR Template (pid:901) was sent SIGKILL!";
const GO_ON: &str = "WARNING Workers that serve go on; another template imports the application";

#[test]
fn with_preload_a_template_loads_the_application_and_then_forks_the_workers() {
    let mut bench = Bench::new(preloading(2));
    bench.check(
        Event::Started,
        &["notice WorkersChanged { old: None, new: 2 }", "notice Listening", "template 1 generation 1"],
    );
    assert_eq!(bench.arbiter.wake_at(), None);
    bench.check(
        Event::TemplateReady(template(1)),
        &[
            "INFO Preloaded the application in 0 ms (pid:901)",
            "spawn 1 number 1 generation 1 restarts 0 from 1",
            "spawn 2 number 2 generation 1 restarts 0 from 1",
        ],
    );
    bench.tell(ready(1));
    bench.tell(ready(2));
    bench.pass(60);
    bench.check(
        exited(2, 1),
        &["ERROR Worker (pid:102) exited with code 1.", "spawn 3 number 2 generation 1 restarts 1 from 1"],
    );
    bench.check(
        Event::Signal(Signal::Term),
        &["INFO Handling signal: term", "notice Stopping", "close listeners", "term 101", "term 103", "term 901"],
    );
    bench.check(exited(1, 0), &[]);
    bench.check(exited(3, 0), &[]);
    let ended = Event::TemplateExited { template: template(1), status: ExitStatus::Code(0) };
    bench.check(ended, &["INFO Shutting down: Master", "notice Stopped", "exit 0"]);
}

#[test]
fn an_application_that_cannot_be_preloaded_ends_the_server_that_starts() {
    for (code, reason) in [(3, "Worker failed to boot."), (4, "App failed to load.")] {
        let mut bench = Bench::new(preloading(2));
        bench.tell(Event::Started);
        let failed = Event::TemplateFailed { template: template(1), code };
        bench.check(failed, &["notice Stopping", "close listeners"]);
        let ended = Event::TemplateExited { template: template(1), status: ExitStatus::Code(code) };
        let (reason, exit) = (format!("ERROR Reason: {reason}"), format!("exit {code}"));
        bench.check(ended, &["ERROR Shutting down: Master", &reason, "notice Stopped", &exit]);
    }
}

#[test]
fn hup_imports_in_a_new_template_and_the_old_one_leaves_with_its_generation() {
    let mut bench = preloaded();
    bench.check(Event::Signal(Signal::Hup), READS);
    bench.check(Event::Reloaded(preloading(1)), &["notice Renewed { generation: 2 }", "template 2 generation 2"]);
    // The old generation is still whole: one of its workers would be replaced from its own template.
    bench.check(
        exited(1, 1),
        &["ERROR Worker (pid:101) exited with code 1.", "spawn 2 number 1 generation 1 restarts 1 from 1"],
    );
    bench.tell(ready(2));
    bench.check(
        Event::TemplateReady(template(2)),
        &["INFO Preloaded the application in 0 ms (pid:902)", "spawn 3 number 1 generation 2 restarts 0 from 2"],
    );
    bench.check(ready(3), &["term 102"]);
    bench.check(exited(2, 0), &["INFO Reloaded: generation 2 serves", "notice Reloaded { generation: 2 }", "term 901"]);
    bench.check(Event::TemplateExited { template: template(1), status: ExitStatus::Code(0) }, &[]);
    assert_eq!(bench.arbiter.wake_at(), None);
}

#[test]
fn a_new_template_that_cannot_import_ends_the_reload_and_nothing_else() {
    let mut bench = preloaded();
    bench.tell(Event::Signal(Signal::Hup));
    bench.tell(Event::Reloaded(preloading(1)));
    bench.check(
        Event::TemplateFailed { template: template(2), code: 3 },
        &[
            "ERROR Reload abandoned: the new generation could not be preloaded; generation 1 goes on serving",
            "notice ReloadAbandoned { generation: 1 }",
        ],
    );
    bench.check(Event::TemplateExited { template: template(2), status: ExitStatus::Code(3) }, &[]);
    assert_eq!(bench.arbiter.wake_at(), None);
}

#[test]
fn a_template_that_is_killed_is_replaced_and_its_workers_live_on() {
    let mut bench = preloaded();
    bench.check(template_died(1), &[LOST, GO_ON, "template 2 generation 1"]);
    // A new worker waits for it.
    bench.check(exited(1, 1), &["ERROR Worker (pid:101) exited with code 1."]);
    bench.check(Event::TemplateFailed { template: template(2), code: 3 }, &[GO_ON]);
    bench.check(Event::TemplateExited { template: template(2), status: ExitStatus::Code(3) }, &[]);
    bench.check_tick(100, &["template 3 generation 1"]);
    bench.check(
        Event::TemplateReady(template(3)),
        &["INFO Preloaded the application in 0 ms (pid:903)", "spawn 2 number 1 generation 1 restarts 1 from 3"],
    );
}

#[test]
fn pending_forks_of_a_lost_template_are_done_by_the_next() {
    let mut bench = preloaded();
    let actions = bench.arbiter.on(Event::Signal(Signal::Ttin), bench.now);
    let Some(Action::Spawn(spawn)) = actions.last() else { panic!("{actions:?}") };
    bench.check(template_died(1), &[LOST, GO_ON, "template 2 generation 1"]);
    let reason = "its template has gone".to_owned();
    let failed = Event::ForkFailed { worker: spawn.worker, reason };
    bench.check(failed, &["ERROR A worker could not be forked: its template has gone"]);
    bench.pass(1);
    bench.check(
        Event::TemplateReady(template(2)),
        &["INFO Preloaded the application in 1000 ms (pid:902)", "spawn 3 number 2 generation 1 restarts 0 from 2"],
    );
}

#[test]
fn a_reload_whose_templates_keep_dying_is_abandoned() {
    let mut bench = preloaded();
    bench.tell(Event::Signal(Signal::Hup));
    bench.tell(Event::Reloaded(preloading(1)));
    for id in 2..6 {
        bench.tell(Event::TemplateReady(template(id)));
        let words = bench.tell(template_died(id));
        assert!(words.contains(&GO_ON.to_owned()), "{words:?}");
        let unborn = bench.tell(Event::ForkFailed { worker: WorkerId(id), reason: "it has gone".to_owned() });
        assert!(unborn.len() <= 1, "{unborn:?}");
        bench.pass(60);
        bench.tell(Event::Tick);
    }
    bench.tell(Event::TemplateReady(template(6)));
    let words = bench.tell(template_died(6));
    assert_eq!(words.last().map(String::as_str), Some("notice ReloadAbandoned { generation: 1 }"), "{words:?}");
}

#[test]
fn a_template_that_takes_too_long_or_does_not_fork_is_killed() {
    let mut bench = Bench::new(ArbiterSettings { preload: true, ..settings(1) });
    bench.tell(Event::Started);
    bench.check_tick(
        300_000,
        &[
            "CRITICAL Template (pid:901) took too long to load the application",
            "kill 901",
            "notice Stopping",
            "close listeners",
        ],
    );
    let mut bench = Bench::new(ArbiterSettings { preload: true, ..settings(1) });
    bench.tell(Event::Started);
    let actions = bench.arbiter.on(Event::TemplateReady(template(1)), bench.now);
    assert!(matches!(actions.last(), Some(Action::Spawn(_))), "{actions:?}");
    bench.check_tick(300_000, &["CRITICAL The template does not fork and is killed", "kill 901"]);
}

#[test]
fn preload_can_be_turned_on_and_off_by_a_reload() {
    let mut bench = preloaded();
    bench.tell(Event::Signal(Signal::Hup));
    bench.check(
        Event::Reloaded(settings(1)),
        &["notice Renewed { generation: 2 }", "spawn 2 number 1 generation 2 restarts 0"],
    );
    bench.tell(ready(2));
    let words = bench.tell(exited(1, 0));
    assert_eq!(words.last().map(String::as_str), Some("term 901"));
    bench.tell(Event::TemplateExited { template: template(1), status: ExitStatus::Code(0) });
    bench.tell(Event::Signal(Signal::Hup));
    bench.check(Event::Reloaded(preloading(1)), &["notice Renewed { generation: 3 }", "template 2 generation 3"]);
}
