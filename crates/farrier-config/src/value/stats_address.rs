//! The address of the statistics.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{Rejected, Value};

/// The address at which every connection gets the statistics.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StatsAddress {
    /// A TCP address of this machine, or of all when it was written with `public:`.
    Tcp(SocketAddr),
    /// A unix socket at this path.
    Unix(PathBuf),
}

/// The prefix of an address that other machines can reach.
const PUBLIC: &str = "public:";

/// `sun_path` has 108 bytes, one of which ends the path (unix(7)).
const UNIX_PATH_BYTES_MAX: usize = 107;

impl Value for StatsAddress {
    const EXPECTED: &'static str = "`127.0.0.1:PORT`, `[::1]:PORT`, `localhost:PORT` or `unix:PATH`";
    const METAVAR: &'static str = "ADDRESS";

    fn parse(text: &str) -> Result<Self, Rejected> {
        let word = text.trim();
        if let Some(path) = word.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            let is_path = !path.is_empty() && path.len() <= UNIX_PATH_BYTES_MAX && !path.contains('\0');
            return if is_path { Ok(StatsAddress::Unix(path.into())) } else { Err(Rejected::unexpected(text)) };
        }
        let (word, is_public) = word.strip_prefix(PUBLIC).map_or((word, false), |rest| (rest, true));
        let word = word.strip_prefix("localhost:").map_or(word.to_string(), |port| format!("127.0.0.1:{port}"));
        let word = if word.starts_with(':') { format!("0.0.0.0{word}") } else { word };
        let address: SocketAddr = word.parse().map_err(|_| Rejected::unexpected(text))?;
        if !address.ip().is_loopback() && !is_public {
            let message = format!(
                "`{text}` lets other machines read the statistics; write `{PUBLIC}{text}` if that is what you want"
            );
            return Err(Rejected::because(message));
        }
        Ok(StatsAddress::Tcp(address))
    }

    fn text(&self) -> String {
        match self {
            StatsAddress::Tcp(address) if address.ip().is_loopback() => address.to_string(),
            StatsAddress::Tcp(address) => format!("{PUBLIC}{address}"),
            StatsAddress::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}
