"""The environ dictionary (PEP 3333, "environ Variables"): its keys, their spelling, and keys that must be absent."""

import json

import pytest

from wire import chunked, message

DUMP = """
    import json

    def application(environ, start_response):
        strings = {key: value for key, value in environ.items() if type(value) is str}
        return answer(start_response, json.dumps(strings))
"""


@pytest.fixture(scope="module")
def dump(host):
    return host(DUMP)


def environ_of(app, *args, **kwargs):
    response = app.request(*args, **kwargs)
    assert response.status == 200, response
    return json.loads(response.body)


def test_environ_is_a_fresh_built_in_dict_for_every_request(host):
    app = host("""
        KEPT = []

        def application(environ, start_response):
            SEEN.append([type(environ) is dict, "mine" in environ, any(environ is other for other in KEPT)])
            environ["mine"] = 1
            environ.pop("wsgi.input")
            KEPT.append(environ)
            return answer(start_response)
    """)
    with app.connect() as wire:
        for _ in range(3):
            assert wire.request(app.message()).status == 200
    assert app.seen() == [[True, False, False]] * 3


def test_every_cgi_variable_is_a_built_in_str_in_latin_1_and_never_bytes(host):
    app = host("""
        def application(environ, start_response):
            for key, value in environ.items():
                if type(key) is not str or type(value) is bytes:
                    SEEN.append(repr(key))
                if key.isupper() and type(value) is not str:
                    SEEN.append(key + " is " + type(value).__name__)
                if type(value) is str:
                    value.encode("latin-1")
            return answer(start_response)
    """)
    assert app.post(b"x", "/%E2%98%83?%E2%98%83", fields=[("X-High", "\xe9\xff"), ("Cookie", "a=b")]).status == 200
    assert app.seen() == []


@pytest.mark.parametrize(
    "key, expected",
    [
        ("REQUEST_METHOD", "POST"),
        ("SCRIPT_NAME", ""),
        ("PATH_INFO", "/a b"),
        ("QUERY_STRING", "q=%20&r"),
        ("CONTENT_TYPE", "text/x"),
        ("CONTENT_LENGTH", "3"),
        ("SERVER_NAME", "127.0.0.1"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("REQUEST_URI", "/a%20b?q=%20&r"),
        ("RAW_URI", "/a%20b?q=%20&r"),
        ("HTTP_HOST", "farrier.test"),
        ("HTTP_X_EMPTY", ""),
        ("wsgi.url_scheme", "http"),
    ],
)
def test_variable(dump, key, expected):
    environ = environ_of(dump, "POST", "/a%20b?q=%20&r", b"abc", [("Content-Type", "text/x"), ("X-Empty", "")])
    assert environ[key] == expected


def test_server_port_and_remote_port_are_those_of_the_connection(dump):
    with dump.connect() as wire:
        environ = json.loads(wire.request(dump.message()).body)
        assert environ["SERVER_PORT"] == str(wire.socket.getpeername()[1])
        assert environ["REMOTE_PORT"] == str(wire.socket.getsockname()[1])


def test_server_software_names_the_server(dump):
    assert environ_of(dump)["SERVER_SOFTWARE"].lower().startswith("farrier")


def test_query_string_is_empty_and_not_missing_without_a_query(dump):
    assert environ_of(dump)["QUERY_STRING"] == ""


def test_content_type_and_length_have_no_http_form(dump):
    environ = environ_of(dump, "POST", "/", b"abc", [("Content-Type", "text/x")])
    assert "HTTP_CONTENT_TYPE" not in environ and "HTTP_CONTENT_LENGTH" not in environ


def test_server_protocol_of_http_1_0(dump):
    assert environ_of(dump, version="1.0")["SERVER_PROTOCOL"] == "HTTP/1.0"


def test_the_wsgi_keys_have_their_types(host):
    app = host("""
        def application(environ, start_response):
            SEEN.append([
                environ["wsgi.version"] == (1, 0) and type(environ["wsgi.version"]) is tuple,
                environ["wsgi.run_once"], environ["wsgi.input_terminated"],
                callable(environ["wsgi.file_wrapper"]), hasattr(environ["wsgi.input"], "read"),
                hasattr(environ["wsgi.errors"], "write"),
                environ["wsgi.multithread"], environ["wsgi.multiprocess"],
            ])
            return answer(start_response)
    """)
    app.get()
    assert app.seen() == [[True, False, True, True, True, True, True, False]]


TRUTH = """
    def application(environ, start_response):
        start_response("200 OK", [])
        return [("%r %r" % (environ["wsgi.multithread"], environ["wsgi.multiprocess"])).encode()]
"""


@pytest.mark.parametrize(
    "flags, expected",
    [
        (["--threads", 1, "--workers", 1], "False False"),
        (["--threads", 1, "--workers", 2], "False True"),
        (["--threads", 4, "--workers", 1], "True False"),
    ],
)
def test_multithread_and_multiprocess_tell_the_truth(serve, flags, expected):
    assert serve(TRUTH, *flags).get().text == expected


def test_nothing_of_the_process_environment_is_in_it(serve):
    server = serve(
        """
        def application(environ, start_response):
            start_response("200 OK", [])
            return [" ".join(sorted(environ)).encode()]
    """,
        environment={"CANARY_OF_THE_PROCESS": "1", "HTTP_PROXY_CANARY": "1", "SCRIPT_FILENAME": "1"},
    )
    keys = server.get().text.split()
    assert not {"CANARY_OF_THE_PROCESS", "HTTP_PROXY_CANARY", "SCRIPT_FILENAME", "PATH", "HOME"} & set(keys)


@pytest.mark.parametrize(
    "target, path",
    [
        ("/caf%C3%A9", "/caf\xc3\xa9"),
        ("/caf%E9", "/caf\xe9"),
        ("//a///b//", "//a///b//"),
        ("/a;v=1/b;w", "/a;v=1/b;w"),
        ("/a%2Fb", "/a/b"),
        ("/a%3Fb", "/a?b"),
        ("/a+b", "/a+b"),
        ("/a/../b", "/a/../b"),
        ("/%25%32%30", "/%20"),
        ("/?/x", "/"),
    ],
)
def test_path_info_is_percent_decoded_once_and_otherwise_untouched(dump, target, path):
    environ = environ_of(dump, "GET", target)
    assert environ["PATH_INFO"] == path
    assert environ["RAW_URI"] == target and environ["REQUEST_URI"] == target


def test_absolute_form_gives_the_path_of_the_target(dump):
    environ = environ_of(dump, "GET", "http://farrier.test/a%20b?c")
    assert (environ["PATH_INFO"], environ["QUERY_STRING"]) == ("/a b", "c")
    assert environ["HTTP_HOST"] == "farrier.test"


def test_a_field_name_with_an_underscore_is_dropped(dump):
    environ = environ_of(dump, fields=[("X_Forged", "1"), ("Content_Length", "5"), ("X-Honest", "1")])
    assert "HTTP_X_FORGED" not in environ and "CONTENT_LENGTH" not in environ
    assert environ["HTTP_X_HONEST"] == "1"


def test_an_underscore_cannot_override_the_field_with_a_hyphen(dump):
    environ = environ_of(dump, fields=[("X-User", "honest"), ("X_User", "forged")])
    assert environ["HTTP_X_USER"] == "honest"


def test_repeated_fields_are_joined_with_comma_and_space(dump):
    environ = environ_of(dump, fields=[("X-List", "a"), ("X-Other", "-"), ("x-list", "b"), ("X-LIST", "c, d")])
    assert environ["HTTP_X_LIST"] == "a, b, c, d"


def test_repeated_cookies_are_joined_with_semicolon_and_space(dump):
    environ = environ_of(dump, fields=[("Cookie", "a=1"), ("Cookie", "b=2")])
    assert environ["HTTP_COOKIE"] == "a=1; b=2"


def test_bytes_above_127_in_a_field_value_arrive_as_latin_1_characters(dump):
    value = bytes(range(0x80, 0x100)).decode("latin-1")
    assert environ_of(dump, fields=[("X-High", value)])["HTTP_X_HIGH"] == value


def test_white_space_round_a_value_is_removed_and_within_it_kept(dump):
    environ = environ_of(dump, fields=[("X-Space", " \t a \t b \t ")])
    assert environ["HTTP_X_SPACE"] == "a \t b"


def test_a_chunked_body_is_decoded_before_the_call(host):
    app = host("""
        def application(environ, start_response):
            SEEN.append([environ.get("CONTENT_LENGTH"), "HTTP_TRANSFER_ENCODING" in environ])
            return answer(start_response, environ["wsgi.input"].read())
    """)
    raw = message("PUT", fields=[("X-App", app.name), ("Transfer-Encoding", "chunked")]).replace(
        b"Content-Length: 0\r\n", b""
    ) + chunked([b"abc", b"defg"])
    with app.connect() as wire:
        assert wire.request(raw).body == b"abcdefg"
    assert app.seen() == [["7", False]]


@pytest.mark.parametrize(
    "field",
    [
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Real-IP",
        "Forwarded",
    ],
)
def test_forwarding_fields_that_are_the_servers_own_are_removed_from_untrusted_peers(serve, field):
    server = serve(
        """
        def application(environ, start_response):
            start_response("200 OK", [])
            return [repr(sorted((k, v) for k, v in environ.items() if isinstance(v, str))).encode()]
    """,
        "--forwarded-allow-ips",
        "192.0.2.1",
        "--proxy-headers",
        field.lower(),
    )
    text = server.get(fields=[(field, "203.0.113.77")]).text
    assert "203.0.113.77" not in text and "('wsgi.url_scheme', 'http')" in text and "'127.0.0.1'" in text


def test_on_a_unix_socket_the_peer_has_no_address_and_the_host_gives_the_name(serve, tmp_path):
    server = serve(
        """
        import json
        def application(environ, start_response):
            start_response("200 OK", [])
            return [json.dumps({k: v for k, v in environ.items() if isinstance(v, str)}).encode()]
    """,
        bind=["unix:farrier.sock"],
    )
    environ = json.loads(server.exchange(message(host="example.test:8080")).body)
    assert environ["REMOTE_ADDR"] == ""
    assert isinstance(environ["SERVER_NAME"], str) and environ["SERVER_NAME"]
    assert isinstance(environ["SERVER_PORT"], str)
