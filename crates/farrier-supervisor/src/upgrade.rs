//! Upgrade: a master starts its successor from the program on disk and passes it the listening sockets (`USR2`).
//!
//! Both serve until one of them is stopped: `TERM` to the old one completes the upgrade, `TERM` to the new one reverts
//! it. The variables are Gunicorn's, so that each server can be upgraded to the other.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{OwnedFd, RawFd};

use crate::process::take_over;
use crate::process::{ExitStatus, Fork, Forked, Launch, Pid, become_program, exit_now, own_pid, parent_pid, pass_on};
use crate::signals::{block_all, restore_defaults};
use crate::sockets::{Activation, ListenSpec, Listener};

/// The variable with the pid of the old master.
const PREDECESSOR: &str = "GUNICORN_PID";

/// The variable with the descriptors of its listeners, separated by commas.
const SOCKETS: &str = "GUNICORN_FD";

/// The successor's exit code when its program cannot be started.
const EXIT_NO_PROGRAM: i32 = 1;

/// The state of an upgrade: this master's predecessor and successor.
#[derive(Debug, Default)]
pub struct Upgrade {
    predecessor: Option<Pid>,
    successor: Option<Pid>,
}

/// The data that a predecessor left in the environment.
#[derive(Debug, Default)]
pub struct Inheritance {
    /// The master that started this one.
    pub predecessor: Option<Pid>,
    /// Its listeners' sockets.
    pub sockets: Vec<OwnedFd>,
    /// Numbers that are no descriptors: the variable was inherited from another program.
    pub strays: Vec<String>,
}

impl Inheritance {
    /// The variables that hold it. They are removed after reading.
    pub const VARIABLES: [&'static str; 2] = [PREDECESSOR, SOCKETS];

    /// Reads the environment and takes over the descriptors.
    ///
    /// # Arguments
    ///
    /// `variable` reads a variable.
    pub fn from_environment(variable: &dyn Fn(&str) -> Option<OsString>) -> Inheritance {
        let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
        let Some(predecessor) = text(PREDECESSOR).and_then(|pid| pid.parse().ok()).filter(|&pid: &Pid| pid > 0) else {
            return Inheritance::default();
        };
        let mut inheritance = Inheritance { predecessor: Some(predecessor), ..Inheritance::default() };
        let numbers = text(SOCKETS).unwrap_or_default();
        for number in numbers.split(',').filter(|number| !number.is_empty()) {
            match number.trim().parse::<RawFd>().ok().and_then(|fd| take_over(fd).ok()) {
                Some(socket) => inheritance.sockets.push(socket),
                None => inheritance.strays.push(number.to_owned()),
            }
        }
        inheritance
    }
}

impl Upgrade {
    /// The state of a master at its start.
    pub fn new(predecessor: Option<Pid>) -> Upgrade {
        Upgrade { predecessor, successor: None }
    }

    /// Whether the predecessor was still alive at the last check.
    pub fn has_predecessor(&self) -> bool {
        self.predecessor.is_some()
    }

    /// The successor, while it lives.
    pub fn successor(&self) -> Option<Pid> {
        self.successor
    }

    /// Whether another master serves from the same sockets, so that their files must stay.
    pub fn is_shared(&self) -> bool {
        self.predecessor.is_some() || self.successor.is_some()
    }

    /// Whether the predecessor has gone since the last call: then this one is promoted. True once.
    pub fn is_promoted(&mut self) -> bool {
        self.predecessor.take_if(|&mut pid| pid != parent_pid()).is_some()
    }

    /// Starts the successor.
    ///
    /// # Arguments
    ///
    /// `before_exec` runs in the new process before its program does. `say` writes an error to the log, in the new
    /// process, when the program cannot be started.
    ///
    /// # Errors
    ///
    /// There is a successor or a predecessor already, or no process could be made.
    pub fn start(
        &mut self,
        fork: &mut dyn Fork,
        launch: &Launch,
        passed: &Passed<'_>,
        before_exec: &mut dyn FnMut(),
        say: &mut dyn FnMut(&str),
    ) -> Result<Pid, Refusal> {
        if self.successor.is_some() {
            return Err(Refusal::Child);
        }
        if self.predecessor.is_some() {
            return Err(Refusal::Parent);
        }
        // A signal in the new process must not be written to this process's pipe.
        let mask = block_all();
        let (master, forked) = (own_pid(), fork.fork());
        if let Ok(Forked::Child) = forked {
            // Cannot fail for signals that can be caught.
            let _ = restore_defaults(crate::offspring::ARBITER_SIGNALS);
            mask.restore();
            before_exec();
            let error = match passed.on() {
                Ok(()) => become_program(launch, &passed.environment(launch, master, own_pid())),
                Err(error) => error,
            };
            say(&format!("The new master's program {} cannot be started: {error}", launch.program.display()));
            exit_now(EXIT_NO_PROGRAM);
        }
        mask.restore();
        match forked {
            Ok(Forked::Parent(pid)) => {
                self.successor = Some(pid);
                Ok(pid)
            }
            Ok(Forked::Child) => unreachable!("the child has become another program or has ended"),
            Err(error) => Err(Refusal::NoProcess(error)),
        }
    }

    /// Handles the end of a child that is no worker. Returns a log line if it was the successor.
    pub fn ended(&mut self, pid: Pid, status: ExitStatus) -> Option<String> {
        self.successor.take_if(|&mut successor| successor == pid)?;
        let how = match status {
            ExitStatus::Code(code) => format!("exited with code {code}"),
            ExitStatus::Signal(_) => format!("was sent {status}"),
        };
        Some(format!("The new master (pid:{pid}) {how}; this one goes on"))
    }
}

/// The sockets that a successor gets.
#[derive(Debug)]
pub struct Passed<'s> {
    /// The listeners of this master.
    pub listeners: &'s [Listener],
    /// What the service manager passed to this master.
    pub activation: &'s Activation,
}

impl Passed<'_> {
    /// The sockets that are passed as `GUNICORN_FD`; others survive `exec` anyway, and the settings name their numbers.
    fn handed(&self) -> impl Iterator<Item = &Listener> {
        self.listeners.iter().filter(|listener| !matches!(listener.spec(), ListenSpec::Fd(_)))
    }

    fn on(&self) -> io::Result<()> {
        let handed = self.handed().map(Listener::as_raw_fd);
        handed.chain(self.activation.descriptors()).try_for_each(|fd| pass_on(fd, true))
    }

    fn environment(&self, launch: &Launch, predecessor: Pid, successor: Pid) -> Vec<(OsString, OsString)> {
        let is_ours =
            |name: &OsStr| Activation::VARIABLES.iter().chain(&Inheritance::VARIABLES).any(|own| name == *own);
        let mut environment: Vec<_> = launch.environment.iter().filter(|(name, _)| !is_ours(name)).cloned().collect();
        for (name, value) in &mut environment {
            // The successor must send the service manager's watchdog messages.
            if name == "WATCHDOG_PID" {
                *value = successor.to_string().into();
            }
        }
        environment.push((PREDECESSOR.into(), predecessor.to_string().into()));
        let numbers: Vec<String> = self.handed().map(|listener| listener.as_raw_fd().to_string()).collect();
        if !numbers.is_empty() {
            environment.push((SOCKETS.into(), numbers.join(",").into()));
        }
        environment.extend(self.activation.variables(successor));
        environment
    }
}

/// Why no successor was started.
#[derive(Debug)]
pub enum Refusal {
    /// There already is one.
    Child,
    /// This master is itself a successor whose predecessor lives.
    Parent,
    /// The kernel's reason.
    NoProcess(io::Error),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Refusal::Child => f.write_str("USR2 signal ignored. Child exists."),
            Refusal::Parent => f.write_str("USR2 signal ignored. Parent exists."),
            Refusal::NoProcess(error) => write!(f, "The new master could not be forked: {error}"),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockets::{BindOptions, bind_all};

    fn launch(environment: &[(&str, &str)]) -> Launch {
        Launch {
            program: "/nowhere".into(),
            arguments: Vec::new(),
            directory: "/".into(),
            environment: environment.iter().map(|&(name, value)| (name.into(), value.into())).collect(),
        }
    }

    #[test]
    fn a_successor_gets_the_original_environment_and_the_sockets() {
        let spec = ListenSpec::Tcp { host: "127.0.0.1".to_owned(), port: 0 };
        let listeners = bind_all(&[spec.clone(), spec], &BindOptions::default(), &mut |_, _| {}).expect("bound");
        let passed = Passed { listeners: &listeners, activation: &Activation::default() };
        let launch = launch(&[("A", "1"), ("GUNICORN_FD", "9"), ("LISTEN_FDS", "2"), ("WATCHDOG_PID", "7")]);
        let environment = passed.environment(&launch, 7, 8);
        let numbers = format!("{},{}", listeners[0].as_raw_fd(), listeners[1].as_raw_fd());
        let expected = [("A", "1"), ("WATCHDOG_PID", "8"), ("GUNICORN_PID", "7"), ("GUNICORN_FD", &numbers)];
        let expected: Vec<(OsString, OsString)> = expected.map(|(name, value)| (name.into(), value.into())).to_vec();
        assert_eq!(environment, expected);
    }

    #[test]
    fn without_a_predecessor_nothing_is_inherited() {
        let nothing = Inheritance::from_environment(&|name| (name == SOCKETS).then(|| "5".into()));
        assert!(nothing.predecessor.is_none() && nothing.sockets.is_empty() && nothing.strays.is_empty());
    }

    #[test]
    fn numbers_of_descriptors_that_were_not_inherited_are_reported() {
        let variable = |name: &str| Some(OsString::from(if name == PREDECESSOR { "1" } else { "0,x,987654" }));
        let inheritance = Inheritance::from_environment(&variable);
        assert_eq!(inheritance.predecessor, Some(1));
        assert_eq!(inheritance.strays, ["0", "x", "987654"]);
    }

    #[test]
    fn one_successor_at_a_time_and_none_before_the_predecessor_has_gone() {
        let passed = Passed { listeners: &[], activation: &Activation::default() };
        let start = |upgrade: &mut Upgrade| {
            let mut fork = || Ok(Forked::Parent(77));
            upgrade.start(&mut fork, &launch(&[]), &passed, &mut || {}, &mut |_| {}).map_err(|error| error.to_string())
        };
        let mut upgrade = Upgrade::new(Some(parent_pid()));
        assert_eq!(start(&mut upgrade), Err("USR2 signal ignored. Parent exists.".to_owned()));
        assert!(!upgrade.is_promoted() && upgrade.is_shared());

        let mut upgrade = Upgrade::new(Some(4_194_305));
        assert!(upgrade.is_promoted() && !upgrade.is_promoted(), "said once");
        assert_eq!(start(&mut upgrade), Ok(77));
        assert_eq!(start(&mut upgrade), Err("USR2 signal ignored. Child exists.".to_owned()));
        assert_eq!(upgrade.ended(76, ExitStatus::Code(0)), None);
        let line = upgrade.ended(77, ExitStatus::Code(3));
        assert_eq!(line.as_deref(), Some("The new master (pid:77) exited with code 3; this one goes on"));
        assert!(!upgrade.is_shared());
    }
}
