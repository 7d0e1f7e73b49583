//! Names what the poller watches: connections by slot and generation, listeners, and the engine's two descriptors.

/// The largest generation; the next one is 0.
pub const GENERATION_MAX: u32 = 0x7fff_ffff;

/// Names a connection by its slot and a generation, which tells it from earlier connections in the same slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

impl Token {
    /// Tokens from here on name something other than a connection.
    const RESERVED: u32 = u32::MAX - 0xffff;

    /// The token of the wake-up descriptor.
    pub const WAKE: Token = Token(u32::MAX as u64);
    /// The token of the control descriptor.
    pub const CONTROL: Token = Token(u32::MAX as u64 - 1);

    /// The token of a listener.
    pub fn listener(index: usize) -> Token {
        Token(u64::from(Token::RESERVED) + index as u64)
    }

    /// The listener's index, if it names one.
    pub fn as_listener(self) -> Option<usize> {
        (self.0 >= u64::from(Token::RESERVED) && self.0 < Token::CONTROL.0)
            .then(|| (self.0 - u64::from(Token::RESERVED)) as usize)
    }

    /// Whether it names a connection.
    pub fn is_connection(self) -> bool {
        !self.is_upstream() && (self.0 < u64::from(Token::RESERVED) || self.0 > u64::from(u32::MAX))
    }

    /// The token of a connection.
    pub fn new(index: usize, generation: u32) -> Token {
        Token(u64::from(generation) << 32 | index as u64)
    }

    /// The token of a connection to another server.
    pub fn upstream(index: usize, generation: u32) -> Token {
        Token(1 << 63 | u64::from(generation & GENERATION_MAX) << 32 | index as u64)
    }

    /// Whether it names a connection to another server.
    pub fn is_upstream(self) -> bool {
        self.0 >> 63 != 0
    }

    /// Its slot.
    pub fn index(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }

    /// Whether it names a later connection of its slot than the one of this generation. Generations wrap around.
    pub fn is_later_than(self, generation: u32) -> bool {
        let ahead = self.generation().wrapping_sub(generation) & GENERATION_MAX;
        ahead != 0 && ahead <= GENERATION_MAX / 2
    }

    /// Tells it from earlier connections in the same slot.
    pub fn generation(self) -> u32 {
        (self.0 >> 32) as u32 & GENERATION_MAX
    }
}
