//! Which descriptors are sockets of the server's: clients' connections and listeners. A process that the application forks
//! must not keep them.
//!
//! The answer must be readable between a fork and its return (signal-safety(7)), so it is a table of atomics: no lock, no
//! allocation. A number beyond the table is not held, which costs nothing but this protection.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Descriptors beyond this number are not recorded. Pages of the table that are never written take no memory.
const FDS_MAX: usize = 1 << 20;

static HELD: [AtomicU64; FDS_MAX / 64] = [const { AtomicU64::new(0) }; FDS_MAX / 64];

/// How many words of the table have ever been used.
static USED: AtomicUsize = AtomicUsize::new(0);

/// Records an open socket.
pub fn hold(socket: impl AsFd) {
    if let Some((word, bit)) = place(socket.as_fd().as_raw_fd()) {
        USED.fetch_max(word + 1, Ordering::Relaxed);
        HELD[word].fetch_or(bit, Ordering::Relaxed);
    }
}

/// Forgets a socket. Call it before the socket is closed: later its number may be another's.
pub fn release(socket: impl AsFd) {
    if let Some((word, bit)) = place(socket.as_fd().as_raw_fd()) {
        HELD[word].fetch_and(!bit, Ordering::Relaxed);
    }
}

/// Calls `with` for each socket that is held, and forgets it.
pub fn take_each(mut with: impl FnMut(RawFd)) {
    for (word, bits) in HELD.iter().enumerate().take(USED.load(Ordering::Relaxed)) {
        let mut left = bits.swap(0, Ordering::Relaxed);
        while left != 0 {
            let fd = word * 64 + left.trailing_zeros() as usize;
            left &= left - 1;
            if let Ok(fd) = RawFd::try_from(fd) {
                with(fd);
            }
        }
    }
}

fn place(fd: RawFd) -> Option<(usize, u64)> {
    let fd = usize::try_from(fd).ok().filter(|&fd| fd < FDS_MAX)?;
    Some((fd / 64, 1 << (fd % 64)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_is_held_until_it_is_released() {
        let (one, other) = UnixStream::pair().expect("made");
        hold(&one);
        hold(&other);
        release(&other);
        let mut found = Vec::new();
        // Other tests of this process hold sockets as well.
        take_each(|fd| found.push(fd));
        assert!(found.contains(&one.as_raw_fd()) && !found.contains(&other.as_raw_fd()));
        take_each(|fd| assert_ne!(fd, one.as_raw_fd()));
    }
}
