"""HTTP/2 clients that others wrote: h2load, nghttp, python's h2 and httpx; and what a reload does to their streams."""

import asyncio
import hashlib
import json
import re
import shutil
import signal
import socket
import subprocess
import threading

import h2.config
import h2.connection
import h2.events
import httpx
import pytest

import frames
from edge import environment_without_proxies, serve_edge, trusting
from wire import until

needs_nghttp2 = pytest.mark.skipif(not shutil.which("h2load"), reason="nghttp2-client is not installed")
pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")


@pytest.fixture(scope="module")
def server(serve_module, tmp_path_factory, authority):
    return serve_edge(serve_module, tmp_path_factory.mktemp("edge"), authority)


def tool(*arguments, fails=False):
    """Runs a program and returns its output."""
    done = subprocess.run(
        [str(argument) for argument in arguments],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        env=environment_without_proxies(),
    )
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def succeeded(said, count):
    """h2load's summary of a run without errors."""
    totals = re.search(
        r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout",
        said,
    )
    assert totals, said
    assert [int(number) for number in totals.groups()] == [count, count, count, 0, 0, 0], said
    assert re.search(r"status codes: %d 2xx, 0 3xx, 0 4xx, 0 5xx" % count, said), said


@needs_nghttp2
@pytest.mark.parametrize("path", ["/", "/static/style.css", "/bytes/20000"])
def test_h2load_meets_no_error_over_tls(server, path):
    said = tool("h2load", "-n", 6000, "-c", 8, "-m", 50, server.url + path)
    assert "Application protocol: h2" in said
    succeeded(said, 6000)


@needs_nghttp2
def test_h2load_meets_no_error_without_tls(server):
    succeeded(tool("h2load", "-n", 6000, "-c", 4, "-m", 100, server.plain_url + "/"), 6000)


@needs_nghttp2
def test_h2load_meets_no_error_with_small_windows(server):
    # A window of 2^10 - 1 bytes for each stream, and of 2^12 - 1 for the connection.
    said = tool("h2load", "-n", 200, "-c", 2, "-m", 20, "-w", 10, "-W", 12, server.url + "/bytes/50000")
    succeeded(said, 200)


@needs_nghttp2
def test_h2load_uploads(server, tmp_path):
    upload = tmp_path / "upload"
    upload.write_bytes(b"u" * 300_000)
    succeeded(tool("h2load", "-n", 100, "-c", 4, "-m", 10, "-d", upload, server.url + "/asked"), 100)


@needs_nghttp2
def test_h2load_may_choose_http_1_1(server):
    said = tool("h2load", "--h1", "-n", 500, "-c", 8, server.url + "/")
    assert "Application protocol: http/1.1" in said
    succeeded(said, 500)


@needs_nghttp2
def test_nghttp_gets_a_page_and_its_files(server):
    said = tool("nghttp", "-n", "-a", "-s", server.url + "/hinted")
    assert re.search(r"200\s+\d+\w* /hinted$", said, re.M) and re.search(
        r"200\s+\d+\w* /static/style.css$", said, re.M
    ), said


@needs_nghttp2
def test_nghttp_sees_early_hints(server):
    said = tool("nghttp", "-v", "-n", server.url + "/hinted")
    hinted, final = said.index(":status: 103"), said.index(":status: 200")
    assert hinted < said.index("link: </static/style.css>; rel=preload; as=style") < final


@needs_nghttp2
def test_nghttp_sends_trailers(server, tmp_path):
    upload = tmp_path / "upload"
    upload.write_bytes(b"u" * 100_000)
    said = tool("nghttp", "-d", upload, "--trailer", "x-sum: 7", server.url + "/asked")
    assert '"length": 100000' in said


@needs_nghttp2
def test_nghttp_gets_window_updates(server, tmp_path):
    said = tool("nghttp", "-v", "-w", 14, "-W", 15, "-n", server.url + "/static/big.bin")
    pieces = [int(length) for length in re.findall(r"recv DATA frame <length=(\d+)", said)]
    assert sum(pieces) == 8 << 20 and "RST_STREAM" not in said and "recv GOAWAY" not in said


@needs_nghttp2
def test_nghttp_expects_100_continue(server, tmp_path):
    upload = tmp_path / "upload"
    upload.write_bytes(b"u" * 1000)
    said = tool("nghttp", "-v", "--expect-continue", "-d", upload, server.url + "/asked")
    assert ":status: 200" in said


class Strict:
    """python's h2, which raises an error at everything that a server must not send."""

    def __init__(self, server, authority):
        plain = socket.create_connection(server.addresses[0], timeout=20)
        self.socket = trusting(authority, "h2").wrap_socket(plain, server_hostname="localhost")
        assert self.socket.selected_alpn_protocol() == "h2"
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.flush()
        self.bodies, self.heads, self.done = {}, {}, set()

    def flush(self):
        self.socket.sendall(self.h2.data_to_send())

    def send(self, path, method="GET", body=b""):
        stream = self.h2.get_next_available_stream_id()
        head = [(":method", method), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
        self.h2.send_headers(stream, head, end_stream=not body)
        while body:
            size = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(body))
            if not size:
                self.flush()
                self.receive()
                continue
            self.h2.send_data(stream, body[:size], end_stream=size == len(body))
            body = body[size:]
        self.flush()
        return stream

    def receive(self):
        data = self.socket.recv(65536)
        assert data, "the connection ended"
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived):
                self.heads[event.stream_id] = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                if event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.done.add(event.stream_id)
            else:
                assert not isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)), event
        self.flush()

    def finish(self, *streams):
        while not self.done >= set(streams):
            self.receive()

    def close(self):
        self.socket.close()


@pytest.fixture
def strict(server, authority):
    connection = Strict(server, authority)
    yield connection
    connection.close()


def test_h2_of_python_finds_no_fault_in_a_hundred_streams_at_once(server, strict):
    paths = ["/", "/static/style.css", "/bytes/30000", "/static/empty.txt", "/slowly"]
    streams = [strict.send(paths[number % 5]) for number in range(100)]
    strict.finish(*streams)
    expected = [b"Hello, World!", server.files["style.css"], b"x" * 30000, b"", b"0\n1\n2\n3\n4\n"]
    for number, stream in enumerate(streams):
        assert strict.heads[stream][":status"] == "200"
        assert strict.bodies.get(stream, b"") == expected[number % 5], stream


def test_h2_of_python_finds_no_fault_in_uploads(strict):
    for size in (1, 65535, 65536, 2_000_000):
        stream = strict.send("/asked", "POST", b"p" * size)
        strict.finish(stream)
        assert json.loads(strict.bodies[stream])["sha256"] == hashlib.sha256(b"p" * size).hexdigest()


def test_h2_of_python_gets_large_files_side_by_side(server, strict):
    streams = [strict.send("/static/big.bin") for _ in range(3)]
    strict.finish(*streams)
    assert all(strict.bodies[stream] == server.files["big.bin"] for stream in streams)
    assert strict.heads[streams[0]]["content-length"] == str(8 << 20)


@pytest.fixture
def visitor(authority):
    with httpx.Client(http2=True, verify=trusting(authority), trust_env=False, timeout=30) as client:
        yield client


def test_httpx_speaks_http_2(server, visitor):
    answer = visitor.get(
        server.url + "/asked", params={"q": "ä b"}, headers={"X-Told": "yes"}, cookies={"a": "1", "b": "2"}
    )
    asked = answer.json()
    assert answer.http_version == "HTTP/2" and asked["SERVER_PROTOCOL"] == "HTTP/2"
    assert asked["QUERY_STRING"] == "q=%C3%A4+b" or asked["QUERY_STRING"] == "q=%C3%A4%20b"
    assert asked["HTTP_X_TOLD"] == "yes" and sorted(asked["HTTP_COOKIE"].split("; ")) == ["a=1", "b=2"]
    assert asked["HTTP_HOST"] == "localhost:%d" % server.addresses[0][1]


def test_httpx_uploads_and_streams(server, visitor):
    content = b"streamed " * 100_000
    pieces = (content[start : start + 10_000] for start in range(0, len(content), 10_000))
    assert visitor.post(server.url + "/asked", content=pieces).json()["length"] == len(content)
    with visitor.stream("GET", server.url + "/slowly") as answer:
        assert list(answer.iter_lines()) == list("01234")
    assert visitor.head(server.url + "/static/big.bin").headers["content-length"] == str(8 << 20)


def test_httpx_with_many_tasks_shares_a_connection(server, authority):
    """Tasks, not threads: two threads of one httpx client may take the same stream number (`StreamIDTooLowError`)."""
    connections = set()

    async def ask(client, number):
        answer = await client.post(server.url + "/asked", content=b"t" * number * 1000)
        connections.add(answer.json()["REMOTE_PORT"])
        return answer.json()["length"]

    async def ask_all():
        async with httpx.AsyncClient(http2=True, verify=trusting(authority), trust_env=False, timeout=30) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(64)))

    assert asyncio.run(ask_all()) == [number * 1000 for number in range(64)]
    assert len(connections) == 1


class Asker(threading.Thread):
    """Keeps ten streams open and obeys GOAWAY: a stream that it names as unprocessed is sent again on another
    connection."""

    def __init__(self, server, context):
        super().__init__(daemon=True)
        self.server, self.context = server, context
        self.stopping = threading.Event()
        self.answered, self.connections, self.failure = 0, 0, None

    def run(self):
        try:
            while not self.stopping.is_set():
                self.connections += 1
                with frames.Connection(self.server.addresses[0], tls=self.context) as connection:
                    self._ask(connection)
        except BaseException as failure:
            self.failure = failure

    def _ask(self, connection):
        waiting, last = set(), None
        while True:
            while last is None and len(waiting) < 10 and not self.stopping.is_set():
                waiting.add(connection.open(path="/slowly"))
            if not waiting:
                return
            got = connection.read()
            assert got, "the connection ended with %d streams open, GOAWAY %s" % (len(waiting), last)
            if got.kind == frames.GOAWAY:
                assert got.error == frames.NO_ERROR, got
                last = int.from_bytes(got.payload[:4], "big") & 0x7FFFFFFF
                waiting = {stream for stream in waiting if stream <= last}
                continue
            connection.take(got)
            for stream in list(waiting):
                message = connection.messages.get(stream)
                if message and message.ended:
                    # A refused request was not processed, and may be sent again (RFC 9113 §8.7).
                    if message.reset != frames.REFUSED_STREAM:
                        assert message.reset is None and message.body == b"0\n1\n2\n3\n4\n", message
                        self.answered += 1
                    waiting.discard(stream)


def test_no_stream_is_lost_in_reloads(serve, tmp_path, authority):
    server = serve_edge(serve, tmp_path, authority)
    askers = [Asker(server, trusting(authority, "h2")) for _ in range(4)]
    for asker in askers:
        asker.start()
    frames_until = _progress(askers)
    for _ in range(3):
        frames_until(40)
        mark, before = server.log.mark(), set(server.workers())
        server.kill(signal.SIGHUP)
        server.log.wait(r"Booting worker", count=2, since=mark)
        _gone(server, before)
    frames_until(40)
    for asker in askers:
        asker.stopping.set()
    for asker in askers:
        asker.join(30)
        assert not asker.is_alive()
    assert [asker.failure for asker in askers] == [None] * 4
    assert all(asker.connections >= 2 for asker in askers)


def _progress(askers):
    def more(count):
        start = [asker.answered for asker in askers]
        until(
            lambda: (
                any(asker.failure for asker in askers)
                or all(asker.answered >= before + count for asker, before in zip(askers, start))
            ),
            30,
            "answers",
        )
        assert [asker.failure for asker in askers] == [None] * len(askers)

    return more


def _gone(server, pids):
    until(lambda: not pids & set(server.workers()), 40, "the old workers to leave")
