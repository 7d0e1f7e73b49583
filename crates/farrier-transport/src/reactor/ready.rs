//! The queue of descriptors that something is to be done for. A descriptor stands in it once: what happens meanwhile is
//! added to its entry. Otherwise a connection that sends without pause would get one more turn a round for each event.

use std::collections::VecDeque;

use super::poller::Readiness;
use super::token::Token;

/// What was noted for a slot.
#[derive(Clone, Copy)]
struct Noted {
    generation: u32,
    readiness: Option<Readiness>,
}

/// Tokens in the order in which their turns come, and what happened to each.
#[derive(Default)]
pub struct ReadyQueue {
    order: VecDeque<Token>,
    /// By slot.
    noted: Vec<Noted>,
    /// What happened to the tokens that name no connection: the poller reports each once a round.
    others: VecDeque<Readiness>,
}

impl ReadyQueue {
    /// Number of entries.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Adds an event: at the end, or to the entry that the token has already.
    pub fn push(&mut self, token: Token, readiness: Readiness) {
        if !token.is_connection() {
            self.others.push_back(readiness);
            self.order.push_back(token);
            return;
        }
        let index = token.index();
        if index >= self.noted.len() {
            self.noted.resize(index + 1, Noted { generation: 0, readiness: None });
        }
        let noted = &mut self.noted[index];
        if noted.generation == token.generation()
            && let Some(earlier) = &mut noted.readiness
        {
            *earlier = earlier.and(readiness);
            return;
        }
        if noted.readiness.is_some() && !token.is_later_than(noted.generation) {
            // Something was done for a connection that is gone, and its slot has another one.
            return;
        }
        // An entry of an earlier connection in the slot is skipped when its turn comes.
        *noted = Noted { generation: token.generation(), readiness: Some(readiness) };
        self.order.push_back(token);
    }

    /// Adds an event of a token that names no connection before all others.
    pub fn push_first(&mut self, token: Token, readiness: Readiness) {
        debug_assert!(!token.is_connection(), "connections have their turns in order");
        self.others.push_front(readiness);
        self.order.push_front(token);
    }

    /// Removes the first entry.
    pub fn pop(&mut self) -> Option<(Token, Readiness)> {
        loop {
            let token = self.order.pop_front()?;
            if !token.is_connection() {
                return Some((token, self.others.pop_front()?));
            }
            let noted = self.noted.get_mut(token.index());
            if let Some(noted) = noted.filter(|noted| noted.generation == token.generation())
                && let Some(readiness) = noted.readiness.take()
            {
                return Some((token, readiness));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_has_one_turn_a_round_however_many_events_come() {
        let mut queue = ReadyQueue::default();
        let (busy, neighbour) = (Token::new(3, 7), Token::new(0, 0));
        for _ in 0..100 {
            queue.push(busy, Readiness::READABLE);
        }
        queue.push(neighbour, Readiness::READABLE);
        queue.push(busy, Readiness { ended: true, ..Readiness::WRITABLE });
        assert_eq!(queue.len(), 2);
        let all = Readiness { readable: true, writable: true, ended: true, hung_up: false };
        assert_eq!(queue.pop(), Some((busy, all)));
        queue.push(busy, Readiness::READABLE);
        assert_eq!(queue.pop(), Some((neighbour, Readiness::READABLE)));
        assert_eq!(queue.pop(), Some((busy, Readiness::READABLE)));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn events_of_a_connection_that_is_gone_do_not_reach_its_successor() {
        let mut queue = ReadyQueue::default();
        let (gone, successor) = (Token::new(1, 4), Token::new(1, 5));
        queue.push(gone, Readiness { hung_up: true, ..Readiness::READABLE });
        queue.push(successor, Readiness::WRITABLE);
        queue.push(gone, Readiness::READABLE);
        assert_eq!(queue.pop(), Some((successor, Readiness::WRITABLE)));
        assert_eq!(queue.pop(), None);
    }

    #[test]
    fn the_control_descriptor_comes_first_and_listeners_in_their_order() {
        let mut queue = ReadyQueue::default();
        queue.push(Token::listener(1), Readiness::READABLE);
        queue.push(Token::WAKE, Readiness::WRITABLE);
        queue.push_first(Token::CONTROL, Readiness { ended: true, ..Readiness::READABLE });
        let control = Readiness { ended: true, ..Readiness::READABLE };
        assert_eq!(queue.pop(), Some((Token::CONTROL, control)));
        assert_eq!(queue.pop(), Some((Token::listener(1), Readiness::READABLE)));
        assert_eq!(queue.pop(), Some((Token::WAKE, Readiness::WRITABLE)));
        assert!(queue.is_empty());
    }
}
