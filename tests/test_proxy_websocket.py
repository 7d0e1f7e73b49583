"""Connections that switch protocols through the proxy: WebSocket with a real client and server, and the bytes of tunnels."""

import contextlib
import os
import threading

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.sync.server import serve as serve_websockets

from memory import Bounded
from process import paused
from proxied import proxied_by
from upstream import CLOSE, HALF_CLOSE, RESET, WAIT_CLOSED, Gate, delivered
from wire import until

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n"
)
YES = SWITCHED % ACCEPT + b"\r\n"
ASKING = [
    ("Connection", "keep-alive, Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", KEY),
]
TABLES = (
    ("/", ""),
    ("/none", "upgrade = []"),
    ("/all", 'upgrade = ["*"]'),
    ("/idle", 'tunnel_timeout = "300ms"'),
    ("/fin", 'tunnel_fin_timeout = "300ms"'),
    ("/max", 'tunnel_max = "300ms"'),
)


@pytest.fixture(scope="module")
def proxied(serve_module):
    yield from proxied_by(serve_module, TABLES)


def echo(connection):
    """The real server's part: it sends everything back, and closes as it is told to."""
    for piece in connection:
        if piece == "close 4321":
            connection.close(4321, "as told")
        elif piece == "big":
            connection.send(b"x" * 3_000_000)
        else:
            connection.send(piece)


@pytest.fixture(scope="module")
def echoing(serve_module):
    """The port of a front of a real WebSocket server, and the front."""
    with serve_websockets(echo, "127.0.0.1", 0, max_size=None, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        front = serve_module("", "--proxy", "/=http://127.0.0.1:%d" % server.socket.getsockname()[1])
        yield front
        server.shutdown()


def client(front, **options):
    return connect("ws://127.0.0.1:%d/" % front.address[1], max_size=None, compression=None, **options)


# A real client and a real server.


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 1_000_000, 3_000_000])
def test_messages_of_every_size_come_back_whole(echoing, size):
    with client(echoing) as connection:
        body = os.urandom(size)
        connection.send(body)
        assert connection.recv(timeout=15) == body
        connection.send("text " + "é" * (size // 100))
        assert connection.recv(timeout=15) == "text " + "é" * (size // 100)


def test_pings_are_answered_by_the_server_itself(echoing):
    with client(echoing) as connection:
        for _ in range(3):
            assert connection.ping().wait(10)


def test_close_codes_pass_both_ways(echoing):
    with client(echoing) as connection:
        connection.send("close 4321")
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(timeout=15)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4321, "as told")
    connection = client(echoing)
    connection.close(4002, "bye")
    assert connection.close_code == 4002


def test_many_messages_both_ways_at_once_keep_their_order(echoing):
    with client(echoing) as connection:
        bodies = [b"%d " % number * (number * 37 % 3000) for number in range(500)]
        sender = threading.Thread(target=lambda: [connection.send(body) for body in bodies])
        sender.start()
        assert [connection.recv(timeout=15) for _ in bodies] == bodies
        sender.join()


def test_200_tunnels_that_are_idle_take_little_memory(echoing):
    with contextlib.ExitStack() as stack:
        opened = stack.enter_context(contextlib.ExitStack())
        # What a first connection takes once is not counted.
        opened.enter_context(client(echoing)).send(b"x")
        with Bounded(echoing, 6_000_000):
            connections = [stack.enter_context(client(echoing)) for _ in range(200)]
            for connection in connections:
                connection.send(b"x" * 10_000)
            assert all(connection.recv(timeout=15) == b"x" * 10_000 for connection in connections)
    until(lambda: descriptors(echoing) < 60, 10, "descriptors to be closed")


def descriptors(front):
    return len(os.listdir("/proc/%d/fd" % front.workers()[0]))


# The bytes.


def tunnel(proxied, *steps, below="/", early=b"", **rest):
    """A client whose connection has been switched, and its case."""
    case = proxied.on(YES, *steps)
    wire = proxied.front.connect()
    wire.send(case.message(below=below, fields=ASKING, **rest) + early)
    head = wire.read_response()
    assert head.status == 101, head
    return wire, case, head


def raw_echo(conversation, _):
    while True:
        if not conversation.pending:
            conversation.more()
        piece, conversation.pending = conversation.pending, b""
        conversation.send(piece)


def receive(wire, count):
    return wire._exactly(count, [])


def test_the_handshake_passes_and_bytes_go_both_ways_unchanged(proxied):
    wire, case, head = tunnel(proxied, raw_echo)
    assert head.fields == [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Accept", ACCEPT.decode()),
    ]
    request = case.request
    assert request.value("Connection") == "Upgrade" and request.value("Upgrade") == "websocket"
    assert request.value("Sec-WebSocket-Key") == KEY and not request.values("Content-Length")
    for piece in (b"\0", bytes(range(256)), b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", os.urandom(500_000)):
        sender = threading.Thread(target=wire.send, args=(piece,))
        sender.start()
        assert receive(wire, len(piece)) == piece
        sender.join()


def test_bytes_behind_the_request_are_sent_after_the_101_and_not_before(proxied):
    gate, seen = Gate(), []

    def wait(conversation, request):
        gate(conversation, request)
        seen.append(conversation.pending)
        conversation.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            conversation.socket.recv(1)
        conversation.socket.settimeout(30)

    case = proxied.on(wait, YES, raw_echo)
    wire = proxied.front.connect()
    wire.send(case.message(fields=ASKING) + b"early ", b"bytes")
    case.wait_requests(1)
    gate.open()
    assert wire.read_response().status == 101
    assert receive(wire, 11) == b"early bytes" and seen == [b""]


def test_bytes_behind_the_101_reach_the_client(proxied):
    case = proxied.on(YES + b"first", b" second", WAIT_CLOSED)
    wire = proxied.front.connect()
    wire.send(case.message(fields=ASKING))
    assert wire.read_response().status == 101
    assert receive(wire, 12) == b"first second"


def test_the_end_of_the_servers_direction_leaves_the_other_open(proxied):
    wire, case, _ = tunnel(proxied, b"bye", HALF_CLOSE, WAIT_CLOSED)
    assert wire._rest() == b"bye"
    wire.send(b"still heard")
    until(lambda: case.connection.received.endswith(b"still heard"))
    wire.close()
    assert case.connection.is_closed.wait(10)


def test_the_end_of_the_clients_direction_leaves_the_other_open(proxied):
    def answer_after_the_end(conversation, _):
        with contextlib.suppress(Exception):
            conversation.wait_closed()
        conversation.send(b"x" * 300_000 + b"heard " + conversation.pending)

    wire, case, _ = tunnel(proxied, answer_after_the_end, CLOSE)
    wire.send(b"all of it")
    wire.half_close()
    assert wire._rest() == b"x" * 300_000 + b"heard all of it"


def test_a_direction_that_stays_open_alone_ends_after_tunnel_fin_timeout(proxied):
    wire, case, _ = tunnel(proxied, HALF_CLOSE, WAIT_CLOSED, below="/fin")
    assert wire._rest() == b""
    assert case.connection.is_closed.wait(10)


@pytest.mark.parametrize("below", ["/idle", "/max"])
def test_a_tunnel_ends_after_its_time(proxied, below):
    wire, case, _ = tunnel(proxied, WAIT_CLOSED, below=below)
    wire.assert_closed()
    assert case.connection.is_closed.wait(10)


def test_a_tunnel_on_which_bytes_come_is_not_idle(proxied):
    wire, case, _ = tunnel(proxied, raw_echo, below="/idle")
    for _ in range(8):
        threading.Event().wait(0.1)
        wire.send(b"x")
        assert receive(wire, 1) == b"x"


@pytest.mark.parametrize("leaves", ["close", "reset"])
def test_the_client_that_leaves_ends_the_servers_connection(proxied, leaves):
    wire, case, _ = tunnel(proxied, raw_echo)
    wire.send(b"x")
    receive(wire, 1)
    wire.close() if leaves == "close" else wire.reset()
    assert case.connection.is_closed.wait(10)


@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_the_server_that_leaves_ends_the_clients_connection(proxied, end):
    gate = Gate()
    wire, case, _ = tunnel(proxied, b"bye", delivered, gate, end)
    assert receive(wire, 3) == b"bye"
    gate.open()
    wire.assert_closed()


def test_what_the_server_sent_before_it_closed_reaches_a_client_that_sends(serve, tmp_path):
    # The client's bytes could not be sent to a server that had closed, and so the server's last bytes were lost.
    for pair in proxied_by(serve, path=str(tmp_path / "server.sock")):
        gate = Gate()
        wire, case, _ = tunnel(pair, gate, b"close frame", CLOSE)
        with paused(*pair.front.workers()):
            gate.open()
            assert case.connection.is_closed.wait(10)
            wire.send(b"late")
        assert receive(wire, 11) == b"close frame"
        wire.assert_closed()


def test_bytes_wait_for_a_side_that_does_not_read_and_the_other_is_paused(proxied):
    sent = []

    def send_much(conversation, _):
        for _ in range(1000):
            conversation.send(b"x" * 100_000)
            sent.append(100_000)

    case = proxied.on(YES, send_much, CLOSE)
    with Bounded(proxied.front, 8_000_000) as bounded:
        wire = proxied.front.connect(receive_buffer=65536)
        wire.send(case.message(fields=ASKING))
        assert wire.read_response().status == 101
        # The server is stopped once what lies between is full.
        until(lambda: is_steady(sent), 15)
        assert sum(sent) < 40_000_000
        bounded.check()
        total = len(wire.pending)
        wire.pending = b""
        while wire._more():
            total += len(wire.pending)
            wire.pending = b""
        assert total == 100_000_000


def is_steady(sent):
    before = len(sent)
    threading.Event().wait(0.3)
    return before == len(sent) > 0


# What is no tunnel.


@pytest.mark.parametrize("status", [b"426 Upgrade Required", b"403 Forbidden", b"200 OK", b"503 Busy"])
def test_a_refused_upgrade_leaves_the_connection_to_http(proxied, status):
    answer = b"HTTP/1.1 " + status + b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\nno"
    case, other = proxied.on(answer), proxied.on()
    wire = proxied.front.connect()
    # The bytes behind are the next request, and never the tunnel's.
    wire.send(case.message(fields=ASKING) + other.message())
    response = wire.read_response()
    assert (response.status, response.body) == (int(status[:3]), b"no")
    assert response.values("Upgrade") == (["websocket"] if status.startswith(b"426") else [])
    assert wire.read_response().body == b"ok" and len(other.requests) == 1


WRONG = {
    "wrong accept": SWITCHED % b"AAAAAAAAAAAAAAAAAAAAAAAAAAA=" + b"\r\n",
    "no accept": SWITCHED.replace(b"Sec-WebSocket-Accept: %s\r\n", b"") + b"\r\n",
    "two accepts": SWITCHED % ACCEPT + b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\n",
    "another protocol": YES.replace(b"websocket", b"h2c"),
    "no upgrade": YES.replace(b"Upgrade: websocket\r\n", b""),
    "no connection": YES.replace(b"Connection: Upgrade\r\n", b""),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_101_that_does_not_fit_is_502_and_no_byte_passes(proxied, name):
    case, other = proxied.on(WRONG[name] + b"evil", WAIT_CLOSED), proxied.on()
    wire = proxied.front.connect()
    wire.send(case.message(fields=ASKING) + other.message())
    response = wire.read_response()
    assert response.status == 502 and b"evil" not in response.body
    assert wire.read_response().body == b"ok"
    assert case.connection.is_closed.wait(5)
    assert b"/" + other.name.encode() not in case.connection.received


@pytest.mark.parametrize(
    "fields",
    [
        ASKING[1:],
        [field for field in ASKING if field[0] != "Sec-WebSocket-Key"],
        [field for field in ASKING if field[0] != "Sec-WebSocket-Version"],
        ASKING[:3] + [("Sec-WebSocket-Key", "short")],
        [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")],
    ],
)
@pytest.mark.parametrize("below", ["/", "/all", "/none"])
def test_a_request_that_asks_for_no_sound_upgrade_is_an_ordinary_one(proxied, fields, below):
    case = proxied.on()
    assert proxied.front.exchange(case.message(below=below, fields=fields)).body == b"ok"
    assert not case.request.values("Upgrade") and not case.request.values("Connection")


@pytest.mark.parametrize("method, body", [("POST", b""), ("POST", b"x"), ("GET", b"x")])
def test_an_upgrade_of_another_method_or_with_content_is_an_ordinary_request(proxied, method, body):
    case = proxied.on()
    assert proxied.front.exchange(case.message(method, body=body, fields=ASKING)).body == b"ok"
    assert not case.request.values("Upgrade")


def test_a_mount_may_forbid_upgrades(proxied):
    case = proxied.on()
    assert proxied.front.exchange(case.message(below="/none", fields=ASKING)).body == b"ok"
    assert not case.request.values("Upgrade")


def test_another_protocol_passes_where_the_mount_allows_it(proxied):
    switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: chat/2\r\n\r\n"
    case = proxied.on(switched, raw_echo)
    fields = [("Connection", "Upgrade"), ("Upgrade", "chat/2")]
    wire = proxied.front.connect()
    wire.send(case.message(below="/all", fields=fields))
    assert wire.read_response().value("Upgrade") == "chat/2"
    wire.send(b"hello")
    assert receive(wire, 5) == b"hello"
    case = proxied.on()
    assert proxied.front.exchange(case.message(fields=fields)).body == b"ok" and not case.request.values("Upgrade")


def test_a_server_that_ends_leaves_no_tunnel_behind(serve):
    for pair in proxied_by(serve, (("/", ""),), flags=("--graceful-timeout", "1s")):
        wire, case, _ = tunnel(pair, raw_echo)
        pair.front.kill(15)
        # RFC 6455 §7.4.1: 1001, the server goes away.
        assert receive(wire, 4) == b"\x88\x02\x03\xe9"
        wire.assert_closed()
        assert case.connection.is_closed.wait(10)
