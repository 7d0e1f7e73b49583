//! Detects redirects that lead back to themselves, as far as their text shows it.

use super::{MountPlan, SitePlan, Target};
use crate::value::{HostName, Piece, Value};

/// Whether a client that follows the redirect of a mount comes to the same mount again, without end. A redirect to
/// another scheme is not checked: the text does not show whether that scheme is served here.
pub(super) fn leads_back(site: &SitePlan, mount: &MountPlan) -> bool {
    let Target::Redirect { target, .. } = &mount.target else { return false };
    // A sample path of the mount; the mount's other paths lead to the same place.
    let (rest, host) = ("/x", "x.invalid");
    let path = format!("{}{rest}", mount.path.as_str());
    let mut url = String::new();
    let mut has_host = false;
    for piece in &target.0 {
        match piece {
            Piece::Text(text) => url.push_str(text),
            Piece::Path => url.push_str(&path),
            Piece::Rest => url.push_str(rest),
            Piece::Query => {}
            Piece::Host => {
                has_host = true;
                url.push_str(host);
            }
            Piece::Scheme => url.push_str("http"),
        }
    }
    let path = match url.strip_prefix("http://") {
        _ if url.starts_with('/') => url.as_str(),
        // `https://…`
        None => return false,
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let name = authority.split(':').next().unwrap_or_default();
            let is_here = serves(site, name) || has_host && name == host;
            if !is_here {
                return false;
            }
            if path.is_empty() { "/" } else { path }
        }
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let answers = |mount: &&MountPlan| {
        path.strip_prefix(mount.path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let longest = site.mounts.iter().filter(answers).max_by_key(|mount| mount.path.as_str().len());
    longest.is_some_and(|found| found.path == mount.path)
}

fn serves(site: &SitePlan, name: &str) -> bool {
    HostName::parse(name).is_ok_and(|name| site.hosts.iter().any(|host| host.serves(&name)))
}
