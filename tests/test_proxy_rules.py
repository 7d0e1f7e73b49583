"""What the rules of this server do to forwarded requests: compression, limits, error pages, logs, reload and end."""

import gzip
import os
import signal
import zlib

import pytest

import frames
from load import Load
from proxied import mounts, proxied_by, upstream_table
from upstream import CLOSE, WAIT_CLOSED, Gate, Upstream
from wire import chunked, until

HEAD = b"HTTP/1.1 200 OK\r\n"
TEXT = b"hello, world\n" * 1000
TABLES = (
    ("/", 'compress = "on"'),
    ("/small", 'limit_request_body = "1000"'),
    ("/small/stream", 'limit_request_body = "1000"\nrequest_buffering = false'),
)


@pytest.fixture(scope="module")
def proxied(serve_module):
    flags = ("--http2-cleartext", "prior-knowledge", "--access-logfile", "-")
    yield from proxied_by(serve_module, TABLES, flags=flags)


# Compression.


def ask_gzip(proxied, *steps, method="GET", **rest):
    case = proxied.on(*steps)
    fields = [("Accept-Encoding", "gzip")]
    response = proxied.front.exchange(case.message(method, fields=fields, **rest), head_only=method == "HEAD")
    assert case.requests[0].value("Accept-Encoding") == "gzip"
    return response


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
def test_an_answer_is_compressed_whatever_its_framing(proxied, framing):
    fields = b'Content-Type: text/plain\r\nETag: "a"\r\n'
    steps = {
        "length": [HEAD + fields + b"Content-Length: %d\r\n\r\n" % len(TEXT) + TEXT],
        "chunked": [HEAD + fields + b"Transfer-Encoding: chunked\r\n\r\n" + chunked([TEXT[:5000], TEXT[5000:]])],
        "close": [HEAD + fields + b"\r\n" + TEXT, CLOSE],
    }[framing]
    response = ask_gzip(proxied, *steps)
    assert response.value("Content-Encoding") == "gzip" and gzip.decompress(response.body) == TEXT
    assert response.value("ETag") == 'W/"a"' and "Accept-Encoding" in response.value("Vary")


@pytest.mark.parametrize(
    "fields",
    [
        b"Content-Type: text/plain\r\nContent-Encoding: br\r\n",
        b"Content-Type: image/png\r\n",
        b"Content-Type: text/plain\r\nCache-Control: no-transform\r\n",
    ],
)
def test_an_answer_that_may_not_be_compressed_passes_as_it_is(proxied, fields):
    response = ask_gzip(proxied, HEAD + fields + b"Content-Length: %d\r\n\r\n" % len(TEXT) + TEXT)
    assert response.body == TEXT and response.value("Content-Length") == str(len(TEXT))


def test_a_part_and_a_304_are_not_compressed(proxied):
    fields = b"Content-Type: text/plain\r\nContent-Range: bytes 0-%d/99999\r\n" % (len(TEXT) - 1)
    part = ask_gzip(
        proxied, b"HTTP/1.1 206 Partial Content\r\n%sContent-Length: %d\r\n\r\n" % (fields, len(TEXT)) + TEXT
    )
    assert (part.status, part.body) == (206, TEXT) and not part.values("Content-Encoding")
    assert ask_gzip(proxied, b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n').status == 304


def test_pieces_of_a_compressed_stream_arrive_at_once(proxied):
    gate = Gate()
    case = proxied.on(HEAD + b"Content-Type: text/event-stream\r\n\r\n", b"data: 1\n\n", gate, b"data: 2\n\n", CLOSE)
    wire = proxied.front.connect()
    wire.send(case.message(fields=[("Accept-Encoding", "gzip")]))
    head = wire.read_head()
    inflate = zlib.decompressobj(31) if head.value("Content-Encoding") else None
    seen = b""
    while seen != b"data: 1\n\n":
        chunk = wire.read_chunk()
        seen += inflate.decompress(chunk) if inflate else chunk
    gate.open()
    while chunk := wire.read_chunk():
        seen += inflate.decompress(chunk) if inflate else chunk
    assert seen == b"data: 1\n\ndata: 2\n\n"


# Limits.


@pytest.mark.parametrize("below", ["/small", "/small/stream"])
@pytest.mark.parametrize("in_chunks", [False, True])
def test_content_above_the_bound_is_413_and_never_reaches_a_server_whole(proxied, below, in_chunks):
    case = proxied.on(reads_content=False)
    case.steps = [WAIT_CLOSED]
    wire = proxied.front.connect()
    if in_chunks:
        path = case.path(below).encode()
        raw = b"POST %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" % path + chunked([b"x" * 600] * 3)
    else:
        raw = case.message("POST", below, body=b"x" * 2000)
    wire.send_anyway(raw)
    assert wire.read_response().status == 413
    for conversation in case.conversations:
        assert conversation.is_closed.wait(10)
        assert not conversation.received.endswith(b"0\r\n\r\n")
    proxied.works()


def test_content_of_exactly_the_bound_passes(proxied):
    for below in ("/small", "/small/stream"):
        case = proxied.on()
        assert proxied.front.exchange(case.message("POST", below, body=b"x" * 1000)).body == b"ok"


# Errors and logs.


def test_error_pages_of_the_site_stand_for_failures_of_servers(serve, tmp_path):
    (tmp_path / "502.html").write_text("<p>our own page")
    tables = '[error_pages]\n502 = "%s"\n' % (tmp_path / "502.html")
    front = serve("", settings=tables + '[[mount]]\npath = "/"\nproxy = "http://127.0.0.1:9"\n')
    response = front.get()
    assert (response.status, response.body) == (502, b"<p>our own page")


def test_the_access_log_has_forwarded_requests_and_their_failures(proxied):
    mark = proxied.front.output.mark()
    done, failed = proxied.on(), proxied.on(b"garbage\r\n\r\n", CLOSE)
    proxied.front.exchange(done.message())
    proxied.front.exchange(failed.message())
    proxied.front.output.wait('"GET %s HTTP/1.1" 200 2 ' % done.path(), since=mark)
    proxied.front.output.wait('"GET %s HTTP/1.1" 502 ' % failed.path(), since=mark)
    # The error says what was wrong, and which server it was.
    proxied.front.log.wait(r"%s: .*\(%s\)" % (failed.path(), proxied.upstream.url))


def test_failures_leave_no_descriptors_behind(proxied):
    proxied.works()
    (worker,) = proxied.front.workers()
    count = lambda: len(os.listdir("/proc/%d/fd" % worker))  # noqa: E731
    before = count()
    scripts = [[CLOSE], [b"garbage\r\n\r\n", CLOSE], [HEAD + b"Content-Length: 9\r\n\r\nok", CLOSE], [HEAD * 2, CLOSE]]
    for script in scripts * 25:
        case = proxied.on(*script)
        wire = proxied.front.connect()
        wire.send(case.message())
        wire.read_head()
        wire.close()
    until(lambda: count() <= before + 1, 10, "descriptors to be closed")


# HTTP/2.


def test_fields_for_http_2_have_small_letters_and_none_is_the_connections(proxied):
    fields = b"X-Big: A\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=1\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"
    with frames.Connection(proxied.front.address) as client:
        answer = client.get(proxied.on(HEAD + fields + b"Content-Length: 2\r\n\r\nok").path())
    names = [name for name, _ in answer.fields]
    assert names == [name.lower() for name in names] and answer.value("x-big") == "A"
    assert not {"connection", "keep-alive", "x-hop", "transfer-encoding"} & set(names)
    assert [value for name, value in answer.fields if name == "set-cookie"] == ["a", "b"]


# Reload and end.


@pytest.fixture
def alone(serve):
    """A pair of its own."""
    yield from proxied_by(serve)


def test_a_request_in_flight_ends_before_the_server_does(alone):
    gate = Gate()
    case = alone.on(HEAD + b"Content-Length: 4\r\n\r\nha", gate, b"lf")
    wire = alone.front.connect()
    wire.send(case.message())
    wire.read_head()
    alone.front.kill(signal.SIGTERM)
    alone.front.log.wait("Handling signal: term")
    gate.open()
    assert wire._exactly(4, []) == b"half"
    assert alone.front.wait_exit() == 0


def test_idle_connections_to_servers_are_closed_when_the_server_ends(alone):
    case = alone.on()
    assert alone.front.exchange(case.message()).body == b"ok"
    alone.front.kill(signal.SIGTERM)
    assert case.connection.is_closed.wait(10)
    assert alone.front.wait_exit() == 0


def test_reloads_under_load_fail_no_request(alone):
    case = alone.on()
    with Load(alone.front, target=case.path()) as load:
        for number in range(1, 4):
            count = load.answered
            until(lambda: load.answered > count + 30, 15, "answers")
            alone.front.kill(signal.SIGHUP)
            alone.front.wait_booted(number + 1)
        count = load.answered
        until(lambda: load.answered > count + 30, 15, "answers")
    assert not load.failures, load.failures[:5]


def test_a_reload_asks_the_servers_that_the_new_configuration_names(serve):
    old, new = Upstream(), Upstream()
    cases = old.on(HEAD + b"Content-Length: 3\r\n\r\nold"), new.on(HEAD + b"Content-Length: 3\r\n\r\nnew")
    front = serve("", settings=upstream_table(old.url) + mounts(("/", "")))
    assert front.exchange(cases[0].message()).body == b"old"
    front.write("farrier.toml", upstream_table(new.url) + mounts(("/", "")))
    front.kill(signal.SIGHUP)
    until(lambda: front.exchange(cases[1].message()).body == b"new", 15, "the new server")
    assert cases[0].connection.is_closed.wait(10)
    for server in (old, new):
        server.close()
