//! The arbiter's certificates: read at the start, at a reload and when their files change, and published to the workers
//! together with the keys of session tickets.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use farrier_acme::Challenge;
use farrier_config::{BindAddress, ClientCertificates, Config};
use farrier_log::error::{ErrorLog, Level};
use farrier_protocol::rules::Security;
use farrier_supervisor::Listener;
use farrier_supervisor::clock::monotonic;
use farrier_supervisor::keyring::{Keyring, KeyringReader};
use farrier_tls::certificates::{Identity, IdentityFiles, authorities, challenge};
use farrier_tls::keyring::{self, Contents, TicketKey};
use farrier_tls::{Terms, TlsSettings};

use crate::{acme, addresses, dev_certificate};

/// How often files are checked.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The number of accepted ticket keys: the current one and the previous one.
const TICKET_KEYS: usize = 2;

/// The most validations that are answered at the same time.
const CHALLENGES_MAX: usize = 200;

/// Whether there is a certificate to serve with.
pub(crate) fn are_wanted(config: &Config) -> bool {
    !config.certfile.is_empty() || config.dev_tls || acme::is_wanted(config)
}

/// The data that the arbiter publishes, and its source.
pub(crate) struct Certificates {
    keyring: Keyring,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// The source of each published identity.
    files: Vec<IdentityFiles>,
    sources: Sources,
    contents: Contents,
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
    /// The last files could not be used, and are read once more.
    has_changed: bool,
    ticket_rotation: Duration,
    next_look: Option<Duration>,
    next_rotation: Option<Duration>,
}

/// The result of reading files.
#[derive(Debug, Clone, Copy, Default)]
struct Reading {
    /// The content has changed.
    is_new: bool,
    /// A file could not be used.
    has_failed: bool,
}

/// The source of certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sources {
    identities: Vec<IdentityFiles>,
    authorities: Option<PathBuf>,
    /// The folder of certificates that answer validations.
    challenges: Option<PathBuf>,
}

/// The properties by which a changed file is recognized.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: (i64, i64),
    bytes: u64,
    inode: u64,
}

/// Checks the settings of TLS and the files that they name, as a start does. Returns warnings.
///
/// # Errors
/// What is wrong.
pub(crate) fn check(config: &Config) -> Result<Vec<String>, String> {
    let sources = Sources::of(config)?;
    TlsSettings::of(config)?;
    let mut warnings = acme::check(config)?;
    // Certificates from ACME may not exist yet.
    for files in IdentityFiles::pairs(&config.certfile, &config.keyfile)? {
        warnings.extend(files.load(SystemTime::now())?.warnings);
    }
    if let Some(path) = &sources.authorities {
        authorities(path, "ca_certs")?;
    }
    Ok(warnings)
}

impl Certificates {
    /// Makes an empty one.
    ///
    /// # Errors
    /// No memory to share with workers.
    pub(crate) fn new() -> Result<Certificates, String> {
        let keyring = Keyring::new().map_err(|error| format!("Cannot share certificates with workers: {error}"))?;
        Ok(Certificates { keyring, state: RefCell::default() })
    }

    /// Reads the files of the settings. At the start every problem is an error. Later only wrong settings are, and a
    /// certificate that cannot be read any more stays in use.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn read(&self, config: &Config, is_start: bool, log: &ErrorLog) -> Result<(), String> {
        if is_start {
            check(config)?;
        }
        TlsSettings::of(config)?;
        let mut state = self.state.borrow_mut();
        state.sources = Sources::of(config)?;
        state.ticket_rotation = config.tls_ticket_rotation;
        if state.sources == Sources::default() {
            *state = State::default();
            return Ok(());
        }
        state.stamps = state.sources.stamps();
        state.read_files(&mut |level, text| log.write(level, text));
        state.read_challenges();
        if is_start && config.dev_tls {
            state.files.iter().for_each(|files| log.write(Level::Info, &dev_certificate::notice(&files.certificate)));
        }
        if state.files.is_empty() {
            return Err("certfile: there is no certificate that could be used".to_owned());
        }
        if state.contents.ticket_keys.is_empty() {
            state.rotate(monotonic())?;
        }
        state.next_look.get_or_insert(monotonic() + LOOK_INTERVAL);
        self.publish(&state)
    }

    /// When to check next.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        let state = self.state.borrow();
        [state.next_look, state.next_rotation].into_iter().flatten().min()
    }

    /// Checks the files and the age of the ticket key.
    pub(crate) fn work(&self, now: Duration, log: &ErrorLog) {
        let mut state = self.state.borrow_mut();
        let mut is_new = false;
        if state.next_rotation.is_some_and(|at| at <= now) {
            match state.rotate(now) {
                Ok(()) => is_new = true,
                Err(reason) => {
                    log.write(Level::Error, &format!("The key of session tickets is not replaced: {reason}"))
                }
            }
        }
        if state.next_look.is_some_and(|at| at <= now) {
            state.next_look = Some(now + LOOK_INTERVAL);
            is_new |= state.look(log);
        }
        if is_new && let Err(reason) = self.publish(&state) {
            log.write(Level::Error, &reason);
        }
    }

    /// The end that workers read.
    pub(crate) fn reader(&self) -> KeyringReader {
        self.keyring.reader()
    }

    /// Releases the parts that only the arbiter needs, in a forked process.
    pub(crate) fn close(&self) {
        self.keyring.close_writer();
        *self.state.borrow_mut() = State::default();
    }

    fn publish(&self, state: &State) -> Result<(), String> {
        let published = self.keyring.publish(&state.contents.encode());
        published.map_err(|error| format!("Cannot share certificates with workers: {error}"))
    }
}

impl State {
    /// Reads all files; if one cannot be read, its previous content stays in use.
    fn read_files(&mut self, say: &mut dyn FnMut(Level, &str)) -> Reading {
        let known = std::mem::take(&mut self.files);
        let identities = std::mem::take(&mut self.contents.identities);
        let mut before: Vec<(IdentityFiles, Identity)> = known.into_iter().zip(identities).collect();
        let mut reading = Reading::default();
        for files in self.sources.identities.clone() {
            let old = before.iter().position(|(known, _)| *known == files).map(|at| before.swap_remove(at).1);
            let identity = match files.load(SystemTime::now()) {
                Ok(loaded) => {
                    loaded.warnings.iter().for_each(|warning| say(Level::Warning, warning));
                    reading.is_new |= old.as_ref() != Some(&loaded.identity);
                    Some(loaded.identity)
                }
                Err(reason) => {
                    reading.has_failed = true;
                    let then = if old.is_some() { "the previous certificate stays in use" } else { "it is left out" };
                    say(Level::Error, &format!("{reason}; {then}"));
                    old
                }
            };
            if let Some(identity) = identity {
                self.files.push(files);
                self.contents.identities.push(identity);
            }
        }
        reading.is_new |= !before.is_empty();
        if let Some(path) = &self.sources.authorities {
            match authorities(path, "ca_certs") {
                Ok(read) => {
                    reading.is_new |= read != self.contents.authorities;
                    self.contents.authorities = read;
                }
                Err(reason) => {
                    reading.has_failed = true;
                    say(Level::Error, &format!("{reason}; the previous authorities stay in use"));
                }
            }
        }
        reading
    }

    /// True if the published data must change.
    fn look(&mut self, log: &ErrorLog) -> bool {
        let stamps = self.sources.stamps();
        let is_settled = stamps == self.stamps;
        if is_settled && !self.has_changed {
            return false;
        }
        self.stamps = stamps;
        let mut said = Vec::new();
        let reading = self.read_files(&mut |level, text| said.push((level, text.to_owned())));
        // A certificate and its key are replaced one after the other: a mismatch may be gone at the next check.
        self.has_changed = reading.has_failed && !is_settled;
        if !self.has_changed {
            said.iter().for_each(|(level, text)| log.write(*level, text));
        }
        if reading.is_new {
            log.write(Level::Info, "Certificates have changed and are in use");
        }
        self.read_challenges() || reading.is_new
    }

    /// Reads the certificates for validations. True if they have changed.
    fn read_challenges(&mut self) -> bool {
        let read: Vec<Identity> = self
            .sources
            .challenge_files()
            .filter_map(|path| {
                // A file that is gone is not needed any more.
                challenge(&path, path.file_stem()?.to_str()?).ok()
            })
            .collect();
        let is_new = read != self.contents.challenges;
        self.contents.challenges = read;
        is_new
    }

    fn rotate(&mut self, now: Duration) -> Result<(), String> {
        if self.ticket_rotation.is_zero() {
            self.next_rotation = None;
            return Ok(());
        }
        self.next_rotation = Some(now + self.ticket_rotation);
        self.contents.ticket_keys.insert(0, TicketKey::random()?);
        self.contents.ticket_keys.truncate(TICKET_KEYS);
        Ok(())
    }
}

impl Sources {
    fn of(config: &Config) -> Result<Sources, String> {
        let mut identities = IdentityFiles::pairs(&config.certfile, &config.keyfile)?;
        if config.dev_tls {
            if !identities.is_empty() {
                return Err("dev_tls: there is a certificate already, in certfile; give one of the two".to_owned());
            }
            identities.push(IdentityFiles { certificate: dev_certificate::file()?, key: None });
        }
        let year = Duration::from_secs(365 * 86_400);
        if config.hsts_preload && (config.hsts < year || !config.hsts_include_subdomains) {
            return Err("hsts_preload: browsers take a host on their list only with hsts of 365d and \
                        hsts_include_subdomains"
                .to_owned());
        }
        let ordered = acme::certificate_files(config)?.into_iter();
        identities.extend(ordered.map(|certificate| IdentityFiles { certificate, key: None }));
        if identities.is_empty()
            && let Some(address) = config.bind.iter().find(|address| matches!(address, BindAddress::Secured(_)))
        {
            return Err(format!("bind: {address} speaks TLS, which takes a certificate; name its file with certfile"));
        }
        let asks = config.cert_reqs != ClientCertificates::None && !identities.is_empty();
        let authorities = config.ca_certs.clone().filter(|_| asks);
        Ok(Sources { identities, authorities, challenges: acme::answers(config, Challenge::TlsAlpn01) })
    }

    fn stamps(&self) -> BTreeMap<PathBuf, Option<Stamp>> {
        let files = self.identities.iter().flat_map(IdentityFiles::paths).chain(self.authorities.as_deref());
        let files = files.map(Path::to_owned).chain(self.challenge_files());
        files.map(|path| (path.clone(), Stamp::of(&path))).collect()
    }

    /// The current certificates for validations: none, except during an order.
    fn challenge_files(&self) -> impl Iterator<Item = PathBuf> {
        let entries = self.challenges.iter().flat_map(fs::read_dir).flatten().flatten();
        let paths = entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "pem"));
        paths.take(CHALLENGES_MAX)
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Stamp> {
        let facts = fs::metadata(path).ok()?;
        Some(Stamp { modified: (facts.mtime(), facts.mtime_nsec()), bytes: facts.len(), inode: facts.ino() })
    }
}

/// The TLS settings of a worker's listeners.
///
/// # Errors
/// The published data cannot be used.
pub(crate) fn security(
    config: &Config,
    listeners: &[Listener],
    published: KeyringReader,
    log: &Arc<ErrorLog>,
) -> Result<Security, String> {
    let secured = addresses::secured(config, listeners);
    let terms = match secured.contains(&true) {
        true => Some(Arc::new(Terms::new(TlsSettings::of(config)?, Arc::new(Published(published)), Arc::clone(log))?)),
        false => None,
    };
    Ok(Security { secured, terms })
}

/// The worker's end of the keyring, for the engine.
struct Published(KeyringReader);

impl keyring::Keyring for Published {
    fn version(&self) -> u64 {
        self.0.version()
    }

    fn read(&self) -> Option<(u64, Vec<u8>)> {
        self.0.read()
    }
}
