//! Makes the server a daemon: it leaves its terminal, and the command that started it returns whether the start
//! succeeded.
//!
//! Two forks and a new session (daemon(7)). The first process, the launcher, waits until the daemon serves, so that its
//! exit code is that of the start. The daemon keeps the terminal until it has bound its addresses and is about to fork:
//! until then errors are written there.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use crate::process::{Fork, Forked, exit_now};

/// The umask of a daemon: only its own user can write its files.
const UMASK: u32 = 0o022;

/// The launcher's exit code when the daemon died without a message.
const EXIT_DIED: i32 = 1;

/// The side of [`detach`] on which the program continues.
#[derive(Debug)]
pub enum Detached {
    /// In the process that was started: the daemon runs, or has failed, and this is the exit code.
    Launcher(i32),
    /// In the daemon.
    Daemon(Announcement),
}

/// The daemon's message to its launcher.
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
                // The daemon is no session leader, so that it cannot acquire a terminal.
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

/// The daemon's message before its exit code: from here on it cannot write to the terminal.
const LET_GO: u8 = b'-';

/// The daemon's message that an exit code follows.
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
    /// Releases the terminal. This cannot be undone.
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

    /// The daemon serves, or has ended: the launcher exits with this code. Only the first call has an effect.
    pub fn end(&mut self, code: i32) {
        if let Some(pipe) = self.pipe.take() {
            // Exit codes have eight bits.
            say(&pipe, &[ENDED, code as u8]);
        }
    }
}

fn say(pipe: &OwnedFd, bytes: &[u8]) {
    // If the launcher was killed, writing fails (EPIPE), and nothing is lost.
    while let Err(Errno::INTR) = rustix::io::write(pipe, bytes) {}
}
