"""When a worker accepts connections and when it does not: a full queue, the cap, no descriptors left, and a drain."""

import resource
import signal
import socket
import time

import pytest

from test_scheduling import VIEWS, block, cpu_ticks
from wire import message, until

#: Far above what a served request takes here, below the wait of the fault.
AT_ONCE_S = 1.5


def known_slow(server):
    """Makes the route /block known to be slow: its calls have been long."""
    server.get("/again")
    wires = block(server, 1)
    server.log.wait(r"entered 1\b")
    server.get("/release")
    assert wires[0].read_response().body == b"blocked"
    server.get("/again")


@pytest.fixture
def full(serve):
    """A server with a full queue (two threads, a queue of one), the connections that wait, and an idle one.

    No timer wakes the worker soon, so the end of a call must be enough.
    """
    server = serve(
        VIEWS, "--threads", 2, "--queue-max", 1, "--queue-timeout", 60, "--graceful-timeout", 20, "--linger-timeout", 30
    )
    known_slow(server)
    kept = [server.connect() for _ in range(6)]
    beside = server.connect()
    for wire in (*kept, beside):
        assert wire.request(message(target="/fast")).status == 200
    for wire in kept:
        wire.send(message(target="/block"))
    refused = until(lambda: [wire for wire in kept if has_come(wire)], what="a refusal: the queue is full")
    assert refused[0].read_response().status == 503
    return server, [wire for wire in kept if wire not in refused], beside


def has_come(wire):
    """Whether there is something to read on the connection."""
    wire.socket.setblocking(False)
    try:
        return bool(wire.socket.recv(1, socket.MSG_PEEK))
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        wire.socket.settimeout(wire.timeout)


def test_a_new_connection_is_served_at_once_after_a_full_queue_has_emptied(full):
    server, kept, beside = full
    server.write("release", "")
    statuses = [wire.read_response().status for wire in kept]
    assert set(statuses) <= {200, 503} and 200 in statuses
    for _ in range(3):
        began = time.monotonic()
        with server.connect(timeout=3) as wire:
            assert wire.request(message(target="/fast")).status == 200
        assert time.monotonic() - began < AT_ONCE_S


def served_in_drain(server, seconds):
    """Whether a connection that is made now gets an answer within the time, while the drain goes on."""
    try:
        wire = server.connect(timeout=seconds)
        wire.send(message(target="/fast"))
        return bool(wire.socket.recv(1))
    except OSError:
        # Refused, reset, or silence.
        return False


def drain(server, canary):
    """TERM; returns when the worker has begun to drain."""
    server.kill(signal.SIGTERM)

    until(lambda: canary.request(message(target="/fast")).closes, 10, "an answer that closes its connection")


def test_no_new_connection_is_served_in_a_drain_while_the_queue_is_full(full):
    server, _, beside = full
    drain(server, beside)
    assert not any(served_in_drain(server, 0.5) for _ in range(3))
    server.write("release", "")
    for wire in server.wires:
        wire.close()
    assert server.wait_exit(15) == 0


def test_no_new_connection_is_served_in_a_drain_after_the_queue_was_full(serve):
    """The queue fills during the drain. When it has room again, the worker must not accept again."""
    server = serve(VIEWS, "--threads", 3, "--queue-max", 1, "--queue-timeout", "500ms", "--linger-timeout", 1)
    known_slow(server)
    kept = [server.connect() for _ in range(8)]
    canary, waker = server.connect(), server.connect()
    for wire in (*kept, canary, waker):
        assert wire.request(message(target="/fast")).status == 200
    for number, wire in enumerate(kept[:2]):
        wire.send(message(target="/block"))
        server.log.wait(r"entered %d\b" % (number + 2))
    drain(server, canary)
    # More requests than the queue holds, on connections that were open before. One waits until `queue_timeout`.
    for wire in kept[2:]:
        wire.send(message(target="/block"))
    assert [wire.read_response().status for wire in kept[2:]] == [503] * 6
    # This request wakes the worker after the queue has emptied.
    assert waker.request(message(target="/fast")).status == 200
    assert not any(served_in_drain(server, 0.5) for _ in range(4))
    server.write("release", "")
    assert [wire.read_response().status for wire in kept[:2]] == [200] * 2
    assert server.wait_exit(15) == 0


HOARDER = """
    import os, threading

    RELEASE, HOARD = threading.Event(), []

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/block":
            os.write(2, b"entered\\n")
            RELEASE.wait(30)
        elif path == "/release":
            RELEASE.set()
        elif path == "/hoard":
            try:
                while True:
                    HOARD.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                pass
        elif path == "/give":
            while HOARD:
                os.close(HOARD.pop())
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"ok"]
"""


def test_no_new_connection_is_served_in_a_drain_after_the_worker_ran_out_of_descriptors(serve):
    server = serve(
        HOARDER, "--graceful-timeout", 20, preexec=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
    )
    kept = [server.connect() for _ in range(6)]
    for wire in kept:
        assert wire.request(message()).status == 200
    blocked, canary, giver, releaser = kept[:4]
    blocked.send(message(target="/block"))
    server.log.wait("entered")
    assert giver.request(message(target="/hoard")).status == 200
    queued = server.connect()
    server.log.wait("cannot accept a connection")
    drain(server, canary)
    assert giver.request(message(target="/give")).status == 200
    assert not any(served_in_drain(server, 0.5) for _ in range(3))
    queued.close()
    assert releaser.request(message(target="/release")).status == 200
    assert blocked.read_response().status == 200
    assert server.wait_exit(15) == 0


def test_clients_are_refused_when_no_descriptor_is_left(serve):
    # They waited in the kernel's queue, without an answer, until they gave up.
    limit = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))  # noqa: E731
    server = serve(HOARDER, preexec=limit)
    giver = server.connect()
    assert giver.request(message()).status == 200
    assert giver.request(message(target="/hoard")).status == 200
    for _ in range(3):
        answer = server.connect().read_response()
        assert (answer.status, answer.value("Retry-After")) == (503, "1")
    assert giver.request(message(target="/give")).status == 200
    until(lambda: server.get().status == 200, what="service with free descriptors")
    assert len(server.log.find("cannot accept a connection")) == 1


def test_connections_above_the_cap_do_not_make_the_worker_spin(serve):
    server = serve(VIEWS, "--worker-connections", 10, "--linger-timeout", 30)
    # Ten are served, 64 get a 503, and the rest wait in the kernel's queue.
    wires = [server.connect() for _ in range(10 + 64 + 8)]
    quiet = wires[0]
    assert quiet.request(message(target="/fast")).status == 200
    quiet.assert_silent(0.5)
    before = cpu_ticks(server)
    quiet.assert_silent(2)
    assert cpu_ticks(server) - before <= 20
    for wire in wires[1:]:
        wire.close()
    until(lambda: server.get("/fast").status == 200, what="service after the clients have left")
