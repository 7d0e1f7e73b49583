"""The guide's configuration for nginx, with other paths only, in front of a running server."""

import hashlib
import json
import os
import re
from pathlib import Path

import pytest

from web_server import NGINX, free_port, let_everybody_in, nginx
from wire import Wire, message

GUIDE = Path(__file__).resolve().parent.parent / "docs" / "guide.md"

pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx (Debian: nginx-light)")

TELLING = """
    import hashlib, json

    KEYS = ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "HTTPS")

    def application(environ, start_response):
        told = {key: environ.get(key) for key in KEYS}
        told["sha256"] = hashlib.sha256(environ["wsgi.input"].read()).hexdigest()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(told).encode()]
"""


def sockets(pid):
    """The sockets that the process holds: `socket:[INODE]`."""
    folder = "/proc/%d/fd" % pid
    return {
        link for link in (os.readlink(os.path.join(folder, name)) for name in os.listdir(folder)) if "socket:" in link
    }


class Site:
    """nginx's address, and the worker behind it."""

    def __init__(self, address, worker, sockets_before):
        self.address, self.worker, self.sockets_before = address, worker, sockets_before


@pytest.fixture(scope="module")
def site(serve_module, tmp_path_factory):
    """A running server with nginx in front of it."""
    directory = tmp_path_factory.mktemp("nginx")
    static = directory / "static"
    static.mkdir()
    (static / "style.css").write_bytes(b"body {}")
    let_everybody_in(directory)
    # This machine is no trusted proxy here, so the fields of a client on it are not trusted; peers on unix sockets
    # always are.
    flags = ("--forwarded-allow-ips", "192.0.2.1", "--proxy-headers", "x-forwarded-for")
    server = serve_module(TELLING, *flags, bind=["unix:%s/farrier.sock" % directory], directory=directory)
    with server.connect() as wire:
        assert wire.request(message()).status == 200
        worker = server.workers()[0]
        site = Site(("127.0.0.1", free_port()), worker, sockets(worker))
    guide = re.search(r"```nginx\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)[1]
    for inside, outside in (
        ("listen 80;", "listen %s:%d;" % site.address),
        ("/run/mysite/farrier.sock", server.address),
        ("/srv/mysite/static/", "%s/" % static),
    ):
        assert inside in guide
        guide = guide.replace(inside, outside)
    running = nginx(directory, guide, [site.address[1]])
    yield site
    running.stop()


def ask(site, raw):
    with Wire(site.address) as wire:
        return wire.request(raw)


def test_a_request_reaches_the_application_as_the_client_sent_it(site):
    response = ask(site, message(target="/a%20b?c=d", host="example.test:8080"))
    assert response.status == 200
    told = json.loads(response.body)
    assert (told["PATH_INFO"], told["QUERY_STRING"]) == ("/a b", "c=d")
    assert (told["HTTP_HOST"], told["SERVER_NAME"], told["SERVER_PORT"]) == (
        "example.test:8080",
        "example.test",
        "8080",
    )


def test_the_address_is_the_clients_and_not_what_the_client_claims(site):
    told = json.loads(ask(site, message(fields=[("X-Forwarded-For", "203.0.113.7")])).body)
    assert (told["REMOTE_ADDR"], told["wsgi.url_scheme"]) == ("127.0.0.1", "http")


@pytest.mark.parametrize(
    "field",
    [
        ("Forwarded", "for=203.0.113.7;host=forged.test;proto=https"),
        ("X-Forwarded-Host", "forged.test"),
        ("X-Forwarded-Port", "1"),
        ("X-Forwarded-Prefix", "/forged"),
        ("X-Forwarded-Proto", "https"),
        ("X-Real-IP", "203.0.113.7"),
    ],
    ids=lambda field: field[0],
)
def test_a_client_cannot_forge_the_proxys_fields(site, field):
    assert ask(site, message(fields=[field])).body == ask(site, message()).body


def test_a_large_upload_arrives_whole(site):
    body = os.urandom(3 << 20)
    response = ask(site, message("POST", "/", body))
    assert json.loads(response.body)["sha256"] == hashlib.sha256(body).hexdigest()


def test_static_files_are_nginxs(site):
    response = ask(site, message(target="/static/style.css"))
    assert (response.status, response.body) == (200, b"body {}")


def test_connections_to_farrier_are_kept(site):
    def ask_and_look():
        assert ask(site, message()).status == 200
        return sockets(site.worker)

    first = ask_and_look()
    for _ in range(20):
        last = ask_and_look()
    # A connection that nginx closes and opens again is another socket.
    assert (first & last) - site.sockets_before
