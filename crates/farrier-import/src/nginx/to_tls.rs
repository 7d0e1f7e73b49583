//! Servers that only lead to TLS: `https_redirect`.

use super::account::Fate;
use super::conditions::Condition;
use super::files;
use super::location::Location;
use super::scope::Scope;
use super::server::Server;
use super::tree::Directive;
use super::work::{SiteOut, Work};
use farrier_config::value::quoted;

impl<'t> Server<'t> {
    /// Whether all that it answers is a redirect to the same name over TLS.
    pub(super) fn only_redirects_to_tls(&self) -> bool {
        if self.has_tls() {
            return false;
        }
        let leads = |scope: &Scope<'t>| {
            let to = |directive: &&Directive, url: Option<&String>| {
                url.is_some_and(|url| self.is_same_over_tls(url)) && directive.block.is_none()
            };
            scope.own(&["return"]).iter().any(|its| to(its, its.args.last()))
                || scope.own(&["rewrite"]).iter().any(|its| to(its, its.args.get(1)))
        };
        // As certbot writes it: each name has a condition, and nothing else is answered.
        let by_name = self.conditions.iter().any(|(_, condition)| *condition == Condition::ToHttps)
            && self.scope.own(&["return"]).iter().all(|its| its.arg() == "404");
        let mut others = self.locations.iter().filter(|location| !is_challenge(location)).peekable();
        match others.peek() {
            None => leads(&self.scope) || by_name,
            Some(_) => leads(&self.scope) || by_name || others.all(|location| leads(&location.scope)),
        }
    }

    /// Whether all that it answers is a redirect to another name over TLS.
    pub(super) fn only_leads_elsewhere_over_tls(&self) -> bool {
        let leads = |scope: &Scope<'t>| {
            scope.own(&["return"]).iter().any(|its| its.args.last().is_some_and(|url| url.starts_with("https://")))
        };
        let mut others = self.locations.iter().filter(|location| !is_challenge(location)).peekable();
        leads(&self.scope) || others.peek().is_some() && others.all(|location| leads(&location.scope))
    }

    fn is_same_over_tls(&self, url: &str) -> bool {
        let Some(rest) = url.strip_prefix("https://") else { return false };
        let own = self.names.iter().map(String::as_str);
        ["$host", "$http_host", "$server_name"].into_iter().chain(own).any(|host| {
            let rest = rest.strip_prefix(host).map(|rest| rest.trim_end_matches('?'));
            rest.is_some_and(|rest| matches!(rest, "$request_uri" | "$uri" | "$uri$is_args$args" | "$1" | "/$1"))
        })
    }
}

/// Translates a server that only leads to TLS.
pub(super) fn redirecting<'t>(work: &mut Work<'t, '_>, server: &Server<'t>, redirects_all: bool) {
    let challenges: Vec<&Location<'t>> = server.locations.iter().filter(|its| is_challenge(its)).collect();
    if redirects_all {
        for directive in server.scope.own(&["return", "rewrite", "if"]) {
            https(work, directive);
        }
        for location in server.locations.iter().filter(|its| !is_challenge(its)) {
            work.account.became(location.directive);
            for directive in location.scope.own(&["return", "rewrite", "if"]) {
                https(work, directive);
            }
        }
        work.account.became(server.directive);
        for names in server.scope.own(&["server_name"]) {
            work.account.needless(names, "requests without TLS are redirected, whatever the name");
        }
    } else {
        let says = "another server answers without TLS, so that not all requests can be redirected: set `https_redirect = true` if they may be";
        work.account.without(server.directive, says);
        server
            .directive
            .children()
            .iter()
            .filter(|its| its.name != "listen")
            .for_each(|its| work.account.rest(its, &Fate::Without(says.to_owned())));
    }
    for location in challenges {
        challenge(work, server, location);
    }
}

/// Serves the answers for an authority in the site of the same name: they are not redirected.
fn challenge<'t>(work: &mut Work<'t, '_>, server: &Server<'t>, location: &Location<'t>) {
    const PATH: &str = "/.well-known/acme-challenge/";
    let Some(folder) = files::folder(&location.scope, PATH).ok().flatten() else { return };
    let mut table = files::table(work, &location.scope, &[location.directive], PATH, &folder);
    table.says("These requests are not redirected to TLS.");
    let is_own = |site: &SiteOut| {
        let hosts = site.table.items.value("hosts").unwrap_or_default();
        server.names.iter().any(|name| hosts.contains(&quoted(name)))
    };
    let at = work.sites.iter().position(is_own).unwrap_or_default();
    let Some(site) = work.sites.get_mut(at) else { return };
    if !site.mounts.iter().any(|known| known.path() == table.path()) {
        site.mounts.push(table);
    }
    work.account.became(location.directive);
}

/// Notes what leads to TLS.
pub(super) fn https(work: &mut Work<'_, '_>, directive: &Directive) {
    work.settings.set("https_redirect", "true", &[directive]);
    work.settings.remark("https_redirect", "The redirect is 308, so that a POST stays a POST.");
    work.account.whole(directive, &Fate::Became);
}

/// Where an authority looks for its challenges.
fn is_challenge(location: &Location<'_>) -> bool {
    location.path.contains("/.well-known/acme-challenge")
}
