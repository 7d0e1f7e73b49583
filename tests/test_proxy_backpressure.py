"""The proxy between a fast side and a slow one: the fast one is paused, memory is bounded, and others are served."""

import threading

import pytest

import frames
from memory import Bounded
from neighbour import Neighbour
from proxied import proxied_by
from upstream import OK, Gate
from wire import until

MIB = 1024 * 1024
LENGTH = 200 * MIB
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LENGTH
#: What may lie between the two sides: buffers of the proxy, and of the interpreter's allocator.
MEMORY_BYTES = 12 * MIB
#: The sockets' own buffers are the kernel's, and no memory of the proxy.
SOCKETS_BYTES = 32 * MIB


@pytest.fixture(scope="module")
def proxied(serve_module):
    tables = (("/", ""), ("/stream", 'request_buffering = false\nlimit_request_body = "300M"'))
    yield from proxied_by(serve_module, tables, flags=("--http2-cleartext", "prior-knowledge"))


class Sender:
    """Counts what it could send."""

    def __init__(self):
        self.bytes, self.before = 0, -1

    def __call__(self, conversation, request):
        self.send(conversation.send)

    def send(self, send):
        """Sends it all."""
        piece = b"x" * MIB
        for _ in range(LENGTH // MIB):
            send(piece)
            self.bytes += MIB

    def wait_paused(self):
        """Until nothing more can be sent."""
        until(self.is_paused, 15, "the sender to be paused")

    def is_paused(self):
        before = self.bytes
        threading.Event().wait(0.3)
        return before == self.bytes > 0


def test_a_server_is_paused_while_the_client_does_not_read_and_memory_is_bounded(proxied):
    sender = Sender()
    case = proxied.on(HEAD, sender)
    with Bounded(proxied.front, MEMORY_BYTES) as bounded:
        wire = proxied.front.connect(receive_buffer=65536)
        wire.send(case.message())
        wire.read_head()
        sender.wait_paused()
        assert sender.bytes < SOCKETS_BYTES
        bounded.check()
        with Neighbour(proxied.front.address, proxied.on().path(), "ok") as neighbour:
            total = count_rest(wire)
        bounded.check()
    assert total == LENGTH
    assert neighbour.failure is None, neighbour


def count_rest(wire):
    """The bytes that come until all have."""
    total, wire.pending = len(wire.pending), b""
    while total < LENGTH and wire._more():
        total, wire.pending = total + len(wire.pending), b""
    return total


def test_a_client_is_paused_while_the_server_does_not_read_and_memory_is_bounded(proxied):
    gate, sender = Gate(), Sender()

    def read_all(conversation, request):
        gate(conversation, request)
        left = LENGTH - len(conversation.pending)
        while left > 0:
            conversation.pending = b""
            left -= len(conversation.socket.recv(MIB))
        conversation.pending = b""

    case = proxied.on(read_all, OK, reads_content=False)
    with Bounded(proxied.front, MEMORY_BYTES) as bounded:
        wire = proxied.front.connect()
        path = case.path("/stream").encode()
        wire.send(b"POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (path, LENGTH))
        thread = threading.Thread(target=sender.send, args=(wire.send,))
        thread.start()
        case.wait_requests(1)
        sender.wait_paused()
        assert sender.bytes < SOCKETS_BYTES
        bounded.check()
        with Neighbour(proxied.front.address, proxied.on().path(), "ok") as neighbour:
            gate.open()
            thread.join(60)
            assert wire.read_response().body == b"ok"
        bounded.check()
    assert neighbour.failure is None, neighbour


def test_many_clients_that_do_not_read_take_bounded_memory_and_delay_nobody(proxied):
    case = proxied.on(HEAD, Sender())
    with Bounded(proxied.front, 64 * MIB):
        wires = [proxied.front.connect(receive_buffer=4096) for _ in range(50)]
        for wire in wires:
            wire.send(case.message())
        case.wait_requests(50)
        with Neighbour(proxied.front.address, proxied.on().path(), "ok") as neighbour:
            neighbour.ask_for(1)
        assert neighbour.failure is None, neighbour
    for wire in wires:
        wire.reset()
    for conversation in case.conversations:
        assert conversation.is_closed.wait(10)


def test_a_fast_transfer_delays_no_other_client(proxied):
    # A fast server and a fast client on one machine would take every turn of the leader.
    case = proxied.on(HEAD, Sender())
    with Neighbour(proxied.front.address, proxied.on().path(), "ok") as neighbour:
        wires = [proxied.front.connect() for _ in range(2)]
        for wire in wires:
            wire.send(case.message())
            wire.read_head()
        readers = [threading.Thread(target=count_rest, args=(wire,)) for wire in wires]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(60)
    assert neighbour.failure is None, neighbour


def test_a_stream_whose_window_is_closed_pauses_the_server(proxied):
    sender = Sender()
    case = proxied.on(HEAD, sender)
    with Bounded(proxied.front, MEMORY_BYTES):
        with frames.Connection(proxied.front.address, grants=False) as client:
            stream = client.open(path=case.path())
            sender.wait_paused()
            assert sender.bytes < SOCKETS_BYTES
            client.send(frames.window_update(0, LENGTH))
            # Other streams are served meanwhile.
            assert client.get(proxied.on().path()).body == b"ok"
            client.send(frames.reset(stream))
            assert case.connection.is_closed.wait(10)
