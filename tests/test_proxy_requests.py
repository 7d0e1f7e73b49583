"""What a server behind the proxy receives, byte for byte, from every kind of client."""

import hashlib

import pytest

import frames
from proxied import proxied_by
from secured import SecureWire, context
from upstream import OK
from wire import chunked

TABLES = (
    ("/", ""),
    ("/stream", "request_buffering = false"),
    ("/strip", "strip_prefix = true"),
    ("/put", 'rewrite_prefix = "/v2"\nhost = "upstream"'),
    ("/silent", 'forwarded = "none"\nvia = ""'),
    ("/rfc", 'forwarded = "rfc7239"'),
    ("/set", 'set_headers = { "X-Scheme" = "$scheme", "X-Where" = "$host$path", "X-Gone" = "" }'),
)
H2 = ("--http2-cleartext", "prior-knowledge")
FORWARDED = "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: farrier.test\r\n"
END = FORWARDED + "X-Real-IP: 127.0.0.1\r\nVia: 1.1 farrier\r\n"


@pytest.fixture(scope="module")
def proxied(serve_module):
    yield from proxied_by(serve_module, TABLES, flags=H2)


@pytest.fixture(scope="module")
def distrusting(serve_module):
    yield from proxied_by(serve_module, TABLES, flags=("--forwarded-allow-ips", "192.0.2.1"))


@pytest.fixture(scope="module")
def trusting(serve_module):
    yield from proxied_by(serve_module, TABLES, flags=("--trusted-proxy", "127.0.0.1"))


@pytest.fixture(scope="module")
def secure(serve_module, authority):
    certificate = authority.issue("front", "DNS:localhost")
    yield from proxied_by(serve_module, TABLES, flags=("--certfile", certificate.both))


def received(proxied, raw, below="/", **options):
    """The request that arrives when a client sends these bytes; `%s` in them is the path."""
    case = proxied.on(**options)
    assert proxied.front.exchange(raw % case.path(below).encode()).body == b"ok"
    return case.request, case


def whole(case, line, fields):
    """A head as it should be."""
    return (line % case.path() + "\r\n" + fields + "\r\n").encode()


def test_a_get_has_host_first_then_the_clients_fields_then_what_is_said_of_the_client(proxied):
    request, case = received(proxied, b"GET %s?a=%%20b HTTP/1.1\r\nhost: farrier.test\r\naccept: */*\r\n\r\n")
    fields = "Host: farrier.test\r\naccept: */*\r\n" + END
    assert request.head == whole(case, "GET %s?a=%%20b HTTP/1.1", fields)


def test_a_client_of_http_1_0_without_a_host_reaches_a_server_that_wants_one(proxied):
    request, _ = received(proxied, b"GET %s HTTP/1.0\r\n\r\n")
    assert request.line.endswith(" HTTP/1.1")
    assert request.values("Host") == [proxied.upstream.authority] and request.value("Via") == "1.0 farrier"


def test_the_absolute_form_becomes_the_origin_form(proxied):
    request, case = received(proxied, b"GET http://farrier.test:81%s?q HTTP/1.1\r\nHost: farrier.test:81\r\n\r\n")
    assert request.line == "GET %s?q HTTP/1.1" % case.path()
    assert request.values("Host") == ["farrier.test:81"]
    case = proxied.on()
    raw = b"GET http://other.test%s HTTP/1.1\r\nHost: farrier.test\r\n\r\n" % case.path().encode()
    assert proxied.front.exchange(raw).status == 400 and not case.requests


@pytest.mark.parametrize("path", ["/a%2Fb/", "/a%20b/", "/%C3%A9/", "/a;b=c/", "/a//b/", "/:@!$&'()*+,=~/", "/%25/"])
def test_a_path_passes_neither_decoded_nor_encoded(proxied, path):
    request, case = received(
        proxied, b"GET " + path.encode().replace(b"%", b"%%") + b"%s?%%2f HTTP/1.1\r\nHost: h\r\n\r\n"
    )
    assert request.line == "GET %s%s?%%2f HTTP/1.1" % (path, case.path())


def test_hop_by_hop_fields_and_those_that_connection_names_do_not_pass(proxied):
    fields = [
        "Connection: close, X-One",
        "Connection: ,, x-two ,",
        "X-One: 1",
        "X-Two: 2",
        "X-Three: 3",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "TE: gzip",
        "Trailer: X",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABk",
        "Proxy-Authorization: Basic eA==",
        "Proxy: http://bad",
        "X-Accel-Redirect: /etc/passwd",
        "X-Sendfile: /etc/passwd",
    ]
    raw = "GET %s HTTP/1.1\r\nHost: farrier.test\r\n" + "\r\n".join(fields) + "\r\n\r\n"
    request, case = received(proxied, raw.encode())
    assert request.head == whole(case, "GET %s HTTP/1.1", "Host: farrier.test\r\nX-Three: 3\r\n" + END)


@pytest.mark.parametrize("named", ["X-Forwarded-For", "X-Real-IP", "Via", "X-Forwarded-Proto", "X-Forwarded-Host"])
def test_a_client_cannot_remove_what_the_proxy_adds_by_naming_it_in_connection(proxied, named):
    # CVE-2022-31813: the fields were added before those that Connection names were removed.
    request, case = received(
        proxied, b"GET %%s HTTP/1.1\r\nHost: farrier.test\r\nConnection: %s\r\n\r\n" % named.encode()
    )
    assert request.head == whole(case, "GET %s HTTP/1.1", "Host: farrier.test\r\n" + END)


@pytest.mark.parametrize("named", ["Host", "Content-Length"])
def test_a_request_whose_connection_names_a_vital_field_is_refused(proxied, named):
    case = proxied.on()
    raw = case.message("POST", body=b"abc", fields=[("Connection", named)])
    assert proxied.front.exchange(raw).status == 400 and not case.requests


def test_what_a_client_says_of_itself_is_removed(distrusting):
    told = ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix"]
    told += ["X-Real-IP", "Forwarded", "X-Forwarded-User", "x-forwarded-for"]
    fields = "".join("%s: bad\r\n" % name for name in told)
    raw = "GET %s HTTP/1.1\r\nHost: farrier.test\r\n" + fields + "\r\n"
    request, case = received(distrusting, raw.encode())
    assert request.head == whole(case, "GET %s HTTP/1.1", "Host: farrier.test\r\n" + END)
    request, _ = received(distrusting, raw.encode(), "/silent")
    assert b"bad" not in request.head


def test_what_a_trusted_proxy_says_is_kept_and_its_address_appended(trusting):
    fields = b"X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 10.0.0.1\r\nX-Forwarded-Proto: https\r\n"
    request, _ = received(trusting, b"GET %s HTTP/1.1\r\nHost: farrier.test\r\n" + fields + b"\r\n")
    assert request.value("X-Real-IP") == "10.0.0.1"
    assert request.value("X-Forwarded-For") == "192.0.2.7, 10.0.0.1, 127.0.0.1"
    assert request.value("X-Forwarded-Proto") == "https"


def test_the_form_of_rfc_7239(proxied):
    request, _ = received(proxied, b"GET %s HTTP/1.1\r\nHost: farrier.test\r\n\r\n", "/rfc")
    assert request.value("Forwarded") == 'for=127.0.0.1;proto=http;host="farrier.test"'
    assert not request.values("X-Forwarded-For")


def test_nothing_is_added_where_the_mount_says_so(proxied):
    request, case = received(proxied, b"GET %s HTTP/1.1\r\nHost: farrier.test\r\nX-A: b\r\n\r\n", "/silent")
    assert request.head == b"GET /silent%s HTTP/1.1\r\nHost: farrier.test\r\nX-A: b\r\n\r\n" % case.path().encode()


def test_the_path_of_a_mount_is_taken_away_or_replaced(proxied):
    request, case = received(proxied, b"GET %s?x HTTP/1.1\r\nHost: farrier.test\r\n\r\n", "/strip")
    assert request.line == "GET %s?x HTTP/1.1" % case.path() and request.value("X-Forwarded-Prefix") == "/strip"
    request, case = received(proxied, b"GET %s HTTP/1.1\r\nHost: farrier.test\r\n\r\n", "/put")
    assert request.line == "GET /v2%s HTTP/1.1" % case.path() and request.value("Host") == proxied.upstream.authority


def test_fields_that_the_mount_sets_come_last(proxied):
    request, case = received(proxied, b"GET %s HTTP/1.1\r\nHost: h\r\nX-Gone: 1\r\nx-scheme: x\r\n\r\n", "/set")
    assert request.fields[-2:] == [("X-Scheme", "http"), ("X-Where", "h" + case.path("/set"))]
    assert not request.values("X-Gone") and len(request.values("X-Scheme")) == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
def test_a_method_with_content_has_a_length_even_if_it_is_empty(proxied, method):
    request, _ = received(proxied, method.encode() + b" %s HTTP/1.1\r\nHost: h\r\n\r\n")
    assert request.value("Content-Length") == "0" and not request.values("Transfer-Encoding")


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "PROPFIND"])
def test_a_method_without_content_has_no_framing(proxied, method):
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n" + (b"" if method == "HEAD" else b"ok")
    case = proxied.on(answer)
    proxied.front.exchange(case.message(method), head_only=method == "HEAD")
    request = case.request
    assert request.line.startswith(method + " ")
    assert not request.values("Content-Length") and not request.values("Transfer-Encoding")


@pytest.mark.parametrize("below", ["/", "/stream"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_content_of_known_length_passes_with_its_length(proxied, below, method):
    case = proxied.on()
    body = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
    assert proxied.front.exchange(case.message(method, below, body=body)).body == b"ok"
    assert case.request.value("Content-Length") == str(len(body)) and case.request.framed == body


def test_chunked_content_gets_a_length_when_it_is_buffered(proxied):
    raw = (
        b"POST %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n"
    )
    request, _ = received(proxied, raw)
    assert request.value("Content-Length") == "5" and request.framed == b"abcde"
    assert not request.values("Transfer-Encoding")


def test_chunked_content_stays_chunked_when_it_is_streamed_and_loses_its_extensions(proxied):
    raw = (
        b"POST %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n"
    )
    request, _ = received(proxied, raw, "/stream")
    assert request.value("Transfer-Encoding") == "chunked" and not request.values("Content-Length")
    assert request.content == b"abcde" and b";" not in request.framed and b"X-T" not in request.framed


def test_an_empty_chunked_body_stays_a_body(proxied):
    raw = b"POST %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert received(proxied, raw)[0].value("Content-Length") == "0"
    request, _ = received(proxied, raw, "/stream")
    assert request.framed == b"0\r\n\r\n" and request.value("Transfer-Encoding") == "chunked"


@pytest.mark.parametrize("size", [1, 65536, 65537, 3_000_000])
@pytest.mark.parametrize("below", ["/", "/stream"])
@pytest.mark.parametrize("in_chunks", [False, True], ids=["length", "chunked"])
def test_content_of_every_size_arrives_whole(proxied, size, below, in_chunks):
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    case = proxied.on()
    if in_chunks:
        raw = b"POST %s HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" % case.path(below).encode()
        raw += chunked([body[at : at + 100_000] for at in range(0, size, 100_000)])
    else:
        raw = case.message("POST", below, body=body)
    assert proxied.front.exchange(raw).body == b"ok"
    assert hashlib.sha256(case.request.content).digest() == hashlib.sha256(body).digest()


def test_streamed_content_arrives_before_the_client_has_sent_all_of_it(proxied):
    case = proxied.on(OK, reads_content=False)
    wire = proxied.front.connect()
    wire.send(case.message("POST", "/stream", body=b"x" * 10)[:-5])
    case.wait_requests(1)
    assert wire.read_response().body == b"ok"


@pytest.mark.parametrize("below", ["/", "/stream"])
def test_expect_is_answered_here_and_does_not_pass(proxied, below):
    case = proxied.on()
    wire = proxied.front.connect()
    wire.send(case.message("POST", below, body=b"abc", fields=[("Expect", "100-continue")])[:-3])
    assert wire.read_response().status == 100
    wire.send(b"abc")
    assert wire.read_response().body == b"ok"
    assert not case.request.values("Expect") and case.request.content == b"abc"


def test_options_of_the_server_itself_does_not_pass(proxied):
    count = len(proxied.upstream.conversations)
    assert proxied.front.exchange(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n").status == 204
    assert len(proxied.upstream.conversations) == count


def test_max_forwards_is_counted_down_and_ends_here(proxied):
    case = proxied.on()
    fields = [("Max-Forwards", "3")]
    assert proxied.front.exchange(case.message("OPTIONS", fields=fields)).status == 200
    assert case.request.value("Max-Forwards") == "2"
    assert proxied.front.exchange(case.message("OPTIONS", fields=[("Max-Forwards", "0")])).status == 200
    assert len(case.requests) == 1
    # It says nothing for other methods (RFC 9110 §7.6.2).
    assert received(proxied, b"GET %s HTTP/1.1\r\nHost: h\r\nMax-Forwards: 0\r\n\r\n")[0].value("Max-Forwards") == "0"


def test_via_is_appended_and_a_loop_ends(proxied):
    case = proxied.on()
    proxied.front.exchange(case.message(fields=[("Via", "1.0 a"), ("Via", "2 b (c, d)")]))
    assert case.request.value("Via") == "1.0 a, 2 b (c, d), 1.1 farrier"
    loop = case.message(fields=[("Via", ", ".join(["1.1 farrier"] * 11))])
    assert proxied.front.exchange(loop).status == 502 and len(case.requests) == 1


def test_te_trailers_is_asked_anew(proxied):
    request, _ = received(proxied, b"GET %s HTTP/1.1\r\nHost: h\r\nTE: trailers, deflate\r\nConnection: TE\r\n\r\n")
    assert request.value("TE") == "trailers" and request.value("Connection") == "TE"


def test_pipelined_requests_keep_their_order(proxied):
    cases = [proxied.on(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number) for number in range(8)]
    wire = proxied.front.connect()
    wire.send(
        b"".join(
            case.message("POST" if case is cases[3] else "GET", body=b"GET / " * (case is cases[3])) for case in cases
        )
    )
    assert [wire.read_response().body for _ in cases] == [b"%d" % number for number in range(8)]


def test_connections_to_the_server_are_used_again_for_other_clients(proxied):
    case = proxied.on()
    for _ in range(5):
        assert proxied.front.exchange(case.message()).body == b"ok"
    assert len({request.number for request in case.requests}) == 1


def test_a_request_of_http_2_becomes_one_of_http_1(proxied):
    case = proxied.on()
    with frames.Connection(proxied.front.address) as client:
        fields = [("cookie", "a=b"), ("x-a", "1"), ("cookie", "c=d"), ("te", "trailers"), ("accept", "*/*")]
        answer = client.get(case.path() + "?q", fields=fields)
    assert answer.status == 200 and answer.body == b"ok"
    request = case.request
    assert request.line == "GET %s?q HTTP/1.1" % case.path()
    assert request.fields[0] == ("Host", "localhost") and request.values("Host") == ["localhost"]
    assert request.value("cookie") == "a=b; c=d" and request.value("Via") == "2 farrier"
    assert request.value("TE") == "trailers" and request.value("Connection") == "TE"
    assert not [name for name, _ in request.fields if name.startswith(":")]


@pytest.mark.parametrize("below", ["/", "/stream"])
@pytest.mark.parametrize("has_length", [True, False])
def test_content_of_http_2_is_framed_anew(proxied, below, has_length):
    case = proxied.on()
    with frames.Connection(proxied.front.address) as client:
        fields = [("content-length", "6")] if has_length else []
        stream = client.open("POST", case.path(below), fields, end=False)
        client.send(frames.frame(frames.DATA, 0, stream, b"abc"))
        client.send(frames.frame(frames.DATA, frames.END_STREAM, stream, b"def"))
        assert client.response(stream).body == b"ok"
    request = case.request
    assert request.content == b"abcdef"
    is_chunked = below == "/stream" and not has_length
    assert request.value("Transfer-Encoding") == ("chunked" if is_chunked else None)
    assert request.value("Content-Length") == (None if is_chunked else "6")


def test_streams_of_one_connection_are_asked_beside_each_other(proxied):
    cases = [proxied.on() for _ in range(20)]
    with frames.Connection(proxied.front.address) as client:
        streams = [client.open(path=case.path()) for case in cases]
        assert [client.response(stream).body for stream in streams] == [b"ok"] * 20


def test_a_client_with_tls_is_told_as_https(secure):
    case = secure.on()
    with SecureWire(secure.front.address) as wire:
        assert wire.request(case.message(body=b"x" * 100_000, method="POST")).body == b"ok"
    assert case.request.value("X-Forwarded-Proto") == "https" and len(case.request.content) == 100_000
    with frames.Connection(secure.front.address, tls=context(alpn=["h2"])) as client:
        assert client.get(secure.on().path()).body == b"ok"


def test_a_long_head_passes(proxied):
    fields = [("X-Field-%d" % number, "v" * 700) for number in range(60)]
    case = proxied.on()
    assert proxied.front.exchange(case.message(fields=fields)).body == b"ok"
    assert [field for field in case.request.fields if field[0].startswith("X-Field")] == fields


def test_bytes_above_ascii_in_values_pass(proxied):
    request, _ = received(proxied, b"GET %s HTTP/1.1\r\nHost: h\r\nX-A: caf\xc3\xa9 \xff\tx\r\n\r\n")
    assert request.value("X-A").encode("latin-1") == b"caf\xc3\xa9 \xff\tx"


def test_a_request_that_is_no_http_never_reaches_a_server(proxied):
    count = len(proxied.upstream.conversations)
    for raw in (
        b"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: h\r\nX A: b\r\n\r\n",
        b"GET / HTTP/1.1\nHost: h\n\n",
    ):
        assert 400 <= proxied.front.exchange(raw).status <= 501
    assert len(proxied.upstream.conversations) == count
