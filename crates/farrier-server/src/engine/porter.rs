//! Waits for the disk on a thread of its own, so that nobody else has to: opens files that are asked for the first time, and
//! brings into memory what is to be sent next. It never touches the interpreter, and starts when it is first needed.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::desk::{Returned, Waiting};
use super::shared::Shared;
use super::slots::Token;
use crate::file_stretch::ColdStretch;
use crate::front::h2::stream::StreamLink;
use crate::transport::Link;

/// What the porter is sent for. A connection or stream has at most one of them under way, so their bounds are the queue's.
pub(crate) enum Load {
    /// What a request needs before it can be answered.
    Errand(Waiting),
    /// What a response needs before more of it can be written.
    Stretch(Token, Arc<Link>, ColdStretch),
    /// The same for one stream of a connection.
    Piece(Token, Arc<StreamLink>, ColdStretch),
}

/// The porter's queue, and whether there is a porter.
#[derive(Default)]
pub(crate) struct Porter {
    queue: Mutex<Queue>,
    called: Condvar,
}

#[derive(Default)]
struct Queue {
    loads: VecDeque<Load>,
    has_porter: bool,
}

impl Porter {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends for something; it comes back to the leader through the desk.
///
/// # Errors
/// There is no porter and none can be started: the load comes back.
pub(crate) fn send(shared: &Arc<Shared>, load: Load) -> Result<(), Load> {
    let mut queue = shared.porter.queue();
    if !queue.has_porter {
        let theirs = Arc::clone(shared);
        let started = std::thread::Builder::new().name("farrier-porter".into()).spawn(move || run(&theirs));
        if started.is_err() {
            return Err(load);
        }
        queue.has_porter = true;
    }
    queue.loads.push_back(load);
    drop(queue);
    shared.porter.called.notify_one();
    Ok(())
}

/// Runs as long as the process.
fn run(shared: &Arc<Shared>) {
    loop {
        let mut queue = shared.porter.queue();
        let load = loop {
            match queue.loads.pop_front() {
                Some(load) => break load,
                None => queue = shared.porter.called.wait(queue).unwrap_or_else(PoisonError::into_inner),
            }
        };
        drop(queue);
        let returned = fetch(load);
        let mut desk = shared.desk();
        if desk.stopping {
            return;
        }
        desk.returns.push(returned);
        drop(desk);
        shared.wake_leader();
    }
}

fn fetch(load: Load) -> Returned {
    match load {
        Load::Errand(mut waiting) => {
            if let Some(errand) = waiting.request.errand.take() {
                // A fault leaves nothing found; the handler then looks for itself.
                let _ = catch_unwind(AssertUnwindSafe(|| errand.run(&mut waiting.request)));
            }
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
    }
}
