"""`--trusted-proxy`: which peers and fields are trusted, through how many hops; other peers cannot set them."""

import json

import pytest

from wire import message

DUMP = """
    import json

    def application(environ, start_response):
        start_response("200 OK", [])
        return [json.dumps({key: value for key, value in environ.items() if isinstance(value, str)}).encode()]
"""

POSING = (
    "Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Forwarded-Protocol",
    "X-Forwarded-Ssl",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-User",
    "X-Real-IP",
)


@pytest.fixture(scope="module")
def trusting(serve_module):
    return serve_module(DUMP, "--trusted-proxy", "127.0.0.0/8", "--trusted-proxy", "10.0.0.0/8")


@pytest.fixture(scope="module")
def distrusting(serve_module):
    return serve_module(DUMP, "--trusted-proxy", "192.0.2.1")


def environ_of(server, *fields, target="/"):
    response = server.get(target, fields)
    assert response.status == 200, response
    return json.loads(response.body)


def said(environ):
    return tuple(environ[key] for key in ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST"))


NOTHING = ("127.0.0.1", "http", "farrier.test")


@pytest.mark.parametrize(
    "fields, expected",
    [
        ([], NOTHING),
        ([("X-Forwarded-For", "203.0.113.7")], ("203.0.113.7", "http", "farrier.test")),
        (
            [("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "a.test")],
            ("203.0.113.7", "https", "a.test"),
        ),
        # Through trusted hops, up to the first that is not trusted.
        (
            [("X-Forwarded-For", "198.51.100.1, 203.0.113.7, 10.1.1.1,10.2.2.2")],
            ("203.0.113.7", "http", "farrier.test"),
        ),
        ([("X-Forwarded-For", "10.9.9.9, 10.1.1.1")], ("10.9.9.9", "http", "farrier.test")),
        ([("X-Forwarded-For", "203.0.113.7, nonsense, 10.1.1.1")], ("10.1.1.1", "http", "farrier.test")),
        ([("X-Forwarded-For", "[2001:db8::1]:443")], ("2001:db8::1", "http", "farrier.test")),
        ([("X-Forwarded-For", "::ffff:203.0.113.7")], ("203.0.113.7", "http", "farrier.test")),
        ([("X-Real-IP", "203.0.113.7")], ("203.0.113.7", "http", "farrier.test")),
        # RFC 7239.
        ([("Forwarded", "for=203.0.113.7;proto=https;host=a.test")], ("203.0.113.7", "https", "a.test")),
        ([("Forwarded", 'For="[2001:db8::1]:4711";Proto=HTTPS;Host="a.test"')], ("2001:db8::1", "https", "a.test")),
        (
            [("Forwarded", "for=198.51.100.1, for=203.0.113.7;proto=https;host=a.test, for=10.1.1.1;proto=http")],
            ("203.0.113.7", "https", "a.test"),
        ),
        (
            [("Forwarded", "for=203.0.113.7;host=a.test"), ("Forwarded", "for=10.1.1.1;host=b.test")],
            ("203.0.113.7", "http", "a.test"),
        ),
        ([("Forwarded", "for=203.0.113.7, for=_hidden;proto=https")], ("127.0.0.1", "https", "farrier.test")),
        ([("Forwarded", "for=203.0.113.7, for=unknown;proto=https")], ("127.0.0.1", "https", "farrier.test")),
        ([("Forwarded", "for=203.0.113.7, proto=https")], ("127.0.0.1", "https", "farrier.test")),
    ],
)
def test_fields_of_a_trusted_proxy_are_applied(trusting, fields, expected):
    assert said(environ_of(trusting, *fields)) == expected


@pytest.mark.parametrize(
    "fields, expected",
    [
        # Quotes that the client leaves open end where the proxy's own element begins.
        ([("Forwarded", 'for="198.51.100.1, for=203.0.113.7;host=a.test')], ("203.0.113.7", "http", "a.test")),
        ([("Forwarded", 'for="\\", for=203.0.113.7')], ("203.0.113.7", "http", "farrier.test")),
        ([("Forwarded", 'host=evil.test;x="y, for="203.0.113.7"')], ("203.0.113.7", "http", "farrier.test")),
        # A proxy that sets the older fields and passes this one on.
        (
            [("Forwarded", "for=198.51.100.1;host=evil.test"), ("X-Forwarded-For", "203.0.113.7")],
            ("203.0.113.7", "http", "farrier.test"),
        ),
        (
            [("X-Real-IP", "198.51.100.1"), ("X-Forwarded-For", "203.0.113.7")],
            ("203.0.113.7", "http", "farrier.test"),
        ),
        # A proxy that adds its own field behind the client's.
        ([("X-Real-IP", "198.51.100.1"), ("X-Real-IP", "203.0.113.7")], ("203.0.113.7", "http", "farrier.test")),
        ([("X-Real-IP", "198.51.100.1, 203.0.113.7")], ("203.0.113.7", "http", "farrier.test")),
        ([("X-Forwarded-Host", "evil.test/x")], NOTHING),
        ([("Forwarded", "for=203.0.113.7;host=evil.test;host=b.test")], ("203.0.113.7", "http", "farrier.test")),
    ],
)
def test_a_client_behind_a_trusted_proxy_cannot_forge_its_fields(trusting, fields, expected):
    assert said(environ_of(trusting, *fields)) == expected


@pytest.mark.parametrize(
    "fields",
    [
        [("X-Forwarded-Proto", "https"), ("X-Forwarded-Proto", "http")],
        [("X-Forwarded-Proto", "https"), ("X-Forwarded-Ssl", "off")],
        [("X-Forwarded-Proto", "http"), ("Forwarded", "for=203.0.113.7;proto=https")],
    ],
)
def test_schemes_that_contradict_each_other_are_400(trusting, fields):
    assert trusting.get(fields=fields).status == 400


def test_port_and_prefix_are_applied_too(trusting):
    environ = environ_of(trusting, ("X-Forwarded-Port", "8443"), ("X-Forwarded-Prefix", "/app/"), target="/app/page")
    assert (environ["SERVER_PORT"], environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("8443", "/app", "/page")


def test_fields_of_untrusted_peers_do_not_reach_the_application(distrusting):
    fields = [(name, "https" if "Proto" in name else "203.0.113.7") for name in POSING]
    fields += [(name.lower(), "x") for name in POSING] + [("X-Other", "kept")]
    environ = environ_of(distrusting, *fields)
    assert said(environ) == NOTHING and "HTTPS" not in environ and environ["SCRIPT_NAME"] == ""
    kept = {key for key in environ if key.startswith("HTTP_")}
    assert kept == {"HTTP_HOST", "HTTP_X_OTHER"}


def test_a_trusted_proxys_fields_reach_the_application_as_they_came(trusting):
    environ = environ_of(trusting, ("X-Forwarded-For", "198.51.100.1, 203.0.113.7"), ("X-Forwarded-User", "ann"))
    assert environ["HTTP_X_FORWARDED_FOR"] == "198.51.100.1, 203.0.113.7"
    assert environ["HTTP_X_FORWARDED_USER"] == "ann"


def test_a_peer_on_a_unix_socket_is_trusted(serve, tmp_path):
    server = serve(DUMP, "--trusted-proxy", "192.0.2.1", bind=["unix:%s" % (tmp_path / "socket")])
    response = server.exchange(message(fields=[("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https")]))
    assert said(json.loads(response.body)) == ("203.0.113.7", "https", "farrier.test")


def test_without_it_gunicorns_settings_hold(serve):
    server = serve(DUMP)
    environ = environ_of(server, ("X-Forwarded-For", "203.0.113.7"), ("X-Forwarded-Proto", "https"))
    assert said(environ) == ("127.0.0.1", "https", "farrier.test")
    assert environ["HTTP_X_FORWARDED_FOR"] == "203.0.113.7"


@pytest.mark.parametrize(
    "flags, named",
    [
        (["--forwarded-allow-ips", "10.0.0.2"], "--forwarded-allow-ips: forwarded_allow_ips names other peers"),
        (["--proxy-headers", "x-forwarded-for"], "--proxy-headers: proxy_headers does not name every field"),
    ],
)
def test_settings_that_contradict_it_are_an_error_at_the_start(serve, flags, named):
    server = serve(DUMP, "--trusted-proxy", "10.0.0.1", *flags, listening=False)
    assert server.wait_exit() in (1, 2)
    server.log.wait(named)


def test_settings_that_say_the_same_are_none(serve):
    server = serve(DUMP, "--trusted-proxy", "127.0.0.1", "--forwarded-allow-ips", "127.0.0.1")
    assert environ_of(server, ("X-Forwarded-For", "203.0.113.7"))["REMOTE_ADDR"] == "203.0.113.7"
