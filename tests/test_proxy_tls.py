"""TLS between the reverse proxy and its servers: whom it trusts, how it identifies itself, and how connections end."""

import hashlib
import re
import signal
import socket
import ssl
import threading

import pytest

from certificates import Authority
from process import run_alone
from web_server import NGINX, free_port, let_everybody_in, nginx
from wire import Incomplete, message, until

MIB = 1024 * 1024


class Behind:
    """A server that speaks HTTP/1.1 over TLS. It counts connections, resumed sessions and requests."""

    def __init__(self, certificate, client_authority=None, versions=None, notifies=True, framing="length"):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate.pem, certificate.key)
        self.context.sni_callback = lambda _, name, __: self.names.append(name)
        if client_authority:
            self.context.load_verify_locations(client_authority.pem)
            self.context.verify_mode = ssl.CERT_REQUIRED
        if versions:
            self.context.minimum_version, self.context.maximum_version = versions
        self.context.set_alpn_protocols(["h2", "http/1.1"])
        self.notifies, self.framing = notifies, framing
        self.names, self.resumed, self.requests, self.endings, self.subjects = [], [], [], [], []
        self.protocols, self.connections = [], 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.url = "https://localhost:%d" % self.port
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client = self.listener.accept()[0]
            except OSError:
                return
            self.connections += 1
            client.settimeout(30)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            secure = self.context.wrap_socket(client, server_side=True, suppress_ragged_eofs=False)
        except OSError as error:
            self.endings.append(type(error).__name__)
            client.close()
            return
        self.resumed.append(secure.session_reused)
        self.protocols.append(secure.selected_alpn_protocol())
        self.subjects.append(dict(pair[0] for pair in (secure.getpeercert() or {}).get("subject", ())))
        try:
            while self._answer(secure):
                pass
            if self.notifies:
                secure.unwrap()
        except OSError as error:
            self.endings.append(type(error).__name__)
        finally:
            secure.close()

    def _answer(self, secure):
        """One request; False if no further one is read."""
        received = b""
        while b"\r\n\r\n" not in received:
            more = secure.recv(65536)
            if not more:
                self.endings.append("close_notify")
                return False
            received += more
        head, _, body = received.partition(b"\r\n\r\n")
        length = int((re.search(rb"(?i)content-length: (\d+)", head) or [0, 0])[1])
        while len(body) < length:
            body += secure.recv(65536)
        self.requests.append((head, hashlib.sha256(body).hexdigest()))
        if b"/close" in head.split(b"\r\n", 1)[0]:
            secure.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nup to the end")
            return False
        secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        return True

    def close(self):
        """Accepts no more."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def behind(authority):
    """Starts TLS servers; the usual certificate is for `localhost`."""
    started = []

    def start(certificate=None, **options):
        started.append(Behind(certificate or authority.issue("localhost"), **options))
        return started[-1]

    yield start
    for each in started:
        each.close()


def settings(url, **tls):
    """An upstream of one server, with these keys of `tls`."""
    words = {True: "true", False: "false"}
    pairs = ", ".join("%s = %s" % (key, words.get(value, '"%s"' % value)) for key, value in tls.items())
    table = '[[upstream]]\nname = "app"\nservers = ["%s"]\nresolve_family = "v4"\n' % url
    return table + ("tls = { %s }\n" % pairs if pairs else "") + '[[mount]]\npath = "/"\nproxy = "app"\n'


def serves(serve, server, authority, *flags, **tls):
    """A front whose upstream trusts the authority."""
    return serve("", *flags, settings=settings(server.url, ca=authority.pem, **tls))


def test_a_server_is_spoken_to_over_tls_and_its_connection_used_again(serve, behind, authority):
    server = behind()
    front = serves(serve, server, authority)
    for number in range(5):
        assert front.exchange(message("POST", "/%d" % number, body=b"content")).body == b"content"
    assert len(server.resumed) == 1 and len(server.requests) == 5
    # The name is sent (RFC 6066 §3), and HTTP/2 is not offered.
    assert server.names == ["localhost"] and server.protocols == ["http/1.1"]
    assert b"x-forwarded-proto: http\r\n" in server.requests[0][0].lower() + b"\r\n"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed(serve, behind, authority, version):
    server = behind(versions=(version, version))
    front = serves(serve, server, authority)
    for _ in range(4):
        assert front.get("/close").status == 200
    assert server.resumed == [False, True, True, True]


@pytest.mark.parametrize(
    ["names", "days", "reason"],
    [
        (["localhost"], (-10, -2), "it has expired"),
        (["localhost"], (2, 10), "it is not valid yet"),
        (
            ["other.test"],
            (-1, 90),
            "it is not for `localhost` but for .*other.test.*; `tls.name` is the name to expect",
        ),
    ],
    ids=["expired", "not yet valid", "other name"],
)
def test_a_wrong_certificate_is_refused(serve, behind, authority, tmp_path, names, days, reason):
    server = behind(authority.issue(*names, days=days, into=tmp_path))
    front = serves(serve, server, authority)
    assert front.get("/").status == 502
    front.log.wait(re.escape("the upstream's certificate is not accepted: ") + reason + r".* \(" + server.url)
    # No other attempt is made: it would be refused as well. A connection is counted before its certificate is sent; how its
    # handshake ended the server may learn after the client has its response.
    assert server.connections == 1 and not server.requests


def test_an_unknown_authority_is_refused(serve, behind, authority, tmp_path):
    stranger = Authority(tmp_path / "stranger", "Stranger")
    server = behind(stranger.issue("localhost"))
    # Neither the configured authority nor the system knows it.
    for tls in ({"ca": authority.pem}, {}):
        front = serve("", settings=settings(server.url, **tls))
        assert front.get("/").status == 502
        front.log.wait("not accepted: its issuer is not a known authority; `tls.ca` names a file of authorities")
    assert not server.requests


def test_checking_can_be_turned_off(serve, behind, tmp_path):
    server = behind(Authority(tmp_path / "stranger", "Stranger").issue("other.test", days=(-10, -2)))
    front = serve("", settings=settings(server.url, verify=False))
    assert front.get("/").status == 200
    assert server.names == ["localhost"]


def test_another_name_can_be_expected(serve, behind, authority):
    server = behind(authority.issue("inside.test"))
    server.url = "https://127.0.0.1:%d" % server.port
    front = serves(serve, server, authority, name="inside.test")
    assert front.get("/").status == 200
    assert server.names == ["inside.test"]


def test_an_address_is_checked_against_the_addresses_of_the_certificate(serve, behind, authority):
    server = behind()
    server.url = "https://127.0.0.1:%d" % server.port
    assert serves(serve, server, authority).get("/").status == 200
    # RFC 6066 §3: an address is no server name.
    assert server.names == [None]


def test_a_client_certificate_is_shown(serve, behind, authority):
    server = behind(client_authority=authority)
    mine = authority.issue("proxy.test")
    front = serves(serve, server, authority, certificate=mine.pem, key=mine.key)
    assert front.get("/").status == 200
    assert server.subjects == [{"commonName": "proxy.test"}]
    # The key may be in the same file.
    assert serves(serve, server, authority, certificate=mine.both).get("/").status == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_missing_client_certificate_is_named_in_the_log(serve, behind, authority, version):
    server = behind(client_authority=authority, versions=(version, version))
    front = serves(serve, server, authority)
    assert front.get("/").status == 502
    front.log.wait("the server refused with the alert (CertificateRequired; `tls.certificate` and|HandshakeFailure)")


def test_an_old_version_can_be_refused(serve, behind, authority):
    server = behind(versions=(ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_2))
    assert serves(serve, server, authority).get("/").status == 200
    front = serves(serve, server, authority, min="1.3")
    assert front.get("/").status == 502
    front.log.wait("the TLS handshake with the upstream failed: .*alert ProtocolVersion")


def test_large_content_goes_both_ways(serve, behind, authority):
    server = behind()
    front = serves(serve, server, authority, "--limit-request-body", "100M")
    content = bytes(range(256)) * (16 * MIB // 256)
    response = front.exchange(message("POST", "/", body=content))
    assert response.status == 200 and response.body == content
    assert server.requests[0][1] == hashlib.sha256(content).hexdigest()


def test_an_end_without_close_notify_is_no_end_of_an_answer(serve, behind, authority):
    for notifies in (True, False):
        server = behind(notifies=notifies)
        front = serves(serve, server, authority)
        with front.connect() as wire:
            wire.send(message("GET", "/close"))
            if notifies:
                assert wire.read_response().body == b"up to the end"
            else:
                # RFC 8446 §6.1: an attacker may have cut the rest off, so the client's message is left incomplete.
                with pytest.raises(Incomplete):
                    wire.read_response()


def test_idle_connections_are_closed_with_close_notify(serve, behind, authority):
    server = behind()
    front = serves(serve, server, authority)
    assert front.get("/").status == 200
    front.stop()
    until(lambda: server.endings, what="the end of the connection")
    assert server.endings == ["close_notify"]


def test_a_server_without_tls_is_named_in_the_log(serve):
    plain = serve("def application(environ, start_response):\n    start_response('200 OK', [])\n    return []\n")
    front = serve("", "--proxy", "/=https://127.0.0.1:%d" % plain.address[1])
    assert front.get("/").status == 502
    front.log.wait("the TLS handshake with the upstream failed: the server answers without TLS")


def test_a_server_with_tls_behind_a_plain_address_is_named_in_the_log(serve):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse():
            client = listener.accept()[0]
            client.recv(65536)
            # RFC 8446 §6.2: protocol_version, as a TLS server answers to a request line.
            client.sendall(bytes([0x15, 3, 1, 0, 2, 2, 70]))
            client.close()

        threading.Thread(target=refuse, daemon=True).start()
        front = serve("", "--proxy", "/=http://127.0.0.1:%d" % listener.getsockname()[1])
        assert front.get("/").status == 502
    front.log.wait("the answer is TLS and not HTTP: the address of its server is `https://`")


def test_the_handshake_counts_into_the_time_to_connect(serve, authority):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = "https://127.0.0.1:%d" % silent.getsockname()[1]
        front = serve("", settings=settings(url).replace("resolve_family", 'connect_timeout = "100ms"\nresolve_family'))
        assert front.get("/").status == 504
    front.log.wait("the upstream did not accept the connection in time")


def test_a_reload_takes_up_changed_files(serve, behind, authority, tmp_path):
    server = behind()
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(open(Authority(tmp_path / "stranger", "Stranger").pem).read())
    front = serve("", settings=settings(server.url, ca=trusted))
    assert front.get("/").status == 502
    trusted.write_text(open(authority.pem).read())
    old = front.workers()
    front.kill(signal.SIGHUP)
    until(lambda: front.workers() and not set(front.workers()) & set(old), what="the new workers")
    assert front.get("/").status == 200
    # A file that cannot be used leaves the old generation at work.
    trusted.write_text("nothing")
    front.kill(signal.SIGHUP)
    front.log.wait("upstream `app`: `tls.ca`: there is no certificate in .*trusted.pem")
    assert front.get("/").status == 200


@pytest.mark.parametrize(
    ["url", "tls", "error"],
    [
        ("https://h", "ca = 'gone.pem'", "`tls.ca`: cannot read gone.pem"),
        ("https://h", "key = 'my.key'", "`tls.key`: there is a key but no `tls.certificate`"),
        ("https://h", "certificate = 'gone.pem'", "`tls.certificate`: cannot read gone.pem"),
        ("https://h", "name = 'a b', verify = false", "`a b` is neither the name of a host nor an address"),
        ("http://h", "verify = false", "`tls` has no effect: no server is spoken to over TLS"),
    ],
)
def test_mistakes_are_reported_before_the_start(tmp_path, url, tls, error):
    table = '[[upstream]]\nname = "app"\nservers = ["%s"]\ntls = { %s }\n[[mount]]\npath = "/"\nproxy = "app"\n'
    (tmp_path / "farrier.toml").write_text(table % (url, tls))
    checked = run_alone(tmp_path, "--check-config")
    assert checked.returncode == 1 and error in checked.stderr and "farrier.toml:1" in checked.stderr, checked.stderr


def test_servers_are_checked_over_tls(serve, behind, authority, tmp_path):
    good, bad = behind(), behind(Authority(tmp_path / "stranger", "Stranger").issue("localhost"))
    table = '[[upstream]]\nname = "app"\nservers = ["%s", "%s"]\nresolve_family = "v4"\ntls = { ca = "%s" }\n'
    table += 'health = { path = "/healthz", interval = "100ms" }\n[[mount]]\npath = "/"\nproxy = "app"\n'
    front = serve("", settings=table % (good.url, bad.url, authority.pem))
    until(lambda: any(b" /healthz " in head for head, _ in good.requests), what="a check")
    front.log.wait("%s.* is down" % bad.url)
    assert [front.get("/").status for _ in range(4)] == [200] * 4
    assert not bad.requests


def test_uwsgi_is_spoken_over_tls(serve, authority):
    certificate = authority.issue("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.pem, certificate.key)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        packets = []

        def answer():
            with context.wrap_socket(listener.accept()[0], server_side=True) as secure:
                packets.append(secure.recv(65536))
                secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                secure.unwrap()

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        url = "suwsgi://127.0.0.1:%d" % listener.getsockname()[1]
        front = serve("", settings=settings(url, ca=authority.pem))
        assert front.get("/path").body == b"ok"
        thread.join(15)
        assert packets[0][0] == 0 and b"/path" in packets[0]


@pytest.mark.skipif(NGINX is None, reason="needs nginx")
def test_nginx_is_a_server_over_tls(serve, authority, tmp_path):
    certificate, port = authority.issue("nginx.test"), free_port()
    let_everybody_in(tmp_path)
    (tmp_path / "file").write_bytes(bytes(range(256)) * 4096)
    (tmp_path / "file").chmod(0o644)
    inside = """
    keepalive_requests 3;
    server {
        listen 127.0.0.1:%d ssl;
        ssl_certificate %s;
        ssl_certificate_key %s;
        root %s;
        location = /reused { return 200 "$ssl_server_name $ssl_session_reused $connection_requests"; }
    }
    """
    web = nginx(tmp_path, inside % (port, certificate.pem, certificate.key, tmp_path), [port])
    try:
        front = serve("", settings=settings("https://127.0.0.1:%d" % port, ca=authority.pem, name="nginx.test"))
        assert front.get("/file").body == bytes(range(256)) * 4096
        seen = [front.get("/reused").body for _ in range(4)]
        assert seen == [b"nginx.test . 2", b"nginx.test . 3", b"nginx.test r 1", b"nginx.test r 2"]
    finally:
        web.stop()


HEALTH = 'health = { path = "/healthz", interval = "100ms", fast_interval = "50ms", down = 2 }\n'


def test_checks_speak_tls_as_requests_do(serve, behind, authority):
    server = behind()
    table = settings(server.url, ca=authority.pem).replace("[[mount]]", HEALTH + "[[mount]]")
    front = serve("", settings=table)
    until(lambda: len(server.requests) > 3, what="checks")
    assert all(head.startswith(b"GET /healthz HTTP/1.1\r\n") for head, _ in server.requests)
    assert set(server.names) == {"localhost"} and not front.log.find(" is down")


def test_a_server_whose_certificate_is_refused_fails_its_checks(serve, behind, authority, tmp_path):
    server = behind(authority.issue("other.test", into=tmp_path))
    table = settings(server.url, ca=authority.pem).replace("[[mount]]", HEALTH + "[[mount]]")
    front = serve("", settings=table)
    front.log.wait(r"upstream app: \S+ at \S+ is down: TLS with it fails; 0 of 1 servers are well")
