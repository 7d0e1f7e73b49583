//! The templates of the simulated world: records that load, fail, crash, and fork a moment after a request.

use std::time::Duration;

use farrier_supervisor::{Event, ExitStatus, Pid, Signal, Spawn, TemplateId, TemplateSpawn, WorkerId};

use crate::world::{BIRTH, Happening, World};

/// A template that the arbiter has not reaped.
#[derive(Debug)]
pub(crate) struct TemplateProcess {
    pub(crate) spawn: TemplateSpawn,
    pub(crate) pid: Pid,
    pub(crate) ready: bool,
    /// It got a stop signal, or has announced its end.
    pub(crate) leaving: bool,
    pub(crate) killed: bool,
    deaf: bool,
    zombie: bool,
}

impl World {
    pub(crate) fn start_template(&mut self, spawn: TemplateSpawn) -> Event {
        let template = spawn.template;
        if self.dice.permille(self.fortune.fork_fails_permille) {
            return Event::TemplateNotForked { template, reason: "no memory".to_owned() };
        }
        self.tally.templates += 1;
        self.pids += 1;
        let deaf = self.dice.permille(self.fortune.deaf_permille);
        let (pid, ready, leaving, killed, zombie) = (self.pids, false, false, false, false);
        self.templates.insert(template, TemplateProcess { spawn, pid, ready, leaving, killed, deaf, zombie });
        let after = self.dice.within(Duration::from_secs(3));
        if self.dice.permille(self.fortune.boot_fails_permille) {
            match self.dice.between(0, 4) {
                // It hangs until the boot timeout.
                0 => {}
                1 => self.later(after, Happening::TemplateEnds(template, ExitStatus::Signal(11))),
                2 => self.later(after, Happening::TemplateFails(template, 4)),
                _ => self.later(after, Happening::TemplateFails(template, 3)),
            }
        } else {
            self.later(after, Happening::TemplateReady(template));
        }
        Event::TemplateStarted { template, pid }
    }

    /// A request goes into a pipe; what is not read before the template ends was never forked.
    pub(crate) fn ask_template(&mut self, template: TemplateId, spawn: Spawn) -> Option<Event> {
        let worker = spawn.worker;
        if self.templates.get(&template).is_none_or(|found| found.zombie) {
            return Some(Event::ForkFailed { worker, reason: "broken pipe".to_owned() });
        }
        // The record is made now, the process later.
        let forked = self.fork(spawn);
        if let Some(process) = self.processes.get_mut(&worker) {
            process.unborn = true;
            let after = self.dice.within(BIRTH);
            self.later(after, Happening::Born(worker));
            return None;
        }
        Some(forked)
    }

    pub(crate) fn is_born(&mut self, worker: WorkerId) {
        let Some(process) = self.processes.get_mut(&worker) else { return };
        process.unborn = false;
        let pid = process.pid;
        self.tell(Event::Spawned { worker, pid });
    }

    pub(crate) fn deliver_to_template(&mut self, template: TemplateId, signal: Signal) {
        let Some(found) = self.templates.get_mut(&template) else { return };
        found.leaving = true;
        found.killed |= signal == Signal::Kill;
        if found.deaf && signal != Signal::Kill {
            return;
        }
        let status = if found.ready && signal == Signal::Term { ExitStatus::Code(0) } else { ExitStatus::Signal(9) };
        let after = self.dice.within(Duration::from_millis(20));
        self.later(after, Happening::TemplateEnds(template, status));
    }

    pub(crate) fn happen_to_template(&mut self, happening: Happening) {
        let living = |world: &World, id: &TemplateId| world.templates.get(id).is_some_and(|found| !found.zombie);
        match happening {
            Happening::TemplateReady(template) if living(self, &template) => {
                if let Some(found) = self.templates.get_mut(&template) {
                    found.ready = true;
                }
                self.tell(Event::TemplateReady(template));
                if self.dice.permille(self.fortune.templates_fall_permille) {
                    let after = self.dice.within(Duration::from_secs(20));
                    self.later(after, Happening::TemplateEnds(template, ExitStatus::Signal(9)));
                }
            }
            Happening::TemplateFails(template, code) if living(self, &template) => {
                if let Some(found) = self.templates.get_mut(&template) {
                    if !found.leaving {
                        self.expectation.boot_failed(found.spawn.generation);
                    }
                    found.leaving = true;
                }
                self.tally.boot_failures += 1;
                self.tell(Event::TemplateFailed { template, code });
                let after = self.dice.within(Duration::from_millis(200));
                self.later(after, Happening::TemplateEnds(template, ExitStatus::Code(code)));
            }
            Happening::TemplateEnds(template, status) if living(self, &template) => {
                if let Some(found) = self.templates.get_mut(&template) {
                    found.zombie = true;
                }
                let after = self.dice.within(Duration::from_millis(5));
                self.later(after, Happening::TemplateReaped(template, status));
            }
            Happening::TemplateReaped(template, status) => {
                let Some(found) = self.templates.remove(&template) else { return };
                self.tally.templates_lost += u64::from(!found.leaving);
                if !found.ready && !found.leaving {
                    self.expectation.boot_failed(found.spawn.generation);
                }
                let of_it = |worker: &WorkerId| self.processes[worker].spawn.template == Some(template);
                let unborn = self.processes.iter().filter(|(_, process)| process.unborn).map(|(&worker, _)| worker);
                let unborn: Vec<WorkerId> = unborn.filter(of_it).collect();
                self.tell(Event::TemplateExited { template, status });
                for worker in unborn {
                    self.processes.remove(&worker);
                    self.tell(Event::ForkFailed { worker, reason: "its template has gone".to_owned() });
                }
            }
            _ => {}
        }
    }
}
