//! The master's outside view: pid file, process title, service manager, predecessor and successor.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use farrier_config::Config;
use farrier_log::error::{ErrorLog, Level};
use farrier_supervisor::clock::monotonic;
use farrier_supervisor::pid_file::PidFile;
use farrier_supervisor::process::{ExitStatus, Fork, Pid, own_pid};
use farrier_supervisor::service_manager::{Message, ServiceManager};
use farrier_supervisor::sockets::Activation;
use farrier_supervisor::upgrade::{Inheritance, Passed, Upgrade};
use farrier_supervisor::{Housekeeping, Listener, Notice, title};
use pyo3::prelude::*;

use crate::certificates::Certificates;
use crate::gauges::Gauges;
use crate::launch;
use crate::logging::ArbiterLogs;
use crate::statistics::Stats;

/// How often a successor checks whether its predecessor has gone.
const PROMOTION_INTERVAL: Duration = Duration::from_millis(100);

/// The outside view of this master.
#[derive(Debug)]
pub(crate) struct Master {
    activation: Activation,
    inherited: Vec<OwnedFd>,
    strays: Vec<String>,
    upgrade: Upgrade,
    manager: ServiceManager,
    manager_is_lost: bool,
    pid_file: Option<PidFile>,
    pid_path: Option<PathBuf>,
    name: String,
    workers: u32,
    is_ready: bool,
    next_beat: Duration,
    next_look: Duration,
}

impl Master {
    /// Reads the variables of a service manager or a predecessor, and removes them from the environment.
    ///
    /// # Errors The name of the service manager's socket is invalid.
    pub(crate) fn of_this_process(py: Python<'_>) -> Result<Master, String> {
        let variable = |name: &str| std::env::var_os(name);
        let activation = Activation::from_environment(&variable, own_pid());
        let Inheritance { predecessor, sockets, strays } = Inheritance::from_environment(&variable);
        let manager = ServiceManager::from_environment(&variable, own_pid()).map_err(|error| error.to_string())?;
        let forget = || -> PyResult<()> {
            let environment = py.import("os")?.getattr("environ")?;
            for name in Activation::VARIABLES.iter().chain(&Inheritance::VARIABLES) {
                environment.call_method1("pop", (*name, py.None()))?;
            }
            Ok(())
        };
        forget().map_err(|raised| raised.to_string())?;
        Ok(Master {
            activation,
            inherited: sockets,
            strays,
            upgrade: Upgrade::new(predecessor),
            manager,
            manager_is_lost: false,
            pid_file: None,
            pid_path: None,
            name: String::new(),
            workers: 0,
            is_ready: false,
            next_beat: Duration::ZERO,
            next_look: Duration::ZERO,
        })
    }

    /// The sockets that a service manager has passed.
    pub(crate) fn activation(&self) -> &Activation {
        &self.activation
    }

    /// Whether another master has started this one and still lives.
    pub(crate) fn has_predecessor(&self) -> bool {
        self.upgrade.has_predecessor()
    }

    /// The predecessor's listeners, once.
    pub(crate) fn take_inherited(&mut self, log: &ErrorLog) -> Vec<OwnedFd> {
        for number in self.strays.drain(..) {
            log.write(Level::Warning, &format!("GUNICORN_FD names {number}, which was not inherited"));
        }
        std::mem::take(&mut self.inherited)
    }

    /// Writes the pid file and sets the title; at a reload again, because both may have changed.
    ///
    /// # Errors
    /// The pid file cannot be written, or names a process that lives.
    pub(crate) fn show(&mut self, config: &Config) -> Result<(), String> {
        self.name = name(config).to_owned();
        self.set_title();
        self.pid_path.clone_from(&config.pidfile);
        let claimed = match &config.pidfile {
            Some(path) if self.has_predecessor() => Some(PidFile::claim(&second(path))),
            Some(path) => Some(PidFile::claim(path)),
            None => None,
        };
        let claimed = claimed.transpose().map_err(|error| error.to_string())?;
        if let Some(old) = std::mem::replace(&mut self.pid_file, claimed)
            && !self.pid_file.as_ref().is_some_and(|new| new.is_at(old.path()))
        {
            old.remove();
        }
        Ok(())
    }

    /// Takes back what others see, when this master ends.
    pub(crate) fn leave(&mut self) {
        if let Some(file) = self.pid_file.take() {
            file.remove();
        }
    }

    /// Notifies the service manager of an event.
    pub(crate) fn notice(&mut self, notice: &Notice, log: &ErrorLog) {
        match notice {
            Notice::WorkersChanged { new, .. } => self.workers = *new,
            Notice::Ready => {
                self.is_ready = true;
                self.tell_ready(log);
            }
            Notice::Reloading => self.tell(&Message::Reloading { at: monotonic() }, log),
            Notice::Reloaded { .. } | Notice::ReloadAbandoned { .. } => self.tell_ready(log),
            Notice::Stopping => match self.upgrade.successor() {
                // From here on the service belongs to the successor.
                Some(successor) => self.tell(&Message::MainPid(successor), log),
                None => self.tell(&Message::Stopping, log),
            },
            _ => {}
        }
    }

    fn tell_ready(&mut self, log: &ErrorLog) {
        if self.is_ready {
            let status = match self.workers {
                1 => "1 worker serves".to_owned(),
                workers => format!("{workers} workers serve"),
            };
            self.tell(&Message::Ready { main_pid: own_pid(), status: &status }, log);
        }
    }

    fn tell(&mut self, message: &Message<'_>, log: &ErrorLog) {
        // The service still belongs to the predecessor.
        if self.has_predecessor() {
            return;
        }
        if let Err(error) = self.manager.tell(message)
            && !std::mem::replace(&mut self.manager_is_lost, true)
        {
            log.write(Level::Warning, &format!("Cannot notify the service manager: {error}"));
        }
    }

    fn set_title(&self) {
        let second = if self.has_predecessor() { ".2" } else { "" };
        title::set(&format!("farrier: master [{}{second}]", self.name));
    }

    fn look_for_promotion(&mut self, log: &ErrorLog) {
        if !self.upgrade.is_promoted() {
            return;
        }
        log.write(Level::Info, "Master has been promoted.");
        self.set_title();
        if let (Some(file), Some(path)) = (&mut self.pid_file, &self.pid_path)
            && let Err(error) = file.rename(path)
        {
            log.write(Level::Error, &format!("Cannot move the pid file to {}: {error}", path.display()));
        }
        self.tell_ready(log);
    }

    fn wake_at(&self) -> Option<Duration> {
        let look = self.has_predecessor().then_some(self.next_look);
        let beat = (self.is_ready && !self.has_predecessor()).then_some(self.next_beat);
        [look, beat.filter(|_| self.manager.watchdog_interval().is_some())].into_iter().flatten().min()
    }

    fn work(&mut self, now: Duration, workers: usize, log: &ErrorLog) {
        if self.has_predecessor() {
            self.next_look = now + PROMOTION_INTERVAL;
            self.look_for_promotion(log);
        } else if let Some(interval) = self.manager.watchdog_interval()
            && self.next_beat <= now
        {
            self.next_beat = now + interval;
            // Without a worker nothing is served: the missing watchdog message makes the manager act.
            if workers > 0 {
                self.tell(&Message::Watchdog, log);
            }
        }
    }

    fn upgrade(&mut self, listeners: &[Listener], fork: &mut dyn Fork, pre_exec: &mut dyn FnMut(), log: &ErrorLog) {
        let launch = match launch::of_this_process() {
            Ok(launch) => launch,
            Err(reason) => {
                log.write(
                    Level::Error,
                    &format!("Cannot start a new master, because the start of this one is unknown: {reason}"),
                );
                return;
            }
        };
        let passed = Passed { listeners, activation: &self.activation };
        let mut say = |text: &str| log.write(Level::Error, text);
        match self.upgrade.start(fork, launch, &passed, pre_exec, &mut say) {
            Ok(pid) => log.write(Level::Info, &format!("Starting a new master (pid: {pid})")),
            Err(refusal) => log.write(Level::Warning, &refusal.to_string()),
        }
    }
}

/// The master's part in the arbiter's loop.
pub(crate) struct Tending<'m> {
    pub(crate) master: &'m RefCell<Master>,
    pub(crate) gauges: &'m Gauges,
    pub(crate) stats: &'m Stats,
    pub(crate) certificates: &'m Certificates,
    pub(crate) log: &'m ErrorLog,
    pub(crate) logs: &'m ArbiterLogs,
    /// How to make the process of a successor.
    pub(crate) fork: &'m dyn Fn() -> io::Result<farrier_supervisor::Forked>,
    /// Runs in the successor's process before its program does.
    pub(crate) pre_exec: &'m dyn Fn(),
}

impl Housekeeping for Tending<'_> {
    fn wake_at(&self) -> Option<Duration> {
        let tasks = [
            self.master.borrow().wake_at(),
            self.gauges.wake_at(),
            self.stats.wake_at(),
            self.certificates.wake_at(),
            self.logs.wake_at(monotonic()),
        ];
        tasks.into_iter().flatten().min()
    }

    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.stats.descriptor()
    }

    fn serve(&mut self, now: Duration, listeners: &[Listener]) {
        self.logs.retry();
        self.stats.serve(now, listeners, self.log);
    }

    fn work(&mut self, now: Duration, workers: usize) {
        self.gauges.tell_backlog(now);
        self.certificates.work(now, self.log);
        self.master.borrow_mut().work(now, workers, self.log);
    }

    fn upgrade(&mut self, listeners: &[Listener]) {
        let mut fork = || (self.fork)();
        self.master.borrow_mut().upgrade(listeners, &mut fork, &mut || (self.pre_exec)(), self.log);
    }

    fn stranger_ended(&mut self, pid: Pid, status: ExitStatus) {
        if let Some(line) = self.master.borrow_mut().upgrade.ended(pid, status) {
            self.log.write(Level::Error, &line);
        }
    }

    fn shares_listeners(&self) -> bool {
        self.master.borrow().upgrade.is_shared()
    }
}

/// The title of a worker.
pub(crate) fn set_worker_title(config: &Config) {
    title::set(&format!("farrier: worker [{}]", name(config)));
}

/// The title of a template.
pub(crate) fn set_template_title(config: &Config) {
    title::set(&format!("farrier: template [{}]", name(config)));
}

/// The name in the titles of the processes.
fn name(config: &Config) -> &str {
    config.proc_name.as_deref().or(config.wsgi_app.as_deref()).unwrap_or("application")
}

/// The pid file of a master whose predecessor still has the first one.
fn second(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".2");
    name.into()
}
