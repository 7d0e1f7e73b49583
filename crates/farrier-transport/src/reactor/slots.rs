//! The connections of a worker by token. Only the leader touches them.

use std::sync::Arc;

use super::timers::NEVER_MS;
use super::token::{GENERATION_MAX, Token};

/// What a slot holds: something with a token, and a link that other threads may use while a seat owns it.
pub trait Endpoint {
    /// What stays in the slot while a seat owns the rest.
    type Link;

    /// Its token.
    fn token(&self) -> Token;

    /// Its link.
    fn link(&self) -> &Arc<Self::Link>;
}

enum Place<E: Endpoint> {
    Free,
    /// The connection waits for something.
    Parked(Box<E>),
    /// A seat owns the connection; the link stays for flushing and for marking events that came meanwhile.
    Busy(Arc<E::Link>),
}

struct Slot<E: Endpoint> {
    generation: u32,
    place: Place<E>,
    /// When the timers will check the connection, in ms.
    looked_at_ms: u64,
}

/// The result of looking up a token.
pub enum Found<E: Endpoint> {
    /// The connection; its slot is busy now.
    Connection(Box<E>),
    /// A seat owns it.
    Busy(Arc<E::Link>),
    /// It is gone.
    Nothing,
}

/// The connections of a worker.
pub struct Slots<E: Endpoint> {
    slots: Vec<Slot<E>>,
    free: Vec<u32>,
    open: usize,
}

impl<E: Endpoint> Default for Slots<E> {
    fn default() -> Self {
        Slots { slots: Vec::new(), free: Vec::new(), open: 0 }
    }
}

impl<E: Endpoint> Slots<E> {
    /// Number of connections that are open.
    pub fn open(&self) -> usize {
        self.open
    }

    /// A token for a new connection; [`Slots::park`] stores the connection there.
    pub fn reserve(&mut self, link: Arc<E::Link>) -> Token {
        self.open += 1;
        let place = Place::Busy(link);
        match self.free.pop() {
            Some(index) => {
                let slot = &mut self.slots[index as usize];
                slot.place = place;
                Token::new(index as usize, slot.generation)
            }
            None => {
                self.slots.push(Slot { generation: 0, place, looked_at_ms: NEVER_MS });
                Token::new(self.slots.len() - 1, 0)
            }
        }
    }

    /// Takes the connection out, leaving its slot busy.
    pub fn take(&mut self, token: Token) -> Found<E> {
        let Some(slot) = self.slot(token) else { return Found::Nothing };
        match &slot.place {
            Place::Free => Found::Nothing,
            Place::Busy(link) => Found::Busy(Arc::clone(link)),
            Place::Parked(connection) => {
                let busy = Place::Busy(Arc::clone(connection.link()));
                match std::mem::replace(&mut slot.place, busy) {
                    Place::Parked(connection) => Found::Connection(connection),
                    _ => Found::Nothing,
                }
            }
        }
    }

    /// The connection at a token, where it is.
    pub fn parked_at(&mut self, token: Token) -> Option<&mut E> {
        match &mut self.slot(token)?.place {
            Place::Parked(connection) => Some(connection),
            Place::Free | Place::Busy(_) => None,
        }
    }

    /// Puts the connection back.
    pub fn park(&mut self, connection: Box<E>) {
        if let Some(slot) = self.slot(connection.token()) {
            slot.place = Place::Parked(connection);
        }
    }

    /// When the timers will check the connection, in ms: for them to read and set.
    pub fn looked_at_ms(&mut self, token: Token) -> Option<&mut u64> {
        Some(&mut self.slot(token)?.looked_at_ms)
    }

    /// Removes the connection. Its timer entry must be gone already.
    pub fn release(&mut self, token: Token) {
        if let Some(slot) = self.slot(token) {
            if matches!(slot.place, Place::Free) {
                return;
            }
            slot.place = Place::Free;
            slot.looked_at_ms = NEVER_MS;
            slot.generation = slot.generation.wrapping_add(1) & GENERATION_MAX;
            self.free.push(token.index() as u32);
            self.open -= 1;
        }
    }

    /// How many of the parked connections are of a kind.
    pub fn count_parked(&self, is_of_kind: impl Fn(&E) -> bool) -> usize {
        let is_counted = |slot: &&Slot<E>| matches!(&slot.place, Place::Parked(connection) if is_of_kind(connection));
        self.slots.iter().filter(is_counted).count()
    }

    /// Tokens of all parked connections.
    pub fn parked(&self) -> Vec<Token> {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| matches!(slot.place, Place::Parked(_)))
            .map(|(index, slot)| Token::new(index, slot.generation))
            .collect()
    }

    fn slot(&mut self, token: Token) -> Option<&mut Slot<E>> {
        self.slots.get_mut(token.index()).filter(|slot| slot.generation == token.generation())
    }
}
