//! The error log, in the form that tools know from Gunicorn: `[date] [pid] [LEVEL] text`.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

pub use crate::level::Level;

use super::moment::Moment;
use super::outbox::Outbox;
use super::recorder::Recorder;
use super::statsd::Statsd;
use super::syslog::Syslog;

/// The error log of one process.
pub struct ErrorLog {
    least: AtomicU8,
    targets: RwLock<Targets>,
}

/// Where the lines of an error log go.
struct Targets {
    out: Outbox,
    syslog: Option<Syslog>,
    statsd: Option<Arc<Statsd>>,
    /// Takes the lines in place of `out` and `syslog`, if it is set.
    recorder: Option<Arc<dyn Recorder>>,
}

impl ErrorLog {
    /// A log that writes its lines to `out`, sends them to syslog if that is given, and counts them if statsd is given.
    pub fn new(least: Level, out: Outbox, syslog: Option<Syslog>, statsd: Option<Arc<Statsd>>) -> ErrorLog {
        let targets = RwLock::new(Targets { out, syslog, statsd, recorder: None });
        ErrorLog { least: AtomicU8::new(least as u8), targets }
    }

    /// Passes all further lines of at least this level to a logging framework.
    pub fn divert(&self, recorder: Arc<dyn Recorder>, least: Level) {
        self.targets.write().unwrap_or_else(PoisonError::into_inner).recorder = Some(recorder);
        self.least.store(least as u8, Ordering::Relaxed);
    }

    /// Replaces level and targets with those of another log, after the configuration was read again.
    pub fn adopt(&self, other: ErrorLog) {
        let targets = other.targets.into_inner().unwrap_or_else(PoisonError::into_inner);
        *self.targets.write().unwrap_or_else(PoisonError::into_inner) = targets;
        self.least.store(other.least.into_inner(), Ordering::Relaxed);
    }

    /// Whether a logging framework takes the lines.
    pub fn is_diverted(&self) -> bool {
        self.targets().recorder.is_some()
    }

    /// Whether lines of this level are written.
    pub fn is_on(&self, level: Level) -> bool {
        level as u8 >= self.least.load(Ordering::Relaxed)
    }

    /// Writes a line. Further lines of the text (a traceback) follow unchanged.
    pub fn write(&self, level: Level, text: &str) {
        let counter = match level {
            Level::Warning => Some("gunicorn.log.warning"),
            Level::Error => Some("gunicorn.log.error"),
            Level::Critical => Some("gunicorn.log.critical"),
            Level::Debug | Level::Info => None,
        };
        self.pass(level, text, counter);
    }

    /// Writes the line of an exception, with its traceback behind the first line.
    pub fn exception(&self, text: &str) {
        self.pass(Level::Error, text, Some("gunicorn.log.exception"));
    }

    fn pass(&self, level: Level, text: &str, counter: Option<&str>) {
        let targets = self.targets();
        if let (Some(statsd), Some(counter)) = (&targets.statsd, counter) {
            statsd.count(counter);
        }
        if !self.is_on(level) {
            return;
        }
        let text = text.trim_end();
        if let Some(recorder) = targets.recorder.clone() {
            // The framework may log to this log again.
            drop(targets);
            recorder.line(level, text);
            return;
        }
        let when = Moment::now().for_error_log();
        targets.out.put(format!("[{when}] [{}] [{}] {text}\n", std::process::id(), level.as_str()).as_bytes());
        if let Some(syslog) = &targets.syslog {
            syslog.send(level, text);
        }
    }

    /// Writes text unchanged to the log's stream or file. It is what an application writes to `wsgi.errors`.
    pub fn put(&self, text: &str) {
        self.targets().out.put(text.as_bytes());
    }

    /// Sends text to syslog alone, if the log has syslog.
    pub fn put_syslog(&self, level: Level, text: &str) {
        if let Some(syslog) = &self.targets().syslog {
            syslog.send(level, text);
        }
    }

    /// The statsd client, if lines are counted.
    pub fn statsd(&self) -> Option<Arc<Statsd>> {
        self.targets().statsd.clone()
    }

    /// Reopens the file.
    pub fn reopen(&self) {
        let targets = self.targets();
        targets.out.reopen();
        let recorder = targets.recorder.clone();
        drop(targets);
        if let Some(recorder) = recorder {
            recorder.reopen();
        }
    }

    /// Whether lines wait for [`ErrorLog::retry`]; only in a process whose log has no thread.
    pub fn is_waiting(&self) -> bool {
        let targets = self.targets();
        targets.out.is_waiting()
            || targets.syslog.as_ref().is_some_and(Syslog::is_waiting)
            || targets.statsd.as_ref().is_some_and(|statsd| statsd.is_waiting())
    }

    /// Writes as much of what waits as the targets take now.
    pub fn retry(&self) {
        let targets = self.targets();
        targets.out.retry();
        if let Some(syslog) = &targets.syslog {
            syslog.retry();
        }
        if let Some(statsd) = &targets.statsd {
            statsd.retry();
        }
    }

    /// Waits until everything is written, at most a second for each target.
    pub fn flush(&self) {
        let recorder = self.targets().recorder.clone();
        if let Some(recorder) = recorder {
            recorder.flush();
        }
        let targets = self.targets();
        targets.out.flush(Duration::from_secs(1));
        if let Some(syslog) = &targets.syslog {
            syslog.flush();
        }
        if let Some(statsd) = &targets.statsd {
            statsd.flush();
        }
    }

    fn targets(&self) -> RwLockReadGuard<'_, Targets> {
        self.targets.read().unwrap_or_else(PoisonError::into_inner)
    }
}
