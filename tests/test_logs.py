"""Logs: lines that other tools search for, the access log's atoms, and protection against forged lines."""

import json
import os
import re
import signal
import textwrap

import pytest

from frames import Connection
from wire import Wire, message, until

APPLICATION = """
    def application(environ, start_response):
        body = b"hello"
        if environ["PATH_INFO"] == "/raise":
            raise ValueError("broken-774")
        start_response("200 OK", [("Content-Type", "text/plain"), ("X-Out", "out"), ("Content-Length", "5")])
        return [body]
"""

LINE = re.compile(
    r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}\] \[(\d+)\] \[(DEBUG|INFO|WARNING|ERROR|CRITICAL)\] (.+)"
)


def test_the_banner_has_gunicorns_lines(serve):
    server = serve(APPLICATION, "--workers", 2)
    assert server.get().status == 200
    server.wait_booted(2)
    lines = [LINE.fullmatch(line) for line in server.log.text.splitlines()]
    assert all(lines), server.log.text
    messages = [line.group(3) for line in lines]
    assert re.match(r"Starting farrier \d+\.\d+", messages[0])
    assert "Listening at: http://127.0.0.1:%d (%d)" % (server.address[1], server.pid) in messages
    booted = [(int(line.group(1)), line.group(3)) for line in lines if "Booting worker" in line.group(3)]
    until(lambda: len(server.workers()) == 2)
    named = [int(re.fullmatch(r"Booting worker with pid: (\d+)", text).group(1)) for _, text in booted]
    assert sorted(named) == sorted(server.workers()), "each worker is named once"


# "Listening" came before the application was loaded, so nothing said when a client gets an answer.
@pytest.mark.parametrize(
    "flags", [[], ["--workers", 3], ["--workers", 3, "--preload"]], ids=["one", "three", "preload"]
)
def test_the_log_says_once_when_the_application_is_served(serve, flags):
    server = serve("import os\nos.write(2, b'loaded\\n')\n" + textwrap.dedent(APPLICATION), *flags)
    server.log.wait(r"\[%d\] \[INFO\] Ready in \d+\.\d s: http://127\.0\.0\.1:%d$" % (server.pid, server.address[1]))
    lines = server.log.text.splitlines()
    assert lines.index("loaded") < next(at for at, line in enumerate(lines) if "Ready in" in line)
    old = server.workers()
    server.kill(signal.SIGHUP)
    until(lambda: server.workers() and not set(server.workers()) & set(old), 30, "new workers")
    server.kill(signal.SIGTERM)
    server.wait_exit()
    server.log.thread.join(10)
    assert len(server.log.find("Ready in")) == 1


def test_the_end_is_logged(serve):
    server = serve(APPLICATION)
    server.get()
    server.kill(signal.SIGTERM)
    server.wait_exit()
    server.log.thread.join(10)
    assert server.log.find("Handling signal: term") and server.log.find("Shutting down"), server.log.text


def _listens(path):
    try:
        Wire(path).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("level, silent", [("warning", True), ("error", True), ("info", False), ("debug", False)])
def test_the_level_is_a_setting(serve, level, silent):
    server = serve(APPLICATION, "--log-level", level, bind=["unix:farrier.sock"], listening=False)
    path = os.path.join(server.directory, "farrier.sock")
    server.addresses = [path]
    until(lambda: _listens(path))
    assert server.get().status == 200
    assert bool(server.log.find(r"\[INFO\]")) is not silent
    mark = server.log.mark()
    server.get("/raise")
    server.log.wait("ValueError: broken-774", since=mark)


def test_the_error_log_may_be_a_file(serve, tmp_path):
    path = tmp_path / "error.log"
    server = serve(APPLICATION, "--error-logfile", path, bind=["unix:farrier.sock"], listening=False)
    server.addresses = [os.path.join(server.directory, "farrier.sock")]
    until(lambda: path.exists() and "Listening at" in path.read_text())
    assert server.get("/raise").status == 500
    until(lambda: "ValueError: broken-774" in path.read_text())


def access(serve, *flags):
    return serve(APPLICATION, "--access-logfile", "-", *flags)


def test_the_access_log_is_off_by_default(serve):
    server = serve(APPLICATION)
    for _ in range(3):
        server.get()
    server.stop()
    assert [line for line in server.output.lines if "end of the log" not in line] == []


def test_the_default_line_is_gunicorns(serve):
    server = access(serve)
    server.exchange(message(target="/a%20b?c=d", fields=[("User-Agent", "test/1"), ("Referer", "http://r/")]))
    line = server.output.wait(".+").group(0)
    assert re.fullmatch(
        r"127\.0\.0\.1 - - \[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "
        r'"GET /a%20b\?c=d HTTP/1\.1" 200 5 "http://r/" "test/1"',
        line,
    ), line


@pytest.mark.parametrize(
    "atom, pattern",
    [
        ("%(h)s", r"127\.0\.0\.1"),
        ("%(l)s", "-"),
        ("%(u)s", "user"),
        ("%(m)s", "GET"),
        ("%(U)s", "/a b"),
        ("%(q)s", "c=d"),
        ("%(H)s", r"HTTP/1\.1"),
        ("%(s)s", "200"),
        ("%(B)s", "5"),
        ("%(b)s", "5"),
        ("%(f)s", "-"),
        ("%(a)s", "test/1"),
        ("%(r)s", r"GET /a%20b\?c=d HTTP/1\.1"),
        ("%({X-In}i)s", "in"),
        ("%({x-in}i)s", "in"),
        ("%({x-missing}i)s", "-"),
        ("%({X-Out}o)s", "out"),
        ("%({x-out}o)s", "out"),
        ("%({x-missing}o)s", "-"),
        ("%(T)s", r"\d+"),
        ("%(M)s", r"\d+"),
        ("%(D)s", r"\d+"),
        ("%(L)s", r"\d+\.\d{6}"),
        ("%(t)s", r"\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"),
        ("%(s)s 100%%", "200 100%"),
    ],
)
def test_atom(serve, atom, pattern):
    server = access(serve, "--access-logformat", "<" + atom + ">")
    server.exchange(
        message(
            target="/a%20b?c=d",
            fields=[("User-Agent", "test/1"), ("X-In", "in"), ("Authorization", "Basic dXNlcjpwYXNz")],
        )
    )
    assert re.fullmatch("<" + pattern + ">", server.output.wait("<.*>").group(0))


def test_the_atom_p_is_the_workers_pid(serve):
    server = access(serve, "--access-logformat", "%(p)s")
    server.get()
    assert int(server.output.wait(r"<?(\d+)>?").group(1)) in server.workers()


def test_refused_requests_are_access_logged_like_any_other(serve):
    server = access(serve)
    for raw, status in [
        (b"BROKEN\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /%s HTTP/1.1\r\n" % (b"a" * 9000), 414),
        (message(fields=[("X", "y" * 9000)]), 431),
        (message(version="2.0"), 505),
    ]:
        mark = server.output.mark()
        assert server.exchange(raw).status == status
        server.output.wait(r'" %d ' % status, since=mark)


def test_a_broken_request_is_logged_without_its_bytes(serve):
    server = serve(APPLICATION, "--log-level", "debug")
    mark = server.log.mark()
    server.exchange(b"GET / HTTP/1.1\r\nHost: a\r\nX: secret-8812\x00\r\n\r\n")
    server.log.wait(r"127\.0\.0\.1|(?i:invalid request|bad request)", since=mark)
    assert "secret-8812" not in server.log.text


# "the content is above its bound" named neither the request nor what to change.
@pytest.mark.parametrize(
    "raw, status, line",
    [
        (
            message("DELETE", "/up?token=secret-8814", fields=[("Content-Length", "99999999")]),
            413,
            r"\(see limit_request_body\) \(DELETE /up, Content-Length 99999999\)$",
        ),
        (
            message("DELETE", "/up", fields=[("Transfer-Encoding", "chunked")]) + b"1000000\r\n",
            413,
            r"\(see limit_request_body\) \(DELETE /up, chunked\)$",
        ),
        (
            b"GET /%s HTTP/1.1\r\n" % (b"a" * 9000),
            414,
            r"\(see limit_request_line\) \(GET /a{195}\.\.\., \d+ bytes of the head were read\)$",
        ),
        (
            message(target="/long?token=secret-8814", fields=[("X", "y" * 9000)]),
            431,
            r"\(see limit_request_field_size\) \(GET /long, \d+ bytes of the head were read\)$",
        ),
        (
            message(target="/many", fields=[("X", "y")] * 101),
            431,
            r"\(see limit_request_fields\) \(GET /many( HTTP/1.1)?, \d+ bytes of the head were read\)$",
        ),
    ],
    ids=["a long body", "a long chunked body", "a long line", "a long field", "many fields"],
)
def test_a_request_above_a_limit_is_logged_with_its_path_size_and_setting(serve, raw, status, line):
    server = serve(APPLICATION)
    assert server.exchange(raw).status == status
    server.log.wait(r"\[WARNING\] Invalid request from ip=127\.0\.0\.1: .* " + line)
    assert "secret-8814" not in server.log.text


@pytest.mark.parametrize(
    "path, fields, status, line",
    [
        (
            "/up?token=secret-8815",
            [("content-length", "99999999")],
            413,
            r"limit_request_body\) \(POST /up, Content-Length 99999999\)$",
        ),
        ("/" + "a" * 9000, [], 414, r"limit_request_line\) \(POST /a{199}\.\.\., \d+ bytes of the head were read\)$"),
        (
            "/long",
            [("x", "y" * 9000)],
            431,
            r"limit_request_field_size\) \(POST /long, \d+ bytes of the head were read\)$",
        ),
    ],
    ids=["a long body", "a long path", "a long field"],
)
def test_the_same_on_http_2(serve, path, fields, status, line):
    server = serve(APPLICATION, "--http2-cleartext", "prior-knowledge")
    with Connection(server.address) as connection:
        stream = connection.open("POST", path, fields, end=False)
        assert connection.response(stream).status == status
    server.log.wait(r"\[WARNING\] Invalid request from ip=127\.0\.0\.1: .*" + line)
    assert "secret-8815" not in server.log.text


# The application saw such requests as plain ones, and nothing said why the client failed.
def test_a_request_for_a_websocket_is_explained_once_a_minute(serve):
    server = serve(APPLICATION)
    fields = [("Connection", "Upgrade"), ("Upgrade", "WebSocket"), ("Sec-WebSocket-Version", "13")]
    for _ in range(3):
        assert server.exchange(message(target="/chat", fields=fields)).status == 200
    server.exchange(message(fields=[("Connection", "Upgrade"), ("Upgrade", "h2c")]))
    server.get("/raise")
    server.log.wait("ValueError: broken-774")
    lines = server.log.find("WebSocket")
    assert len(lines) == 1 and "A client asked for a WebSocket at /chat" in lines[0].string


def test_an_error_of_the_application_names_method_and_path(serve):
    server = serve(APPLICATION)
    mark = server.log.mark()
    server.get("/raise?token=secret-8813")
    server.log.wait("GET /raise", since=mark)
    server.log.wait("ValueError: broken-774", since=mark)


def test_the_answer_to_a_client_that_left_is_logged_with_499(serve):
    server = serve(
        """
        import os
        def application(environ, start_response):
            start_response("200 OK", [])
            while not os.path.exists("left"):
                yield b"x" * 65536
            while True:
                yield b"x" * 65536
    """,
        "--access-logfile",
        "-",
    )
    wire = server.connect(receive_buffer=4096)
    wire.send(message())
    wire.read_head()
    wire.reset()
    server.write("left", "")
    server.output.wait('" 499 ')


HOSTILE = [
    b'GET /%0A%0D%1B%5B31m%22%5C%00 HTTP/1.1\r\nHost: a\r\nUser-Agent: "},{\\"\r\nReferer: \xff\xfe\x80\r\n\r\n',
    b"GET /caf%C3%A9/%FF HTTP/1.1\r\nHost: a\r\nUser-Agent: \xc3\xa9 \t \\n \\u0000\r\n\r\n",
    b"GET /?q=\"'<>&{}[] HTTP/1.1\r\nHost: a\r\nAuthorization: Basic \xff\xff==\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic IiwidXNlciI6IngKDSI6IHg=\r\n\r\n",
    b'\x00\x01\x02\xff\xfe{"\r\n\r\n',
]


def test_the_json_form_is_one_valid_object_per_line_whatever_the_client_sends(serve):
    server = access(serve, "--access-logformat", "json")
    for raw in HOSTILE:
        server.exchange(raw)
    server.output.wait(r".+", count=len(HOSTILE))
    server.stop()
    lines = [line for line in server.output.lines if line != "<end of the log>"]
    assert len(lines) == len(HOSTILE)
    for line in lines:
        entry = json.loads(line)
        assert isinstance(entry, dict) and any(value in (200, 400, "200", "400") for value in entry.values()), line
        assert all(0x20 <= ord(c) for c in line)


def test_the_json_form_keeps_secrets_to_itself(serve):
    server = access(serve, "--access-logformat", "json")
    server.exchange(
        message(
            target="/?token=secret-8814&x=1",
            fields=[("Authorization", "Bearer secret-8815"), ("Cookie", "sessionid=secret-8816")],
        )
    )
    line = server.output.wait(".+").group(0)
    assert "secret-8815" not in line and "secret-8816" not in line


@pytest.mark.parametrize("form", ["common", "combined", '%(r)s %(U)s %(u)s "%(f)s" "%(a)s" %({x-in}i)s'])
def test_no_client_can_forge_a_line_or_send_control_characters_to_a_terminal(serve, form):
    server = access(serve, "--access-logformat", form)
    for raw in HOSTILE:
        server.exchange(raw)
    server.output.wait(".+", count=len(HOSTILE))
    server.stop()
    lines = [line for line in server.output.lines if line != "<end of the log>"]
    assert len(lines) == len(HOSTILE), lines
    assert not [line for line in lines if re.search(r"[\x00-\x08\x0b-\x1f\x7f]", line)], lines


def test_an_access_log_that_cannot_be_opened_ends_the_start_with_status_1(serve, tmp_path):
    # Only the workers found it: the server listened, and ended with the status of an application that cannot be loaded.
    path = tmp_path / "missing" / "access.log"
    server = serve(APPLICATION, "--access-logfile", path, listening=False)
    assert server.wait_exit(15) == 1
    assert server.log.find(r"^farrier: accesslog: cannot open the log file %s: " % path), server.log.text
    assert not server.log.find("Listening at")


def test_the_access_log_may_be_a_file_that_is_reopened_on_usr1(serve, tmp_path):
    path = tmp_path / "access.log"
    server = serve(APPLICATION, "--access-logfile", path)
    server.get("/first")
    until(lambda: path.exists() and "/first" in path.read_text())
    path.rename(tmp_path / "access.log.1")
    server.kill(signal.SIGUSR1)
    until(path.exists, what="the new file")
    server.get("/second")
    until(lambda: "/second" in path.read_text())
    assert "/second" not in (tmp_path / "access.log.1").read_text()


def test_every_request_is_logged_once_under_load_and_before_the_end(serve):
    from load import Load

    server = serve(APPLICATION, "--access-logfile", "-", "--workers", 2)
    server.get("/last")
    with Load(server, 6, target="/counted") as load:
        until(lambda: load.answered > 1000)
    assert load.failures == []
    server.stop()
    assert len(server.output.find(r'"GET /counted HTTP/1\.1" 200 5 ')) == load.answered
