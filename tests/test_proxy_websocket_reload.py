"""Tunnels of a worker that ends: WebSockets get a Close frame, and other protocols their whole time."""

import signal
import socket
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from frames import DATA, END_STREAM, Connection, frame
from test_proxy_websocket_http2 import CLEARTEXT, Stream, settings
from websocket_peer import CLOSE, GOING_AWAY, TEXT, WebSocketServer, encoded
from wire import Wire, until

GOING = GOING_AWAY.to_bytes(2, "big")

#: Tunnels close within three quarters of it.
TIME = ("--graceful-timeout", "4s")


@pytest.fixture(scope="module")
def behind():
    server = WebSocketServer()
    yield server
    server.close()


@pytest.fixture
def plain():
    """A server on a plain socket, which a test plays itself."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(15)
        yield listener


def url(listener):
    return "http://127.0.0.1:%d" % listener.getsockname()[1]


def reload(front):
    """HUP, until only the new workers are there for new connections."""
    until(front.workers, what="workers")
    old = front.workers()
    mark = front.log.mark()
    front.kill(signal.SIGHUP)
    front.log.wait("Booting worker", since=mark)
    until(lambda: set(front.workers()) - set(old), what="new workers")
    return old


def ended(front, old):
    """Waits for the old workers to end, and says how."""
    until(lambda: not set(front.workers()) & set(old), 20, "the end of the old workers")
    assert not front.log.find("SIGKILL|was killed|has not finished"), front.log.text


def received(connection, count):
    """So many bytes, or those before the end."""
    connection.settimeout(15)
    got = b""
    while len(got) < count and (more := connection.recv(count - len(got))):
        got += more
    return got


def test_each_websocket_is_closed_with_1001_and_can_connect_again(serve, behind):
    front = serve("", *TIME, settings=settings(behind.url))
    address = "ws://%s:%d/" % front.address
    clients = [connect(address, compression=None) for _ in range(50)]
    for number, client in enumerate(clients):
        client.send("before %d" % number)
        assert client.recv(timeout=15) == "before %d" % number
    known = len(behind.codes)
    began, times, failures = time.monotonic(), [], []

    def play(client):
        try:
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(timeout=20)
            times.append(time.monotonic() - began)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == GOING_AWAY, closed.value
            with connect(address, compression=None) as again:
                again.send("after")
                assert again.recv(timeout=15) == "after"
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=play, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    old = reload(front)
    for thread in threads:
        thread.join(30)
    assert not failures and len(times) == 50
    # Not all at once: the clients connect again.
    assert max(times) - min(times) > 0.5
    ended(front, old)
    # The server has got the answers of the clients.
    until(lambda: behind.codes[known:].count(GOING_AWAY) == 50, what="close codes")


def test_websockets_of_http2_are_closed_alike(serve, behind):
    front = serve("", *TIME, *CLEARTEXT, settings=settings(behind.url))
    with Connection(front.address) as client:
        streams = [Stream(client) for _ in range(5)]
        for stream in streams:
            stream.send(encoded(TEXT, b"before"))
            assert stream.read() == (TEXT, b"before")
        known = len(behind.codes)
        old = reload(front)
        for stream in streams:
            assert stream.read() == (CLOSE, GOING)
            assert stream.wait(lambda message: message.ended) and stream.message.reset is None
            client.send(frame(DATA, END_STREAM, stream.id, encoded(CLOSE, GOING)))
        until(lambda: behind.codes[known:] == [GOING_AWAY] * 5, what="close codes")
    ended(front, old)


def test_another_protocol_has_all_the_time(serve, plain):
    front = serve("", *TIME, settings=settings(url(plain), 'upgrade = ["other"]'))
    wire = Wire(front.address)
    wire.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n")
    server = plain.accept()[0]
    server.settimeout(15)
    while b"\r\n\r\n" not in (head := server.recv(65536)):
        pass
    assert b"Upgrade: other" in head
    answer = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n"
    server.sendall(answer)
    assert received(wire.socket, len(answer)) == answer
    old = reload(front)
    server.sendall(b"still there")
    assert received(wire.socket, 11) == b"still there"
    # Nothing is said in a protocol that is not known. The tunnel ends before the worker would be killed.
    assert received(wire.socket, 1) == b"" and received(server, 1) == b""
    ended(front, old)
