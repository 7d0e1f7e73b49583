//! A set of an upstream's servers, by their places in its list: choosing one allocates nothing.

/// The most servers of an upstream.
pub(crate) const SERVERS_MAX: usize = 256;

const WORDS: usize = SERVERS_MAX / 64;

/// Places of servers, each once, in order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Members([u64; WORDS]);

impl Members {
    /// Adds a place. One beyond the most servers is left out.
    pub(crate) fn add(&mut self, place: usize) {
        if let Some(word) = self.0.get_mut(place / 64) {
            *word |= 1 << (place % 64);
        }
    }

    /// Whether the place is there.
    pub(crate) fn has(&self, place: usize) -> bool {
        self.0.get(place / 64).is_some_and(|word| word & 1 << (place % 64) != 0)
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Those that are here or there.
    #[must_use]
    pub(crate) fn or(mut self, other: Members) -> Members {
        self.0.iter_mut().zip(other.0).for_each(|(word, its)| *word |= its);
        self
    }

    /// Those that are here and not there.
    #[must_use]
    pub(crate) fn without(mut self, other: Members) -> Members {
        self.0.iter_mut().zip(other.0).for_each(|(word, its)| *word &= !its);
        self
    }

    /// The places in order.
    pub(crate) fn iter(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().enumerate().flat_map(|(at, word)| Bits(word).map(move |bit| at * 64 + bit))
    }

    /// The place with this number among them, counted from 0.
    pub(crate) fn nth(self, number: usize) -> Option<usize> {
        self.iter().nth(number)
    }
}

impl FromIterator<usize> for Members {
    fn from_iter<T: IntoIterator<Item = usize>>(places: T) -> Members {
        let mut members = Members::default();
        places.into_iter().for_each(|place| members.add(place));
        members
    }
}

/// The bits of a word that are set.
struct Bits(u64);

impl Iterator for Bits {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let bit = self.0.trailing_zeros();
        self.0 &= self.0.wrapping_sub(1);
        (bit < 64).then_some(bit as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back_in_order_and_sets_are_compared_by_place() {
        let some: Members = [255, 0, 64, 63, 64, 300].into_iter().collect();
        assert_eq!(some.iter().collect::<Vec<_>>(), [0, 63, 64, 255]);
        assert_eq!((some.len(), some.nth(2), some.nth(4)), (4, Some(64), None));
        assert!(some.has(63) && !some.has(1) && !some.has(300));
        let other: Members = [0, 1].into_iter().collect();
        assert_eq!(some.without(other).iter().collect::<Vec<_>>(), [63, 64, 255]);
        assert_eq!(some.or(other).len(), 5);
        assert!(Members::default().is_empty() && !some.is_empty());
    }
}
