"""Timeouts of clients: head, body, idle connections, reading, and closing."""

import socket
import time

import pytest

from wire import Incomplete, message, until

NOTING = """
    import time

    CALLS = []

    class Endless:
        def __iter__(self):
            return self
        def __next__(self):
            return b"x" * 262144
        def close(self):
            CALLS.append("closed")

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/calls":
            start_response("200 OK", [])
            return ["\\n".join(CALLS).encode()]
        CALLS.append(path)
        environ["wsgi.input"].read()
        if path == "/slow":
            time.sleep(2.5)
        start_response("200 OK", [])
        if path == "/endless":
            return Endless()
        return [b"done"]
"""


@pytest.fixture(scope="module")
def brisk(serve_module):
    return serve_module(
        NOTING,
        "--header-timeout",
        1,
        "--body-timeout",
        1,
        "--keep-alive",
        1,
        "--write-timeout",
        1,
        "--linger-timeout",
        1,
    )


@pytest.mark.parametrize("stream", [False, True], ids=["collected", "streamed"])
def test_a_timeout_of_0_is_none(serve, stream):
    """A time-out of 0 ms was meant to be none, and refused each request that came in two pieces."""
    flags = ["--stream-request-body"] if stream else []
    server = serve(NOTING, "--header-timeout", 0, "--body-timeout", 0, "--write-timeout", 0, *flags)
    with server.connect() as wire, server.connect() as other:
        for piece in [b"POST / HT", b"TP/1.1\r\nHost: a\r\n", b"Content-Length: 4\r\n\r\n", b"ab", b"cd"]:
            wire.send(piece)
            # The server has had a turn, and looks at its deadlines in each.
            assert other.request(message(target="/calls")).status == 200
        assert wire.read_response().body == b"done"


def not_called(server, path):
    assert path not in server.get("/calls").text.split("\n")


@pytest.mark.parametrize(
    "part",
    [
        b"G",
        b"GET /head HTTP/1.1",
        b"GET /head HTTP/1.1\r\n",
        b"GET /head HTTP/1.1\r\nHost: a\r\nX: y\r\n",
        b"GET /head HTTP/1.1\r\nHost: a\r\n\r",
    ],
)
def test_a_head_that_does_not_come_is_408(brisk, part):
    with brisk.connect() as wire:
        wire.send(part)
        response = wire.read_response()
        assert response.status == 408 and response.closes
        wire.assert_closed()
    not_called(brisk, "/head")


def trickle(wire, raw, pause=0.1, limit=100):
    """Sends byte by byte until the server answers or closes."""
    wire.socket.settimeout(pause)
    try:
        for byte in raw[:limit]:
            try:
                wire.send(bytes([byte]))
                data = wire.socket.recv(65536)
            except socket.timeout:
                continue
            except (BrokenPipeError, ConnectionResetError):
                break
            wire.pending += data
            break
    finally:
        wire.socket.settimeout(wire.timeout)


def test_a_head_that_trickles_is_408_all_the_same(brisk):
    with brisk.connect() as wire:
        trickle(wire, b"GET /trickled-head HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 50)
        assert wire.read_response().status == 408
    not_called(brisk, "/trickled-head")


@pytest.mark.parametrize(
    "fields, sent",
    [
        (b"Content-Length: 10\r\n", b""),
        (b"Content-Length: 10\r\n", b"abc"),
        (b"Transfer-Encoding: chunked\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n", b"5\r\nab"),
        (b"Transfer-Encoding: chunked\r\n", b"5\r\nabcde\r\n0\r\n"),
    ],
)
def test_a_body_that_does_not_come_is_408(brisk, fields, sent):
    with brisk.connect() as wire:
        wire.send(b"POST /body HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n" + sent)
        response = wire.read_response()
        assert response.status == 408 and response.closes
        wire.assert_closed()
    not_called(brisk, "/body")


def test_a_silent_connection_is_closed(brisk):
    with brisk.connect() as wire:
        while wire._more():
            pass
        assert wire.pending == b"" or b" 408 " in wire.pending


def test_an_idle_connection_is_closed_silently_after_the_keep_alive_time(brisk):
    with brisk.connect() as wire:
        assert wire.request(message()).status == 200
        wire.assert_closed()


def test_a_second_head_that_does_not_come_is_408(brisk):
    with brisk.connect() as wire:
        assert wire.request(message()).status == 200
        wire.send(b"GET /second HTTP/1.1\r\n")
        assert wire.read_response().status == 408
        wire.assert_closed()
    not_called(brisk, "/second")


def test_client_timeouts_do_not_affect_a_slow_call(brisk):
    with brisk.connect() as wire:
        assert wire.request(message("POST", "/slow", b"body")).body == b"done"


def test_a_client_that_does_not_read_is_left_after_the_write_time_out(brisk):
    wire = brisk.connect(receive_buffer=4096)
    wire.send(message(target="/endless"))
    until(lambda: "closed" in brisk.get("/calls").text, what="close() of the iterable")
    # The response that the client finally reads is visibly incomplete.
    with pytest.raises(Incomplete):
        wire.read_response()


def test_a_client_that_does_not_close_is_disconnected_after_the_linger_timeout(brisk):
    with brisk.connect() as wire:
        assert wire.request(message(fields=[("Connection", "close")])).status == 200
        wire.assert_closed()
        deadline = time.monotonic() + 15
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while time.monotonic() < deadline:
                wire.send(b"x")
                time.sleep(0.1)


def test_time_outs_leave_the_server_as_it_was(brisk):
    wires = [brisk.connect() for _ in range(100)]
    for number, wire in enumerate(wires):
        wire.send(message("POST", "/x", b"0123456789")[:number])
    for wire in wires:
        while wire._more():
            pass
    assert brisk.get("/fine").body == b"done"
