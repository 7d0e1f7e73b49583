"""Exchanges: requests that the engine answers without a thread, later and in pieces. The server has one for this test only."""

import gzip
import os
import random
import select
import signal
import socket
import threading
import time
import zlib

import pytest

from memory import pss_bytes
from process import paused
from wire import Incomplete, Wire, chunked, cut, message, until

APPLICATION = """
    def application(environ, start_response):
        start_response("200 OK", [])
        return [b"application"]
"""

MIB = 1024 * 1024
CHUNKED = [("Transfer-Encoding", "chunked")]
ENVIRONMENT = {"_FARRIER_TEST_EXCHANGE": "/exchange"}
FLAGS = ("--limit-request-body", "100M", "--body-timeout", "2s", "--threads", "2")


def content(size, seed=0):
    return random.Random(seed).getrandbits(8 * size).to_bytes(size, "big") if size else b""


def head(query="", fields=(), length=None, version="1.1"):
    raw = message("POST", "/exchange?" + query, fields=fields, version=version)
    declared = b"" if length is None else b"Content-Length: %d\r\n" % length
    return raw.replace(b"Content-Length: 0\r\n", declared)


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module(APPLICATION, *FLAGS, environment=ENVIRONMENT)


def worker_of(server):
    until(lambda: server.workers(), what="a worker")
    [worker] = server.workers()
    return worker


def sockets(worker):
    """Sockets that a process has open."""
    folder, found = "/proc/%d/fd" % worker, 0
    for name in os.listdir(folder):
        try:
            found += os.readlink(os.path.join(folder, name)).startswith("socket:")
        except FileNotFoundError:
            pass
    return found


@pytest.mark.parametrize("query", ["", "buffered=1", "piece=1000", "delay=50"])
@pytest.mark.parametrize("size", [0, 1, 65535, 65537, 3 * MIB])
def test_bytes_in_are_bytes_out(server, size, query):
    body = content(size)
    with server.connect() as wire:
        wire.send(head(query, length=size))
        sender = threading.Thread(target=wire.socket.sendall, args=(body,))
        sender.start()
        assert wire.read_response().body == body
        sender.join(20)
        assert wire.request(message()).body == b"application"


@pytest.mark.parametrize("seed", range(8))
def test_any_split_of_the_wire_gives_the_same_bytes(server, seed):
    dice = random.Random(seed)
    body = content(dice.randrange(1, 4000), seed)
    chunks = cut(body, lambda: dice.randrange(1, 500))
    raw = head("piece=%d" % dice.choice([1, 10, 1000]), fields=CHUNKED) + chunked(chunks)
    raw += head("", length=4) + b"next" + message()
    with server.connect() as wire:
        for piece in cut(raw, lambda: dice.choice([1, 7, 100, 1000])):
            wire.send(piece)
        assert wire.read_response().body == body
        assert wire.read_response().body == b"next"
        assert wire.read_response().body == b"application"


def test_an_answer_comes_later_and_in_pieces(server):
    with server.connect() as wire:
        began = time.monotonic()
        response = wire.request(head("delay=300&pause=50&piece=2", length=6) + b"abcdef")
        assert (response.body, response.chunks) == (b"abcdef", [b"ab", b"cd", b"ef"])
        assert time.monotonic() - began >= 0.4


def test_an_exchange_occupies_no_thread(server):
    """Many more exchanges than threads wait at the same time, and the application is served beside them."""
    wires = [server.connect() for _ in range(40)]
    began = time.monotonic()
    for wire in wires:
        wire.send(head("delay=1000", length=2) + b"ab")
    assert server.get("/").body == b"application"
    assert time.monotonic() - began < 0.9
    assert [wire.read_response().body for wire in wires] == [b"ab"] * 40


def test_pipelined_requests_keep_their_order(server):
    with server.connect() as wire:
        wire.send(head("delay=200", length=3) + b"one" + message() + head("delay=1", length=3) + b"two" + message())
        bodies = [wire.read_response().body for _ in range(4)]
    assert bodies == [b"one", b"application", b"two", b"application"]


def test_a_slow_reader_costs_no_more_than_the_buffers(server):
    server.get("/")
    wires = [server.connect(receive_buffer=8192) for _ in range(20)]
    before = pss_bytes(server)
    for wire in wires:
        wire.send(head("make=%d" % (50 * MIB), length=0))
        wire.read_head()
    time.sleep(0.5)
    assert pss_bytes(server) - before < 40 * MIB
    assert server.get("/").body == b"application"
    for wire in wires:
        wire.reset()


def test_a_large_answer_arrives_whole(server):
    with server.connect() as wire:
        assert wire.request(head("make=%d&length=%d" % (20 * MIB, 20 * MIB), length=0)).body == b"x" * (20 * MIB)
        assert wire.request(message()).body == b"application"


def test_a_client_that_does_not_read_holds_back_what_it_sends(server):
    """The exchange stops taking content when its answer is not taken, and so does the server."""
    with server.connect(receive_buffer=8192) as wire:
        size = 60 * MIB
        wire.send(head("", length=size))
        wire.socket.settimeout(0.7)
        sent = 0
        with pytest.raises(socket.timeout):
            while sent < size:
                sent += wire.socket.send(bytes(min(65536, size - sent)))
        assert sent < 20 * MIB
        wire.socket.settimeout(wire.timeout)
        rest = threading.Thread(target=wire.socket.sendall, args=(bytes(size - sent),))
        rest.start()
        assert len(wire.read_response().body) == size
        rest.join(20)


def test_a_slow_sender_is_answered_as_it_sends(server):
    with server.connect() as wire:
        wire.send(head("", fields=CHUNKED))
        for letter in (b"a", b"b", b"c"):
            wire.send(b"1\r\n" + letter + b"\r\n")
            if letter == b"a":
                assert wire.read_head().status == 200
            assert wire.read_chunk() == letter
        wire.send(b"0\r\n\r\n")
        assert wire.read_chunk() == b""
        assert wire.request(message()).body == b"application"


def test_a_sender_that_stops_is_refused(server):
    with server.connect() as wire:
        wire.send(head("delay=1", length=10))
        response = wire.read_head()
        with pytest.raises(Incomplete):
            if response.status == 200:
                wire.read_chunk()
                wire.read_chunk()
            else:
                assert response.status == 408
                raise Incomplete("refused", b"")


PACED = ("--body-timeout", "1s", "--body-rate-min", "100k", "--request-buffer-bytes", "4096", "--threads", "2")


def test_a_sender_that_drips_is_refused(serve):
    """Each byte moved the time-out, so that a client could hold an exchange for as long as it liked."""
    server = serve(APPLICATION, *PACED, "--log-level", "debug", environment=ENVIRONMENT)
    with server.connect() as wire:
        wire.send(head("", length=MIB))

        def has_ended():
            try:
                wire.socket.sendall(b"x")
                return wire.socket in select.select([wire.socket], [], [], 0.1)[0] and not wire.socket.recv(65536)
            except (BrokenPipeError, ConnectionResetError):
                return True

        until(has_ended, 20, "the end of the connection")
    server.log.wait("the content came too slowly")


def test_a_client_that_the_exchange_holds_back_is_not_too_slow(serve):
    server = serve(APPLICATION, *PACED, environment=ENVIRONMENT)
    body = content(100 * 1024)
    with server.connect() as wire:
        # The exchange takes nothing for three seconds. By then the client would owe 300 KiB.
        wire.send(head("delay=3000", length=len(body)) + body)
        assert wire.read_response().body == body
        wire.send(head("delay=2000", fields=[("Expect", "100-continue")], length=2))
        assert wire.read_response().status == 100
        assert wire.request(b"ab").body == b"ab"


def test_content_above_the_bound_or_malformed_is_refused(server):
    with server.connect() as wire:
        assert wire.request(head("", length=101 * MIB)).status == 413
    with server.connect() as wire:
        wire.send(head("delay=100", fields=CHUNKED) + b"3\r\nabc\r\nzz\r\n")
        with pytest.raises(Incomplete):
            wire.read_response()


def test_100_continue_is_sent_when_the_exchange_wants_content(server):
    with server.connect() as wire:
        wire.send(head("delay=100", fields=[("Expect", "100-continue")], length=4))
        assert wire.read_response().status == 100
        wire.send(b"abcd")
        assert wire.read_response().body == b"abcd"


def test_http_1_0_gets_a_close_delimited_answer(server):
    with server.connect() as wire:
        wire.send(head("piece=2", length=4, version="1.0") + b"abcd")
        assert wire.read_response().body == b"abcd"
        wire.assert_closed()


def test_what_a_producer_of_a_wrong_length_sends_looks_broken(server):
    with server.connect() as wire:
        wire.send(head("make=5&length=10", length=0))
        with pytest.raises(Incomplete):
            wire.read_response()
    with server.connect() as wire:
        assert wire.request(head("make=10&length=5", length=0)).body == b"xxxxx"


PHASES = {
    "before the delay is over": (head("delay=60000", length=4) + b"abcd", None),
    "while content is missing": (head("", length=1000) + b"abc", "head"),
    "while content is missing and nothing was said": (head("delay=60000", length=1000) + b"abc", None),
    "between two pieces": (head("pause=60000&piece=1", length=4) + b"abcd", "head"),
    "while it does not read": (head("make=%d" % (50 * MIB), length=0), "head"),
    "with its content buffered": (head("buffered=1", length=1000) + b"abc", None),
}


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("phase", PHASES)
def test_a_client_that_leaves_frees_everything(serve, phase, how):
    server = serve(APPLICATION, *FLAGS, environment=ENVIRONMENT)
    server.get("/")
    worker = worker_of(server)
    before = sockets(worker)
    raw, expects = PHASES[phase]
    for _ in range(10):
        wire = Wire(server.address)
        wire.send(raw)
        if expects:
            wire.read_head()
        wire.reset() if how == "reset" else wire.close()
    if how == "close":
        # A client that only closes is noticed when something is written, or when its content is read.
        if "delay" in raw.decode() or "pause" in raw.decode():
            server.end()
            return
    until(lambda: sockets(worker) <= before, 20, "the sockets to close")
    assert server.get("/").body == b"application"


@pytest.mark.parametrize("phase", ["before the delay is over", "while content is missing and nothing was said"])
def test_a_reset_that_arrives_together_with_its_request_ends_the_exchange(serve, phase):
    """The poller reports a reset once. It was forgotten if the request had not been read yet: the connection stayed open."""
    server = serve(APPLICATION, *FLAGS, environment=ENVIRONMENT)
    server.get("/")
    worker = worker_of(server)
    wire = Wire(server.address)
    # The connection is accepted before the worker stops.
    assert wire.request(head("", length=0)).status == 200
    with_connection = sockets(worker)
    os.kill(worker, signal.SIGSTOP)
    wire.send(PHASES[phase][0])
    wire.reset()
    os.kill(worker, signal.SIGCONT)
    until(lambda: sockets(worker) < with_connection, 20, "the socket to close")


def test_a_drain_waits_for_an_exchange(serve):
    server = serve(APPLICATION, *FLAGS, environment=ENVIRONMENT)
    server.get("/")
    with server.connect() as wire:
        wire.send(head("delay=800&pause=50&piece=1", length=4) + b"ab")
        wire.send(b"cd")
        time.sleep(0.1)
        server.kill(signal.SIGTERM)
        response = wire.read_response()
        assert (response.body, response.closes) == (b"abcd", True)
    assert server.wait_exit() == 0


def test_a_reload_waits_for_an_exchange(serve):
    server = serve(APPLICATION, *FLAGS, environment=ENVIRONMENT)
    server.get("/")
    with server.connect() as wire:
        wire.send(head("delay=800&pause=50&piece=1", length=4) + b"ab")
        time.sleep(0.1)
        server.kill(signal.SIGHUP)
        wire.send(b"cd")
        assert wire.read_response().body == b"abcd"
    assert until(lambda: server.get("/").body, what="an answer") == b"application"


def test_filters_act_on_the_answer_of_an_exchange(serve):
    server = serve(APPLICATION, *FLAGS, "--request-id-header", "X-Request-ID", environment=ENVIRONMENT)
    with server.connect() as wire:
        response = wire.request(head("", length=2) + b"ab")
        assert len(response.value("X-Request-ID")) == 32
        response = wire.request(head("make=1&length=1", length=0))
        assert len(response.value("X-Request-ID")) == 32


def test_an_exchange_stands_in_the_access_log(serve):
    server = serve(APPLICATION, *FLAGS, "--access-logfile", "-", environment=ENVIRONMENT)
    with server.connect() as wire:
        wire.request(head("piece=2", length=4) + b"abcd")
    server.output.wait(r'"POST /exchange\?piece=2 HTTP/1.1" 200 4')


ACCEPTS = [("Accept-Encoding", "gzip")]


@pytest.fixture(scope="module")
def compressing(serve_module):
    return serve_module(APPLICATION, *FLAGS, "--compress", "gzip", environment=ENVIRONMENT)


@pytest.mark.parametrize("query", ["", "&buffered=1", "&piece=1000", "&delay=50"])
@pytest.mark.parametrize("size", [0, 1, 65537, 3 * MIB])
def test_the_answer_of_an_exchange_is_compressed(compressing, size, query):
    body = content(size)
    with compressing.connect() as wire:
        wire.send(head("text=1" + query, ACCEPTS, length=size))
        sender = threading.Thread(target=wire.socket.sendall, args=(body,))
        sender.start()
        response = wire.read_response()
        sender.join(20)
        assert response.value("Vary") == "Accept-Encoding"
        # Without content there is nothing to encode.
        assert response.value("Content-Encoding") == ("gzip" if size else None)
        assert (gzip.decompress(response.body) if size else response.body) == body
        assert wire.request(message()).body == b"application"


def test_an_exchange_is_compressed_only_for_clients_that_accept_it(compressing):
    with compressing.connect() as wire:
        plain = wire.request(head("text=1&make=5000", length=0))
        assert (plain.body, plain.value("Content-Encoding")) == (b"x" * 5000, None)
        assert plain.value("Vary") == "Accept-Encoding"
        untyped = wire.request(head("make=5000", ACCEPTS, length=0))
        assert (untyped.body, untyped.value("Content-Encoding")) == (b"x" * 5000, None)
        short = wire.request(head("text=1&make=500&length=500", ACCEPTS, length=0))
        assert (short.body, short.value("Content-Encoding")) == (b"x" * 500, None)


def test_a_late_piece_of_a_compressed_answer_arrives_before_the_end(compressing):
    """The client sends each letter only after it has decoded the one before."""
    decoder = zlib.decompressobj(31)
    with compressing.connect() as wire:
        wire.send(head("text=1", CHUNKED + ACCEPTS))
        for letter in (b"a", b"b", b"c"):
            wire.send(b"1\r\n" + letter + b"\r\n")
            if letter == b"a":
                assert wire.read_head().value("Content-Encoding") == "gzip"
            decoded = b""
            while not decoded:
                decoded = decoder.decompress(wire.read_chunk())
            assert decoded == letter
        wire.send(b"0\r\n\r\n")
        assert b"".join(wire.read_chunks()) and decoder.flush() == b""
        assert wire.request(message()).body == b"application"


def test_others_are_served_while_a_large_answer_is_compressed(serve):
    """The access log shows the order: both requests are there at once, and the second answer ends before the first."""
    server = serve(APPLICATION, *FLAGS, "--compress", "gzip", "--access-logfile", "-", environment=ENVIRONMENT)
    size = 20 * MIB
    with server.connect() as large, server.connect() as small:
        # Both connections are accepted before the worker stands still.
        for wire in (large, small):
            assert wire.request(head("", length=0)).status == 200
        with paused(worker_of(server)):
            large.send(head("text=1&make=%d" % size, ACCEPTS, length=0))
            small.send(head("make=1", length=0))
        assert small.read_response().body == b"x"
        assert len(gzip.decompress(large.read_response().body)) == size
    server.output.wait(r"make=%d " % size)
    answered = [match.group(1) for match in server.output.find(r"make=(\d+) ")]
    assert answered == ["1", str(size)]


def test_a_slow_reader_of_a_compressed_answer_holds_back_what_it_sends(compressing):
    with compressing.connect(receive_buffer=8192) as wire:
        size, piece = 60 * MIB, content(MIB)
        wire.send(head("text=1", ACCEPTS, length=size))
        wire.socket.settimeout(0.7)
        sent = 0
        with pytest.raises(socket.timeout):
            while sent < size:
                sent += wire.socket.send(piece[sent % MIB :][: min(65536, size - sent)])
        assert sent < 20 * MIB


def test_what_a_producer_of_a_wrong_length_sends_compressed_looks_broken(compressing):
    with compressing.connect() as wire:
        wire.send(head("text=1&make=5000&length=9000&piece=2000&pause=20", ACCEPTS, length=0))
        with pytest.raises(Incomplete):
            wire.read_response()
    with compressing.connect() as wire:
        response = wire.request(head("text=1&make=9000&length=5000", ACCEPTS, length=0))
        assert gzip.decompress(response.body) == b"x" * 5000
    # Only an answer that was not compressed was logged.
    compressing.log.wait("text=1&make=9000&length=5000: the application gave more than its Content-Length")
