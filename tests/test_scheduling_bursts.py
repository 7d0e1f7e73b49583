"""Bursts: many calls that begin at once get threads at once, and a request that arrives as a call ends is served."""

import os
import random
import threading
import time

import pytest

from wire import message

#: Above what 200 threads take to start on one busy core, far below `queue_timeout`, for which the fault waited.
START_S = 2.0


GATED = """
    import os, threading

    LOCK, GATES, ENTERED = threading.Lock(), {}, {}

    def application(environ, start_response):
        _, what, name = environ["PATH_INFO"].split("/")
        if what == "wait":
            with LOCK:
                gate = GATES.setdefault(name, threading.Event())
                ENTERED[name] = ENTERED.get(name, 0) + 1
                if ENTERED[name] == 200:
                    os.write(2, b"200 calls at %s\\n" % name.encode())
            gate.wait(30)
        elif what == "open":
            GATES[name].set()
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"ok"]
"""


@pytest.fixture
def one_core():
    """The test and its server share one core, as on a busy machine."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    yield
    os.sched_setaffinity(0, before)


def test_a_burst_of_200_slow_calls_starts_at_once_when_there_are_threads_for_it(one_core, serve):
    """Also when none of these calls comes back, or wakes up, before the last has begun."""
    server = serve(GATED, "--threads", 300, "--queue-timeout", 4)
    opener = server.connect()
    assert opener.request(message(target="/short/it")).status == 200
    for burst in ("first", "second", "third"):
        wires = []

        def client():
            wires.append(server.connect())
            wires[-1].send(message(target="/wait/" + burst))

        began = time.monotonic()
        clients = [threading.Thread(target=client) for _ in range(200)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        server.log.wait("200 calls at " + burst, timeout=6)
        assert time.monotonic() - began <= START_S
        assert opener.request(message(target="/open/" + burst)).status == 200
        assert [wire.read_response().status for wire in wires] == [200] * 200


NAP_S = 0.008

NAPS = (
    """
    import time

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/nap":
            time.sleep(%r)
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
        return [b"ok"]
"""
    % NAP_S
)


def test_one_thread_serves_a_request_that_arrives_as_a_long_call_ends(serve):
    """A request was forgotten when it came between the end of a call that had lost the lead and the thread's next wait."""
    server = serve(NAPS, "--threads", 1)
    long, queued, late = (server.connect(timeout=3) for _ in range(3))
    for wire in (long, queued, late):
        assert wire.request(message()).status == 200
    random_ = random.Random(1)
    end = time.monotonic() + 7
    for _ in range(900):
        if time.monotonic() > end:
            break
        began = time.perf_counter()
        long.send(message(target="/nap"))
        # Well within the call, so that it waits in the queue.
        while time.perf_counter() < began + NAP_S / 2:
            pass
        queued.send(message())
        target = began + NAP_S + random_.uniform(-0.0003, 0.0008)
        while time.perf_counter() < target:
            pass
        sent = time.perf_counter()
        late.send(message())
        assert late.read_response().status == 200
        assert time.perf_counter() - sent < START_S
        assert long.read_response().status == 200 and queued.read_response().status == 200
