//! A daemon: the server leaves its terminal, and whoever started it learns whether that went well.
//!
//! Two forks and a new session (daemon(7)). The first process stays until the daemon serves, so that its exit code is
//! the start's. The daemon keeps the terminal until it has bound its addresses and is about to fork: until then what goes
//! wrong is written there.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::process::{Fork, Forked, exit_now};

/// The files of a daemon are written by itself alone.
const UMASK: u32 = 0o022;

/// What the launcher returns when the daemon died without a word.
const EXIT_DIED: i32 = 1;

/// On which side of [`detach`] the program goes on.
#[derive(Debug)]
pub enum Detached {
    /// In the process that was started: the daemon runs, or has failed, and this is the exit code.
    Launcher(i32),
    /// In the daemon.
    Daemon(Announcement),
}

/// The daemon's word to its launcher.
#[derive(Debug)]
pub struct Announcement {
    pipe: Option<OwnedFd>,
}

/// Makes a daemon of this process: returns twice, once on each side.
///
/// # Errors
///
/// The kernel's: no descriptor, too many processes. Nothing has happened then.
pub fn detach(fork: &mut dyn Fork) -> io::Result<Detached> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    match fork.fork()? {
        Forked::Parent(_) => {
            drop(write);
            Ok(Detached::Launcher(hear(&read)))
        }
        Forked::Child => {
            drop(read);
            let mut announcement = Announcement { pipe: Some(write) };
            // Cannot fail: a forked process leads no group.
            let _ = rustix::process::setsid();
            match fork.fork() {
                // The daemon leads no session, so that no terminal can become its own.
                Ok(Forked::Child) => {
                    rustix::process::umask(Mode::from_raw_mode(UMASK));
                    Ok(Detached::Daemon(announcement))
                }
                Ok(Forked::Parent(_)) => exit_now(0),
                Err(error) => {
                    eprintln!("farrier: cannot become a daemon: {error}");
                    announcement.end(EXIT_DIED);
                    exit_now(EXIT_DIED)
                }
            }
        }
    }
}

/// What the daemon says before its exit code: from here on it cannot write to the terminal.
const LET_GO: u8 = b'-';

/// What the daemon says before its exit code when that follows.
const ENDED: u8 = b'.';

fn hear(read: &OwnedFd) -> i32 {
    let mut has_let_go = false;
    loop {
        match next(read) {
            Some(LET_GO) => has_let_go = true,
            Some(_) => {
                let code = next(read).map_or(EXIT_DIED, i32::from);
                if has_let_go && code != 0 {
                    eprintln!("farrier: the daemon ended with code {code} before it served; its error log says why");
                }
                return code;
            }
            None => {
                eprintln!("farrier: the daemon died before it served");
                return EXIT_DIED;
            }
        }
    }
}

fn next(read: &OwnedFd) -> Option<u8> {
    let mut byte = [0];
    loop {
        match rustix::io::read(read, &mut byte) {
            Ok(1) => return Some(byte[0]),
            Err(Errno::INTR) => {}
            Ok(_) | Err(_) => return None,
        }
    }
}

impl Announcement {
    /// The point of no return: lets go of the terminal.
    ///
    /// # Arguments
    ///
    /// `keep_output` leaves standard output and error where they are, unless that is the terminal.
    ///
    /// # Errors
    ///
    /// `/dev/null` cannot be opened.
    pub fn let_go(&self, keep_output: bool) -> io::Result<()> {
        let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
        rustix::stdio::dup2_stdin(&null)?;
        if !keep_output || rustix::termios::isatty(rustix::stdio::stdout()) {
            rustix::stdio::dup2_stdout(&null)?;
        }
        if !keep_output || rustix::termios::isatty(rustix::stdio::stderr()) {
            rustix::stdio::dup2_stderr(&null)?;
        }
        if let Some(pipe) = &self.pipe {
            say(pipe, &[LET_GO]);
        }
        Ok(())
    }

    /// The daemon serves, or has ended: the launcher ends with this code. Only the first call does anything.
    pub fn end(&mut self, code: i32) {
        if let Some(pipe) = self.pipe.take() {
            // Exit codes have eight bits.
            say(&pipe, &[ENDED, code as u8]);
        }
    }
}

fn say(pipe: &OwnedFd, bytes: &[u8]) {
    // A launcher that was killed hears nothing (EPIPE), and needs not.
    while let Err(Errno::INTR) = rustix::io::write(pipe, bytes) {}
}
