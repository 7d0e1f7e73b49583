//! Repeatable random numbers: SplitMix64, a generator of a few lines that is good enough for choices.

use std::time::Duration;

/// A generator; its sequence is a function of the seed.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from `least` up to and including `most`.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.roll() % (most - least + 1)
    }

    /// True this many times in a thousand.
    pub(crate) fn permille(&mut self, chance: u64) -> bool {
        self.between(1, 1000) <= chance
    }

    /// A time between nothing and `most`.
    pub(crate) fn within(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.between(0, u64::try_from(most.as_micros()).expect("short")))
    }

    pub(crate) fn choose<T: Copy>(&mut self, from: &[T]) -> T {
        let nth = self.between(0, from.len() as u64 - 1);
        from[usize::try_from(nth).expect("small")]
    }
}
