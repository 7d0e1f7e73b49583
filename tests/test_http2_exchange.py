"""Exchanges and streamed request bodies on HTTP/2: content in pieces, closed windows, streams beside each other."""

import gzip
import hashlib
import random
import select
import signal
import time
import zlib

import pytest

from frames import CANCEL, DATA, END_STREAM, INITIAL_WINDOW_SIZE, WINDOW_UPDATE, Connection, frame, reset, window_update
from memory import pss_bytes
from test_exchange import PACED, sockets, worker_of
from wire import until

APPLICATION = """
    import hashlib

    def application(environ, start_response):
        path, stream = environ["PATH_INFO"], environ["wsgi.input"]
        told = "application"
        if path == "/digest":
            digest, length = hashlib.sha256(), 0
            while piece := stream.read(65536):
                digest.update(piece)
                length += len(piece)
            told = "%s %d %s" % (environ.get("CONTENT_LENGTH"), length, digest.hexdigest())
        elif path == "/first":
            told = stream.read1(4).decode()
        elif path == "/caught":
            print("called /caught", flush=True)
            try:
                told = repr(stream.read())
            except OSError as error:
                told = type(error).__name__
            print("caught", told, flush=True)
        start_response("200 OK", [])
        return [told.encode()]
"""

MIB = 1024 * 1024
FLAGS = ("--http2-cleartext", "prior-knowledge", "--stream-request-body", "--limit-request-body", "20M")
OPTIONS = {"environment": {"_FARRIER_TEST_EXCHANGE": "/exchange"}}


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module(APPLICATION, *FLAGS, "--body-timeout", "2s", **OPTIONS)


def content(size, seed=0):
    return random.Random(seed).getrandbits(8 * size).to_bytes(size, "big") if size else b""


def told(body, length=None):
    return "%s %d %s" % (length, len(body), hashlib.sha256(body).hexdigest())


class Sender:
    """Sends content as the server's windows allow, and reads what comes meanwhile."""

    def __init__(self, connection):
        self.connection, self.whole, self.streams = connection, 65535, {}

    def open(self, path, fields=()):
        stream = self.connection.open("POST", path, fields, end=False)
        self.streams[stream] = self.connection.server_settings.get(INITIAL_WINDOW_SIZE, 65535)
        return stream

    def read(self):
        got = self.connection.read()
        assert got, "the connection ended: %s" % self.connection.farewell
        if got.kind == WINDOW_UPDATE:
            more = int.from_bytes(got.payload, "big")
            if got.stream == 0:
                self.whole += more
            elif got.stream in self.streams:
                self.streams[got.stream] += more
        else:
            self.connection.take(got)
        return got

    def send(self, stream, body, end=True, most=16384):
        while body:
            room = min(self.whole, self.streams[stream], most)
            if room <= 0:
                self.read()
                continue
            piece, body = body[:room], body[room:]
            self.whole -= len(piece)
            self.streams[stream] -= len(piece)
            self.connection.send(frame(DATA, END_STREAM if end and not body else 0, stream, piece))

    def response(self, stream):
        while not (stream in self.connection.messages and self.connection.messages[stream].ended):
            self.read()
        return self.connection.messages[stream]


@pytest.mark.parametrize("path", ["/exchange", "/exchange?piece=1000", "/exchange?buffered=1", "/exchange?delay=100"])
@pytest.mark.parametrize("size", [1, 65535, 3 * MIB])
def test_bytes_in_are_bytes_out(server, path, size):
    body = content(size)
    with Connection(server.address) as connection:
        sender = Sender(connection)
        stream = sender.open(path)
        sender.send(stream, body)
        assert sender.response(stream).body == body
        assert connection.get("/").body == b"application"


def test_a_request_without_content_is_answered(server):
    with Connection(server.address) as connection:
        assert connection.get("/exchange?delay=50").body == b""
        assert connection.get("/exchange?make=100000&length=100000").body == b"x" * 100000


@pytest.mark.parametrize("seed", range(4))
def test_streams_beside_each_other_keep_their_bytes(server, seed):
    dice = random.Random(seed)
    with Connection(server.address) as connection:
        sender, bodies = Sender(connection), {}
        for number in range(10):
            path = dice.choice(["/exchange", "/exchange?piece=5000", "/exchange?delay=30"])
            bodies[sender.open(path)] = content(dice.randrange(1, 60000), number)
        left = dict(bodies)
        while left:
            stream = dice.choice(list(left))
            cut = dice.randrange(1, 9000)
            sender.send(stream, left[stream][:cut], end=cut >= len(left[stream]))
            left[stream] = left[stream][cut:]
            if not left[stream]:
                del left[stream]
        for stream, body in bodies.items():
            assert sender.response(stream).body == body


def test_closed_windows_cost_no_more_than_the_buffers(server):
    connections = []
    Connection(server.address).close()
    before = pss_bytes(server)
    for _ in range(4):
        connection = Connection(server.address, with_settings=[(INITIAL_WINDOW_SIZE, 0)])
        connections.append(connection)
        for _ in range(20):
            connection.open(path="/exchange?make=%d" % (20 * MIB))
    time.sleep(0.5)
    assert pss_bytes(server) - before < 60 * MIB
    # One of them opens its window after all.
    connection = connections[0]
    connection.send(window_update(1, 21 * MIB), window_update(0, 21 * MIB))
    assert len(connection.response(1).body) == 20 * MIB
    for connection in connections:
        connection.close()


def test_a_client_that_does_not_read_is_given_no_window(server):
    """The exchange cannot give its answer, so it takes no content, and the stream's window stays shut."""
    with Connection(server.address, with_settings=[(INITIAL_WINDOW_SIZE, 0)], grants=False) as connection:
        sender = Sender(connection)
        stream, sent = sender.open("/exchange"), 0
        connection.socket.settimeout(0.7)
        with pytest.raises(AssertionError, match="nothing came"):
            while sent < 15 * MIB:
                sender.send(stream, bytes(65536), end=False)
                sent += 65536
        assert sent < 6 * MIB
        connection.socket.settimeout(15)
        connection.grants = True
        connection.send(window_update(stream, 16 * MIB), window_update(0, 16 * MIB))
        sender.send(stream, b"end")
        assert sender.response(stream).body.endswith(b"end")


@pytest.mark.parametrize("path", ["/exchange?delay=60000", "/exchange", "/exchange?pause=60000&piece=1", "/digest"])
@pytest.mark.parametrize("how", ["reset", "close"])
def test_clients_that_leave_free_everything(serve, path, how):
    server = serve(APPLICATION, *FLAGS, **OPTIONS)
    kept = Connection(server.address)
    kept.get("/")
    worker = worker_of(server)
    before = sockets(worker)
    for _ in range(5):
        connection = Connection(server.address)
        sender = Sender(connection)
        for _ in range(5):
            stream = sender.open(path)
            sender.send(stream, b"abc", end=False)
            if how == "reset":
                connection.send(reset(stream, CANCEL))
        if how == "reset":
            assert connection.get("/").body == b"application"
        connection.close()
    until(lambda: sockets(worker) <= before, 20, "the sockets to close")
    assert kept.get("/").body == b"application"
    kept.close()


def test_a_drain_waits_for_an_exchange(serve):
    server = serve(APPLICATION, *FLAGS, **OPTIONS)
    with Connection(server.address) as connection:
        sender = Sender(connection)
        stream = sender.open("/exchange?delay=800")
        sender.send(stream, b"ab", end=False)
        time.sleep(0.2)
        server.kill(signal.SIGTERM)
        sender.send(stream, b"cd")
        assert sender.response(stream).body == b"abcd"
    assert server.wait_exit() == 0


@pytest.mark.parametrize("size", [1, 65535, 8 * MIB])
def test_the_application_reads_content_as_it_arrives(server, size):
    body = content(size)
    with Connection(server.address) as connection:
        sender = Sender(connection)
        stream = sender.open("/digest", [("content-length", str(size))])
        sender.send(stream, body)
        assert sender.response(stream).body.decode() == told(body, size)
        stream = sender.open("/digest")
        sender.send(stream, body)
        assert sender.response(stream).body.decode() == told(body)


def test_the_application_is_called_before_the_content_has_arrived(server):
    with Connection(server.address) as connection:
        sender = Sender(connection)
        stream = sender.open("/first")
        sender.send(stream, b"abcdefg", end=False)
        assert sender.response(stream).body == b"abcd"
        assert connection.get("/").body == b"application"


def test_100_continue_is_sent_when_the_application_reads(server):
    with Connection(server.address) as connection:
        sender = Sender(connection)
        stream = sender.open("/digest", [("expect", "100-continue"), ("content-length", "4")])
        while stream not in connection.messages:
            sender.read()
        assert connection.messages[stream].interim
        sender.send(stream, b"abcd")
        assert sender.response(stream).body.decode() == told(b"abcd", 4)


def test_content_above_the_bound_is_refused(server):
    with Connection(server.address) as connection:
        sender = Sender(connection)
        stream = sender.open("/digest")
        try:
            for _ in range(330):
                sender.send(stream, bytes(65536), end=False)
        except (OSError, AssertionError, KeyError):
            pass
        assert sender.response(stream).status == 413


def test_a_client_that_stops_sending_gets_408(server):
    with Connection(server.address) as connection:
        sender = Sender(connection)
        stream = sender.open("/digest")
        sender.send(stream, b"abc", end=False)
        assert sender.response(stream).status == 408


def test_a_sender_that_drips_is_refused(serve):
    """Each byte moved the time-out, so that a client could hold an exchange for as long as it liked."""
    server = serve(APPLICATION, "--http2-cleartext", "prior-knowledge", *PACED, **OPTIONS)
    with Connection(server.address) as connection:
        stream = connection.open("POST", "/exchange", end=False)

        def has_ended():
            connection.send(frame(DATA, 0, stream, b"x"))
            while connection.pending or select.select([connection.socket], [], [], 0.1)[0]:
                connection.take(connection.read())
            return stream in connection.messages and connection.messages[stream].ended

        until(has_ended, 20, "the end of the stream")
        message = connection.messages[stream]
        assert message.reset or message.status == 408
        assert connection.get("/").body == b"application"


def test_a_client_that_the_exchange_holds_back_is_not_too_slow(serve):
    """The pipe was full for longer than the time-out, and the client was blamed for it."""
    server = serve(APPLICATION, "--http2-cleartext", "prior-knowledge", *PACED, **OPTIONS)
    body = content(100 * 1024)
    with Connection(server.address) as connection:
        sender = Sender(connection)
        stream = sender.open("/exchange?delay=3000")
        sender.send(stream, body)
        assert sender.response(stream).body == body


def test_a_reset_is_told_to_the_application(server):
    mark = server.output.mark()
    with Connection(server.address) as connection:
        sender = Sender(connection)
        stream = sender.open("/caught")
        sender.send(stream, b"abc", end=False)
        server.output.wait("called /caught", since=mark)
        connection.send(reset(stream, CANCEL))
        server.output.wait("caught ConnectionResetError", since=mark)
        assert connection.get("/").body == b"application"


ACCEPTS = [("accept-encoding", "gzip")]


@pytest.fixture(scope="module")
def compressing(serve_module):
    return serve_module(APPLICATION, *FLAGS, "--compress", "gzip", **OPTIONS)


@pytest.mark.parametrize("size", [1, 65535, 3 * MIB])
def test_the_answer_of_an_exchange_is_compressed(compressing, size):
    body = content(size)
    with Connection(compressing.address) as connection:
        sender = Sender(connection)
        stream = sender.open("/exchange?text=1", ACCEPTS)
        sender.send(stream, body)
        response = sender.response(stream)
        assert response.value("content-encoding") == "gzip"
        assert gzip.decompress(response.body) == body


def test_a_late_piece_of_a_compressed_answer_arrives_before_the_end(compressing):
    with Connection(compressing.address) as connection:
        sender = Sender(connection)
        stream = sender.open("/exchange?text=1", ACCEPTS)
        for sent in (b"a", b"ab", b"abc"):
            sender.send(stream, sent[-1:], end=False)
            while not (stream in connection.messages and decoded(connection.messages[stream].body) == sent):
                sender.read()
            assert not connection.messages[stream].ended
        connection.send(frame(DATA, END_STREAM, stream, b""))
        assert gzip.decompress(sender.response(stream).body) == b"abc"


def decoded(begun):
    return zlib.decompressobj(31).decompress(bytes(begun))
