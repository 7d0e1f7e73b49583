//! The main loop of the process: handles each certificate in turn, sleeps until the next is due, and ends with the
//! arbiter.

use std::future::{Future, poll_fn};
use std::os::fd::OwnedFd;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, SystemTime};

use tokio::net::unix::pipe::Receiver;

use crate::challenge::sweep;
use crate::connection::Connection;
use crate::keeper::{Keeper, Surroundings};
use crate::settings::{Challenge, Settings};
use crate::state::State;
use crate::{IsPublished, Level, Say};

/// The longest sleep: the system clock may be set, so it is read once in a while.
const NAP_MAX: Duration = Duration::from_secs(600);

/// The shortest sleep, so that a mistake does not become a busy loop.
const NAP_MIN: Duration = Duration::from_millis(100);

/// The exit code of errors that no retry solves: wrong settings, or no descriptors.
const EXIT_UNABLE: i32 = 1;

/// Runs until the other end of `alive` is closed, and returns the exit code.
///
/// # Arguments
///
/// `alive` is the reading end of a pipe into which nobody writes.
pub fn run(settings: &Settings, alive: OwnedFd, say: &Say<'_>, is_published: &IsPublished<'_>) -> i32 {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(Level::Error, &format!("ACME: no runtime: {error}"));
            return EXIT_UNABLE;
        }
    };
    let code = runtime.block_on(async {
        let alive = match Receiver::from_owned_fd(alive) {
            Ok(alive) => alive,
            Err(error) => {
                say(Level::Error, &format!("ACME: the arbiter cannot be watched: {error}"));
                return EXIT_UNABLE;
            }
        };
        let mut gone = pin!(alive.readable());
        let mut keeping = pin!(keep(settings, say, is_published));
        poll_fn(|context| match gone.as_mut().poll(context) {
            Poll::Ready(_) => Poll::Ready(0),
            Poll::Pending => keeping.as_mut().poll(context),
        })
        .await
    });
    // A name lookup may still be waiting on a thread.
    runtime.shutdown_background();
    code
}

/// Keeps the certificates valid; returns only if it cannot start.
async fn keep(settings: &Settings, say: &Say<'_>, is_published: &IsPublished<'_>) -> i32 {
    let connection = match Connection::new(settings.ca_certs.as_deref()) {
        Ok(connection) => connection,
        Err(reason) => {
            say(Level::Error, &format!("acme_ca_certs: {reason}"));
            return EXIT_UNABLE;
        }
    };
    let state = State::at(&settings.state);
    let surroundings = Surroundings { settings, state: &state, connection: &connection, say, is_published };
    let mut keepers: Vec<Keeper<'_>> =
        settings.certificates.iter().map(|names| Keeper::new(&surroundings, names)).collect();
    // Tokens of a predecessor that was killed are the only files whose names nobody else knows.
    sweep_old_tokens(&state);
    loop {
        let mut next = SystemTime::now() + NAP_MAX;
        for keeper in &mut keepers {
            next = next.min(keeper.tend().await);
        }
        let nap = next.duration_since(SystemTime::now()).unwrap_or_default().clamp(NAP_MIN, NAP_MAX);
        tokio::time::sleep(nap).await;
    }
}

/// An answer that is an hour old is not needed: orders take minutes.
fn sweep_old_tokens(state: &State) {
    let directory = state.challenges(Challenge::Http01);
    let hour = Duration::from_secs(3_600);
    sweep(state, Challenge::Http01, |name| {
        let written = directory.join(name).symlink_metadata().and_then(|found| found.modified());
        written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > hour))
    });
}
