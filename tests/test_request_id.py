"""Request IDs (`request_id_header`): who sets them, and where they appear."""

import re

import pytest

from wire import message

ECHO = """
    def application(environ, start_response):
        if environ["PATH_INFO"] == "/raise":
            raise RuntimeError("not today")
        fields = [("X-Request-ID", "own")] if environ["PATH_INFO"] == "/own" else []
        start_response("200 OK", fields)
        return [environ.get("HTTP_X_REQUEST_ID", "none").encode()]
"""

MADE = re.compile("[0-9a-f]{32}")


@pytest.fixture(scope="module")
def server(serve_module):
    """The tests' own connections come from a proxy that is trusted."""
    return serve_module(
        ECHO,
        *("--request-id-header", "X-Request-ID", "--access-logfile", "-", "--livez-path", "/livez"),
        *("--access-logformat", "%(U)s %({x-request-id}i)s %({x-request-id}o)s", "--workers", 2),
    )


@pytest.fixture(scope="module")
def distrusting(serve_module):
    return serve_module(ECHO, "--request-id-header", "X-Request-ID", "--forwarded-allow-ips", "192.0.2.1")


def test_without_the_setting_the_field_is_any_other(serve):
    response = serve(ECHO).get(fields=[("X-Request-ID", "theirs")])
    assert (response.text, response.value("X-Request-ID")) == ("theirs", None)


def test_a_request_gets_a_name_that_application_response_and_log_share(server):
    response = server.get("/some")
    assert MADE.fullmatch(response.text) and response.value("X-Request-ID") == response.text
    server.output.wait("^/some %s %s$" % (response.text, response.text))


def test_no_two_requests_share_a_name_in_any_worker(server):
    names = {server.get().text for _ in range(60)}
    with server.connect() as wire:
        names |= {wire.request(message()).text for _ in range(60)}
    assert len(names) == 120 and all(MADE.fullmatch(name) for name in names)


@pytest.mark.parametrize("name", ["abc", "0af7651916cd43dd8448eb211c80319c", "Root=1-67891233-abcdef", "a" * 128])
def test_a_trusted_proxys_name_is_kept(server, name):
    response = server.get(fields=[("x-request-id", name)])
    assert (response.text, response.value("X-Request-ID")) == (name, name)


@pytest.mark.parametrize("name", ["", "two words", 'quote"', "comma,", "a" * 129, "b\xe4r", "a\tb"])
def test_a_name_that_is_none_is_replaced(server, name):
    response = server.get(fields=[("X-Request-ID", name)])
    assert MADE.fullmatch(response.text) and response.value("X-Request-ID") == response.text


def test_two_names_are_none(server):
    response = server.get(fields=[("X-Request-ID", "one"), ("X-Request-ID", "two")])
    assert MADE.fullmatch(response.text)


def test_ids_of_untrusted_peers_are_replaced(distrusting):
    for fields in ([("X-Request-ID", "theirs")], [("X-Request-ID", "a"), ("x-request-id", "b")], []):
        response = distrusting.get(fields=fields)
        assert MADE.fullmatch(response.text) and response.value("X-Request-ID") == response.text


def test_the_name_is_on_the_answer_to_a_request_that_failed(server):
    response = server.get("/raise")
    assert response.status == 500 and MADE.fullmatch(response.value("X-Request-ID"))


def test_the_applications_own_field_stays(server):
    assert server.get("/own").values("X-Request-ID") == ["own"]


def test_pipelined_requests_have_names_of_their_own(server):
    with server.connect() as wire:
        wire.send(message() + message(fields=[("X-Request-ID", "second")]) + message())
        names = [wire.read_response().text for _ in range(3)]
    assert names[1] == "second" and MADE.fullmatch(names[0]) and MADE.fullmatch(names[2]) and names[0] != names[2]


def test_questions_about_health_need_no_name(server):
    assert server.get("/livez").value("X-Request-ID") is None


def test_the_field_may_have_any_name_but_one_that_is_taken(serve):
    server = serve(ECHO, "--request-id-header", "X-Correlation")
    assert MADE.fullmatch(server.get().value("X-Correlation"))
    refused = serve(ECHO, settings='request_id_header = "Transfer-Encoding"', listening=False)
    assert refused.wait_exit() == 1
    refused.log.wait("request_id_header")
