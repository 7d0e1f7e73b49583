//! Which process listens at an address in use, as far as /proc shows it to this user (proc(5)).

use std::fmt;
use std::fs;
use std::path::Path;

use super::ListenSpec;
use crate::process::Pid;

/// The state of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// The flag of a listening socket in `/proc/net/unix` (`__SO_ACCEPTCON`).
const ACCEPTS: u64 = 0x1_0000;

/// The process that listens at an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its name, as `ps` shows it.
    pub name: String,
    /// Its number. Of processes that share the socket it is the one that began.
    pub pid: Pid,
    /// How many other processes have the socket too, such as workers.
    pub others: usize,
}

impl Holder {
    /// Finds it. `None` if it belongs to another user or is not in sight of this one.
    pub(super) fn of(spec: &ListenSpec) -> Option<Holder> {
        let sockets = match spec {
            ListenSpec::Tcp { port, .. } => {
                ["tcp", "tcp6"].iter().flat_map(|name| tcp_sockets(&table(name), *port)).collect()
            }
            ListenSpec::Unix { path, .. } => unix_sockets(&table("unix"), &path.to_string_lossy()),
            ListenSpec::Abstract(name) => unix_sockets(&table("unix"), &format!("@{}", String::from_utf8_lossy(name))),
            ListenSpec::Fd(_) => Vec::new(),
        };
        let links: Vec<String> = sockets.iter().map(|number| format!("socket:[{number}]")).collect();
        if links.is_empty() {
            return None;
        }
        let pids: Vec<Pid> = pids().into_iter().filter(|&pid| has_one(pid, &links)).collect();
        let is_first = |pid: &&Pid| parent(**pid).is_none_or(|parent| !pids.contains(&parent));
        let &pid = pids.iter().find(is_first).or(pids.first())?;
        Some(Holder { name: name(pid)?, pid, others: pids.len() - 1 })
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holder { name, pid, others } = self;
        match others {
            0 => write!(f, "{name} (pid {pid})"),
            1 => write!(f, "{name} (pid {pid}, with 1 more process)"),
            others => write!(f, "{name} (pid {pid}, with {others} more processes)"),
        }
    }
}

fn table(name: &str) -> String {
    fs::read_to_string(format!("/proc/net/{name}")).unwrap_or_default()
}

/// The numbers of the sockets that listen at a port, at any address: the kernel's rules for addresses that include each
/// other are not repeated here.
fn tcp_sockets(table: &str, port: u16) -> Vec<u64> {
    let ends_with_port = format!(":{port:04X}");
    let row = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let (local, state) = (fields.nth(1)?, fields.nth(1)?);
        let number = fields.nth(5)?;
        (local.ends_with(&ends_with_port) && state == LISTEN).then(|| number.parse().ok())?
    };
    table.lines().skip(1).filter_map(row).collect()
}

fn unix_sockets(table: &str, path: &str) -> Vec<u64> {
    let row = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let flags = u64::from_str_radix(fields.nth(3)?, 16).ok()?;
        let number = fields.nth(2)?;
        (flags & ACCEPTS != 0 && fields.next()? == path).then(|| number.parse().ok())?
    };
    table.lines().skip(1).filter_map(row).collect()
}

fn pids() -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let mut pids: Vec<Pid> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    pids
}

fn has_one(pid: Pid, links: &[String]) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let link = |path: &Path| fs::read_link(path).ok()?.into_os_string().into_string().ok();
    descriptors.into_iter().any(|entry| link(&entry.path()).is_some_and(|link| links.contains(&link)))
}

fn name(pid: Pid) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    // A process may give itself any name.
    Some(name.trim_end().chars().map(|each| if each.is_control() { '?' } else { each }).collect())
}

fn parent(pid: Pid) -> Option<Pid> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::process::own_pid;

    #[test]
    fn the_process_that_listens_at_a_port_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = listener.local_addr().expect("bound").port();
        let spec = ListenSpec::Tcp { host: "127.0.0.1".to_owned(), port };
        assert_eq!(Holder::of(&spec).map(|holder| holder.pid), Some(own_pid()));
        drop(listener);
        assert_eq!(Holder::of(&spec), None);
    }

    #[test]
    fn the_process_that_listens_at_a_unix_socket_is_found() {
        let path = std::env::temp_dir().join(format!("farrier-holder-{}", own_pid()));
        let listener = UnixListener::bind(&path).expect("bound");
        let spec = ListenSpec::Unix { path: path.clone(), mode: None, uid: None, gid: None };
        assert_eq!(Holder::of(&spec).map(|holder| holder.pid), Some(own_pid()));
        drop(listener);
        fs::remove_file(path).expect("removed");
    }

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
                     0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 111 1 0 100 0 0 10 0\n   \
                     1: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000  0  0 222 1 0 100 0 0 10 0\n   \
                     2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0  0 333 1 0 100 0 0 10 0\n";
        assert_eq!(tcp_sockets(table, 8080), [111]);
    }

    #[test]
    fn a_holder_reads_as_one_phrase() {
        let holder = |others| Holder { name: "nginx".to_owned(), pid: 812, others }.to_string();
        assert_eq!(holder(0), "nginx (pid 812)");
        assert_eq!(holder(1), "nginx (pid 812, with 1 more process)");
        assert_eq!(holder(4), "nginx (pid 812, with 4 more processes)");
    }
}
