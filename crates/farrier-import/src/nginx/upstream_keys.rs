//! Keys of an `[[upstream]]` that nginx says in a location: time-outs, attempts and TLS.

use super::output::Table;
use super::pass::Pass;
use super::scope::Scope;
use super::units;
use super::work::Work;
use farrier_config::value::quoted;

/// The total time of Farrier, which a longer wait for the head must not exceed.
const TOTAL_USUAL_MS: u64 = 300_000;

/// Time-outs, and the local address.
pub(super) fn times(work: &mut Work<'_, '_>, scope: &Scope<'_>, pass: &Pass, table: &mut Table) {
    let one = |name: &str| scope.one(&format!("{}{name}", pass.prefix()));
    for (name, keys) in [
        ("connect_timeout", &["connect_timeout"][..]),
        ("send_timeout", &["send_timeout"]),
        ("read_timeout", &["first_byte_timeout", "read_timeout"]),
    ] {
        let Some(directive) = one(name) else { continue };
        let Some(time) = work.duration(directive, directive.arg()) else { continue };
        for key in keys {
            table.set(key, time.clone(), &[directive]);
        }
        work.account.became(directive);
        let milliseconds = units::milliseconds(directive.arg()).unwrap_or_default();
        if name == "read_timeout" && milliseconds >= TOTAL_USUAL_MS {
            table.set("total_timeout", units::duration(milliseconds.saturating_add(60_000)), &[directive]);
        }
    }
    if let Some(directive) = one("bind") {
        match directive.arg() {
            "off" => work.account.needless(directive, "no address is bound"),
            address if address.contains('$') => {
                work.account.without(directive, "the client's address cannot be the server's")
            }
            address => {
                table.text("source", address, &[directive]);
                work.account.became(directive);
            }
        }
    }
}

/// When another server is asked.
pub(super) fn retries(work: &mut Work<'_, '_>, scope: &Scope<'_>, pass: &Pass, table: &mut Table) {
    let one = |name: &str| scope.one(&format!("{}{name}", pass.prefix()));
    if let Some(directive) = one("next_upstream") {
        let mut causes: Vec<&str> = Vec::new();
        let mut others = Vec::new();
        for word in &directive.args {
            match word.as_str() {
                "error" => causes.extend(["connect", "stale", "reset"]),
                "timeout" => causes.push("timeout"),
                "invalid_header" => causes.push("bad_response"),
                "http_429" | "http_500" | "http_502" | "http_503" | "http_504" => causes.push(&word["http_".len()..]),
                "non_idempotent" => table.set("retry_unsafe", "true", &[directive]),
                "off" => table.set("retries", "0", &[directive]),
                other => others.push(other),
            }
        }
        if !causes.is_empty() {
            table.set("retry_on", super::output::list(&causes), &[directive]);
        }
        work.account.became(directive);
        if !others.is_empty() {
            table.says(format!("After {} no other server is asked.", others.join(", ")));
        }
    }
    if let Some(directive) = one("next_upstream_tries") {
        match directive.arg().parse::<u32>() {
            Ok(0) | Err(_) => work.account.without(directive, "`retries` is always bounded"),
            Ok(number) => {
                table.set("retries", (number - 1).to_string(), &[directive]);
                work.account.became(directive);
            }
        }
    }
    if let Some(directive) = one("next_upstream_timeout")
        && let Some(time) = work.duration(directive, directive.arg())
    {
        match units::milliseconds(directive.arg()) {
            Some(0) => work.account.without(directive, "`retry_timeout` is always bounded"),
            _ => {
                table.set("retry_timeout", time, &[directive]);
                work.account.became(directive);
            }
        }
    }
}

/// TLS with the servers.
pub(super) fn tls(work: &mut Work<'_, '_>, scope: &Scope<'_>, pass: &Pass, table: &mut Table) {
    if !matches!(pass.protocol, "https" | "suwsgi") {
        return;
    }
    let one = |name: &str| scope.one(&format!("{}{name}", pass.prefix()));
    let mut keys: Vec<String> = Vec::new();
    let mut from = Vec::new();
    match one("ssl_verify") {
        Some(directive) => {
            if directive.arg() == "off" {
                keys.push("verify = false".to_owned());
            }
            from.push(directive);
        }
        None => table.says("nginx does not check this server's certificate; Farrier does. Name its authority in `tls.ca` if it is your own."),
    }
    for (name, key) in [
        ("ssl_name", "name"),
        ("ssl_trusted_certificate", "ca"),
        ("ssl_certificate", "certificate"),
        ("ssl_certificate_key", "key"),
    ] {
        let Some(directive) = one(name) else { continue };
        if directive.arg().contains('$') {
            work.account.without(directive, "write the name itself");
            continue;
        }
        keys.push(format!("{key} = {}", quoted(directive.arg())));
        from.push(directive);
    }
    if let Some(directive) = one("ssl_protocols") {
        if directive.args == ["TLSv1.3"] {
            keys.push("min = \"1.3\"".to_owned());
        }
        from.push(directive);
    }
    from.iter().for_each(|directive| work.account.became(directive));
    if !keys.is_empty() {
        table.set("tls", format!("{{ {} }}", keys.join(", ")), &from);
    }
}
