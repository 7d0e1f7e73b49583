//! ACME from the configuration: the settings of the helper process, its state directory, and the temporary certificate.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use farrier_acme::{Challenge, ExternalAccount, Names, Settings, State, StateError, placeholder};
use farrier_config::value::Value;
use farrier_config::{AcmeChallenge, AcmeDirectory, BindAddress, Config, Protocol};
use farrier_log::error::{ErrorLog, Level};
use farrier_supervisor::keyring::KeyringReader;
use farrier_supervisor::privileges::{Identity, own_uid};
use farrier_supervisor::{CompanionLink, Level as SupervisorLevel, title};
use farrier_tls::keyring::Contents;

/// Exit code of a helper that cannot become its user.
const EXIT_USER: i32 = 1;

/// Whether certificates are ordered.
pub(crate) fn is_wanted(config: &Config) -> bool {
    !config.acme.is_empty()
}

/// Checks the settings of ACME and the files that they name. Returns warnings.
///
/// # Errors
/// What is wrong.
pub(crate) fn check(config: &Config) -> Result<Vec<String>, String> {
    if config.acme_eab_kid.is_some() != config.acme_eab_hmac_file.is_some() {
        return Err("acme_eab_kid and acme_eab_hmac_file belong together: an authority gives both".to_owned());
    }
    if !is_wanted(config) {
        return Ok(Vec::new());
    }
    let mut seen = BTreeSet::new();
    for name in config.acme.iter().flat_map(|certificate| certificate.names()) {
        if !seen.insert(name) {
            return Err(format!("acme: {name} is in two certificates; name it once"));
        }
    }
    let speaks_tls = |address: &BindAddress| address.is_secured().unwrap_or(config.protocol == Protocol::Http);
    if !config.bind.iter().any(speaks_tls) {
        return Err(
            "acme: no address speaks TLS, so nobody would see the certificate; add `--bind https://:443`".to_owned()
        );
    }
    let settings = settings(config)?;
    settings.check().map_err(|(setting, reason)| match setting {
        "acme_ca_certs" if config.acme_ca_certs.is_none() => reason,
        setting => format!("{setting}: {reason}"),
    })?;
    Ok(warnings(config))
}

/// A warning about challenges that the addresses do not allow. Ports can be forwarded, so it is no error.
fn warnings(config: &Config) -> Vec<String> {
    let challenge = config.acme_challenge;
    let is_at = |wanted: u16| {
        config.bind.iter().any(|address| match address.place() {
            BindAddress::Tcp { port, .. } => *port == wanted,
            BindAddress::Fd(_) | BindAddress::NamedFd(_) => true,
            _ => false,
        })
    };
    // A private authority may use other ports.
    let is_public = matches!(config.acme_directory, AcmeDirectory::LetsEncrypt | AcmeDirectory::Staging);
    let (port, word) = match challenge {
        AcmeChallenge::Http01 => (80, "http-01"),
        AcmeChallenge::TlsAlpn01 => (443, "tls-alpn-01"),
        AcmeChallenge::Auto if !is_at(80) && !is_at(443) => (80, "http-01, or to port 443 for tls-alpn-01"),
        AcmeChallenge::Auto => return Vec::new(),
    };
    let mut warnings = Vec::new();
    if challenge == AcmeChallenge::Http01 && !speaks_plain_http(config) {
        let reason = "the authority asks over plain HTTP, which no address of this server speaks; add `--bind http://:80`, or let the server \
                      on port 80 redirect to this one";
        warnings.push(format!("acme_challenge: {reason}"));
    }
    if is_public && !is_at(port) {
        warnings
            .push(format!("acme: the authority comes to port {port} for {word}; no address has it: forward it to one"));
    }
    warnings
}

/// The settings of the helper.
///
/// # Errors
/// A file cannot be read; there is no place for the state.
fn settings(config: &Config) -> Result<Settings, String> {
    let read = |setting: &str, path: &PathBuf| {
        fs::read_to_string(path).map_err(|error| format!("{setting}: {}: {error}", path.display()))
    };
    let external = match (&config.acme_eab_kid, &config.acme_eab_hmac_file) {
        (Some(key_id), Some(file)) => {
            Some(ExternalAccount { key_id: key_id.clone(), hmac_key: read("acme_eab_hmac_file", file)? })
        }
        _ => None,
    };
    Ok(Settings {
        certificates: certificates(config),
        email: config.acme_email.as_ref().map(Value::text),
        directory: config.acme_directory.url().to_owned(),
        challenges: challenges(config),
        state: state_directory(config)?,
        ca_certs: config.acme_ca_certs.as_ref().map(|path| read("acme_ca_certs", path)).transpose()?,
        external_account: external,
        renew_before: Some(config.acme_renew_before).filter(|ahead| !ahead.is_zero()),
        retry_delay: config.acme_retry_delay,
        retry_delay_max: config.acme_retry_delay_max,
        timeout: config.acme_timeout,
    })
}

fn certificates(config: &Config) -> Vec<Names> {
    // The table accepts no name that this check refuses.
    config.acme.iter().filter_map(|certificate| Names::new(certificate.names().to_vec())).collect()
}

/// The challenges to use, the most likely to succeed first.
fn challenges(config: &Config) -> Vec<Challenge> {
    match config.acme_challenge {
        AcmeChallenge::Http01 => vec![Challenge::Http01],
        AcmeChallenge::TlsAlpn01 => vec![Challenge::TlsAlpn01],
        AcmeChallenge::Auto if speaks_plain_http(config) => vec![Challenge::Http01, Challenge::TlsAlpn01],
        AcmeChallenge::Auto => vec![Challenge::TlsAlpn01, Challenge::Http01],
    }
}

/// Whether the authority could fetch a file from some address.
fn speaks_plain_http(config: &Config) -> bool {
    config.bind.iter().any(|address| {
        let protocol = address.protocol().unwrap_or(config.protocol);
        match address.is_secured() {
            Some(is_secured) => !is_secured && matches!(protocol, Protocol::Http | Protocol::Auto),
            None => protocol == Protocol::Auto,
        }
    })
}

/// The folder of keys and certificates.
fn state_directory(config: &Config) -> Result<PathBuf, String> {
    if let Some(directory) = &config.acme_state_dir {
        return std::path::absolute(directory)
            .map_err(|error| format!("acme_state_dir: {}: {error}", directory.display()));
    }
    default_state_directory(&|name| env::var_os(name).filter(|value| !value.is_empty()), own_uid() == 0).ok_or_else(
        || "acme: there is no home directory to keep certificates in; name a folder with acme_state_dir".to_owned(),
    )
}

fn default_state_directory(variable: &dyn Fn(&str) -> Option<OsString>, is_root: bool) -> Option<PathBuf> {
    // systemd.exec(5): several are separated by colons.
    if let Some(given) = variable("STATE_DIRECTORY") {
        let given = given.into_string().ok()?;
        return Some(Path::new(given.split(':').next()?).join("acme"));
    }
    if is_root {
        return Some("/var/lib/farrier/acme".into());
    }
    let home = || variable("HOME").map(|home| Path::new(&home).join(".local/state"));
    let base = variable("XDG_STATE_HOME").map(PathBuf::from).filter(|base| base.is_absolute()).or_else(home)?;
    Some(base.join("farrier/acme"))
}

/// Checks the settings, and makes the state directory and missing temporary certificates.
///
/// # Errors The error, or what cannot be made and what to do.
pub(crate) fn prepare(config: &Config, identity: Option<&Identity>, log: &ErrorLog) -> Result<(), String> {
    for warning in check(config)? {
        log.write(Level::Warning, &warning);
    }
    if !is_wanted(config) {
        return Ok(());
    }
    let state = State::at(state_directory(config)?);
    let fill = || -> Result<(), StateError> {
        state.prepare()?;
        certificates(config).iter().try_for_each(|names| put_placeholder(&state, names, log))
    };
    let filled = match identity.filter(|identity| !identity.is_own()) {
        // Files there are made as the workers' user, with its permissions only.
        Some(identity) => state.give((identity.uid, identity.gid)).and_then(|()| identity.on_files(fill)),
        None => fill(),
    };
    filled.map_err(|error| {
        format!("acme: {error}; make a folder that is writable for the workers' user and name it with acme_state_dir")
    })
}

/// Writes a temporary certificate where there is none.
fn put_placeholder(state: &State, names: &Names, log: &ErrorLog) -> Result<(), StateError> {
    if state.certificate(names).exists() {
        return Ok(());
    }
    let pem = match placeholder(names) {
        Ok(pem) => pem,
        Err(reason) => {
            log.write(Level::Error, &reason);
            return Ok(());
        }
    };
    if state.put_first(names, &pem)? {
        let text = format!(
            "There is no certificate for {} yet: a temporary self-signed one is served until the authority has issued one",
            names.all().join(", ")
        );
        log.write(Level::Warning, &text);
    }
    Ok(())
}

/// The files of the certificates that are ordered, each with its chain and key.
///
/// # Errors
/// There is no place for them.
pub(crate) fn certificate_files(config: &Config) -> Result<Vec<PathBuf>, String> {
    if !is_wanted(config) {
        return Ok(Vec::new());
    }
    let state = State::at(state_directory(config)?);
    Ok(certificates(config).iter().map(|names| state.certificate(names)).collect())
}

/// The folder of answers to challenges of this kind; `None` if there are never any.
pub(crate) fn answers(config: &Config, kind: Challenge) -> Option<PathBuf> {
    let is_used = is_wanted(config) && challenges(config).contains(&kind);
    is_used.then(|| state_directory(config).ok()).flatten().map(|directory| State::at(directory).challenges(kind))
}

/// The main function of the helper; runs in its process and returns its exit code.
pub(crate) fn live(config: &Config, identity: Option<&Identity>, link: &CompanionLink, keyring: &KeyringReader) -> i32 {
    title::set("farrier: acme");
    let say = |level: farrier_acme::Level, text: &str| {
        let level = match level {
            farrier_acme::Level::Info => SupervisorLevel::Info,
            farrier_acme::Level::Warning => SupervisorLevel::Warning,
            farrier_acme::Level::Error => SupervisorLevel::Error,
        };
        link.say(level, text);
    };
    // Read before it changes its user: the files may be root's.
    let settings = match settings(config) {
        Ok(settings) => settings,
        Err(reason) => {
            say(farrier_acme::Level::Error, &reason);
            return EXIT_USER;
        }
    };
    if let Some(identity) = identity
        && let Err(error) = identity.assume()
    {
        say(farrier_acme::Level::Error, &format!("acme: cannot become user {}: {error}", identity.uid));
        return EXIT_USER;
    }
    match link.alive() {
        Ok(alive) => farrier_acme::run(&settings, alive, &say, &|name, leaf| is_published(keyring, name, leaf)),
        Err(error) => {
            say(farrier_acme::Level::Error, &format!("acme: out of descriptors: {error}"));
            EXIT_USER
        }
    }
}

/// Whether workers use this certificate when they prove a name.
fn is_published(keyring: &KeyringReader, name: &str, leaf: &[u8]) -> bool {
    let contents = keyring.read().and_then(|(_, bytes)| Contents::decode(&bytes));
    let challenges = contents.into_iter().flat_map(|contents| contents.challenges);
    challenges.into_iter().any(|challenge| {
        challenge.origin == name && challenge.chain.first().is_some_and(|published| published.as_ref() == leaf)
    })
}
