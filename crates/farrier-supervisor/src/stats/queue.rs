//! How many connections wait to be accepted at a listener, from `/proc/net` (proc_net(5)).

use std::fs;
use std::os::fd::AsFd;

use rustix::fs::fstat;

use crate::Listener;
use crate::sockets::LocalAddress;

/// One of the server's listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its address, as in the log.
    pub name: String,
    /// Connections that wait.
    pub waiting: u64,
}

impl Queue {
    /// Reads the queues of the listeners; a listener that is not found has an empty queue.
    pub fn of_all(listeners: &[Listener]) -> Vec<Queue> {
        let mut read = Tables::default();
        let queue = |listener: &Listener| {
            let waiting = match listener.local() {
                LocalAddress::Inet(_) => fstat(listener.as_fd()).map_or(0, |stat| read.tcp(stat.st_ino)),
                LocalAddress::Unix(path) => read.unix(&path.to_string_lossy()),
                LocalAddress::Abstract(name) => read.unix(&format!("@{}", String::from_utf8_lossy(name))),
            };
            Queue { name: listener.display().to_owned(), waiting }
        };
        listeners.iter().map(queue).collect()
    }
}

/// The kernel's tables, each read when it is first needed.
#[derive(Default)]
struct Tables {
    tcp: Option<String>,
    unix: Option<String>,
}

impl Tables {
    fn tcp(&mut self, inode: u64) -> u64 {
        let read = || {
            let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
            tables.map(|path| fs::read_to_string(path).unwrap_or_default()).concat()
        };
        tcp_waiting(self.tcp.get_or_insert_with(read), inode)
    }

    fn unix(&mut self, name: &str) -> u64 {
        unix_waiting(self.unix.get_or_insert_with(|| fs::read_to_string("/proc/net/unix").unwrap_or_default()), name)
    }
}

/// A listening socket's second queue is that of connections that were not accepted.
fn tcp_waiting(table: &str, inode: u64) -> u64 {
    const LISTENING: &str = "0A";
    let inode = inode.to_string();
    let row = |line: &str| -> Option<u64> {
        let mut cells = line.split_ascii_whitespace().skip(3);
        let (state, queues) = (cells.next()?, cells.next()?);
        if state != LISTENING || cells.nth(4)? != inode {
            return None;
        }
        u64::from_str_radix(queues.split(':').nth(1)?, 16).ok()
    };
    table.lines().find_map(row).unwrap_or(0)
}

/// A connection that was not accepted is a row with the listener's name that has no descriptor.
fn unix_waiting(table: &str, name: &str) -> u64 {
    let is_waiting = |line: &&str| {
        let mut cells = line.split_ascii_whitespace().skip(6);
        cells.next() == Some("0") && line.split_once(" 0 ").is_some() && line.ends_with(&format!(" {name}"))
    };
    table.lines().filter(is_waiting).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_of_a_listener_is_found_by_its_inode() {
        let table = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F40 00000000:0000 0A 00000000:0000001B 00:00000000 00000000     0        0 4711 1 0000 100 0 0 10 0
   1: 0100007F:1F40 0100007F:9999 01 00000000:00000005 00:00000000 00000000     0        0 4712 1 0000 100 0 0 10 0
";
        assert_eq!((tcp_waiting(table, 4711), tcp_waiting(table, 4712), tcp_waiting(table, 1)), (27, 0, 0));
    }

    #[test]
    fn connections_without_a_descriptor_wait() {
        let table = "\
Num       RefCount Protocol Flags    Type St Inode Path
0000: 00000002 00000000 00010000 0001 01 500 /run/x.sock
0000: 00000002 00000000 00000000 0001 03 501 /run/x.sock
0000: 00000002 00000000 00000000 0001 03     0 /run/x.sock
0000: 00000002 00000000 00000000 0001 03     0 /run/x.sock
0000: 00000002 00000000 00000000 0001 03     0 /run/other/run/x.sock
";
        assert_eq!((unix_waiting(table, "/run/x.sock"), unix_waiting(table, "@x")), (2, 0));
    }
}
