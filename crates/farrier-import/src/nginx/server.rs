//! `server`: sites with their names, their addresses and their certificates.

use super::account::Fate;
use super::addresses;
use super::conditions::{self, Condition};
use super::listen::Listen;
use super::location::{self, Location, Serving, body_limit};
use super::output::{Table, list};
use super::pages;
use super::redirect;
use super::scope::Scope;
use super::to_tls;
use super::tree::Directive;
use super::work::{SiteOut, Work};
use farrier_config::value::quoted;

/// A `server` before it is a site.
pub(super) struct Server<'t> {
    pub(super) directive: &'t Directive,
    pub(super) scope: Scope<'t>,
    pub(super) listens: Vec<Listen<'t>>,
    /// The names, as they are written.
    pub(super) names: Vec<String>,
    /// The `if` blocks, and what they say.
    pub(super) conditions: Vec<(&'t Directive, Condition)>,
    pub(super) locations: Vec<Location<'t>>,
}

impl<'t> Server<'t> {
    fn of(work: &mut Work<'t, '_>, directive: &'t Directive, http: &Scope<'t>) -> Server<'t> {
        let scope = http.inside(directive);
        let on = scope.one("ssl").is_some_and(|its| its.arg() == "on");
        let listed = scope.own(&["listen"]);
        let mut listens: Vec<Listen<'t>> =
            listed.iter().filter_map(|listen| Listen::of(listen, &mut work.account)).collect();
        if listed.is_empty() {
            listens.push(Listen::usual());
        }
        listens.iter_mut().for_each(|listen| listen.is_tls |= on);
        let names = scope.own(&["server_name"]).iter().flat_map(|names| names.args.clone()).collect();
        let conditions = scope.own(&["if"]).into_iter().map(|its| (its, conditions::of(its))).collect();
        let locations = location::collect(&scope);
        Server { directive, scope, listens, names, conditions, locations }
    }

    pub(super) fn has_tls(&self) -> bool {
        self.listens.iter().any(|listen| listen.is_tls)
    }

    /// Whether it only refuses, for names that nobody serves.
    fn only_refuses(&self) -> bool {
        let refuses =
            self.scope.own(&["return"]).iter().any(|its| its.arg().parse::<u16>().is_ok_and(|status| status >= 400))
                || self.scope.own(&["ssl_reject_handshake"]).iter().any(|its| its.arg() == "on");
        refuses && self.conditions.is_empty() && self.locations.is_empty()
    }

    fn is_default_of(&self, address: &str) -> bool {
        self.listens.iter().any(|listen| listen.address == address && listen.is_default)
    }
}

/// Translates all servers.
pub(super) fn translate<'t>(work: &mut Work<'t, '_>, found: &[(&'t Directive, Scope<'t>)]) {
    let all: Vec<Server<'t>> = found.iter().map(|(directive, http)| Server::of(work, directive, http)).collect();
    let (confined, servers): (Vec<Server<'t>>, Vec<Server<'t>>) = {
        let hidden: Vec<bool> = all.iter().map(|server| is_confined(server, &all)).collect();
        let mut hidden = hidden.into_iter();
        all.into_iter().partition(|_| hidden.next().unwrap_or_default())
    };
    for server in &confined {
        leave_out(work, server);
    }
    addresses::addresses(work, &servers);
    addresses::certificates(work, &servers);
    let has_tls = servers.iter().any(Server::has_tls);
    let (redirects, contents): (Vec<&Server<'t>>, Vec<&Server<'t>>) =
        servers.iter().partition(|server| has_tls && server.only_redirects_to_tls());
    let default = default_of(&servers, &redirects);
    let redirects_itself =
        |server: &Server<'t>| server.conditions.iter().any(|(_, condition)| *condition == Condition::ToHttps);
    let plain = contents.iter().find(|server| {
        let answers = !server.only_refuses() && !redirects_itself(server) && !server.only_leads_elsewhere_over_tls();
        answers && server.listens.iter().any(|listen| !listen.is_tls)
    });
    let redirects_all =
        plain.is_none() && (!redirects.is_empty() || contents.iter().any(|server| redirects_itself(server)));
    for server in &contents {
        wider(work, server, &contents, redirects_all);
    }
    for server in contents {
        if default.is_none_or(|its| its != server.directive.index) && server.only_refuses() && is_nameless(server) {
            let why = "names that no site serves are answered with 421";
            for directive in server.scope.own(&["return", "ssl_reject_handshake", "server_name"]) {
                work.account.needless(directive, why);
            }
            work.account.needless(server.directive, why);
            continue;
        }
        site(work, server, default == Some(server.directive.index), redirects_all);
    }
    for server in redirects {
        to_tls::redirecting(work, server, redirects_all);
    }
}

fn is_nameless(server: &Server<'_>) -> bool {
    server.names.iter().all(|name| matches!(name.as_str(), "_" | "" | "localhost"))
}

/// Whether nginx shows a server at some addresses only, while others are at more. A site is reached at every address.
fn is_confined(server: &Server<'_>, all: &[Server<'_>]) -> bool {
    let hosts: Vec<&str> = server.listens.iter().map(Listen::host).collect();
    let is_wider = |listen: &Listen<'_>| !hosts.contains(&listen.host());
    !server.listens.iter().any(Listen::is_everywhere) && all.iter().flat_map(|other| &other.listens).any(is_wider)
}

/// Names the addresses of a site that nginx does not show it at: another port, or one without TLS.
fn wider(work: &mut Work<'_, '_>, server: &Server<'_>, all: &[&Server<'_>], redirects_all: bool) {
    let others = || all.iter().filter(|other| other.directive.index != server.directive.index && !other.only_refuses());
    let is_plain = |other: &&&Server<'_>| other.listens.iter().any(|listen| !listen.is_tls);
    if server.listens.iter().all(|listen| listen.is_tls) && !redirects_all && others().any(|other| is_plain(&other)) {
        let says = "the site is reached without TLS, too: another one has an address without, and a site answers at every address";
        server.scope.own(&["listen"]).iter().for_each(|listen| work.account.without(listen, says));
    }
    for listen in server.listens.iter().filter(|listen| !matches!(listen.port(), "80" | "443" | "")) {
        let is_own = others().any(|other| other.listens.iter().all(|its| its.port() != listen.port()));
        if let Some(directive) = listen.directive.filter(|_| is_own) {
            let says = "the site is reached at the ports of other sites, too, and they at this one: a site answers at every address";
            work.account.without(directive, says);
        }
    }
}

/// Leaves out a server that would be reached at addresses where nginx does not show it.
fn leave_out(work: &mut Work<'_, '_>, server: &Server<'_>) {
    let says = "a site is reached at every address of `bind`, and this one is meant for this address alone: serve it with a Farrier of its own";
    for listen in server.scope.own(&["listen"]) {
        work.account.dropped(listen, says);
    }
    work.account.rest(server.directive, &Fate::Without("a site is reached at every address".to_owned()));
}

/// The server that serves unknown names: the default one of the first address that has a site.
fn default_of(servers: &[Server<'_>], redirects: &[&Server<'_>]) -> Option<usize> {
    let is_redirect = |server: &Server<'_>| redirects.iter().any(|its| its.directive.index == server.directive.index);
    let tls_first = servers.iter().flat_map(|server| &server.listens).filter(|listen| listen.is_tls);
    let plain = servers.iter().flat_map(|server| &server.listens).filter(|listen| !listen.is_tls);
    for listen in tls_first.chain(plain) {
        let on = |server: &&Server<'_>| server.listens.iter().any(|its| its.address == listen.address);
        let first = servers.iter().filter(on).find(|server| server.is_default_of(&listen.address));
        match first.or_else(|| servers.iter().find(on)) {
            Some(server) if server.only_refuses() => return None,
            Some(server) if !is_redirect(server) => return Some(server.directive.index),
            _ => {}
        }
    }
    None
}

/// Makes a site of a server.
fn site<'t>(work: &mut Work<'t, '_>, server: &Server<'t>, is_default: bool, redirects_all: bool) {
    let mut table = Table::new("[[site]]", &[server.directive]);
    let hosts = hosts(work, server);
    let has_default = work.sites.iter().any(|site| site.table.items.value("default").is_some());
    let taken = hosts.iter().find(|host| is_taken(work, host)).map(|host| format!("the name `{host}`"));
    let nameless = (hosts.is_empty() && has_default).then(|| "every other name".to_owned());
    if let Some(taken) = taken.or(nameless) {
        let message = format!(
            "{taken} has a site already: a name is one site, whatever the port. Put what differs behind other paths or names"
        );
        let refuses = Fate::Without(message);
        work.account.note(server.directive, refuses);
        let inside = Fate::Without("the server around it is not translated".to_owned());
        server
            .directive
            .children()
            .iter()
            .filter(|its| its.name != "listen")
            .for_each(|its| work.account.rest(its, &inside));
        return;
    }
    work.account.became(server.directive);
    let from = server.scope.own(&["server_name"]);
    if !hosts.is_empty() {
        table.set("hosts", list(&hosts), &from);
        from.iter().for_each(|its| work.account.became(its));
    }
    if (is_default || hosts.is_empty()) && !has_default {
        table.set("default", "true", &[]);
        if !server.listens.iter().any(|listen| listen.is_default) {
            table.items.remark("default", "nginx lets the first server of an address serve all other names.");
        }
    }
    if redirects_all && !server.has_tls() && server.only_leads_elsewhere_over_tls() {
        table.says("Without TLS a request is first redirected to the same name over TLS. So a certificate must have this name.");
    }
    let mut methods = None;
    for (directive, condition) in &server.conditions {
        match condition {
            Condition::ToHttps if redirects_all => to_tls::https(work, directive),
            Condition::Canonical(name) if hosts.iter().any(|host| host == name) => {
                table.text("canonical_host", name, &[directive]);
                table.items.remark("canonical_host", "The redirect is 308.");
                work.account.whole(directive, &Fate::Became);
            }
            Condition::Methods(words) => {
                methods = Some((*directive, list(words)));
                work.account.whole(directive, &Fate::Became);
            }
            _ => conditions::other(work, directive),
        }
    }
    if let Some(directive) = server.scope.own(&["client_max_body_size"]).pop()
        && let Some(size) = body_limit(work, directive)
    {
        table.set("limit_request_body", size, &[directive]);
        work.account.became(directive);
    }
    if let Some(directive) = server.scope.one("gzip") {
        match directive.arg() {
            "on" => {
                table.text("compress", "on", &[directive]);
                work.account.became(directive);
            }
            _ => work.account.needless(directive, "responses are not compressed unless `compress` is set"),
        }
    }
    pages::translate(work, server, &mut table);
    let mut site = SiteOut { table, mounts: Vec::new() };
    let returned = server.scope.own(&["return"]).first().copied();
    let mut serving = Serving { scope: server.scope.clone(), locations: server.locations.clone(), site: &mut site };
    if let Some(returned) = returned {
        let mut mount = Table::new("[[site.mount]]", &[]);
        mount.text("path", "/", &[]);
        if redirect::returned(work, &server.scope, &mut mount, returned) {
            serving.site.mounts.push(mount);
        }
        for location in &server.locations {
            work.account
                .whole(location.directive, &Fate::Needless("the `return` of its server answers first".to_owned()));
        }
    } else {
        serving.translate(work);
    }
    if let Some((directive, words)) = methods {
        let forwards =
            |mount: &&mut Table| mount.items.value("proxy").is_some() && mount.items.value("methods").is_none();
        site.mounts.iter_mut().filter(forwards).for_each(|mount| mount.set("methods", words.clone(), &[directive]));
    }
    if site.mounts.is_empty() {
        let mut mount = Table::new("[[site.mount]]", &[]);
        mount.text("path", "/", &[]);
        mount.set("status", "404", &[]);
        mount.says("Nothing of this server could be translated that answers.");
        site.mounts.push(mount);
    }
    work.sites.push(site);
}

fn is_taken(work: &Work<'_, '_>, host: &str) -> bool {
    let item = quoted(host);
    work.sites.iter().any(|site| {
        site.table
            .items
            .value("hosts")
            .is_some_and(|hosts| hosts.trim_matches(['[', ']']).split(", ").any(|its| its == item))
    })
}

/// The names of a site.
fn hosts(work: &mut Work<'_, '_>, server: &Server<'_>) -> Vec<String> {
    let mut hosts: Vec<String> = Vec::new();
    for directive in server.scope.own(&["server_name"]) {
        for name in &directive.args {
            let name = name.to_ascii_lowercase();
            let is_plain = |name: &str| {
                !name.is_empty()
                    && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']'))
            };
            let host = name.strip_prefix("*.").or(name.strip_prefix('.')).unwrap_or(&name);
            match name.as_str() {
                "_" | "" => work.account.needless(directive, "the site is the default one, or it is left out"),
                _ if is_plain(host) && host != "_" => {
                    if !hosts.contains(&name) {
                        hosts.push(name);
                    }
                }
                _ => work.account.without(
                    directive,
                    format!("`{name}`: a site has names, `*.NAME` and `.NAME`; write them into `hosts`"),
                ),
            }
        }
    }
    hosts
}
