"""Clients of the soak test. Each sends requests until the test ends, checks every answer and counts the outcomes.

They use the test suite's strict clients: `wire`, `secured` and `frames`.
"""

import collections
import contextlib
import hashlib
import itertools
import random
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import frames  # noqa: E402  beside the suite
from secured import SecureWire  # noqa: E402
from wire import Wire, message  # noqa: E402

TIMEOUT_SECONDS = 30
#: A kept connection may be closed by the server when it has been idle for so long; before, its next request must be answered.
IDLE_SECONDS = 1
STREAMS_A_ROUND = 10
#: Between two requests of a client, so that the clients leave the processors to the server.
PAUSE_SECONDS = 0.005

APPLICATION = """
    import hashlib, time

    def application(environ, start_response):
        _, what, *rest = environ["PATH_INFO"].split("/")
        body = b"Hello, World!"
        if what == "echo":
            body = rest[0].encode()
        elif what == "sum":
            body = hashlib.sha256(environ["wsgi.input"].read()).hexdigest().encode()
        elif what == "bytes":
            body = b"x" * int(rest[0])
        elif what == "nap":
            time.sleep(0.02)
        elif what == "raise":
            raise RuntimeError("as it was asked to")
        elif what == "pieces":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return (b"%d," % number for number in range(100))
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""

PIECES = b"".join(b"%d," % number for number in range(100))


class Tally:
    """The outcomes of the requests of one kind of client."""

    def __init__(self):
        self.lock = threading.Lock()
        self.counts = collections.Counter()
        self.examples = []

    def add(self, what, count=1):
        """One more that was `asked`, `answered`, `left` (by the client), `retried` or `lost`."""
        with self.lock:
            self.counts[what] += count

    def lose(self, example, count=1):
        """A request without an answer, or with a wrong one."""
        with self.lock:
            self.counts["lost"] += count
            if len(self.examples) < 5:
                self.examples.append(str(example)[:300])


def questions(files):
    """Requests without end, as (method, path, content, status, content of the answer or None for any)."""
    for number in itertools.count():
        content = random.Random(number).randbytes(number % 7 * 20_000 + 1)
        yield "GET", "/echo/%d" % number, b"", 200, b"%d" % number
        yield "POST", "/sum", content, 200, hashlib.sha256(content).hexdigest().encode()
        yield "GET", "/bytes/%d" % (number % 5 * 100_000), b"", 200, b"x" * (number % 5 * 100_000)
        yield "GET", "/pieces", b"", 200, PIECES
        yield "GET", "/nap", b"", 200, b"Hello, World!"
        name = list(files)[number % len(files)]
        yield "GET", "/static/" + name, b"", 200, files[name]
        yield "GET", "/static/missing", b"", 404, None
        yield "GET", "/raise", b"", 500, None


class Visitors:
    """All clients of the soak test. They run while the context is open."""

    def __init__(self, server, terms, h2_terms):
        self.server, self.terms, self.h2_terms = server, terms, h2_terms
        self.stopping = threading.Event()
        self.tallies = {}
        self.threads = []
        for secure in (False, True):
            name = "HTTPS" if secure else "HTTP"
            self._begin(name + ", kept", self._visit, secure, True)
            self._begin(name + ", a connection each", self._visit, secure, False)
            self._begin(name + ", leaves in the middle", self._leave, secure)
        self._begin("HTTP/2", self._visit_by_streams, count=2)
        self._begin("HTTP/2, resets streams", self._reset_streams)
        self._begin("broken requests", self._break)

    def _begin(self, name, act, *arguments, count=1):
        tally = self.tallies.setdefault(name, Tally())
        for _ in range(count):
            self.threads.append(threading.Thread(target=self._until_stopped, args=(act, tally, *arguments)))

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join()

    def _until_stopped(self, act, tally, *arguments):
        while not self.stopping.is_set():
            try:
                act(tally, *arguments)
            except Exception as failure:
                # A fault of the client must not look like a pass.
                tally.lose("%s: %r" % (act.__name__, failure))

    def _connect(self, secure):
        if secure:
            return SecureWire(self.server.addresses[0], self.terms, timeout=TIMEOUT_SECONDS)
        return Wire(self.server.addresses[1], timeout=TIMEOUT_SECONDS)

    def _connect_h2(self):
        return frames.Connection(self.server.addresses[0], tls=self.h2_terms, timeout=TIMEOUT_SECONDS)

    def _visit(self, tally, secure, keeps):
        """One request after the other on HTTP/1.1."""
        wire, used_at = None, 0
        for method, path, content, status, expected in questions(self.server.files):
            if self.stopping.is_set():
                break
            tally.add("asked")
            reused = wire is not None
            try:
                wire = wire or self._connect(secure)
                fields = [] if keeps else [("Connection", "close")]
                response = wire.request(message(method, path, content, host="localhost", fields=fields))
            except (AssertionError, OSError) as failure:
                if reused and not wire.answering and time.monotonic() - used_at > IDLE_SECONDS:
                    tally.add("retried")
                else:
                    tally.lose("%s %s%s: %r" % (method, path, " on a kept connection" if reused else "", failure))
                if wire:
                    wire.close()
                wire = None
                continue
            used_at = time.monotonic()
            if response.status == status and expected in (None, response.body):
                tally.add("answered")
            else:
                tally.lose("%s %s: %r" % (method, path, response))
            if response.closes or not keeps:
                wire.close()
                wire = None
            time.sleep(PAUSE_SECONDS)
        if wire:
            wire.close()

    def _leave(self, tally, secure):
        """Disconnects in the head, in the content, in the answer, and during the call."""
        for raw, reads in (
            (message(host="localhost")[:20], False),
            (message("POST", "/sum", b"u" * 500_000, host="localhost")[:200_000], False),
            (message(target="/bytes/5000000", host="localhost"), True),
            (message(target="/static/big.bin", host="localhost"), True),
            (message(target="/nap", host="localhost"), False),
        ):
            tally.add("asked")
            try:
                with self._connect(secure) as wire:
                    wire.send_anyway(raw)
                    if reads:
                        wire.read_head()
                    if random.random() < 0.5:
                        wire.reset()
                tally.add("left")
            except (AssertionError, OSError) as failure:
                tally.lose("leaving: %r" % failure)
            time.sleep(10 * PAUSE_SECONDS)

    def _visit_by_streams(self, tally):
        """Concurrent requests on one connection of HTTP/2, until the server sends GOAWAY."""
        asked = questions(self.server.files)
        tally.add("asked")
        try:
            connection = self._connect_h2()
        except (AssertionError, OSError) as failure:
            tally.lose("connecting: %r" % failure)
            return
        tally.add("answered")
        with connection:
            goes_on = True
            while goes_on and not self.stopping.is_set():
                waiting = {}
                for method, path, content, status, expected in itertools.islice(asked, STREAMS_A_ROUND):
                    if len(content) > 16384:
                        continue
                    tally.add("asked")
                    with contextlib.suppress(OSError):
                        stream = connection.next_stream
                        waiting[stream] = (path, status, expected)
                        connection.open(method, path, end=not content)
                        if content:
                            connection.send(frames.frame(frames.DATA, frames.END_STREAM, stream, content))
                goes_on = self._collect(tally, connection, waiting)
                time.sleep(PAUSE_SECONDS)

    def _collect(self, tally, connection, waiting):
        """Takes the answers of these streams. Whether the connection goes on."""
        goes_on, told = True, []
        try:
            while waiting and (got := connection.read()):
                if got.kind == frames.GOAWAY:
                    goes_on = False
                    last = int.from_bytes(got.payload[:4], "big") & 0x7FFFFFFF
                    told.append((last, frames.ERRORS[got.error]))
                    # Streams above it were not processed and may be retried (RFC 9113 §6.8).
                    for stream in [stream for stream in waiting if stream > last]:
                        del waiting[stream]
                        tally.add("retried")
                    continue
                connection.take(got)
                answer = connection.messages.get(got.stream)
                if answer and answer.ended and got.stream in waiting:
                    path, status, expected = waiting.pop(got.stream)
                    del connection.messages[got.stream]
                    if answer.reset == frames.REFUSED_STREAM:
                        tally.add("retried")
                    elif answer.reset is None and answer.status == status and expected in (None, answer.body):
                        tally.add("answered")
                    else:
                        tally.lose("%s: %r" % (path, answer))
        except (AssertionError, OSError) as failure:
            tally.lose("HTTP/2: %r, %d streams" % (failure, len(waiting)), len(waiting) or 1)
            return False
        if waiting:
            paths = {stream: path for stream, (path, _, _) in waiting.items()}
            tally.lose("the connection ended before the answers to %r; GOAWAY said %r" % (paths, told), len(waiting))
        return goes_on and not waiting

    def _reset_streams(self, tally):
        """Opens streams, resets some of them and disconnects without GOAWAY."""
        tally.add("asked")
        try:
            with self._connect_h2() as connection:
                streams = [
                    connection.open(path=path) for path in ("/nap", "/bytes/300000", "/static/big.bin", "/pieces")
                ]
                connection.read()
                for stream in streams[::2]:
                    connection.send_anyway(frames.reset(stream))
                connection.read()
            tally.add("left")
        except (AssertionError, OSError) as failure:
            tally.lose("resetting: %r" % failure)
        time.sleep(20 * PAUSE_SECONDS)

    def _break(self, tally):
        """Requests that are refused, each with its status."""
        for raw, status in (
            (b"BROKEN\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"GET /%s HTTP/1.1\r\n" % (b"a" * 9000), 414),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 9000 + b"\r\n\r\n", 431),
            (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", 413),
        ):
            tally.add("asked")
            try:
                with self._connect(False) as wire:
                    wire.send_anyway(raw)
                    got = wire.read_response().status
                if got == status:
                    tally.add("answered")
                else:
                    tally.lose("%r was answered with %d" % (raw[:40], got))
            except (AssertionError, OSError) as failure:
                tally.lose("%r: %r" % (raw[:40], failure))
            time.sleep(10 * PAUSE_SECONDS)
