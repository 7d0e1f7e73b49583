//! The end of a worker whose arbiter has died: at `graceful_timeout` at the latest, whatever its calls do.
//!
//! The engine drains as after `TERM`, and closes its listeners at once. An arbiter would kill what is left after the
//! time-out; here a thread does so. It waits for a pipe and a clock, so neither the interpreter nor a seat can stop it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use farrier_config::Config;
use farrier_log::error::{ErrorLog, Level};
use farrier_supervisor::{WorkerLink, process};

/// The exit code of a worker that was cut off, as of a process that was killed (128 + SIGKILL).
const EXIT_CUT_OFF: i32 = 137;

/// Starts the thread.
///
/// # Errors
/// No thread can be started.
pub(crate) fn watch(config: &Config, link: &Arc<WorkerLink>, log: &Arc<ErrorLog>) -> io::Result<()> {
    let (link, log, patience) = (Arc::clone(link), Arc::clone(log), config.graceful_timeout);
    std::thread::Builder::new().name("farrier-orphan".into()).spawn(move || outlive(&link, &log, patience))?;
    Ok(())
}

fn outlive(link: &WorkerLink, log: &ErrorLog, patience: Duration) {
    if !link.outlives_the_arbiter() {
        return;
    }
    let (pid, seconds) = (process::own_pid(), patience.as_secs_f64());
    log.write(
        Level::Critical,
        &format!("The arbiter has died. Worker (pid: {pid}) accepts no more, and ends within {seconds} s"),
    );
    std::thread::sleep(patience);
    log.write(
        Level::Error,
        &format!("Worker (pid: {pid}) has not finished within {seconds} s (see graceful_timeout) and ends now"),
    );
    log.flush();
    process::exit_now(EXIT_CUT_OFF)
}
