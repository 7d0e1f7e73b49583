//! The connections of a worker by token. Only the leader touches them.

use std::sync::Arc;

use crate::connection::Connection;
use crate::transport::Link;

/// Names a connection: its place, and a generation so that an event for its predecessor is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Token(pub(crate) u64);

impl Token {
    /// Tokens from here on name something other than a connection.
    const RESERVED: u32 = u32::MAX - 0xffff;

    /// The token of the wake-up descriptor.
    pub(crate) const WAKE: Token = Token(u32::MAX as u64);
    /// The token of the control descriptor.
    pub(crate) const CONTROL: Token = Token(u32::MAX as u64 - 1);

    /// The token of a listener.
    pub(crate) fn listener(index: usize) -> Token {
        Token(u64::from(Token::RESERVED) + index as u64)
    }

    /// The listener's index, if it names one.
    pub(crate) fn as_listener(self) -> Option<usize> {
        (self.0 >= u64::from(Token::RESERVED) && self.0 < Token::CONTROL.0)
            .then(|| (self.0 - u64::from(Token::RESERVED)) as usize)
    }

    fn new(index: usize, generation: u32) -> Token {
        Token(u64::from(generation) << 32 | index as u64)
    }

    fn index(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }

    fn generation(self) -> u32 {
        (self.0 >> 32) as u32
    }
}

enum Place {
    Free,
    /// The connection waits for something.
    Parked(Box<Connection>),
    /// A seat owns the connection; the link stays for flushing and for marking events that came meanwhile.
    Busy(Arc<Link>),
}

struct Slot {
    generation: u32,
    place: Place,
}

/// What the leader finds at a token.
pub(crate) enum Found {
    /// The connection; its slot is busy now.
    Connection(Box<Connection>),
    /// A seat owns it.
    Busy(Arc<Link>),
    /// It is gone.
    Nothing,
}

/// The connections of a worker.
#[derive(Default)]
pub(crate) struct Slots {
    slots: Vec<Slot>,
    free: Vec<u32>,
    open: usize,
}

impl Slots {
    /// Number of connections that are open.
    pub(crate) fn open(&self) -> usize {
        self.open
    }

    /// A token for a connection to come; [`Slots::park`] puts it there.
    pub(crate) fn reserve(&mut self, link: Arc<Link>) -> Token {
        self.open += 1;
        let place = Place::Busy(link);
        match self.free.pop() {
            Some(index) => {
                let slot = &mut self.slots[index as usize];
                slot.place = place;
                Token::new(index as usize, slot.generation)
            }
            None => {
                self.slots.push(Slot { generation: 0, place });
                Token::new(self.slots.len() - 1, 0)
            }
        }
    }

    /// Takes the connection out, leaving its slot busy.
    pub(crate) fn take(&mut self, token: Token) -> Found {
        let Some(slot) = self.slot(token) else { return Found::Nothing };
        match &slot.place {
            Place::Free => Found::Nothing,
            Place::Busy(link) => Found::Busy(Arc::clone(link)),
            Place::Parked(connection) => {
                let busy = Place::Busy(Arc::clone(&connection.link));
                match std::mem::replace(&mut slot.place, busy) {
                    Place::Parked(connection) => Found::Connection(connection),
                    _ => Found::Nothing,
                }
            }
        }
    }

    /// The connection at a token, where it is.
    pub(crate) fn parked_at(&mut self, token: Token) -> Option<&mut Connection> {
        match &mut self.slot(token)?.place {
            Place::Parked(connection) => Some(connection),
            Place::Free | Place::Busy(_) => None,
        }
    }

    /// Puts the connection back.
    pub(crate) fn park(&mut self, connection: Box<Connection>) {
        if let Some(slot) = self.slot(connection.token) {
            slot.place = Place::Parked(connection);
        }
    }

    /// Forgets the connection.
    pub(crate) fn release(&mut self, token: Token) {
        if let Some(slot) = self.slot(token) {
            if matches!(slot.place, Place::Free) {
                return;
            }
            slot.place = Place::Free;
            slot.generation = slot.generation.wrapping_add(1) & 0x7fff_ffff;
            self.free.push(token.index() as u32);
            self.open -= 1;
        }
    }

    /// Tokens of all parked connections.
    pub(crate) fn parked(&self) -> Vec<Token> {
        self.slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| matches!(slot.place, Place::Parked(_)))
            .map(|(index, slot)| Token::new(index, slot.generation))
            .collect()
    }

    fn slot(&mut self, token: Token) -> Option<&mut Slot> {
        self.slots.get_mut(token.index()).filter(|slot| slot.generation == token.generation())
    }
}
