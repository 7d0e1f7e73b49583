//! Messages to a service manager (sd_notify(3)): ready, reloading, stopping, and the watchdog if it asks for it.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::process::Pid;

/// How long a message may wait for a manager that does not read.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// The manager that started this process, if it accepts messages.
#[derive(Debug)]
pub struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// No manager.
    pub fn none() -> ServiceManager {
        ServiceManager { socket: None, watchdog: None }
    }

    /// The manager that the environment names.
    ///
    /// # Arguments
    ///
    /// `variable` reads a variable: `NOTIFY_SOCKET`, a path or `@` and an abstract name; `WATCHDOG_USEC`, the
    /// watchdog's interval; `WATCHDOG_PID`, the process that must send it.
    ///
    /// # Errors
    ///
    /// The socket's name makes no sense, or no descriptor is left.
    pub fn from_environment(
        variable: &dyn Fn(&str) -> Option<std::ffi::OsString>,
        own_pid: Pid,
    ) -> io::Result<ServiceManager> {
        let Some(name) = variable("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(ServiceManager::none());
        };
        let address = address_of(&name)?;
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        let number = |name: &str| variable(name).and_then(|value| value.to_str()?.parse::<u64>().ok());
        let is_for_us = number("WATCHDOG_PID").is_none_or(|pid| i64::try_from(pid) == Ok(i64::from(own_pid)));
        let watchdog = number("WATCHDOG_USEC").filter(|&usec| is_for_us && usec > 0).map(Duration::from_micros);
        Ok(ServiceManager { socket: Some((socket, address)), watchdog })
    }

    /// Sends one message. Without a manager nothing happens.
    ///
    /// # Errors
    ///
    /// The manager has gone, or does not read.
    pub fn tell(&self, message: &Message<'_>) -> io::Result<()> {
        let Some((socket, address)) = &self.socket else { return Ok(()) };
        socket.send_to_addr(message.text().as_bytes(), address).map(drop)
    }

    /// How often to send the watchdog message: twice as often as the manager asks for.
    pub fn watchdog_interval(&self) -> Option<Duration> {
        self.watchdog.map(|silence| silence / 2)
    }
}

fn address_of(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(name),
        _ => Err(io::Error::other(format!("NOTIFY_SOCKET={} is neither a path nor `@NAME`", name.display()))),
    }
}

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'m> {
    /// The server serves.
    Ready {
        /// The main process.
        main_pid: Pid,
        /// A line for people.
        status: &'m str,
    },
    /// A reload has begun.
    Reloading {
        /// Now, by the monotonic clock.
        at: Duration,
    },
    /// The server is about to stop.
    Stopping,
    /// Another process is the main process from now on.
    MainPid(Pid),
    /// A line for people.
    Status(&'m str),
    /// The watchdog message.
    Watchdog,
}

impl Message<'_> {
    /// The text that is sent.
    pub fn text(&self) -> String {
        match self {
            Message::Ready { main_pid, status } => format!("READY=1\nMAINPID={main_pid}\nSTATUS={status}\n"),
            Message::Reloading { at } => {
                format!("RELOADING=1\nMONOTONIC_USEC={}\nSTATUS=Reloading\n", at.as_micros())
            }
            Message::Stopping => "STOPPING=1\nSTATUS=Shutting down\n".to_owned(),
            Message::MainPid(pid) => format!("MAINPID={pid}\n"),
            Message::Status(status) => format!("STATUS={status}\n"),
            Message::Watchdog => "WATCHDOG=1\n".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn manager(variables: &[(&str, &str)]) -> io::Result<ServiceManager> {
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
        ServiceManager::from_environment(&variable, 42)
    }

    #[test]
    fn messages_are_those_of_the_protocol() {
        let ready = Message::Ready { main_pid: 7, status: "4 workers" };
        assert_eq!(ready.text(), "READY=1\nMAINPID=7\nSTATUS=4 workers\n");
        let at = Duration::new(3, 1_500);
        assert_eq!(Message::Reloading { at }.text(), "RELOADING=1\nMONOTONIC_USEC=3000001\nSTATUS=Reloading\n");
        assert_eq!(Message::Watchdog.text(), "WATCHDOG=1\n");
        assert_eq!(Message::MainPid(9).text(), "MAINPID=9\n");
    }

    #[test]
    fn without_a_socket_nobody_is_told_and_nothing_fails() {
        for variables in [&[][..], &[("NOTIFY_SOCKET", ""), ("WATCHDOG_USEC", "1000")]] {
            let nobody = manager(variables).expect("made");
            nobody.tell(&Message::Stopping).expect("nothing to do");
            assert_eq!(nobody.watchdog_interval(), None);
        }
    }

    #[test]
    fn a_path_and_an_abstract_name_are_reached() {
        let name = format!("farrier-notify-{}", std::process::id());
        let path = std::env::temp_dir().join(&name);
        let at_path = UnixDatagram::bind(&path).expect("bound");
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let abstract_one = UnixDatagram::bind_addr(&address).expect("bound");
        for (socket, named) in [(at_path, path.display().to_string()), (abstract_one, format!("@{name}"))] {
            let manager = manager(&[("NOTIFY_SOCKET", &named)]).expect("made");
            manager.tell(&Message::Watchdog).expect("sent");
            let mut bytes = [0; 64];
            let count = socket.recv(&mut bytes).expect("received");
            assert_eq!(&bytes[..count], b"WATCHDOG=1\n");
        }
        std::fs::remove_file(path).expect("removed");
    }

    #[test]
    fn the_watchdog_message_is_sent_twice_as_often_as_asked_and_only_by_its_process() {
        let socket = ("NOTIFY_SOCKET", "/run/x");
        let interval = |more: &[(&str, &str)]| manager(&[&[socket], more].concat()).expect("made").watchdog_interval();
        assert_eq!(interval(&[("WATCHDOG_USEC", "3000000")]), Some(Duration::from_millis(1500)));
        assert_eq!(interval(&[("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "42")]), Some(Duration::from_secs(1)));
        assert_eq!(interval(&[("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "41")]), None);
        assert_eq!(interval(&[("WATCHDOG_USEC", "0")]), None);
        assert_eq!(interval(&[("WATCHDOG_USEC", "x")]), None);
    }

    #[test]
    fn a_socket_that_makes_no_sense_is_named() {
        let error = manager(&[("NOTIFY_SOCKET", "relative")]).expect_err("refused").to_string();
        assert!(error.starts_with("NOTIFY_SOCKET=relative is neither"), "{error}");
    }
}
