//! A server of real processes for the tests: a forked arbiter, and one pipe for its lines and its workers'.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use farrier_supervisor::process::{ExitStatus, exit_now, fork_plain, kill, own_pid};
use farrier_supervisor::sockets::{BindOptions, bind_all};
use farrier_supervisor::{
    Accompany, ArbiterSettings, CompanionLink, Ended, Forked, HeartbeatPage, ListenSpec, Listener, LocalAddress, Pid,
    Plan, Preload, Renewal, Signal, WorkerLink, supervise,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Longer than anything here takes; reaching it is a failure, not a delay.
const PATIENCE: Duration = Duration::from_secs(20);

/// The options of a scenario.
pub(crate) struct Script {
    pub(crate) settings: ArbiterSettings,
    pub(crate) listen: Vec<ListenSpec>,
    pub(crate) worker: fn(WorkerLink, &[Listener], &Report) -> i32,
    pub(crate) load: fn(u64, &Report) -> Result<(), i32>,
    pub(crate) read_config: fn(&[Listener]) -> Result<Renewal, String>,
    /// The number of forks that fail first.
    pub(crate) forks_failing: u32,
    /// In the arbiter before it begins.
    pub(crate) prepare: fn(),
    /// A process beside the workers.
    pub(crate) companion: Option<fn(CompanionLink) -> i32>,
}

impl Default for Script {
    fn default() -> Script {
        Script {
            settings: settings(2),
            listen: Vec::new(),
            worker: serve,
            load: |generation, report| {
                report.line(&format!("template {generation} {}", own_pid()));
                Ok(())
            },
            read_config: |_| Ok(Renewal { settings: settings(2), listeners: None }),
            forks_failing: 0,
            prepare: || {},
            companion: None,
        }
    }
}

pub(crate) fn settings(workers: u32) -> ArbiterSettings {
    ArbiterSettings { workers, timeout: None, graceful_timeout: Duration::from_secs(10), ..ArbiterSettings::default() }
}

/// The pipe's write end: one line at a time, from any process.
pub(crate) struct Report(OwnedFd);

impl Report {
    pub(crate) fn line(&self, line: &str) {
        rustix::io::write(&self.0, format!("{line}\n").as_bytes()).expect("the test reads");
    }
}

/// The running server, seen from outside.
pub(crate) struct Server {
    pub(crate) pid: Pid,
    pub(crate) address: Option<SocketAddr>,
    lines: BufReader<std::fs::File>,
    seen: Vec<String>,
}

impl Server {
    pub(crate) fn start(script: Script) -> Server {
        let page = HeartbeatPage::new(HeartbeatPage::slots_for(script.settings.workers)).expect("mapped");
        let options = BindOptions { tries: 1, ..BindOptions::default() };
        let (read, write) = rustix::pipe::pipe().expect("made");
        // The arbiter binds, because only the process that made a file removes it; so it reports where.
        // SAFETY: this test has one thread.
        let forked = unsafe { fork_plain() }.expect("forked");
        match forked {
            Forked::Child => {
                drop(read);
                let listeners = bind_all(&script.listen, &options, &mut |_, _| {}).expect("bound");
                exit_now(arbiter(script, listeners, page, Report(write)))
            }
            Forked::Parent(pid) => {
                drop(write);
                let mut server = Server { pid, address: None, lines: BufReader::new(read.into()), seen: Vec::new() };
                let address = server.expect("address ");
                server.address = address.parse().ok();
                server
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.pid, signal).expect("the arbiter lives");
    }

    /// Waits for a line that contains `words`, which may have been read before, and returns what follows them.
    pub(crate) fn expect(&mut self, words: &str) -> String {
        let mut looked_at = 0;
        loop {
            if let Some(at) = self.seen.iter().skip(looked_at).position(|line| line.contains(words)) {
                let line = self.seen.remove(looked_at + at);
                let (_, rest) = line.split_once(words).expect("contains them");
                return rest.to_owned();
            }
            looked_at = self.seen.len();
            match self.read_line() {
                Some(line) => self.seen.push(line),
                None => panic!("ended with {:?} without {words:?}; there was {:#?}", self.wait(), self.seen),
            }
        }
    }

    /// Waits for that many workers to be ready, and returns their pids.
    pub(crate) fn expect_ready(&mut self, workers: usize) -> Vec<Pid> {
        (0..workers).map(|_| self.expect("ready ").parse().expect("a pid")).collect()
    }

    /// Waits until every process has gone and returns how the arbiter ended, with the lines that were not expected.
    pub(crate) fn end(mut self) -> (ExitStatus, Vec<String>) {
        while let Some(line) = self.read_line() {
            self.seen.push(line);
        }
        (self.wait(), self.seen)
    }

    fn wait(&self) -> ExitStatus {
        let pid = rustix::process::Pid::from_raw(self.pid).expect("a pid");
        let waited = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty()).expect("waited");
        let (_, status) = waited.expect("ended");
        match status.exit_status() {
            Some(code) => ExitStatus::Code(code),
            None => ExitStatus::Signal(status.terminating_signal().expect("ended by a signal")),
        }
    }

    /// Connects and returns the pid of the worker that answered.
    pub(crate) fn ask(&self) -> Pid {
        let mut stream = TcpStream::connect(self.address.expect("listens")).expect("connects");
        stream.set_read_timeout(Some(PATIENCE)).expect("set");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("is answered");
        answer.parse().expect("a pid")
    }

    fn read_line(&mut self) -> Option<String> {
        if self.lines.buffer().is_empty() {
            let timeout = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
            let mut fds = [PollFd::new(self.lines.get_ref(), PollFlags::IN)];
            let ready = poll(&mut fds, Some(&timeout)).expect("polled");
            assert_ne!(ready, 0, "nothing for {PATIENCE:?}; there was {:#?}", self.seen);
        }
        let mut line = String::new();
        let read = self.lines.read_line(&mut line).expect("read");
        (read > 0).then(|| line.trim_end_matches('\n').to_owned())
    }
}

/// Waits until there is no process of that number.
pub(crate) fn expect_gone(pid: Pid) {
    let begun = Instant::now();
    while kill(pid, Signal::Chld).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "process {pid} is still there");
        std::thread::yield_now();
    }
}

fn arbiter(script: Script, listeners: Vec<Listener>, page: HeartbeatPage, report: Report) -> i32 {
    // A test that fails leaves nothing behind.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL)).expect("set");
    (script.prepare)();
    let address = listeners.iter().find_map(|listener| match listener.local() {
        LocalAddress::Inet(address) => Some(address.to_string()),
        _ => None,
    });
    report.line(&format!("address {}", address.unwrap_or_default()));
    let mut forks_failing = script.forks_failing;
    let plan = Plan {
        settings: script.settings,
        listeners,
        page,
        fork: &mut || {
            if forks_failing > 0 {
                forks_failing -= 1;
                return Err(std::io::Error::from_raw_os_error(libc::EAGAIN));
            }
            // SAFETY: the arbiter has one thread.
            unsafe { fork_plain() }
        },
        wait: &mut |block| block(),
        before_fork: &mut |spawn| report.line(&format!("forks {:?}", spawn.worker)),
        worker: &mut |link, listeners| (script.worker)(link, &listeners, &report),
        forked: &mut |spawn, pid| report.line(&format!("forked {:?} {pid}", spawn.worker)),
        preload: Preload {
            load: &mut |generation| (script.load)(generation, &report),
            reopen_logs: &mut || report.line(&format!("template reopens {}", own_pid())),
            unload: &mut || report.line(&format!("template leaves {}", own_pid())),
            ended: &mut |pid| report.line(&format!("template reaped {pid}")),
        },
        reaped: &mut |spawn, pid, status| report.line(&format!("reaped {:?} {pid} {status}", spawn.worker)),
        exit_child: &mut |code| exit_now(code),
        log: &mut |level, message| report.line(&format!("{} {message}", level.name())),
        read_config: &mut |_, listeners| (script.read_config)(listeners),
        notice: &mut |notice| report.line(&format!("notice {notice:?}")),
        housekeeping: &mut (),
        companion: Accompany {
            name: "company",
            is_wanted: &mut || script.companion.is_some(),
            live: &mut |link| script.companion.map_or(0, |companion| companion(link)),
            keeps: Vec::new(),
        },
    };
    match supervise(plan).expect("supervises") {
        Ended::Server(code) | Ended::Child(code) => code,
    }
}

/// A worker that answers each connection with its pid until it gets a stop signal.
pub(crate) fn serve(link: WorkerLink, listeners: &[Listener], report: &Report) -> i32 {
    let signals = link.catch_signals().expect("caught");
    link.ready();
    report.line(&format!("ready {}", own_pid()));
    loop {
        let mut fds =
            vec![PollFd::new(&signals, PollFlags::IN), PollFd::from_borrowed_fd(link.alive_fd(), PollFlags::IN)];
        fds.extend(listeners.iter().map(|listener| PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN)));
        let _ = poll(&mut fds, None);
        let is_orphan = !fds[1].revents().is_empty();
        drop(fds);
        listeners.iter().for_each(answer_all);
        for signal in signals.drain() {
            report.line(&format!("{} {}", signal.name(), own_pid()));
            if matches!(signal, Signal::Term | Signal::Int | Signal::Quit) {
                // Clients that connected before the signal are served.
                listeners.iter().for_each(answer_all);
                return 0;
            }
        }
        if is_orphan {
            report.line(&format!("orphan {}", own_pid()));
            return 0;
        }
    }
}

fn answer_all(listener: &Listener) {
    let accepting = std::net::TcpListener::from(listener.as_fd().try_clone_to_owned().expect("cloned"));
    while let Ok((mut stream, _)) = accepting.accept() {
        let _ = stream.write_all(own_pid().to_string().as_bytes());
    }
}
