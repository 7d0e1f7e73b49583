//! The requests that wait because all servers are busy.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// The requests that wait, in order.
#[derive(Default)]
pub(super) struct Queue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    waiting: VecDeque<(u64, Waker)>,
    next: u64,
}

/// A request's place among those that wait. Dropped, the place is free.
pub struct QueuePlace {
    queue: Arc<Queue>,
    number: u64,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a request wait. `None`: so many wait already.
    pub(super) fn wait(self: &Arc<Self>, waker: Waker, most: usize) -> Option<QueuePlace> {
        let mut queue = self.lock();
        if queue.waiting.len() >= most {
            return None;
        }
        let number = queue.next;
        queue.next += 1;
        queue.waiting.push_back((number, waker));
        Some(QueuePlace { queue: Arc::clone(self), number })
    }

    /// A server has room again: the next request that waits may try.
    pub(super) fn wake_next(&self) {
        let next = self.lock().waiting.pop_front();
        if let Some((_, waker)) = next {
            waker.wake();
        }
    }

    /// There are other servers, or one is well again: all may try.
    pub(super) fn wake_all(&self) {
        let all = std::mem::take(&mut self.lock().waiting);
        all.into_iter().for_each(|(_, waker)| waker.wake());
    }
}

impl QueuePlace {
    /// Waits on at its place, if it was called and another request has taken the room before it, or the room is not where it
    /// must go. `passes_on`: then the next one behind it may have use for the room.
    pub(crate) fn wait_on(&self, waker: Waker, passes_on: bool) {
        let mut queue = self.queue.lock();
        let place = queue.waiting.partition_point(|(number, _)| *number < self.number);
        if queue.waiting.get(place).is_some_and(|(number, _)| *number == self.number) {
            return;
        }
        queue.waiting.insert(place, (self.number, waker));
        let next = if passes_on { queue.waiting.remove(place + 1) } else { None };
        drop(queue);
        if let Some((_, waker)) = next {
            waker.wake();
        }
    }
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        let mut queue = self.queue.lock();
        let before = queue.waiting.len();
        queue.waiting.retain(|(number, _)| *number != self.number);
        if queue.waiting.len() == before {
            // It was called already. Another one takes the room if this one does not.
            drop(queue);
            self.queue.wake_next();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    struct Calls(AtomicUsize);

    impl Wake for Calls {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn caller() -> (Arc<Calls>, Waker) {
        let calls = Arc::new(Calls(AtomicUsize::new(0)));
        (Arc::clone(&calls), Waker::from(calls))
    }

    fn calls(of: &[&Arc<Calls>]) -> Vec<usize> {
        of.iter().map(|each| each.0.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn a_request_that_is_called_too_late_is_called_again() {
        // Its place in the queue was lost with the call, so it waited until `queue_timeout` and was answered with 503.
        let queue = Arc::new(Queue::default());
        let ((late, waker), (next, other)) = (caller(), caller());
        let place = queue.wait(waker.clone(), 2);
        let _other = queue.wait(other, 2);
        queue.wake_next();
        assert_eq!(calls(&[&late, &next]), [1, 0]);
        if let Some(place) = &place {
            place.wait_on(waker.clone(), false);
            place.wait_on(waker, false);
        }
        queue.wake_next();
        assert_eq!(calls(&[&late, &next]), [2, 0]);
        queue.wake_next();
        assert_eq!(calls(&[&late, &next]), [2, 1]);
        drop(place);
    }

    #[test]
    fn requests_that_are_all_called_wait_on_in_their_order() {
        let queue = Arc::new(Queue::default());
        let ((first, one), (second, two)) = (caller(), caller());
        let places = [queue.wait(one.clone(), 2), queue.wait(two.clone(), 2)];
        assert!(queue.wait(one.clone(), 2).is_none(), "the queue is full");
        queue.wake_all();
        let [Some(a), Some(b)] = &places else { return };
        b.wait_on(two, false);
        a.wait_on(one, false);
        queue.wake_next();
        assert_eq!(calls(&[&first, &second]), [2, 1]);
    }

    #[test]
    fn a_request_that_cannot_use_the_room_passes_it_on() {
        // The client of the first is bound to a server that is full; the second would have waited for nothing.
        let queue = Arc::new(Queue::default());
        let ((_, one), (second, two), (third, three)) = (caller(), caller(), caller());
        let places = [one.clone(), two, three].map(|waker| queue.wait(waker, 3));
        queue.wake_next();
        let [Some(first), ..] = &places else { return };
        first.wait_on(one, true);
        assert_eq!(calls(&[&second, &third]), [1, 0]);
    }
}
