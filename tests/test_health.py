"""Health checks: answered by the server itself, even if the application is stuck."""

import pytest

from wire import message

APPLICATION = """
    import ctypes, threading, time

    GATE = threading.Event()
    CALLS = []

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        CALLS.append(path)
        if path == "/stuck":
            GATE.wait(60)
        if path == "/open":
            GATE.set()
        if path == "/hold":
            # A call into C that holds the interpreter.
            ctypes.PyDLL(None).usleep(int(environ["QUERY_STRING"]))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [",".join(CALLS).encode()]
"""

PATHS = ("--livez-path", "/livez", "--readyz-path", "/readyz")


def test_both_paths_answer_without_the_application(serve):
    server = serve(APPLICATION, *PATHS)
    for path in ("/livez", "/readyz"):
        response = server.get(path)
        assert (response.status, response.text) == (200, "ok\n")
        assert response.values("Content-Type") == ["text/plain; charset=utf-8"]
        assert response.values("Cache-Control") == ["no-store"]
    assert server.get("/livez?verbose").status == 200
    assert server.get("/").text == "/"


def test_head_is_answered_and_other_methods_are_the_applications(serve):
    server = serve(APPLICATION, *PATHS)
    response = server.exchange(message("HEAD", "/livez"), head_only=True)
    assert (response.status, response.values("Content-Length")) == (200, ["3"])
    assert server.exchange(message("POST", "/livez")).text == "/livez"


def test_unless_set_the_paths_are_the_applications(serve):
    server = serve(APPLICATION)
    assert server.get("/livez").text == "/livez"
    only_one = serve(APPLICATION, "--readyz-path", "/ready")
    assert only_one.get("/livez").text == "/livez"
    assert only_one.get("/ready").text == "ok\n"


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_a_path_is_answered_when_every_thread_is_stuck(serve, threads):
    server = serve(APPLICATION, *PATHS, "--threads", threads)
    stuck = [server.connect() for _ in range(threads + 2)]
    for wire in stuck:
        wire.send(message(target="/stuck"))
    with server.connect(timeout=5) as wire:
        for _ in range(20):
            assert wire.request(message(target="/livez")).status == 200
            assert wire.request(message(target="/readyz")).status == 200
    server.kill(9, server.workers()[0])


def test_a_path_is_answered_while_a_call_holds_the_interpreter(serve):
    server = serve(APPLICATION, *PATHS)
    holding = server.connect()
    holding.send(message(target="/hold?2000000"))
    with server.connect() as wire:
        asked = 0
        # Until the holding call is over, the server keeps answering.
        while not holding_is_over(holding):
            assert wire.request(message(target="/livez")).status == 200
            asked += 1
    assert asked > 20


def holding_is_over(wire):
    import select

    return bool(select.select([wire.socket], [], [], 0)[0])


def test_a_path_keeps_the_connection_alive_between_other_requests(serve):
    server = serve(APPLICATION, *PATHS)
    with server.connect() as wire:
        assert wire.request(message(target="/livez")).text == "ok\n"
        assert wire.request(message(target="/a")).text == "/a"
        wire.send(message(target="/livez") + message(target="/b") + message(target="/readyz"))
        assert [wire.read_response().text for _ in range(3)] == ["ok\n", "/a,/b", "ok\n"]


def test_health_checks_are_in_the_access_log_only_if_that_is_set(serve):
    silent = serve(APPLICATION, *PATHS, "--access-logfile", "-")
    silent.get("/livez")
    silent.get("/seen")
    silent.output.wait("GET /seen")
    assert not silent.output.find("livez")
    telling = serve(APPLICATION, *PATHS, "--access-logfile", "-", "--health-access-log")
    telling.get("/livez")
    telling.output.wait(r'"GET /livez HTTP/1.1" 200 3')
