//! Finds out what a thread of this process does now: it runs, waits for the interpreter, or waits for something else.
//!
//! A call that waits for the interpreter looks like one that waits for a database, but no other seat could run it any
//! sooner. The kernel tells which lock a thread waits for (proc(5), `/proc/[pid]/task/[tid]/syscall`). The address of
//! the interpreter's lock is learned at the start, by letting a thread wait for it.

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use farrier_protocol::host::Host;
use farrier_scheduler::Doing;

/// The parts of the interpreter's lock are this near to each other, in bytes.
const LOCK_BYTES: u64 = 128;

/// How long the start tries to learn the address of the lock.
const PATIENCE: Duration = Duration::from_millis(50);

/// The time between two checks of the thread that waits for the lock.
const LOOK_EVERY: Duration = Duration::from_micros(100);

/// Checks in a row that must show the same wait.
const SAME_LOOKS: u32 = 3;

/// The address of the interpreter's lock, as far as it could be learned.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct InterpreterLock {
    wait: Option<Wait>,
}

/// A system call that waits, and its first argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Wait {
    call: i64,
    address: u64,
}

impl InterpreterLock {
    /// Lets a thread wait for the interpreter while the calling seat holds it, and notes where it waits. The seat must
    /// be detached. For a runtime without such a lock, the result recognises nothing.
    pub(crate) fn learn(host: &Arc<dyn Host>) -> InterpreterLock {
        let (tell, told) = mpsc::channel();
        let thread_id = Arc::new(AtomicI32::new(0));
        let may_begin = Arc::new(AtomicBool::new(false));
        let (theirs, their_id, begun) = (Arc::clone(host), Arc::clone(&thread_id), Arc::clone(&may_begin));
        let waits = move || {
            their_id.store(rustix::thread::gettid().as_raw_nonzero().get(), Ordering::SeqCst);
            while !begun.load(Ordering::SeqCst) {
                std::hint::spin_loop();
                std::thread::yield_now();
            }
            theirs.probe();
            let _ = tell.send(());
        };
        let Ok(thread) = std::thread::Builder::new().name("farrier-probe".into()).spawn(waits) else {
            return InterpreterLock::default();
        };
        host.attach();
        may_begin.store(true, Ordering::SeqCst);
        let until = Instant::now() + PATIENCE;
        let (mut seen, mut looks) = (None, 0);
        while looks < SAME_LOOKS && Instant::now() < until && told.try_recv().is_err() {
            std::thread::sleep(LOOK_EVERY);
            let thread_id = thread_id.load(Ordering::SeqCst);
            let now = match wait_of(thread_id) {
                // The kernel does not tell, and never will.
                Err(()) if thread_id != 0 => break,
                looked => looked.ok().flatten(),
            };
            looks = if now.is_some() && now == seen { looks + 1 } else { 0 };
            seen = now;
        }
        host.detach();
        let _ = thread.join();
        InterpreterLock { wait: seen.filter(|_| looks == SAME_LOOKS) }
    }

    /// What the thread with this number does.
    pub(crate) fn doing(&self, thread_id: i32) -> Doing {
        match wait_of(thread_id) {
            Ok(None) => Doing::Running,
            Ok(Some(wait)) if self.wait.is_some_and(|lock| lock.is_near(wait)) => Doing::AwaitingInterpreter,
            Ok(Some(_)) | Err(()) => Doing::Waiting,
        }
    }
}

impl Wait {
    fn is_near(self, other: Wait) -> bool {
        self.call == other.call && self.address.abs_diff(other.address) < LOCK_BYTES
    }
}

/// The system call that the thread waits in; `None` when it runs.
fn wait_of(thread_id: i32) -> Result<Option<Wait>, ()> {
    let text = std::fs::read(format!("/proc/self/task/{thread_id}/syscall")).map_err(drop)?;
    parse(&text).ok_or(())
}

fn parse(text: &[u8]) -> Option<Option<Wait>> {
    let mut words = std::str::from_utf8(text).ok()?.split_ascii_whitespace();
    let first = words.next()?;
    if first == "running" {
        return Some(None);
    }
    let call = first.parse().ok()?;
    let address = words.next().and_then(|word| u64::from_str_radix(word.strip_prefix("0x")?, 16).ok())?;
    Some(Some(Wait { call, address }))
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;
    use farrier_protocol::host::NoHost;

    /// A runtime with one lock, as CPython has it. It has room on both sides: a futex of something else on the heap, next to
    /// the lock, would be taken for it.
    #[derive(Default)]
    #[repr(C)]
    struct OneLock {
        _before: [[u64; 32]; 4],
        is_held: Mutex<bool>,
        released: Condvar,
        _after: [[u64; 32]; 4],
    }

    impl Host for OneLock {
        fn spawn_seat(&self, _: &str, _: Box<dyn FnOnce() + Send>) -> std::io::Result<()> {
            Ok(())
        }

        fn attach(&self) {
            let mut held = self.is_held.lock().expect("nobody panics");
            while *held {
                held = self.released.wait(held).expect("nobody panics");
            }
            *held = true;
        }

        fn detach(&self) {
            *self.is_held.lock().expect("nobody panics") = false;
            self.released.notify_all();
        }

        fn detached(&self, wait: &mut dyn FnMut()) {
            wait();
        }

        fn probe(&self) {
            self.attach();
            self.detach();
        }

        fn interrupted(&self) {}
    }

    #[test]
    fn the_kernels_answer_is_parsed() {
        assert_eq!(parse(b"running\n"), Some(None));
        let wait = Wait { call: 202, address: 0x7fa5 };
        assert_eq!(parse(b"202 0x7fa5 0x89 0x0 0x7fa55564dae0 0x0 0xffffffff 0x1 0x2\n"), Some(Some(wait)));
        assert_eq!(parse(b"-1 0x7ffc 0x7f00\n"), Some(Some(Wait { call: -1, address: 0x7ffc })));
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn a_wait_for_the_runtime_is_distinguished_from_other_waits() {
        let lock = Arc::new(OneLock::default());
        let host: Arc<dyn Host> = lock;
        let learned = InterpreterLock::learn(&host);
        let own = rustix::thread::gettid().as_raw_nonzero().get();
        if wait_of(own).is_err() {
            return; // The kernel does not tell.
        }
        let look_at = |waits: Box<dyn FnOnce() + Send>, until: Doing| {
            let (tell, told) = mpsc::channel();
            std::thread::spawn(move || {
                tell.send(rustix::thread::gettid().as_raw_nonzero().get()).expect("somebody listens");
                waits();
            });
            let thread_id = told.recv().expect("it tells");
            let deadline = Instant::now() + Duration::from_secs(10);
            while learned.doing(thread_id) != until {
                assert!(Instant::now() < deadline, "{:?} is not {until:?}", learned.doing(thread_id));
                std::thread::yield_now();
            }
        };
        host.attach();
        let theirs = Arc::clone(&host);
        look_at(Box::new(move || theirs.probe()), Doing::AwaitingInterpreter);
        let (keep, end) = mpsc::channel::<()>();
        look_at(Box::new(move || end.recv().unwrap_or_default()), Doing::Waiting);
        drop(keep);
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::clone(&stop);
        let spins = move || while !seen.load(Ordering::Relaxed) {};
        look_at(Box::new(spins), Doing::Running);
        stop.store(true, Ordering::Relaxed);
        host.detach();
    }

    #[test]
    fn a_runtime_without_a_lock_recognises_nothing() {
        let host: Arc<dyn Host> = Arc::new(NoHost);
        assert_eq!(InterpreterLock::learn(&host).wait, None);
    }
}
