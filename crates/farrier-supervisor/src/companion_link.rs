//! The pipes between a companion and the arbiter: one for its log lines, and one that shows that the arbiter lives.
//!
//! The companion writes no log itself: the log may be a file that is rotated, or belong to Python's loggers.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::arbiter::Level;

/// The longest line: `PIPE_BUF`, so that it is written atomically (pipe(7)).
const LINE_BYTES_MAX: usize = 4096;

/// The companion's side.
#[derive(Debug)]
pub struct CompanionLink {
    lines: OwnedFd,
    alive: OwnedFd,
}

impl CompanionLink {
    /// Writes a line to the error log. Waits while the arbiter does not read.
    pub fn say(&self, level: Level, text: &str) {
        let mut line = Vec::with_capacity(text.len() + 2);
        line.push(match level {
            Level::Debug => b'D',
            Level::Info => b'I',
            Level::Warning => b'W',
            Level::Error => b'E',
            Level::Critical => b'C',
        });
        line.extend(text.bytes().map(|byte| if byte == b'\n' { b' ' } else { byte }).take(LINE_BYTES_MAX - 2));
        line.push(b'\n');
        // An error means that the arbiter is gone (EPIPE).
        while let Err(Errno::INTR) = rustix::io::write(&self.lines, &line) {}
    }

    /// Reaches the end of the file when the arbiter ends. `None` without a descriptor.
    pub fn alive(&self) -> io::Result<OwnedFd> {
        self.alive.try_clone()
    }

    /// The descriptors that must stay open when all others are closed.
    pub(crate) fn descriptors(&self) -> [i32; 2] {
        [self.lines.as_raw_fd(), self.alive.as_raw_fd()]
    }
}

/// The arbiter's side.
#[derive(Debug)]
pub(crate) struct CompanionLines {
    read: OwnedFd,
    write: OwnedFd,
    /// The beginning of an incomplete line.
    rest: Vec<u8>,
}

impl CompanionLines {
    pub(crate) fn new() -> io::Result<CompanionLines> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        // Only this end is non-blocking: the companion may wait for room, but the arbiter never waits for a line.
        rustix::io::ioctl_fionbio(&read, true)?;
        Ok(CompanionLines { read, write, rest: Vec::new() })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }

    /// In the child.
    pub(crate) fn into_link(self, alive: OwnedFd) -> CompanionLink {
        CompanionLink { lines: self.write, alive }
    }

    /// The lines since the last call. Does not block.
    pub(crate) fn drain(&mut self) -> Vec<(Level, String)> {
        let mut bytes = [0; LINE_BYTES_MAX];
        let mut lines = Vec::new();
        loop {
            match rustix::io::read(&self.read, &mut bytes) {
                Ok(count) if count > 0 => self.rest.extend_from_slice(&bytes[..count]),
                Err(Errno::INTR) => continue,
                _ => return lines,
            }
            while let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                lines.extend(level_and_text(&line[..end]));
            }
        }
    }
}

fn level_and_text(line: &[u8]) -> Option<(Level, String)> {
    let (level, text) = line.split_first()?;
    let level = match level {
        b'D' => Level::Debug,
        b'I' => Level::Info,
        b'W' => Level::Warning,
        b'E' => Level::Error,
        _ => Level::Critical,
    };
    Some((level, String::from_utf8_lossy(text).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (CompanionLines, CompanionLink) {
        let lines = CompanionLines::new().expect("made");
        let write = lines.write.try_clone().expect("cloned");
        let alive = lines.read.try_clone().expect("cloned");
        (lines, CompanionLink { lines: write, alive })
    }

    #[test]
    fn lines_come_whole_in_order_and_with_their_level() {
        let (mut lines, link) = pair();
        assert_eq!(lines.drain(), []);
        link.say(Level::Info, "one");
        link.say(Level::Error, "two\nthree");
        assert_eq!(lines.drain(), [(Level::Info, "one".to_owned()), (Level::Error, "two three".to_owned())]);
    }

    #[test]
    fn a_line_is_bounded() {
        let (mut lines, link) = pair();
        link.say(Level::Warning, &"x".repeat(10_000));
        assert_eq!(lines.drain(), [(Level::Warning, "x".repeat(LINE_BYTES_MAX - 2))]);
    }
}
