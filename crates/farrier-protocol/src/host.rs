//! The interface between the engine and the language runtime that its handlers run in.

use std::io;

/// The runtime behind the handlers (CPython, or nothing in a test). The engine uses nothing else of it.
pub trait Host: Send + Sync {
    /// Starts a seat: a thread that the runtime knows, which runs `seat` and ends.
    ///
    /// # Errors
    /// No thread can be made.
    fn spawn_seat(&self, name: &str, seat: Box<dyn FnOnce() + Send>) -> io::Result<()>;

    /// Attaches the calling seat to the runtime, waiting without a limit. Does nothing if it is attached.
    fn attach(&self);

    /// Detaches the calling seat, so that others can run. Does nothing if it is not attached.
    fn detach(&self);

    /// Runs `wait` detached, and attaches again if the seat was attached before.
    fn detached(&self, wait: &mut dyn FnMut());

    /// Waits until the runtime is available, on a thread that is no seat.
    fn probe(&self);

    /// A signal interrupted a wait on the calling seat: the runtime may have handlers of its own to run.
    fn interrupted(&self);

    /// The runtime's number of the calling thread.
    fn thread_ident(&self) -> u64 {
        0
    }

    /// Describes what the runtime's threads do, for the log: those in `stuck` first and, if `whole`, all others. Called
    /// on a thread that is no seat; waits for the runtime without a limit.
    fn stacks(&self, stuck: &[u64], whole: bool) -> String {
        let _ = (stuck, whole);
        String::new()
    }

    /// Names the request that a thread answers, if that can be found out, for the log. Called on a thread that is no seat;
    /// waits for the runtime without a limit.
    fn request_of(&self, thread: u64) -> Option<String> {
        let _ = thread;
        None
    }

    /// Raises an exception in a thread, so that its call ends. `still` is called at the last moment, to ask whether
    /// that is still wanted. Called on a thread that is no seat; waits for the runtime without a limit.
    fn interrupt(&self, thread: u64, still: &mut dyn FnMut() -> bool) {
        let _ = (thread, still);
    }

    /// Cancels an interruption of the calling thread that has not arrived: the call has ended by itself.
    fn clear_interrupt(&self) {}
}

/// A host without a runtime: plain threads.
pub struct NoHost;

impl Host for NoHost {
    fn spawn_seat(&self, name: &str, seat: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        std::thread::Builder::new().name(name.to_owned()).spawn(seat).map(drop)
    }

    fn attach(&self) {}

    fn detach(&self) {}

    fn detached(&self, wait: &mut dyn FnMut()) {
        wait();
    }

    fn probe(&self) {}

    fn interrupted(&self) {}
}
