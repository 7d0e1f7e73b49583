"""The redirect to https, HSTS, and the certificate for development."""

import os
import stat

import pytest

from certificates import Authority
from secured import SecureWire, context
from wire import Wire, message

APPLICATION = """
    def application(environ, start_response):
        fields = [("Content-Type", "text/plain"), ("Content-Length", "5")]
        if environ["PATH_INFO"] == "/own":
            fields.append(("Strict-Transport-Security", "max-age=7"))
        if environ["PATH_INFO"] == "/fails":
            raise ValueError
        start_response("200 OK", fields)
        return [b"hello"]
"""

BOTH = ["http://127.0.0.1:0", "https://127.0.0.1:0"]
FIELD = "Strict-Transport-Security"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("authority"))
    return authority.issue("localhost")


@pytest.fixture(scope="module")
def redirecting(serve_module, certificate):
    flags = ("--https-redirect", "--hsts", "365d", "--hsts-include-subdomains", "--livez-path", "/livez")
    return serve_module(APPLICATION, "--certfile", certificate.both, *flags, bind=BOTH)


@pytest.mark.parametrize(
    "request_target, host, location",
    [
        ("/", "example.org", "https://example.org:%d/"),
        ("/a%20b//c?d=%e4&e", "example.org:8080", "https://example.org:%d/a%%20b//c?d=%%e4&e"),
        ("http://example.org/x?y", "example.org", "https://example.org:%d/x?y"),
        ("/", "[::1]:80", "https://[::1]:%d/"),
    ],
)
def test_a_client_in_the_clear_is_sent_to_the_same_place(redirecting, request_target, host, location):
    port = redirecting.addresses[1][1]
    for method in ("GET", "POST", "HEAD"):
        with Wire(redirecting.addresses[0]) as wire:
            response = wire.request(message(method, request_target, host=host), head_only=method == "HEAD")
        assert response.status == 308
        assert response.value("Location") == location % port
        assert response.values(FIELD) == []


def test_health_and_validations_are_answered_in_the_clear(redirecting):
    with Wire(redirecting.addresses[0]) as wire:
        assert wire.request(message(target="/livez")).status == 200
        assert wire.request(message(target="/.well-known/acme-challenge/abc")).status == 200
        assert wire.request(message(target="/.well-known/acme-challenges")).status == 308


def test_a_client_without_a_host_gets_an_error(redirecting):
    with Wire(redirecting.addresses[0]) as wire:
        assert wire.request(message(host=None, version="1.0")).status == 400


def test_requests_with_tls_at_a_trusted_proxy_are_not_redirected(redirecting):
    with Wire(redirecting.addresses[0]) as wire:
        assert wire.request(message(fields=[("X-Forwarded-Proto", "https")])).status == 200


@pytest.mark.parametrize(
    "target, values",
    [
        ("/", ["max-age=31536000; includeSubDomains"]),
        ("/own", ["max-age=7"]),
        ("/fails", ["max-age=31536000; includeSubDomains"]),
    ],
)
def test_hsts_is_sent_over_tls_and_once(redirecting, target, values):
    with SecureWire(redirecting.addresses[1]) as wire:
        assert wire.request(message(target=target)).values(FIELD) == values


def test_there_is_no_redirect_and_no_hsts_by_default(serve, certificate):
    server = serve(APPLICATION, "--certfile", certificate.both, bind=BOTH)
    with Wire(server.addresses[0]) as wire:
        assert wire.request(message()).status == 200
    with SecureWire(server.addresses[1]) as wire:
        assert wire.request(message()).values(FIELD) == []


def test_the_usual_port_is_not_named_where_a_proxy_speaks_tls(serve):
    server = serve(APPLICATION, "--https-redirect")
    assert server.get().value("Location") == "https://farrier.test/"


def test_a_certificate_for_development_is_made_once_and_kept(serve, tmp_path):
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    server = serve(APPLICATION, "--dev-tls", environment=environment)
    (name,) = os.listdir(tmp_path / "farrier")
    path = tmp_path / "farrier" / name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert (
        server.log.find(r"Listening at: https://") and server.log.find(str(path)) and server.log.find("Browsers warn")
    )
    for host in ("localhost", "127.0.0.1"):
        with SecureWire(server.address, context(str(path)), name=host) as wire:
            assert wire.request(message()).status == 200
    kept = path.read_text()
    again = serve(APPLICATION, "--dev-tls", environment=environment)
    with SecureWire(again.address, context(str(path))) as wire:
        assert wire.request(message()).status == 200
    assert path.read_text() == kept and os.listdir(tmp_path / "farrier") == [name]


def test_a_certificate_for_development_that_is_spoilt_is_made_anew(serve, tmp_path):
    environment = {"XDG_CACHE_HOME": str(tmp_path)}
    serve(APPLICATION, "--dev-tls", environment=environment)
    (name,) = os.listdir(tmp_path / "farrier")
    path = tmp_path / "farrier" / name
    path.write_text("nonsense")
    server = serve(APPLICATION, "--dev-tls", environment=environment)
    with SecureWire(server.address, context(str(path))) as wire:
        assert wire.request(message()).status == 200
