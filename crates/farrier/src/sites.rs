//! Opens the sites of a configuration: checks their folders, reads their error pages, and makes a handler of each
//! mount.

use std::sync::Arc;

use farrier_config::sites::{MountPlan, SitePlan, Target};
use farrier_config::value::Piece;
use farrier_config::{Config, HostPattern, Problem, RedirectTarget};
use farrier_handlers::compression::{self, Compressor};
use farrier_handlers::internal_files::{self, InternalFiles};
use farrier_handlers::sites::{Fixed, MountParts, Name, Part, Redirect, SiteParts, Sites};
use farrier_http::Handler;
use farrier_log::error::ErrorLog;
use pyo3::prelude::*;

use crate::files::{self, Files};
use crate::proxying::Proxies;
use crate::shared_upstreams::SharedUpstreams;
use crate::upstream_security::UpstreamSecurity;
use crate::{filters, proxy_policies, test_exchange};

/// The plans of the sites, and their handlers.
pub(crate) struct Opened {
    pub(crate) plans: Vec<SitePlan>,
    pub(crate) sites: Arc<Sites>,
}

/// Opens the sites, as far as possible before the applications are loaded.
///
/// # Errors A message for each error: a folder that does not exist, a page that cannot be read.
pub(crate) fn open(config: &Config) -> Result<Opened, Vec<String>> {
    opened(config, config.site_plans())
}

/// Opens the sites once the applications are loaded, whose settings may name folders.
///
/// # Errors
/// As [`open`].
pub(crate) fn open_loaded(py: Python<'_>, config: &Config) -> Result<Opened, Vec<String>> {
    let plans = config.site_plans_with(&mut |files| {
        files::expand(py, std::slice::from_ref(files)).map_err(|message| Problem { source: None, message })
    });
    opened(config, plans)
}

fn opened(config: &Config, planned: Result<Vec<SitePlan>, Vec<Problem>>) -> Result<Opened, Vec<String>> {
    let plans = planned.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<String>>())?;
    let check = |mount: &MountPlan| match &mount.target {
        Target::Static(folder) => files::check_mounts(std::slice::from_ref(folder)).err(),
        Target::Proxy(plan) => proxy_policies::policies(plan).err(),
        _ => None,
    };
    let mut problems: Vec<String> = plans.iter().flat_map(|site| &site.mounts).filter_map(check).collect();
    problems.extend(files::check_internal(config).err());
    match Sites::of(plans.iter().map(parts).collect(), &config.error_pages.0, &base()) {
        Ok(sites) if problems.is_empty() => Ok(Opened { plans, sites: Arc::new(sites) }),
        Ok(_) => Err(problems),
        Err(pages) => {
            problems.extend(pages);
            Err(problems)
        }
    }
}

/// The path of the server's root for clients: the environment variable `SCRIPT_NAME`, as in Gunicorn.
pub(crate) fn base() -> String {
    std::env::var("SCRIPT_NAME").unwrap_or_default().trim_end_matches('/').to_owned()
}

fn parts(plan: &SitePlan) -> SiteParts {
    let names = plan.hosts.iter().flat_map(|host| match host {
        HostPattern::Exact(name) => vec![Name::Exact(name.as_str().to_owned())],
        HostPattern::Below(name) => vec![Name::Below(name.as_str().to_owned())],
        HostPattern::Within(name) => {
            vec![Name::Exact(name.as_str().to_owned()), Name::Below(name.as_str().to_owned())]
        }
    });
    let mount =
        |mount: &MountPlan| MountParts { prefix: mount.path.as_str().to_owned(), body_bytes_max: mount.body_bytes_max };
    SiteParts {
        names: names.collect(),
        is_default: plan.is_default,
        canonical: plan.canonical_host.as_ref().map(|name| name.as_str().to_owned()),
        mounts: plan.mounts.iter().map(mount).collect(),
        pages: plan.error_pages.0.clone(),
    }
}

/// Makes the handler of an application, by its specification, at a mount.
pub(crate) type MakeApplication<'a> = dyn Fn(Option<&str>, &MountPlan) -> Arc<dyn Handler> + 'a;

/// The handlers of all mounts, by site.
///
/// `application` makes those of applications; their filters are added here.
///
/// # Errors A folder cannot be served.
pub(crate) fn handlers(
    config: &Config,
    security: &UpstreamSecurity,
    plans: &[SitePlan],
    application: &MakeApplication<'_>,
    log: &Arc<ErrorLog>,
    upstreams: SharedUpstreams,
) -> Result<Vec<Vec<Arc<dyn Handler>>>, String> {
    let files = Files::new(config, log);
    let internal = files::internal(config, &files)?;
    let compressor = filters::compressor(config, &config.compress);
    let proxies = Proxies::new(config, security, log, upstreams);
    let makers = Makers { config, compressor, files, internal, proxies, application };
    let handlers: Result<Vec<Vec<Arc<dyn Handler>>>, String> =
        plans.iter().map(|site| site.mounts.iter().map(|mount| makers.handler(mount)).collect()).collect();
    makers.proxies.start();
    handlers
}

/// The parts that handlers of mounts need.
struct Makers<'a> {
    config: &'a Config,
    compressor: Option<Arc<Compressor>>,
    files: Files,
    internal: Option<Arc<InternalFiles>>,
    proxies: Proxies<'a>,
    application: &'a MakeApplication<'a>,
}

impl Makers<'_> {
    fn handler(&self, mount: &MountPlan) -> Result<Arc<dyn Handler>, String> {
        Ok(match &mount.target {
            Target::Application(name) => {
                let application = test_exchange::around((self.application)(name.as_deref(), mount));
                self.with_filters(application, mount)
            }
            Target::Proxy(plan) => self.with_filters(self.proxies.handler(plan)?, mount),
            Target::Static(folder) => self.files.folder(folder)?,
            Target::Redirect { target, status } => {
                Arc::new(Redirect::new(target_parts(target), *status, mount.path.as_str()))
            }
            Target::Respond { status, content, content_type } => {
                Arc::new(Fixed::new(*status, content.clone().map(|content| (content_type.clone(), content))))
            }
        })
    }

    /// The filters for responses that this server does not make itself.
    fn with_filters(&self, handler: Arc<dyn Handler>, mount: &MountPlan) -> Arc<dyn Handler> {
        let compressor = match &mount.compress {
            Some(codings) if *codings != self.config.compress => filters::compressor(self.config, codings),
            _ => self.compressor.clone(),
        };
        internal_files::around(compression::around(handler, compressor.as_ref()), self.internal.as_ref())
    }
}

fn target_parts(target: &RedirectTarget) -> Vec<Part> {
    let part = |piece: &Piece| match piece {
        Piece::Text(text) => Part::Text(text.clone()),
        Piece::Path => Part::Path,
        Piece::Rest => Part::Rest,
        Piece::Query => Part::Query,
        Piece::Host => Part::Host,
        Piece::Scheme => Part::Scheme,
    };
    target.0.iter().map(part).collect()
}
