"""wsgi.input (PEP 3333, "Input and Error Streams"): every way to read, in every mix, compared with io.BytesIO."""

import io
import json
import random

import pytest

from wire import chunked, message

READER = """
    import json

    def application(environ, start_response):
        stream, results = environ["wsgi.input"], []
        for name, arguments in json.loads(environ["HTTP_X_STEPS"]):
            if name == "next":
                result = next(iter(stream), b"")
            elif name == "iterate":
                result = list(stream)
            else:
                result = getattr(stream, name)(*arguments)
            parts = result if isinstance(result, list) else [result]
            assert all(type(part) is bytes for part in parts), result
            results.append([part.decode("latin-1") for part in parts])
        return answer(start_response, json.dumps(results))
"""

BODIES = {
    "empty": b"",
    "one byte": b"x",
    "no line end": b"abc",
    "lines": b"one\ntwo\n\nfour\r\nfive",
    "only line ends": b"\n\n\n",
    "every byte": bytes(range(256)) * 3,
    "long line": b"a" * 70000 + b"\n" + b"b" * 70000,
}


@pytest.fixture(scope="module")
def reader(host):
    return host(READER)


def expected(body, steps):
    stream, results = io.BytesIO(body), []
    for name, arguments in steps:
        if name == "next":
            result = next(stream, b"")
        elif name == "iterate":
            result = list(stream)
        else:
            result = getattr(stream, name)(*arguments)
        results.append([part.decode("latin-1") for part in (result if isinstance(result, list) else [result])])
    return results


def check(reader, body, steps):
    response = reader.post(body, fields=[("X-Steps", json.dumps(steps))])
    assert response.status == 200, response
    assert json.loads(response.body) == expected(body, steps)


STEPS = {
    "read() gives all": [["read", []]],
    "read(-1) gives all": [["read", [-1]]],
    "read(n) gives at most n": [["read", [2]], ["read", [1]]],
    "read(0) gives nothing and takes nothing": [["read", [0]], ["read", []]],
    "read(n) beyond the end gives what is there": [["read", [1000000]]],
    "readline() gives one line with its end": [["readline", []], ["readline", []], ["readline", []]],
    "readline(n) gives at most n of a line and leaves the rest": [
        ["readline", [2]],
        ["readline", [2]],
        ["readline", [100]],
    ],
    "readline(0) takes nothing": [["readline", [0]], ["readline", []]],
    "readline(-1) is readline()": [["readline", [-1]], ["readline", [-1]]],
    "readlines() gives every line": [["readlines", []]],
    "readlines(hint) stops after the line that reaches the hint": [
        ["readlines", [4]],
        ["readlines", [1]],
        ["readlines", []],
    ],
    "readlines(0) gives every line": [["readlines", [0]]],
    "__iter__ gives every line": [["iterate", []]],
    "mixed": [["read", [1]], ["readline", []], ["next", []], ["readlines", [1]], ["read", [3]], ["iterate", []]],
    "after the end b'' for ever": [
        ["read", []],
        ["read", []],
        ["read", [5]],
        ["readline", []],
        ["readlines", []],
        ["next", []],
        ["read", []],
    ],
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS.keys())
def test_steps(reader, body, steps):
    check(reader, body, steps)


@pytest.mark.parametrize("seed", range(12))
def test_any_mix_of_calls_reads_like_a_file(reader, seed):
    random_ = random.Random(seed)
    body = bytes(random_.choice(b"ab\n\r") for _ in range(random_.choice([10, 300, 9000])))
    steps = []
    for _ in range(30):
        name = random_.choice(["read", "readline", "readlines", "next"])
        steps.append([name, [] if name == "next" else [random_.choice([1, 2, 3, 7, 64, 1000])]])
    check(reader, body, steps + [["read", []]])


def test_a_body_beyond_the_memory_bound_reads_the_same(serve_module, tmp_path_factory):
    from conftest import host_on

    reader = host_on(serve_module, tmp_path_factory.mktemp("hosted"), "--body-buffer-bytes", "4096")(READER)
    body = b"".join(b"line %d\n" % number for number in range(3000))
    for steps in (
        [["read", []]],
        [["readline", []], ["read", [4090]], ["readline", []], ["iterate", []], ["read", []]],
    ):
        check(reader, body, steps)


@pytest.mark.parametrize("size", [3, 100, 200000])
def test_seek_and_tell_work_on_a_buffered_body(host, size):
    app = host("""
        def application(environ, start_response):
            stream = environ["wsgi.input"]
            first = stream.read(2)
            SEEN.append(stream.tell())
            stream.seek(0)
            again = stream.read(2)
            stream.seek(-1, 2)
            last = stream.read()
            stream.seek(1)
            stream.seek(1, 1)
            SEEN.append([stream.tell(), first == again, last.decode()])
            return answer(start_response, stream.read())
    """)
    body = b"a" * (size - 1) + b"z"
    assert app.post(body).body == body[2:]
    assert app.seen() == [2, [2, True, "z"]]


def test_reading_never_goes_past_the_end_into_the_next_request(host):
    app = host("""
        def application(environ, start_response):
            stream = environ["wsgi.input"]
            return answer(start_response, stream.read(100000) + stream.readline() + stream.read())
    """)
    with app.connect() as wire:
        wire.send(app.message("POST", body=b"first") + app.message("POST", body=b"second"))
        assert wire.read_response().body == b"first"
        assert wire.read_response().body == b"second"


@pytest.mark.parametrize("size", [5, 65536, 3000000])
def test_a_body_that_the_application_ignores_does_not_disturb_the_next_request(host, size):
    app = host("""
        def application(environ, start_response):
            return answer(start_response, environ["PATH_INFO"])
    """)
    with app.connect() as wire:
        wire.send(app.message("POST", "/one", b"x" * size))
        assert wire.read_response().body == b"/one"
        wire.send(app.message("GET", "/two"))
        assert wire.read_response().body == b"/two"


def test_without_a_body_reading_gives_nothing_and_does_not_wait(reader):
    response = reader.get(
        fields=[("X-Steps", json.dumps([["read", []], ["read", [10]], ["readline", []], ["readlines", []]]))]
    )
    assert json.loads(response.body) == [[""], [""], [""], []]


def test_a_body_may_still_be_read_while_the_response_is_produced(host):
    app = host("""
        def application(environ, start_response):
            start_response("200 OK", [])
            for line in environ["wsgi.input"]:
                yield line.upper()
    """)
    assert app.post(b"a\nb\nc").body == b"A\nB\nC"


def test_a_chunked_body_reads_the_same(reader):
    steps = [["readline", []], ["read", [2]], ["readlines", []]]
    raw = message(
        "POST", fields=[("X-App", reader.name), ("X-Steps", json.dumps(steps)), ("Transfer-Encoding", "chunked")]
    )
    raw = raw.replace(b"Content-Length: 0\r\n", b"")
    with reader.connect() as wire:
        response = wire.request(raw + chunked([b"on", b"e\ntw", b"o\nthr", b"ee"]))
    assert json.loads(response.body) == expected(b"one\ntwo\nthree", steps)


@pytest.mark.parametrize(
    "framing, sent",
    [
        ("Content-Length: 100", b"only a part"),
        ("Transfer-Encoding: chunked", b"5\r\nabcde\r\n"),
        ("Transfer-Encoding: chunked", b"5\r\nabcde\r\n0\r\n"),
        ("Transfer-Encoding: chunked", b"5\r\nabc"),
    ],
)
def test_a_body_that_broke_off_is_never_taken_for_a_complete_one(host, framing, sent):
    app = host("""
        def application(environ, start_response):
            try:
                SEEN.append(environ["wsgi.input"].read().decode())
            except Exception:
                SEEN.append("raised")
            return answer(start_response)
    """)
    with app.connect() as wire:
        wire.send(("POST / HTTP/1.1\r\nHost: a\r\nX-App: %s\r\n%s\r\n\r\n" % (app.name, framing)).encode() + sent)
        wire.half_close()
        while wire._more():
            pass
        assert b" 200 " not in wire.pending
    # The whole request is buffered before the call, so the application is not called at all.
    assert app.seen() in ([], ["raised"])


TWO_READERS = """
    import threading

    def application(environ, start_response):
        body = b"Hello"
        if environ["REQUEST_METHOD"] == "POST":
            stream, wrong = environ["wsgi.input"], []

            def read():
                for _ in range(1000):
                    # The other thread may move the position between the two.
                    stream.seek(0)
                    if stream.read(65536).strip(b"q"):
                        wrong.append("mixed")

            threads = [threading.Thread(target=read, daemon=True) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            body = b"mixed" if wrong else b"read"
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""


def test_two_threads_that_read_a_spooled_body_do_not_lock_up_the_interpreter(serve):
    server = serve(TWO_READERS)
    with server.connect(timeout=8) as reader, server.connect(timeout=8) as other:
        reader.send(message("POST", "/", b"q" * (1 << 20)))
        for _ in range(20):
            assert other.request(message()).body == b"Hello"
        assert reader.read_response().body == b"read"
