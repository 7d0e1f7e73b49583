//! Finds the site for a host's name. Case, port and the dot at the end are ignored. A lookup allocates nothing.

use std::collections::HashMap;
use std::net::Ipv6Addr;

/// A name that a site serves, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// This name, or this IPv6 address in brackets.
    Exact(String),
    /// Every name below this one.
    Below(String),
}

/// Sites by name. A whole name takes precedence, then the longest `*.name`.
pub(super) struct Hosts {
    exact: HashMap<Box<[u8]>, usize>,
    /// Parent names: all names below them are served.
    below: HashMap<Box<[u8]>, usize>,
    addresses: HashMap<Ipv6Addr, usize>,
}

/// The longest name of a host (RFC 1035 §2.3.4), without the dot at its end.
const NAME_BYTES_MAX: usize = 255;

impl Hosts {
    pub(super) fn new<'a>(names: impl Iterator<Item = (&'a Name, usize)>) -> Hosts {
        let mut hosts = Hosts { exact: HashMap::new(), below: HashMap::new(), addresses: HashMap::new() };
        for (name, site) in names {
            match name {
                Name::Exact(name) => match Asked::of(name.as_bytes(), &mut [0; NAME_BYTES_MAX]) {
                    Some(Asked::Address(address)) => drop(hosts.addresses.insert(address, site)),
                    Some(Asked::Text(name)) => drop(hosts.exact.insert(name.into(), site)),
                    None => {}
                },
                Name::Below(name) => drop(hosts.below.insert(name.as_bytes().into(), site)),
            }
        }
        hosts
    }

    /// The site for `host[:port]`, which may be empty.
    pub(super) fn site_of(&self, host: &[u8]) -> Option<usize> {
        if self.exact.is_empty() && self.below.is_empty() && self.addresses.is_empty() {
            return None;
        }
        match Asked::of(host, &mut [0; NAME_BYTES_MAX])? {
            Asked::Address(address) => self.addresses.get(&address).copied(),
            Asked::Text(name) => self.exact.get(name).or_else(|| self.site_below(name)).copied(),
        }
    }

    fn site_below(&self, name: &[u8]) -> Option<&usize> {
        if self.below.is_empty() {
            return None;
        }
        let dots = name.iter().enumerate().filter(|(at, byte)| **byte == b'.' && *at > 0);
        dots.map(|(at, _)| &name[at + 1..]).find_map(|parent| self.below.get(parent))
    }
}

/// Whether `host[:port]` is `name`, which is in lower case.
pub(super) fn is_named(host: &[u8], name: &[u8]) -> bool {
    let (mut one, mut other) = ([0; NAME_BYTES_MAX], [0; NAME_BYTES_MAX]);
    matches!((Asked::of(host, &mut one), Asked::of(name, &mut other)), (Some(one), Some(other)) if one == other)
}

/// The port of `host[:port]` with its colon. Empty if there is none.
pub(super) fn port_of(host: &[u8]) -> &[u8] {
    let bracket = host.iter().rposition(|&byte| byte == b']').unwrap_or(0);
    match host[bracket..].iter().position(|&byte| byte == b':') {
        Some(colon) if bracket + colon + 1 < host.len() => &host[bracket + colon..],
        _ => &[],
    }
}

/// The name or address that a request asks for.
#[derive(Debug, PartialEq, Eq)]
enum Asked<'a> {
    Text(&'a [u8]),
    Address(Ipv6Addr),
}

impl Asked<'_> {
    /// Parses a host, with its name in lower case. `None` if no site can have such a name.
    fn of<'a>(host: &[u8], room: &'a mut [u8; NAME_BYTES_MAX]) -> Option<Asked<'a>> {
        if let [b'[', rest @ ..] = host {
            let end = rest.iter().position(|&byte| byte == b']')?;
            return str::from_utf8(&rest[..end]).ok()?.parse().ok().map(Asked::Address);
        }
        let end = host.iter().position(|&byte| byte == b':').unwrap_or(host.len());
        let name = host[..end].strip_suffix(b".").unwrap_or(&host[..end]);
        let lower = room.get_mut(..name.len()).filter(|lower| !lower.is_empty())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        Some(Asked::Text(lower))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hosts(patterns: &[&str]) -> Hosts {
        let names: Vec<(Name, usize)> = patterns.iter().enumerate().map(|(site, text)| (name(text), site)).collect();
        Hosts::new(names.iter().map(|(name, site)| (name, *site)))
    }

    fn name(pattern: &str) -> Name {
        match pattern.strip_prefix("*.") {
            Some(parent) => Name::Below(parent.to_owned()),
            None => Name::Exact(pattern.to_owned()),
        }
    }

    #[test]
    fn case_port_and_final_dot_are_ignored_in_a_host_name() {
        let hosts =
            hosts(&["example.org", "*.example.org", "*.shop.example.org", "both.test", "192.0.2.1", "[2001:db8::1]"]);
        for (host, site) in [
            ("example.org", Some(0)),
            ("EXAMPLE.org:8000", Some(0)),
            ("example.org.", Some(0)),
            ("example.org.:443", Some(0)),
            ("www.example.org", Some(1)),
            ("a.b.example.org", Some(1)),
            ("a.shop.example.org", Some(2)),
            ("shop.example.org", Some(1)),
            ("badexample.org", None),
            ("example.org.evil.test", None),
            ("both.test", Some(3)),
            ("a.both.test", None),
            ("192.0.2.1:80", Some(4)),
            ("[2001:DB8:0::1]:8000", Some(5)),
            ("[2001:db8::2]", None),
            ("", None),
            (".", None),
            (":80", None),
            (".example.org", None),
            ("[", None),
            ("example.org..", None),
        ] {
            assert_eq!(hosts.site_of(host.as_bytes()), site, "{host}");
        }
        assert_eq!(hosts.site_of(&[b'a'; 300]), None);
    }

    #[test]
    fn the_port_follows_the_last_colon() {
        for (host, port) in
            [("a", ""), ("a:80", ":80"), ("a:", ""), ("[::1]", ""), ("[::1]:80", ":80"), ("", ""), (":", "")]
        {
            assert_eq!(port_of(host.as_bytes()), port.as_bytes(), "{host}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_a_host(host in proptest::collection::vec(any::<u8>(), 0..400)) {
            let hosts = hosts(&["example.org", "*.example.org", "[::1]"]);
            if let Some(site) = hosts.site_of(&host) {
                let text = String::from_utf8_lossy(&host).to_lowercase();
                prop_assert!(text.contains(if site == 2 { "1]" } else { "example.org" }), "{text}");
            }
        }

        #[test]
        fn a_table_agrees_with_its_patterns(labels in "[ab]{1,2}(\\.[ab]{1,2}){0,4}") {
            let texts = ["a.b", "*.b", "aa", "*.aa", "*.a.b", "b"];
            let serves = |text: &&&str| match text.strip_prefix('*') {
                Some(end) => labels.ends_with(end),
                None => **text == labels,
            };
            let found = hosts(&texts).site_of(labels.as_bytes()).map(|site| texts[site]);
            prop_assert_eq!(found.is_some(), texts.iter().any(|text| serves(&text)));
            if let Some(found) = found {
                prop_assert!(serves(&&found));
                if texts.contains(&labels.as_str()) {
                    prop_assert_eq!(found, labels.as_str());
                }
            }
        }
    }
}
