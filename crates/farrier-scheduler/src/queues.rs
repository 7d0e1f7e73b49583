//! Requests that wait for a seat, by kind, oldest first.

use std::collections::VecDeque;

use super::routes::Route;

/// A request that waits for a seat.
pub struct Job<T> {
    /// What the seat needs to serve it; the scheduler never looks inside.
    pub work: T,
    /// Its route.
    pub route: Route,
    /// Which queue it waits in.
    pub kind: JobKind,
    /// When it began to wait, in ms.
    pub queued_ms: u64,
}

/// Which queue a job waits in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// Short, but the leader could not take it: served before all others.
    Short,
    /// Perhaps slow: the leader gathers such jobs, hands over the lead and then serves them itself.
    Doubtful,
    /// Slow because it waits for something: each gets a seat of its own.
    Slow,
    /// Slow because it computes: more of them at once than the interpreter can run would delay all requests.
    Computing,
}

/// Which jobs a follower may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Permit {
    pub(super) be_short: bool,
    pub(super) be_slow: bool,
    pub(super) compute: bool,
}

/// Jobs that wait, by kind.
pub(super) struct Queues<T> {
    pub(super) short: VecDeque<Job<T>>,
    pub(super) doubtful: VecDeque<Job<T>>,
    pub(super) slow: VecDeque<Job<T>>,
    pub(super) computing: VecDeque<Job<T>>,
}

impl<T> Queues<T> {
    pub(super) fn new() -> Queues<T> {
        Queues { short: VecDeque::new(), doubtful: VecDeque::new(), slow: VecDeque::new(), computing: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.short.len() + self.doubtful.len() + self.slow.len() + self.computing.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(super) fn push(&mut self, job: Job<T>) {
        match job.kind {
            JobKind::Short => &mut self.short,
            JobKind::Doubtful => &mut self.doubtful,
            JobKind::Slow => &mut self.slow,
            JobKind::Computing => &mut self.computing,
        }
        .push_back(job);
    }

    /// Whether there is a job that [`Queues::pop`] would return.
    pub(super) fn offers(&self, may: Permit) -> bool {
        let slow = !self.doubtful.is_empty() || !self.slow.is_empty() || (may.compute && !self.computing.is_empty());
        (may.be_short && !self.short.is_empty()) || (may.be_slow && slow)
    }

    /// The next job that a seat may take: short ones first.
    pub(super) fn pop(&mut self, may: Permit) -> Option<Job<T>> {
        if may.be_short
            && let Some(job) = self.short.pop_front()
        {
            return Some(job);
        }
        if !may.be_slow {
            return None;
        }
        if let Some(job) = self.doubtful.pop_front() {
            return Some(job);
        }
        // The one that has waited longer, so that neither queue starves.
        let slow = self.slow.front().map(|job| job.queued_ms);
        let computing = self.computing.front().filter(|_| may.compute).map(|job| job.queued_ms);
        match (slow, computing) {
            (Some(slow), Some(computing)) if computing < slow => self.computing.pop_front(),
            (Some(_), _) => self.slow.pop_front(),
            (None, Some(_)) => self.computing.pop_front(),
            (None, None) => None,
        }
    }

    /// The next job that has waited since before `since_ms`.
    pub(super) fn pop_older(&mut self, since_ms: u64) -> Option<Job<T>> {
        [&mut self.short, &mut self.doubtful, &mut self.slow, &mut self.computing].into_iter().find_map(|queue| {
            let is_due = queue.front().is_some_and(|job| job.queued_ms < since_ms);
            if is_due { queue.pop_front() } else { None }
        })
    }

    /// When the oldest job began to wait, in ms.
    pub(super) fn oldest_ms(&self) -> Option<u64> {
        [&self.short, &self.doubtful, &self.slow, &self.computing]
            .into_iter()
            .filter_map(|queue| queue.front().map(|job| job.queued_ms))
            .min()
    }
}
