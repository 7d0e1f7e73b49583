//! Sockets that a service manager passes (sd_listen_fds(3)), by number and by name.

use std::ffi::OsString;
use std::os::fd::RawFd;

use crate::process::{Pid, pass_on};

/// The first descriptor that is passed (`SD_LISTEN_FDS_START`).
const FIRST_FD: RawFd = 3;

/// The sockets that were passed to this process, in order. They stay open as long as it lives. The service manager
/// holds them too, so a client that connects while nobody accepts waits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Activation {
    names: Vec<String>,
}

impl Activation {
    /// The variables that hold them. They are removed after reading, so that no child takes the sockets for its own.
    pub const VARIABLES: [&'static str; 3] = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

    /// The sockets that the environment names, if they are meant for this process.
    ///
    /// They are marked close-on-exec, so that programs which the application starts do not have them.
    ///
    /// # Arguments
    ///
    /// `variable` reads a variable.
    pub fn from_environment(variable: &dyn Fn(&str) -> Option<OsString>, own_pid: Pid) -> Activation {
        let text = |name: &str| variable(name).and_then(|value| value.into_string().ok());
        let [pid, count, names] = Activation::VARIABLES.map(text);
        let activation = Activation::read(pid.as_deref(), count.as_deref(), names.as_deref(), own_pid);
        for fd in activation.descriptors() {
            // A descriptor that is not open is reported when it is needed.
            let _ = pass_on(fd, false);
        }
        activation
    }

    fn read(pid: Option<&str>, count: Option<&str>, names: Option<&str>, own_pid: Pid) -> Activation {
        let is_for_us = pid.and_then(|pid| pid.parse().ok()) == Some(own_pid);
        let count: u16 = count.and_then(|count| count.parse().ok()).filter(|_| is_for_us).unwrap_or(0);
        let mut names = names.unwrap_or_default().split(':');
        // The name of sockets for which the manager gives none (sd_listen_fds_with_names(3)).
        let name = || names.next().filter(|name| !name.is_empty()).unwrap_or("unknown").to_owned();
        Activation { names: std::iter::repeat_with(name).take(count.into()).collect() }
    }

    /// Whether no socket was passed.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// All of them.
    pub fn descriptors(&self) -> impl Iterator<Item = RawFd> + use<> {
        (FIRST_FD..).take(self.names.len())
    }

    /// Those of this name; more than one may have it.
    pub fn named(&self, name: &str) -> Vec<RawFd> {
        self.descriptors().zip(&self.names).filter(|(_, known)| *known == name).map(|(fd, _)| fd).collect()
    }

    /// Their names, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The variables that pass them on to a successor.
    pub fn variables(&self, successor: Pid) -> Vec<(OsString, OsString)> {
        if self.is_empty() {
            return Vec::new();
        }
        let values = [successor.to_string(), self.names.len().to_string(), self.names.join(":")];
        Activation::VARIABLES.iter().zip(values).map(|(name, value)| (name.into(), value.into())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pid: Option<&str>, count: Option<&str>, names: Option<&str>) -> Activation {
        Activation::read(pid, count, names, 42)
    }

    #[test]
    fn descriptors_begin_at_three_and_are_ours_only_if_the_pid_is() {
        let two = read(Some("42"), Some("2"), None);
        assert_eq!(two.descriptors().collect::<Vec<_>>(), [3, 4]);
        assert_eq!(two.names(), ["unknown", "unknown"]);
        for (pid, count) in [(Some("41"), Some("2")), (None, Some("2")), (Some("42"), None), (Some("42"), Some("x"))] {
            assert!(read(pid, count, None).is_empty(), "{pid:?} {count:?}");
        }
        assert!(read(Some("42"), Some("-1"), None).is_empty());
    }

    #[test]
    fn a_name_finds_every_socket_that_has_it() {
        let three = read(Some("42"), Some("3"), Some("web:admin:web"));
        assert_eq!(three.named("web"), [3, 5]);
        assert_eq!(three.named("admin"), [4]);
        assert!(three.named("other").is_empty());
        assert_eq!(read(Some("42"), Some("2"), Some("web")).names(), ["web", "unknown"]);
    }

    #[test]
    fn a_successor_gets_the_same_variables() {
        let passed = read(Some("42"), Some("2"), Some("web:admin"));
        let variables = passed.variables(43);
        let value = |name: &str| variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        assert_eq!(Activation::read(Some("43"), Some("2"), Some("web:admin"), 43), passed);
        assert_eq!(value("LISTEN_PID"), Some("43".into()));
        assert_eq!(value("LISTEN_FDS"), Some("2".into()));
        assert_eq!(value("LISTEN_FDNAMES"), Some("web:admin".into()));
        assert!(Activation::default().variables(43).is_empty());
    }
}
