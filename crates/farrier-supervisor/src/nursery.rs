//! The pipe from the arbiter to a template: requests to fork workers. When the pipe is closed, the template ends.
//!
//! A record is shorter than `PIPE_BUF`, so it is written whole or not at all (pipe(7)).

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::arbiter::{Spawn, TemplateId, WorkerId};
use crate::process::Pid;

/// A request to a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Errand {
    /// Fork this worker.
    Fork(Spawn),
    /// The logs were rotated.
    ReopenLogs,
}

/// The arbiter's side: a living template and the pipe for requests to it.
#[derive(Debug)]
pub(crate) struct Nursery {
    pub(crate) pid: Pid,
    /// `None` after the last request, which lets the template leave.
    requests: Option<OwnedFd>,
}

impl Nursery {
    pub(crate) fn new(pid: Pid, requests: OwnedFd) -> Nursery {
        Nursery { pid, requests: Some(requests) }
    }

    /// Sends a request. Does not block.
    ///
    /// # Errors
    ///
    /// The template has ended or is leaving (`EPIPE`), or does not read any more (`EAGAIN`).
    pub(crate) fn ask(&self, request: Errand) -> io::Result<()> {
        let requests = self.requests.as_ref().ok_or(Errno::PIPE)?;
        let record = encode(request);
        loop {
            match rustix::io::write(requests, &record) {
                Err(Errno::INTR) => {}
                outcome => return Ok(outcome.map(|_| ())?),
            }
        }
    }

    /// Closes the pipe: no more requests follow.
    pub(crate) fn close(&mut self) {
        self.requests = None;
    }
}

/// The template's side.
#[derive(Debug)]
pub(crate) struct Errands(OwnedFd);

impl Errands {
    /// A pipe: what the template reads and what the arbiter writes to.
    pub(crate) fn pipe() -> io::Result<(Errands, OwnedFd)> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        // Only this end is non-blocking: a template waits for requests, but the arbiter never waits for a template.
        rustix::io::ioctl_fionbio(&write, true)?;
        Ok((Errands(read), write))
    }

    /// The next request; `None` at the end, which also comes when the arbiter dies. Blocks.
    pub(crate) fn next(&self) -> Option<Errand> {
        let mut record = [0; RECORD_BYTES];
        loop {
            match rustix::io::read(&self.0, &mut record) {
                Ok(RECORD_BYTES) => {
                    if let Some(request) = decode(&record) {
                        return Some(request);
                    }
                }
                Err(Errno::INTR) => {}
                _ => return None,
            }
        }
    }
}

impl AsFd for Errands {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

const RECORD_BYTES: usize = 40;
const FORK: u32 = 1;
const REOPEN_LOGS: u32 = 2;

fn encode(request: Errand) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    match request {
        Errand::ReopenLogs => record[..4].copy_from_slice(&REOPEN_LOGS.to_ne_bytes()),
        Errand::Fork(spawn) => {
            let WorkerId(worker) = spawn.worker;
            let TemplateId(template) = spawn.template.unwrap_or(TemplateId(0));
            for (place, word) in [FORK, spawn.number, spawn.slot, spawn.restarts].into_iter().enumerate() {
                record[4 * place..4 * place + 4].copy_from_slice(&word.to_ne_bytes());
            }
            for (place, word) in [worker, spawn.generation, template].into_iter().enumerate() {
                record[16 + 8 * place..24 + 8 * place].copy_from_slice(&word.to_ne_bytes());
            }
        }
    }
    record
}

fn decode(record: &[u8; RECORD_BYTES]) -> Option<Errand> {
    let short = |place: usize| record[4 * place..].first_chunk().map(|bytes| u32::from_ne_bytes(*bytes));
    let long = |place: usize| record[16 + 8 * place..].first_chunk().map(|bytes| u64::from_ne_bytes(*bytes));
    match short(0)? {
        REOPEN_LOGS => Some(Errand::ReopenLogs),
        FORK => Some(Errand::Fork(Spawn {
            worker: WorkerId(long(0)?),
            number: short(1)?,
            slot: short(2)?,
            generation: long(1)?,
            restarts: short(3)?,
            template: long(2).filter(|&id| id > 0).map(TemplateId),
        })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_reads_the_arbiters_requests_and_then_the_end() {
        let (requests, write) = Errands::pipe().expect("made");
        let mut nursery = Nursery::new(1, write);
        let spawn = Spawn {
            worker: WorkerId(u64::MAX),
            number: 2,
            slot: 3,
            generation: 4,
            restarts: 5,
            template: Some(TemplateId(6)),
        };
        nursery.ask(Errand::Fork(spawn)).expect("asked");
        nursery.ask(Errand::ReopenLogs).expect("asked");
        nursery.close();
        assert!(nursery.ask(Errand::ReopenLogs).is_err());
        assert_eq!(requests.next(), Some(Errand::Fork(spawn)));
        assert_eq!(requests.next(), Some(Errand::ReopenLogs));
        assert_eq!(requests.next(), None);
    }

    #[test]
    fn a_template_that_does_not_read_never_blocks_the_arbiter() {
        let (requests, write) = Errands::pipe().expect("made");
        let nursery = Nursery::new(1, write);
        while nursery.ask(Errand::ReopenLogs).is_ok() {}
        drop(requests);
        assert!(nursery.ask(Errand::ReopenLogs).is_err());
    }
}
