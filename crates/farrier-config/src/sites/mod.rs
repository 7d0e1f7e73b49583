//! Plans the sites from the settings: each site with its names and mounts, checked for contradictions.

mod balancing;
mod check;
mod proxied;
mod redirect_loop;

pub use self::proxied::SERVERS_MAX;
use std::collections::BTreeMap;

use crate::error::Problem;
use crate::table::Config;
use crate::tables::{Mount, Place, StaticMount};
use crate::value::{Bytes, Compress, ErrorPages, HostName, HostPattern, ProxyTarget, RedirectTarget, UrlPrefix, Value};

/// A site: its host names, and what it serves.
#[derive(Debug, Clone, PartialEq)]
pub struct SitePlan {
    /// The names that it serves; empty if it serves every name that no other site has.
    pub hosts: Vec<HostPattern>,
    /// It serves every name that no other site serves.
    pub is_default: bool,
    /// Its canonical host.
    pub canonical_host: Option<HostName>,
    /// Its mounts, each below a path of its own.
    pub mounts: Vec<MountPlan>,
    /// Pages for answers that the server makes itself: the site's own, then those for all sites.
    pub error_pages: ErrorPages,
    /// Where the site is written; the default value for the default site.
    pub place: Place,
}

/// A WSGI application, wherever it is mounted.
#[derive(Debug, Clone, PartialEq)]
pub struct ApplicationPlan {
    /// Its specification; `None` for the one that the working directory holds.
    pub name: Option<String>,
    /// The first place where it is mounted, for messages: a path, or a host's name and a path.
    pub at: String,
    /// Where that is written.
    pub place: Place,
}

/// A mount: what is served below a path.
#[derive(Debug, Clone, PartialEq)]
pub struct MountPlan {
    /// The path.
    pub path: UrlPrefix,
    /// What is served there.
    pub target: Target,
    /// The longest request body, if it differs from the server's.
    pub body_bytes_max: Option<u64>,
    /// The codings for an application's responses, if they differ from the server's.
    pub compress: Option<Compress>,
    /// Whether an application is called before the request body has arrived, if it differs from the server's.
    pub stream_request_body: Option<bool>,
    /// Where the mount is written.
    pub place: Place,
}

/// What a mount leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    /// A WSGI application, by its specification; `None` for the one that the working directory holds.
    Application(Option<String>),
    /// A folder of files.
    Static(StaticMount),
    /// Other servers, which requests are forwarded to.
    Proxy(Box<ProxyPlan>),
    /// A redirect.
    Redirect {
        /// Its URL.
        target: RedirectTarget,
        /// 301, 302, 303, 307 or 308.
        status: u16,
    },
    /// A fixed response.
    Respond {
        /// Its status.
        status: u16,
        /// Its content; `None` for the page of its status.
        content: Option<String>,
        /// The content's media type.
        content_type: String,
    },
}

/// How a mount forwards requests.
#[derive(Debug, Clone, PartialEq)]
pub struct ProxyPlan {
    /// Where they go.
    pub target: ProxyTarget,
    /// The mount, with the keys that say what is changed on the way.
    pub mount: Mount,
}

impl Config {
    /// The sites, the default one first if there is one.
    ///
    /// # Errors Every contradiction, with its place.
    pub fn site_plans(&self) -> Result<Vec<SitePlan>, Vec<Problem>> {
        self.site_plans_with(&mut |_| Ok(Vec::new()))
    }

    /// The sites. `folders` gives the folders for each `auto`, which stands for those of the application's own
    /// settings.
    ///
    /// # Errors Every contradiction, with its place; and the errors of `folders`.
    pub fn site_plans_with(
        &self,
        folders: &mut dyn FnMut(&StaticMount) -> Result<Vec<StaticMount>, Problem>,
    ) -> Result<Vec<SitePlan>, Vec<Problem>> {
        let mut problems = Vec::new();
        let plans = plans(self, folders, &mut problems);
        check::check(self, &plans, &mut problems);
        if problems.is_empty() { Ok(plans) } else { Err(problems) }
    }

    /// The applications in the order of the sites, each once. Within a site, the one at the root comes first. Hooks get
    /// the first application.
    pub fn applications(&self) -> Vec<ApplicationPlan> {
        let mut found: Vec<ApplicationPlan> = Vec::new();
        for site in plans(self, &mut |_| Ok(Vec::new()), &mut Vec::new()) {
            let mut mounts: Vec<&MountPlan> = site.mounts.iter().collect();
            mounts.sort_by_key(|mount| !mount.path.is_root());
            for mount in mounts {
                let Target::Application(name) = &mount.target else { continue };
                if found.iter().all(|other| other.name != *name) {
                    let path = Value::text(&mount.path);
                    let at = match site.hosts.first() {
                        Some(host) if !self.sites.is_empty() => format!("{host}{path}"),
                        _ => path,
                    };
                    found.push(ApplicationPlan { name: name.clone(), at, place: mount.place.clone() });
                }
            }
        }
        found
    }

    /// Whether to look for the application in the working directory: no setting says what to serve.
    pub fn looks_for_application(&self) -> bool {
        let has_handler = |mounts: &[Mount]| mounts.iter().any(|mount| mount.app.is_some() || mount.proxy.is_some());
        let has_root = self.mounts.iter().any(|mount| mount.path.is_root())
            || self.static_files.iter().any(|files| files.url.is_root() && !files.is_auto());
        let has_handler = has_handler(&self.mounts) || !self.proxies.is_empty();
        self.wsgi_app.is_none() && self.sites.is_empty() && !has_root && !has_handler
    }
}

fn plans(
    config: &Config,
    folders: &mut dyn FnMut(&StaticMount) -> Result<Vec<StaticMount>, Problem>,
    problems: &mut Vec<Problem>,
) -> Vec<SitePlan> {
    let mut plans = Vec::new();
    let body = |own: Option<Bytes>| own.map(|bytes| bytes.0);
    let has_own = config.wsgi_app.is_some()
        || !config.mounts.is_empty()
        || !config.proxies.is_empty()
        || !config.static_files.is_empty();
    if config.sites.is_empty() || has_own {
        let place = |setting: &str| Place(config.source_of(setting).cloned().unwrap_or_default());
        let static_files = expanded(&config.static_files, folders, problems);
        let proxies = config.proxies.iter().map(Mount::of_proxy);
        let own: Vec<Mount> = config.mounts.iter().cloned().chain(proxies).collect();
        let mut mounts = mounts(&own, &static_files, Inherited::default(), problems);
        if config.wsgi_app.is_some() || config.looks_for_application() {
            mounts.push(MountPlan {
                path: UrlPrefix::root(),
                target: Target::Application(config.wsgi_app.clone()),
                body_bytes_max: None,
                compress: None,
                stream_request_body: None,
                place: place("wsgi_app"),
            });
        }
        plans.push(SitePlan {
            hosts: config.allowed_hosts.clone(),
            is_default: config.allowed_hosts.is_empty(),
            canonical_host: config.canonical_host.clone(),
            mounts,
            error_pages: config.error_pages.clone(),
            place: place("allowed_hosts"),
        });
    }
    for site in &config.sites {
        let limit = body(site.limit_request_body);
        let inherited = Inherited {
            body_bytes_max: limit,
            compress: site.compress.clone(),
            stream_request_body: site.stream_request_body,
        };
        let static_files = expanded(&site.static_files, folders, problems);
        let mut mounts = mounts(&site.mounts, &static_files, inherited, problems);
        if let Some(app) = &site.app {
            mounts.push(MountPlan {
                path: UrlPrefix::root(),
                target: Target::Application(Some(app.clone())),
                body_bytes_max: limit,
                compress: site.compress.clone(),
                stream_request_body: site.stream_request_body,
                place: site.place.clone(),
            });
        }
        let pages: BTreeMap<_, _> = config
            .error_pages
            .0
            .iter()
            .chain(&site.error_pages.0)
            .map(|(status, path)| (*status, path.clone()))
            .collect();
        plans.push(SitePlan {
            hosts: site.hosts.clone(),
            is_default: site.is_default,
            canonical_host: site.canonical_host.clone(),
            mounts,
            error_pages: ErrorPages(pages),
            place: site.place.clone(),
        });
    }
    // Requests that belong to no site go to the default site.
    plans.sort_by_key(|site| !site.is_default);
    plans
}

/// The folders, with each `auto` replaced by the folders that the application names.
fn expanded(
    static_files: &[StaticMount],
    folders: &mut dyn FnMut(&StaticMount) -> Result<Vec<StaticMount>, Problem>,
    problems: &mut Vec<Problem>,
) -> Vec<StaticMount> {
    let mut expanded = Vec::new();
    for files in static_files {
        match files.is_auto() {
            false => expanded.push(files.clone()),
            true => match folders(files) {
                Ok(found) => expanded.extend(found),
                Err(problem) => problems.push(problem),
            },
        }
    }
    expanded
}

/// What mounts inherit from their site.
#[derive(Default)]
struct Inherited {
    body_bytes_max: Option<u64>,
    compress: Option<Compress>,
    stream_request_body: Option<bool>,
}

fn mounts(
    mounts: &[Mount],
    static_files: &[StaticMount],
    inherited: Inherited,
    problems: &mut Vec<Problem>,
) -> Vec<MountPlan> {
    let mut plans = Vec::new();
    for mount in mounts {
        match target(mount) {
            Ok(target) => plans.push(MountPlan {
                path: mount.path.clone(),
                target,
                body_bytes_max: mount.limit_request_body.map(|bytes| bytes.0).or(inherited.body_bytes_max),
                compress: mount.compress.clone().or_else(|| inherited.compress.clone()),
                stream_request_body: mount.stream_request_body.or(inherited.stream_request_body),
                place: mount.place.clone(),
            }),
            Err(sentence) => {
                let path = mount.path.text();
                problems.push(Problem::at(mount.place.0.clone(), format!("mount `{path}`: {sentence}")));
            }
        }
    }
    plans.extend(static_files.iter().map(|files| MountPlan {
        path: files.url.clone(),
        target: Target::Static(files.clone()),
        body_bytes_max: inherited.body_bytes_max,
        compress: None,
        stream_request_body: None,
        place: files.place.clone(),
    }));
    plans
}

/// What a mount leads to; the error is a message.
fn target(mount: &Mount) -> Result<Target, String> {
    let status = mount.status.map(|status| status.0);
    let said = [
        ("app", mount.app.is_some()),
        ("static", mount.directory.is_some()),
        ("proxy", mount.proxy.is_some()),
        ("redirect", mount.redirect.is_some()),
        ("respond", mount.respond.is_some()),
    ];
    let said: Vec<&str> = said.iter().filter(|(_, is_said)| *is_said).map(|(key, _)| *key).collect();
    if let [first, second, ..] = said.as_slice() {
        return Err(format!("`{first}` and `{second}` cannot both answer"));
    }
    if let (Some(_), ["app" | "static" | "proxy"]) = (status, said.as_slice()) {
        return Err(format!("`status` belongs to `redirect` and `respond`, not to `{}`", said[0]));
    }
    if mount.compress.is_some() && mount.app.is_none() && mount.proxy.is_none() {
        return Err("`compress` belongs to `app` and `proxy`: nothing else is compressed".into());
    }
    if let Some(sentence) = proxied::misplaced(mount) {
        return Err(sentence);
    }
    if mount.stream_request_body.is_some() && mount.app.is_none() {
        return Err("`stream_request_body` belongs to `app`: nothing else reads a request body".into());
    }
    Ok(match mount {
        Mount { app: Some(app), .. } => Target::Application(Some(app.clone())),
        Mount { directory: Some(directory), .. } => {
            let files = StaticMount::new(mount.path.clone(), directory.clone());
            Target::Static(StaticMount { place: mount.place.clone(), ..files })
        }
        Mount { proxy: Some(target), .. } => {
            Target::Proxy(Box::new(ProxyPlan { target: target.clone(), mount: mount.clone() }))
        }
        Mount { redirect: Some(target), .. } => match status.unwrap_or(308) {
            status @ (301 | 302 | 303 | 307 | 308) => Target::Redirect { target: target.clone(), status },
            other => return Err(format!("a redirect has the status 301, 302, 303, 307 or 308, not {other}")),
        },
        Mount { respond: None, .. } if status.is_none() => {
            return Err(
                "nothing answers there: give it one of `app`, `static`, `proxy`, `redirect`, `respond`, `status`"
                    .into(),
            );
        }
        Mount { respond, content_type, .. } => match status.unwrap_or(200) {
            status if content_type.is_empty() || content_type.contains(|c: char| c.is_control() || !c.is_ascii()) => {
                return Err(format!("`content_type` of the answer {status} is no media type"));
            }
            204 | 304 if respond.is_some() => return Err("an answer 204 or 304 has no content".into()),
            status => Target::Respond { status, content: respond.clone(), content_type: content_type.clone() },
        },
    })
}
