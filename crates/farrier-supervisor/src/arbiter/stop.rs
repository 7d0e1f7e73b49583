//! Stopping: gracefully, quickly, or because the application cannot be loaded. Every stop ends within a bounded time.

use std::time::Duration;

use super::Arbiter;
use super::event::{Action, EXIT_APPLICATION_NOT_FOUND, EXIT_BOOT_FAILED, Level, Notice, log};
use super::phase::{Manner, Phase, Reload, Stop};
use super::settings::{KILL_TIMEOUT, QUICK_TIMEOUT};
use super::worker::State;
use crate::signals::Signal;

impl Arbiter {
    pub(super) fn stop_gracefully(&mut self, now: Duration, out: &mut Vec<Action>) {
        let delay = self.settings.drain_delay;
        if matches!(self.phase, Phase::Running) && self.leave_at.is_none() && !delay.is_zero() {
            self.leave_at = Some(now + delay);
            log(out, Level::Info, format!("Serving for {} s more before the drain begins", delay.as_secs_f64()));
            out.push(Action::Notify(Notice::Leaving));
            return;
        }
        if matches!(self.phase, Phase::New | Phase::Running) {
            let deadline = now + self.settings.graceful_timeout;
            self.begin_stop(Manner::Graceful, deadline, 0, None, out);
        }
    }

    /// Begins the stop when its delay is over.
    pub(super) fn leave_when_due(&mut self, now: Duration, out: &mut Vec<Action>) {
        if self.leave_at.is_some_and(|at| at <= now) {
            self.stop_gracefully(now, out);
        }
    }

    pub(super) fn stop_quickly(&mut self, now: Duration, out: &mut Vec<Action>) {
        let quick = now + QUICK_TIMEOUT;
        match &mut self.phase {
            Phase::New | Phase::Running => self.begin_stop(Manner::Quick, quick, 0, None, out),
            Phase::Stopping(stop) if stop.manner == Manner::Graceful && !stop.killed => {
                stop.manner = Manner::Quick;
                stop.deadline = stop.deadline.min(quick);
                self.tell_all_to_leave(out);
            }
            Phase::Stopping(_) | Phase::Ended => {}
        }
    }

    /// Stops a server that never served.
    pub(super) fn stop_boot_failed(&mut self, code: i32, now: Duration, out: &mut Vec<Action>) {
        let (code, reason) = match code {
            EXIT_APPLICATION_NOT_FOUND => (code, "App failed to load."),
            _ => (EXIT_BOOT_FAILED, "Worker failed to boot."),
        };
        self.begin_stop(Manner::Quick, now + QUICK_TIMEOUT, code, Some(reason), out);
    }

    fn begin_stop(
        &mut self,
        manner: Manner,
        deadline: Duration,
        exit_code: i32,
        reason: Option<&'static str>,
        out: &mut Vec<Action>,
    ) {
        self.phase = Phase::Stopping(Stop { manner, deadline, killed: false, exit_code, reason });
        self.reload = Reload::None;
        self.reload_queued = false;
        out.push(Action::Notify(Notice::Stopping));
        out.push(Action::CloseListeners);
        self.tell_all_to_leave(out);
    }

    fn tell_all_to_leave(&mut self, out: &mut Vec<Action>) {
        let Phase::Stopping(stop) = &self.phase else { return };
        for worker in self.workers.values_mut() {
            // A worker that is not ready yet catches no signals, and the default action of QUIT is a core dump.
            let quick = stop.manner == Manner::Quick && worker.ready_since.is_some();
            if !worker.is_leaving() {
                worker.signal(if quick { Signal::Quit } else { Signal::Term }, out);
                // From now on the deadline of the stop counts.
                worker.state = State::Leaving { kill_at: None };
            } else if quick && !worker.killed {
                // It has received TERM already, but must now stop quickly.
                worker.signal(Signal::Quit, out);
            }
        }
    }

    /// Kills the workers after the deadline. Ends when no process is left, or when nothing more can be done.
    pub(super) fn advance_stop(&mut self, now: Duration, out: &mut Vec<Action>) {
        let Phase::Stopping(stop) = &mut self.phase else { return };
        let overdue = stop.deadline <= now;
        let nobody = self.workers.is_empty() && self.templates.is_empty();
        if !nobody && !overdue {
            return;
        }
        if !nobody && !stop.killed {
            stop.killed = true;
            stop.deadline = now + KILL_TIMEOUT;
            for worker in self.workers.values_mut().filter(|worker| !worker.killed) {
                worker.signal(Signal::Kill, out);
                worker.killed = true;
                worker.state = State::Leaving { kill_at: None };
            }
            self.kill_all_templates(out);
            return;
        }
        let workers = self.workers.values().map(|worker| format!("Worker (pid:{})", worker.pid_text()));
        let templates = self.templates.values().map(|template| format!("Template (pid:{})", template.pid_text()));
        for left in workers.chain(templates) {
            log(out, Level::Error, format!("{left} survived SIGKILL and is left behind"));
        }
        let level = if stop.exit_code == 0 { Level::Info } else { Level::Error };
        log(out, level, "Shutting down: Master".to_owned());
        if let Some(reason) = stop.reason {
            log(out, level, format!("Reason: {reason}"));
        }
        out.push(Action::Notify(Notice::Stopped));
        out.push(Action::Exit(stop.exit_code));
        self.phase = Phase::Ended;
    }
}
