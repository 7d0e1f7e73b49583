"""X-Forwarded-*: trusted from trusted peers only, as far as the settings name the fields, and read from the right."""

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


ALL = "forwarded,x-forwarded-for,x-forwarded-host,x-forwarded-port,x-forwarded-prefix,x-real-ip"


@pytest.fixture(scope="module")
def trusting(serve_module):
    return serve_module(DUMP, "--forwarded-allow-ips", "127.0.0.1,10.0.0.0/8", "--proxy-headers", ALL)


@pytest.fixture(scope="module")
def usual(serve_module):
    """The defaults, as for Gunicorn's users, with a peer on this machine."""
    return serve_module(DUMP)


@pytest.fixture(scope="module")
def distrusting(serve_module):
    return serve_module(DUMP, "--forwarded-allow-ips", "192.0.2.1", "--proxy-headers", ALL)


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


def test_https_is_set_in_the_environ(serve):
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
def test_garbage_from_a_trusted_peer_causes_no_failure(trusting, value):
    response = trusting.get(
        fields=[("X-Forwarded-For", value), ("X-Forwarded-Port", value), ("X-Forwarded-Proto", value)]
    )
    assert response.status in (200, 400)


def test_peers_on_unix_sockets_are_trusted(serve):
    server = serve(DUMP, "--proxy-headers", "x-forwarded-for", bind=["unix:farrier.sock"])
    raw = message(fields=[("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https")])
    environ = json.loads(server.exchange(raw).body)
    assert (environ["REMOTE_ADDR"], environ["wsgi.url_scheme"]) == ("203.0.113.7", "https")


@pytest.mark.parametrize(
    "field",
    [
        ("X-Forwarded-For", "203.0.113.7"),
        ("X-Real-IP", "203.0.113.7"),
        ("Forwarded", "for=203.0.113.7;host=forged.test;proto=https"),
        ("X-Forwarded-Host", "forged.test"),
        ("X-Forwarded-Port", "1"),
        ("X-Forwarded-Prefix", "/forged"),
    ],
    ids=lambda field: field[0],
)
def test_by_default_a_trusted_proxy_cannot_pass_on_forged_fields(usual, field):
    assert environ_of(usual, field) == environ_of(usual)


@pytest.mark.parametrize(
    "name, value, scheme",
    [
        ("X-Forwarded-Proto", "https", "https"),
        ("X-Forwarded-Protocol", "ssl", "https"),
        ("X-Forwarded-Ssl", "on", "https"),
        ("X-Forwarded-Ssl", "off", "http"),
    ],
)
def test_by_default_trusted_proxies_set_the_scheme(usual, name, value, scheme):
    assert environ_of(usual, (name, value))["wsgi.url_scheme"] == scheme


def test_fields_without_a_setting_reach_the_application_from_every_peer(serve):
    server = serve(
        """
        def application(environ, start_response):
            start_response("200 OK", [])
            return [(environ.get("HTTP_X_FORWARDED_PROTO", "-") + environ["wsgi.url_scheme"]).encode()]
    """,
        "--forwarded-allow-ips",
        "192.0.2.1",
    )
    # Django's SECURE_PROXY_SSL_HEADER relies on this.
    assert server.get(fields=[("X-Forwarded-Proto", "https")]).text == "httpshttp"


def test_fields_that_contradict_each_other_about_the_scheme_are_refused(usual):
    response = usual.get(fields=[("X-Forwarded-Proto", "https"), ("X-Forwarded-Ssl", "off")])
    assert (response.status, response.closes) == (400, True)
    assert usual.get(fields=[("X-Forwarded-Proto", "https"), ("X-Forwarded-Ssl", "on")]).status == 200


def test_any_field_may_set_the_scheme(serve):
    server = serve(DUMP, "--secure-scheme-headers", "FRONT-END-HTTPS=On")
    assert environ_of(server, ("Front-End-Https", "on"))["wsgi.url_scheme"] == "https"
    assert environ_of(server, ("X-Forwarded-Proto", "https"))["wsgi.url_scheme"] == "http"


@pytest.mark.parametrize("peers, script", [("127.0.0.1", "/app"), ("192.0.2.1", "")])
def test_script_name_is_a_trusted_proxys_to_say(serve, peers, script):
    server = serve(DUMP, "--forwarded-allow-ips", peers)
    environ = environ_of(server, ("SCRIPT_NAME", "/app"), target="/app/x")
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (script, "/x" if script else "/app/x")


def test_script_name_of_the_servers_environment(serve):
    server = serve(DUMP, environment={"SCRIPT_NAME": "/app/"})
    for target, path in (("/app/x", "/x"), ("/app", ""), ("/other", "/other"), ("/apple", "/apple")):
        environ = environ_of(server, target=target)
        assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", path)
    assert environ_of(server, ("SCRIPT_NAME", "/nearer"), target="/nearer/x")["PATH_INFO"] == "/x"


UNDERSCORES = """
    def application(environ, start_response):
        start_response("200 OK", [])
        return [",".join(sorted(key for key in environ if "X_" in key or "PATH_INFO" in key)).encode()]
"""


def test_a_dropped_field_is_named_once_in_the_log(serve):
    server = serve(UNDERSCORES, "--workers", "1")
    for _ in range(3):
        assert server.get(fields=[("X_Token", "1")]).text == "PATH_INFO"
    server.log.wait(r"\[WARNING\] Dropped the header field X_Token: .*header_map.*")
    assert server.get(fields=[("X_Other", "1")]).text == "PATH_INFO"
    server.log.wait(r"Dropped the header field X_Other")
    assert len(server.log.find("Dropped the header field X_Token")) == 1


def test_header_map_refuses_or_lets_through(serve):
    refusing = serve(UNDERSCORES, "--header-map", "refuse")
    assert refusing.get(fields=[("X_Token", "1")]).status == 400
    assert refusing.get(fields=[("PATH_INFO", "/p")]).text == "HTTP_PATH_INFO,PATH_INFO"
    dangerous = serve(UNDERSCORES, "--header-map", "dangerous", "--forwarder-headers", "")
    assert dangerous.get(fields=[("X_Token", "1")]).text == "HTTP_X_TOKEN,PATH_INFO"
    every = serve(UNDERSCORES, "--forwarder-headers", "*")
    assert every.get(fields=[("X_Token", "1")]).text == "HTTP_X_TOKEN,PATH_INFO"
