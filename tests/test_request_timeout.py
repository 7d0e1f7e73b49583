"""`request_timeout`: a request that takes too long is answered, logged, interrupted, and its worker replaced if need be."""

import re
import signal
import socket

import pytest

from frames import Connection
from wire import Incomplete, message, until

APPLICATION = """
    import ctypes, os, threading, time
    from farrier import RequestTimeout

    GATE = threading.Event()
    SEEN = []

    def spin(seconds):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.01)

    def streaming(seconds):
        yield b"begun"
        spin(seconds)
        yield b"ended"

    def application(environ, start_response):
        path, query = environ["PATH_INFO"], environ["QUERY_STRING"].partition("&")[0]
        if path == "/spin":
            try:
                spin(float(query))
            except RequestTimeout as raised:
                SEEN.append("raised %s" % raised)
                raise
            finally:
                SEEN.append("finally")
        if path == "/careless":
            try:
                spin(float(query))
            except Exception:
                SEEN.append("swallowed")
        if path == "/lock":
            GATE.wait(float(query))
        if path == "/hold":
            ctypes.PyDLL(None).usleep(int(float(query) * 1e6))
        if path == "/stream":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return streaming(float(query))
        if path == "/length":
            start_response("200 OK", [("Content-Length", "10")])
            return streaming(float(query))
        start_response("200 OK", [("Content-Type", "text/plain")])
        if path == "/seen":
            return [",".join(SEEN).encode()]
        return [("%s from %d" % (path, os.getpid())).encode()]
"""


def test_the_client_gets_504_and_the_log_method_path_age_and_stacks(serve):
    server = serve(APPLICATION, "--request-timeout", 1, "--threads", 4)
    with server.connect() as wire:
        response = wire.request(message(target="/spin?60&secret=1"))
        assert (response.status, response.reason, response.closes) == (504, "Gateway Timeout", True)
        wire.assert_closed()
    server.log.wait(r"\[ERROR\] REQUEST TIMEOUT: GET /spin has run for 1\.[0-9] s on seat \d+ .*its client got 504")
    server.log.wait(r"Thread \S+ \(this request\):")
    server.log.wait(r"in spin$")
    server.log.wait(r"Overdue request came back: GET /spin after 1\.\d s")
    assert "secret" not in server.log.text
    # The exception passed through the application, and the worker keeps serving.
    assert server.get("/seen").text == "raised the request took longer than request_timeout,finally"
    assert "Traceback" not in server.log.text
    assert not server.log.find("replaced")


def test_the_stacks_of_all_threads_are_logged(serve):
    server = serve(APPLICATION, "--request-timeout", 1, "--threads", 4)
    waiting, spinning = server.connect(), server.connect()
    waiting.send(message(target="/lock?1.6"))
    server.get("/")
    spinning.send(message(target="/spin?60"))
    server.log.wait("REQUEST TIMEOUT: GET /lock")
    # The other call is not overdue yet; its stack is logged all the same.
    stacks = server.log.text
    assert re.search(r"Thread \S+ \(this request\):\n(.*\n)*?.*GATE\.wait", stacks), stacks
    assert re.search(r"Thread \S+:\n(.*\n)*?.*in spin", stacks), stacks
    assert waiting.read_response().status == 504
    assert spinning.read_response().status == 504


def test_other_requests_do_not_notice(serve):
    server = serve(APPLICATION, "--request-timeout", 1, "--threads", 4)
    late = server.connect()
    late.send(message(target="/spin?60"))
    with server.connect() as wire:
        first = wire.request(message()).text
        assert late.read_response().status == 504
        assert wire.request(message()).text == first
        # A call that ends in time, on the thread that was interrupted or on another.
        for _ in range(50):
            assert wire.request(message()).text == first


def test_a_call_in_time_is_not_touched(serve):
    server = serve(APPLICATION, "--request-timeout", 2)
    assert server.get("/spin?1").text.startswith("/spin from")
    assert server.get("/seen").text == "finally"
    assert not server.log.find("REQUEST TIMEOUT")


def test_without_a_limit_there_is_none(serve):
    server = serve(APPLICATION)
    assert server.get("/spin?2").text.startswith("/spin from")


@pytest.mark.parametrize("path", ["/stream", "/length"])
def test_a_response_that_has_begun_is_cut_off(serve, path):
    server = serve(APPLICATION, "--request-timeout", 1)
    with server.connect() as wire:
        wire.send(message(target=path + "?60"))
        with pytest.raises(Incomplete) as broken:
            wire.read_response()
    assert b"begun" in broken.value.received and b"ended" not in broken.value.received
    server.log.wait("REQUEST TIMEOUT: GET %s .*the connection was cut" % path)


def test_a_response_that_ends_with_the_connection_is_cut_off_visibly(serve):
    server = serve(APPLICATION, "--request-timeout", 1)
    with socket.create_connection(server.address, 15) as client:
        client.sendall(message(target="/stream?60", version="1.0"))
        with pytest.raises(ConnectionResetError):
            while client.recv(65536):
                pass


def test_except_exception_does_not_swallow_it(serve):
    server = serve(APPLICATION, "--request-timeout", 1)
    assert server.get("/careless?60").status == 504
    server.log.wait("Overdue request came back")
    assert server.get("/seen").text == ""


def test_a_worker_whose_call_does_not_come_back_is_replaced(serve):
    server = serve(APPLICATION, "--request-timeout", 1, "--graceful-timeout", 20)
    old = server.get("/").text
    assert server.get("/lock?600").status == 504
    server.log.wait(r"\[CRITICAL\] Request GET /lock has not come back 1 s after .*worker asks to be replaced")
    until(lambda: server.get("/").text != old, 15, "another worker to serve")
    # The old worker leaves without the call, long before the graceful timeout.
    pid = int(old.rpartition(" ")[2])
    until(lambda: pid not in server.workers(), 10, "the old worker to leave")


def test_a_worker_that_is_to_be_replaced_finishes_its_other_requests(serve):
    server = serve(APPLICATION, "--request-timeout", 3, "--threads", 8, "--graceful-timeout", 20)
    old = server.get("/").text.rpartition(" ")[2]
    stuck, working = server.connect(), server.connect()
    stuck.send(message(target="/lock?600"))
    assert stuck.read_response().status == 504
    working.send(message(target="/spin?2.5"))
    server.log.wait("worker asks to be replaced")
    response = working.read_response()
    assert (response.status, response.text) == (200, "/spin from " + old)


def test_one_thread_that_is_stuck_is_seen_too(serve):
    server = serve(APPLICATION, "--request-timeout", 1, "--threads", 1)
    assert server.get("/spin?60").status == 504
    assert server.get("/lock?600").status == 504
    server.log.wait("worker asks to be replaced")
    until(lambda: server.get("/").status == 200, 15, "another worker to serve")


def test_a_drain_does_not_wait_for_an_aborted_call(serve):
    server = serve(APPLICATION, "--request-timeout", 1, "--graceful-timeout", 30)
    wire = server.connect()
    wire.send(message(target="/lock?600"))
    server.log.wait("REQUEST TIMEOUT")
    server.kill(signal.SIGTERM)
    assert server.wait_exit(15) == 0


def test_given_up_streams_of_one_connection_do_not_end_a_drain_that_others_need(serve):
    server = serve(
        APPLICATION, "--request-timeout", 1, "--graceful-timeout", 30, "--http2-cleartext", "prior-knowledge"
    )
    old = server.workers()
    wire = server.connect()
    wire.send(message("POST", body=b"content")[:-1])
    with Connection(server.address) as connection:
        for _ in range(2):
            connection.open(path="/lock?600")
        server.log.wait("worker asks to be replaced", count=2)
        until(lambda: server.workers() != old, 15, "another worker")
        wire.assert_silent(1.5)
        wire.send(b"t")
        assert wire.read_response().status == 200
    until(lambda: not set(old) & set(server.workers()), 15, "the old worker to leave")


def test_requests_in_the_queue_are_not_overdue(serve):
    server = serve(APPLICATION, "--request-timeout", 2, "--threads", 1)
    wires = [server.connect() for _ in range(4)]
    for wire in wires:
        wire.send(message(target="/spin?1"))
    # The last waits for three seconds and runs for one.
    assert [wire.read_response().status for wire in wires] == [200] * 4


def test_a_call_that_holds_the_interpreter_is_answered_named_and_its_worker_replaced(serve):
    server = serve(APPLICATION, "--request-timeout", 1, "--timeout", 5)
    old = int(server.get("/").text.rpartition(" ")[2])
    response = server.get("/hold?600")
    assert response.status == 504
    server.log.wait("REQUEST TIMEOUT: GET /hold")
    server.log.wait(r"The interpreter is not available.*calls that run")
    server.log.wait(r"seat \d+: GET /hold for 1\.\d s; thread \d+ waits.* \(system call \d+\)")
    until(lambda: server.workers() and old not in server.workers(), 15, "another worker to take its place")
    assert server.get("/").status == 200


def test_a_held_interpreter_is_logged_even_without_a_limit(serve):
    server = serve(APPLICATION, "--timeout", 5, "--request-timeout", 0)
    server.get("/")
    holding = server.connect()
    holding.send(message(target="/hold?600"))
    server.log.wait("No thread can take the interpreter")
    server.log.wait(r"seat \d+: a request for \d")
    server.log.wait(r"WORKER TIMEOUT")
    server.wait_booted(2)
    # Requests that the killed worker had accepted are lost; later ones are not.
    server.log.wait(r"exited with code 1")
    assert server.get("/").status == 200


def test_the_access_log_shows_504(serve):
    server = serve(APPLICATION, "--request-timeout", 1, "--access-logfile", "-")
    assert server.get("/spin?60").status == 504
    server.output.wait(r'"GET /spin\?60 HTTP/1.1" 504 0')


def test_a_timeout_that_is_set_is_the_limit_of_a_request(serve):
    server = serve(APPLICATION, "--timeout", 1, "--worker-class", "gthread", "--threads", 4)
    assert server.get("/spin?60").status == 504
    server.log.wait("REQUEST TIMEOUT: GET /spin .*request_timeout is 1 s")


def test_the_exception_is_documented():
    import farrier

    assert issubclass(farrier.RequestTimeout, BaseException)
    assert not issubclass(farrier.RequestTimeout, Exception)
    assert "request_timeout" in farrier.RequestTimeout.__doc__


HOLDING = """
    import os, threading

    GATE = threading.Event()

    def application(environ, start_response):
        if environ["PATH_INFO"].startswith("/hold"):
            wait_for_ever()
        GATE.set() if environ["PATH_INFO"] == "/release" else None
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"done"]

    def wait_for_ever():
        os.write(2, b"entered\\n")
        while not GATE.wait(0.1):
            pass
"""

HELD = (
    r"\[CRITICAL\] CALLS DO NOT RETURN: calls of one route, such as GET /hold/\d, have held 2 of 4 threads for 1 s "
    r"\(see threads\)\. "
)


def hold(server, *targets):
    wires = [server.connect() for _ in targets]
    for wire, target in zip(wires, targets):
        wire.send(message(target=target))
    server.log.wait("entered", count=len(targets))
    return wires


def test_a_route_that_holds_half_of_the_threads_is_named_with_its_stacks(serve):
    # Without request_timeout a deadlock was answered with 503 until a restart, and nothing in the log said why.
    server = serve(HOLDING, "--threads", 4, "--held-route-after", 1)
    wires = hold(server, "/hold/1", "/hold/2")
    server.log.wait(HELD + ".*Set request_timeout")
    server.log.wait(r", in wait_for_ever", count=2)
    # Other routes go on.
    assert server.get("/release").status == 200
    assert [wire.read_response().status for wire in wires] == [200, 200]


def test_a_route_that_goes_on_holding_threads_is_named_once(serve):
    server = serve(HOLDING, "--threads", 4, "--held-route-after", 1, "--request-timeout", 4)
    hold(server, "/hold/1", "/hold/2")
    # The watch looks once a second until then.
    server.log.wait("REQUEST TIMEOUT", timeout=30)
    assert len(server.log.find(HELD + ".*request_timeout ends each after 4 s")) == 1


def test_calls_of_several_routes_do_not_hold_a_route(serve):
    server = serve(HOLDING, "--threads", 4, "--held-route-after", 1, "--request-timeout", 3)
    hold(server, "/hold-one", "/hold-two")
    # By then both have been held for longer than the watch waits.
    server.log.wait("REQUEST TIMEOUT", timeout=30)
    assert not server.log.find("CALLS DO NOT RETURN")
