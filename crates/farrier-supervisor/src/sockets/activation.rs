//! Descriptors that a service manager passes (sd_listen_fds(3)).

use std::os::fd::RawFd;

use crate::process::Pid;

/// The first descriptor that is passed (`SD_LISTEN_FDS_START`).
const FIRST_FD: RawFd = 3;

/// The descriptors that `LISTEN_PID` and `LISTEN_FDS` name, if they are meant for this process.
///
/// # Arguments
///
/// The two variables' values and this process's pid. The caller removes the variables, so that no child takes the
/// descriptors for its own.
pub fn activated(listen_pid: Option<&str>, listen_fds: Option<&str>, own_pid: Pid) -> Vec<RawFd> {
    let is_for_us = listen_pid.and_then(|pid| pid.parse().ok()) == Some(own_pid);
    let count: RawFd = listen_fds.and_then(|count| count.parse().ok()).unwrap_or(0);
    if is_for_us { (FIRST_FD..FIRST_FD.saturating_add(count)).collect() } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_begin_at_three_and_are_ours_only_if_the_pid_is() {
        assert_eq!(activated(Some("42"), Some("2"), 42), [3, 4]);
        for (pid, fds) in [(Some("41"), Some("2")), (None, Some("2")), (Some("42"), None), (Some("42"), Some("x"))] {
            assert!(activated(pid, fds, 42).is_empty(), "{pid:?} {fds:?}");
        }
        assert!(activated(Some("42"), Some("-1"), 42).is_empty());
    }
}
