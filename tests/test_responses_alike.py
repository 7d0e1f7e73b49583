"""Responses that an application may not give as they are: every front (HTTP/1.1, HTTP/2, uwsgi, FastCGI) treats them alike."""

import pytest

from frames import Connection
from gateway import Records, uwsgi
from wire import Wire, message

APPLICATION = """
    from urllib.parse import parse_qs

    def application(environ, start_response):
        asked = parse_qs(environ["QUERY_STRING"])
        fields = [tuple(field.split(":", 1)) for field in asked.get("field", [])]
        body = asked.get("body", ["Hello"])[0].encode()
        if "padded" in asked:
            fields = [("X-A", " \\t a b\\t "), ("X-B", " ")]
        start_response(asked.get("status", ["200 OK"])[0], fields)
        return [body]
"""

FLAGS = ("--http2-cleartext", "prior-knowledge")
FRONTS = ("http1", "http2", "uwsgi", "fastcgi")


@pytest.fixture(scope="module")
def server(serve_module):
    bind = ["127.0.0.1:0", "uwsgi://127.0.0.1:0", "fastcgi://127.0.0.1:0"]
    return serve_module(APPLICATION, *FLAGS, bind=bind, environment={"_FARRIER_TEST_EXCHANGE": "/exchange"})


class Answer:
    """What a front has answered: names in lower case, without the fields that say how long a connection lives."""

    def __init__(self, status, fields, body):
        self.status, self.body = status, body
        self.fields = [(name.lower(), value) for name, value in fields if not name.startswith(":")]

    def values(self, name):
        return [value for its, value in self.fields if its == name]


def ask(server, front, target):
    """One request on a connection that must serve the next one too, where the protocol has a next one."""
    http, uwsgi_address, fastcgi_address = server.addresses
    if front == "http1":
        with Wire(http) as wire:
            wire.send(message("GET", target) + message("GET", "/?body=next"))
            answer, following = wire.read_response(), wire.read_response()
            assert following.body == b"next"
            return Answer(answer.status, answer.fields, answer.body)
    if front == "http2":
        with Connection(http) as connection:
            answer = connection.get(target)
            assert answer.reset is None, answer
            assert connection.get("/?body=next").body == b"next"
            assert not answer.interim
            return Answer(answer.status, answer.fields, answer.body)
    if front == "uwsgi":
        with Wire(uwsgi_address) as wire:
            wire.send(uwsgi("GET", target))
            head = wire.read_head()
            return Answer(head.status, head.fields, wire._rest())
    with Records(fastcgi_address) as records:
        answer = records.ask("GET", target, keep=True)
        assert records.ask("GET", "/?body=next", keep=True).body == b"next"
        return Answer(answer.status, answer.fields, answer.body)


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("status", [100, 101, 102, 103, 199])
def test_an_interim_status_as_the_final_one_is_a_500_with_a_log_line(server, front, status):
    """RFC 9110 §15.2: after a 1xx the client waits for the final response, or takes the next answer for it."""
    mark = server.log.mark()
    answer = ask(server, front, "/?status=%d+Interim" % status)
    assert (answer.status, answer.body) == (500, b"500 Internal Server Error\n")
    server.log.wait(r"ValueError: a status of 1xx cannot be the response's own", since=mark)


@pytest.mark.parametrize("front", FRONTS)
def test_an_interim_status_of_an_exchange_is_a_500_with_a_log_line(server, front):
    """The engine itself checks it, because not every handler is the application's."""
    mark = server.log.mark()
    answer = ask(server, front, "/exchange?status=103&make=5")
    assert (answer.status, answer.body) == (500, b"500 Internal Server Error\n")
    server.log.wait(
        r"Error handling request GET /exchange\S+: a status of 1xx cannot be the response's own", since=mark
    )


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize(
    "target", ["/?status=205+Reset&body=form", "/?status=205+Reset&field=Content-Length:4&body=form"]
)
def test_a_205_has_no_content_and_a_length_of_0(server, front, target):
    """RFC 9110 §15.3.6: content behind a 205 would be taken for the next response."""
    answer = ask(server, front, target)
    assert (answer.status, answer.body, answer.values("content-length")) == (205, b"", ["0"])


HOP_BY_HOP = [
    "Connection",
    "CONNECTION",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "transfer-encoding",
    "Upgrade",
]


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("name", HOP_BY_HOP)
def test_a_hop_by_hop_field_of_the_application_is_dropped(server, front, name):
    """PEP 3333 reserves these fields for the server. Gunicorn drops them, and tutorials about event streams set them."""
    answer = ask(server, front, "/?field=%s:keep-alive&field=X-Kept:1" % name)
    assert (answer.status, answer.body) == (200, b"Hello")
    assert (answer.values(name.lower()), answer.values("x-kept")) == ([], ["1"])


def test_a_dropped_field_of_the_application_is_logged_once_per_name(serve):
    server = serve(APPLICATION)
    for _ in range(3):
        assert server.get("/?field=Connection:keep-alive&field=X-Kept:1").status == 200
    assert server.get("/?field=Keep-Alive:timeout%3D5").status == 200
    server.log.wait("Dropped the header field Keep-Alive: the application gave it")
    assert len(server.log.find("Dropped the header field Connection: the application gave it")) == 1


def test_connection_close_of_the_application_closes_the_connection(server):
    """RFC 9112 §9.6: the server says so and closes, as the application wants."""
    mark = server.log.mark()
    with server.connect() as wire:
        response = wire.request(message("GET", "/?field=Connection:close"))
        assert (response.status, response.values("Connection")) == (200, ["close"])
        wire.assert_closed()
    assert not server.log.find("header field Connection", mark)


@pytest.mark.parametrize("front", ["http2", "uwsgi", "fastcgi"])
def test_connection_close_of_the_application_stays_within_http_1(server, front):
    """RFC 9113 §8.2.2: HTTP/2 has no such field, and behind a web server the connection is the web server's."""
    answer = ask(server, front, "/?field=Connection:close")
    assert (answer.status, answer.body, answer.values("connection")) == (200, b"Hello", [])


@pytest.mark.parametrize("front", FRONTS)
def test_white_space_around_a_value_is_removed(server, front):
    """RFC 9110 §5.5: it is not part of the value. RFC 9113 §8.2.1: over HTTP/2 it makes the response malformed."""
    answer = ask(server, front, "/?padded=1")
    assert (answer.status, answer.values("x-a"), answer.values("x-b")) == (200, ["a b"], [""])
    if front == "http1":
        with server.connect() as wire:
            wire.send(message("GET", "/?padded=1"))
            assert b"\r\nX-A: a b\r\nX-B: \r\n" in wire.socket.recv(4096)
