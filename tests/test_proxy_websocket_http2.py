"""WebSockets of HTTP/2 clients (RFC 8441) through the reverse proxy to servers that speak HTTP/1.1."""

import base64
import hashlib
import re
import socket
import ssl
import struct
import threading

import pytest

import chromium
from certificates import key_digest
from frames import (
    CANCEL,
    DATA,
    END_STREAM,
    NO_ERROR,
    PROTOCOL_ERROR,
    Connection,
    frame,
    reset,
)
from websocket_peer import BINARY, CLOSE, TEXT, WebSocketServer, decoded, encoded
from wire import until

#: SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441 §3).
ENABLE_CONNECT = 8

CLEARTEXT = ("--http2-cleartext", "prior-knowledge")

APPLICATION = """
    def application(environ, start_response):
        start_response("200 OK", [])
        return [b"application"]
"""


class Stream:
    """A stream of an HTTP/2 connection that asks for a protocol."""

    def __init__(self, client, path="/", protocol="websocket", fields=(("sec-websocket-version", "13"),), end=False):
        self.client, self.received = client, b""
        pseudo = [*Connection.pseudo("CONNECT", path), (":protocol", protocol)]
        self.id = client.open(block=client.encoder.encode([*pseudo, *fields]), end=end)
        self.taken = 0

    @property
    def message(self):
        """What has come."""
        return self.client.messages.get(self.id)

    def wait(self, condition):
        """Reads until the condition is met; returns its value."""
        while not (value := self.message and condition(self.message)):
            got = self.client.read()
            assert got, "the connection has ended: %r" % self.message
            self.client.take(got)
        return value

    @property
    def status(self):
        """The status of the response."""
        return self.wait(lambda message: message.fields and message.status)

    def send(self, content, end=False):
        """One or more DATA frames, as far as the server's first window allows."""
        for at in range(0, max(len(content), 1), 16384):
            piece = content[at : at + 16384]
            self.client.send(frame(DATA, END_STREAM if end and at + 16384 >= len(content) else 0, self.id, piece))

    def read(self):
        """The next frame of WebSocket."""
        opcode, payload, rest = self.wait(lambda message: decoded(message.body[self.taken :]))
        self.taken = len(self.message.body) - len(rest)
        return opcode, payload


@pytest.fixture(scope="module")
def behind():
    server = WebSocketServer(select_subprotocol=lambda _, offered: "chat" if "chat" in offered else None)
    yield server
    server.close()


def settings(url, more="", upstream="", path="/"):
    table = '[[upstream]]\nname = "app"\nservers = ["%s"]\n%s\n[[mount]]\npath = "%s"\nproxy = "app"\n%s\n'
    return table % (url, upstream, path, more)


@pytest.fixture(scope="module")
def front(serve_module, behind):
    return serve_module("", *CLEARTEXT, "--limit-request-body", "100K", settings=settings(behind.url))


@pytest.fixture
def client(front):
    with Connection(front.address) as connection:
        yield connection


def test_clients_are_told_that_they_may_ask(client):
    assert client.server_settings[ENABLE_CONNECT] == 1


def test_messages_go_both_ways(client, behind):
    stream = Stream(client, "/chat?room=1", fields=[("sec-websocket-version", "13"), ("origin", "http://localhost")])
    assert stream.status == 200
    fields = dict(stream.message.fields)
    # RFC 8441 §5: neither Connection and Upgrade nor a key or its answer belong to HTTP/2.
    assert not {"connection", "upgrade", "sec-websocket-accept", "content-length"} & set(fields)
    for number in range(3):
        stream.send(encoded(TEXT, b"message %d" % number))
        assert stream.read() == (TEXT, b"message %d" % number)
    request = behind.requests[-1]
    assert request.path == "/chat?room=1"
    assert request.headers["Upgrade"] == "websocket" and request.headers["Origin"] == "http://localhost"
    assert request.headers["Host"] == "localhost" and len(request.headers["Sec-WebSocket-Key"]) == 24
    client.ping()


def test_each_request_has_a_key_of_its_own(client, behind):
    streams = [Stream(client) for _ in range(4)]
    assert [stream.status for stream in streams] == [200] * 4
    keys = {request.headers["Sec-WebSocket-Key"] for request in behind.requests[-4:]}
    assert len(keys) == 4


def test_a_subprotocol_is_agreed_on(client):
    stream = Stream(client, fields=[("sec-websocket-version", "13"), ("sec-websocket-protocol", "chat, other")])
    assert stream.status == 200 and stream.message.value("sec-websocket-protocol") == "chat"


def test_streams_do_not_delay_each_other(client):
    streams = [Stream(client) for _ in range(5)]
    for index, stream in enumerate(streams):
        stream.send(encoded(TEXT, b"for %d" % index))
    for index, stream in reversed(list(enumerate(streams))):
        assert stream.read() == (TEXT, b"for %d" % index)


def test_a_large_message_goes_both_ways_although_request_bodies_are_bounded(client):
    stream = Stream(client)
    assert stream.status == 200
    content = bytes(range(256)) * 4096
    sent = encoded(BINARY, content)
    # In stretches below the window: each is answered only when the last has come.
    for at in range(0, len(content), 32768):
        stream.send(encoded(BINARY, content[at : at + 32768]))
        assert stream.read() == (BINARY, content[at : at + 32768])
    assert len(sent) > len(content)


def test_what_is_sent_before_the_answer_waits_for_it(serve):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        front = serve("", *CLEARTEXT, settings=settings("http://127.0.0.1:%d" % listener.getsockname()[1]))
        with Connection(front.address) as client:
            stream = Stream(client)
            stream.send(encoded(TEXT, b"early"))
            client.ping()
            server = listener.accept()[0]
            server.settimeout(15)
            head = b""
            while b"\r\n\r\n" not in head:
                head += server.recv(65536)
            # Not one byte behind the head: the server may not switch (RFC 6455 §4.1).
            assert head.endswith(b"\r\n\r\n") and b"early" not in head
            server.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            assert stream.status == 403
            assert client.response(stream.id).body == b"no"
            server.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n",
    ],
    ids=["200", "another key", "another protocol"],
)
def test_a_server_that_does_not_switch_is_no_tunnel(serve, answer):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve_one():
            server = listener.accept()[0]
            server.recv(65536)
            server.sendall(answer)

        threading.Thread(target=serve_one, daemon=True).start()
        front = serve("", *CLEARTEXT, settings=settings("http://127.0.0.1:%d" % listener.getsockname()[1]))
        with Connection(front.address) as client:
            assert Stream(client).status == 502
            client.ping()


def test_the_end_of_a_direction_is_passed_on(client, behind):
    stream = Stream(client)
    assert stream.status == 200
    known = len(behind.codes)
    stream.send(encoded(CLOSE, b"\x03\xe8"), end=True)
    assert stream.read() == (CLOSE, b"\x03\xe8")
    # The server answers and closes: END_STREAM.
    assert stream.wait(lambda message: message.ended) and stream.message.reset is None
    until(lambda: behind.codes[known:] == [1000], what="the close code")


def switched(listener):
    """Accepts a connection on a plain socket, and switches it to WebSocket."""
    server = listener.accept()[0]
    server.settimeout(15)
    head = b""
    while b"\r\n\r\n" not in head:
        head += server.recv(65536)
    key = re.search(rb"(?i)sec-websocket-key: (\S+)", head)[1]
    # RFC 6455 §4.2.2.
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    server.sendall(head + b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    return server


def test_a_half_closed_stream_still_receives(serve):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        front = serve("", *CLEARTEXT, settings=settings("http://127.0.0.1:%d" % listener.getsockname()[1]))
        with Connection(front.address) as client:
            stream = Stream(client)
            server = switched(listener)
            server.sendall(b"at once")
            assert stream.wait(lambda message: message.body == b"at once")
            stream.send(b"last", end=True)
            assert b"".join(iter(lambda: server.recv(65536), b"")) == b"last"
            server.sendall(b" and later")
            server.close()
            assert stream.wait(lambda message: message.ended)
            assert stream.message.body == b"at once and later" and stream.message.reset is None


def test_a_half_closed_connection_of_the_server_still_receives(serve):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        front = serve("", *CLEARTEXT, settings=settings("http://127.0.0.1:%d" % listener.getsockname()[1]))
        with Connection(front.address) as client:
            stream = Stream(client)
            server = switched(listener)
            server.sendall(b"last")
            server.shutdown(socket.SHUT_WR)
            # RFC 8441 §5: END_STREAM is the end of one direction.
            assert stream.wait(lambda message: message.ended) and stream.message.reset is None
            assert stream.message.body == b"last"
            stream.send(b"later", end=True)
            assert b"".join(iter(lambda: server.recv(65536), b"")) == b"later"
            client.ping()
            server.close()


def test_a_stream_that_the_client_resets_ends_the_connection_to_the_server(client, behind):
    stream = Stream(client)
    assert stream.status == 200
    known = len(behind.codes)
    client.send(reset(stream.id, CANCEL))
    # Without a close frame.
    until(lambda: behind.codes[known:] == [None], what="the end of the server's connection")
    client.ping()


def test_a_connection_that_the_server_breaks_resets_the_stream(serve):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        front = serve("", *CLEARTEXT, settings=settings("http://127.0.0.1:%d" % listener.getsockname()[1]))
        with Connection(front.address) as client:
            stream = Stream(client)
            server = switched(listener)
            assert stream.status == 200
            # RST in place of FIN.
            server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            server.close()
            assert stream.wait(lambda message: message.ended) and stream.message.reset == CANCEL
            client.ping()


def test_a_server_over_tls_can_be_behind(serve, authority):
    certificate = authority.issue("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.pem, certificate.key)
    server = WebSocketServer(ssl=context)
    try:
        tls = 'tls = { ca = "%s", name = "localhost" }' % authority.pem
        front = serve("", *CLEARTEXT, settings=settings("https://127.0.0.1:%d" % server.port, upstream=tls))
        with Connection(front.address) as client:
            stream = Stream(client)
            stream.send(encoded(TEXT, b"over TLS"))
            assert stream.read() == (TEXT, b"over TLS")
            stream.send(encoded(CLOSE, b"\x03\xe8"), end=True)
            assert stream.read() == (CLOSE, b"\x03\xe8")
            assert stream.wait(lambda message: message.ended)
    finally:
        server.close()


@pytest.mark.parametrize(
    "asked",
    [
        {"path": "/ws", "protocol": "other"},
        {"path": "/ws", "fields": ()},
        {"path": "/ws", "fields": [("sec-websocket-version", "8")]},
        {"path": "/application"},
        {"path": "/gateway"},
    ],
    ids=["another protocol", "no version", "another version", "an application", "a gateway protocol"],
)
def test_what_cannot_be_forwarded_is_answered_with_501(serve, behind, asked):
    gateway = '[[mount]]\npath = "/gateway"\nproxy = "uwsgi://127.0.0.1:1"\n'
    front = serve(APPLICATION, *CLEARTEXT, settings=settings(behind.url, path="/ws") + gateway)
    with Connection(front.address) as client:
        stream = Stream(client, **asked)
        assert stream.status == 501
        assert Stream(client, **asked, end=True).status == 501
        client.ping()
        assert Stream(client, "/ws").status == 200


def test_filters_of_responses_leave_a_tunnel_alone(serve, behind):
    flags = ("--request-id-header", "X-Request-ID", "--compress", "on")
    front = serve("", *CLEARTEXT, *flags, settings=settings(behind.url, 'response_headers = { "X-Own" = "1" }'))
    with Connection(front.address) as client:
        stream = Stream(client, fields=[("sec-websocket-version", "13"), ("accept-encoding", "gzip")])
        assert stream.status == 200
        fields = dict(stream.message.fields)
        assert fields["x-request-id"] and fields["x-own"] == "1" and "content-encoding" not in fields
        stream.send(encoded(TEXT, b"x" * 5000))
        assert stream.read() == (TEXT, b"x" * 5000)


def test_without_a_mount_that_switches_clients_may_not_ask(serve, behind):
    front = serve("", *CLEARTEXT, settings=settings(behind.url, "upgrade = []"))
    with Connection(front.address) as client:
        assert ENABLE_CONNECT not in client.server_settings
        stream = Stream(client)
        client.stream_error(stream.id, PROTOCOL_ERROR)


def test_an_idle_tunnel_ends_after_its_time(serve, behind):
    front = serve("", *CLEARTEXT, settings=settings(behind.url, 'tunnel_timeout = "300ms"'))
    with Connection(front.address) as client:
        stream = Stream(client)
        assert stream.status == 200
        assert stream.wait(lambda message: message.ended) and stream.message.reset == CANCEL
        client.ping()
        assert client.goaway_error in (None, NO_ERROR)


TALK = """
    window.talk = []
    const socket = new WebSocket(location.origin.replace("https", "wss") + "/ws")
    socket.onopen = () => socket.send("from the browser")
    socket.onmessage = event => { talk.push(event.data); socket.close(1000) }
    socket.onclose = event => talk.push(event.code)
    null
"""


@pytest.mark.chromium
@pytest.mark.skipif(not chromium.BINARY, reason="chromium is not installed")
def test_a_browser_uses_the_connection_of_its_page(serve, behind, authority, tmp_path):
    issued = authority.issue("localhost")
    flags = ("--certfile", issued.pem, "--keyfile", issued.key, "--access-logfile", "-")
    front = serve(APPLICATION, *flags, settings=settings(behind.url, path="/ws"))
    trust = "--ignore-certificate-errors-spki-list=" + key_digest(issued.pem)
    browser = chromium.Browser(tmp_path / "profile", trust)
    try:
        browser.load("https://localhost:%d/" % front.address[1])
        browser.evaluate(TALK)
        until(lambda: browser.evaluate("talk") == ["from the browser", 1000], what="the browser's messages")
    finally:
        browser.close()
    front.output.wait(r'"CONNECT /ws HTTP/2(\.0)?" 200')
