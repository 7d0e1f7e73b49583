//! `--app`: the application that takes the place of the server on this machine that nginx forwards to.

use super::account::Fate;
use super::files::{self, Fallback};
use super::location::{self, Kind};
use super::pass::Pass;
use super::scope::Scope;
use super::tree::Directive;
use super::work::Work;

/// Finds the server that the application replaces: the one of this machine that a location `/` forwards to.
pub(super) fn find(work: &mut Work<'_, '_>, servers: &[(&Directive, Scope<'_>)]) {
    if work.app.is_none() {
        return;
    }
    for (server, http) in servers {
        let inside = http.inside(server);
        let locations = location::collect(&inside);
        let root = locations.iter().find(|its| its.kind == Kind::Prefix && its.path == "/");
        let scope = root.map_or(&inside, |root| &root.scope);
        let named = scope.own(&["try_files"]).pop().and_then(|tried| match files::fallback(tried) {
            Fallback::Named(name) => locations.iter().find(|its| its.kind == Kind::Named && its.path == name),
            _ => None,
        });
        let scope = named.map_or(scope, |named| &named.scope);
        let pass = scope.own(&["proxy_pass", "uwsgi_pass"]).first().and_then(|pass| Pass::of(pass, scope).ok());
        if let Some(place) = pass.and_then(|pass| place(work, &pass)) {
            work.replaced = Some(place);
            return;
        }
    }
    work.notes.push("No location `/` forwards to a server of this machine, so that `--app` has no effect.".to_owned());
}

/// The application, if it takes the place of this server.
pub(super) fn in_place_of(work: &mut Work<'_, '_>, scope: &Scope<'_>, pass: &Pass) -> Option<String> {
    let place = place(work, pass)?;
    let app = work.app.clone().filter(|_| work.replaced.as_ref() == Some(&place))?;
    let says = "the application takes the place of the server behind nginx";
    if let Some(group) = work.groups.iter().copied().find(|group| group.arg() == pass.place) {
        work.account.whole(group, &Fate::Needless(says.to_owned()));
    }
    for level in &scope.0 {
        let prefix = pass.prefix();
        for directive in level.iter().filter(|its| its.name.starts_with(prefix) && !its.name.ends_with("_pass")) {
            work.account.needless(directive, says);
        }
    }
    Some(app)
}

/// The servers behind an address, if all are on this machine.
fn place(work: &Work<'_, '_>, pass: &Pass) -> Option<String> {
    let group = work.groups.iter().find(|group| group.arg() == pass.place);
    let servers: Vec<&str> = match group {
        Some(group) => group.children().iter().filter(|its| its.name == "server").map(Directive::arg).collect(),
        None => vec![&pass.place],
    };
    let is_here = |place: &&str| ["unix:", "127.", "localhost:", "[::1]"].iter().any(|own| place.starts_with(own));
    (!servers.is_empty() && servers.iter().all(is_here)).then(|| servers.join(","))
}
