//! The pipes between a worker and the arbiter: the worker's messages, and whether the arbiter still lives.
//!
//! A third descriptor wakes all workers when the arbiter asks whether they still poll.
//!
//! All are made before the first fork and shared by all workers. A record is shorter than `PIPE_BUF`, so records of
//! different workers never mix (pipe(7)). Only the arbiter holds the write end of the other pipe: when it dies, for any
//! reason, the workers read the end of the file.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::arbiter::{Cause, EXIT_APPLICATION_NOT_FOUND, EXIT_BOOT_FAILED, Event, Spawn, TemplateId, WorkerId};
use crate::heartbeat::Slot;
use crate::process::Pid;
use crate::signals::{Signal, SignalPipe};

/// The worker's side: its identity, and its messages to the arbiter.
#[derive(Debug)]
pub struct WorkerLink {
    spawn: Spawn,
    slot: Slot,
    messages: OwnedFd,
    alive: OwnedFd,
    asks: OwnedFd,
}

impl WorkerLink {
    /// The signals that a worker is sent: `TERM`, `INT`, `QUIT`, `USR1` and, when it hangs, `ABRT`.
    pub const SIGNALS: &'static [Signal] = &[Signal::Term, Signal::Int, Signal::Quit, Signal::Usr1, Signal::Abrt];

    /// Those of them that ask it to leave. A platform sends them to all processes at once, and the arbiter sends them too.
    const STOPS: &'static [Signal] = &[Signal::Term, Signal::Int, Signal::Quit];

    /// Its name in the arbiter's events.
    pub fn worker(&self) -> WorkerId {
        self.spawn.worker
    }

    /// Its number within its generation, from one; a successor inherits it.
    pub fn number(&self) -> u32 {
        self.spawn.number
    }

    /// Which reading of the configuration it is to use, from one.
    pub fn generation(&self) -> u64 {
        self.spawn.generation
    }

    /// How many workers had its number before it in this generation.
    pub fn restarts(&self) -> u32 {
        self.spawn.restarts
    }

    /// Its place in the shared memory.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Readable, with the end of the file, once the arbiter has died. Then the worker drains and leaves.
    pub fn alive_fd(&self) -> BorrowedFd<'_> {
        self.alive.as_fd()
    }

    /// Reports an edge when the arbiter asks for an answer: [`Slot::answer`]. It is never read, and stays readable.
    pub fn asks_fd(&self) -> BorrowedFd<'_> {
        self.asks.as_fd()
    }

    /// Waits until the arbiter has died, for a thread that does nothing else. It needs no interpreter. Returns false if that
    /// cannot be seen, because the application has closed the descriptor.
    pub fn outlives_the_arbiter(&self) -> bool {
        loop {
            let mut fds = [PollFd::new(&self.alive, PollFlags::empty())];
            // Only a hang-up is waited for; an error is EINTR.
            if let Ok(1..) = poll(&mut fds, None) {
                return !fds[0].revents().contains(PollFlags::NVAL);
            }
        }
    }

    /// Catches the worker's signals from now on. Call it when the application is loaded and before
    /// [`WorkerLink::ready`]. Until then `TERM` and `INT` simply end the process, which has no requests to finish. After
    /// the drop of the pipe they have no effect: the worker is leaving, and its end must not be cut short.
    ///
    /// # Errors
    ///
    /// No descriptor is left.
    pub fn catch_signals(&self) -> io::Result<SignalPipe> {
        let mut pipe = SignalPipe::after_fork(Self::SIGNALS)?;
        pipe.tolerate_afterwards(Self::STOPS);
        Ok(pipe)
    }

    /// Reports that the application is loaded and the worker serves.
    pub fn ready(&self) {
        self.send(READY, 0);
    }

    /// Reports that the application could not be loaded. The worker has logged why and returns the same code.
    ///
    /// # Arguments
    ///
    /// `application_found` is false if what was named does not exist or is not callable.
    pub fn boot_failed(&self, application_found: bool) -> i32 {
        let code = if application_found { EXIT_BOOT_FAILED } else { EXIT_APPLICATION_NOT_FOUND };
        self.send(BOOT_FAILED, code);
        code
    }

    /// Asks to be replaced at a convenient time; `TERM` follows when the successor serves. Until then the worker keeps
    /// serving. Any thread may call it, any number of times.
    ///
    /// # Arguments
    ///
    /// `cause` is [`Cause::Requests`], [`Cause::Asked`] or [`Cause::Stuck`]: the arbiter detects the others itself.
    pub fn wants_recycling(&self, cause: Cause) {
        let code = match cause {
            Cause::Requests => CAUSE_REQUESTS,
            Cause::Stuck => CAUSE_STUCK,
            Cause::Asked | Cause::Lifetime | Cause::Memory { .. } => CAUSE_ASKED,
        };
        self.send(RETIRING, code);
    }

    /// Reports that a source file has changed: the workers are replaced by new ones that load the new code.
    pub fn code_changed(&self) {
        self.send(CHANGED, 0);
    }

    fn send(&self, kind: u32, code: i32) {
        let WorkerId(worker) = self.spawn.worker;
        write(&self.messages, encode(worker, kind, code));
    }
}

/// A template's side.
#[derive(Debug)]
pub(crate) struct TemplateLink {
    template: TemplateId,
    messages: OwnedFd,
    alive: OwnedFd,
    asks: OwnedFd,
}

impl TemplateLink {
    /// Reports that the application is loaded.
    pub(crate) fn ready(&self) {
        self.send(TEMPLATE_READY, 0);
    }

    /// Reports that it could not be loaded.
    pub(crate) fn failed(&self, code: i32) {
        self.send(TEMPLATE_FAILED, code);
    }

    /// Reports the pid of a worker.
    pub(crate) fn forked(&self, WorkerId(worker): WorkerId, pid: Pid) {
        write(&self.messages, encode(worker, SPAWNED, pid));
    }

    /// Reports that a worker could not be forked.
    pub(crate) fn fork_failed(&self, WorkerId(worker): WorkerId, error: &io::Error) {
        write(&self.messages, encode(worker, FORK_FAILED, error.raw_os_error().unwrap_or(0)));
    }

    /// In a worker that the template has forked.
    pub(crate) fn into_worker(self, spawn: Spawn, slot: Slot) -> WorkerLink {
        let TemplateLink { messages, alive, asks, .. } = self;
        WorkerLink { spawn, slot, messages, alive, asks }
    }

    fn send(&self, kind: u32, code: i32) {
        let TemplateId(template) = self.template;
        write(&self.messages, encode(template, kind, code));
    }
}

/// Without an arbiter writing fails (EPIPE), and `alive_fd` shows that the arbiter is gone.
fn write(messages: &OwnedFd, record: [u8; RECORD_BYTES]) {
    while let Err(Errno::INTR) = rustix::io::write(messages, &record) {}
}

/// The arbiter's side of all workers' pipes.
#[derive(Debug)]
pub(crate) struct Link {
    messages_read: OwnedFd,
    messages_write: OwnedFd,
    alive_read: OwnedFd,
    alive_write: OwnedFd,
    asks: OwnedFd,
}

impl Link {
    pub(crate) fn new() -> io::Result<Link> {
        let (messages_read, messages_write) = pipe_with(PipeFlags::CLOEXEC)?;
        // Only this end is non-blocking: a worker may wait for room, but the arbiter never waits for a message.
        rustix::io::ioctl_fionbio(&messages_read, true)?;
        let (alive_read, alive_write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let asks = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Link { messages_read, messages_write, alive_read, alive_write, asks })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.messages_read.as_fd()
    }

    /// Wakes all workers for an answer.
    pub(crate) fn ask(&self) {
        // It cannot fail: the counter overflows after 2^64 questions.
        let _ = rustix::io::write(&self.asks, &1_u64.to_ne_bytes());
    }

    /// In the child: keeps the worker's ends and closes the arbiter's.
    pub(crate) fn into_worker(self, spawn: Spawn, slot: Slot) -> WorkerLink {
        let Link { messages_read, messages_write, alive_read, alive_write, asks } = self;
        drop((messages_read, alive_write));
        WorkerLink { spawn, slot, messages: messages_write, alive: alive_read, asks }
    }

    /// In a template: the same.
    pub(crate) fn into_template(self, template: TemplateId) -> TemplateLink {
        let Link { messages_read, messages_write, alive_read, alive_write, asks } = self;
        drop((messages_read, alive_write));
        TemplateLink { template, messages: messages_write, alive: alive_read, asks }
    }

    /// In any other child: only the pipe that shows whether the arbiter lives.
    pub(crate) fn into_alive(self) -> OwnedFd {
        self.alive_read
    }

    /// The workers' messages since the last call. Does not block.
    pub(crate) fn drain(&self) -> Vec<Event> {
        let mut events = Vec::new();
        let mut bytes = [0; RECORD_BYTES * 64];
        loop {
            // Records are written whole and the buffer holds whole records, so none is ever split.
            match rustix::io::read(&self.messages_read, &mut bytes) {
                Ok(count) if count > 0 => {
                    events.extend(bytes[..count].as_chunks::<RECORD_BYTES>().0.iter().filter_map(decode));
                }
                Err(Errno::INTR) => {}
                _ => return events,
            }
        }
    }
}

const RECORD_BYTES: usize = 16;
const READY: u32 = 1;
const BOOT_FAILED: u32 = 2;
const RETIRING: u32 = 3;
const SPAWNED: u32 = 4;
const FORK_FAILED: u32 = 5;
const TEMPLATE_READY: u32 = 6;
const TEMPLATE_FAILED: u32 = 7;
const CHANGED: u32 = 8;

const CAUSE_REQUESTS: i32 = 1;
const CAUSE_STUCK: i32 = 2;
const CAUSE_ASKED: i32 = 3;

/// `id` is a worker's, or a template's with the message kinds of templates.
fn encode(id: u64, kind: u32, code: i32) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    record[..8].copy_from_slice(&id.to_ne_bytes());
    record[8..12].copy_from_slice(&kind.to_ne_bytes());
    record[12..].copy_from_slice(&code.to_ne_bytes());
    record
}

fn decode(record: &[u8; RECORD_BYTES]) -> Option<Event> {
    let [w0, w1, w2, w3, w4, w5, w6, w7, k0, k1, k2, k3, c0, c1, c2, c3] = *record;
    let id = u64::from_ne_bytes([w0, w1, w2, w3, w4, w5, w6, w7]);
    let (worker, template) = (WorkerId(id), TemplateId(id));
    let code = i32::from_ne_bytes([c0, c1, c2, c3]);
    match u32::from_ne_bytes([k0, k1, k2, k3]) {
        READY => Some(Event::Ready(worker)),
        BOOT_FAILED => Some(Event::BootFailed { worker, code }),
        CHANGED => Some(Event::CodeChanged(worker)),
        SPAWNED => Some(Event::Spawned { worker, pid: code }),
        FORK_FAILED => Some(Event::ForkFailed { worker, reason: io::Error::from_raw_os_error(code).to_string() }),
        TEMPLATE_READY => Some(Event::TemplateReady(template)),
        TEMPLATE_FAILED => Some(Event::TemplateFailed { template, code }),
        RETIRING => {
            let cause = match code {
                CAUSE_REQUESTS => Cause::Requests,
                CAUSE_STUCK => Cause::Stuck,
                _ => Cause::Asked,
            };
            Some(Event::Retiring { worker, cause })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::Timespec;

    use super::*;
    use crate::heartbeat::HeartbeatPage;

    fn pair(id: u64) -> (Link, WorkerLink) {
        let link = Link::new().expect("made");
        let worker = Link {
            messages_read: link.messages_read.try_clone().expect("cloned"),
            messages_write: link.messages_write.try_clone().expect("cloned"),
            alive_read: link.alive_read.try_clone().expect("cloned"),
            alive_write: link.alive_write.try_clone().expect("cloned"),
            asks: link.asks.try_clone().expect("cloned"),
        };
        let slot = HeartbeatPage::new(1).expect("mapped").slot(0).expect("there");
        let spawn = Spawn { worker: WorkerId(id), number: 2, slot: 0, generation: 3, restarts: 4, template: None };
        (link, worker.into_worker(spawn, slot))
    }

    #[test]
    fn a_workers_messages_reach_the_arbiter_in_order() {
        let (link, worker) = pair(7);
        assert_eq!(link.drain(), []);
        worker.ready();
        worker.wants_recycling(Cause::Requests);
        worker.wants_recycling(Cause::Stuck);
        worker.wants_recycling(Cause::Asked);
        assert_eq!(worker.boot_failed(true), 3);
        assert_eq!(worker.boot_failed(false), 4);
        let id = WorkerId(7);
        let retiring = |cause| Event::Retiring { worker: id, cause };
        let failed = |code| Event::BootFailed { worker: id, code };
        assert_eq!(
            link.drain(),
            [
                Event::Ready(id),
                retiring(Cause::Requests),
                retiring(Cause::Stuck),
                retiring(Cause::Asked),
                failed(3),
                failed(4)
            ]
        );
        assert_eq!(link.drain(), []);
        assert_eq!((worker.number(), worker.generation(), worker.restarts()), (2, 3, 4));
    }

    #[test]
    fn more_records_than_one_read_takes_are_all_received() {
        let (link, worker) = pair(u64::MAX);
        (0..1000).for_each(|_| worker.ready());
        assert_eq!(link.drain(), vec![Event::Ready(WorkerId(u64::MAX)); 1000]);
    }

    #[test]
    fn a_record_of_an_unknown_kind_is_passed_over() {
        assert_eq!(decode(&encode(1, 99, 0)), None);
    }

    #[test]
    fn the_end_of_the_arbiter_is_the_end_of_the_file() {
        let (link, worker) = pair(1);
        let mut fds = [PollFd::new(&worker.alive, PollFlags::IN)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        assert_eq!(poll(&mut fds, Some(&now)), Ok(0));
        drop(link);
        assert_eq!(poll(&mut fds, Some(&now)), Ok(1));
        assert!(worker.outlives_the_arbiter());
    }
}
