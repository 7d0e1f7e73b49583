//! Tests of sessions: a client's and a server's, joined without a socket. The server's is the one that Farrier's clients have.

use std::sync::Arc;
use std::time::SystemTime;

use farrier_config::{TlsVersion, UpstreamTls};
use farrier_tls::client::{ClientSession, Peer, Refusal};
use farrier_tls::client_terms;
use farrier_tls::server::ServerSession;
use farrier_tls::session::{Failed, OVERHEAD_BYTES, Session, Side};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::ServerSessionMemoryCache;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

/// An authority, and what a server of it has.
struct World {
    roots: Arc<RootCertStore>,
    server: Arc<ServerConfig>,
}

fn world(names: &[&str], valid_days: std::ops::Range<i64>) -> World {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, format!("Authority of {}", names.join(", ")));
    let issuer = CertifiedIssuer::self_signed(params, key).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).expect("names");
    let day = |days: i64| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs() as i64;
        rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs((now + days * 86400) as u64)
    };
    (params.not_before, params.not_after) = (day(valid_days.start), day(valid_days.end));
    let leaf = params.signed_by(&key, &issuer).expect("a certificate");
    let mut roots = RootCertStore::empty();
    roots.add(issuer.der().clone()).expect("an authority");
    let provider = farrier_tls::provider(None).expect("suites");
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).expect("a key"))
        .expect("an identity");
    server.session_storage = ServerSessionMemoryCache::new(100);
    World { roots: Arc::new(roots), server: Arc::new(server) }
}

impl World {
    fn terms(&self, tls: &UpstreamTls) -> Arc<ClientConfig> {
        client_terms(tls, &mut || Ok(Arc::clone(&self.roots))).expect("terms")
    }

    fn pair(&self, terms: &Arc<ClientConfig>) -> (ClientSession, ServerSession) {
        let peer = Peer::new("app.test", Arc::clone(terms)).expect("a name");
        let client = ClientSession::new(&peer).expect("a session");
        (client, ServerSession::new(Arc::clone(&self.server), Vec::new()).expect("a session"))
    }
}

/// Gives bytes of the wire to a session: the plaintext, and what it sends.
fn open<S: Side>(session: &mut Session<S>, received: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Failed> {
    let mut incoming = [session.inbox(), received].concat();
    let (mut into, mut out) = (vec![0; 65536], Vec::new());
    let count = session.open(&mut incoming, &mut into, &mut out)?;
    into.truncate(count);
    Ok((into, out))
}

fn seal<S: Side>(session: &mut Session<S>, plain: &[u8]) -> Vec<u8> {
    let mut room = vec![0; plain.len() + OVERHEAD_BYTES];
    let used = session.seal(plain, &mut room).expect("sealed");
    room.truncate(used);
    room
}

/// Makes the handshake, and gives the client what the server sends behind it. `Err`: the client refuses.
fn shake(client: &mut ClientSession, server: &mut ServerSession) -> Result<(), Failed> {
    let mut to_server = open(client, b"")?.1;
    while !to_server.is_empty() {
        let to_client = open(server, &to_server).expect("the server accepts").1;
        to_server = open(client, &to_client)?.1;
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok(())
}

#[test]
fn bytes_go_both_ways_and_an_idle_session_keeps_none() {
    let world = world(&["app.test"], -1..1);
    for min in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let (mut client, mut server) = world.pair(&world.terms(&UpstreamTls { min, ..UpstreamTls::default() }));
        shake(&mut client, &mut server).expect("accepted");
        let asked = seal(&mut client, b"question");
        assert_eq!(open(&mut server, &asked), Ok((b"question".to_vec(), Vec::new())));
        let answer = seal(&mut server, b"answer");
        // A record may come in pieces.
        let (first, rest) = answer.split_at(9);
        assert_eq!(open(&mut client, first), Ok(Default::default()));
        assert!(!client.inbox().is_empty());
        assert_eq!(open(&mut client, rest), Ok((b"answer".to_vec(), Vec::new())));
        assert!(client.inbox().is_empty() && !client.has_news());
    }
}

#[test]
fn an_idle_session_is_small() {
    // rustls' own allocations for keys and secrets are below 1 KiB.
    assert!(size_of::<ClientSession>() <= 3 * 1024, "{}", size_of::<ClientSession>());
}

#[test]
fn only_a_close_notify_is_an_orderly_end() {
    let world = world(&["app.test"], -1..1);
    let (mut client, mut server) = world.pair(&world.terms(&UpstreamTls::default()));
    shake(&mut client, &mut server).expect("accepted");
    let end = [seal(&mut server, b"last"), server.close_notify()].concat();
    assert!(!client.has_ended());
    assert_eq!(open(&mut client, &end).map(|(plain, _)| plain), Ok(b"last".to_vec()));
    assert!(client.has_ended() && client.has_news());
    assert!(!client.close_notify().is_empty() && client.close_notify().is_empty());
}

#[test]
fn a_session_is_resumed_and_each_ticket_used_once() {
    let world = world(&["app.test"], -1..1);
    let terms = world.terms(&UpstreamTls::default());
    let mut lengths = Vec::new();
    for _ in 0..3 {
        let (mut client, mut server) = world.pair(&terms);
        let hello = open(&mut client, b"").expect("begun").1;
        // RFC 8446 §4.2.11: a hello with a ticket is longer, and the answer has no certificate.
        let answer = open(&mut server, &hello).expect("accepted").1;
        lengths.push(answer.len());
        let finished = open(&mut client, &answer).expect("accepted").1;
        let tickets = open(&mut server, &finished).expect("accepted").1;
        open(&mut client, &tickets).expect("accepted");
    }
    assert!(lengths[1] < lengths[0] - 200 && lengths[2] < lengths[0] - 200, "{lengths:?}");
}

#[test]
fn a_wrong_certificate_is_refused_with_its_reason() {
    for (names, days, reason) in [
        (&["app.test"][..], -9..-1, "it has expired"),
        (&["app.test"], 1..9, "it is not valid yet"),
        (
            &["other.test"],
            -1..1,
            "it is not for `app.test` but for DnsName(\"other.test\"); `tls.name` is the name to expect",
        ),
    ] {
        let world = world(names, days);
        let terms = world.terms(&UpstreamTls::default());
        let (mut client, mut server) = world.pair(&terms);
        assert_eq!(shake(&mut client, &mut server), Err(Failed));
        let error = client.take_fault().expect("a reason");
        let refusal = Refusal::of(&error, &Peer::new("app.test", terms).expect("a name"));
        assert_eq!((refusal.is_certificate, &*refusal.reason), (true, reason));
    }
}

#[test]
fn an_unknown_issuer_is_refused_unless_nothing_is_checked() {
    let (mine, other) = (world(&["app.test"], -1..1), world(&["other.test"], -1..1));
    let terms = other.terms(&UpstreamTls::default());
    let (mut client, mut server) = mine.pair(&terms);
    assert_eq!(shake(&mut client, &mut server), Err(Failed));
    let error = client.take_fault().expect("a reason");
    let refusal = Refusal::of(&error, &Peer::new("app.test", terms).expect("a name"));
    assert!(refusal.is_certificate && refusal.reason.contains("`tls.ca`"), "{refusal}");
    let (mut client, mut server) = mine.pair(&other.terms(&UpstreamTls { verify: false, ..UpstreamTls::default() }));
    assert_eq!(shake(&mut client, &mut server), Ok(()));
}

#[test]
fn only_records_of_tls_can_begin_an_answer() {
    let world = world(&["app.test"], -1..1);
    let (client, server) = world.pair(&world.terms(&UpstreamTls::default()));
    assert!(client.is_untouched() && client.may_begin_with(0x16) && client.may_begin_with(0x15));
    assert!(!client.may_begin_with(b'H') && !server.may_begin_with(0x15));
}
