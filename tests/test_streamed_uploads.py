"""`stream_request_body`: the application is called when the head is complete and reads the body as it arrives."""

import hashlib
import json
import random
import signal
import socket
import threading
import time

import pytest

from gateway import PARAMS, STDIN, Records, begin, packet, pairs, record, variables
from test_exchange import sockets
from wire import Wire, chunked, cut, message, until

APPLICATION = """
    import hashlib, json, threading, time

    EVENTS = []

    def application(environ, start_response):
        path, stream = environ["PATH_INFO"], environ["wsgi.input"]
        EVENTS.append(path)
        print("called", path, flush=True)
        if path == "/events":
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(EVENTS).encode()]
        if path == "/digest":
            size = int(environ.get("HTTP_X_SIZE", "65536"))
            digest, length = hashlib.sha256(), 0
            while True:
                piece = stream.read(size)
                digest.update(piece)
                length += len(piece)
                if len(piece) < size:
                    break
            told = "%s %d %s" % (environ.get("CONTENT_LENGTH"), length, digest.hexdigest())
        elif path == "/read":
            told = str(len(stream.read()))
        elif path == "/lines":
            told = json.dumps([line.decode("latin-1") for line in stream])
        elif path == "/mixed":
            parts = [stream.readline(3), stream.read(2), stream.readline(), stream.read1(), stream.read()]
            told = json.dumps([part.decode("latin-1") for part in parts])
        elif path == "/first":
            told = stream.read1(4).decode("latin-1")
            told += " %s %d" % (stream.seekable(), stream.tell())
        elif path == "/ignore":
            told = "not read"
        elif path == "/slowly":
            length = 0
            while True:
                piece = stream.read1(16384)
                length += len(piece)
                if not piece:
                    break
                time.sleep(0.001)
            told = str(length)
        elif path == "/hold":
            time.sleep(1.5)
            told = str(len(stream.read()))
        elif path == "/echo":
            start_response("200 OK", [])
            return iter(lambda: stream.read1(65536), b"")
        elif path == "/caught":
            errors = []
            for _ in range(2):
                try:
                    stream.read()
                except OSError as error:
                    errors.append(type(error).__name__)
            print("caught", *errors, flush=True)
            told = " ".join(errors)
        elif path == "/kept":
            KEPT.append(stream)
            told = "kept"
        elif path == "/late":
            try:
                told = repr(KEPT[0].read())
            except OSError as error:
                told = "failed"
        elif path == "/threads":
            parts = []
            def read():
                while True:
                    piece = stream.read(1000)
                    if not piece:
                        return
                    parts.append(len(piece))
            threads = [threading.Thread(target=read) for _ in range(2)]
            [thread.start() for thread in threads]
            [thread.join(20) for thread in threads]
            told = str(sum(parts))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [told.encode()]

    KEPT = []
"""

MIB = 1024 * 1024
CHUNKED = [("Transfer-Encoding", "chunked")]


def content(size, seed=0):
    return random.Random(seed).getrandbits(8 * size).to_bytes(size, "big") if size else b""


def told(body, length=True):
    return "%s %d %s" % (len(body) if length else None, len(body), hashlib.sha256(body).hexdigest())


def head(target="/digest", fields=(), version="1.1", length=None):
    fields = list(fields) + ([("Content-Length", length)] if length is not None else [])
    return message("POST", target, fields=fields, version=version).replace(b"Content-Length: 0\r\n", b"")


@pytest.fixture(scope="module", params=["1 thread", "8 threads"])
def server(serve_module, request):
    return serve_module(
        APPLICATION,
        "--stream-request-body",
        "--threads",
        request.param.split()[0],
        "--limit-request-body",
        "20M",
        "--body-timeout",
        "2s",
    )


@pytest.fixture(scope="module")
def gateways(serve_module):
    bind = ["uwsgi://127.0.0.1:0", "fastcgi://127.0.0.1:0"]
    return serve_module(APPLICATION, "--stream-request-body", "--limit-request-body", "20M", bind=bind)


@pytest.mark.parametrize("size", [1, 65535, 65536, MIB, 8 * MIB])
def test_a_body_arrives_whole_and_the_connection_lives_on(server, size):
    body = content(size)
    with server.connect() as wire:
        assert wire.request(message("POST", "/digest", body=body)).text == told(body)
        assert wire.request(head(fields=CHUNKED) + chunked([body[: size // 2], body[size // 2 :]])).text == told(
            body, length=False
        )
        assert wire.request(message("POST", "/digest", body=b"next")).text == told(b"next")


@pytest.mark.parametrize("seed", range(6))
def test_any_split_of_the_wire_gives_the_same_body(server, seed):
    dice = random.Random(seed)
    body = content(dice.randrange(1, 5000), seed)
    chunks = cut(body, lambda: dice.randrange(1, 700))
    raw = head(fields=CHUNKED) + chunked(chunks) + message("POST", "/digest", body=b"next")
    with server.connect() as wire:
        for piece in cut(raw, lambda: dice.choice([1, 7, 100, 1000])):
            wire.send(piece)
        assert wire.read_response().text == told(body, length=False)
        assert wire.read_response().text == told(b"next")


def test_the_application_is_called_before_the_body_has_arrived(server):
    with server.connect() as wire:
        wire.send(head("/first", length=10), b"abcd")
        assert wire.read_response().text == "abcd False 4"


def test_lines_are_read_across_pieces(server):
    with server.connect() as wire:
        wire.send(head("/lines", length=16), b"one\ntw")
        wire.send(b"o\n\nfo")
        wire.send(b"ur\n.")
        wire.send(b"\n")
        assert json.loads(wire.read_response().text) == ["one\n", "two\n", "\n", "four\n", ".\n"]


def test_ways_to_read_may_be_mixed(server):
    with server.connect() as wire:
        wire.send(head("/mixed", length=20), b"abcdefgh\nijklmno\npqr")
        parts = json.loads(wire.read_response().text)
    assert parts[:3] == ["abc", "de", "fgh\n"] and "".join(parts) == "abcdefgh\nijklmno\npqr"


def test_an_answer_may_follow_its_body(server):
    body = content(3 * MIB)
    with server.connect() as wire:
        wire.send(head("/echo", length=len(body)))
        sender = threading.Thread(target=wire.socket.sendall, args=(body,))
        sender.start()
        response = wire.read_response()
        sender.join(20)
        assert response.body == body
        assert wire.request(message("POST", "/digest", body=b"next")).text == told(b"next")


def test_a_fast_sender_is_held_back(server):
    """What the application has not taken fills the pipe and the sockets, and nothing more is read."""
    with server.connect() as wire:
        wire.send(head("/hold", length=20 * MIB))
        wire.socket.settimeout(0.7)
        sent = 0
        with pytest.raises(socket.timeout):
            while sent < 20 * MIB:
                sent += wire.socket.send(bytes(min(65536, 20 * MIB - sent)))
        assert sent < 12 * MIB
        wire.socket.settimeout(wire.timeout)
        wire.socket.sendall(bytes(20 * MIB - sent))
        assert wire.read_response().text == str(20 * MIB)


def test_a_slow_application_gets_everything(server):
    body = bytes(2 * MIB)
    with server.connect() as wire:
        assert wire.request(message("POST", "/slowly", body=body)).text == str(len(body))


def test_100_continue_is_sent_when_the_application_reads(server):
    expects = [("Expect", "100-continue")]
    with server.connect() as wire:
        wire.send(head("/digest", fields=expects, length=4))
        assert wire.read_response().status == 100
        wire.send(b"abcd")
        assert wire.read_response().text == told(b"abcd")
        assert wire.request(message("POST", "/digest", body=b"next")).text == told(b"next")


def test_100_continue_is_not_sent_to_a_client_whose_body_is_not_wanted(server):
    with server.connect() as wire:
        wire.send(head("/ignore", fields=[("Expect", "100-continue")], length=4))
        response = wire.read_response()
        assert (response.status, response.text, response.closes) == (200, "not read", True)
        wire.assert_closed()


def test_what_the_application_leaves_is_discarded_before_the_next_request(server):
    with server.connect() as wire:
        wire.send(head("/ignore", length=300000))
        assert wire.read_response().text == "not read"
        wire.send(bytes(300000))
        assert wire.request(message("POST", "/digest", body=b"next")).text == told(b"next")


def test_more_than_is_worth_discarding_ends_the_connection(server):
    with server.connect() as wire:
        wire.send(head("/ignore", length=15 * MIB))
        assert wire.read_response().text == "not read"
        wire.send_anyway(*[bytes(MIB)] * 15)
        wire.assert_closed()


def test_a_chunked_body_above_the_bound_gets_413(server):
    with server.connect() as wire:
        wire.send_anyway(head("/read", fields=CHUNKED), *[b"100000\r\n" + bytes(MIB) + b"\r\n"] * 21)
        response = wire.read_response()
        assert (response.status, response.closes) == (413, True)


def test_a_declared_body_above_the_bound_gets_413_without_a_call(server):
    with server.connect() as wire:
        assert wire.request(head("/never-called", length=21 * MIB)).status == 413
    assert "/never-called" not in json.loads(server.get("/events").text)


def test_a_malformed_chunk_gets_400(server):
    with server.connect() as wire:
        wire.send(head("/read", fields=CHUNKED), b"3\r\nabc\r\nzz\r\n")
        response = wire.read_response()
        assert (response.status, response.closes) == (400, True)


def test_a_client_that_stops_sending_gets_408(server):
    with server.connect() as wire:
        wire.send(head("/read", length=10), b"abc")
        response = wire.read_response()
        assert (response.status, response.closes) == (408, True)


def test_the_application_meets_os_errors(server):
    with server.connect() as wire:
        wire.send(head("/caught", length=10), b"abc")
        assert wire.read_response().text == "TimeoutError TimeoutError"
    with server.connect() as wire:
        wire.send(head("/caught", fields=CHUNKED), b"3\r\nabc\r\nzz\r\n")
        assert wire.read_response().text == "OSError OSError"


@pytest.mark.parametrize("how", ["half_close", "reset", "close"])
def test_a_client_that_breaks_off_is_told_to_the_application(server, how):
    mark = server.output.mark()
    with server.connect() as wire:
        wire.send(head("/caught", length=10), b"abc")
        server.output.wait("called /caught", since=mark)
        getattr(wire, how)()
        server.output.wait("caught ConnectionResetError ConnectionResetError", since=mark)
    assert server.get("/ignore").text == "not read"


def test_a_stream_that_is_kept_beyond_its_request_fails(server):
    with server.connect() as wire:
        wire.send(head("/kept", length=10), b"abc")
        assert wire.read_response().text == "kept"
    assert until(lambda: server.get("/late").text, what="an answer") in ("failed", "b'abc'")


def test_threads_may_share_the_stream(server):
    with server.connect() as wire:
        wire.send(head("/threads", length=100000))
        for _ in range(10):
            wire.send(bytes(10000))
            time.sleep(0.01)
        assert wire.read_response().text == "100000"


def test_http_1_0_closes_after_its_answer(server):
    with server.connect() as wire:
        wire.send(head(version="1.0", length=6), b"abc")
        wire.send(b"def")
        assert wire.read_response().text == told(b"abcdef")
        wire.assert_closed()


def test_short_requests_are_served_while_uploads_wait(server):
    """With several threads a slow upload holds one of them and nobody else."""
    wires = [server.connect() for _ in range(4)]
    for wire in wires:
        wire.send(head("/digest", length=1000), b"x" * 999)
    if "8" in server.process.args:
        for _ in range(20):
            assert server.get("/ignore").text == "not read"
    for wire in wires:
        wire.send(b"x")
    for wire in wires:
        assert wire.read_response().text == told(b"x" * 1000)


def test_a_drain_waits_for_an_upload(serve):
    server = serve(APPLICATION, "--stream-request-body")
    with server.connect() as wire:
        wire.send(head("/digest", length=6), b"abc")
        server.output.wait("called /digest")
        server.kill(signal.SIGTERM)
        server.log.wait("Handling signal: term")
        wire.send(b"def")
        response = wire.read_response()
        assert response.text == told(b"abcdef")
        wire.assert_closed()
    assert server.wait_exit() == 0


def test_clients_that_leave_cost_nothing(serve):
    server = serve(APPLICATION, "--stream-request-body")
    server.get("/ignore")
    [worker] = server.workers()

    before = sockets(worker)
    for number in range(60):
        wire = Wire(server.address)
        wire.send(head(["/digest", "/ignore", "/slowly"][number % 3], length=100000), bytes(number * 1000))
        wire.reset() if number % 2 else wire.close()
    until(lambda: sockets(worker) <= before, what="the sockets to close")
    assert server.get("/ignore").text == "not read"


SITES = """
    stream_request_body = false

    [[mount]]
    path = "/streamed"
    app = "app:application"
    stream_request_body = true

"""


def test_a_mount_has_its_own_value(serve):
    server = serve(
        """
        def application(environ, start_response):
            start_response("200 OK", [])
            return [str(environ["wsgi.input"].seekable()).encode()]
        """,
        settings=SITES,
    )
    for path, seekable in [("/streamed/a", "False"), ("/other", "True")]:
        with server.connect() as wire:
            wire.send(head(path, length=4))
            if seekable == "True":
                wire.send(b"abcd")
            assert wire.read_response().text == seekable


def test_uwsgi_streams(gateways):
    body = content(MIB)
    with Wire(gateways.addresses[0]) as wire:
        wire.send(packet(variables("POST", "/first", body)), body[:1000])
        answer = wire._rest()
        assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b" False 4")
    with Wire(gateways.addresses[0]) as wire:
        wire.send(packet(variables("POST", "/digest", body)), body[:1000])
        wire.send(body[1000:])
        assert wire._rest().endswith(told(body).encode())


@pytest.mark.parametrize("keep", [False, True])
def test_fastcgi_streams(gateways, keep):
    body = content(300000)
    half = len(body) // 2
    with Records(gateways.addresses[1]) as records:
        for _ in range(2 if keep else 1):
            start = pairs(variables("POST", "/digest", body))
            records.send(begin(keep=keep), record(PARAMS, 1, start), record(PARAMS, 1))
            for at in range(0, half, 30000):
                records.send(record(STDIN, 1, body[at : min(at + 30000, half)]))
            for at in range(half, len(body), 30000):
                records.send(record(STDIN, 1, body[at : at + 30000]))
            records.send(record(STDIN, 1))
            assert records.answer().body == told(body).encode()
