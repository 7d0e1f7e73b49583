"""Requests that an application may not see as they are: every front (HTTP/1.1, HTTP/2, uwsgi, FastCGI) treats them alike."""

import json

import pytest

from edge import serve_edge, trusting
from frames import PROTOCOL_ERROR, Connection
from gateway import Records, uwsgi
from wire import Wire, message

APPLICATION = """
    import json

    def application(environ, start_response):
        told = {key: value for key, value in environ.items() if isinstance(value, str)}
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps(told).encode()]
"""

FLAGS = ("--http2-cleartext", "prior-knowledge")
FRONTS = ("http1", "http2", "uwsgi", "fastcgi")


@pytest.fixture(scope="module")
def server(serve_module):
    bind = ["127.0.0.1:0", "uwsgi://127.0.0.1:0", "fastcgi://127.0.0.1:0"]
    return serve_module(APPLICATION, *FLAGS, bind=bind)


def ask(server, front, method="GET", target="/", fields=(), host="farrier.test"):
    """One request: the status and the content of its answer."""
    http, uwsgi_address, fastcgi_address = server.addresses
    fields = list(fields)
    if front == "http1":
        with Wire(http) as wire:
            answer = wire.request(message(method, target, host=host, fields=fields))
    elif front == "http2":
        pseudo = [(":method", method), (":scheme", "http"), (":authority", host), (":path", target)]
        with Connection(http) as connection:
            block = connection.encoder.encode(pseudo + [(name.lower(), value) for name, value in fields])
            answer = connection.response(connection.open(block=block))
    elif front == "uwsgi":
        with Wire(uwsgi_address) as wire:
            wire.send(uwsgi(method, target, HTTP_HOST=host, fields=fields))
            answer = wire.read_head()
            answer.body = wire._rest()
    else:
        with Records(fastcgi_address) as records:
            answer = records.ask(method, target, HTTP_HOST=host, fields=fields)
    return answer.status, answer.body


def environ(server, front, **request):
    """The environ's strings of a request that is served."""
    status, body = ask(server, front, **request)
    assert status == 200, body
    return json.loads(body)


@pytest.mark.parametrize("front", FRONTS)
def test_a_proxy_field_never_becomes_http_proxy(serve, front):
    """CVE-2016-5385 (httpoxy): a program that the application starts would send its own requests to that proxy."""
    bind = ["127.0.0.1:0", "uwsgi://127.0.0.1:0", "fastcgi://127.0.0.1:0"]
    server = serve(APPLICATION, *FLAGS, "--header-map", "dangerous", bind=bind)
    for _ in range(2):
        told = environ(server, front, fields=[("Proxy", "evil.test:80"), ("X-Kept", "1")])
        assert ("HTTP_PROXY" in told, told["HTTP_X_KEPT"]) == (False, "1")
    server.log.wait("Dropped the header field proxy: it would become HTTP_PROXY")
    assert len(server.log.find("Dropped the header field proxy")) == 1


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("host", ["a,b", ",", ".", "..", "a..b", ".a", "a" * 256])
def test_a_host_that_names_no_host_is_refused(server, front, host):
    """RFC 9110 §7.2: a comma comes from two fields that somebody has joined, and DNS has no empty or longer names."""
    mark = server.log.mark()
    assert ask(server, front, host=host)[0] == 400
    server.log.wait("is not a valid host", since=mark)


ELSEWHERE = ("--forwarded-allow-ips", "192.0.2.9")


def test_an_https_target_on_a_port_without_tls_is_refused_from_an_untrusted_peer(serve):
    """RFC 9110 §7.4: whoever answers an https URI must have proved its certificate."""
    server = serve(APPLICATION, *ELSEWHERE)
    assert server.get("http://farrier.test/").status == 200
    mark = server.log.mark()
    assert server.get("https://farrier.test/").status == 400
    server.log.wait("the request names another scheme than its connection's", since=mark)


def test_an_https_target_of_a_trusted_proxy_is_served(server):
    assert server.get("https://farrier.test/").status == 200


@pytest.fixture
def secured(serve, tmp_path, authority):
    server = serve_edge(serve, tmp_path, authority, *ELSEWHERE, workers=1)
    with Connection(server.addresses[0], tls=trusting(authority, "h2")) as connection:
        yield server, connection


def test_the_scheme_http_over_tls_is_refused_from_an_untrusted_peer(secured):
    """RFC 9113 §8.3.1: the pseudo-field names the scheme of the request's URI, which is not that of this connection."""
    server, connection = secured
    mark = server.log.mark()
    wrong = connection.open(block=connection.encoder.encode(connection.pseudo(scheme="http")))
    assert connection.response(wrong).status == 400
    server.log.wait("the request names another scheme than its connection's", since=mark)
    assert connection.get("/").status == 200


@pytest.mark.parametrize("target", ["/a<b", "/a>b", "/a`b", "/?a<b", "/?a>b", '/?a"b'])
def test_a_byte_that_must_be_escaped_is_served_over_http_1_and_logged_over_http_2(server, target):
    """RFC 3986 §2: the HTTP/2 library resets such a stream before the server sees it. Nobody must search for the reason."""
    assert ask(server, "http1", target=target)[0] == 200
    mark = server.log.mark()
    with Connection(server.address) as connection:
        wrong = connection.open(path=target)
        connection.stream_error(wrong, PROTOCOL_ERROR)
        assert connection.get("/").status == 200
    server.log.wait(r"Invalid request from ip=127.0.0.1: 1 stream\(s\) of HTTP/2 reset", since=mark)


@pytest.mark.parametrize("target", ['/a"b', "/a{b}|^", "/?a{b}|^`"])
def test_other_bytes_that_must_be_escaped_are_served_over_both(server, target):
    assert environ(server, "http1", target=target)["REQUEST_URI"] == target
    assert environ(server, "http2", target=target)["REQUEST_URI"] == target


@pytest.mark.parametrize("front", FRONTS)
def test_options_asterisk_is_answered_by_the_server(server, front):
    """RFC 9110 §9.3.7: it asks about the server. An application would take `*` for a path."""
    assert ask(server, front, "OPTIONS", "*") == (204, b"")


@pytest.mark.parametrize("front", ["http1", "uwsgi", "fastcgi"])
def test_connect_is_not_served(server, front):
    """RFC 9110 §9.3.6: it asks for a tunnel, and an application that answers 200 would have made one."""
    mark = server.log.mark()
    assert ask(server, front, "CONNECT", "farrier.test:80")[0] == 501
    server.log.wait("CONNECT is not served", since=mark)


def test_connect_is_not_served_over_http_2(server):
    mark = server.log.mark()
    with Connection(server.address) as connection:
        block = connection.encoder.encode([(":method", "CONNECT"), (":authority", "farrier.test:80")])
        assert connection.response(connection.open(block=block)).status == 501
    server.log.wait("CONNECT is not served", since=mark)


@pytest.mark.parametrize("front", ["http1", "http2"])
def test_two_content_types_are_refused(server, front):
    """RFC 9110 §8.3: whoever has checked the content by one of them has not checked what the application reads."""
    mark = server.log.mark()
    fields = [("Content-Type", "text/plain"), ("Content-Type", "application/json")]
    assert ask(server, front, "POST", fields=fields)[0] == 400
    server.log.wait("the Content-Type is given twice", since=mark)


def test_an_absolute_target_of_http_1_0_gives_the_host(server):
    """RFC 9112 §3.2.2: the target's authority takes the place of the Host field, which HTTP/1.0 may omit."""
    raw = b"GET http://b.example:81/x HTTP/1.0\r\n\r\n"
    told = json.loads(server.exchange(raw).body)
    assert (told["HTTP_HOST"], told["PATH_INFO"]) == ("b.example:81", "/x")
    told = json.loads(server.exchange(b"GET /x HTTP/1.0\r\n\r\n").body)
    assert "HTTP_HOST" not in told


def test_a_folded_value_has_spaces_and_no_tabs(serve):
    """RFC 9112 §5.2: the line end and the white space around it become spaces, before anybody interprets the value."""
    server = serve(APPLICATION, "--permit-obsolete-folding")
    told = json.loads(server.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nX-A: one\tb\t\r\n\ttwo\r\n\r\n").body)
    assert told["HTTP_X_A"] == "one\tb    two"
