//! Who may make a request: what of nginx's rules a mount can say.

use super::scope::Scope;
use super::tree::Directive;
use super::work::Work;

/// The rules of a place.
pub(super) enum Access<'t> {
    /// Everybody may.
    Open,
    /// Nobody may (`deny all`).
    Denied(&'t Directive),
    /// Some may, by rules that Farrier has not.
    Ruled(Vec<&'t Directive>),
}

/// The rules of a place, from the blocks around it.
pub(super) fn of<'t>(scope: &Scope<'t>) -> Access<'t> {
    let addresses = scope.all(&["allow", "deny"]);
    let mut rules: Vec<&'t Directive> = Vec::new();
    let is_all = |its: &&Directive| its.name == "deny" && its.arg() == "all";
    let mut denied = None;
    match addresses.as_slice() {
        [] => {}
        all if all.iter().all(|its| its.name == "allow" && its.arg() == "all") => {}
        // The first rule that fits decides.
        [first, ..] if is_all(first) => denied = Some(*first),
        all if all.iter().all(|its| its.name == "allow") => {}
        all => rules.extend(all),
    }
    rules.extend(scope.one("auth_basic").filter(|its| its.arg() != "off"));
    for name in ["auth_request", "auth_jwt", "valid_referers"] {
        rules.extend(scope.one(name).filter(|its| its.arg() != "off"));
    }
    match denied {
        Some(directive) if rules.is_empty() || scope.one("satisfy").is_none_or(|its| its.arg() != "any") => {
            Access::Denied(directive)
        }
        _ if rules.is_empty() => Access::Open,
        _ => Access::Ruled(rules),
    }
}

/// Notes that rules could not be translated, with those that belong to them, and says why the mount is closed.
pub(super) fn close(work: &mut Work<'_, '_>, scope: &Scope<'_>, rules: &[&Directive]) -> String {
    let says = "requests are refused here until you decide who may make them: the lines of the mount are comments";
    for rule in rules {
        work.account.dropped(rule, says);
    }
    for name in ["auth_basic_user_file", "satisfy", "auth_request_set"] {
        for directive in scope.all(&[name]) {
            work.account.dropped(directive, says);
        }
    }
    let names: Vec<String> = rules.iter().map(|rule| format!("`{}`", rule.written())).collect();
    format!(
        "Access was limited by {}, which has no counterpart. So every request is refused here. To open it, let the \
         application or a firewall check who asks, and use the lines below instead.",
        names.join(", ")
    )
}

/// `limit_except` with `deny all`: the methods of a mount. Any other form closes the mount.
pub(super) fn methods(work: &mut Work<'_, '_>, directive: &Directive) -> Result<Vec<String>, ()> {
    let is_simple = directive.children().iter().all(|rule| rule.name == "deny" && rule.arg() == "all");
    if !is_simple || directive.children().is_empty() {
        return Err(());
    }
    let mut methods = directive.args.clone();
    // GET includes HEAD in nginx.
    if methods.iter().any(|method| method == "GET") && !methods.iter().any(|method| method == "HEAD") {
        methods.push("HEAD".to_owned());
    }
    work.account.whole(directive, &super::account::Fate::Became);
    Ok(methods)
}
