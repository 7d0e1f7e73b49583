"""Clients that do not read, or read a byte a second: they hold no thread and little memory, and others are served.

Files, answers of the application, and streams of HTTP/2 whose windows are shut.
"""

import time

import pytest

from frames import INITIAL_WINDOW_SIZE, Connection
from memory import Bounded
from neighbour import Neighbour
from wire import message

MB = 1 << 20

#: A slow view takes 20 ms; the fault waited 10 s, for `queue_timeout`.
SERVED_S = 8

APPLICATION = """
    import time

    BIG = b"x" * (24 << 20)
    LARGE = b"y" * 300_000

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        body = b"Hello, World!"
        if path == "/slow":
            time.sleep(0.02)
        elif path == "/big":
            body = BIG
        elif path == "/large":
            body = LARGE
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""

#: Where a client does not read, it advertises no more than this.
SMALL_BUFFER = 4096


def make_known(server):
    """The worker learns that the view is slow."""
    with server.connect() as wire:
        for _ in range(20):
            assert wire.request(message(target="/slow")).status == 200


def assert_served_in_time(server, target, count=3):
    """New clients get their answers, and soon."""
    for _ in range(count):
        began = time.monotonic()
        with server.connect(timeout=5) as wire:
            assert wire.request(message(target=target)).status == 200
        assert time.monotonic() - began <= SERVED_S


def assert_served_for_seconds(server, seconds, memory):
    """For so long, short views are served in time and the memory stays in its bound. Then slow views are served."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert_served_in_time(server, "/", 1)
        memory.check()
    assert_served_in_time(server, "/slow", 5)
    memory.check()


def readers(server, count, target):
    """Connections that have asked and do not read."""
    wires = [server.connect(receive_buffer=SMALL_BUFFER) for _ in range(count)]
    for wire in wires:
        wire.send(message(target=target))
    return wires


@pytest.mark.parametrize("sendfile", ["--sendfile", "--no-sendfile"])
def test_a_slow_reader_of_a_static_file_delays_nobody(serve, tmp_path, sendfile):
    (tmp_path / "big.bin").write_bytes(b"y" * (8 * MB))
    server = serve(APPLICATION, sendfile, "--static", "/static=%s" % tmp_path)
    with Neighbour(server.address) as neighbour:
        (reader,) = readers(server, 1, "/static/big.bin")
        assert reader.read_head().status == 200
        neighbour.ask_for(1)
    neighbour.assert_served()


def test_readers_that_do_not_read_big_answers_leave_the_threads_and_the_memory_to_others(serve):
    server = serve(APPLICATION)
    make_known(server)
    # The application holds its answer once; what is kept of it for each client is bounded.
    with Bounded(server, 200 * MB) as memory:
        readers(server, 70, "/big")
        assert_served_for_seconds(server, 1.5, memory)


def test_streams_with_shut_windows_leave_the_threads_and_the_memory_to_others(serve):
    server = serve(APPLICATION, "--http2-cleartext", "prior-knowledge")
    make_known(server)
    with (
        Bounded(server, 200 * MB) as memory,
        Connection(server.address, with_settings=[(INITIAL_WINDOW_SIZE, 0)]) as h2,
    ):
        for _ in range(90):
            h2.open(path="/big")
        h2.ping()
        assert_served_for_seconds(server, 1.5, memory)


def test_a_dozen_readers_that_do_not_read_leave_four_workers_with_few_threads_to_others(serve):
    server = serve(APPLICATION, "--workers", 4, "--threads", 2)
    server.wait_booted(4)
    readers(server, 12, "/large")
    assert_served_in_time(server, "/", 20)
    # Also when the answers are above all that the server keeps and the kernel takes.
    readers(server, 12, "/big")
    end = time.monotonic() + 1
    while time.monotonic() < end:
        assert_served_in_time(server, "/", 1)


def test_500_readers_of_a_byte_a_second_leave_the_threads_to_others(serve):
    server = serve(APPLICATION, "--threads", 8)
    waiting = readers(server, 500, "/large")
    for _ in range(3):
        round_began = time.monotonic()
        for wire in waiting:
            wire.socket.recv(1)
        while time.monotonic() - round_began < 1:
            assert_served_in_time(server, "/", 1)
    # They are still served, at their pace.
    waiting[0].socket.settimeout(5)
    assert waiting[0].socket.recv(1)
