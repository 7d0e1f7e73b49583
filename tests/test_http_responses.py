"""Responses as clients get them: Date, Server, framing, and immediate sending of the application's bytes."""

import email.utils
import hashlib
import re
import time

import pytest

from wire import message

IMF_FIXDATE = re.compile(
    r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} "
    r"\d\d:\d\d:\d\d GMT"
)


@pytest.fixture(scope="module")
def hello(host):
    return host("""
        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [b"hello"]
    """)


def test_date_is_an_imf_fixdate_of_now(hello):
    value = hello.get().value("Date")
    assert IMF_FIXDATE.fullmatch(value), value
    assert abs(email.utils.parsedate_to_datetime(value).timestamp() - time.time()) < 5


def test_date_moves_on(hello):
    with hello.connect() as wire:
        first = wire.request(hello.message()).value("Date")
        deadline = time.monotonic() + 10
        while wire.request(hello.message()).value("Date") == first:
            assert time.monotonic() < deadline, "Date stands still"
            time.sleep(0.05)


def test_server_names_the_server(hello):
    assert hello.get().value("Server").lower().startswith("farrier")


@pytest.mark.parametrize("setting, expected", [("", None), ("unicorn/7", "unicorn/7")])
def test_server_is_a_setting(serve, setting, expected):
    server = serve("def application(e, s):\n    s('200 OK', [])\n    return [b'x']\n", "--server-header", setting)
    assert server.get().value("Server") == expected
    assert server.exchange(b"BROKEN\r\n\r\n").value("Server") == expected


def test_date_and_server_from_the_application_come_once(host):
    app = host("""
        def application(environ, start_response):
            start_response("200 OK", [("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("server", "mine")])
            return [b"x"]
    """)
    response = app.get()
    assert len(response.values("Date")) == 1 and len(response.values("Server")) == 1


@pytest.mark.parametrize(
    "raw, status",
    [
        (b"BROKEN\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
        (b"GET /%s HTTP/1.1\r\n" % (b"a" * 9000), 414),
        (message("POST", fields=[("Expect", "x")], body=b"abc"), 417),
    ],
)
def test_error_answers_carry_the_same_fields_and_a_small_body(hello, raw, status):
    response = hello.server.exchange(raw)
    assert response.status == status and response.reason
    assert IMF_FIXDATE.fullmatch(response.value("Date")) and response.value("Server")
    assert int(response.value("Content-Length")) == len(response.body) < 4096
    assert response.value("Content-Type") and response.closes


def test_an_application_error_keeps_the_connection_and_has_a_framed_body(host):
    app = host("""
        def application(environ, start_response):
            raise ValueError("private words")
    """)
    with app.connect() as wire:
        for _ in range(3):
            response = wire.request(app.message())
            assert response.status == 500 and response.value("Content-Length")
            assert b"private" not in response.body
            if response.closes:
                break
        response = app.request("HEAD")
        assert response.status == 500


def test_a_500_to_head_has_no_body(host):
    app = host("def application(environ, start_response):\n    raise ValueError\n")
    with app.connect() as wire:
        response = wire.request(app.message("HEAD"), head_only=True)
        assert response.status == 500
        if response.closes:
            wire.assert_closed()
        assert wire.pending == b""


@pytest.mark.parametrize("fields", ["[]", "[('Content-Length', '10')]"])
def test_each_chunk_of_a_generator_is_sent_while_the_application_continues(host, fields):
    app = host(
        """
        def application(environ, start_response):
            start_response("200 OK", %s)
            yield b"first"
            EVENT.wait(20)
            SEEN.append(EVENT.is_set())
            yield b"after"
    """
        % fields
    )
    with app.connect() as wire:
        wire.send(app.message())
        head = wire.read_head()
        if head.value("Content-Length"):
            assert wire._exactly(5, []) == b"first"
        else:
            assert wire.read_chunk() == b"first"
        # The application is still blocked: another request releases it.
        app.release()
        if head.value("Content-Length"):
            assert wire._exactly(5, []) == b"after"
        else:
            assert wire.read_chunk() == b"after" and wire.read_chunk() == b""
        assert wire.request(app.message()).body == b"firstafter"
    assert app.seen() == [True, True]


def test_streaming_to_http_1_0_is_delimited_by_the_end(host):
    app = host("""
        def application(environ, start_response):
            start_response("200 OK", [])
            yield b"first"
            EVENT.wait(20)
            yield b"after"
    """)
    with app.connect() as wire:
        wire.send(app.message(version="1.0"))
        head = wire.read_head()
        assert head.closes and not head.values("Transfer-Encoding")
        assert wire._exactly(5, []) == b"first"
        app.release()
        assert wire._exactly(5, []) == b"after"
        wire.assert_closed()


def test_a_large_response_arrives_whole(host):
    app = host("""
        PART = bytes(range(256)) * 256

        def application(environ, start_response):
            start_response("200 OK", [])
            for number in range(800):
                yield PART
    """)
    digest = hashlib.sha256(bytes(range(256)) * 256 * 800).digest()
    for version in ("1.1", "1.0"):
        assert hashlib.sha256(app.request(version=version).body).digest() == digest


def test_one_large_item_arrives_whole(host):
    app = host("""
        def application(environ, start_response):
            start_response("200 OK", [])
            return [bytes(range(256)) * 80000]
    """)
    with app.connect() as wire:
        for _ in range(2):
            response = wire.request(app.message())
            assert response.body == bytes(range(256)) * 80000 and response.value("Content-Length") == "20480000"


def test_very_many_small_chunks_arrive_whole(host):
    app = host("""
        def application(environ, start_response):
            start_response("200 OK", [])
            return (b"%d," % number for number in range(20000))
    """)
    with app.connect() as wire:
        assert wire.request(app.message()).body == b"".join(b"%d," % number for number in range(20000))
        assert wire.request(app.message()).status == 200


def test_an_sse_stream_is_not_held_back(host):
    app = host("""
        import threading
        STEP = threading.Semaphore(0)

        def application(environ, start_response):
            if environ["PATH_INFO"] == "/step":
                STEP.release()
                return answer(start_response)
            start_response("200 OK", [("Content-Type", "text/event-stream")])
            return stream()

        def stream():
            for number in range(5):
                yield b"data: %d\\n\\n" % number
                STEP.acquire(timeout=20)
    """)
    with app.connect() as wire:
        wire.send(app.message())
        wire.read_head()
        for number in range(5):
            assert wire.read_chunk() == b"data: %d\n\n" % number
            app.get("/step")
        assert wire.read_chunk() == b""


def test_status_line_has_version_1_1(hello):
    with hello.connect() as wire:
        assert wire.request(hello.message(version="1.0")).version == "1.1"


TRAILING = """
    def application(environ, start_response):
        start_response("200 OK", [])
        yield b"content"
        if "farrier.send_trailers" in environ:
            environ["farrier.send_trailers"]([("X-Sum", "7")])
"""


@pytest.mark.parametrize(
    "fields, end",
    [
        ([("TE", "trailers")], b"0\r\nX-Sum: 7\r\n\r\n"),
        ([("TE", "deflate;q=0.5, trailers")], b"0\r\nX-Sum: 7\r\n\r\n"),
        ([("TE", "deflate")], b"0\r\n\r\n"),
        ([], b"0\r\n\r\n"),
    ],
)
def test_trailers_follow_chunks_where_the_client_takes_them(host, fields, end):
    app = host(TRAILING)
    with app.connect() as wire:
        wire.send(app.message(fields=[*fields, ("Connection", "close")]))
        with wire.socket.makefile("rb") as received:
            assert received.read().endswith(b"\r\n\r\n7\r\ncontent\r\n" + end)
