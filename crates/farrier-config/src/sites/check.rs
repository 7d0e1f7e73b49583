//! Finds contradictions in sites and mounts.

use super::{SitePlan, proxied, redirect_loop};
use crate::error::Problem;
use crate::table::Config;
use crate::value::{HostPattern, Value};

/// The most sites, and the most mounts of one site: a request's site and mount are stored in 32 bits.
const SITES_MAX: usize = 10_000;

pub(super) fn check(config: &Config, plans: &[SitePlan], problems: &mut Vec<Problem>) {
    names(plans, problems);
    proxied::check(config, plans, problems);
    defaults(config, plans, problems);
    if plans.len() > SITES_MAX || plans.iter().any(|site| site.mounts.len() > SITES_MAX) {
        problems.push(Problem {
            source: None,
            message: format!("there are more than {SITES_MAX} sites, or mounts of one"),
        });
    }
    for site in plans {
        mounts(site, problems);
        canonical(site, problems);
        for mount in &site.mounts {
            if redirect_loop::leads_back(site, mount) {
                let message = format!(
                    "mount `{}`: the redirect leads back to itself: name another host, or a path that another mount answers",
                    mount.path.text()
                );
                problems.push(Problem::at(mount.place.0.clone(), message));
            }
        }
    }
}

/// A name belongs to one site only.
fn names(plans: &[SitePlan], problems: &mut Vec<Problem>) {
    let mut seen: Vec<(String, &SitePlan)> = Vec::new();
    for site in plans {
        for host in &site.hosts {
            let expanded = match host {
                HostPattern::Within(name) => {
                    vec![HostPattern::Exact(name.clone()), HostPattern::Below(name.clone())]
                }
                other => vec![other.clone()],
            };
            for name in expanded.iter().map(ToString::to_string) {
                if let Some((_, first)) = seen.iter().find(|(known, _)| *known == name) {
                    let message = format!("site: the host `{name}` is served already ({})", first.place);
                    problems.push(Problem::at(site.place.0.clone(), message));
                } else {
                    seen.push((name, site));
                }
            }
        }
    }
}

fn defaults(config: &Config, plans: &[SitePlan], problems: &mut Vec<Problem>) {
    for site in &config.sites {
        if site.hosts.is_empty() && !site.is_default {
            let message = "site: no request could reach it: give it `hosts`, or `default = true`";
            problems.push(Problem::at(site.place.0.clone(), message));
        }
    }
    let mut found = plans.iter().filter(|site| site.is_default);
    if let (Some(first), Some(second)) = (found.next(), found.next()) {
        let (place, message) = match plans.len() > config.sites.len() && first.hosts.is_empty() {
            true => (
                second,
                "site: what stands outside of any site (`wsgi_app`, `mount`, `static`) serves all other names already: move \
                 it into a site, or give it `allowed_hosts`"
                    .to_string(),
            ),
            false => (second, format!("site: there is a default site already ({})", first.place)),
        };
        problems.push(Problem::at(place.place.0.clone(), message));
    }
    if plans.len() == config.sites.len() {
        for name in ["allowed_hosts", "canonical_host"] {
            if let Some(source) = config.source_of(name).filter(|_| config.is_set(name)) {
                let message = format!(
                    "{name}: it is for what stands outside of any `[[site]]`, and nothing does: sites have `hosts` and \
                     `canonical_host` of their own"
                );
                problems.push(Problem::at(source.clone(), message));
            }
        }
    }
}

/// A path belongs to one mount only, and a site must have something to serve.
fn mounts(site: &SitePlan, problems: &mut Vec<Problem>) {
    for (index, mount) in site.mounts.iter().enumerate() {
        if let Some(first) = site.mounts[..index].iter().find(|other| other.path == mount.path) {
            let message = format!("the path `{}` is mounted already ({})", mount.path.text(), first.place);
            problems.push(Problem::at(mount.place.0.clone(), message));
        }
    }
    if site.mounts.is_empty() && problems.is_empty() {
        let message = "site: nothing answers there: give it `app`, a `[[site.mount]]` or a `[[site.static]]`";
        problems.push(Problem::at(site.place.0.clone(), message));
    }
}

/// The canonical host must be one of the site's names, or the redirect would never end.
fn canonical(site: &SitePlan, problems: &mut Vec<Problem>) {
    if let Some(name) = &site.canonical_host
        && !site.is_default
        && !site.hosts.iter().any(|host| host.serves(name))
    {
        let message = format!("canonical_host: `{name}` is not among the names that are served here");
        problems.push(Problem::at(site.place.0.clone(), message));
    }
}
