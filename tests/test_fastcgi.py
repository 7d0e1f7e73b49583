"""FastCGI, record by record."""

import json

import pytest

from gateway import (
    ABORT,
    CANNOT_MULTIPLEX,
    COMPLETE,
    END_REQUEST,
    GET_VALUES,
    GET_VALUES_RESULT,
    OVERLOADED,
    PARAMS,
    STDIN,
    STDOUT,
    UNKNOWN_ROLE,
    UNKNOWN_TYPE,
    Records,
    begin,
    fastcgi,
    pairs,
    record,
    stream,
    uwsgi,
    variables,
)
from test_uwsgi import APPLICATION
from wire import Wire, message, until

WAITING = """
    import threading

    GATE = threading.Event()

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/open":
            GATE.set()
        elif environ["PATH_INFO"] == "/wait":
            GATE.wait(30)
        start_response("200 OK", [])
        return [b"done"]
"""


@pytest.fixture(scope="module")
def server(serve_module):
    """A server with FastCGI on TCP and on a unix socket."""
    bind = ["fastcgi://127.0.0.1:0", "fastcgi+unix:fastcgi.sock"]
    return serve_module(APPLICATION, "--limit-request-body", "20M", "--limit-request-head", "1M", bind=bind)


@pytest.fixture(params=["tcp", "unix"])
def address(server, request):
    """The addresses with FastCGI."""
    return server.addresses[("tcp", "unix").index(request.param)]


def ask(address, *arguments, **more):
    with Records(address) as records:
        answer = records.ask(*arguments, **more)
        assert records.read() is None, "without FCGI_KEEP_CONN the application closes"
        return answer


def test_a_request_is_answered_and_the_connection_closed(address):
    answer = ask(address, "GET", "/environ?a=b", fields=[("X-Y", "1")], HTTPS="on")
    told = json.loads(answer.body)
    assert (answer.status, answer.end) == (200, (0, COMPLETE))
    assert [name for name, _ in answer.fields] == ["Content-Length", "Content-Type", "X-A"]
    assert (told["PATH_INFO"], told["QUERY_STRING"], told["HTTP_X_Y"]) == ("/environ", "a=b", "1")
    assert (told["REMOTE_ADDR"], told["SERVER_NAME"], told["wsgi.url_scheme"]) == ("192.0.2.7", "example.test", "https")


def test_head_and_content_come_in_one_record(address):
    assert [kind for kind, _, _ in ask(address, "GET", "/environ").records] == [STDOUT, STDOUT, END_REQUEST]


@pytest.mark.parametrize("length", [0, 1, 4096, 65527, 65528, 65535, 65536, 300000, 10 << 20])
def test_content_of_any_length_arrives_and_comes_back(address, length):
    body = bytes(range(256)) * (length // 256) + bytes(length % 256)
    answer = ask(address, "POST", "/echo", body)
    assert (dict(answer.fields)["X-Length"], answer.body == body) == (str(length), True)


def test_content_without_a_length_arrives(address):
    with Records(address) as records:
        told = pairs(variables("POST", "/echo", CONTENT_LENGTH=None))
        records.send(begin(), stream(PARAMS, told), stream(STDIN, b"h" * 100000, most=999, padding=5))
        answer = records.answer()
    assert (dict(answer.fields)["X-Length"], answer.body) == ("100000", b"h" * 100000)


def test_everything_may_arrive_in_pieces(address):
    raw = fastcgi("POST", "/echo", b"hello")
    with Records(address) as records:
        records.send(*[raw[at : at + 1] for at in range(len(raw))])
        assert records.answer().body == b"hello"


def test_variables_may_be_cut_and_padded_anywhere(address):
    told = pairs(variables("GET", "/environ", HTTP_COOKIE="c" * 500))
    with Records(address) as records:
        records.send(begin(), stream(PARAMS, told, most=7, padding=3), stream(STDIN, b""))
        assert json.loads(records.answer().body)["HTTP_COOKIE"] == "c" * 500


def test_variables_may_be_longer_than_64_kib(server):
    answer = ask(server.address, "GET", "/environ", LONG="v" * 200000)
    assert json.loads(answer.body)["LONG"] == "v" * 200000
    assert ask(server.address, "GET", "/environ", LONG="v" * (1 << 20)).status == 431


def test_a_connection_can_be_kept(address):
    with Records(address) as records:
        for request_id in (1, 1, 2, 700):
            answer = records.ask("POST", "/echo", b"x" * request_id, request_id=request_id, keep=True)
            assert answer.body == b"x" * request_id
        assert records.ask("GET", "/stream", keep=True).body == b"x" * 20000
        assert records.is_open()
        assert records.ask("GET", "/environ", keep=False).status == 200
        assert records.read() is None


def test_requests_may_be_sent_ahead(address):
    with Records(address) as records:
        records.send(b"".join(fastcgi("POST", "/echo", b"%d" % number, keep=True) for number in range(5)))
        assert [records.answer().body for _ in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


def test_an_error_ends_with_a_status(address):
    assert ask(address, "GET", "/raise").status == 500
    assert ask(address, "GET", "/none").status == 404


def test_a_short_response_is_noticed(address):
    with Records(address) as records:
        records.send(fastcgi("GET", "/short", keep=True))
        kind, _, content = records.read()
        assert (kind, content.endswith(b"\r\n\r\nonly")) == (STDOUT, True)
        assert records.read() is None, "no END_REQUEST"


def test_a_request_can_be_aborted(address):
    for sent in (begin(keep=True), fastcgi("POST", "/echo", b"hello", keep=True)[:-8]):
        with Records(address) as records:
            records.send(sent + record(ABORT))
            assert records.read() == (END_REQUEST, 1, bytes(8))
            assert records.read() is None


def test_an_abort_of_a_finished_request_is_ignored(address):
    with Records(address) as records:
        records.ask("GET", "/environ", keep=True)
        records.send(record(ABORT))
        assert records.ask("GET", "/environ", request_id=2).status == 200


def test_management_questions_are_answered(address):
    with Records(address) as records:
        question = pairs({"FCGI_MAX_CONNS": "", "FCGI_MAX_REQS": "", "FCGI_MPXS_CONNS": ""})
        records.send(record(GET_VALUES, 0, question))
        kind, request_id, content = records.read()
        assert (kind, request_id) == (GET_VALUES_RESULT, 0)
        assert content.endswith(pairs({"FCGI_MPXS_CONNS": "0"}))
        records.send(record(99, 0, b"?"))
        assert records.read() == (UNKNOWN_TYPE, 0, b"\x63" + bytes(7))
        assert records.ask("GET", "/environ").status == 200


def test_there_is_one_request_at_a_time(address):
    raw = fastcgi("GET", "/environ")
    with Records(address) as records:
        records.send(raw[:16] + begin(2) + raw[16:])
        assert records.read() == (END_REQUEST, 2, b"\0\0\0\0%c\0\0\0" % CANNOT_MULTIPLEX)
        assert records.answer().status == 200


def test_other_roles_are_refused(address):
    with Records(address) as records:
        records.send(begin(role=3))
        assert records.read() == (END_REQUEST, 1, b"\0\0\0\0%c\0\0\0" % UNKNOWN_ROLE)
        assert records.read() is None


def test_a_connection_that_is_to_be_kept_survives_another_role(address):
    with Records(address) as records:
        records.send(begin(role=3, keep=True))
        assert records.read() == (END_REQUEST, 1, b"\0\0\0\0%c\0\0\0" % UNKNOWN_ROLE)
        assert records.ask("GET", "/environ", request_id=2).status == 200


@pytest.fixture(scope="module")
def impatient(serve_module):
    flags = ("--header-timeout", 1, "--keepalive", 600)
    return serve_module(APPLICATION, *flags, bind=["fastcgi://127.0.0.1:0", "auto://127.0.0.1:0"])


BESIDE_A_REQUEST = [
    record(GET_VALUES, 0, pairs({"FCGI_MAX_CONNS": ""})),
    begin(role=3, keep=True),
    record(PARAMS, 7, b"of no request"),
    record(STDIN, 7),
    record(ABORT, 7),
    record(99, 0),
]


@pytest.mark.parametrize("protocol", [0, 1], ids=["fastcgi", "auto"])
@pytest.mark.parametrize("raw", BESIDE_A_REQUEST, ids=range(len(BESIDE_A_REQUEST)))
def test_records_beside_a_request_keep_no_connection_open(impatient, protocol, raw):
    """Whoever sends them has asked for nothing, and is waited for as long as for a head: `header_timeout`."""
    with Records(impatient.addresses[protocol]) as records:
        records.send(raw)
        kinds = []
        while found := records.read():
            kinds.append(found[0])
        assert not {STDOUT, STDIN} & set(kinds), kinds


def test_a_request_that_is_not_complete_in_time_is_answered_in_records(impatient):
    with Records(impatient.address) as records:
        records.send(begin())
        answer = records.answer()
        assert (answer.status, answer.end) == (408, (0, COMPLETE))


REFUSED = [
    (400, begin() + record(STDIN, 1, b"x")),
    (400, fastcgi("POST", "/echo", b"abc", CONTENT_LENGTH="4")),
    (400, fastcgi("POST", "/echo", b"abc", CONTENT_LENGTH="2")),
    (400, fastcgi(CONTENT_LENGTH="1x")),
    (400, begin() + stream(PARAMS, b"\xff\xff\xff\xff\1")),
    (413, fastcgi("POST", "/echo", CONTENT_LENGTH="99999999")),
    (431, fastcgi(**{"HTTP_X%d" % number: "1" for number in range(101)})),
]


@pytest.mark.parametrize("status, raw", REFUSED, ids=range(len(REFUSED)))
def test_refused_requests_are_answered_in_records(address, status, raw):
    with Records(address) as records:
        records.send(raw)
        answer = records.answer()
        assert (answer.status, answer.end) == (status, (0, COMPLETE))
        assert records.read() is None


def test_an_http_client_gets_an_http_error(address):
    with Wire(address) as wire:
        answer = wire.request(message())
        assert (answer.status, "FastCGI" in answer.text) == (400, True)


def test_a_full_queue_is_answered_with_status_and_record(serve):
    server = serve(WAITING, "--threads", 1, "--queue-max", 1, bind=["fastcgi://127.0.0.1:0", "127.0.0.1:0"])
    waiting = [Records(server.address) for _ in range(2)]
    try:
        for records in waiting:
            records.send(fastcgi("GET", "/wait"))

        def refused():
            with Records(server.address) as records:
                records.socket.settimeout(30)
                records.send(fastcgi("GET", "/wait"))
                return records.answer()

        answer = refused()
        assert (answer.status, answer.end) == (503, (0, OVERLOADED))
        assert "Retry-After" in dict(answer.fields)
    finally:
        for records in waiting:
            records.__exit__()
        server.kill(3)
        server.wait_exit()


def test_only_known_peers_may_speak_it(serve):
    server = serve(APPLICATION, "--protocol", "fastcgi", "--fastcgi-allow-from", "192.0.2.1")
    answer = ask(server.address, "GET", "/environ")
    assert (answer.status, b"fastcgi_allow_ips" in answer.body) == (403, True)


def test_nothing_but_a_path_is_needed(address):
    with Records(address) as records:
        records.send(begin(), stream(PARAMS, pairs({"REQUEST_METHOD": "GET", "REQUEST_URI": "/environ"})))
        records.send(stream(STDIN, b""))
        told = json.loads(records.answer().body)
    assert told["SERVER_NAME"] and told["SERVER_PROTOCOL"] == "HTTP/1.1"


def test_script_name_that_is_the_whole_path_mounts_nothing(address):
    told = json.loads(ask(address, "GET", "/environ", PATH_INFO=None, SCRIPT_NAME="/environ").body)
    assert (told["SCRIPT_NAME"], told["PATH_INFO"]) == ("", "/environ")


def test_a_kept_connection_ends_with_the_server(serve):
    server = serve(APPLICATION, bind=["fastcgi+unix:f.sock"])
    with Records(server.address) as records:
        assert records.ask("GET", "/environ", keep=True).status == 200
        server.kill(15)
        until(lambda: not records.is_open(), 20, "the idle connection to be closed")
    assert server.wait_exit() == 0


def test_a_call_that_takes_too_long_is_answered_in_records(serve):
    server = serve(WAITING, "--request-timeout", "1s", bind=["fastcgi://127.0.0.1:0", "uwsgi://127.0.0.1:0"])
    with Records(server.address) as records:
        answer = records.ask("GET", "/wait", keep=True)
        assert (answer.status, answer.end) == (504, (0, COMPLETE))
    assert ask(server.address, "GET", "/open").status == 200
    with Wire(server.addresses[1]) as wire:
        wire.send(uwsgi("GET", "/open"))
        assert wire.read_head().status == 200
