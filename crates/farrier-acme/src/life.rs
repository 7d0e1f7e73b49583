//! The process's life: look after each certificate in turn, sleep until the next is due, end with the arbiter.

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

/// The clock on the wall may be set: it is looked at once in a while, whatever is due.
const NAP_MAX: Duration = Duration::from_secs(600);

/// Between two looks in any case, so that a mistake does not become a busy loop.
const NAP_MIN: Duration = Duration::from_millis(100);

/// Exit code for what does not mend itself: the settings are wrong, or there are no descriptors.
const EXIT_UNABLE: i32 = 1;

/// Lives until the other end of `alive` is closed, and gives the exit code.
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
    // A look-up of a name may still be waiting on a thread.
    runtime.shutdown_background();
    code
}

/// Keeps the certificates; ends only when it cannot even begin.
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
    // Tokens of a predecessor that was killed: theirs are the only files that nobody else knows the name of.
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

/// An answer that has been there for an hour answers nobody: orders take minutes.
fn sweep_old_tokens(state: &State) {
    let directory = state.challenges(Challenge::Http01);
    let hour = Duration::from_secs(3_600);
    sweep(state, Challenge::Http01, |name| {
        let written = directory.join(name).symlink_metadata().and_then(|found| found.modified());
        written.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > hour))
    });
}
