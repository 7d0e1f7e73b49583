//! Why a child could not boot, in one line, for the arbiter that ends because of it: its last line then says what to mend.
//!
//! The children write it into memory that was shared before the first fork. The last one that fails is heard.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, memfd_create};

/// More is cut off.
const BYTES_MAX: usize = 4096;

/// The shared line.
#[derive(Debug)]
pub struct LastWords(File);

impl LastWords {
    /// Memory for it.
    ///
    /// # Errors
    ///
    /// No memory or no descriptor is left.
    pub fn new() -> io::Result<LastWords> {
        Ok(LastWords(File::from(memfd_create("farrier-last-words", MemfdFlags::CLOEXEC)?)))
    }

    /// Leaves a line behind, in a child that is about to end. Nothing is done about an error: the log has the line already.
    pub fn say(&self, line: &str) {
        let mut text = line.replace(['\n', '\r'], " ").into_bytes();
        text.truncate(BYTES_MAX);
        let _ = self.0.set_len(0).and_then(|()| self.0.write_all_at(&text, 0));
    }

    /// The line, if a child has left one.
    pub fn heard(&self) -> Option<String> {
        let mut bytes = vec![0; BYTES_MAX];
        let count = self.0.read_at(&mut bytes, 0).ok().filter(|&count| count > 0)?;
        bytes.truncate(count);
        Some(String::from_utf8_lossy(&bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_heard_as_one_line() {
        let words = LastWords::new().expect("made");
        assert_eq!(words.heard(), None);
        words.say("a long first line");
        words.say("two\nlines");
        assert_eq!(words.heard().as_deref(), Some("two lines"));
        words.say(&"\u{e4}".repeat(BYTES_MAX));
        assert_eq!(words.heard().map(|heard| heard.len()), Some(BYTES_MAX));
    }
}
