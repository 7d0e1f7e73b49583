"""What a client of the proxy receives: every framing of an answer, answers that are wrong, and answers that break off."""

import time

import pytest

import frames
from proxied import proxied_by
from upstream import CLOSE, HALF_CLOSE, OK, RESET, WAIT_CLOSED, Gate, delivered
from wire import Incomplete

TABLES = (
    ("/", ""),
    ("/stream", "request_buffering = false"),
    ("/strip", "strip_prefix = true"),
    ("/put", 'rewrite_prefix = "/v2"\ncookie_domain = { "app.internal" = "example.org", "gone.internal" = "" }'),
    ("/edit", 'response_headers = { "X-Set" = "1", "X-Out" = "" }\nhide_headers = ["X-Hidden"]\npass_server = true'),
    ("/plain", "rewrite_location = false"),
)
H2 = ("--http2-cleartext", "prior-knowledge")
HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture(scope="module")
def proxied(serve_module):
    # No failure leaves the server out: it is the only one.
    yield from proxied_by(serve_module, TABLES, flags=H2)


def get_h2(proxied, case, method="GET", below="/", **options):
    with frames.Connection(proxied.front.address) as client:
        return client.response(client.open(method, case.path(below), **options))


# Whole answers.

FRAMINGS = {
    "length": HEAD + b"Content-Length: 5\r\n\r\nhello",
    "equal lengths": HEAD + b"Content-Length: 5, 5\r\nContent-Length: 5\r\n\r\nhello",
    "chunked": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    "chunked, extensions": HEAD + b'transfer-encoding: Chunked\r\n\r\n2;a="b;c"\r\nhe\r\n003;x\r\nllo\r\n0;z\r\n\r\n',
    "chunked, trailers": HEAD + b"Transfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n",
    "until close": HEAD + b"\r\nhello",
    "1.0 until close": b"HTTP/1.0 200 OK\r\n\r\nhello",
    "1.0 length": b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "connection: close": HEAD + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello",
    "interim before": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
    + HEAD
    + b"Content-Length: 5\r\n\r\nhello",
}


def ended(name, raw):
    """The steps: what is delimited by the close is followed by it."""
    return [raw, CLOSE] if "close" in name else [raw]


@pytest.mark.parametrize("name", FRAMINGS)
def test_every_framing_of_an_answer_becomes_one_that_the_client_understands(proxied, name):
    case = proxied.on(*ended(name, FRAMINGS[name]))
    wire = proxied.front.connect()
    for _ in range(2):
        wire.send(case.message())
        response = wire.read_response()
        while response.status < 200:
            assert response.status == 102
            response = wire.read_response()
        assert (response.status, response.body) == (200, b"hello")
        assert not response.values("Connection") and not response.values("Keep-Alive")
    assert proxied.front.exchange(case.message(version="1.0")).body == b"hello"
    answer = get_h2(proxied, case)
    assert (answer.status, answer.body, answer.reset) == (200, b"hello", None)


@pytest.mark.parametrize("name", FRAMINGS)
def test_an_answer_may_be_cut_at_every_byte(proxied, name):
    raw = FRAMINGS[name]
    pieces = [raw[at : at + 1] for at in range(len(raw))]
    assert last(proxied, *pieces, *ended(name, b"")) == b"hello"
    # Two halves, with a pause between them that is the proxy's turn.
    for at in range(1, len(raw)):
        assert last(proxied, raw[:at], lambda *_: time.sleep(0.0005), *ended(name, raw[at:])) == b"hello", at


def last(proxied, *steps):
    """The content of the final answer."""
    case = proxied.on(*steps)
    wire = proxied.front.connect()
    wire.send(case.message())
    response = wire.read_response()
    while response.status < 200:
        response = wire.read_response()
    wire.close()
    return response.body


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("fields", [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_status_without_content_has_none_whatever_its_fields_say(proxied, status, fields):
    if status == 204 and fields:
        pytest.skip("refused or ignored: see below")
    case = proxied.on(b'HTTP/1.1 %d X\r\nETag: "a"\r\n%s\r\n' % (status, fields))
    wire = proxied.front.connect()
    for _ in range(2):
        assert wire.request(case.message()).status == status
    assert wire.request(proxied.on().message()).body == b"ok"
    assert get_h2(proxied, case).status == status


@pytest.mark.parametrize("fields", [b"", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_the_answer_to_head_has_no_content_and_keeps_the_length(proxied, fields):
    case = proxied.on(HEAD + fields + b"\r\n")
    wire = proxied.front.connect()
    response = wire.request(case.message("HEAD"), head_only=True)
    assert response.value("Content-Length") == ("5" if b"Length" in fields else None)
    assert wire.request(proxied.on().message()).body == b"ok"
    assert get_h2(proxied, case, "HEAD").body == b""


def test_bytes_behind_the_answer_to_head_reach_nobody(proxied):
    case = proxied.on(HEAD + b"Content-Length: 27\r\n\r\n" + b"HTTP/1.1 200 OK\r\n\r\nsurplus")
    wire = proxied.front.connect()
    for _ in range(3):
        assert wire.request(case.message("HEAD"), head_only=True).status == 200
        assert wire.request(proxied.on().message()).body == b"ok"
    case.connection.is_closed.wait(5)


def test_the_trailers_of_an_answer_reach_clients_that_take_them(proxied):
    fields = b"X-T: 1\r\nContent-Length: 3\r\nSet-Cookie: a=b\r\n"
    raw = HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n" + fields + b"\r\n"
    case = proxied.on(raw)
    wire = proxied.front.connect()
    wire.send(case.message(fields=[("TE", "trailers"), ("Connection", "TE")]))
    wire.read_head()
    assert wire.read_chunk() == b"hello"
    wire.send(b"")
    assert wire._line([]) == b"0" and wire._line([]) == b"X-T: 1" and wire._line([]) == b""
    assert proxied.front.exchange(case.message()).body == b"hello"
    answer = get_h2(proxied, case, fields=[("te", "trailers")])
    assert answer.body == b"hello" and answer.trailers == [("x-t", "1")]


def test_103_reaches_clients_before_the_answer_does(proxied):
    steps = [b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: x\r\n\r\n"]
    case = proxied.on(*steps, go := Gate(), OK)
    wire = proxied.front.connect()
    wire.send(case.message())
    hints = wire.read_response()
    assert (hints.status, hints.fields) == (103, [("Link", "</a.css>; rel=preload")])
    go.open()
    assert wire.read_response().body == b"ok"
    answer = get_h2(proxied, case)
    assert answer.body == b"ok" and dict(answer.interim[0])[":status"] == "103"
    # A client of HTTP/1.0 knows no interim responses.
    assert proxied.front.exchange(case.message(version="1.0")).body == b"ok"


def test_100_of_the_server_is_not_for_the_client(proxied):
    assert last(proxied, b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + OK) == b"ok"
    assert proxied.get(b"HTTP/1.1 100 Continue\r\n\r\n" + OK).body == b"ok"


def test_a_head_arrives_before_the_content_does(proxied):
    case = proxied.on(HEAD + b"Content-Length: 5\r\n\r\n", go := Gate(), b"hello")
    wire = proxied.front.connect()
    wire.send(case.message())
    assert wire.read_head().status == 200
    go.open()
    assert wire._exactly(5, []) == b"hello"


def test_each_piece_of_a_stream_arrives_at_once(proxied):
    gates = [Gate() for _ in range(3)]
    steps = [step for gate in gates for step in (b"data: x\n\n", gate)]
    case = proxied.on(HEAD + b"Content-Type: text/event-stream\r\n\r\n", *steps, CLOSE)
    wire = proxied.front.connect()
    wire.send(case.message())
    wire.read_head()
    for gate in gates:
        assert wire.read_chunk() == b"data: x\n\n"
        gate.open()
    assert wire.read_chunk() == b""


@pytest.mark.parametrize("size", [65535, 65536, 65537, 131072, 1_000_003])
@pytest.mark.parametrize("framing", ["length", "chunked", "close", "small chunks"])
def test_content_of_every_size_arrives_whole(proxied, size, framing):
    body = (b"0123456789abcde\n" * (size // 16 + 1))[:size]
    if framing == "length":
        steps = [HEAD + b"Content-Length: %d\r\n\r\n" % size + body]
    elif framing == "close":
        steps = [HEAD + b"\r\n" + body, CLOSE]
    else:
        step = 7 if framing == "small chunks" else 100_000
        steps = [HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + in_chunks(body, step)]
    case = proxied.on(*steps)
    assert proxied.front.exchange(case.message()).body == body
    assert get_h2(proxied, case).body == body


def in_chunks(body, step):
    pieces = [body[at : at + step] for at in range(0, len(body), step)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


# Fields.


def test_fields_of_the_connection_and_of_this_server_do_not_pass(proxied):
    fields = [
        b"Connection: X-Hop, keep-alive",
        b"X-Hop: 1",
        b"Keep-Alive: timeout=5",
        b"Upgrade: h2c",
        b"Proxy-Authenticate: Basic",
        b"Trailer: X",
        b"Server: other",
        b'Alt-Svc: h3=":443"',
        b"X-Accel-Redirect: /etc/passwd",
        b"X-Sendfile: /etc/passwd",
        b"X-Kept: caf\xe9",
        b"Set-Cookie: a=b",
        b"Set-Cookie: c=d",
        b"Date: Mon, 01 Jan 2024 00:00:00 GMT",
        b"Content-Length: 2",
    ]
    response = proxied.get(HEAD + b"\r\n".join(fields) + b"\r\n\r\nok")
    expected = [
        ("Content-Length", "2"),
        ("Date", "Mon, 01 Jan 2024 00:00:00 GMT"),
        ("Server", "farrier"),
        ("Set-Cookie", "a=b"),
        ("Set-Cookie", "c=d"),
        ("X-Kept", "caf\xe9"),
    ]
    assert sorted(response.fields) == expected


def test_a_mount_sets_and_hides_fields(proxied):
    fields = b"Server: other\r\nX-Set: 0\r\nx-out: 1\r\nX-Hidden: 1\r\nContent-Length: 2\r\n\r\nok"
    response = proxied.get(HEAD + fields, below="/edit")
    assert (response.value("Server"), response.value("X-Set")) == ("other", "1")
    assert not response.values("X-Out") and not response.values("X-Hidden")


def test_the_date_is_added_if_the_server_gives_none_and_a_reason_is_kept(proxied):
    response = proxied.get(b"HTTP/1.1 299 Something Else\r\nContent-Length: 0\r\n\r\n")
    assert response.value("Date") and (response.status, response.reason) == (299, "Something Else")
    assert proxied.get(b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n").status == 200
    assert proxied.get(b"HTTP/1.1 600 \r\nContent-Length: 0\r\n\r\n").status == 600


@pytest.mark.parametrize(
    "below, value, expected",
    [
        ("/strip", "http://%(server)s/x?y#z", "http://%(client)s/strip/x?y#z"),
        ("/strip", "http://%(server)s", "http://%(client)s/strip/"),
        ("/strip", "//%(server)s/x", "http://%(client)s/strip/x"),
        ("/strip", "/x", "/strip/x"),
        ("/strip", "x/y", "x/y"),
        ("/strip", "http://elsewhere.test/x", "http://elsewhere.test/x"),
        ("/strip", "http://%(server)s.evil.test/x", "http://%(server)s.evil.test/x"),
        ("/put", "/v2/x", "/put/x"),
        ("/put", "http://%(server)s/v2/x", "http://%(client)s/put/x"),
        ("/put", "/v22/x", "/v22/x"),
        ("/plain", "http://%(server)s/x", "http://%(server)s/x"),
        ("/", "https://%(server)s/x", "http://%(client)s/x"),
    ],
)
def test_addresses_of_the_server_become_the_clients(proxied, below, value, expected):
    names = {"server": proxied.upstream.authority, "client": "farrier.test"}
    value, expected = value % names, expected % names
    fields = "Location: %s\r\nContent-Location: %s\r\nRefresh: 5; url=%s\r\n" % (value, value, value)
    response = proxied.get(b"HTTP/1.1 302 Found\r\n" + fields.encode() + b"Content-Length: 0\r\n\r\n", below=below)
    assert response.value("Location") == response.value("Content-Location") == expected
    assert response.value("Refresh") == "5; url=" + expected


@pytest.mark.parametrize(
    "below, value, expected",
    [
        ("/strip", "a=b; Path=/; HttpOnly", "a=b; Path=/strip/; HttpOnly"),
        ("/strip", "a=b; path=/x; Secure", "a=b; Path=/strip/x; Secure"),
        ("/strip", "a=b", "a=b"),
        ("/put", "a=b; Path=/v2/x; Domain=app.internal", "a=b; Path=/put/x; Domain=example.org"),
        ("/put", "a=b; domain=.App.Internal; Path=/v2", "a=b; Domain=example.org; Path=/put"),
        ("/put", "a=b; Domain=gone.internal; Secure", "a=b; Secure"),
        ("/put", 'a="Path=/v2"; Path=/other', 'a="Path=/v2"; Path=/other'),
        ("/", "a=b; Path=/x; Domain=app.internal", "a=b; Path=/x; Domain=app.internal"),
    ],
)
def test_cookies_get_the_path_and_the_domain_that_the_client_knows(proxied, below, value, expected):
    raw = HEAD + b"Set-Cookie: %s\r\nContent-Length: 2\r\n\r\nok" % value.encode()
    assert proxied.get(raw, below=below).value("Set-Cookie") == expected


# Wrong answers.

CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n"
WRONG_HEADS = {
    "TE and CL": CHUNKED + b"Content-Length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "TE twice": CHUNKED + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "TE gzip": HEAD + b"Transfer-Encoding: gzip\r\n\r\nok",
    "TE gzip, chunked": HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "TE chunked, identity": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\nok",
    "TE with a tab inside": HEAD + b"Transfer-Encoding: \x0bchunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "TE of 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    "two lengths in one": HEAD + b"Content-Length: 2, 3\r\n\r\nok",
    "length +2": HEAD + b"Content-Length: +2\r\n\r\nok",
    "length -1": HEAD + b"Content-Length: -1\r\n\r\nok",
    "length 0x2": HEAD + b"Content-Length: 0x2\r\n\r\nok",
    "length of 30 digits": HEAD + b"Content-Length: " + b"9" * 30 + b"\r\n\r\nok",
    "empty length": HEAD + b"Content-Length: \r\n\r\nok",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "bare CR": HEAD + b"X: a\rb\r\nContent-Length: 2\r\n\r\nok",
    "NUL": HEAD + b"X: a\0b\r\nContent-Length: 2\r\n\r\nok",
    "fold": HEAD + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
    "space before colon": HEAD + b"Content-Length : 2\r\n\r\nok",
    "no colon": HEAD + b"X\r\nContent-Length: 2\r\n\r\nok",
    "empty name": HEAD + b": a\r\nContent-Length: 2\r\n\r\nok",
    "space before the first field": HEAD + b" X: a\r\nContent-Length: 2\r\n\r\nok",
    "status of two digits": b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
    "status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
    "status 099": b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "lower case": b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "garbage": bytes(range(256)) * 4,
    "HTTP/0.9": b"<html>hello</html>",
    "TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "HTTP/2 settings": b"\0\0\0\4\0\0\0\0\0",
    "101 without being asked": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "a head of 1 MB": HEAD + b"X: " + b"a" * 1_000_000 + b"\r\nContent-Length: 2\r\n\r\nok",
    "1000 fields": HEAD + b"X: a\r\n" * 1000 + b"Content-Length: 2\r\n\r\nok",
    "17 interim responses": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 17 + OK,
    "closed in the head": HEAD + b"Content-Le",
    "closed at once": b"",
}


@pytest.mark.parametrize("name", WRONG_HEADS)
def test_an_answer_that_breaks_http_becomes_502_and_its_connection_is_closed(proxied, name):
    case = proxied.on(WRONG_HEADS[name], CLOSE if "closed" in name else WAIT_CLOSED)
    wire = proxied.front.connect()
    wire.send(case.message())
    response = wire.read_response()
    while response.status == 103:
        response = wire.read_response()
    assert (response.status, b"ok" in response.body) == (502, False)
    # The client's connection is as good as before.
    assert wire.request(proxied.on().message()).body == b"ok"
    assert case.connection.is_closed.wait(5)
    if "interim" not in name:
        assert get_h2(proxied, case).status == 502


def test_endless_interim_responses_end(proxied):
    def endless(conversation, _):
        while True:
            conversation.send(b"HTTP/1.1 102 Processing\r\n\r\n")

    case = proxied.on(endless)
    wire = proxied.front.connect()
    wire.send(case.message())
    while (response := wire.read_response()).status == 102:
        pass
    assert response.status == 502


WRONG_CONTENT = {
    "bad chunk size": CHUNKED + b"\r\n2\r\nok\r\nzz\r\n",
    "no CRLF after a chunk": CHUNKED + b"\r\n2\r\nokXX0\r\n\r\n",
    "chunk size with LF": CHUNKED + b"\r\n2\r\nok\r\n3\nabc\r\n0\r\n\r\n",
    "chunk size of 17 digits": CHUNKED + b"\r\n2\r\nok\r\n" + b"f" * 17 + b"\r\n",
    "endless chunk extension": CHUNKED + b"\r\n2\r\nok\r\n3;" + b"a" * 100_000,
    "endless trailers": CHUNKED + b"\r\n2\r\nok\r\n0\r\n" + b"X: abcdef\r\n" * 20_000,
    "bad trailer": CHUNKED + b"\r\n2\r\nok\r\n0\r\nX Y: abcdef\r\n\r\n",
    "chunked, closed": CHUNKED + b"\r\n2\r\nok\r\n",
    "chunked, closed in the last chunk": CHUNKED + b"\r\n2\r\nok\r\n0\r\n",
    "length, closed": HEAD + b"Content-Length: 3\r\n\r\nok",
}


@pytest.mark.parametrize("name", WRONG_CONTENT)
@pytest.mark.parametrize("end", [CLOSE, RESET])
def test_content_that_breaks_off_or_is_wrong_breaks_off_for_the_client(proxied, name, end):
    if end == RESET and "closed" not in name:
        pytest.skip("nothing is closed")
    steps = [WRONG_CONTENT[name], delivered, end] if "closed" in name else [WRONG_CONTENT[name], WAIT_CLOSED]
    case = proxied.on(*steps)
    for version in ("1.1", "1.0"):
        with pytest.raises(Incomplete):
            response = proxied.front.exchange(case.message(version=version))
            # HTTP/1.0 has no other sign than a reset, which `Wire` takes for a close.
            assert response.status == 502 or version == "1.0", response
            raise Incomplete("", b"")
    answer = get_h2(proxied, case)
    assert answer.reset is not None and answer.body in (b"ok", b""), answer
    proxied.works()


def test_content_until_the_close_that_ends_with_a_reset_is_incomplete(proxied):
    case = proxied.on(HEAD + b"\r\nok", delivered, RESET)
    with pytest.raises(Incomplete):
        proxied.front.exchange(case.message())
    assert get_h2(proxied, case).reset is not None


# Surplus.


@pytest.mark.parametrize("name", ["length", "chunked", "chunked, trailers"])
def test_a_second_answer_on_a_connection_reaches_no_other_client(proxied, name):
    case = proxied.on(FRAMINGS[name] + HEAD + b"Content-Length: 4\r\n\r\nevil")
    other = proxied.on()
    for _ in range(3):
        assert proxied.front.exchange(case.message()).body == b"hello"
        assert proxied.front.exchange(other.message()).body == b"ok"
    assert len({request.number for request in case.requests}) == 3
    for conversation in case.conversations:
        assert conversation.is_closed.wait(5)


def test_an_answer_on_an_idle_connection_reaches_nobody(proxied):
    late = Gate()
    case = proxied.on(OK, late, HEAD + b"Content-Length: 4\r\n\r\nevil", WAIT_CLOSED)
    assert proxied.front.exchange(case.message()).body == b"ok"
    late.open()
    assert case.connection.is_closed.wait(5)
    proxied.works()


def test_content_behind_a_204_reaches_no_other_client(proxied):
    case = proxied.on(
        b"HTTP/1.1 204 No Content\r\nContent-Length: 35\r\n\r\n" + HEAD + b"Content-Length: 4\r\n\r\nevil"
    )
    for _ in range(3):
        assert proxied.front.exchange(case.message()).status in (204, 502)
        proxied.works()


# Answers before the request was sent.


@pytest.mark.parametrize("below", ["/", "/stream"])
@pytest.mark.parametrize("end", [CLOSE, RESET, HALF_CLOSE, WAIT_CLOSED])
def test_an_answer_before_the_content_was_taken_reaches_the_client(proxied, below, end):
    answer = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig"
    steps = [answer, delivered, end] + ([WAIT_CLOSED] if end == HALF_CLOSE else [])
    case = proxied.on(*steps, reads_content=False)
    for _ in range(3):
        wire = proxied.front.connect()
        wire.send_anyway(case.message("POST", below, body=b"x" * 2_000_000))
        response = wire.read_response()
        assert (response.status, response.body) == (413, b"big")
        wire.close()
    proxied.works()


def test_an_answer_while_the_client_still_sends_comes_at_once(proxied):
    case = proxied.on(
        b"HTTP/1.1 401 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno", CLOSE, reads_content=False
    )
    wire = proxied.front.connect()
    wire.send(case.message("POST", "/stream", body=b"x" * 100_000)[:-50_000])
    assert wire.read_response().status == 401
    with frames.Connection(proxied.front.address) as client:
        stream = client.open("POST", case.path("/stream"), end=False)
        client.send(frames.frame(frames.DATA, 0, stream, b"x" * 1000))
        assert client.response(stream).status == 401


def test_a_client_whose_rest_is_small_keeps_its_connection_after_an_early_answer(proxied):
    case = proxied.on(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno", reads_content=False)
    wire = proxied.front.connect()
    raw = case.message("POST", "/stream", body=b"x" * 1000)
    wire.send(raw[:-500])
    response = wire.read_response()
    assert response.status == 401
    if not response.closes:
        wire.send(raw[-500:])
        assert wire.request(proxied.on().message()).body == b"ok"
    # The server got half a request: its connection carries no other.
    assert case.connection.is_closed.wait(5)


def test_both_directions_at_once(proxied):
    def echo(conversation, request):
        conversation.send(CHUNKED + b"\r\n")
        while (line := conversation.take_until(b"\r\n")) != b"0\r\n":
            piece = conversation.take(int(line, 16) + 2)
            conversation.send(line + piece)
        conversation.take(2)
        conversation.send(b"0\r\n\r\n")

    case = proxied.on(echo, reads_content=False)
    wire = proxied.front.connect()
    path = case.path("/stream").encode()
    wire.send(b"POST %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" % path)
    wire.read_head()
    for number in range(20):
        piece = b"%d" % number * 10
        wire.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        assert wire.read_chunk() == piece
    wire.send(b"0\r\n\r\n")
    assert wire.read_chunk() == b""
    assert wire.request(proxied.on().message()).body == b"ok"
