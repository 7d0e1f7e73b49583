//! The arbiter's statistics socket: opens its address, and waits if a predecessor still has it.

use std::cell::Cell;
use std::os::fd::BorrowedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use farrier_config::{Config, StatsAddress};
use farrier_log::error::{ErrorLog, Level};
use farrier_supervisor::clock::monotonic;
use farrier_supervisor::stats::{About, Queue, Statistics};
use farrier_supervisor::{BindOptions, HeartbeatPage, ListenSpec, Listener, Pid, Spawn, sockets};

/// How often an address that the predecessor still has is tried.
const TRY_INTERVAL: Duration = Duration::from_secs(1);

/// The owner of a unix socket: the user and the group.
const MODE: u32 = 0o660;

/// The statistics, if `stats` is set.
pub(crate) struct Stats {
    statistics: Option<Statistics>,
    wanted: Option<ListenSpec>,
    next_try: Cell<Option<Duration>>,
}

impl Stats {
    /// Opens the address. If a predecessor has it, it is opened when that has gone.
    ///
    /// # Errors
    /// It cannot be bound.
    pub(crate) fn open(
        config: &Config,
        page: HeartbeatPage,
        has_predecessor: bool,
        log: &ErrorLog,
    ) -> Result<Stats, String> {
        let Some(address) = &config.stats else {
            return Ok(Stats { statistics: None, wanted: None, next_try: Cell::new(None) });
        };
        let folder = std::env::current_dir().unwrap_or_default();
        let about = About {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            folder: folder.to_string_lossy().into_owned(),
            backlog: config.backlog,
        };
        let stats = Stats {
            statistics: Some(Statistics::new(page, about)),
            wanted: Some(spec(address)),
            next_try: Cell::new(None),
        };
        match stats.listen(log) {
            Ok(()) => {}
            Err(_) if has_predecessor => stats.next_try.set(Some(monotonic() + TRY_INTERVAL)),
            Err(reason) => return Err(format!("stats: {reason}")),
        }
        Ok(stats)
    }

    fn listen(&self, log: &ErrorLog) -> Result<(), String> {
        let (Some(statistics), Some(spec)) = (&self.statistics, &self.wanted) else { return Ok(()) };
        let options = BindOptions { backlog: 16, tries: 1, ..BindOptions::default() };
        let bound = sockets::bind_all(std::slice::from_ref(spec), &options, &mut |_, _| {});
        for listener in bound.map_err(|error| error.to_string())? {
            let display = listener.display().trim_start_matches("http://").to_owned();
            statistics.listen(listener).map_err(|error| error.to_string())?;
            log.write(Level::Info, &format!("Statistics at: {display}"));
        }
        self.next_try.set(None);
        Ok(())
    }

    /// A worker was forked.
    pub(crate) fn forked(&self, spawn: &Spawn, pid: Pid) {
        if let Some(statistics) = &self.statistics {
            let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
            statistics.forked(spawn, pid, seconds);
        }
    }

    /// A worker has ended.
    pub(crate) fn ended(&self, spawn: &Spawn) {
        self.statistics.iter().for_each(|statistics| statistics.ended(spawn));
    }

    /// Readable when a client waits for the statistics.
    pub(crate) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.statistics.as_ref()?.descriptor()
    }

    /// When to call [`Stats::serve`] even if the descriptor is not readable.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        let slow = self.statistics.as_ref().and_then(Statistics::wake_at);
        [self.next_try.get(), slow].into_iter().flatten().min()
    }

    /// Sends the statistics to waiting clients.
    pub(crate) fn serve(&self, now: Duration, listeners: &[Listener], log: &ErrorLog) {
        let Some(statistics) = &self.statistics else { return };
        if self.next_try.get().is_some_and(|at| at <= now) && self.listen(log).is_err() {
            self.next_try.set(Some(now + TRY_INTERVAL));
        }
        statistics.serve(now, &|| Queue::of_all(listeners));
    }

    /// Closes everything, in a worker or a template.
    pub(crate) fn close(&self) {
        self.statistics.iter().for_each(Statistics::close);
    }

    /// The server has ended.
    pub(crate) fn leave(&self) {
        self.statistics.iter().for_each(Statistics::leave);
    }
}

fn spec(address: &StatsAddress) -> ListenSpec {
    match address {
        StatsAddress::Tcp(address) => ListenSpec::Tcp { host: address.ip().to_string(), port: address.port() },
        StatsAddress::Unix(path) => ListenSpec::Unix { path: path.clone(), mode: Some(MODE), uid: None, gid: None },
    }
}
