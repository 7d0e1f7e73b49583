//! Runs disk operations on a thread of its own, so that no other thread waits for the disk. It opens files that are
//! requested for the first time, reads into memory what is to be sent next, and writes request content that memory does
//! not hold. It never touches the interpreter, and starts when it is first needed.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use farrier_http::DiskLookup;

use super::returns::{Returned, Waiting};
use super::shared::Shared;
use farrier_protocol::h2::stream::StreamLink;
use farrier_transport::file_stretch::ColdStretch;
use farrier_transport::link::Link;
use farrier_transport::reactor::token::Token;
use farrier_transport::spool_file::Spool;

/// A job for the disk thread. A connection or stream has at most one under way, so their limits bound the queue.
pub(crate) enum Load {
    /// What a request needs before it can be answered.
    DiskLookup(Waiting, Box<dyn DiskLookup>),
    /// What a response needs before more of it can be sent.
    Stretch(Token, Arc<Link>, ColdStretch),
    /// The same for one stream of a connection.
    Piece(Token, Arc<StreamLink>, ColdStretch),
    /// Request content that has arrived and belongs in its file.
    Spool(Token, Arc<Spool>),
}

/// The queue of the disk thread, and whether that thread runs.
#[derive(Default)]
pub(crate) struct DiskThread {
    queue: Mutex<Queue>,
    called: Condvar,
}

#[derive(Default)]
struct Queue {
    loads: VecDeque<Load>,
    /// Content to be written. Reads go first, because a client waits for them.
    spools: VecDeque<Load>,
    is_started: bool,
}

impl DiskThread {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Queues a job for the disk thread; its result comes back to the leader through the state.
///
/// # Errors
/// The disk thread does not run and cannot be started: the job is returned.
pub(crate) fn send(shared: &Arc<Shared>, load: Load) -> Result<(), Load> {
    let mut queue = shared.disk.queue();
    if !queue.is_started {
        let theirs = Arc::clone(shared);
        let started = std::thread::Builder::new().name("farrier-disk".into()).spawn(move || run(&theirs));
        if started.is_err() {
            return Err(load);
        }
        queue.is_started = true;
    }
    match load {
        Load::Spool(..) => queue.spools.push_back(load),
        _ => queue.loads.push_back(load),
    }
    drop(queue);
    shared.disk.called.notify_one();
    Ok(())
}

/// Queues content to be written. If that is impossible, the spool reports the error when it is checked. True: check it
/// now.
pub(crate) fn send_spool(shared: &Arc<Shared>, token: Token, spool: Arc<Spool>) -> bool {
    match send(shared, Load::Spool(token, spool)) {
        Err(Load::Spool(_, spool)) => {
            spool.fail(std::io::Error::other("cannot start the thread that writes to the disk"));
            true
        }
        _ => false,
    }
}

/// Runs as long as the process.
fn run(shared: &Arc<Shared>) {
    loop {
        let mut queue = shared.disk.queue();
        let load = loop {
            let load = queue.loads.pop_front();
            match load.or_else(|| queue.spools.pop_front()) {
                Some(load) => break load,
                None => queue = shared.disk.called.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(queue);
        let returned = fetch(load, &shared.rules.spool.directory);
        if shared.scheduler().is_stopping() {
            return;
        }
        shared.give_back(returned);
    }
}

fn fetch(load: Load, spool_directory: &Path) -> Returned {
    match load {
        Load::DiskLookup(mut waiting, lookup) => {
            // After a fault nothing was found; the handler then looks for itself.
            let _ = catch_unwind(AssertUnwindSafe(|| lookup.run(&mut waiting.request)));
            Returned::Ready(waiting)
        }
        Load::Stretch(token, link, cold) => {
            cold.warm();
            link.fetched();
            Returned::Fetched(token)
        }
        Load::Piece(token, stream, cold) => {
            cold.warm();
            stream.fetched();
            Returned::Fetched(token)
        }
        Load::Spool(token, spool) => {
            spool.write(spool_directory);
            Returned::Fetched(token)
        }
    }
}
