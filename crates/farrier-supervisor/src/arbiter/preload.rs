//! Preloading: starts the templates of the crews, replaces those that are lost, and stops those that no crew needs.

use std::time::Duration;

use super::Arbiter;
use super::crew::Crew;
use super::event::{Action, EXIT_BOOT_FAILED, Level, TemplateId, TemplateSpawn, boot_exit_code, log};
use super::life::is_stop;
use super::phase::{Phase, Reload};
use super::settings::{FIRST_DELAY, QUICK_TIMEOUT, respawn_delay};
use super::template::{Nursery, Template, TemplateState};
use super::worker::Side;
use crate::process::{ExitStatus, Pid};
use crate::signals::{Signal, signal_name};

/// A reload is abandoned after this many lost templates in a row.
const LOST_MAX: u32 = 5;

impl Arbiter {
    /// Whether a crew's workers can be forked now, and by which template.
    pub(super) fn nursery_of(&self, crew: &Crew) -> Option<Option<TemplateId>> {
        match crew.nursery {
            Nursery::Arbiter => Some(None),
            Nursery::Missing { .. } => None,
            Nursery::Template { id, .. } => {
                self.templates.get(&id).filter(|found| found.state == TemplateState::Ready).map(|_| Some(id))
            }
        }
    }

    /// When a missing template should be started.
    pub(super) fn template_due(crew: &Crew) -> Option<Duration> {
        match crew.nursery {
            // A crew that is being replaced and has no worker left to fork needs no template.
            Nursery::Missing { not_before, .. } if crew.target > 0 => Some(not_before),
            _ => None,
        }
    }

    /// Starts the templates that are missing and due.
    pub(super) fn start_templates(&mut self, now: Duration, out: &mut Vec<Action>) {
        for side in [Side::Current, Side::Next] {
            let boot_timeout = match (&self.reload, side) {
                (Reload::Surging(surge), Side::Next) => surge.settings.boot_timeout,
                _ => self.settings.boot_timeout,
            };
            let template = TemplateId(self.last_template + 1);
            let Some(crew) = self.crew_mut(side) else { continue };
            if Self::template_due(crew).is_none_or(|at| at > now) {
                continue;
            }
            let Nursery::Missing { lost, .. } = crew.nursery else { continue };
            crew.nursery = Nursery::Template { id: template, lost };
            let spawn = TemplateSpawn { template, generation: crew.generation };
            self.last_template += 1;
            let state = TemplateState::Loading { until: boot_timeout.map(|timeout| now + timeout) };
            let loading = Template { spawn, pid: None, state, spawned_at: now, ready_since: None, killed: false };
            self.templates.insert(template, loading);
            out.push(Action::StartTemplate(spawn));
        }
    }

    pub(super) fn template_started(&mut self, id: TemplateId, pid: Pid) {
        if let Some(template) = self.templates.get_mut(&id) {
            template.pid = Some(pid);
        }
    }

    pub(super) fn template_not_forked(&mut self, id: TemplateId, reason: &str, now: Duration, out: &mut Vec<Action>) {
        if self.templates.remove(&id).is_none() {
            return;
        }
        log(out, Level::Error, format!("A template could not be forked: {reason}"));
        self.template_lost(id, true, now, out);
    }

    pub(super) fn template_ready(&mut self, id: TemplateId, now: Duration, out: &mut Vec<Action>) {
        let Some(template) = self.templates.get_mut(&id) else { return };
        template.ready_since = Some(now);
        if !matches!(template.state, TemplateState::Loading { .. }) {
            return;
        }
        template.state = TemplateState::Ready;
        let took_ms = now.saturating_sub(template.spawned_at).as_millis();
        let line = format!("Preloaded the application in {took_ms} ms (pid:{})", template.pid_text());
        log(out, Level::Info, line);
    }

    pub(super) fn template_failed(&mut self, id: TemplateId, code: i32, now: Duration, out: &mut Vec<Action>) {
        let Some(template) = self.templates.get_mut(&id) else { return };
        if !matches!(template.state, TemplateState::Loading { .. }) {
            return;
        }
        // It exits by itself; if it does not, it is killed after this time.
        template.state = TemplateState::Leaving { kill_at: Some(now + QUICK_TIMEOUT) };
        self.load_failed(id, code, now, out);
    }

    pub(super) fn template_exited(&mut self, id: TemplateId, status: ExitStatus, now: Duration, out: &mut Vec<Action>) {
        let Some(template) = self.templates.remove(&id) else { return };
        let pid = template.pid_text();
        match status {
            _ if template.is_leaving() => log(out, Level::Debug, format!("Template (pid:{pid}) ended: {status}")),
            ExitStatus::Code(code) => log(out, Level::Error, format!("Template (pid:{pid}) exited with code {code}.")),
            ExitStatus::Signal(number) => {
                let is_boot_stop = is_stop(status) && matches!(template.state, TemplateState::Loading { .. });
                let level = if is_boot_stop { Level::Info } else { Level::Error };
                log(out, level, format!("Template (pid:{pid}) was sent {}!", signal_name(number)));
            }
        }
        match template.state {
            // A stop of the whole server that has reached the template first. Alone, it is a template to be replaced.
            TemplateState::Loading { .. } if is_stop(status) => self.template_lost(id, true, now, out),
            TemplateState::Loading { .. } => self.load_failed(id, boot_exit_code(status), now, out),
            TemplateState::Ready => {
                let healthy_after = self.settings.healthy_after;
                let early = template.ready_since.is_none_or(|since| now.saturating_sub(since) < healthy_after);
                self.template_lost(id, early, now, out);
            }
            TemplateState::Leaving { .. } => {}
        }
    }

    /// The application could not be loaded. A server that never served stops, and a reload is abandoned. Otherwise
    /// another template is started later, and the workers keep serving.
    fn load_failed(&mut self, id: TemplateId, code: i32, now: Duration, out: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Running) || self.side_of(id).is_none() {
            return;
        }
        if !self.ever_ready {
            self.stop_boot_failed(code, now, out);
            return;
        }
        if self.side_of(id) == Some(Side::Next) && !self.next_is_proven() {
            self.abandon_reload("the new generation could not be preloaded", now, out);
            return;
        }
        self.template_lost(id, true, now, out);
    }

    /// A crew has lost its template: another is started, with a delay after repeated losses.
    fn template_lost(&mut self, id: TemplateId, early: bool, now: Duration, out: &mut Vec<Action>) {
        let (Phase::Running, Some(side)) = (&self.phase, self.side_of(id)) else { return };
        let (proven, longest) = (self.next_is_proven(), self.settings.respawn_delay_max);
        let Some(crew) = self.crew_mut(side) else { return };
        let Nursery::Template { lost: before, .. } = crew.nursery else { return };
        let lost = if early { before.saturating_add(1) } else { 0 };
        let delay = if early { respawn_delay(lost, longest).max(FIRST_DELAY) } else { Duration::ZERO };
        crew.nursery = Nursery::Missing { not_before: now + delay, lost };
        if side == Side::Next && lost >= LOST_MAX && !proven {
            self.abandon_reload("its template could not be kept alive", now, out);
        } else if side == Side::Next && proven && self.reload_queued {
            self.accept_mixture(out);
        } else {
            log(out, Level::Warning, "Workers that serve go on; another template imports the application".to_owned());
        }
    }

    /// The side of the crew whose template this is; `None` if it belongs to no crew.
    fn side_of(&self, id: TemplateId) -> Option<Side> {
        let owner = self.crews().find(|crew| matches!(crew.nursery, Nursery::Template { id: own, .. } if own == id));
        owner.map(|crew| crew.side)
    }

    /// Stops every template that belongs to no crew any more.
    pub(super) fn stop_strange_templates(&mut self, now: Duration, out: &mut Vec<Action>) {
        let stopping = !matches!(self.phase, Phase::Running);
        let strange: Vec<TemplateId> = self
            .templates
            .iter()
            .filter(|(id, template)| !template.is_leaving() && (stopping || self.side_of(**id).is_none()))
            .map(|(&id, _)| id)
            .collect();
        for id in strange {
            if let Some(template) = self.templates.get_mut(&id) {
                template.signal(Signal::Term, out);
                template.state = TemplateState::Leaving { kill_at: Some(now + QUICK_TIMEOUT) };
            }
        }
    }

    /// Kills templates whose deadline has passed.
    pub(super) fn enforce_template_deadlines(&mut self, now: Duration, out: &mut Vec<Action>) {
        let overdue = |template: &&Template| template.deadline().is_some_and(|at| at <= now);
        let due: Vec<TemplateId> =
            self.templates.values().filter(overdue).map(|template| template.spawn.template).collect();
        for id in due {
            let Some(template) = self.templates.get_mut(&id) else { continue };
            let loading = matches!(template.state, TemplateState::Loading { .. });
            if loading {
                let line = format!("Template (pid:{}) took too long to load the application", template.pid_text());
                log(out, Level::Critical, line);
            }
            template.killed = true;
            template.signal(Signal::Kill, out);
            template.state = TemplateState::Leaving { kill_at: None };
            if loading {
                self.load_failed(id, EXIT_BOOT_FAILED, now, out);
            }
        }
    }

    /// Kills a template that does not fork when asked.
    pub(super) fn kill_template(&mut self, id: TemplateId, out: &mut Vec<Action>) {
        if let Some(template) = self.templates.get_mut(&id)
            && !template.killed
        {
            template.killed = true;
            template.signal(Signal::Kill, out);
        }
    }

    /// Kills all templates, at the end of a stop.
    pub(super) fn kill_all_templates(&mut self, out: &mut Vec<Action>) {
        for template in self.templates.values_mut().filter(|template| !template.killed) {
            template.killed = true;
            template.signal(Signal::Kill, out);
            template.state = TemplateState::Leaving { kill_at: None };
        }
    }
}
