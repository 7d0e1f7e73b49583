//! `server`: sites with their names, their addresses and their certificates.

use super::account::Fate;
use super::conditions::{self, Condition};
use super::files;
use super::listen::Listen;
use super::location::{self, Kind, Location, Serving, body_limit};
use super::output::{Table, list};
use super::redirect;
use super::scope::Scope;
use super::tree::Directive;
use super::work::{SiteOut, Work};
use crate::value::quoted;

/// A `server` before it is a site.
pub(super) struct Server<'t> {
    pub(super) directive: &'t Directive,
    pub(super) scope: Scope<'t>,
    pub(super) listens: Vec<Listen<'t>>,
    /// The names that a site may have.
    names: Vec<String>,
    /// Another site has some of the names.
    conditions: Vec<(&'t Directive, Condition)>,
    locations: Vec<Location<'t>>,
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

    fn has_tls(&self) -> bool {
        self.listens.iter().any(|listen| listen.is_tls)
    }

    /// Whether all that it answers is a redirect to the same name over TLS.
    fn only_redirects_to_tls(&self) -> bool {
        if self.listens.iter().any(|listen| listen.is_tls) {
            return false;
        }
        let leads = |scope: &Scope<'t>| {
            let returned = scope
                .own(&["return"])
                .iter()
                .any(|its| self.is_same_over_tls(its.args.last().map_or("", String::as_str)));
            let rewritten = scope
                .own(&["rewrite"])
                .iter()
                .any(|its| self.is_same_over_tls(its.args.get(1).map_or("", String::as_str)));
            returned || rewritten
        };
        let has_condition = self.conditions.iter().any(|(_, condition)| *condition == Condition::ToHttps);
        let others = self.locations.iter().filter(|location| !is_challenge(location));
        let mut leads_all = leads(&self.scope)
            || has_condition
                && self.scope.own(&["return"]).iter().all(|its| its.arg() == "404")
                && self.scope.own(&["proxy_pass"]).is_empty();
        for location in others {
            if !leads(&location.scope) && !(has_condition && leads_all) {
                return false;
            }
            leads_all = true;
        }
        leads_all
    }

    fn is_same_over_tls(&self, url: &str) -> bool {
        let Some(rest) = url.strip_prefix("https://") else { return false };
        let own = self.names.iter().map(String::as_str);
        ["$host", "$http_host", "$server_name"].into_iter().chain(own).any(|host| {
            let rest = rest.strip_prefix(host).map(|rest| rest.trim_end_matches('?'));
            rest.is_some_and(|rest| matches!(rest, "$request_uri" | "$uri" | "$uri$is_args$args" | "$1" | "/$1"))
        })
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

/// Where an authority looks for its challenges.
fn is_challenge(location: &Location<'_>) -> bool {
    location.path.contains("/.well-known/acme-challenge")
}

/// Translates all servers.
pub(super) fn translate<'t>(work: &mut Work<'t, '_>, found: &[(&'t Directive, Scope<'t>)]) {
    let servers: Vec<Server<'t>> = found.iter().map(|(directive, http)| Server::of(work, directive, http)).collect();
    addresses(work, &servers);
    certificates(work, &servers);
    let has_tls = servers.iter().any(Server::has_tls);
    let (redirects, contents): (Vec<&Server<'t>>, Vec<&Server<'t>>) =
        servers.iter().partition(|server| has_tls && server.only_redirects_to_tls());
    let default = default_of(&servers, &redirects);
    let redirects_itself =
        |server: &Server<'t>| server.conditions.iter().any(|(_, condition)| *condition == Condition::ToHttps);
    let plain = contents.iter().find(|server| {
        !server.only_refuses() && !redirects_itself(server) && server.listens.iter().any(|listen| !listen.is_tls)
    });
    let redirects_all =
        plain.is_none() && (!redirects.is_empty() || contents.iter().any(|server| redirects_itself(server)));
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
        redirecting(work, server, redirects_all);
    }
}

fn is_nameless(server: &Server<'_>) -> bool {
    server.names.iter().all(|name| matches!(name.as_str(), "_" | "" | "localhost"))
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

/// `bind`, and the flags of addresses, which hold for all of them.
fn addresses(work: &mut Work<'_, '_>, servers: &[Server<'_>]) {
    let listens: Vec<&Listen<'_>> = servers.iter().flat_map(|server| &server.listens).collect();
    let has_tls = listens.iter().any(|listen| listen.is_tls);
    let mut binds: Vec<String> = Vec::new();
    let mut from = Vec::new();
    let is_dual = |port: &str| listens.iter().any(|its| its.address == format!("[::]:{port}"));
    let mut is_merged = false;
    for listen in &listens {
        // On Linux an address of IPv6 for all takes IPv4 too, and the port is taken then.
        if let Some(port) = listen.address.strip_prefix("0.0.0.0:").filter(|port| is_dual(port)) {
            is_merged = true;
            let _ = port;
        } else {
            let bind = if has_tls { listen.bind() } else { listen.address.clone() };
            if !binds.contains(&bind) {
                binds.push(bind);
            }
        }
        from.extend(listen.directive);
    }
    if binds.is_empty() {
        return;
    }
    work.settings.set("bind", list(&binds), &from);
    if is_merged {
        work.settings.remark("bind", "An address `[::]` takes IPv4 too.");
    }
    for directive in &from {
        work.account.became(directive);
    }
    for listen in listens {
        let Some(directive) = listen.directive else { continue };
        if listen.has_proxy_header {
            work.global("proxy_protocol", "\"auto\"", directive);
        }
        if listen.reuses_port {
            work.global("reuse_port", "true", directive);
        }
        if let Some(backlog) = listen.backlog {
            work.global("backlog", backlog.to_string(), directive);
        }
    }
}

fn certificates<'t>(work: &mut Work<'t, '_>, servers: &[Server<'t>]) {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for server in servers.iter().filter(|server| server.has_tls()) {
        let (files, keys) = (server.scope.all(&["ssl_certificate"]), server.scope.all(&["ssl_certificate_key"]));
        for (file, key) in files.iter().zip(&keys) {
            if file.arg().contains('$') || file.arg().starts_with("data:") {
                work.account.without(
                    file,
                    "`certfile` names a file; the certificate is chosen by the name that the client sends",
                );
                work.account.without(key, "`keyfile` names a file");
                continue;
            }
            let pair = (file.arg().to_owned(), key.arg().to_owned());
            if !pairs.contains(&pair) {
                pairs.push(pair);
            }
            let files: Vec<&str> = pairs.iter().map(|(file, _)| file.as_str()).collect();
            let names: Vec<&str> = pairs.iter().map(|(_, key)| key.as_str()).collect();
            work.settings.set("certfile", list(&files), &[file]);
            work.settings.set("keyfile", list(&names), &[key]);
            work.account.became(file);
            work.account.became(key);
        }
        if let Some(protocols) = server.scope.one("ssl_protocols") {
            match protocols.args.iter().any(|its| its == "TLSv1.2")
                || !protocols.args.iter().any(|its| its == "TLSv1.3")
            {
                false => work.global("tls_min_version", "\"1.3\"", protocols),
                true => work.account.needless(protocols, "TLS 1.2 and 1.3 are spoken, and none that is older"),
            }
        }
        if let Some(tickets) = server.scope.one("ssl_session_tickets") {
            match tickets.arg() {
                "off" => work.global("tls_ticket_rotation", "0", tickets),
                _ => work.account.needless(tickets, "clients resume with tickets"),
            }
        }
        if let Some(verify) = server.scope.one("ssl_verify_client") {
            let word = match verify.arg() {
                "on" => Some("required"),
                "optional" => Some("optional"),
                "off" => None,
                _ => {
                    work.account.dropped(verify, "a certificate of a client is verified or not asked for");
                    None
                }
            };
            match word {
                Some(word) => work.global("cert_reqs", quoted(word), verify),
                None => work.account.needless(verify, "no certificate is asked for"),
            }
            if let Some(authority) = server.scope.one("ssl_client_certificate") {
                work.global("ca_certs", quoted(authority.arg()), authority);
            }
            let others =
                servers.iter().filter(|other| other.has_tls() && other.scope.one("ssl_verify_client").is_none());
            if word.is_some() && others.count() > 0 {
                work.settings
                    .remark("cert_reqs", "It holds for all sites, also for those that asked for no certificate.");
            }
        }
    }
}

/// Makes a site of a server.
fn site<'t>(work: &mut Work<'t, '_>, server: &Server<'t>, is_default: bool, redirects_all: bool) {
    let mut table = Table::new("[[site]]", &[server.directive]);
    let hosts = hosts(work, server);
    if let Some(taken) = hosts.iter().find(|host| is_taken(work, host)) {
        let message = format!(
            "the name `{taken}` has a site already: a name is one site, whatever the port. Put what differs behind other paths or names"
        );
        let refuses = Fate::Without(message);
        work.account.note(server.directive, refuses);
        let inside = Fate::Without("the server around it is not translated".to_owned());
        server.directive.children().iter().filter(|its| its.name != "listen").for_each(|its| rest(work, its, &inside));
        return;
    }
    work.account.became(server.directive);
    let from = server.scope.own(&["server_name"]);
    if !hosts.is_empty() {
        table.set("hosts", list(&hosts), &from);
        from.iter().for_each(|its| work.account.became(its));
    }
    if is_default || hosts.is_empty() {
        table.set("default", "true", &[]);
        if !server.listens.iter().any(|listen| listen.is_default) {
            table.items.remark("default", "nginx lets the first server of an address serve all other names.");
        }
    }
    let mut is_redirecting = false;
    for (directive, condition) in &server.conditions {
        match condition {
            Condition::ToHttps if redirects_all => is_redirecting = true,
            Condition::Canonical(name) if hosts.iter().any(|host| host == name) => {
                table.text("canonical_host", name, &[directive]);
                table.items.remark("canonical_host", "The redirect is 308.");
                work.account.whole(directive, &Fate::Became);
                continue;
            }
            Condition::Methods(methods) => {
                let says = format!("set `methods = {}` in mounts that forward", list(methods));
                work.account.whole(directive, &Fate::Dropped(says));
                continue;
            }
            _ => {
                conditions::other(work, directive);
                continue;
            }
        }
        https(work, directive);
    }
    let _ = is_redirecting;
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
    pages(work, server, &mut table);
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
    if site.mounts.is_empty() {
        let mut mount = Table::new("[[site.mount]]", &[]);
        mount.text("path", "/", &[]);
        mount.set("status", "404", &[]);
        mount.says("Nothing of this server could be translated that answers.");
        site.mounts.push(mount);
    }
    work.sites.push(site);
}

/// A fate for what has none yet.
fn rest(work: &mut Work<'_, '_>, directive: &Directive, fate: &Fate) {
    if work.account.fate(directive.index).is_none() {
        work.account.note(directive, fate.clone());
    }
    directive.children().iter().for_each(|its| rest(work, its, fate));
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

fn https(work: &mut Work<'_, '_>, directive: &Directive) {
    work.settings.set("https_redirect", "true", &[directive]);
    work.settings.remark("https_redirect", "The redirect is 308, so that a POST stays a POST.");
    work.account.whole(directive, &Fate::Became);
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

/// A server that only leads to TLS.
fn redirecting<'t>(work: &mut Work<'t, '_>, server: &Server<'t>, redirects_all: bool) {
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
            .for_each(|its| rest(work, its, &Fate::Without(says.to_owned())));
    }
    for location in challenges {
        let is_own = |site: &&mut SiteOut| {
            let hosts = site.table.items.value("hosts").unwrap_or_default().to_owned();
            server.names.iter().any(|name| hosts.contains(&quoted(name)))
        };
        let at = work.sites.iter_mut().position(|mut site| is_own(&&mut site)).or(if work.sites.is_empty() {
            None
        } else {
            Some(0)
        });
        let Some(at) = at else { continue };
        let Some(folder) = files::folder(&location.scope, "/.well-known/acme-challenge/").ok().flatten() else {
            continue;
        };
        let table = files::table(work, &location.scope, &[location.directive], "/.well-known/acme-challenge/", &folder);
        work.account.became(location.directive);
        let has = |known: &Table| known.path() == table.path();
        if let Some(site) = work.sites.get_mut(at).filter(|site| !site.mounts.iter().any(has)) {
            site.mounts.push(table);
            site.mounts.last_mut().into_iter().for_each(|last| last.says("These requests are not redirected to TLS."));
        }
    }
}

/// `error_page`: the files of this machine that it names.
fn pages<'t>(work: &mut Work<'t, '_>, server: &Server<'t>, table: &mut Table) {
    let own = server.locations.iter().flat_map(|location| location.scope.own(&["error_page"]));
    let all: Vec<&Directive> = server.scope.all(&["error_page"]).into_iter().chain(own).collect();
    let (mut pages, mut from): (Vec<(u16, String)>, Vec<&Directive>) = (Vec::new(), Vec::new());
    for page in all {
        let statuses: Vec<u16> =
            page.args.iter().filter_map(|arg| arg.parse().ok()).filter(|s| (400..=599).contains(s)).collect();
        let uri = page.args.last().map_or("", String::as_str);
        let changes = page.args.iter().any(|arg| arg.starts_with('='));
        let file = if uri.starts_with('/') && !changes { file_of(server, uri) } else { None };
        match file {
            Some((file, by)) if is_there(work, &file) && !statuses.is_empty() => {
                for status in statuses {
                    if pages.iter().all(|(known, _)| *known != status) {
                        pages.push((status, file.clone()));
                    }
                }
                from.push(page);
                work.account.became(page);
                work.account.became(by);
                for location in server.locations.iter().filter(|its| its.kind == Kind::Exact && its.path == uri) {
                    work.account.needless(location.directive, "the page is read at the start (`error_pages`)");
                }
            }
            Some((file, _)) => {
                work.account.without(page, format!("{file} is not there: make it, and name it in `error_pages`"))
            }
            None => {
                work.account.without(page, "an error page is a file of this machine, sent with the status of the error")
            }
        }
    }
    if !pages.is_empty() {
        pages.sort();
        let items: Vec<String> = pages.iter().map(|(status, file)| format!("{status} = {}", quoted(file))).collect();
        table.set("error_pages", format!("{{ {} }}", items.join(", ")), &from);
    }
}

/// The file of a path of this server.
fn file_of<'t>(server: &Server<'t>, uri: &str) -> Option<(String, &'t Directive)> {
    let exact = server.locations.iter().find(|its| its.kind == Kind::Exact && its.path == uri);
    let longest = || {
        let prefixes = server.locations.iter().filter(|its| its.kind == Kind::Prefix && uri.starts_with(&its.path));
        prefixes.max_by_key(|its| its.path.len())
    };
    let (scope, path) = match exact.or_else(longest) {
        Some(location) => (&location.scope, location.path.as_str()),
        None => (&server.scope, "/"),
    };
    let by = scope.all(&["root", "alias"]).pop()?;
    let base = by.arg();
    if base.contains('$') {
        return None;
    }
    let file = match by.name.as_str() {
        "alias" => format!("{base}{}", uri.strip_prefix(path)?),
        _ => format!("{}{uri}", base.trim_end_matches('/')),
    };
    Some((file, by))
}

/// Whether a file is there, as far as its folder can be seen.
fn is_there(work: &mut Work<'_, '_>, file: &str) -> bool {
    let path = std::path::Path::new(file);
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return false };
    match work.files.names(folder) {
        Ok(names) => names.iter().any(|known| known.as_str() == name),
        Err(_) => true,
    }
}
