//! What a server's agent says of it: one line a connection, as HAProxy's `agent-check` reads it.
//!
//! The words are `up`, `down`, `fail`, `failed`, `stopped`, `drain`, `maint`, `ready`, a weight in percent (`50%`) and a bound of
//! requests (`maxconn:30`). Unknown words are ignored, and so is what follows a `#`.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of a line at most.
pub const LINE_BYTES_MAX: usize = 256;

/// What an operator wants of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Mode {
    /// It is asked.
    #[default]
    Ready,
    /// It gets no new requests.
    Drains,
    /// It is taken out.
    Maintenance,
    /// It is not well.
    Down,
}

/// What an agent has said last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Told {
    /// Whether it is asked.
    pub mode: Mode,
    /// Its weight, in percent of the configuration's, above 0.
    pub percent: Option<u8>,
    /// Requests that it has at most; 0 is no bound.
    pub max_requests: u32,
}

impl Told {
    /// What a word holds.
    pub fn of(word: &AtomicU64) -> Told {
        let bits = word.load(Ordering::Acquire);
        let mode = [Mode::Ready, Mode::Drains, Mode::Maintenance, Mode::Down][(bits & 3) as usize];
        let percent = Some((bits >> 2 & 0x7f) as u8).filter(|&percent| percent > 0);
        Told { mode, percent, max_requests: (bits >> 32) as u32 }
    }

    /// Writes it into a word. What was there before.
    pub fn store(self, word: &AtomicU64) -> Told {
        let before = Told::of(word);
        let bits = self.mode as u64 | u64::from(self.percent.unwrap_or(0)) << 2 | u64::from(self.max_requests) << 32;
        word.store(bits, Ordering::Release);
        before
    }

    /// What a line changes. `None`: it has no word that is known, so it says nothing.
    #[must_use]
    pub fn after(mut self, line: &[u8]) -> Option<Told> {
        let line = line.get(..LINE_BYTES_MAX).unwrap_or(line);
        let end = line.iter().position(|byte| matches!(byte, b'\r' | b'\n' | b'#')).unwrap_or(line.len());
        let mut is_known = false;
        for word in line[..end].split(|byte| matches!(byte, b' ' | b'\t' | b',')).filter(|word| !word.is_empty()) {
            let number = |digits: &[u8]| str::from_utf8(digits).ok().and_then(|text| text.parse::<u32>().ok());
            let word = word.to_ascii_lowercase();
            match &*word {
                b"ready" => self.mode = Mode::Ready,
                b"up" if self.mode == Mode::Down => self.mode = Mode::Ready,
                b"up" => {}
                b"drain" => self.mode = Mode::Drains,
                b"maint" => self.mode = Mode::Maintenance,
                b"down" | b"fail" | b"failed" | b"stopped" => self.mode = Mode::Down,
                word => {
                    match (word.strip_suffix(b"%").and_then(number), word.strip_prefix(b"maxconn:").and_then(number)) {
                        // As with HAProxy, a weight of 0 lets it drain.
                        (Some(0), _) => self.mode = Mode::Drains,
                        (Some(percent), _) => self.percent = Some(percent.min(100) as u8),
                        (_, Some(most)) => self.max_requests = most,
                        _ => continue,
                    }
                }
            }
            is_known = true;
        }
        is_known.then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_of_a_line_changes_what_it_names() {
        let told = |mode, percent, max_requests| Some(Told { mode, percent, max_requests });
        for (line, expected) in [
            ("up\n", told(Mode::Ready, None, 0)),
            ("drain\r\n", told(Mode::Drains, None, 0)),
            ("maint", told(Mode::Maintenance, None, 0)),
            ("down # disk full\n", told(Mode::Down, None, 0)),
            ("Up 50% maxconn:30\n", told(Mode::Ready, Some(50), 30)),
            ("ready,75%", told(Mode::Ready, Some(75), 0)),
            ("0%", told(Mode::Drains, None, 0)),
            ("400%", told(Mode::Ready, Some(100), 0)),
            ("hello\n", None),
            ("", None),
            ("# up", None),
            ("-5% maxconn:x", None),
        ] {
            assert_eq!(Told::default().after(line.as_bytes()), expected, "{line:?}");
        }
    }

    #[test]
    fn up_ends_down_and_only_ready_ends_maintenance() {
        let maintained = Told { mode: Mode::Maintenance, ..Told::default() };
        assert_eq!(maintained.after(b"up"), Some(maintained));
        assert_eq!(maintained.after(b"ready").map(|told| told.mode), Some(Mode::Ready));
        let down = Told { mode: Mode::Down, ..Told::default() };
        assert_eq!(down.after(b"up").map(|told| told.mode), Some(Mode::Ready));
    }

    proptest::proptest! {
        #[test]
        fn any_line_leaves_something_that_can_be_stored(line in proptest::collection::vec(proptest::num::u8::ANY, 0..400)) {
            let word = AtomicU64::new(0);
            let told = Told::default().after(&line).unwrap_or_default();
            told.store(&word);
            assert_eq!(Told::of(&word), told);
        }
    }

    #[test]
    fn what_was_told_is_read_as_it_was_written() {
        let word = AtomicU64::new(0);
        for told in [Told { mode: Mode::Down, percent: Some(100), max_requests: u32::MAX }, Told::default()] {
            told.store(&word);
            assert_eq!(Told::of(&word), told);
        }
    }
}
