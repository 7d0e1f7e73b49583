"""X-Forwarded-*: believed from trusted peers alone, read from the right."""

import json

import pytest

from wire import message

DUMP = """
    import json
    KEYS = ("wsgi.url_scheme", "REMOTE_ADDR", "SERVER_NAME", "SERVER_PORT", "SCRIPT_NAME", "PATH_INFO", "HTTP_HOST")

    def application(environ, start_response):
        start_response("200 OK", [])
        return [json.dumps({key: environ.get(key) for key in KEYS}).encode()]
"""


@pytest.fixture(scope="module")
def trusting(serve_module):
    return serve_module(DUMP, "--forwarded-allow-ips", "127.0.0.1,10.0.0.0/8")


@pytest.fixture(scope="module")
def distrusting(serve_module):
    return serve_module(DUMP, "--forwarded-allow-ips", "192.0.2.1")


def environ_of(server, *fields, target="/"):
    response = server.get(target, fields)
    assert response.status == 200, response
    return json.loads(response.body)


@pytest.mark.parametrize(
    "value, expected",
    [
        ("203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7, 10.1.2.3", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7, 10.1.2.3, 10.4.5.6", "203.0.113.7"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_client_is_the_rightmost_address_that_is_not_trusted(trusting, value, expected):
    assert environ_of(trusting, ("X-Forwarded-For", value))["REMOTE_ADDR"] == expected


def test_several_fields_are_one_list(trusting):
    environ = environ_of(trusting, ("X-Forwarded-For", "198.51.100.1"), ("X-Forwarded-For", "203.0.113.7"))
    assert environ["REMOTE_ADDR"] == "203.0.113.7"


@pytest.mark.parametrize(
    "value, expected", [("https", "https"), ("http", "http"), ("HTTPS", "https"), ("gopher", "http")]
)
def test_the_scheme(trusting, value, expected):
    assert environ_of(trusting, ("X-Forwarded-Proto", value))["wsgi.url_scheme"] == expected


def test_https_is_told_to_cgi_programs_too(serve):
    server = serve(
        """
        def application(environ, start_response):
            start_response("200 OK", [])
            return [repr(environ.get("HTTPS")).encode()]
    """,
        "--forwarded-allow-ips",
        "127.0.0.1",
    )
    assert server.get(fields=[("X-Forwarded-Proto", "https")]).text == "'on'"
    assert server.get().text == "None"


def test_host_and_port(trusting):
    environ = environ_of(
        trusting, ("X-Forwarded-Host", "example.test"), ("X-Forwarded-Port", "8443"), ("X-Forwarded-Proto", "https")
    )
    assert environ["HTTP_HOST"].split(":")[0] == "example.test"
    assert environ["SERVER_PORT"] == "8443"


@pytest.mark.parametrize(
    "target, script, path",
    [
        ("/app/x", "/app", "/x"),
        ("/app", "/app", ""),
        ("/app/", "/app", "/"),
        ("/apple", "/app", "/apple"),
        ("/x", "/app", "/x"),
    ],
)
def test_the_prefix_becomes_script_name_and_leaves_the_path_only_at_a_segment_border(trusting, target, script, path):
    environ = environ_of(trusting, ("X-Forwarded-Prefix", "/app"), target=target)
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script, path)


@pytest.mark.parametrize(
    "fields",
    [
        [("X-Forwarded-For", "203.0.113.7")],
        [("X-Real-IP", "203.0.113.7")],
        [("Forwarded", "for=203.0.113.7;proto=https")],
        [("X-Forwarded-Proto", "https")],
        [("X-Forwarded-Prefix", "/app")],
        [("X-Forwarded-Host", "forged.test")],
        [("X-Forwarded-Port", "1")],
        [("X_Forwarded_For", "203.0.113.7")],
    ],
    ids=lambda fields: fields[0][0],
)
def test_an_untrusted_peer_changes_nothing(distrusting, fields):
    assert environ_of(distrusting, *fields) == environ_of(distrusting)


@pytest.mark.parametrize(
    "value", ["", ",", "garbage", "203.0.113.7:http", "a, b, c", "unknown", "\xff", "1.2.3.4" * 500]
)
def test_garbage_from_a_trusted_peer_does_no_harm(trusting, value):
    response = trusting.get(
        fields=[("X-Forwarded-For", value), ("X-Forwarded-Port", value), ("X-Forwarded-Proto", value)]
    )
    assert response.status in (200, 400)


def test_peers_on_unix_sockets_are_trusted(serve):
    server = serve(DUMP, bind=["unix:farrier.sock"])
    raw = message(fields=[("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https")])
    environ = json.loads(server.exchange(raw).body)
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("203.0.113.7", "https")
