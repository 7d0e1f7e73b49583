//! The certificate of `--dev-tls`: self-signed, for this machine's own names, kept in the user's cache.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use farrier_log::moment::Moment;
use farrier_tls::certificates::IdentityFiles;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType, date_time_ymd};

/// How long a certificate is valid.
const LIFETIME: Duration = Duration::from_secs(365 * 86_400);

/// A certificate that expires within this time is replaced.
const MARGIN: Duration = Duration::from_secs(30 * 86_400);

/// The file with certificate and key. It is made if there is none, or none that is still valid.
///
/// # Errors
/// There is no place for it, or it cannot be written.
pub(crate) fn file() -> Result<PathBuf, String> {
    let host = host_name();
    let folder = cache_folder()
        .ok_or("dev_tls: there is no place for the certificate: neither XDG_CACHE_HOME nor HOME is set")?;
    let path = folder.join(format!("dev-{host}.pem"));
    if is_usable(&path) {
        return Ok(path);
    }
    let failed = |error: &dyn std::fmt::Display| format!("dev_tls: cannot write {}: {error}", path.display());
    DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(|error| failed(&error))?;
    let text = made(&host).map_err(|error| format!("dev_tls: cannot make a certificate: {error}"))?;
    // Several servers may start at once: each writes its own file, and the last one stays.
    let temporary = folder.join(format!("dev-{host}.{}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&temporary, &path));
    written.map_err(|error| failed(&error))?;
    Ok(path)
}

/// The log line about the certificate at the start.
pub(crate) fn notice(path: &Path) -> String {
    format!(
        "Serving with a certificate for development, for localhost and this machine alone: {0}. Browsers warn of it, because \
         nobody vouches for it; accept the warning, or trust the file (curl --cacert {0})",
        path.display()
    )
}

fn is_usable(path: &Path) -> bool {
    let files = IdentityFiles { certificate: path.to_owned(), key: None };
    files.load(SystemTime::now() + MARGIN).is_ok_and(|loaded| loaded.warnings.is_empty())
}

fn made(host: &str) -> Result<String, rcgen::Error> {
    let mut names = vec!["localhost".to_owned()];
    if host != "localhost" {
        names.push(host.to_owned());
    }
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Farrier development certificate");
    let now = SystemTime::now();
    let date = |time: SystemTime| {
        let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let day = Moment::at(seconds as i64, 0, 0);
        date_time_ymd(day.year as i32, day.month as u8, day.day as u8)
    };
    // Midnight has been already, everywhere.
    (params.not_before, params.not_after) = (date(now), date(now + LIFETIME));
    let certificate = params.self_signed(&key)?;
    Ok(certificate.pem() + &key.serialize_pem())
}

fn cache_folder() -> Option<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
    Some(cache.join("farrier"))
}

/// The machine's name, if it is valid in a certificate.
fn host_name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim().to_ascii_lowercase();
    let is_name =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    if is_name { name } else { "localhost".to_owned() }
}
