//! CPython as the engine's host: seats are Python threads.

use std::io;

use farrier_server::Host;
use farrier_wsgi::seam;

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
}
