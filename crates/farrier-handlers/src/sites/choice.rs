//! The choice of a site and a mount, packed into 32 bits. A request carries it from `plan` to `handle`.

/// A site, and what answers there. 0 means that no choice was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Choice(u32);

/// What answers at a site.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// The mount with this number.
    Mount(usize),
    /// No mount serves the path.
    NotFound,
    /// The path can be read in two ways, which lead to different mounts.
    Ambiguous,
    /// No site serves the host.
    Misdirected,
    /// The request names no host, and there is no default site.
    Nameless,
    /// The host is not the site's canonical name.
    Canonical,
    /// The body is longer than the mount accepts.
    BodyTooLarge,
}

/// The highest number that a mount can have.
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
    fn a_choice_is_the_same_after_packing() {
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
