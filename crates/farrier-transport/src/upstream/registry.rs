//! Names upstream connections for the poller, and holds what happened on each until its owner looks.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::reactor::poller::Readiness;
use crate::reactor::token::{GENERATION_MAX, Token};

/// No client's connection uses it.
const NOBODY: u64 = u64::MAX;

/// Something to read, or the end.
const READABLE: u8 = 1;
/// Room to write.
const WRITABLE: u8 = 2;
/// The server sends no more after what is there.
const ENDED: u8 = 4;
/// An error is pending, or both directions are closed.
const HUNG_UP: u8 = 8;
/// Something happened since the owner was told.
const NEWS: u8 = 16;

/// What happened on one connection. Set by the leader; read by whoever owns the connection, which the leader steps.
#[derive(Debug)]
pub struct Signal {
    bits: AtomicU8,
    /// The token of the client's connection.
    owner: AtomicU64,
}

impl Signal {
    pub(super) fn new() -> Signal {
        Signal { bits: AtomicU8::new(0), owner: AtomicU64::new(NOBODY) }
    }

    /// Whether something happened since the last call.
    pub fn take_news(&self) -> bool {
        self.has(NEWS) && self.bits.fetch_and(!NEWS, Ordering::Relaxed) & NEWS != 0
    }

    pub(super) fn own(&self, owner: Option<Token>) {
        self.owner.store(owner.map_or(NOBODY, |token| token.0), Ordering::Relaxed);
    }

    fn owner(&self) -> Option<Token> {
        Some(self.owner.load(Ordering::Relaxed)).filter(|&owner| owner != NOBODY).map(Token)
    }

    fn has(&self, bits: u8) -> bool {
        self.bits.load(Ordering::Relaxed) & bits != 0
    }

    fn note(&self, readiness: Readiness) {
        let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let bits = bit(readiness.readable, READABLE)
            | bit(readiness.writable, WRITABLE)
            | bit(readiness.ended, ENDED)
            | bit(readiness.hung_up, HUNG_UP);
        self.bits.fetch_or(bits | NEWS, Ordering::Relaxed);
    }

    /// A read may find something.
    pub(super) fn is_readable(&self) -> bool {
        self.has(READABLE)
    }

    /// A read has emptied the socket. The end, if it is near, is still to be read.
    pub(super) fn emptied(&self) {
        if !self.has(ENDED) {
            self.bits.fetch_and(!READABLE, Ordering::Relaxed);
        }
    }

    pub(super) fn is_writable(&self) -> bool {
        self.has(WRITABLE | HUNG_UP)
    }

    pub(super) fn filled(&self) {
        self.bits.fetch_and(!WRITABLE, Ordering::Relaxed);
    }

    /// Something can be read, and it is not the end.
    pub(super) fn may_be_tickets(&self) -> bool {
        self.has(READABLE) && !self.has(ENDED | HUNG_UP)
    }

    /// Nothing has happened yet that forbids another request.
    pub(super) fn is_quiet(&self) -> bool {
        !self.has(READABLE | ENDED | HUNG_UP)
    }
}

/// Whom an event concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// The exchange of this client's connection.
    To(Token),
    /// An idle connection: it is of no use any more.
    Idle,
    /// A connection that is gone.
    Nothing,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    signal: Option<Arc<Signal>>,
}

/// The upstream connections of a worker by token.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Slots>);

#[derive(Debug, Default)]
struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, signal: Arc<Signal>) -> Token {
        let mut slots = self.lock();
        match slots.free.pop() {
            Some(index) => {
                let slot = &mut slots.slots[index as usize];
                slot.signal = Some(signal);
                Token::upstream(index as usize, slot.generation)
            }
            None => {
                slots.slots.push(Slot { generation: 0, signal: Some(signal) });
                Token::upstream(slots.slots.len() - 1, 0)
            }
        }
    }

    pub(super) fn remove(&self, token: Token) {
        let mut slots = self.lock();
        let Some(slot) = slots.slots.get_mut(token.index()) else { return };
        if slot.generation == token.generation() && slot.signal.take().is_some() {
            slot.generation = (slot.generation + 1) & GENERATION_MAX;
            slots.free.push(token.index() as u32);
        }
    }

    pub(super) fn note(&self, token: Token, readiness: Readiness) -> Happened {
        let slots = self.lock();
        let slot = slots.slots.get(token.index()).filter(|slot| slot.generation == token.generation());
        let Some(signal) = slot.and_then(|slot| slot.signal.as_ref()) else { return Happened::Nothing };
        signal.note(readiness);
        signal.owner().map_or(Happened::Idle, Happened::To)
    }

    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        let slots = self.lock();
        slots.slots.len() - slots.free.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_reaches_the_owner_and_no_successor_of_the_connection() {
        let registry = Registry::default();
        let (signal, client) = (Arc::new(Signal::new()), Token::new(5, 3));
        let token = registry.add(Arc::clone(&signal));
        assert!(token.is_upstream() && !token.is_connection());
        assert_eq!(registry.note(token, Readiness::WRITABLE), Happened::Idle);
        signal.own(Some(client));
        assert_eq!(registry.note(token, Readiness::READABLE), Happened::To(client));
        assert!(signal.take_news() && !signal.take_news());
        assert!(signal.is_readable() && signal.is_writable());
        registry.remove(token);
        let successor = registry.add(Arc::new(Signal::new()));
        assert_eq!(registry.note(token, Readiness::READABLE), Happened::Nothing);
        assert_eq!((token.index(), registry.open()), (successor.index(), 1));
    }

    #[test]
    fn the_end_is_read_even_if_the_socket_was_emptied_before() {
        let signal = Signal::new();
        signal.note(Readiness { ended: true, ..Readiness::READABLE });
        signal.emptied();
        assert!(signal.is_readable() && !signal.is_quiet());
    }
}
