"""A graceful stop: readiness first, then the drain; no running request is cut off."""

import signal
import time

import pytest

from process import paused
from wire import message, until

APPLICATION = """
    import threading

    GATE = threading.Event()

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/stuck":
            GATE.wait(60)
        if environ["PATH_INFO"] == "/open":
            GATE.set()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["PATH_INFO"].encode()]
"""


def test_readiness_says_503_while_everything_is_still_served(serve):
    server = serve(APPLICATION, "--drain-delay", 3, "--readyz-path", "/readyz", "--livez-path", "/livez", "-w", 2)
    assert server.get("/readyz").status == 200
    kept = server.connect()
    assert not kept.request(message(target="/before")).closes
    began = time.monotonic()
    server.kill(signal.SIGTERM)
    until(lambda: server.get("/readyz").status == 503, 2, "readiness to say 503")
    assert server.get("/livez").status == 200
    # New connections and kept ones go on as before.
    assert not kept.request(message(target="/during")).closes
    fresh = server.connect()
    assert not fresh.request(message(target="/new")).closes
    server.log.wait("Serving for 3 s more before the drain begins")
    assert server.wait_exit() == 0
    assert time.monotonic() - began >= 3


def test_a_reload_does_not_wait_and_is_ready_all_the_time(serve):
    server = serve(APPLICATION, "--drain-delay", 600, "--readyz-path", "/readyz")
    server.kill(signal.SIGHUP)
    until(lambda: server.get("/readyz").status == 200 and server.log.find("Reloaded"), 20, "the reload")
    # A second TERM does not wait either.
    server.kill(signal.SIGTERM)
    server.log.wait("Serving for 600 s more")
    server.kill(signal.SIGTERM)
    assert server.wait_exit() == 0


def drain(server):
    """Stops the server and returns when its worker has begun to drain."""
    canary = server.connect()
    canary.request(message())
    server.kill(signal.SIGTERM)
    until(lambda: canary.request(message()).closes, 10, "an answer that closes its connection")


@pytest.mark.parametrize("flags", [(), ("--drain-delay", 1)])
def test_kept_connections_hear_that_they_are_closed(serve, flags):
    server = serve(APPLICATION, *flags)
    idle = server.connect()
    assert not idle.request(message(target="/a")).closes
    drain(server)
    # An idle connection may still deliver a request that was already sent.
    response = idle.request(message(target="/late"))
    assert (response.status, response.closes) == (200, True)
    idle.assert_closed()
    assert server.wait_exit() == 0


def test_a_call_in_flight_is_answered_in_a_drain(serve):
    server = serve(APPLICATION, "--threads", 4)
    waiting, opening = server.connect(), server.connect()
    opening.request(message(target="/a"))
    waiting.send(message(target="/stuck"))
    drain(server)
    assert opening.request(message(target="/open")).closes
    response = waiting.read_response()
    assert (response.status, response.text, response.closes) == (200, "/stuck", True)
    assert server.wait_exit() == 0


def test_connections_that_wait_to_be_accepted_are_served(serve):
    server = serve(APPLICATION)
    assert server.get("/first").status == 200
    worker = server.workers()[0]
    with paused(worker):
        queued = [server.connect() for _ in range(20)]
        for number, wire in enumerate(queued):
            wire.send(message(target="/queued%d" % number))
        server.kill(signal.SIGTERM)
        server.log.wait("Handling signal: term")
    for number, wire in enumerate(queued):
        response = wire.read_response()
        assert (response.status, response.text) == (200, "/queued%d" % number)
        # A connection whose request was answered before the worker got the signal is closed as idle.
        if not response.closes:
            wire.assert_closed()
    assert server.wait_exit() == 0
