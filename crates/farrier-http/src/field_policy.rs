//! Handles fields that need a decision before a handler may see them: folded values, names with an underscore, `Proxy`,
//! and fields of proxies about the client. It also decides about a request that names another scheme than its connection's. It runs once per request; a request without such fields costs one test.

use std::net::IpAddr;

use crate::error::Error;
use crate::field::{Field, KnownField, Seen, Span};
use crate::forwarded::{self, Forwarded};
use crate::origin::{Peer, Scheme};
use crate::request::Request;

/// How a name with an underscore is handled. `X_Y` could fake `X-Y`: both become `HTTP_X_Y`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Underscores {
    /// The field is left out.
    #[default]
    Drop,
    /// The request is refused.
    Refuse,
    /// The field is kept, and may fake another one.
    Keep,
}

/// Why a field was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// Its name has an underscore.
    Underscore,
    /// It is `Proxy`, which would become `HTTP_PROXY`: the variable by which programs find their own proxy (CVE-2016-5385).
    Proxy,
}

/// A field by which a trusted proxy reports the scheme, and the value that means `https`; any other means `http`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemeField {
    known: KnownField,
    name: Box<[u8]>,
    https: Box<[u8]>,
}

impl SchemeField {
    /// A row of the setting; names and values are case-insensitive.
    pub fn new(name: &str, https: &str) -> SchemeField {
        let name = name.to_ascii_lowercase().into_bytes();
        SchemeField { known: KnownField::of(&name), name: name.into(), https: https.trim().as_bytes().into() }
    }

    fn is(&self, field: &Field, request: &Request) -> bool {
        field.known == self.known
            && (self.known != KnownField::Other || request.arena.slice(field.name).eq_ignore_ascii_case(&self.name))
    }
}

/// The decisions, according to the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPolicy {
    underscores: Underscores,
    /// Names with an underscore that trusted peers may send, in upper case; `*` is every one.
    forwarder_names: Vec<Box<[u8]>>,
    scheme_fields: Vec<SchemeField>,
    /// Fields of proxies: trusted from trusted peers, removed from all others.
    believed: Seen,
    /// The kinds of fields that need a decision.
    watched: Seen,
    /// Whether to record in each request if it came from a trusted proxy.
    tells: bool,
    /// Whether to remove every proxy field from untrusted peers, even those that are never trusted.
    is_strict: bool,
}

/// The fields to which each proxy on the way appends its peer.
const CHAINS: Seen = Seen::of(KnownField::XForwardedFor).with(Seen::of(KnownField::Forwarded));

/// The kinds of fields that need a decision whatever the settings are.
const ALWAYS_WATCHED: Seen = Seen::UNDERSCORE.with(Seen::FOLDED).with(Seen::SCHEME).with(Seen::of(KnownField::Proxy));

impl FieldPolicy {
    /// A policy.
    ///
    /// # Arguments
    ///
    /// `believed` names the fields that are trusted from trusted peers, besides those of the scheme: any of
    /// `Forwarded`, `X-Forwarded-For`, `-Host`, `-Port`, `-Prefix` and `X-Real-IP`. Any other name has no effect.
    pub fn new<'a>(
        underscores: Underscores,
        forwarder_names: impl IntoIterator<Item = &'a str>,
        scheme_fields: Vec<SchemeField>,
        believed: impl IntoIterator<Item = &'a str>,
    ) -> FieldPolicy {
        let believed = believed
            .into_iter()
            .map(|name| KnownField::of(name.as_bytes()))
            .filter(|known| FORWARDING.contains(known))
            .fold(Seen::default(), |seen, known| seen.with(Seen::of(known)));
        let watched =
            scheme_fields.iter().fold(believed.with(ALWAYS_WATCHED), |seen, field| seen.with(Seen::of(field.known)));
        let forwarder_names =
            forwarder_names.into_iter().map(|name| name.to_ascii_uppercase().into_bytes().into()).collect();
        FieldPolicy { underscores, forwarder_names, scheme_fields, believed, watched, tells: false, is_strict: false }
    }

    /// The same policy, which also records in each request whether it came from a trusted proxy.
    #[must_use]
    pub fn telling(self, tells: bool) -> FieldPolicy {
        FieldPolicy { tells, ..self }
    }

    /// The same policy, which also removes all proxy fields of untrusted peers: `Forwarded`, `X-Real-IP`, the fields of
    /// the scheme, and every `X-Forwarded-*`.
    #[must_use]
    pub fn removing_from_others(self, is_strict: bool) -> FieldPolicy {
        let kept = KnownField::ALL.iter().filter(|known| POSING.contains(known)).chain([&KnownField::Other]);
        let watched = match is_strict {
            true => kept.fold(self.watched, |seen, &known| seen.with(Seen::of(known))),
            false => self.watched,
        };
        FieldPolicy { watched, is_strict, ..self }
    }

    /// Applies the policy to a request whose origin is the connection's.
    ///
    /// # Arguments
    ///
    /// `trusts` returns whether an address is a trusted proxy; a peer on a unix socket always is. `dropped` is called
    /// with the name of each field that is removed because of its name, and the reason.
    ///
    /// # Errors The fields of the scheme contradict each other, a name has an underscore and that is refused, or an untrusted
    /// peer names another scheme than its connection's.
    #[inline]
    pub fn apply(
        &self,
        request: &mut Request,
        trusts: impl Fn(IpAddr) -> bool,
        dropped: impl FnMut(Dropped, &[u8]),
    ) -> Result<(), Error> {
        request.forwarded = Forwarded::default();
        if self.tells {
            request.is_from_proxy = is_trusted(request, &trusts);
        }
        if self.believed.has_any(CHAINS) && is_trusted(request, &trusts) {
            request.forwarded.proxy = Some(request.origin.peer);
        }
        if request.head.seen.has_any(self.watched) { self.decide(request, trusts, dropped) } else { Ok(()) }
    }

    #[inline(never)]
    fn decide(
        &self,
        request: &mut Request,
        trusts: impl Fn(IpAddr) -> bool,
        mut dropped: impl FnMut(Dropped, &[u8]),
    ) -> Result<(), Error> {
        let seen = request.head.seen;
        if seen.has_any(Seen::FOLDED) {
            let Request { arena, head, .. } = request;
            head.fields.iter().for_each(|field| arena.unfold(field.value));
        }
        if seen.has_any(Seen::of(KnownField::Proxy)) {
            // Even a trusted proxy may not send it: no application needs it.
            request.head.fields.retain(|field| field.known != KnownField::Proxy);
            dropped(Dropped::Proxy, KnownField::Proxy.name().as_bytes());
        }
        let is_trusted = is_trusted(request, &trusts);
        // RFC 9110 §7.4: a server must not serve a request for an https URI that came over a connection without TLS.
        if !is_trusted && request.head.told_scheme.is_some_and(|told| told != request.origin.scheme) {
            return Err(Error::bad_request(
                "the request names another scheme than its connection's, and its peer is no trusted proxy (see forwarded_allow_ips)",
            ));
        }
        if is_trusted {
            let older = self.scheme(request)?;
            let newer = if seen.has_any(self.believed) {
                let has_older = older.is_some() || seen.has_any(self.believed.without(NEWER));
                forwarded::apply(request, self.believed, has_older, &trusts)
            } else {
                None
            };
            if older.is_some() && newer.is_some() && older != newer {
                return Err(Error::bad_request("the fields that tell the scheme contradict each other"));
            }
            request.origin.scheme = older.or(newer).unwrap_or(request.origin.scheme);
        } else if self.is_strict {
            let Request { arena, head, .. } = request;
            head.fields.retain(|field| !self.poses(field, arena.slice(field.name)));
        } else if seen.has_any(self.believed) {
            request.head.fields.retain(|field| !self.believed.has_any(Seen::of(field.known)));
        }
        if seen.has_any(Seen::UNDERSCORE) { self.judge_underscores(request, is_trusted, dropped) } else { Ok(()) }
    }

    fn scheme(&self, request: &Request) -> Result<Option<Scheme>, Error> {
        let mut told = None;
        for field in &request.head.fields {
            let Some(row) = self.scheme_fields.iter().find(|row| row.is(field, request)) else { continue };
            let value = forwarded::last_of_list(request.arena.slice(field.value));
            let scheme = if value.eq_ignore_ascii_case(&row.https) { Scheme::Https } else { Scheme::Http };
            if told.is_some_and(|before| before != scheme) {
                return Err(Error::bad_request("the fields that tell the scheme contradict each other"));
            }
            told = Some(scheme);
        }
        Ok(told)
    }

    /// Whether the field is one that only a trusted proxy may send.
    fn poses(&self, field: &Field, name: &[u8]) -> bool {
        let is_row = |row: &SchemeField| row.known == field.known && name.eq_ignore_ascii_case(&row.name);
        tells_of_client(field.known, name) || self.scheme_fields.iter().any(is_row)
    }

    fn judge_underscores(
        &self,
        request: &mut Request,
        is_trusted: bool,
        mut dropped: impl FnMut(Dropped, &[u8]),
    ) -> Result<(), Error> {
        let mut fields = std::mem::take(&mut request.head.fields);
        let mut script_name = Span::default();
        let mut refused = false;
        fields.retain(|field| {
            let name = request.arena.slice(field.name);
            if field.known != KnownField::Other || !name.contains(&b'_') {
                return true;
            }
            if is_trusted && self.forwards(name) {
                if name.eq_ignore_ascii_case(b"SCRIPT_NAME") {
                    script_name = field.value;
                }
                return true;
            }
            match self.underscores {
                Underscores::Keep => return true,
                Underscores::Refuse => refused = true,
                Underscores::Drop => dropped(Dropped::Underscore, name),
            }
            false
        });
        request.head.fields = fields;
        if let Some(prefix) = forwarded::trimmed_prefix(request, script_name) {
            request.forwarded.prefix = prefix;
        }
        if refused {
            return Err(Error::bad_request("a field's name contains an underscore"));
        }
        Ok(())
    }

    fn forwards(&self, name: &[u8]) -> bool {
        self.forwarder_names.iter().any(|known| name.eq_ignore_ascii_case(known) || **known == *b"*")
    }
}

/// Whether proxies use a field of this name to tell of the client: `Forwarded`, `X-Real-IP` and every `X-Forwarded-*`.
pub fn tells_of_client(known: KnownField, name: &[u8]) -> bool {
    const PREFIX: &[u8] = b"x-forwarded-";
    POSING.contains(&known) || name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

fn is_trusted(request: &Request, trusts: &impl Fn(IpAddr) -> bool) -> bool {
    match request.origin.peer {
        Peer::Unix => true,
        Peer::Tcp(address) => trusts(address.ip()),
    }
}

impl Default for FieldPolicy {
    /// Gunicorn's defaults.
    fn default() -> FieldPolicy {
        let scheme_fields =
            [("X-Forwarded-Protocol", "ssl"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Ssl", "on")];
        FieldPolicy::new(
            Underscores::Drop,
            ["SCRIPT_NAME", "PATH_INFO"],
            scheme_fields.map(|(name, https)| SchemeField::new(name, https)).into(),
            [],
        )
    }
}

/// The fields that may be trusted besides those of the scheme.
const FORWARDING: [KnownField; 6] = [
    KnownField::Forwarded,
    KnownField::XForwardedFor,
    KnownField::XForwardedHost,
    KnownField::XForwardedPort,
    KnownField::XForwardedPrefix,
    KnownField::XRealIp,
];

/// `Forwarded` and other fields that count only without `X-Forwarded-*`.
const NEWER: Seen = Seen::of(KnownField::Forwarded).with(Seen::of(KnownField::XRealIp));

/// Well-known fields that proxies send.
const POSING: [KnownField; 9] = [
    KnownField::Forwarded,
    KnownField::XForwardedFor,
    KnownField::XForwardedHost,
    KnownField::XForwardedPort,
    KnownField::XForwardedPrefix,
    KnownField::XForwardedProto,
    KnownField::XForwardedProtocol,
    KnownField::XForwardedSsl,
    KnownField::XRealIp,
];

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::limits::Limits;
    use crate::wire::h1::HeadDecoder;

    fn request(fields: &str, peer: Option<&str>) -> Request {
        let mut request = Request::with_room(4096);
        request.arena.append(format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n").as_bytes());
        let limits = Limits { permit_folding: true, ..Limits::default() };
        let complete = HeadDecoder::default().decode(request.arena.filled(), &limits, &mut request.head);
        assert_eq!(complete, Ok(true));
        request.origin.peer =
            peer.map_or(Peer::Unix, |peer| Peer::Tcp(SocketAddr::new(peer.parse().expect("an address"), 1)));
        request
    }

    fn applied(policy: &FieldPolicy, fields: &str, peer: Option<&str>) -> Result<(Request, Vec<String>), Error> {
        let mut request = request(fields, peer);
        let mut names = Vec::new();
        let trusts = |ip: IpAddr| ip.to_string().starts_with("10.");
        policy.apply(&mut request, trusts, |_, name| names.push(String::from_utf8_lossy(name).into_owned()))?;
        Ok((request, names))
    }

    fn names(request: &Request) -> Vec<String> {
        request.fields().skip(1).map(|(_, name, _)| String::from_utf8_lossy(name).into_owned()).collect()
    }

    fn scheme(fields: &str, peer: Option<&str>) -> Option<Scheme> {
        applied(&FieldPolicy::default(), fields, peer).ok().map(|(request, _)| request.origin.scheme)
    }

    #[test]
    fn by_default_only_the_scheme_of_a_proxy_is_trusted() {
        let fields = "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Host: a.test\r\nX-Forwarded-Port: 1\r\n\
                      X-Forwarded-Prefix: /x\r\nForwarded: for=1.1.1.1;proto=https\r\nX-Real-IP: 1.1.1.1\r\n\
                      X-Forwarded-Proto: https\r\n";
        let (request, _) = applied(&FieldPolicy::default(), fields, Some("10.0.0.1")).expect("accepted");
        assert_eq!(request.origin.scheme, Scheme::Https);
        assert_eq!(request.origin.peer, Peer::Tcp("10.0.0.1:1".parse().expect("an address")));
        assert_eq!(request.forwarded, Forwarded::default());
        assert_eq!(names(&request).len(), 7, "nothing is removed");
    }

    #[test]
    fn the_scheme_is_trusted_from_trusted_peers_in_every_configured_form() {
        let trusted = Some("10.0.0.1");
        for fields in ["X-Forwarded-Proto: https\r\n", "X-Forwarded-Ssl: on\r\n", "X-Forwarded-Protocol: ssl\r\n"] {
            assert_eq!(scheme(fields, trusted), Some(Scheme::Https), "{fields}");
            assert_eq!(scheme(fields, None), Some(Scheme::Https), "{fields}");
            assert_eq!(scheme(fields, Some("192.0.2.1")), Some(Scheme::Http), "{fields}");
        }
        assert_eq!(scheme("X-Forwarded-Proto: http, https\r\n", trusted), Some(Scheme::Https));
        assert_eq!(scheme("X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n", trusted), None, "contradiction");
        assert_eq!(scheme("X-Forwarded-Proto: https\r\nX-Forwarded-Proto: http\r\n", trusted), None);
    }

    #[test]
    fn a_scheme_field_may_have_any_name() {
        let policy = FieldPolicy::new(Underscores::Drop, [], vec![SchemeField::new("Front-End-Https", "On")], []);
        let (request, _) = applied(&policy, "front-end-https: on\r\n", None).expect("accepted");
        assert_eq!(request.origin.scheme, Scheme::Https);
    }

    #[test]
    fn a_field_that_is_the_servers_own_is_removed_from_others() {
        let policy = FieldPolicy::new(Underscores::Drop, [], vec![], ["x-forwarded-for", "host"]);
        let fields = "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Host: a.test\r\n";
        let (request, _) = applied(&policy, fields, Some("192.0.2.1")).expect("accepted");
        assert_eq!(names(&request), ["X-Forwarded-Host"]);
        let (request, _) = applied(&policy, fields, Some("10.0.0.1")).expect("accepted");
        assert_eq!(request.origin.peer, Peer::Tcp("1.1.1.1:0".parse().expect("an address")));
    }

    #[test]
    fn names_with_an_underscore_are_dropped_refused_or_kept() {
        let fields = "X_A: 1\r\nX-A: 2\r\n";
        let policy = |underscores| FieldPolicy::new(underscores, ["SCRIPT_NAME"], vec![], []);
        let (request, dropped) = applied(&policy(Underscores::Drop), fields, None).expect("accepted");
        assert_eq!((names(&request), dropped), (vec!["X-A".to_owned()], vec!["X_A".to_owned()]));
        assert!(applied(&policy(Underscores::Refuse), fields, None).is_err());
        let (request, dropped) = applied(&policy(Underscores::Keep), fields, None).expect("accepted");
        assert_eq!((names(&request).len(), dropped.len()), (2, 0));
    }

    #[test]
    fn proxy_is_dropped_from_every_peer_and_with_every_setting() {
        let policy = FieldPolicy::new(Underscores::Keep, ["*"], vec![], []);
        for peer in [None, Some("192.0.2.1")] {
            let (request, dropped) = applied(&policy, "pRoxy: evil.test\r\nX-A: 1\r\n", peer).expect("accepted");
            assert_eq!((names(&request), dropped), (vec!["X-A".to_owned()], vec!["proxy".to_owned()]));
        }
    }

    #[test]
    fn another_scheme_than_the_connections_is_refused_from_untrusted_peers() {
        for (told, peer, is_accepted) in [
            (Scheme::Https, Some("192.0.2.1"), false),
            (Scheme::Https, Some("10.0.0.1"), true),
            (Scheme::Https, None, true),
            (Scheme::Http, Some("192.0.2.1"), true),
        ] {
            let mut request = request("", peer);
            request.head.told_scheme = Some(told);
            request.head.seen = request.head.seen.with(Seen::SCHEME);
            let trusts = |address: IpAddr| address == IpAddr::from([10, 0, 0, 1]);
            let outcome = FieldPolicy::default().apply(&mut request, trusts, |_, _| {});
            assert_eq!(outcome.is_ok(), is_accepted, "{told:?} from {peer:?}");
        }
    }

    #[test]
    fn script_name_is_taken_from_trusted_peers_alone() {
        let policy = FieldPolicy::default();
        let prefix = |peer| {
            let (request, _) = applied(&policy, "Script_Name: /app/\r\nPATH_INFO: /x\r\n", peer).expect("accepted");
            (String::from_utf8_lossy(request.arena.slice(request.forwarded.prefix)).into_owned(), names(&request).len())
        };
        assert_eq!(prefix(None), ("/app".to_owned(), 2));
        assert_eq!(prefix(Some("192.0.2.1")), (String::new(), 0));
    }

    #[test]
    fn a_folded_value_reaches_the_handler_with_spaces() {
        let (request, _) = applied(&FieldPolicy::default(), "X-A: one\ta \t\r\n\ttwo\r\n\t three \r\nX-B: 1\r\n", None)
            .expect("accepted");
        let values: Vec<&[u8]> = request.fields().skip(1).map(|(_, _, value)| value).collect();
        assert_eq!(values, [&b"one\ta     two    three"[..], b"1"]);
    }

    fn believing_all() -> FieldPolicy {
        let all =
            ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix", "x-real-ip"];
        let scheme = vec![SchemeField::new("X-Forwarded-Proto", "https")];
        FieldPolicy::new(Underscores::Drop, [], scheme, all).removing_from_others(true)
    }

    fn origin_of(fields: &str) -> (String, Scheme, String) {
        let (request, _) = applied(&believing_all(), fields, Some("10.0.0.1")).expect("accepted");
        let peer = match request.origin.peer {
            Peer::Tcp(address) => address.to_string(),
            Peer::Unix => "unix".to_owned(),
        };
        let host = String::from_utf8_lossy(request.arena.slice(request.forwarded.host)).into_owned();
        (peer, request.origin.scheme, host)
    }

    #[test]
    fn forwarded_is_read_from_the_right_like_the_older_fields() {
        let cases = [
            ("Forwarded: for=192.0.2.9;proto=http, for=192.0.2.1;proto=https;host=a.test\r\n", "192.0.2.1:0", "a.test"),
            ("Forwarded: for=\"[2001:db8::1]:44\";Proto=HTTPS\r\n", "[2001:db8::1]:44", ""),
            ("Forwarded: for=192.0.2.1;proto=https\r\nForwarded: for=10.2.2.2;proto=https\r\n", "192.0.2.1:0", ""),
            ("Forwarded: for=192.0.2.1, for=_hidden;proto=https\r\n", "10.0.0.1:1", ""),
            ("Forwarded: for=192.0.2.1, for=unknown;proto=https\r\n", "10.0.0.1:1", ""),
            ("Forwarded: for=192.0.2.1, proto=https\r\n", "10.0.0.1:1", ""),
            ("Forwarded: for=\"192.0.2.1:80\";proto=\"https\";host=\"a.test:8443\"\r\n", "192.0.2.1:80", "a.test:8443"),
            ("Forwarded: for=\"[2001:db8::1]\" ; proto=https , for=10.3.3.3;proto=http\r\n", "[2001:db8::1]:0", ""),
            ("Forwarded: For=192.0.2.1;PROTO=https;by=10.0.0.9, , for=10.3.3.3,\r\n", "192.0.2.1:0", ""),
            ("Forwarded: for=192.0.2.1;host=a.test;proto=https, for=10.3.3.3;host=b.test\r\n", "192.0.2.1:0", "a.test"),
            ("Forwarded: host=\"evil.test, for=\"192.0.2.1\";proto=https\r\n", "192.0.2.1:0", ""),
            ("Forwarded: for=\"evil\\\", for=192.0.2.1;proto=https;host=a.test\r\n", "192.0.2.1:0", "a.test"),
            ("Forwarded: for=\"x,y;host=b\", for=192.0.2.1;ext=\"a;host=b,c\";proto=https\r\n", "192.0.2.1:0", ""),
            ("Forwarded: for=192.0.2.1;host=\"a b\";proto=https\r\n", "192.0.2.1:0", ""),
            ("Forwarded: for=192.0.2.1;host=a;host=b;proto=https\r\n", "192.0.2.1:0", ""),
        ];
        for (fields, peer, host) in cases {
            assert_eq!(origin_of(fields), (peer.to_owned(), Scheme::Https, host.to_owned()), "{fields}");
        }
    }

    #[test]
    fn the_older_fields_win_over_forwarded() {
        let fields = "X-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.1;host=evil.test\r\n";
        assert_eq!(origin_of(fields), ("192.0.2.7:0".to_owned(), Scheme::Http, String::new()));
        let fields = "X-Forwarded-Proto: https\r\nForwarded: for=192.0.2.1;host=evil.test\r\n";
        assert_eq!(origin_of(fields), ("10.0.0.1:1".to_owned(), Scheme::Https, String::new()));
        let fields = "X-Real-IP: 192.0.2.7\r\nForwarded: for=192.0.2.1\r\n";
        assert_eq!(origin_of(fields).0, "192.0.2.1:0");
    }

    #[test]
    fn the_last_of_several_real_addresses_counts() {
        for fields in [
            "X-Real-IP: 192.0.2.7\r\n",
            "X-Real-IP: 198.51.100.1\r\nX-Real-IP: 192.0.2.7\r\n",
            "X-Real-IP: 198.51.100.1, 192.0.2.7\r\n",
            "X-Forwarded-Proto: http\r\nX-Real-IP: 198.51.100.1\r\nx-real-ip: 192.0.2.7\r\n",
        ] {
            assert_eq!(origin_of(fields).0, "192.0.2.7:0", "{fields}");
        }
    }

    #[test]
    fn contradicting_schemes_of_several_fields_are_refused() {
        let fields = |scheme| format!("X-Forwarded-Proto: https\r\nForwarded: for=192.0.2.1;proto={scheme}\r\n");
        assert!(applied(&believing_all(), &fields("http"), Some("10.0.0.1")).is_err());
        assert!(applied(&believing_all(), &fields("https"), Some("10.0.0.1")).is_ok());
        assert!(applied(&believing_all(), &fields("http"), Some("192.0.2.9")).is_ok(), "no peer is trusted");
    }

    #[test]
    fn proxy_fields_of_untrusted_peers_are_removed() {
        let fields = "X-Forwarded-For: 1.1.1.1\r\nforwarded: for=1.1.1.1\r\nX-Real-Ip: 1.1.1.1\r\nX-FORWARDED-Proto: https\r\n\
                      X-Forwarded-Ssl: on\r\nX-Forwarded-Server: a\r\nX-Forwarded-User: root\r\nX-Forwarde: kept\r\nAccept: */*\r\n";
        let (request, _) = applied(&believing_all(), fields, Some("192.0.2.9")).expect("accepted");
        assert_eq!(names(&request), ["X-Forwarde", "Accept"]);
        assert_eq!(request.origin.scheme, Scheme::Http);
        let (request, _) = applied(&believing_all(), fields, Some("10.0.0.1")).expect("accepted");
        assert_eq!(names(&request).len(), 9);
    }
}
