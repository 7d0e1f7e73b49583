"""Persistent connections: pipelining, keep-alive, and closing (RFC 9112 §9)."""

import pytest

from wire import Incomplete, message, until

ECHO = """
    import threading

    EVENTS = {}

    def event(name):
        return EVENTS.setdefault(name, threading.Event())

    def application(environ, start_response):
        path, query = environ["PATH_INFO"], environ["QUERY_STRING"]
        body = path.encode("latin-1") + b" " + environ["wsgi.input"].read()
        if path == "/block":
            ENTERED.append(query)
            event(query).wait(20)
        if path == "/release":
            event(query).set()
        if path == "/entered":
            body = "\\n".join(ENTERED).encode()
        if path == "/generator":
            start_response("200 OK", [])
            return (part for part in (b"a", b"b"))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body]

    ENTERED = []
"""


@pytest.fixture(scope="module")
def echo(serve_module):
    return serve_module(ECHO)


def entered(server, name):
    until(lambda: name in server.get("/entered").text.split("\n"), what="the view to be entered")


def test_pipelined_requests_are_answered_in_order(echo):
    raw = b"".join(message("POST" if n % 3 else "GET", "/%d" % n, b"body%d" % n if n % 3 else b"") for n in range(200))
    with echo.connect() as wire:
        wire.send(raw)
        for n in range(200):
            assert wire.read_response().body == b"/%d " % n + (b"body%d" % n if n % 3 else b"")


def test_many_pipelined_requests_are_all_answered_though_the_client_reads_late(echo):
    with echo.connect() as wire:
        for start in range(0, 2000, 100):
            wire.send(b"".join(message(target="/%d" % n) for n in range(start, start + 100)))
        for n in range(2000):
            assert wire.read_response().body == b"/%d " % n


def test_pipelined_requests_are_served_one_at_a_time(echo):
    with echo.connect() as wire:
        wire.send(message(target="/block?one") + message(target="/block?two"))
        entered(echo, "one")
        wire.assert_silent(0.2)
        assert "two" not in echo.get("/entered").text.split("\n")
        echo.get("/release?one")
        assert wire.read_response().status == 200
        entered(echo, "two")
        echo.get("/release?two")
        assert wire.read_response().status == 200


def test_a_connection_serves_many_requests(echo):
    with echo.connect() as wire:
        for n in range(1500):
            response = wire.request(message(target="/%d" % n))
            assert response.body == b"/%d " % n and not response.closes


@pytest.mark.parametrize("value", ["close", "Close", "keep-alive, close", "close, keep-alive", "x, close"])
def test_connection_close_is_answered_and_obeyed(echo, value):
    with echo.connect() as wire:
        response = wire.request(message(fields=[("Connection", value)]) + message(target="/never"))
        assert response.status == 200 and response.closes
        wire.assert_closed()


def test_http_1_0_closes_by_default(echo):
    with echo.connect() as wire:
        response = wire.request(message(version="1.0"))
        assert response.status == 200 and response.closes
        wire.assert_closed()


def test_http_1_0_with_keep_alive_stays_open_and_says_so(echo):
    with echo.connect() as wire:
        for _ in range(3):
            response = wire.request(message(version="1.0", fields=[("Connection", "keep-alive")]))
            assert "keep-alive" in (response.value("Connection") or "").lower()
            assert response.value("Content-Length")


@pytest.mark.parametrize("fields", [[], [("Connection", "keep-alive")]])
def test_http_1_0_never_gets_chunks(echo, fields):
    with echo.connect() as wire:
        response = wire.request(message(target="/generator", version="1.0", fields=fields))
        assert response.body == b"ab" and response.chunks is None and response.closes
        wire.assert_closed()


def test_a_half_closed_client_still_gets_its_answer(echo):
    with echo.connect() as wire:
        wire.send(message("POST", "/half", b"body"))
        wire.half_close()
        assert wire.read_response().body == b"/half body"
        wire.assert_closed()


def test_a_client_that_half_closes_during_a_slow_call_still_gets_its_answer(echo):
    with echo.connect() as wire:
        wire.send(message(target="/block?half"))
        entered(echo, "half")
        wire.half_close()
        wire.assert_silent(0.1)
        echo.get("/release?half")
        assert wire.read_response().body == b"/block "
        wire.assert_closed()


def test_all_requests_pipelined_before_a_half_close_are_answered(echo):
    with echo.connect() as wire:
        wire.send(b"".join(message(target="/%d" % n) for n in range(50)))
        wire.half_close()
        for n in range(50):
            assert wire.read_response().body == b"/%d " % n
        wire.assert_closed()


def test_a_half_open_socket_costs_no_cpu(echo):
    """CVE-2024-49769: a connection closed by the client in the middle of its head must not spin."""
    from test_scheduling import cpu_ticks

    wires = [echo.connect() for _ in range(20)]
    for wire in wires[:10]:
        wire.send(b"GET / HT")
        wire.half_close()
    for wire in wires[10:]:
        wire.send(message(target="/block?spin"))
        wire.half_close()
    entered(echo, "spin")
    before = cpu_ticks(echo)
    wires[-1].assert_silent(1)
    # In a second a spinning thread takes a hundred; checking ten running calls takes some.
    assert cpu_ticks(echo) - before <= 15
    echo.get("/release?spin")
    for wire in wires[10:]:
        assert wire.read_response().status == 200


def test_a_413_is_readable_by_a_client_that_sends_20_mb_first(echo):
    for _ in range(3):
        with echo.connect() as wire:
            wire.send_anyway(message("POST", body=b"").replace(b"Content-Length: 0", b"Content-Length: 20000000"))
            for _ in range(20):
                wire.send_anyway(b"x" * 1000000)
            assert wire.read_response().status == 413
            wire.assert_closed()


def test_a_400_is_readable_though_more_was_sent_behind_it(echo):
    for _ in range(10):
        with echo.connect() as wire:
            wire.send_anyway(b"BROKEN\r\n\r\n" + b"x" * 300000)
            assert wire.read_response().status == 400
            wire.assert_closed()


def test_clients_that_leave_at_any_point_do_not_affect_others(echo):
    raw = message("POST", "/leaving", b"body" * 10)
    for cut in range(0, len(raw) + 1, 7):
        for leave in ("close", "reset"):
            wire = echo.connect()
            wire.send(raw[:cut])
            getattr(wire, leave)()
    assert echo.get("/still").body == b"/still "


def test_a_client_that_leaves_during_its_call_does_not_affect_others(echo):
    wire = echo.connect()
    wire.send(message(target="/block?gone") * 3)
    entered(echo, "gone")
    wire.reset()
    echo.get("/release?gone")
    assert echo.get("/still").body == b"/still "


def test_a_response_cut_by_the_server_is_never_followed_by_another_one(host):
    app = host("""
        def application(environ, start_response):
            start_response("200 OK", [("Content-Length", "10")])
            yield b"sent"
            raise ValueError("broken")
    """)
    with app.connect() as wire:
        wire.send(app.message() * 3)
        with pytest.raises(Incomplete) as incomplete:
            wire.read_response()
        assert incomplete.value.received.endswith(b"\r\n\r\nsent")
