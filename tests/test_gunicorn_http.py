"""Gunicorn's settings about HTTP: they mean what its users expect, without its pitfalls."""

import json
import time

import pytest

from wire import message

DUMP = """
    import json

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({key: value for key, value in environ.items() if isinstance(value, (str, bool))}).encode()]
"""


def environ_of(server, *arguments, **options):
    response = server.exchange(message(*arguments, **options))
    assert response.status == 200, response
    return json.loads(response.body)


@pytest.mark.parametrize("size", [100, 8190, 20000])
def test_the_request_line_has_the_limit_that_is_asked_for(serve, size):
    server = serve(DUMP, "--limit-request-line", size)
    longest = "/" + "a" * (size - len("GET / HTTP/1.1"))
    assert server.get(longest).status == 200
    assert server.get(longest + "a").status == 414


def test_zero_leaves_the_request_line_to_the_limit_of_the_head(serve):
    server = serve(DUMP, "--limit-request-line", 0)
    assert server.get("/" + "a" * 30000).status == 200
    assert server.get("/" + "a" * 70000).status == 431


def test_a_field_has_the_limit_that_is_asked_for(serve):
    server = serve(DUMP, "--limit-request-field_size", 100000)
    assert server.get(fields=[("X-Long", "a" * 99000)]).status == 200
    assert server.get(fields=[("X-Long", "a" * 100001)]).status == 431


def test_zero_leaves_a_field_and_their_number_to_the_limit_of_the_head(serve):
    server = serve(DUMP, "--limit-request-field_size", 0, "--limit-request-fields", 0)
    assert server.get(fields=[("X-Long", "a" * 30000)]).status == 200
    assert server.get(fields=[("X-%d" % number, "1") for number in range(500)]).status == 200


def test_folded_fields_are_a_setting(serve):
    raw = b"GET / HTTP/1.1\r\nHost: h\r\nX-Folded: one\r\n two\r\n\r\n"
    assert serve(DUMP).exchange(raw).status == 400
    environ = json.loads(serve(DUMP, "--permit-obsolete-folding").exchange(raw).body)
    assert environ["HTTP_X_FOLDED"].split() == ["one", "two"]


def test_unconventional_methods_are_a_setting(serve):
    assert serve(DUMP).exchange(message("get")).status == 400
    server = serve(DUMP, "--permit-unconventional-http-method")
    assert environ_of(server, "get")["REQUEST_METHOD"] == "get"


@pytest.mark.parametrize("value, expected", [("nginx", ["nginx"]), ("", []), ("none", [])])
def test_the_server_field_can_be_changed_and_removed(serve, value, expected):
    server = serve(DUMP, "--server-header", value)
    assert server.get().values("Server") == expected
    assert server.exchange(b"broken\r\n\r\n").values("Server") == expected


def test_keepalive_zero_closes_after_each_response(serve):
    server = serve(DUMP, "--keep-alive", 0)
    with server.connect() as wire:
        assert wire.request(message()).closes
        wire.assert_closed()


def test_sync_makes_one_call_at_a_time_and_keeps_connections(serve):
    server = serve(
        """
        import threading, time

        LOCK = threading.Lock()

        def application(environ, start_response):
            alone = LOCK.acquire(blocking=False)
            time.sleep(0.02)
            if alone:
                LOCK.release()
            start_response("200 OK", [])
            return [("%s %s" % (alone, environ["wsgi.multithread"])).encode()]
    """,
        "--worker-class",
        "sync",
    )
    wires = [server.connect() for _ in range(20)]
    for _ in range(3):
        for wire in wires:
            wire.send(message())
        for wire in wires:
            response = wire.read_response()
            assert (response.text, response.closes) == ("True False", False)


@pytest.mark.parametrize(
    "flags, threads, processes",
    [
        ((), True, False),
        (("-k", "sync", "-w", 2), False, True),
        (("-k", "gthread", "--threads", 2), True, False),
        (("-k", "sync", "--threads", 2), True, False),
        (("--threads", 1), False, False),
    ],
)
def test_environ_has_multithread_and_multiprocess(serve, flags, threads, processes):
    environ = environ_of(serve(DUMP, *flags))
    assert (environ["wsgi.multithread"], environ["wsgi.multiprocess"]) == (threads, processes)


def test_environ_has_the_keys_that_gunicorn_sets(serve):
    environ = environ_of(serve(DUMP), target="/a%20b?c=d")
    assert environ["RAW_URI"] == "/a%20b?c=d"
    assert environ["wsgi.input_terminated"] is True
    # The socket belongs to the server: an application that wrote to it would break the protocol.
    assert "gunicorn.socket" not in environ


def test_a_full_queue_answers_at_once(serve):
    server = serve(
        """
        import threading
        GATE = threading.Event()

        def application(environ, start_response):
            GATE.wait(30)
            start_response("200 OK", [])
            return [b"done"]
    """,
        "--threads",
        1,
        "--queue-max",
        1,
    )
    wires = [server.connect() for _ in range(4)]
    for wire in wires:
        wire.send(message())
    began = time.monotonic()
    refused = server.get()
    assert (refused.status, refused.values("Retry-After")) == (503, ["1"])
    assert time.monotonic() - began < 10
    server.kill(9, server.workers()[0])


HINTS = """
    def application(environ, start_response):
        hint = environ["wsgi.early_hints"]
        if environ["PATH_INFO"] == "/bad":
            hint([("X", "a\\r\\nb")])
        hint([("Link", "</style.css>; rel=preload"), ("Link", "</app.js>; rel=preload")])
        start_response("200 OK", [("Content-Type", "text/plain")])
        if environ["PATH_INFO"] == "/late":
            def late():
                yield b"begun "
                hint([("Link", "</late.css>; rel=preload")])
                yield b"ended"
            return late()
        return [b"done"]
"""


def test_early_hints_arrive_before_the_response(serve):
    server = serve(HINTS)
    with server.connect() as wire:
        for _ in range(2):
            hint = wire.request(message())
            assert (hint.status, hint.reason) == (103, "Early Hints")
            assert hint.fields == [("Link", "</style.css>; rel=preload"), ("Link", "</app.js>; rel=preload")]
            response = wire.read_response()
            assert (response.status, response.text, response.closes) == (200, "done", False)


def test_early_hints_that_come_too_late_are_left_out(serve):
    server = serve(HINTS)
    with server.connect() as wire:
        assert wire.request(message(target="/late")).status == 103
        assert wire.read_response().text == "begun ended"


def test_a_client_of_http_1_0_gets_no_early_hints(serve):
    assert serve(HINTS).exchange(message(version="1.0")).text == "done"


def test_early_hints_cannot_split_the_response(serve):
    assert serve(HINTS).get("/bad").status == 500


def test_early_hints_are_for_the_thread_of_the_request(serve):
    server = serve("""
        import threading

        def application(environ, start_response):
            raised = []
            def hint():
                try:
                    environ["wsgi.early_hints"]([])
                except RuntimeError as error:
                    raised.append(str(error))
            thread = threading.Thread(target=hint)
            thread.start()
            thread.join()
            start_response("200 OK", [])
            return [raised[0].encode()]
    """)
    assert "thread of their request" in server.get().text


def test_504_can_follow_early_hints(serve):
    server = serve(
        """
        import time

        def application(environ, start_response):
            environ["wsgi.early_hints"]([("Link", "</style.css>; rel=preload")])
            while True:
                time.sleep(0.01)
    """,
        "--request-timeout",
        1,
    )
    with server.connect() as wire:
        assert wire.request(message()).status == 103
        assert wire.read_response().status == 504
