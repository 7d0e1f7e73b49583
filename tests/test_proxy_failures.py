"""Servers behind the proxy that fail: refused, silent, slow, broken off, restarted; and clients that leave."""

import os
import select
import signal
import socket
import threading
from concurrent import futures

import pytest

import frames
from load import Load
from proxied import proxied_by
from upstream import CLOSE, OK, RESET, WAIT_CLOSED, Gate, Upstream, delivered
from web_server import free_port
from wire import Incomplete, message, until

HEAD = b"HTTP/1.1 200 OK\r\n"
TABLES = (("/", ""), ("/stream", "request_buffering = false"))
QUICK = 'connect_timeout = "300ms"\nfirst_byte_timeout = "400ms"\nread_timeout = "400ms"\nsend_timeout = "400ms"'
METHODS = [("GET", b""), ("PUT", b"content"), ("POST", b"content"), ("POST", b"")]


@pytest.fixture(scope="module")
def proxied(serve_module):
    yield from proxied_by(serve_module, TABLES, flags=("--http2-cleartext", "prior-knowledge"))


@pytest.fixture(scope="module")
def quick(serve_module):
    """The same with short time-outs."""
    yield from proxied_by(serve_module, TABLES, QUICK, flags=("--limit-request-body", "30M"))


def proxy_to(serve, *urls, keys="", mount=""):
    """A front of these servers."""
    servers = ", ".join('"%s"' % url for url in urls)
    return serve(
        "",
        settings='[[upstream]]\nname = "app"\nservers = [%s]\n%s\n[[mount]]\npath = "/"\nproxy = "app"\n%s\n'
        % (servers, keys, mount),
    )


@pytest.fixture
def upstream():
    opened = []

    def open_one(**options):
        opened.append(Upstream(**options))
        return opened[-1]

    yield open_one
    for server in opened:
        server.close()
        assert not server.failures, server.failures


# Connections that are not made.


@pytest.mark.parametrize("method, body", METHODS)
def test_a_refused_connection_is_502_and_another_server_is_asked_for_every_method(serve, upstream, method, body):
    dead = "http://127.0.0.1:%d" % free_port()
    assert proxy_to(serve, dead).exchange(message(method, body=body)).status == 502
    living = upstream()
    case = living.on()
    front = proxy_to(serve, dead, living.url)
    for _ in range(4):
        assert front.exchange(case.message(method, body=body)).body == b"ok"
    assert [request.content for request in case.requests] == [body] * 4


def test_a_unix_socket_that_is_not_there_is_502(serve, tmp_path):
    front = proxy_to(serve, "http://unix:%s" % (tmp_path / "nothing.sock"))
    assert front.get().status == 502


class Full:
    """A listener that accepts nothing and whose backlog is full."""

    def __init__(self, family, address):
        self.listener = socket.socket(family)
        self.listener.bind(address)
        self.listener.listen(0)
        self.waiting = []
        while True:
            waiting = socket.socket(family)
            waiting.setblocking(False)
            self.waiting.append(waiting)
            error = waiting.connect_ex(self.listener.getsockname())
            if family == socket.AF_UNIX and error:
                break
            if family == socket.AF_INET and not waits_writable(waiting):
                break
            assert len(self.waiting) < 100

    def close(self):
        for sock in (*self.waiting, self.listener):
            sock.close()


def waits_writable(sock):
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    return bool(poll.poll(50))


def answers(wire, milliseconds):
    """Whether something comes in this time."""
    poll = select.poll()
    poll.register(wire.socket, select.POLLIN)
    return bool(poll.poll(milliseconds))


def test_a_server_that_accepts_no_connection_is_504_after_connect_timeout(serve):
    full = Full(socket.AF_INET, ("127.0.0.1", 0))
    front = proxy_to(serve, "http://127.0.0.1:%d" % full.listener.getsockname()[1], keys=QUICK)
    assert front.get().status == 504
    full.close()


def test_a_unix_socket_whose_backlog_stays_full_is_504_after_connect_timeout(serve, tmp_path):
    # Linux refuses the connection at once with EAGAIN, and no event tells of room.
    full = Full(socket.AF_UNIX, str(tmp_path / "full.sock"))
    front = proxy_to(serve, "http://unix:" + full.listener.getsockname(), keys=QUICK)
    assert front.get().status == 504
    full.close()


def test_a_unix_socket_whose_backlog_was_full_for_a_moment_is_asked_again(serve, upstream, tmp_path):
    full = Full(socket.AF_UNIX, str(tmp_path / "full.sock"))
    front = proxy_to(serve, "http://unix:" + full.listener.getsockname())
    wire = front.connect()
    wire.send(message())
    wire.assert_silent(0.05)
    for sock in full.waiting:
        sock.close()
    full.listener.settimeout(10)
    while True:
        accepted, _ = full.listener.accept()
        accepted.settimeout(10)
        if accepted.recv(65536).startswith(b"GET / HTTP/1.1\r\n"):
            break
        accepted.close()
    accepted.sendall(OK)
    assert wire.read_response().body == b"ok"
    accepted.close()
    full.close()


def test_a_burst_upon_a_unix_socket_with_a_small_backlog_is_answered(serve, upstream, tmp_path):
    server = upstream(path=str(tmp_path / "small.sock"), backlog=1)
    case = server.on()
    front = proxy_to(serve, server.url)
    wires = [front.connect() for _ in range(100)]
    for wire in wires:
        wire.send(case.message())
    assert [wire.read_response().status for wire in wires] == [200] * 100


def test_all_servers_down_is_503_with_retry_after(serve):
    tables = '[[upstream]]\nname = "app"\nservers = [{ url = "http://127.0.0.1:9", down = true }]\n'
    front = serve("", settings=tables + '[[mount]]\npath = "/"\nproxy = "app"\n')
    response = front.get()
    assert response.status == 503 and response.value("Retry-After")


def test_a_tls_server_on_a_port_that_is_thought_plain_is_502(serve, upstream):
    def alert(conversation, _):
        conversation.send(b"\x15\x03\x01\x00\x02\x02\x46")

    server = upstream()
    front = proxy_to(serve, server.url)
    assert front.exchange(server.on(alert, reads_content=False).message()).status == 502


# Servers that are slow.


@pytest.mark.parametrize(
    "begun", [b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 X\r\n\r\n", b"HTTP/1.1 200 OK\r\nX"]
)
def test_no_head_in_time_is_504_and_the_connection_is_closed(quick, begun):
    case = quick.on(begun, WAIT_CLOSED)
    wire = quick.front.connect()
    wire.send(case.message())
    response = wire.read_response()
    if response.status == 103:
        response = wire.read_response()
    assert response.status == 504
    assert case.connection.is_closed.wait(5)
    assert wire.request(quick.on().message()).body == b"ok"


def test_interim_responses_do_not_prolong_the_wait_for_the_head(quick):
    def drip(conversation, _):
        for _ in range(15):
            conversation.send(b"HTTP/1.1 102 Processing\r\n\r\n")
            threading.Event().wait(0.1)

    wire = quick.front.connect()
    wire.send(quick.on(drip).message())
    while (response := wire.read_response()).status == 102:
        pass
    assert response.status == 504


def test_a_head_that_drips_does_not_prolong_the_wait(quick):
    def drip(conversation, _):
        for at in range(100):
            conversation.send((HEAD + b"X: " + b"a" * 100)[at : at + 1])
            threading.Event().wait(0.05)

    assert quick.get(drip).status == 504


def test_content_that_stops_breaks_off_after_read_timeout(quick):
    case = quick.on(HEAD + b"Content-Length: 10\r\n\r\nok", WAIT_CLOSED)
    with pytest.raises(Incomplete):
        quick.front.exchange(case.message())
    assert case.connection.is_closed.wait(5)


def test_content_that_drips_is_passed_on(quick):
    def drip(conversation, _):
        conversation.send(HEAD + b"Content-Length: 10\r\n\r\n")
        for _ in range(10):
            threading.Event().wait(0.1)
            conversation.send(b"x")

    # Each piece comes within read_timeout, all of them do not.
    assert quick.get(drip).body == b"x" * 10


def test_the_time_in_which_the_client_does_not_read_is_not_the_servers(quick):
    body = b"x" * 8_000_000
    case = quick.on(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    wire = quick.front.connect(receive_buffer=4096)
    wire.send(case.message())
    case.wait_requests(1)
    # Longer than read_timeout.
    threading.Event().wait(1)
    assert wire.read_response().body == body


def test_the_time_in_which_the_client_does_not_send_is_not_the_servers(quick):
    # A streamed upload that paused for send_timeout was answered with 504.
    case = quick.on()
    wire = quick.front.connect()
    raw = case.message("POST", "/stream", body=b"x" * 1000)
    wire.send(raw[:-500])
    # Longer than send_timeout.
    threading.Event().wait(1)
    wire.send(raw[-500:])
    assert wire.read_response().body == b"ok"


def test_a_streamed_upload_may_take_longer_than_total_timeout(serve, upstream):
    server = upstream()
    case = server.on()
    front = proxy_to(serve, server.url, keys='total_timeout = "400ms"', mount="request_buffering = false")
    wire = front.connect()
    raw = case.message("POST", body=b"x" * 1000)
    wire.send(raw[:-500])
    threading.Event().wait(0.8)
    wire.send(raw[-500:])
    assert wire.read_response().body == b"ok"
    # The wait for the head counts.
    assert front.exchange(server.on(WAIT_CLOSED).message()).status == 504


def test_a_server_that_does_not_take_the_request_is_504_after_send_timeout(quick):
    stopped = Gate()
    case = quick.on(stopped, reads_content=False)
    wire = quick.front.connect()
    sender = threading.Thread(target=wire.send_anyway, args=(case.message("POST", body=b"x" * 20_000_000),))
    sender.start()
    assert wire.read_response().status == 504
    stopped.open()
    sender.join(15)


# Answers that break off.

ANSWER = b"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 12\r\n\r\nhello, world"
AT = ANSWER.index(b"\r\n\r\n") + 4


@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_an_answer_that_breaks_off_at_any_byte_is_502_or_incomplete(proxied, end):
    for at in range(len(ANSWER)):
        case = proxied.on(ANSWER[:at], delivered, end)
        wire = proxied.front.connect()
        wire.send(case.message("POST", body=b"x"))
        if at < AT:
            assert wire.read_response().status == 502, at
            assert wire.request(proxied.on().message()).body == b"ok"
        else:
            with pytest.raises(Incomplete):
                wire.read_response()
        assert len(case.requests) == 1, "asked twice at %d" % at
        wire.close()


def test_a_broken_answer_counts_for_http_2_as_a_broken_stream(proxied):
    with frames.Connection(proxied.front.address) as client:
        case = proxied.on(ANSWER[:-3], delivered, RESET)
        answer = client.response(client.open(path=case.path()))
        assert answer.reset == frames.INTERNAL_ERROR
        assert client.get(proxied.on().path()).body == b"ok"


# Connections that were idle.


def closes_when_used_again(end):
    """Answers the first request of a connection, and ends the connection at the next one without an answer."""

    def script(conversation, request):
        if getattr(conversation, "was_asked", False):
            conversation.follow([end], request)
        conversation.was_asked = True
        conversation.send(OK[:-2] if request.line.startswith("HEAD") else OK)

    return script


@pytest.mark.parametrize("end", [CLOSE, RESET])
@pytest.mark.parametrize(
    "method, body", [("GET", b""), ("HEAD", b""), ("PUT", b"content"), ("DELETE", b""), ("OPTIONS", b"")]
)
def test_an_idempotent_request_on_a_connection_that_went_stale_is_sent_again(serve, upstream, end, method, body):
    server = upstream()
    front = proxy_to(serve, server.url)
    case = server.on(closes_when_used_again(end))
    for _ in range(3):
        assert front.exchange(case.message("GET")).body == b"ok"
        response = front.exchange(case.message(method, body=body), head_only=method == "HEAD")
        assert response.status == 200
    assert case.requests[-1].content == body


@pytest.mark.parametrize("end", [CLOSE, RESET])
@pytest.mark.parametrize("below", ["/", "/stream"])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_request_that_is_not_idempotent_is_never_sent_twice(proxied, end, below, method):
    first = proxied.on(closes_when_used_again(end))
    for _ in range(3):
        assert proxied.front.exchange(first.message()).body == b"ok"
    # Whatever connection it gets, the server sees it once at most.
    case = proxied.on(end)
    assert proxied.front.exchange(case.message(method, below, body=b"once")).status == 502
    assert len(case.requests) == 1


def test_content_above_64_kib_that_was_sent_is_not_sent_again(serve, upstream):
    server = upstream()
    front = proxy_to(serve, server.url)
    case = server.on(closes_when_used_again(CLOSE))
    for size, status in ((65_536, 200), (65_537, 502)):
        assert front.exchange(case.message()).body == b"ok"
        assert front.exchange(case.message("PUT", body=b"x" * size)).status == status
    # It is, if no byte of it was sent.
    front = proxy_to(serve, "http://127.0.0.1:%d" % free_port(), server.url)
    assert front.exchange(server.on().message("PUT", body=b"x" * 3_000_000)).body == b"ok"


def test_a_connection_that_the_server_closed_while_idle_is_not_used(proxied):
    for end in (CLOSE, RESET):
        case = proxied.on(OK, delivered, end)
        for number in range(5):
            assert proxied.front.exchange(case.message("POST", body=b"x")).body == b"ok"
            assert case.connection.is_closed.wait(5)
            assert len(case.requests) == number + 1


@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_a_fresh_connection_that_is_closed_is_not_tried_again_unless_asked(serve, upstream, end):
    server = upstream()
    case = server.on(end)
    assert proxy_to(serve, server.url).exchange(case.message()).status == 502
    assert len(case.requests) == 1
    front = proxy_to(serve, server.url, keys='retry_on = ["reset"]\nretries = 2')
    assert front.exchange(case.message()).status == 502 and len(case.requests) == 4
    assert front.exchange(case.message("POST", body=b"x")).status == 502 and len(case.requests) == 5


# Clients that leave.


def descriptors(front):
    """Open descriptors of the worker."""
    (worker,) = front.workers()
    return len(os.listdir("/proc/%d/fd" % worker))


PHASES = {
    "before the answer": ([WAIT_CLOSED], "/", b"", 0),
    "in the head": ([HEAD, WAIT_CLOSED], "/", b"", 0),
    "after the head": ([HEAD + b"Content-Length: 10\r\n\r\n", WAIT_CLOSED], "/", b"", 0),
    "in the content": ([HEAD + b"Content-Length: 10\r\n\r\nhello", WAIT_CLOSED], "/", b"", 0),
    "in endless content": ([HEAD + b"\r\n", lambda c, _: [c.send(b"x" * 65536) for _ in range(10_000)]], "/", b"", 0),
    "in the upload": ([WAIT_CLOSED], "/stream", b"x" * 100_000, 50_000),
    "after the upload": ([WAIT_CLOSED], "/", b"x" * 100_000, 0),
}


# A client that only closes may have closed its sending side, and then it still gets its answer.
LEAVING = [("reset", phase) for phase in PHASES] + [("close", "in endless content"), ("close", "in the upload")]


@pytest.mark.parametrize("leaves, phase", LEAVING)
def test_a_client_that_leaves_frees_the_connection_to_the_server(proxied, leaves, phase):
    steps, below, body, missing = PHASES[phase]
    proxied.works()
    before = descriptors(proxied.front)
    case = proxied.on(*steps, reads_content=False)
    wire = proxied.front.connect()
    raw = case.message("POST" if body else "GET", below, body=body)
    wire.send(raw[: len(raw) - missing])
    case.wait_requests(1)
    if "content" in phase or phase == "after the head":
        wire.read_head()
    wire.reset() if leaves == "reset" else wire.close()
    assert case.connection.is_closed.wait(10), phase
    until(lambda: descriptors(proxied.front) <= before, 5, "descriptors to be closed")
    proxied.works()


def test_a_client_that_has_only_closed_its_sending_side_gets_its_answer(proxied):
    gate = Gate()
    case = proxied.on(gate, OK)
    wire = proxied.front.connect()
    wire.send(case.message())
    case.wait_requests(1)
    wire.half_close()
    gate.open()
    assert wire.read_response().body == b"ok"


@pytest.mark.parametrize("phase", PHASES)
def test_a_stream_that_is_cancelled_frees_the_connection_to_the_server(proxied, phase):
    steps, below, body, missing = PHASES[phase]
    case = proxied.on(*steps, reads_content=False)
    with frames.Connection(proxied.front.address, grants=False) as client:
        stream = client.open("POST" if body else "GET", case.path(below), end=not body)
        if body:
            client.send(frames.frame(frames.DATA, 0 if missing else frames.END_STREAM, stream, body[:10_000]))
        case.wait_requests(1)
        # What came for the stream has used the connection's window.
        client.send(frames.reset(stream), frames.window_update(0, 1_000_000))
        assert case.connection.is_closed.wait(10), phase
        assert client.get(proxied.on().path()).body == b"ok"


def test_a_client_that_leaves_the_queue_leaves_its_place(serve, upstream):
    server = upstream()
    gate = Gate()
    slow = server.on([gate, OK])
    front = proxy_to(serve, server.url, keys="max_requests = 1\nqueue = 2")
    first = front.connect()
    first.send(slow.message())
    slow.wait_requests(1)
    case = server.on()
    for _ in range(20):
        for wire in [front.connect() for _ in range(2)]:
            wire.send(case.message())
            wire.reset()
    # Both places are free as soon as the ends of those clients were seen.
    waiting = []
    while len(waiting) < 2:
        wire = front.connect()
        wire.send(case.message())
        if answers(wire, 200):
            assert wire.read_response().status == 503
        else:
            waiting.append(wire)
    gate.open()
    assert [wire.read_response().body for wire in (first, *waiting)] == [b"ok"] * 3


# Servers that are killed and restarted.

BEHIND = """
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["SERVER_PORT"].encode()]
"""


def test_servers_restarted_in_turn_under_load_fail_no_request(serve):
    ports = [free_port(), free_port()]

    def start(port):
        return serve(BEHIND, bind=("127.0.0.1:%d" % port,))

    servers = [start(port) for port in ports]
    urls = ["http://127.0.0.1:%d" % port for port in ports]
    front = proxy_to(serve, *urls, keys='fail = { max = 3, eject = "200ms" }')
    with Load(front) as load:

        def wait_for(port):
            """Until the server has answered more requests."""
            count = load.bodies[b"%d" % port]
            until(lambda: load.bodies[b"%d" % port] > count + 20, 15, "answers of a server")

        for index in (0, 1, 0):
            wait_for(ports[0]), wait_for(ports[1])
            servers[index].kill(signal.SIGTERM)
            servers[index].wait_exit()
            servers[index] = start(ports[index])
        wait_for(ports[0]), wait_for(ports[1])
    assert not load.failures, load.failures[:5]


def test_a_server_killed_under_load_fails_no_request_that_may_be_sent_again(serve):
    ports = [free_port(), free_port()]
    servers = [serve(BEHIND, bind=("127.0.0.1:%d" % port,)) for port in ports]
    urls = ["http://127.0.0.1:%d" % port for port in ports]
    front = proxy_to(serve, *urls, keys='retry_on = ["connect", "stale", "reset"]')
    with Load(front) as load:
        until(lambda: load.answered > 50, 15, "answers")
        for pid in [*servers[0].workers(), servers[0].pid]:
            os.kill(pid, signal.SIGKILL)
        servers[0].process.wait()
        count = load.answered
        until(lambda: load.answered > count + 200, 15, "answers")
    assert not load.failures, load.failures[:5]


def test_connections_to_a_server_that_was_killed_are_not_kept(proxied):
    with futures.ThreadPoolExecutor(10) as clients:
        case = proxied.on()
        list(clients.map(lambda _: proxied.front.exchange(case.message()), range(50)))
    for conversation in proxied.upstream.open_connections():
        conversation.socket.shutdown(socket.SHUT_RDWR)
    assert proxied.front.exchange(case.message("POST", body=b"x")).body == b"ok"
