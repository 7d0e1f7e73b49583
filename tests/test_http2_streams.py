"""Concurrent streams of one connection: parallel calls, flow control in both directions, resets, trailers, hints."""

import hashlib
import struct

import pytest

from frames import (
    CANCEL,
    CONTINUATION,
    DATA,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    PRIORITY,
    Connection,
    frame,
    reset,
    settings,
    window_update,
)
from wire import until

APPLICATION = """
    import hashlib
    import tempfile
    import threading

    GATES = {}
    SEEN = []

    def gate(name):
        return GATES.setdefault(name, threading.Event())

    class Endless:
        def __iter__(self):
            return self
        def __next__(self):
            return b"x" * 100_000
        def close(self):
            SEEN.append("closed")

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        status, fields, body = "200 OK", [("Content-Type", "text/plain")], [b"Hello"]
        if path.startswith("/wait/"):
            SEEN.append(path)
            gate(path[6:]).wait(30)
        elif path.startswith("/open/"):
            gate(path[6:]).set()
        elif path == "/seen":
            body = ["\\n".join(SEEN).encode()]
        elif path == "/sum":
            digest = hashlib.sha256()
            while piece := environ["wsgi.input"].read(65536):
                digest.update(piece)
            body = [digest.hexdigest().encode()]
        elif path == "/environ":
            body = [repr({key: value for key, value in environ.items() if isinstance(value, str)}).encode()]
        elif path == "/large":
            body = [b"y" * 3_000_000]
        elif path == "/endless":
            body = Endless()
        elif path == "/pieces":
            start_response(status, fields)
            def pieces():
                for number in range(3):
                    gate("piece %d" % number).wait(30)
                    yield b"%d" % number
            return pieces()
        elif path == "/file":
            file = tempfile.TemporaryFile()
            file.write(bytes(range(256)) * 20_000)
            file.seek(0)
            start_response(status, fields)
            return environ["wsgi.file_wrapper"](file)
        elif path == "/trailers":
            environ["farrier.send_trailers"]([("X-Sum", "7")])
        elif path == "/late-trailers":
            start_response(status, fields)
            def late():
                yield b"content"
                environ["gunicorn.http2.send_trailers"]([("X-Sum", "8")])
            return late()
        elif path == "/forbidden-trailer":
            try:
                environ["farrier.send_trailers"]([("Content-Length", "7")])
            except ValueError as error:
                body = [str(error).encode()]
        elif path == "/hints":
            environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
        elif path == "/short":
            fields.append(("Content-Length", "100"))
        elif path == "/raise":
            start_response(status, fields)
            def failing():
                yield b"begun"
                raise RuntimeError("in the middle")
            return failing()
        elif path in ("/204", "/304"):
            status, body = path[1:] + " X", []
        start_response(status, fields)
        return body
"""


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module(APPLICATION, "--http2-cleartext", "prior-knowledge", "--threads", 8, "--write-timeout", 2)


@pytest.fixture
def connection(server):
    with Connection(server.address) as connection:
        yield connection


def digest(content):
    return hashlib.sha256(content).hexdigest().encode()


def test_slow_views_of_one_connection_run_beside_each_other(connection, server):
    waiting = [connection.open(path="/wait/%d" % number) for number in range(5)]
    until(lambda: all(b"/wait/%d" % number in connection.get("/seen").body for number in range(5)), 15, "five calls")
    # Answered in another order than they came.
    for number in (3, 0, 4, 1, 2):
        assert connection.get("/open/%d" % number).status == 200
        assert connection.response(waiting[number]).body == b"Hello"


def test_a_hundred_streams_are_served_beside_a_slow_one(connection):
    slow = connection.open(path="/wait/hundred")
    streams = [connection.open() for _ in range(99)]
    assert [connection.response(stream).status for stream in streams] == [200] * 99
    connection.get("/open/hundred")
    assert connection.response(slow).status == 200


def test_environ_is_that_of_http_1(connection):
    fields = [("cookie", "a=1"), ("cookie", "b=2"), ("x-name", "value"), ("te", "trailers")]
    said = connection.get("/environ?q=1", fields=fields).body.decode()
    for expected in (
        "'SERVER_PROTOCOL': 'HTTP/2'",
        "'HTTP_HOST': 'localhost'",
        "'HTTP_COOKIE': 'a=1; b=2'",
        "'HTTP_X_NAME': 'value'",
        "'QUERY_STRING': 'q=1'",
        "'REQUEST_METHOD': 'GET'",
        "'wsgi.url_scheme': 'http'",
    ):
        assert expected in said
    assert "HTTP_:" not in said


@pytest.mark.parametrize("length", [0, 1, 70_000, 3_000_000])
@pytest.mark.parametrize("is_told", [True, False])
def test_content_is_complete_under_flow_control(connection, length, is_told):
    content = bytes(range(256)) * (length // 256 + 1)
    content = content[:length]
    fields = [("content-length", str(length))] if is_told else []
    stream = connection.open("POST", "/sum", fields, end=False)
    windows = {0: 65535, stream: 65535}
    sent = 0
    while sent < length:
        room = min(windows.values(), default=0)
        if room == 0:
            got = connection.read()
            assert got, "the connection ended"
            if got.kind == 8 and got.stream in windows:
                windows[got.stream] += struct.unpack(">I", got.payload)[0]
            else:
                connection.take(got)
            continue
        piece = content[sent : sent + min(room, 16384)]
        connection.send(frame(DATA, 0, stream, piece))
        sent += len(piece)
        windows = {key: value - len(piece) for key, value in windows.items()}
    connection.send(frame(DATA, END_STREAM, stream))
    assert connection.response(stream).body == digest(content)


def test_uploads_beside_each_other_do_not_mix(connection):
    streams = [connection.open("POST", "/sum", end=False) for _ in range(10)]
    for _ in range(5):
        for number, stream in enumerate(streams):
            connection.send(frame(DATA, 0, stream, bytes([number]) * 1000))
    for stream in streams:
        connection.send(frame(DATA, END_STREAM, stream))
    for number, stream in enumerate(streams):
        assert connection.response(stream).body == digest(bytes([number]) * 5000)


@pytest.mark.parametrize("path", ["/large", "/file"])
def test_a_stream_that_is_not_read_stops_no_other(connection, path):
    large = connection.open(path=path)
    # The first stream uses up the connection's window. That window is updated; the stream's is not.
    received = 0
    while received < 65535:
        got = connection.read()
        take(connection, got)
        received += len(got.payload) if got.kind == DATA else 0
    connection.send(window_update(0, 10_000_000))
    for _ in range(20):
        assert connection.get("/").body == b"Hello"
    connection.send(window_update(large, 10_000_000))
    body = connection.response(large).body
    assert body == (b"y" * 3_000_000 if path == "/large" else bytes(range(256)) * 20_000)


def test_the_application_is_not_run_ahead_of_a_stream_that_is_not_read(connection, server):
    stream = connection.open(path="/endless")
    # The write timeout resets it: the data made meanwhile is bounded.
    while stream not in connection.messages or connection.messages[stream].reset is None:
        read(connection)
    assert connection.messages[stream].reset == CANCEL
    assert len(connection.messages[stream].body) <= 65535
    connection.send(window_update(0, 65535))
    until(lambda: b"closed" in connection.get("/seen").body, 15, "close() of the iterable")
    assert connection.get("/").status == 200


def take(connection, got):
    """Applies a frame without a window update."""
    connection.grants = False
    connection.take(got)
    connection.grants = True


def read(connection):
    """Reads one frame without a window update."""
    got = connection.read()
    assert got, "the connection ended"
    take(connection, got)
    return True


def test_a_response_that_never_fits_its_window_is_reset_in_time(serve):
    server = serve(APPLICATION, "--http2-cleartext", "prior-knowledge", "--write-timeout", 1)
    with Connection(server.address, with_settings=[(INITIAL_WINDOW_SIZE, 0)]) as connection:
        stream = connection.open()
        while stream not in connection.messages or connection.messages[stream].reset is None:
            read(connection)
        assert connection.messages[stream].fields and not connection.messages[stream].body
        connection.ping()


def test_pieces_leave_when_they_are_made(connection, server):
    stream = connection.open(path="/pieces")
    for number in range(3):
        assert connection.get("/open/piece%%20%d" % number).status == 200
        while stream not in connection.messages or len(connection.messages[stream].body) <= number:
            read(connection)
        assert len(connection.messages[stream].body) == number + 1
    assert connection.response(stream).body == b"012"


def test_a_stream_that_is_reset_in_its_call_disturbs_no_other(connection):
    waiting = connection.open(path="/wait/reset")
    until(lambda: b"/wait/reset" in connection.get("/seen").body, 15, "the call")
    connection.send(reset(waiting))
    assert connection.get("/").status == 200
    connection.get("/open/reset")
    connection.ping()
    assert waiting not in connection.messages


def test_the_iterable_is_closed_when_its_stream_is_reset(serve):
    server = serve(APPLICATION, "--http2-cleartext", "prior-knowledge")
    with Connection(server.address) as connection:
        stream = connection.open(path="/endless")
        while stream not in connection.messages or len(connection.messages[stream].body) < 300_000:
            connection.take(connection.read())
        connection.send(reset(stream))
        until(lambda: b"closed" in connection.get("/seen").body, 15, "close()")


@pytest.mark.parametrize("path, value", [("/trailers", "7"), ("/late-trailers", "8")])
def test_trailers_follow_the_content(connection, path, value):
    message = connection.get(path)
    assert message.body in (b"Hello", b"content")
    assert message.trailers == [("x-sum", value)]


def test_a_trailer_that_decides_framing_is_an_error_of_the_application(connection):
    message = connection.get("/forbidden-trailer")
    assert b"may not decide framing" in message.body and message.trailers is None


def test_trailers_of_a_request_are_read_and_dropped(connection):
    stream = connection.open("POST", "/sum", end=False)
    connection.send(frame(DATA, 0, stream, b"abc"))
    block = connection.encoder.encode([("x-sum", "7")])
    connection.send(frame(HEADERS, 0x4 | END_STREAM, stream, block))
    assert connection.response(stream).body == digest(b"abc")


def test_early_hints_come_before_the_response(connection):
    message = connection.get("/hints")
    assert message.status == 200
    assert message.interim == [[(":status", "103"), ("link", "</a.css>; rel=preload")]]


def test_100_continue_is_sent_to_who_waits_for_it(connection):
    stream = connection.open("POST", "/sum", [("expect", "100-continue"), ("content-length", "3")], end=False)
    while stream not in connection.messages:
        connection.take(connection.read())
    assert connection.messages[stream].interim == [[(":status", "100")]]
    connection.send(frame(DATA, END_STREAM, stream, b"abc"))
    assert connection.response(stream).body == digest(b"abc")


@pytest.mark.parametrize("method, path", [("HEAD", "/"), ("GET", "/204"), ("GET", "/304")])
def test_responses_without_content_end_with_their_head(connection, method, path):
    stream = connection.open(method, path)
    message = connection.response(stream)
    assert message.body == b"" and message.reset is None
    assert message.value("content-length") == ("5" if method == "HEAD" else None)


@pytest.mark.parametrize("path", ["/short", "/raise"])
def test_a_response_that_breaks_off_is_a_reset_of_its_stream_alone(connection, path):
    message = connection.get(path)
    assert message.status == 200 and message.reset is not None
    assert connection.get("/").status == 200


def test_a_request_that_is_too_large_is_answered_413_on_its_stream(serve):
    server = serve(APPLICATION, "--http2-cleartext", "prior-knowledge", "--limit-request-body", 1000)
    with Connection(server.address) as connection:
        stream = connection.open("POST", "/sum", [("content-length", "1001")], end=False)
        assert connection.response(stream).status == 413
        stream = connection.open("POST", "/sum", end=False)
        connection.send(frame(DATA, 0, stream, b"x" * 1001))
        assert connection.response(stream).status == 413
        assert connection.get("/").status == 200


def test_content_that_does_not_come_is_answered_408_on_its_stream(serve):
    server = serve(APPLICATION, "--http2-cleartext", "prior-knowledge", "--body-timeout", 1)
    with Connection(server.address) as connection:
        stream = connection.open("POST", "/sum", end=False)
        assert connection.get("/").status == 200
        assert connection.response(stream).status == 408
        assert connection.get("/").status == 200


def test_a_call_that_is_overdue_gets_504_and_the_others_live_on(serve):
    server = serve(APPLICATION, "--http2-cleartext", "prior-knowledge", "--request-timeout", 1)
    with Connection(server.address) as connection:
        late = connection.open(path="/wait/overdue")
        assert connection.get("/").status == 200
        assert connection.response(late).status == 504
        assert connection.get("/open/overdue").status == 200


def test_a_full_queue_is_answered_503_on_its_stream(serve):
    flags = ["--threads", 2, "--queue-max", 1, "--slow-call", "1ms"]
    server = serve(APPLICATION, "--http2-cleartext", "prior-knowledge", *flags)
    with Connection(server.address) as connection:
        streams = [connection.open(path="/wait/queue") for _ in range(20)]
        refused = set()
        while len(refused) < 5:
            connection.take(connection.read())
            ended = [stream for stream, message in connection.messages.items() if message.ended]
            refused = {stream for stream in ended if connection.messages[stream].status == 503}
        with Connection(server.address) as other:
            until(lambda: other.get("/open/queue").status == 200, 15, "a free place")
        for stream in streams:
            assert connection.response(stream).status in (200, 503)


def test_priorities_and_unknown_frames_are_ignored(connection):
    connection.send(frame(PRIORITY, 0, 1, struct.pack(">IB", 0, 200)), frame(0x42, 0xFF, 0, b"whatever"))
    stream = connection.open(fields=[("priority", "u=0")])
    connection.send(frame(0x10, 0, 0, struct.pack(">I", stream) + b"u=7"))
    assert connection.response(stream).status == 200


def test_a_field_block_in_many_pieces_is_one(connection):
    block = connection.encoder.encode(connection.pseudo(path="/environ") + [("x-long", "a" * 3000)])
    pieces = [block[at : at + 500] for at in range(0, len(block), 500)]
    stream = connection.next_stream
    connection.next_stream += 2
    connection.send(frame(HEADERS, END_STREAM, stream, pieces[0]))
    for piece in pieces[1:-1]:
        connection.send(frame(CONTINUATION, 0, stream, piece))
    connection.send(frame(CONTINUATION, 0x4, stream, pieces[-1]))
    assert b"'HTTP_X_LONG': 'aaa" in connection.response(stream).body


def test_settings_that_change_within_a_connection_are_kept(connection):
    connection.send(settings((INITIAL_WINDOW_SIZE, 10)))
    stream = connection.open(path="/large")
    got = connection.read()
    while got.kind != DATA:
        connection.take(got)
        got = connection.read()
    assert len(got.payload) == 10
    take(connection, got)
    connection.send(settings((INITIAL_WINDOW_SIZE, 100_000)))
    assert len(connection.response(stream).body) == 3_000_000


def test_the_access_log_names_the_version(serve):
    server = serve(APPLICATION, "--http2-cleartext", "prior-knowledge", "--access-logfile", "-")
    with Connection(server.address) as connection:
        assert connection.get("/?q").status == 200
    server.output.wait(r'"GET /\?q HTTP/2" 200 5')
