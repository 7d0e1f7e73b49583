//! The logs of a process: opened from the settings, and connected with Python's loggers.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use farrier_config::{AccessLogFormat, Config, LogLevel, LogTarget, StatsdAddress, SyslogAddress, UnixKind};
use farrier_log::access::{self, AccessLog};
use farrier_log::collector::Address;
use farrier_log::error::{ErrorLog, Level};
use farrier_log::moment;
use farrier_log::recorder::Recorder;
use farrier_log::statsd::{self, Statsd};
use farrier_log::syslog::{self, Syslog};
use farrier_log::writer::Target;
use farrier_wsgi::{RequestHooks, seam};
use pyo3::prelude::*;

use crate::outlet::Outlet;
use crate::recorder::{DirectRecorder, QueuedRecorder};
use crate::streams::{self, StandardStreams, WorkerStreams};

/// The logs of the arbiter, which has no thread: every line is written at once, and one that would wait for its reader
/// is kept and tried again.
pub(crate) struct ArbiterLogs {
    pub(crate) error: Arc<ErrorLog>,
    /// What hooks and Python's loggers write to the standard streams.
    streams: Arc<StandardStreams>,
}

/// How long lines that could not be written wait for the next try.
const RETRY: Duration = Duration::from_millis(100);

impl ArbiterLogs {
    /// Opens the logs.
    ///
    /// # Errors A file cannot be opened, or the logging configuration is invalid: the text says which.
    pub(crate) fn open(py: Python<'_>, config: &Config, cfg: &Bound<'_, PyAny>) -> Result<ArbiterLogs, String> {
        if let Ok(offsets) = module(py).and_then(|module| module.call_method0("offsets")?.extract()) {
            moment::set_offsets(offsets);
        }
        if captures(config) {
            keep_stdout().map_err(|error| format!("capture_output: {error}"))?;
            flush_streams(py);
        }
        let streams = Arc::new(StandardStreams::open(config.log_buffer_bytes.as_usize()).map_err(|e| e.to_string())?);
        let logs = ArbiterLogs { error: Arc::new(direct(config)?), streams };
        // Before the loggers: their handlers hold the streams.
        streams::install(py, &logs.streams).map_err(|raised| raised.to_string())?;
        logs.connect(py, config, cfg)?;
        Ok(logs)
    }

    /// The standard streams lead elsewhere now: the process has become a daemon.
    pub(crate) fn streams_moved(&self) {
        self.error.reopen();
        self.streams.reopen();
    }

    /// When to call `retry`, if lines wait for room.
    pub(crate) fn wake_at(&self, now: Duration) -> Option<Duration> {
        (self.error.is_waiting() || self.streams.is_waiting()).then(|| now + RETRY)
    }

    /// Writes as much of what waits as there is room for.
    pub(crate) fn retry(&self) {
        self.error.retry();
        self.streams.retry();
    }

    /// Waits until everything is written, at most a second for each target; in the process that ends next.
    pub(crate) fn flush(&self) {
        self.error.flush();
        self.streams.flush();
    }

    /// The end of the arbiter, within a process that may go on.
    pub(crate) fn close(&self, py: Python<'_>) {
        streams::release(py);
        self.flush();
    }

    /// Applies a configuration that was read again.
    ///
    /// # Errors
    /// As for `open`; the logs are as before.
    pub(crate) fn renew(&self, py: Python<'_>, config: &Config, cfg: &Bound<'_, PyAny>) -> Result<(), String> {
        let anew = direct(config)?;
        let started = self.start(py, config, cfg)?;
        check_access_log(config, &started)?;
        self.error.adopt(anew);
        self.divert_if(&started);
        Ok(())
    }

    /// In a template: the application may have changed the loggers.
    pub(crate) fn application_loaded(&self, py: Python<'_>) {
        application_loaded(py, &self.error);
    }

    fn connect(&self, py: Python<'_>, config: &Config, cfg: &Bound<'_, PyAny>) -> Result<(), String> {
        let started = self.start(py, config, cfg)?;
        check_access_log(config, &started)?;
        self.divert_if(&started);
        Ok(())
    }

    fn start(&self, py: Python<'_>, _: &Config, cfg: &Bound<'_, PyAny>) -> Result<Started, String> {
        let recorder: MakeRecorder = Box::new(|| Ok(Arc::new(DirectRecorder)));
        let outlet = Outlet::new(&self.error, Diverter::new(recorder));
        started(py, "start", cfg, outlet)
    }

    fn divert_if(&self, started: &Started) {
        if started.diverted {
            self.error.divert(Arc::new(DirectRecorder), Level::of_python(started.level));
        }
    }
}

/// The logs of a worker: written by threads of their own.
pub(crate) struct WorkerLogs {
    pub(crate) error: Arc<ErrorLog>,
    /// For the engine; none if there is no access log, or if `own_access` writes the lines.
    pub(crate) access: Option<Arc<AccessLog>>,
    pub(crate) statsd: Option<Arc<Statsd>>,
    /// The `access` of a logger class that has one of its own.
    own_access: Option<Py<PyAny>>,
    /// For handlers of Python's loggers.
    streams: WorkerStreams,
}

impl WorkerLogs {
    /// Opens the logs.
    ///
    /// # Errors A file cannot be opened, no thread can be made, or the logging configuration is invalid.
    pub(crate) fn open(py: Python<'_>, config: &Config, cfg: &Bound<'_, PyAny>) -> Result<WorkerLogs, String> {
        let buffer_bytes = config.log_buffer_bytes.as_usize();
        let streams = streams::enter_worker(py, buffer_bytes);
        let text = |error: io::Error| error.to_string();
        let statsd = match statsd_settings(config) {
            Some(settings) => Some(Arc::new(Statsd::buffered(settings, buffer_bytes).map_err(text)?)),
            None => None,
        };
        let syslog = match syslog_settings(config, "error") {
            Some(settings) => Some(Syslog::buffered(settings, buffer_bytes).map_err(text)?),
            None => None,
        };
        let out = error_target(config).buffered(buffer_bytes, Duration::ZERO).map_err(text)?;
        let error = Arc::new(ErrorLog::new(level(config), out, syslog, statsd.clone()));
        let recorder: MakeRecorder = Box::new(move || Ok(Arc::new(QueuedRecorder::start(buffer_bytes)?)));
        let diverter = Diverter::new(recorder);
        let outlet = Outlet::new(&error, Arc::clone(&diverter));
        let started = started(py, "enter_worker", cfg, outlet)?;
        let access = match started.wants_access && started.access.is_none() {
            true => Some(Arc::new(access_log(config, started.diverted)?)),
            false => None,
        };
        if let Some(access) = &access {
            diverter.knows(access);
        }
        if started.diverted {
            diverter.divert(&error, true, true, Level::of_python(started.level)).map_err(text)?;
        }
        Ok(WorkerLogs { error, access, statsd, own_access: started.access, streams })
    }

    /// The application is loaded, and may have changed the loggers.
    pub(crate) fn application_loaded(&self, py: Python<'_>) {
        application_loaded(py, &self.error);
    }

    /// The hooks around each request, with the logger's own `access` if it has one.
    ///
    /// # Errors
    /// Python cannot import the package's own module.
    pub(crate) fn around_requests(
        &self,
        py: Python<'_>,
        hooks: Option<RequestHooks>,
    ) -> PyResult<Option<RequestHooks>> {
        let Some(access) = &self.own_access else { return Ok(hooks) };
        let hooks = match hooks {
            Some(hooks) => hooks,
            None => RequestHooks {
                pre_request: None,
                post_request: None,
                access: None,
                post_request_arguments: 0,
                worker: py.None(),
                request_class: py.import("farrier._objects")?.getattr("Request")?.unbind(),
                requests: Arc::default(),
            },
        };
        Ok(Some(RequestHooks { access: Some(access.clone_ref(py)), ..hooks }))
    }

    /// Waits until everything is written. Other threads may use the interpreter meanwhile.
    pub(crate) fn flush(&self, py: Python<'_>) {
        py.detach(|| self.flush_detached());
    }

    /// The same on a seat, or on any thread that is detached.
    pub(crate) fn flush_on_seat(&self) {
        seam::detached(&mut || self.flush_detached());
    }

    fn flush_detached(&self) {
        if let Some(access) = &self.access {
            access.flush();
        }
        self.error.flush();
        self.streams.flush();
    }
}

type MakeRecorder = Box<dyn Fn() -> io::Result<Arc<dyn Recorder>> + Send + Sync>;

/// Sends lines through Python's loggers, now or later. Starts the needed threads once.
pub(crate) struct Diverter {
    make: MakeRecorder,
    recorder: Mutex<Option<Arc<dyn Recorder>>>,
    access: OnceLock<Arc<AccessLog>>,
}

impl Diverter {
    fn new(make: MakeRecorder) -> Arc<Diverter> {
        Arc::new(Diverter { make, recorder: Mutex::new(None), access: OnceLock::new() })
    }

    fn knows(&self, access: &Arc<AccessLog>) {
        // The first and only time it is set.
        let _ = self.access.set(Arc::clone(access));
    }

    /// The access log, if there is one.
    pub(crate) fn access(&self) -> Option<&Arc<AccessLog>> {
        self.access.get()
    }

    /// # Errors
    /// No thread can be made.
    pub(crate) fn divert(&self, log: &ErrorLog, error: bool, access: bool, least: Level) -> io::Result<()> {
        let mut recorder = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        let recorder = match &*recorder {
            Some(recorder) => Arc::clone(recorder),
            None => Arc::clone(recorder.insert((self.make)()?)),
        };
        if error {
            log.divert(Arc::clone(&recorder), least);
        }
        if access && let Some(access) = self.access.get() {
            access.divert(recorder);
        }
        Ok(())
    }
}

/// The result of `farrier._logging` at a start.
#[derive(FromPyObject)]
struct Started {
    diverted: bool,
    level: i32,
    wants_access: bool,
    access: Option<Py<PyAny>>,
}

fn started(py: Python<'_>, how: &str, cfg: &Bound<'_, PyAny>, outlet: Outlet) -> Result<Started, String> {
    let start = || module(py)?.call_method1(how, (cfg, outlet))?.extract::<Started>();
    start().map_err(|raised: PyErr| raised.value(py).to_string())
}

fn module(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import("farrier._logging")
}

/// Logs an exception of the application with Python's loggers.
///
/// # Errors
/// The logger raised.
pub(crate) fn raised(py: Python<'_>, log: &ErrorLog, text: &str, raised: &PyErr) -> PyResult<()> {
    module(py)?.call_method1("raised", (text, raised.value(py)))?;
    if let Some(statsd) = log.statsd() {
        statsd.count("gunicorn.log.exception");
    }
    Ok(())
}

fn application_loaded(py: Python<'_>, log: &ErrorLog) {
    if let Err(raised) = module(py).and_then(|module| module.call_method0("application_loaded")) {
        log.write(Level::Warning, &format!("Cannot check the application's loggers: {raised}"));
    }
}

/// A log that this process writes itself, without a thread.
///
/// # Errors
/// A target cannot be opened.
pub(crate) fn direct(config: &Config) -> Result<ErrorLog, String> {
    let bytes_max = config.log_buffer_bytes.as_usize();
    let out = error_target(config).direct(bytes_max).map_err(|error| error.to_string())?;
    let syslog = syslog_settings(config, "error").map(|settings| Syslog::direct(settings, bytes_max));
    let statsd = statsd_settings(config).map(|settings| Arc::new(Statsd::direct(settings, bytes_max)));
    Ok(ErrorLog::new(level(config), out, syslog, statsd))
}

/// The workers open the access log. That it can be opened is found before the listeners are.
fn check_access_log(config: &Config, started: &Started) -> Result<(), String> {
    match &config.accesslog {
        Some(LogTarget::File(path)) if !started.diverted => {
            Target::File(path.clone()).check().map_err(|error| format!("accesslog: {error}"))
        }
        _ => Ok(()),
    }
}

/// The access log. If its entries go through Python's loggers, it has no target of its own.
fn access_log(config: &Config, diverted: bool) -> Result<AccessLog, String> {
    let log = AccessLog::new(access_format(config));
    if diverted {
        return Ok(log);
    }
    let text = |error: io::Error| error.to_string();
    let buffer_bytes = config.log_buffer_bytes.as_usize();
    let log = match &config.accesslog {
        None => log,
        Some(LogTarget::Standard) => log.with_target(standard_output(), buffer_bytes).map_err(text)?,
        Some(LogTarget::File(path)) => log.with_target(Target::File(path.clone()), buffer_bytes).map_err(text)?,
    };
    let syslog = match syslog_settings(config, "access").filter(|_| !config.disable_redirect_access_to_syslog) {
        Some(settings) => Some(Syslog::buffered(settings, buffer_bytes).map_err(text)?),
        None => None,
    };
    Ok(log.with_syslog(syslog))
}

/// Names of the environ entries that access lines show.
pub(crate) fn noted_environ(config: &Config) -> Vec<String> {
    access::environ_names(access_format(config))
}

fn access_format(config: &Config) -> &str {
    match &config.access_log_format {
        AccessLogFormat::Json => "json",
        AccessLogFormat::Pattern(pattern) => pattern,
    }
}

fn error_target(config: &Config) -> Target {
    match &config.errorlog {
        LogTarget::Standard => Target::Stderr,
        LogTarget::File(path) if config.capture_output => Target::Capturing(path.clone()),
        LogTarget::File(path) => Target::File(path.clone()),
    }
}

/// Standard streams that are no file do not change: the application's output already goes to the same place as the log.
fn captures(config: &Config) -> bool {
    config.capture_output && matches!(config.errorlog, LogTarget::File(_))
}

/// The standard output as it was before the application's output was captured.
static STANDARD_OUTPUT: OnceLock<Arc<File>> = OnceLock::new();

fn keep_stdout() -> io::Result<()> {
    if STANDARD_OUTPUT.get().is_none() {
        let kept = io::stdout().as_fd().try_clone_to_owned()?;
        // A second call finds it set.
        let _ = STANDARD_OUTPUT.set(Arc::new(File::from(kept)));
    }
    Ok(())
}

fn standard_output() -> Target {
    STANDARD_OUTPUT.get().map_or(Target::Stdout, |kept| Target::Kept(Arc::clone(kept)))
}

/// Earlier output goes to the earlier stream. Later output is written line by line, or a crash would lose it.
fn flush_streams(py: Python<'_>) {
    let run = || -> PyResult<()> {
        let sys = py.import("sys")?;
        for stream in ["stdout", "stderr"] {
            let options = pyo3::types::PyDict::new(py);
            options.set_item("line_buffering", true)?;
            let stream = sys.getattr(stream)?;
            stream.call_method0("flush")?;
            stream.call_method("reconfigure", (), Some(&options))?;
        }
        Ok(())
    };
    // A stream that was replaced may not support it.
    drop(run());
}

fn level(config: &Config) -> Level {
    match config.loglevel {
        LogLevel::Debug => Level::Debug,
        LogLevel::Info => Level::Info,
        LogLevel::Warning => Level::Warning,
        LogLevel::Error => Level::Error,
        LogLevel::Critical => Level::Critical,
    }
}

fn syslog_settings(config: &Config, log: &str) -> Option<syslog::Settings> {
    if !config.syslog {
        return None;
    }
    let address = match &config.syslog_addr {
        SyslogAddress::Udp { host, port } => Address::Udp(host.clone(), *port),
        SyslogAddress::Tcp { host, port } => Address::Tcp(host.clone(), *port),
        SyslogAddress::Unix { path, kind: None } => Address::Unix(path.clone()),
        SyslogAddress::Unix { path, kind: Some(UnixKind::Dgram) } => Address::UnixDatagram(path.clone()),
        SyslogAddress::Unix { path, kind: Some(UnixKind::Stream) } => Address::UnixStream(path.clone()),
    };
    let named = config.syslog_prefix.clone().or_else(|| {
        let name = config.proc_name.as_deref().or(config.wsgi_app.as_deref())?;
        Some(name.replace(':', "."))
    });
    let prefix = named.as_deref().unwrap_or("farrier");
    Some(syslog::Settings {
        address,
        facility: config.syslog_facility.code(),
        ident: format!("gunicorn.{prefix}.{log}"),
    })
}

fn statsd_settings(config: &Config) -> Option<statsd::Settings> {
    let address = match config.statsd_host.as_ref()? {
        StatsdAddress::Udp { host, port } => Address::Udp(host.clone(), *port),
        StatsdAddress::Unix(path) => Address::UnixDatagram(path.clone()),
    };
    Some(statsd::Settings { address, prefix: config.statsd_prefix.clone(), tags: config.dogstatsd_tags.clone() })
}
