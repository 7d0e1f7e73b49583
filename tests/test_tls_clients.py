"""Client certificates: requested, verified, and passed to the application; a bad one is refused."""

import json
import re
import ssl
import subprocess

import pytest

from certificates import Authority, openssl
from secured import SecureWire, context
from wire import message

APPLICATION = """
    import json


    def application(environ, start_response):
        shown = {key: value for key, value in environ.items() if key.startswith("SSL_")}
        content = json.dumps(shown).encode()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(content)))])
        return [content]
"""

SUBJECT = "/O=Example, Inc./CN=alice"


@pytest.fixture(scope="module")
def authorities(tmp_path_factory):
    """The authorities of the server, of the clients, and an unknown one."""
    names = ("of the server", "of the clients", "of strangers")
    return [Authority(tmp_path_factory.mktemp("authority"), "Authority " + name) for name in names]


@pytest.fixture(scope="module")
def certificates(authorities):
    """Clients' certificates: valid, expired, of an unknown authority."""
    _, ours, stranger = authorities
    return {
        "good": ours.issue("alice", subject=SUBJECT),
        "expired": ours.issue("old", days=(-30, -1)),
        "stranger": stranger.issue("alice"),
        "none": None,
    }


@pytest.fixture(scope="module", params=["optional", "required", "none", 0, 1, 2])
def asking(request, serve_module, authorities):
    server = authorities[0].issue("localhost")
    flags = ("--certfile", server.both, "--ca-certs", authorities[1].pem, "--cert-reqs", request.param)
    words = {0: "none", 1: "optional", 2: "required"}
    return serve_module(APPLICATION, *flags), words.get(request.param, request.param)


ACCEPTED = {
    "none": {"good", "expired", "stranger", "none"},
    "optional": {"good", "none"},
    "required": {"good"},
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("shown", ["good", "expired", "stranger", "none"])
def test_access_follows_cert_reqs(asking, authorities, certificates, shown, version):
    server, asked = asking
    certificate = certificates[shown]
    terms = context(authorities[0].pem, certificate and certificate.both, versions=version)
    if shown not in ACCEPTED[asked]:
        with pytest.raises((ssl.SSLError, OSError, AssertionError)):
            with SecureWire(server.address, terms) as wire:
                wire.request(message())
        return
    with SecureWire(server.address, terms) as wire:
        told = [json.loads(wire.request(message()).body) for _ in range(2)]
    assert told[0] == told[1]
    verified = asked != "none" and shown == "good"
    assert told[0]["SSL_CLIENT_VERIFY"] == ("SUCCESS" if verified else "NONE")
    assert ("SSL_CLIENT_S_DN" in told[0]) is verified


@pytest.mark.parametrize(
    "shown, reason", [("expired", "certificate expired"), ("stranger", "UnknownIssuer"), ("none", "no certificates")]
)
def test_the_debug_log_says_why_a_client_was_refused(serve, authorities, certificates, shown, reason):
    own = authorities[0].issue("localhost")
    flags = ("--ca-certs", authorities[1].pem, "--cert-reqs", "required", "--log-level", "debug")
    server = serve(APPLICATION, "--certfile", own.both, *flags)
    certificate = certificates[shown]
    with pytest.raises((ssl.SSLError, OSError, AssertionError)):
        with SecureWire(server.address, context(authorities[0].pem, certificate and certificate.both)) as wire:
            wire.request(message())
    server.log.wait("The TLS handshake with ip=127.0.0.1 failed: .*" + reason)


def test_the_verified_names_are_written_as_openssl_does(serve, authorities, certificates):
    server = authorities[0].issue("localhost")
    server = serve(APPLICATION, "--certfile", server.both, "--ca-certs", authorities[1].pem, "--cert-reqs", "required")
    good = certificates["good"]
    with SecureWire(server.address, context(authorities[0].pem, good.both)) as wire:
        told = json.loads(wire.request(message()).body)

    def written(*what):
        return (
            openssl("x509", "-in", good.pem, "-noout", "-nameopt", "RFC2253", *what).decode().strip().partition("=")[2]
        )

    assert told["SSL_CLIENT_S_DN"] == written("-subject") == "CN=alice,O=Example\\, Inc."
    assert told["SSL_CLIENT_I_DN"] == written("-issuer")
    assert told["SSL_CLIENT_M_SERIAL"] == written("-serial")
    assert (
        told["SSL_CLIENT_CERT"].strip() == re.search("-----BEGIN.*?-----END [^-]*-----", open(good.pem).read(), re.S)[0]
    )


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_a_session_that_is_resumed_has_its_client_still(serve, authorities, certificates, tmp_path, version):
    server = authorities[0].issue("localhost")
    server = serve(APPLICATION, "--certfile", server.both, "--ca-certs", authorities[1].pem, "--cert-reqs", "required")
    session = tmp_path / "session"
    for resume in (["-sess_out", session], ["-sess_in", session]):
        command = ["openssl", "s_client", "-connect", "127.0.0.1:%d" % server.address[1], version, "-ign_eof"]
        command += ["-cert", certificates["good"].both, "-CAfile", authorities[0].pem, *map(str, resume)]
        request = message(fields=[("Connection", "close")])
        printed = subprocess.run(command, input=request, capture_output=True, timeout=30).stdout.decode("latin-1")
        assert '"SSL_CLIENT_VERIFY": "SUCCESS"' in printed and "CN=alice" in printed
    assert "Reused, " in printed
