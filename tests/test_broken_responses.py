"""Responses that end with their connection and break off: the client must see a reset, never an orderly end (RFC 9112 §8)."""

import socket
import time

import pytest

from gateway import uwsgi
from wire import message, until

APPLICATION = """
    import time

    def broken(pieces, pause):
        for piece in pieces:
            yield piece
            time.sleep(pause)
        raise RuntimeError("broken off")

    def endless():
        while True:
            yield b"x" * 65536

    def slow():
        yield b"first"
        time.sleep(30)
        yield b"second"

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        start_response("200 OK", [("Content-Type", "text/plain")])
        if path == "/fast":
            return broken([b"first"], 0)
        if path == "/slow":
            return broken([b"first", b"second"], 0.05)
        if path == "/large":
            return broken([b"x" * (20 << 20)], 0)
        if path == "/endless":
            return endless()
        if path == "/sleeps":
            return slow()
        if path == "/list":
            return iter([b"x" * (20 << 20)])
        return iter([b"whole"])
"""


def end_of(wire, raw, pause=0):
    """How a connection ends: ("reset" or "end", what came before)."""
    if raw:
        wire.send(raw)
    time.sleep(pause)
    received = bytearray()
    try:
        while data := wire.socket.recv(1 << 20):
            received += data
    except ConnectionResetError:
        return "reset", bytes(received)
    return "end", bytes(received)


FORMS = {
    "http10": ("http", lambda target: message(target=target, version="1.0")),
    "uwsgi": ("uwsgi", lambda target: uwsgi(target=target)),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("target", ["/fast", "/slow"])
def test_an_application_that_breaks_off_is_seen(serve, form, target):
    protocol, request = FORMS[form]
    server = serve(APPLICATION, "--threads", 4, "--protocol", protocol)
    # By the leader, by a thread that has lost the lead, and by one that never had it.
    for _ in range(6):
        how, received = end_of(server.connect(), request(target))
        assert how == "reset" and b"200 OK" in received
    how, received = end_of(server.connect(), request("/"))
    assert how == "end" and received.endswith(b"whole")


@pytest.mark.parametrize("form", FORMS)
def test_one_with_unsent_bytes_is_seen(serve, form):
    protocol, request = FORMS[form]
    server = serve(APPLICATION, "--threads", 4, "--protocol", protocol)
    how, received = end_of(server.connect(receive_buffer=4096), request("/large"), pause=0.5)
    assert how == "reset" and len(received) < 20 << 20
    how, received = end_of(server.connect(receive_buffer=4096), request("/list"), pause=0.5)
    assert how == "end" and len(received) > 20 << 20


@pytest.mark.parametrize("form", FORMS)
def test_a_call_that_is_cut_for_its_time_is_seen(serve, form):
    protocol, request = FORMS[form]
    server = serve(APPLICATION, "--threads", 4, "--protocol", protocol, "--request-timeout", 1)
    how, received = end_of(server.connect(), request("/sleeps"))
    assert how == "reset" and received.endswith(b"first")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("target", ["/list", "/endless"])
def test_a_client_that_is_cut_for_its_slowness_sees_it(serve, form, target):
    protocol, request = FORMS[form]
    flags = ["--threads", 4, "--protocol", protocol, "--write-timeout", 1, "--log-level", "debug"]
    server = serve(APPLICATION, *flags)
    wire = server.connect(receive_buffer=4096)
    wire.send(request(target))
    until(lambda: server.log.find("took no bytes for the write time-out"), 10, "a client that is cut")
    until(lambda: state_of(wire) != "open", 5, "the end of the connection")
    how, received = end_of(wire, b"")
    assert how == "reset" and len(received) < 20 << 20


def state_of(wire):
    """Whether the kernel has seen the connection end."""
    try:
        wire.socket.getpeername()
    except OSError:
        return "closed"
    return "open" if wire.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == 1 else "closed"
