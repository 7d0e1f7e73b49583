"""The uwsgi protocol, byte by byte."""

import json
import socket
import struct

import pytest

from gateway import packet, uwsgi, variables
from wire import Incomplete, Wire, message, until

APPLICATION = """
    import json, time

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        body = environ["wsgi.input"].read()
        if path == "/environ":
            told = {key: value for key, value in environ.items() if isinstance(value, str)}
            told["body"] = len(body)
            start_response("200 OK", [("Content-Type", "application/json"), ("X-A", "1")])
            return [json.dumps(told).encode()]
        if path == "/echo":
            start_response("200 OK", [("X-Length", environ.get("CONTENT_LENGTH", "none"))])
            return [body]
        if path == "/stream":
            start_response("200 OK", [])
            return (b"x" * 1000 for _ in range(20))
        if path == "/large":
            start_response("200 OK", [("Content-Length", "3000000")])
            return (b"y" * 100000 for _ in range(30))
        if path == "/short":
            start_response("200 OK", [("Content-Length", "10")])
            return [b"only"]
        if path == "/raise":
            raise RuntimeError("on purpose")
        if path == "/unmodified":
            start_response("304 Not Modified", [])
            return []
        start_response("404 Not Found", [])
        return [b"no such path"]
"""

FLAGS = ("--limit-request-body", "20M")


@pytest.fixture(scope="module")
def server(serve_module):
    """A server with uwsgi on TCP, uwsgi on a unix socket, HTTP, and an address with `auto`."""
    bind = ["uwsgi://127.0.0.1:0", "uwsgi+unix:uwsgi.sock", "127.0.0.1:0", "auto://127.0.0.1:0"]
    return serve_module(APPLICATION, *FLAGS, bind=bind)


@pytest.fixture(params=["tcp", "unix"])
def address(server, request):
    """The addresses with uwsgi."""
    return server.addresses[("tcp", "unix").index(request.param)]


def exchange(address, *pieces, head_only=False):
    """One request; the response's content ends with the connection unless it has a length."""
    with Wire(address) as wire:
        wire.send(*pieces)
        head = wire.read_head()
        length = head.value("Content-Length")
        head.body = wire._rest() if length is None or head_only else wire._exactly(int(length), [])
        wire.assert_closed()
        return head


def ask(address, *arguments, **more):
    return exchange(address, uwsgi(*arguments, **more), head_only=arguments[:1] == ("HEAD",))


def test_the_log_names_the_protocol_of_each_address(server):
    text = server.log.text
    assert "uwsgi://127.0.0.1:" in text and "uwsgi+unix:uwsgi.sock" in text and ",http://127.0.0.1:" in text


def test_a_request_is_answered_and_the_connection_closed(address):
    answer = ask(address, "GET", "/environ")
    told = json.loads(answer.body)
    assert (answer.status, answer.reason, told["PATH_INFO"]) == (200, "OK", "/environ")
    assert [name for name, _ in answer.fields] == ["Content-Length", "Content-Type", "X-A"]


def test_the_environ_has_the_web_servers_variables(address):
    more = {"fields": [("X-Y-Z", "1"), ("Cookie", "a=b")], "DOCUMENT_ROOT": "/srv", "REMOTE_USER": "me"}
    told = json.loads(ask(address, "GET", "/environ?a=b%20c", HTTPS="on", **more).body)
    expected = {
        "REQUEST_METHOD": "GET",
        "QUERY_STRING": "a=b%20c",
        "REQUEST_URI": "/environ?a=b%20c",
        "RAW_URI": "/environ?a=b%20c",
        "SCRIPT_NAME": "",
        "REMOTE_ADDR": "192.0.2.7",
        "REMOTE_PORT": "50000",
        "REMOTE_USER": "me",
        "SERVER_NAME": "example.test",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "DOCUMENT_ROOT": "/srv",
        "HTTP_HOST": "example.test",
        "HTTP_X_Y_Z": "1",
        "HTTP_COOKIE": "a=b",
        "HTTPS": "on",
        "wsgi.url_scheme": "https",
    }
    assert {key: told.get(key) for key in expected} == expected
    assert not {"CONTENT_LENGTH", "CONTENT_TYPE"} & set(told)


def test_the_path_is_decoded_once(server):
    told = json.loads(ask(server.address, "GET", "/environ", PATH_INFO="/environ", REQUEST_URI="/%65nviron").body)
    assert told["REQUEST_URI"] == "/%65nviron"
    assert ask(server.address, "GET", "/x", PATH_INFO="/%65nviron").status == 404
    assert ask(server.address, "GET", "/%65nviron", PATH_INFO=None).status == 200


def test_variables_that_configure_uwsgi_are_dropped_and_logged_once(server):
    for name in ("UWSGI_FILE", "UWSGI_SCHEME", "UWSGI_CHDIR"):
        told = json.loads(ask(server.address, "GET", "/environ", **{name: "exec://id"}).body)
        assert not [key for key in told if key.startswith("UWSGI")]
    assert len(server.log.find("UWSGI_")) == 1


def test_variables_that_override_the_server_are_dropped(server):
    forged = {"wsgi.url_scheme": "https", "wsgi.forged": "1", "farrier.forged": "1", "HTTP_PROXY": "evil.test"}
    told = json.loads(ask(server.address, "GET", "/environ", **forged).body)
    assert told["wsgi.url_scheme"] == "http"
    assert not [key for key in told if "forged" in key or key == "HTTP_PROXY"]


@pytest.mark.parametrize("length", [0, 1, 4000, 65535, 65536, 300000, 10 << 20])
def test_content_of_any_length_arrives(address, length):
    body = bytes(range(256)) * (length // 256) + bytes(length % 256)
    answer = ask(address, "POST", "/echo", body)
    assert (answer.status, answer.value("X-Length"), answer.body == body) == (200, str(length), True)


def test_content_may_arrive_in_pieces(address):
    head = packet(variables("POST", "/echo", b"hello"))
    pieces = [head[at : at + 1] for at in range(0, len(head))] + [b"he", b"llo"]
    assert exchange(address, *pieces).body == b"hello"


def test_a_chunked_upload_has_the_length_of_content_length(server):
    answer = ask(server.address, "POST", "/echo", b"hello", HTTP_TRANSFER_ENCODING="chunked")
    assert answer.body == b"hello"


def test_without_content_length_there_is_no_content(server):
    answer = exchange(server.address, packet(variables("POST", "/echo")))
    assert (answer.value("X-Length"), answer.body) == ("none", b"")


@pytest.mark.parametrize("path, length", [("/stream", None), ("/large", "3000000")])
def test_no_answer_is_chunked(address, path, length):
    answer = ask(address, "GET", path)
    assert (answer.value("Transfer-Encoding"), answer.value("Content-Length")) == (None, length)
    assert len(answer.body) == int(length or 20000)


def test_head_and_304_have_no_content(address):
    assert (ask(address, "HEAD", "/environ").body, ask(address, "GET", "/unmodified").body) == (b"", b"")


def test_a_short_response_is_noticed(address):
    with Wire(address) as wire:
        wire.send(uwsgi("GET", "/short"))
        with pytest.raises(Incomplete):
            wire.read_response()


def test_an_exception_is_a_500(address):
    assert ask(address, "GET", "/raise").status == 500


REFUSED = [
    (400, "not HTTP", message()),
    (400, "empty", b"\0\0\0\0"),
    (400, "beyond the end", b"\0\3\0\0\5\0A"),
    (400, "no name", packet({"": "x"})),
    (400, "CONTENT_LENGTH", uwsgi(CONTENT_LENGTH="12abc")),
    (400, "CONTENT_LENGTH", uwsgi(CONTENT_LENGTH="-5")),
    (400, "REQUEST_METHOD", uwsgi(REQUEST_METHOD="")),
    (400, "control character", uwsgi(HTTP_X="a\r\nb")),
    (400, "Host", uwsgi(HTTP_HOST="a b")),
    (413, "above its bound", uwsgi(CONTENT_LENGTH="99999999")),
    (414, "request line", uwsgi(REQUEST_URI="/" + "x" * 9000)),
    (431, "field", uwsgi(HTTP_X="x" * 9000)),
    (431, "too many", uwsgi(**{"HTTP_X%d" % number: "1" for number in range(101)})),
    (501, "modifier1", b"\x16\x01\0\0x"),
    (501, "modifier1", b"\xad\0\0\0"),
]


@pytest.mark.parametrize("status, words, raw", REFUSED, ids=["%d-%d" % (at, r[0]) for at, r in enumerate(REFUSED)])
def test_refused_requests_are_answered_and_logged(server, address, status, words, raw):
    answer = exchange(address, raw)
    assert (answer.status, words in answer.body.decode()) == (status, True), answer.body
    server.log.wait("Invalid request.*" + words)


def test_a_refusal_reaches_a_web_server_that_still_sends(server):
    with Wire(server.address) as wire:
        wire.send(packet(variables(CONTENT_LENGTH="99999999")))
        wire.send_anyway(*[b"x" * 65536] * 20)
        assert wire.read_head().status == 413


def test_a_ping_is_answered(address):
    with Wire(address) as wire:
        wire.send(b"\x64\0\0\0")
        assert wire._exactly(4, []) == b"\x64\0\0\1"
        wire.assert_closed()


def test_modifier_30_takes_script_name_off_the_path(server):
    told = variables("GET", "/app/environ", SCRIPT_NAME="/app")
    seen = json.loads(exchange(server.address, packet(told, modifier=30)).body)
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("/app", "/environ")
    assert exchange(server.address, packet(told)).status == 404


def test_a_web_server_that_breaks_off_is_no_error(server):
    for raw in (uwsgi("POST", "/echo", b"x" * 100)[:-50], uwsgi()[:30]):
        with Wire(server.address) as wire:
            wire.send(raw)
            wire.half_close()
            wire.assert_closed()
    assert not server.log.find("Traceback[^:]*broke off")


def test_one_address_can_take_http_and_uwsgi_and_fastcgi(server):
    address = server.addresses[3]
    assert ask(address, "GET", "/environ").status == 200
    with Wire(address) as wire:
        assert wire.request(message(target="/environ")).status == 200
        assert wire.request(message(target="/environ")).status == 200
    with Wire(address) as wire:
        wire.send(b"\x64", b"\0", b"\0\0")
        assert wire._exactly(4, []) == b"\x64\0\0\1"


def test_http_is_all_that_an_http_address_takes(server):
    with Wire(server.addresses[2]) as wire:
        wire.send(uwsgi("GET", "/environ"))
        assert wire.read_head().status == 400


def test_only_known_peers_may_speak_it(serve):
    server = serve(
        APPLICATION, "--protocol", "auto", "--uwsgi-allow-from", "192.0.2.0/24", bind=["127.0.0.1:0", "unix:a"]
    )
    answer = ask(server.address, "GET", "/environ")
    assert (answer.status, "uwsgi_allow_ips" in answer.body.decode()) == (403, True)
    server.log.wait("Invalid request from ip=127.0.0.1: .*uwsgi_allow_ips")
    assert ask(server.addresses[1], "GET", "/environ").status == 200
    with Wire(server.address) as wire:
        assert wire.request(message(target="/environ")).status == 200


def test_the_protocol_can_be_set_for_all_addresses(serve):
    server = serve(APPLICATION, "--protocol", "uwsgi", bind=["127.0.0.1:0", "http://127.0.0.1:0"])
    assert ask(server.address, "GET", "/environ").status == 200
    with Wire(server.addresses[1]) as wire:
        assert wire.request(message(target="/environ")).status == 200


def test_a_proxys_fields_are_applied_only_from_a_trusted_client(serve):
    server = serve(APPLICATION, "--protocol", "uwsgi", "--forwarded-allow-ips", "10.0.0.0/8")
    scheme = lambda client: json.loads(  # noqa: E731
        ask(server.address, "GET", "/environ", fields=[("X-Forwarded-Proto", "https")], REMOTE_ADDR=client).body
    )["wsgi.url_scheme"]
    assert (scheme("10.1.2.3"), scheme("192.0.2.7")) == ("https", "http")


def test_the_access_log_names_the_client(serve):
    server = serve(APPLICATION, "--protocol", "uwsgi", "--access-logfile", "-")
    ask(server.address, "GET", "/a%20b?c", PATH_INFO="/a b")
    server.output.wait(r'192\.0\.2\.7 - - .* "GET /a%20b\?c HTTP/1.1" 404')


def test_a_thousand_connections(server):
    address = server.addresses[1]
    sockets = []
    try:
        for _ in range(1000):
            one = socket.socket(socket.AF_UNIX)
            one.settimeout(30)
            one.connect(address)
            sockets.append(one)
        request = uwsgi("GET", "/stream")
        for one in sockets:
            one.sendall(request)
        for one in sockets:
            received = b""
            while True:
                piece = one.recv(65536)
                if not piece:
                    break
                received += piece
            assert received.endswith(b"x" * 20000)
    finally:
        for one in sockets:
            one.close()


def test_a_reset_in_the_middle_of_a_response_frees_the_connection(server):
    worker = server.workers()[0]
    with Wire(server.address, receive_buffer=4096) as wire:
        wire.send(uwsgi("GET", "/large"))
        wire.read_head()
        wire.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until(lambda: ask(server.address, "GET", "/environ").status == 200)
    assert server.workers() == [worker]
