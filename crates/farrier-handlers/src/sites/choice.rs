//! A choice as 32 bits, as a request carries it from the question what it occupies to its answer.

/// A site, and what answers there. 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice(u32);

/// What answers at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// The mount of this number.
    Mount(usize),
    /// No mount has the path.
    NotFound,
    /// Two readings of the path lead to two mounts.
    Ambiguous,
    /// No site has the name.
    Misdirected,
    /// The request names no host, and no site serves it all the same.
    Nameless,
    /// The site goes by another name.
    Canonical,
    /// The body is longer than the mount takes.
    BodyTooLarge,
}

/// The highest number of a mount.
const MOUNT_MAX: usize = 0xffef;

impl Choice {
    pub(super) fn new(site: usize, slot: Slot) -> Choice {
        let slot = match slot {
            Slot::Mount(mount) => mount.min(MOUNT_MAX) as u32,
            Slot::NotFound => 0xfff0,
            Slot::Ambiguous => 0xfff1,
            Slot::Misdirected => 0xfff2,
            Slot::Nameless => 0xfff3,
            Slot::Canonical => 0xfff4,
            Slot::BodyTooLarge => 0xfff5,
        };
        Choice((site.min(0xfffe) as u32 + 1) << 16 | slot)
    }

    /// The choice that a request carries, if one was made.
    pub(super) fn of(number: u32) -> Option<Choice> {
        (number != 0).then_some(Choice(number))
    }

    pub(super) fn number(self) -> u32 {
        self.0
    }

    pub(super) fn site(self) -> usize {
        (self.0 >> 16).saturating_sub(1) as usize
    }

    pub(super) fn slot(self) -> Slot {
        match self.0 & 0xffff {
            0xfff0 => Slot::NotFound,
            0xfff1 => Slot::Ambiguous,
            0xfff2 => Slot::Misdirected,
            0xfff3 => Slot::Nameless,
            0xfff4 => Slot::Canonical,
            0xfff5 => Slot::BodyTooLarge,
            mount => Slot::Mount(mount as usize),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_survives_its_number() {
        for site in [0, 1, 9_999] {
            for slot in [Slot::Mount(0), Slot::Mount(9_999), Slot::NotFound, Slot::Misdirected, Slot::BodyTooLarge] {
                let choice = Choice::new(site, slot);
                assert_eq!(Choice::of(choice.number()), Some(choice));
                assert_eq!((choice.site(), choice.slot()), (site, slot));
            }
        }
        assert_eq!(Choice::of(0), None);
    }
}
