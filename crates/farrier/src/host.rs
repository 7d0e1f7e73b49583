//! CPython as the engine's host: seats are Python threads.

use std::io;

use farrier_protocol::host::Host;
use farrier_wsgi::{overdue, seam};

/// The host behind WSGI applications.
pub(crate) struct Interpreter;

impl Host for Interpreter {
    fn spawn_seat(&self, name: &str, seat: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        seam::spawn(name, seat)
    }

    fn attach(&self) {
        seam::attach();
    }

    fn detach(&self) {
        seam::detach();
    }

    fn detached(&self, wait: &mut dyn FnMut()) {
        seam::detached(wait);
    }

    fn probe(&self) {
        seam::probe();
    }

    fn interrupted(&self) {
        seam::run_signal_handlers();
    }

    fn thread_ident(&self) -> u64 {
        seam::thread_ident()
    }

    fn stacks(&self, stuck: &[u64], whole: bool) -> String {
        overdue::stacks(stuck, whole)
    }

    fn request_of(&self, thread: u64) -> Option<String> {
        overdue::request_of(thread)
    }

    fn interrupt(&self, thread: u64, still: &mut dyn FnMut() -> bool) {
        overdue::interrupt(thread, still);
    }

    fn clear_interrupt(&self) {
        overdue::clear_interrupt();
    }
}
