//! Sites: chooses the site for a host and its mount for a path. It knows each site's error pages and the longest body
//! that each mount accepts.

mod choice;
mod fixed;
mod hosts;
mod pages;
mod paths;
mod redirect;
mod router;

use std::collections::BTreeMap;
use std::path::PathBuf;

use farrier_http::{BodyFraming, Request, Status};
use farrier_protocol::rescue::Page;
use farrier_protocol::rules::SiteRules;

use self::choice::{Choice, Slot};
use self::hosts::Hosts;
use self::pages::Pages;
use self::paths::Prefixes;

pub use self::fixed::Fixed;
pub use self::hosts::Name;
pub use self::pages::PAGE_BYTES_MAX;
pub use self::redirect::{Part, Redirect};
pub use self::router::route;

/// The parts of a site.
#[derive(Debug, Clone, Default)]
pub struct SiteParts {
    /// The names that the site serves.
    pub names: Vec<Name>,
    /// Whether the site serves every name that no other site serves.
    pub is_default: bool,
    /// The site's canonical name, in lower case.
    pub canonical: Option<String>,
    /// The site's mounts, in the order of their handlers.
    pub mounts: Vec<MountParts>,
    /// Files of error pages, by status.
    pub pages: BTreeMap<u16, PathBuf>,
}

/// The parts of a mount, beside its handler.
#[derive(Debug, Clone, Default)]
pub struct MountParts {
    /// The decoded path prefix of the mount, without a slash at its end. Empty for the root.
    pub prefix: String,
    /// The longest body, if the mount has a limit of its own.
    pub body_bytes_max: Option<u64>,
}

/// The sites of a server. It is immutable, so all seats read it at the same time.
pub struct Sites {
    hosts: Hosts,
    /// The default site, for names that no other site serves.
    default: Option<usize>,
    sites: Vec<Site>,
    /// Error pages for requests that no site serves.
    pages: Pages,
    /// The path prefix in front of every mount, unless a proxy names another.
    base: Vec<u8>,
    /// Whether any mount has a limit for bodies of its own.
    has_limits: bool,
}

struct Site {
    prefixes: Prefixes,
    /// The longest body, by mount.
    body_bytes_max: Vec<Option<u64>>,
    canonical: Option<Vec<u8>>,
    pages: Pages,
}

impl Sites {
    /// Makes the sites, and reads their error pages from the files.
    ///
    /// # Arguments
    ///
    /// `pages` are the error pages for requests that no site serves. `base` is the path of the server's root as clients
    /// see it (`SCRIPT_NAME`), without a slash at its end.
    ///
    /// # Errors
    /// A sentence for each page that cannot be read or is too large.
    pub fn of(parts: Vec<SiteParts>, pages: &BTreeMap<u16, PathBuf>, base: &str) -> Result<Sites, Vec<String>> {
        let mut problems = Vec::new();
        let common = Pages::read(pages, &mut problems);
        let mut sites = Vec::new();
        let named = parts.iter().enumerate().flat_map(|(site, parts)| parts.names.iter().map(move |name| (name, site)));
        let (hosts, default) = (Hosts::new(named), parts.iter().position(|parts| parts.is_default));
        for parts in parts {
            let pages = Pages::read(&parts.pages, &mut problems);
            sites.push(Site {
                prefixes: Prefixes::new(parts.mounts.iter().map(|mount| mount.prefix.as_str())),
                body_bytes_max: parts.mounts.iter().map(|mount| mount.body_bytes_max).collect(),
                canonical: parts.canonical.map(String::into_bytes),
                pages,
            });
        }
        match problems.is_empty() {
            true => Ok(Sites {
                hosts,
                default,
                has_limits: sites.iter().any(|site| site.body_bytes_max.iter().any(Option::is_some)),
                sites,
                pages: common,
                base: base.as_bytes().to_vec(),
            }),
            false => {
                // Several sites may share a page.
                problems.sort();
                problems.dedup();
                Err(problems)
            }
        }
    }

    /// Whether there is a choice to make: false for one application that serves every name and path.
    pub fn have_choices(&self) -> bool {
        let [site] = self.sites.as_slice() else { return true };
        self.default.is_none() || site.canonical.is_some() || self.has_limits || !site.prefixes.is_root_alone()
    }

    /// Whether the engine needs the sites: there is a choice to make, or there are error pages.
    pub fn are_needed(&self) -> bool {
        self.have_choices() || !self.pages.is_empty() || self.sites.iter().any(|site| !site.pages.is_empty())
    }

    /// The error page for a request that is answered before a site was chosen for it.
    pub(crate) fn page_for(&self, request: &Request, status: Status) -> Option<&Page> {
        self.page(self.choose(request, true).number(), status)
    }

    /// A site's canonical name.
    fn canonical_of(&self, site: usize) -> Option<&[u8]> {
        self.sites.get(site)?.canonical.as_deref()
    }

    fn limit_of(&self, choice: Choice) -> Option<u64> {
        let Slot::Mount(mount) = choice.slot() else { return None };
        *self.sites.get(choice.site())?.body_bytes_max.get(mount)?
    }

    /// Chooses site and mount for a request. `is_decided` means that the fields of trusted proxies have been evaluated.
    fn choose(&self, request: &Request, is_decided: bool) -> Choice {
        let host = match is_decided && !request.forwarded.host.is_empty() {
            true => request.arena.slice(request.forwarded.host),
            false => request.host(),
        };
        let found = self.hosts.site_of(host);
        let Some(site) = found.or(self.default) else {
            let slot = if host.is_empty() { Slot::Nameless } else { Slot::Misdirected };
            return Choice::new(0, slot);
        };
        let Some(Site { prefixes, canonical, .. }) = self.sites.get(site) else {
            return Choice::new(0, Slot::NotFound);
        };
        if let Some(canonical) = canonical
            && !host.is_empty()
            && !hosts::is_named(host, canonical)
        {
            return Choice::new(site, Slot::Canonical);
        }
        let told = if is_decided { request.arena.slice(request.forwarded.prefix) } else { &[] };
        let base = if told.is_empty() { &self.base } else { told };
        match prefixes.mount_of(request.path(), request.head.gateway.path_is_decoded, base) {
            Ok(Some(mount)) => {
                let choice = Choice::new(site, Slot::Mount(mount));
                match self.limit_of(choice) {
                    // A proxy's fields for host or path may lead to another mount than the one whose limit was applied.
                    Some(limit) if is_decided && known_bytes(request) > limit => Choice::new(site, Slot::BodyTooLarge),
                    _ => choice,
                }
            }
            Ok(None) => Choice::new(site, Slot::NotFound),
            Err(paths::Ambiguous) => Choice::new(site, Slot::Ambiguous),
        }
    }
}

impl SiteRules for Sites {
    /// The error page for a status: that of the site in `choice`, or of the default site if none was chosen yet.
    fn page(&self, choice: u32, status: Status) -> Option<&Page> {
        let site = match Choice::of(choice) {
            None => self.default,
            Some(choice) if matches!(choice.slot(), Slot::Misdirected | Slot::Nameless) => None,
            Some(choice) => Some(choice.site()),
        };
        let pages = site.and_then(|site| self.sites.get(site)).map_or(&self.pages, |site| &site.pages);
        pages.page(status)
    }

    /// The longest body for a request of which only the head is known. It stores a preliminary choice, so that
    /// a refusal shows the page of the right site. The final choice is made when the request is complete.
    fn body_bytes_max(&self, request: &mut Request, usual: u64) -> u64 {
        let has_content = request.head.framing != BodyFraming::None || request.came_through_gateway();
        if !self.has_limits || !has_content {
            return usual;
        }
        let choice = Choice::of(request.choice).unwrap_or_else(|| self.choose(request, false));
        request.choice = choice.number();
        self.limit_of(choice).unwrap_or(usual)
    }
}

/// The length of the content, as far as it is known: what has arrived, or what the client has declared.
fn known_bytes(request: &Request) -> u64 {
    match request.head.framing {
        BodyFraming::Length(length) => length.max(request.body.bytes()),
        BodyFraming::None | BodyFraming::Chunked => request.body.bytes(),
    }
}

/// The host and port that the client asked for: from a trusted proxy, or else from the request itself.
fn asked_host(request: &Request) -> &[u8] {
    match request.forwarded.host.is_empty() {
        false => request.arena.slice(request.forwarded.host),
        true => request.host(),
    }
}
