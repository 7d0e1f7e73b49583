//! The addresses and certificates of all servers: they are the whole server's.

use super::listen::Listen;
use super::output::list;
use super::server::Server;
use super::work::Work;
use farrier_config::value::quoted;

/// `bind`, and the flags of addresses, which hold for all of them.
pub(super) fn addresses(work: &mut Work<'_, '_>, servers: &[Server<'_>]) {
    let listens: Vec<&Listen<'_>> = servers.iter().flat_map(|server| &server.listens).collect();
    let has_tls = listens.iter().any(|listen| listen.is_tls);
    let mut binds: Vec<String> = Vec::new();
    let mut from = Vec::new();
    for listen in &listens {
        let bind = if has_tls { listen.bind() } else { listen.address.clone() };
        if !binds.contains(&bind) {
            binds.push(bind);
        }
        from.extend(listen.directive);
    }
    if binds.is_empty() {
        return;
    }
    work.settings.set("bind", list(&binds), &from);
    let is_alone = |listen: &&Listen<'_>| {
        let port = listen.address.strip_prefix("[::]:");
        port.is_some_and(|port| listens.iter().all(|other| other.address != format!("0.0.0.0:{port}")))
    };
    if listens.iter().any(is_alone) {
        work.settings.remark("bind", "An address `[::]` without one of IPv4 takes IPv4 too.");
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

/// `certfile` and what else is said of TLS with clients.
pub(super) fn certificates<'t>(work: &mut Work<'t, '_>, servers: &[Server<'t>]) {
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
