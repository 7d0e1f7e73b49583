//! The events of a worker's life: forked, ready, stuck, ended; and the consequences of its loss.

use std::time::Duration;

use super::Arbiter;
use super::event::{Action, EXIT_BOOT_FAILED, Level, Notice, WorkerId, boot_exit_code, log};
use super::phase::{Phase, Reload};
use super::settings::{ABORT_TIMEOUT, QUICK_TIMEOUT};
use super::worker::{Side, State, Worker};
use crate::process::{ExitStatus, Pid};
use crate::signals::{Signal, signal_name};

/// A reload is abandoned after this many failed forks in a row: there is no room for two generations.
const FORKS_FAILED_MAX: u32 = 5;

impl Arbiter {
    pub(super) fn spawned(&mut self, id: WorkerId, pid: Pid, out: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        worker.pid = Some(pid);
        // The signals that it missed while it had no pid.
        if worker.killed {
            worker.signal(Signal::Kill, out);
        } else if worker.is_leaving() {
            worker.signal(Signal::Term, out);
        }
    }

    pub(super) fn fork_failed(&mut self, id: WorkerId, reason: &str, now: Duration, out: &mut Vec<Action>) {
        let Some(worker) = self.workers.remove(&id) else { return };
        log(out, Level::Error, format!("A worker could not be forked: {reason}"));
        if worker.is_leaving() || !matches!(self.phase, Phase::Running) {
            return;
        }
        if worker.side == Side::Next && worker.early_deaths + 1 >= FORKS_FAILED_MAX && !self.next_is_proven() {
            self.abandon_reload("the new generation could not be forked", now, out);
            return;
        }
        let longest = self.settings.respawn_delay_max;
        if let Some(crew) = self.crew_mut(worker.side) {
            crew.lose_unforked(&worker, longest, now);
        }
        if worker.side == Side::Next && self.reload_queued {
            self.accept_mixture(out);
        }
    }

    pub(super) fn ready(&mut self, id: WorkerId, now: Duration, out: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        // Even a worker that is leaving catches signals from now on.
        worker.ready_since = Some(now);
        if !worker.is_booting() {
            return;
        }
        worker.state = State::Ready;
        let side = worker.side;
        let took_ms = now.saturating_sub(worker.spawned_at).as_millis();
        log(out, Level::Debug, format!("Worker (pid:{}): {took_ms} ms from fork to ready", worker.pid_text()));
        if let (Side::Next, Reload::Surging(surge)) = (side, &mut self.reload) {
            surge.proven = true;
        }
        if !self.ever_ready {
            out.push(Action::Notify(Notice::Ready));
        }
        self.ever_ready = true;
    }

    pub(super) fn boot_failed(&mut self, id: WorkerId, code: i32, now: Duration, out: &mut Vec<Action>) {
        // It exits by itself; if it does not, it is killed after this time.
        self.give_up(id, now + QUICK_TIMEOUT, code, now, out);
    }

    /// Ends a worker that has stopped; `more` is added to the line.
    pub(super) fn heartbeat_stale(&mut self, id: WorkerId, more: &str, now: Duration, out: &mut Vec<Action>) {
        let Some(worker) = self.workers.get(&id) else { return };
        let soon = now + ABORT_TIMEOUT;
        // A worker that would be killed earlier gets no more time.
        if let State::Leaving { kill_at } = worker.state
            && kill_at.is_none_or(|at| at <= soon)
        {
            return;
        }
        log(out, Level::Critical, format!("WORKER TIMEOUT (pid:{}){more}", worker.pid_text()));
        worker.signal(Signal::Abrt, out);
        self.give_up(id, soon, EXIT_BOOT_FAILED, now, out);
    }

    pub(super) fn boot_overdue(&mut self, id: WorkerId, now: Duration, out: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        if let (None, Some(template)) = (worker.pid, worker.spawn.template) {
            // The fork itself hangs. It fails when its template ends.
            worker.state = State::Booting { until: None };
            log(out, Level::Critical, "The template does not fork and is killed".to_owned());
            self.kill_template(template, out);
            return;
        }
        let line = format!("Worker (pid:{}) took too long to load the application", worker.pid_text());
        log(out, Level::Critical, line);
        worker.signal(Signal::Abrt, out);
        self.give_up(id, now + ABORT_TIMEOUT, EXIT_BOOT_FAILED, now, out);
    }

    pub(super) fn exited(&mut self, id: WorkerId, status: ExitStatus, now: Duration, out: &mut Vec<Action>) {
        let Some(mut worker) = self.workers.remove(&id) else { return };
        worker.slain = status == ExitStatus::Signal(Signal::Kill.number()) && !worker.killed;
        log_exit(&worker, status, out);
        if let Some(pid) = worker.pid {
            let lived = now.saturating_sub(worker.spawned_at);
            out.push(Action::Notify(Notice::WorkerExited { spawn: worker.spawn, pid, status, lived }));
        }
        if worker.is_booting() && is_stop(status) && matches!(self.phase, Phase::Running) {
            // A stop of the whole server that has reached the worker first. Alone, it is a worker to be replaced.
            self.vacate(&worker, now);
            return;
        }
        self.lost(&worker, boot_exit_code(status), now, out);
    }

    /// Counts a worker as lost before it has ended, so that its successor need not wait for the exit.
    fn give_up(&mut self, id: WorkerId, kill_at: Duration, code: i32, now: Duration, out: &mut Vec<Action>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let before = *worker;
        let earlier = match before.state {
            State::Leaving { kill_at } => kill_at,
            State::Booting { .. } | State::Ready => None,
        };
        if !(before.is_leaving() && earlier.is_none()) {
            worker.state = State::Leaving { kill_at: Some(earlier.map_or(kill_at, |at| at.min(kill_at))) };
        }
        self.lost(&before, code, now, out);
    }

    /// Handles the loss of a worker, depending on its state.
    fn lost(&mut self, worker: &Worker, boot_code: i32, now: Duration, out: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        match worker.state {
            State::Booting { .. } => self.lost_at_boot(worker, boot_code, now, out),
            State::Ready => self.vacate(worker, now),
            State::Leaving { .. } => {}
        }
    }

    /// A worker could not load the application. If no worker ever could, the server stops. In a reload, the reload is
    /// abandoned, unless another worker of the new generation has loaded the application.
    fn lost_at_boot(&mut self, worker: &Worker, code: i32, now: Duration, out: &mut Vec<Action>) {
        if !self.ever_ready {
            self.stop_boot_failed(code, now, out);
            return;
        }
        if worker.side == Side::Next && !self.next_is_proven() {
            let why = format!("worker (pid:{}) of the new generation failed to boot", worker.pid_text());
            self.abandon_reload(&why, now, out);
            return;
        }
        self.vacate(worker, now);
        if worker.side == Side::Next && self.reload_queued {
            self.accept_mixture(out);
        }
    }

    /// Its number is vacant, at once or after the delay for early deaths.
    fn vacate(&mut self, worker: &Worker, now: Duration) {
        let (healthy_after, longest) = (self.settings.healthy_after, self.settings.respawn_delay_max);
        if let Some(crew) = self.crew_mut(worker.side) {
            crew.lose(worker, healthy_after, longest, now);
        }
    }

    pub(super) fn next_is_proven(&self) -> bool {
        matches!(&self.reload, Reload::Surging(surge) if surge.proven)
    }
}

/// Whether a signal that asks a process to stop has ended it.
pub(super) fn is_stop(status: ExitStatus) -> bool {
    let stops = [Signal::Term, Signal::Int, Signal::Quit];
    matches!(status, ExitStatus::Signal(number) if stops.iter().any(|stop| stop.number() == number))
}

fn log_exit(worker: &Worker, status: ExitStatus, out: &mut Vec<Action>) {
    let pid = worker.pid_text();
    match status {
        ExitStatus::Code(0) => log(out, Level::Debug, format!("Worker (pid:{pid}) exited with code 0.")),
        ExitStatus::Code(code) => log(out, Level::Error, format!("Worker (pid:{pid}) exited with code {code}.")),
        ExitStatus::Signal(number) => {
            // A booting worker ends by its first TERM, or by a Ctrl-C that reached it too; neither is an error.
            let level = match is_stop(status) {
                true if worker.is_leaving() => Level::Debug,
                true if worker.is_booting() => Level::Info,
                _ => Level::Error,
            };
            // An unexpected SIGKILL usually comes from the kernel's out-of-memory killer.
            let hint = if number == Signal::Kill.number() && !worker.killed { " Perhaps out of memory?" } else { "" };
            log(out, level, format!("Worker (pid:{pid}) was sent {}!{hint}", signal_name(number)));
        }
    }
}
