//! What a mount changes in requests and responses that it forwards, made of the mount's keys.

use std::time::Duration;

use farrier_config::Config;
use farrier_config::Mount;
use farrier_config::sites::ProxyPlan;
use farrier_config::value::{AccelField, CookiePath, Forwarded, ProxyHost, TextMap};
use farrier_proxy::mount::TunnelPolicy;
use farrier_proxy::request::{HostRule, RequestEdits};
use farrier_proxy::response::ResponseEdits;
use farrier_proxy::rewrite::CookieDomain;
use farrier_proxy::target::PathRule;
use farrier_proxy::upgrade::Upgrades;
use farrier_proxy::variables::Params;
use farrier_proxy::{Accel, ForwardedForm, Methods, RequestPolicy, ResponsePolicy, Rewrite, Template};

/// The policies of a mount.
///
/// # Errors
/// A message with the place of the mount and the key that is wrong.
pub(crate) fn policies(plan: &ProxyPlan) -> Result<(RequestPolicy, ResponsePolicy), String> {
    let mount = &plan.mount;
    let placed = |sentence: String| {
        let path = mount.path.as_str();
        format!("{}: mount `{}`: {sentence}", mount.place, if path.is_empty() { "/" } else { path })
    };
    let path = path_rule(mount);
    let request = RequestPolicy {
        host: match &mount.host {
            ProxyHost::Client => HostRule::Client,
            ProxyHost::Upstream => HostRule::Upstream,
            ProxyHost::Fixed(host) => HostRule::Fixed(host.as_bytes().into()),
        },
        path: path.clone(),
        forwarded: match mount.forwarded {
            Forwarded::X => ForwardedForm::X,
            Forwarded::Rfc7239 => ForwardedForm::Rfc7239,
            Forwarded::Both => ForwardedForm::Both,
            Forwarded::Nothing => ForwardedForm::None,
        },
        via: mount.via.as_bytes().into(),
        edits: request_edits(mount).map_err(placed)?,
    };
    let response = ResponsePolicy {
        accel: Accel {
            buffering: mount.accel.contains(&AccelField::Buffering),
            expires: mount.accel.contains(&AccelField::Expires),
            charset: mount.accel.contains(&AccelField::Charset),
            redirect: mount.accel.contains(&AccelField::Redirect),
        },
        passes_server: mount.pass_server,
        rewrite: Rewrite {
            locations: mount.rewrite_location,
            cookie_paths: mount.cookie_path == CookiePath::Auto,
            cookie_domains: cookie_domains(&mount.cookie_domain),
            path,
        },
        edits: response_edits(mount).map_err(placed)?,
    };
    Ok((request, response))
}

/// The methods that a mount forwards.
pub(crate) fn methods(mount: &Mount) -> Methods {
    Methods::new(mount.methods.iter().map(|method| method.as_bytes().into()).collect())
}

/// The variables that a mount sets for servers of gateway protocols.
///
/// # Errors
/// A name or a value is wrong.
pub(crate) fn params(mount: &Mount) -> Result<Params, String> {
    let mut params = Params::default();
    for (name, value) in &mount.params.0 {
        params.set(name, Template::parse(value)?)?;
    }
    Ok(params)
}

/// The protocols that a mount lets clients switch to.
pub(crate) fn upgrades(mount: &Mount) -> Upgrades {
    match mount.upgrade.iter().any(|name| name == "*") {
        true => Upgrades::All,
        false => {
            Upgrades::Only(mount.upgrade.iter().map(|name| name.to_ascii_lowercase().into_bytes().into()).collect())
        }
    }
}

/// How long a mount's tunnels live.
pub(crate) fn tunnel_policy(config: &Config, mount: &Mount) -> TunnelPolicy {
    TunnelPolicy {
        idle_ms: ms(mount.tunnel_timeout),
        max_ms: ms(mount.tunnel_max),
        fin_ms: ms(mount.tunnel_fin_timeout),
        drain_ms: ms(config.graceful_timeout),
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn path_rule(mount: &Mount) -> PathRule {
    match &mount.rewrite_prefix {
        Some(prefix) => PathRule { strip: true, put: encoded(prefix.as_str()).into_bytes().into() },
        None => PathRule { strip: mount.strip_prefix, put: Box::default() },
    }
}

/// A decoded path as it stands in a target (RFC 3986 §3.3).
fn encoded(path: &str) -> String {
    let mut out = String::new();
    for byte in path.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/".contains(&byte) {
            true => out.push(char::from(byte)),
            false => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

fn request_edits(mount: &Mount) -> Result<RequestEdits, String> {
    let mut edits = RequestEdits::default();
    for (name, value) in &mount.set_headers.0 {
        let set = Template::parse(value).and_then(|template| edits.set(name, template));
        set.map_err(|reason| format!("set_headers: {name}: {reason}"))?;
    }
    for name in &mount.remove_headers {
        edits.remove(name).map_err(|reason| format!("remove_headers: {reason}"))?;
    }
    Ok(edits)
}

fn response_edits(mount: &Mount) -> Result<ResponseEdits, String> {
    let mut edits = ResponseEdits::default();
    for (name, value) in &mount.response_headers.0 {
        edits.set(name, value).map_err(|reason| format!("response_headers: {reason}"))?;
    }
    for name in &mount.hide_headers {
        edits.hide(name).map_err(|reason| format!("hide_headers: {reason}"))?;
    }
    Ok(edits)
}

fn cookie_domains(domains: &TextMap) -> Vec<CookieDomain> {
    let bare = |domain: &str| domain.trim_start_matches('.').as_bytes().into();
    domains.0.iter().map(|(from, to)| CookieDomain { from: bare(from), to: bare(to) }).collect()
}
