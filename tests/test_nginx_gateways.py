"""nginx in front, by proxy_pass, uwsgi_pass and fastcgi_pass: the application sees the same requests, and the client the same
answers."""

import hashlib
import itertools
import json
import os
import threading

import pytest

from web_server import FASTCGI_PARAMS, NGINX, UWSGI_PARAMS, free_port, let_everybody_in, nginx
from wire import Wire, chunked, message, until

pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx (Debian: nginx-light)")

TELLING = """
    import hashlib, json

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/events":
            start_response("200 OK", [("Content-Type", "text/event-stream"), ("X-Accel-Buffering", "no")])
            GATE.clear()
            def events():
                yield b"data: first\\n\\n"
                environ["wsgi.input"].read()
                GATE.wait(20)
                yield b"data: second\\n\\n"
            return events()
        if path == "/gate":
            GATE.set()
        body = environ["wsgi.input"].read()
        told = {key: value for key, value in environ.items() if isinstance(value, str)}
        told["body"] = [len(body), hashlib.sha256(body).hexdigest()]
        status = environ.get("HTTP_X_STATUS", "200 OK")
        start_response(status, [("X-Two", "a"), ("X-Two", "b"), ("Content-Type", "application/json")])
        return [json.dumps(told).encode()]

    import threading
    GATE = threading.Event()
"""

WAYS = ("direct", "proxy", "uwsgi", "fastcgi", "fastcgi_kept", "uwsgi_unbuffered", "fastcgi_unbuffered")

# The differences between the protocols, as the guide lists them.
OF_THE_CONNECTION = {"SERVER_NAME", "SERVER_PORT", "SERVER_SOFTWARE", "REMOTE_ADDR", "REMOTE_PORT", "HTTP_CONNECTION"}
OF_THE_WEB_SERVER = {
    "DOCUMENT_ROOT",
    "REQUEST_SCHEME",
    "GATEWAY_INTERFACE",
    "DOCUMENT_URI",
    "SERVER_ADDR",
    "REDIRECT_STATUS",
}


@pytest.fixture(scope="module")
def ways(serve_module, tmp_path_factory):
    """The address of each protocol in front of the application."""
    directory = tmp_path_factory.mktemp("nginx")
    let_everybody_in(directory)
    names = ("http.sock", "uwsgi.sock", "fastcgi.sock")
    bind = [
        "%s:%s/%s" % (scheme, directory, name) for scheme, name in zip(("unix", "uwsgi+unix", "fastcgi+unix"), names)
    ]
    server = serve_module(TELLING, "--limit-request-body", "32M", bind=["127.0.0.1:0", *bind], directory=directory)
    ports = {way: free_port() for way in WAYS[1:]}
    passes = {
        "proxy": "proxy_pass http://http; proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header Connection '';",
        "uwsgi": UWSGI_PARAMS + "uwsgi_pass uwsgi;",
        "fastcgi": FASTCGI_PARAMS + "fastcgi_pass fastcgi;",
        "fastcgi_kept": FASTCGI_PARAMS + "fastcgi_pass fastcgi_kept; fastcgi_keep_conn on;",
        "uwsgi_unbuffered": UWSGI_PARAMS + "uwsgi_pass uwsgi; uwsgi_request_buffering off; uwsgi_buffering off;",
        "fastcgi_unbuffered": FASTCGI_PARAMS
        + "fastcgi_pass fastcgi; fastcgi_request_buffering off; fastcgi_buffering off;",
    }
    inside = "client_max_body_size 32m;\n"
    inside += "".join(
        "upstream %s { server unix:%s/%s; keepalive 4; }\n" % (name.partition(".")[0], directory, name)
        for name in ("http.sock",)
    )
    inside += "upstream uwsgi { server unix:%s/uwsgi.sock; }\n" % directory
    inside += "upstream fastcgi { server unix:%s/fastcgi.sock; }\n" % directory
    inside += "upstream fastcgi_kept { server unix:%s/fastcgi.sock; keepalive 4; }\n" % directory
    for way, port in ports.items():
        inside += "server { listen 127.0.0.1:%d; location / { %s } }\n" % (port, passes[way])
    running = nginx(directory, inside, ports.values())
    yield {"direct": server.address, **{way: ("127.0.0.1", port) for way, port in ports.items()}}
    running.stop()


def ask(address, raw, head_only=False):
    with Wire(address, timeout=30) as wire:
        return wire.request(raw, head_only)


def table():
    """Typical requests of clients."""
    targets = ["/", "/a/b", "/a%20b%C3%A9?c=d%20e&f", "/x?", "/%e2%82%ac/+?a=+", "/a;b=c,d?/?//", "/" + "l" * 2000]
    fields = [
        (),
        (("Accept", "text/html"), ("Cookie", "a=b; c=d"), ("User-Agent", "test (x; y)")),
        (("X-Empty", ""), ("X-Long", "v" * 3000), ("X-Latin", "caf\xe9")),
        (("Content-Type", "application/x-www-form-urlencoded"), ("Referer", "http://a.test/?b")),
        (("Authorization", "Basic YTpi"), ("X-Forwarded-Proto", "ftp"), ("If-None-Match", '"x"')),
    ]
    bodies = [None, b"", b"x", b"k=v&" * 5000]
    for target, field in itertools.product(targets, fields):
        yield message("GET", target, host="example.test", fields=field), False
    for target, field, body in itertools.product(targets[:5], fields, bodies[1:]):
        yield message("POST", target, body, host="example.test:8080", fields=field), False
    for method, target in itertools.product(["PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"], targets[:5]):
        yield message(method, target, host="example.test"), method == "HEAD"
    for number in range(29):
        yield (
            message("POST", "/chunked", fields=[("Transfer-Encoding", "chunked")]).replace(
                b"Content-Length: 0\r\n", b""
            )
            + chunked([b"c" * number * 500, b"d"]),
            False,
        )
    for status in ("204 No Content", "304 Not Modified", "404 Not Found", "500 Oh", "302 Found", "201 Created"):
        for target in targets[:6]:
            yield message("GET", target, fields=[("X-Status", status)]), False


REQUESTS = list(table())


def seen(response):
    """What client and application got, without values that depend on the connection."""
    told = json.loads(response.body) if response.body else {}
    told = {key: value for key, value in told.items() if key not in OF_THE_CONNECTION | OF_THE_WEB_SERVER}
    told["status"] = response.status
    for name in ("X-Two", "Content-Type"):
        told[name] = response.values(name)
    return told


@pytest.mark.parametrize("way", WAYS[1:])
def test_the_same_requests_are_seen_and_answered_the_same_way(ways, way):
    assert len(REQUESTS) >= 200
    differences = []
    for raw, head_only in REQUESTS:
        expected, found = (seen(ask(ways[name], raw, head_only)) for name in ("direct", way))
        for key in sorted(expected.keys() | found.keys()):
            if expected.get(key) != found.get(key):
                differences.append((raw[:60], key, expected.get(key), found.get(key)))
    assert not differences


@pytest.mark.parametrize("way", ["uwsgi", "fastcgi"])
def test_connection_values_are_those_of_nginx(ways, way):
    told = json.loads(ask(ways[way], message(host="example.test:8080")).body)
    assert (told["REMOTE_ADDR"], told["SERVER_PORT"]) == ("127.0.0.1", str(ways[way][1]))
    assert told["REMOTE_PORT"].isdigit() and told["SERVER_NAME"] and told["REQUEST_SCHEME"] == "http"


@pytest.mark.parametrize("way", ["uwsgi", "fastcgi"])
def test_nginx_decodes_and_normalizes_the_path_and_the_target_stays(ways, way):
    told = json.loads(ask(ways[way], message(target="/a/../b%2525/c")).body)
    # Without PATH_INFO, as in nginx's own fastcgi_params, the path is taken from the target.
    expected = {"uwsgi": "/b%25/c", "fastcgi": "/a/../b%25/c"}[way]
    assert (told["PATH_INFO"], told["REQUEST_URI"]) == (expected, "/a/../b%2525/c")


@pytest.mark.parametrize("way", WAYS[1:])
@pytest.mark.parametrize("length", [0, 1, 65535, 65536, 10 << 20])
def test_uploads_arrive_whole(ways, way, length):
    body = os.urandom(length)
    expected = [length, hashlib.sha256(body).hexdigest()]
    assert json.loads(ask(ways[way], message("POST", "/", body)).body)["body"] == expected
    raw = message("POST", "/", fields=[("Transfer-Encoding", "chunked")]).replace(b"Content-Length: 0\r\n", b"")
    pieces = [body[at : at + 70000] for at in range(0, length, 70000)]
    assert json.loads(ask(ways[way], raw + chunked(pieces)).body)["body"] == expected


@pytest.mark.parametrize("way", WAYS[1:])
def test_aborted_uploads_do_not_affect_other_clients(ways, way):
    for sent in (0, 1, 70000):
        with Wire(ways[way]) as wire:
            wire.send(message("POST", "/", b"x" * 200000)[: -200000 + sent])
    assert ask(ways[way], message()).status == 200


@pytest.mark.parametrize("way", WAYS[1:])
def test_clients_that_leave_do_not_affect_others(ways, way):
    for _ in range(20):
        with Wire(ways[way]) as wire:
            wire.send(message())
            wire.reset()
    assert ask(ways[way], message()).status == 200


@pytest.mark.parametrize("way", ["uwsgi", "fastcgi", "fastcgi_kept"])
def test_many_at_once(ways, way):
    failures = []

    def client():
        for _ in range(50):
            if ask(ways[way], message("POST", "/", b"x" * 1000)).status != 200:
                failures.append(way)

    threads = [threading.Thread(target=client) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures


@pytest.mark.parametrize("way", ["uwsgi", "fastcgi", "uwsgi_unbuffered"])
def test_an_event_is_seen_when_it_is_sent(ways, way):
    with Wire(ways[way]) as wire:
        wire.send(message(target="/events"))
        wire.read_head()
        until(lambda: b"first" in wire.pending or not wire._more(), 15, "the first event")
        assert b"second" not in wire.pending
        assert ask(ways["direct"], message(target="/gate")).status == 200
        until(lambda: b"second" in wire.pending or not wire._more(), 15, "the second event")
        assert b"first" in wire.pending and b"second" in wire.pending


def test_requests_that_are_refused_are_answered_through_nginx(ways):
    for way in ("uwsgi", "fastcgi"):
        response = ask(ways[way], message("POST", "/", host="a b"))
        assert response.status == 400
