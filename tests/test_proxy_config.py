"""The reverse proxy as it is configured: the flag, the tables, and errors that name file and line."""

import re
import textwrap
from concurrent import futures

import pytest

from process import run_alone
from wire import message

BEHIND = """
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        names = ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING", "HTTP_HOST", "HTTP_X_FORWARDED_FOR", "HTTP_VIA")
        lines = ["%s=%s" % (name, environ.get(name, "")) for name in names]
        lines.append("body=" + environ["wsgi.input"].read().decode("latin-1"))
        return ["\\n".join(lines).encode("latin-1")]
"""


def seen(response):
    """What the application behind the proxy saw."""
    assert response.status == 200, response
    return dict(line.split("=", 1) for line in response.body.decode("latin-1").split("\n"))


@pytest.fixture(scope="module")
def behind(serve_module):
    return serve_module(BEHIND)


def url(server):
    return "http://%s:%d" % server.address


def test_the_flag_forwards_what_is_below_a_path(serve, behind):
    front = serve("", "--proxy", "/api=" + url(behind))
    there = seen(front.exchange(message("POST", "/api/x%20y?q=1", body=b"content")))
    assert (there["REQUEST_METHOD"], there["PATH_INFO"], there["QUERY_STRING"]) == ("POST", "/api/x y", "q=1")
    assert (there["HTTP_HOST"], there["HTTP_X_FORWARDED_FOR"]) == ("farrier.test", "127.0.0.1")
    assert there["HTTP_VIA"] == "1.1 farrier" and there["body"] == "content"
    # A server that only forwards needs no application.
    assert front.get("/other").status == 404


@pytest.mark.parametrize("form", ["unix:%s", "http://unix:%s"])
def test_a_server_on_a_unix_socket_is_named_by_its_path(serve, tmp_path, form):
    path = str(tmp_path / "b.sock")
    serve(BEHIND, bind=("unix:" + path,))
    front = serve("", "--proxy", "/=" + form % path)
    assert seen(front.get("/x"))["PATH_INFO"] == "/x"


def test_a_mount_forwards_and_the_application_answers_the_rest(serve, behind):
    front = serve(
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'here']\n",
        settings='[[mount]]\npath = "/api"\nproxy = "%s"\n' % url(behind),
    )
    assert seen(front.get("/api"))["PATH_INFO"] == "/api"
    assert front.get("/apix").body == b"here"


def test_methods_that_are_not_forwarded_are_answered_with_405_and_those_that_are(serve, behind):
    front = serve("", settings='[[mount]]\npath = "/"\nproxy = "%s"\nmethods = ["GET", "PUT"]\n' % url(behind))
    refused = front.exchange(message("POST", "/", body=b"x"))
    assert (refused.status, refused.value("Allow")) == (405, "GET, PUT")
    assert front.get("/").status == 200
    trace = serve("", "--proxy", "/=" + url(behind)).exchange(message("TRACE", "/"))
    assert trace.status == 405 and "TRACE" not in trace.value("Allow")


UPSTREAM = """
[[upstream]]
name = "app"
servers = ["%s", { url = "http://127.0.0.1:9", backup = true }]
retries = 0
"""


def test_mounts_name_an_upstream_and_say_what_is_changed(serve, behind):
    tables = """
        [[mount]]
        path = "/strip"
        proxy = "app"
        strip_prefix = true
        host = "upstream"
        via = ""
        forwarded = "none"

        [[mount]]
        path = "/put"
        proxy = "app"
        rewrite_prefix = "/a b"
        host = "app.internal:81"
        set_headers = { "X-Forwarded-For" = "$scheme", "Via" = "$host" }
        response_headers = { "X-Answered-By" = "app" }
        hide_headers = ["Content-Type"]
    """
    front = serve("", settings=UPSTREAM % url(behind) + textwrap.dedent(tables))
    stripped = seen(front.get("/strip/x?y"))
    assert (stripped["PATH_INFO"], stripped["QUERY_STRING"]) == ("/x", "y")
    assert stripped["HTTP_HOST"] == "%s:%d" % behind.address
    assert stripped["HTTP_VIA"] == stripped["HTTP_X_FORWARDED_FOR"] == ""
    response = front.get("/put/x")
    put = seen(response)
    assert seen(front.get("/%73trip/%2fx"))["PATH_INFO"] == "/x"
    assert (put["PATH_INFO"], put["HTTP_HOST"]) == ("/a b/x", "app.internal:81")
    assert (put["HTTP_X_FORWARDED_FOR"], put["HTTP_VIA"]) == ("http", "farrier.test")
    assert response.value("X-Answered-By") == "app" and not response.values("Content-Type")


def test_servers_that_are_down_or_drained_are_not_asked_and_a_backup_is(serve, behind):
    servers = """[{ url = "http://127.0.0.1:9", down = true }, { url = "http://127.0.0.1:8", drain = true },
        { url = "%s", backup = true }]""" % url(behind)
    tables = '[[upstream]]\nname = "app"\nretries = 0\nservers = %s\n' % servers
    front = serve("", settings=tables + '[[mount]]\npath = "/"\nproxy = "app"\n')
    assert [front.get("/").status for _ in range(5)] == [200] * 5


def test_an_upstream_on_the_command_line_has_several_servers(serve, behind):
    front = serve("", "--upstream", "app=http://127.0.0.1:9,%s" % url(behind), "--proxy", "/=app")
    assert [front.get("/").status for _ in range(4)] == [200] * 4


def test_requests_above_the_bound_of_a_server_wait_and_are_all_answered(serve, behind):
    server = '{ url = "%s", max_requests = 1 }' % url(behind)
    front = serve(
        "",
        settings='[[upstream]]\nname = "app"\nservers = [%s]\n' % server + '[[mount]]\npath = "/"\nproxy = "app"\n',
    )
    with futures.ThreadPoolExecutor(8) as clients:
        statuses = [response.status for response in clients.map(lambda _: front.get("/"), range(200))]
    assert statuses == [200] * 200


def test_a_full_queue_is_answered_with_503(serve, tmp_path):
    waiting = """
        import os, time
        def application(environ, start_response):
            while not os.path.exists("go"):
                time.sleep(0.01)
            start_response("200 OK", [])
            return [b""]
    """
    slow = serve(waiting)
    tables = '[[upstream]]\nname = "app"\nservers = ["%s"]\nmax_requests = 1\nqueue = 1\nqueue_timeout = "60s"\n'
    front = serve("", settings=tables % url(slow) + '[[mount]]\npath = "/"\nproxy = "app"\n')
    wires = [front.connect() for _ in range(3)]
    for wire in wires:
        wire.send(message(target="/"))
    with futures.ThreadPoolExecutor(3) as readers:
        answers = [readers.submit(wire.read_response) for wire in wires]
        first = next(futures.as_completed(answers))
        assert first.result().status == 503 and first.result().value("Retry-After")
        slow.write("go", "")
        assert sorted(answer.result().status for answer in answers) == [200, 200, 503]


SERVER = '[[upstream]]\nname = "a"\nservers = ["http://127.0.0.1:9000"]\n'
MOUNT = '[[mount]]\npath = "/api"\nproxy = "http://127.0.0.1:9000"\n'

WRONG = [
    # Upstreams.
    ('[[upstream]]\nname = "a"\n', r"farrier.toml:1: upstream: `servers` is missing"),
    ('[[upstream]]\nname = "a"\nservers = []\n', r"farrier.toml:1: upstream `a`: it has no server"),
    ('[[upstream]]\nservers = ["http://a"]\n', r"farrier.toml:1: upstream: `name` is missing"),
    ('[[upstream]]\nname = "a.b"\nservers = ["http://a"]\n', r"farrier.toml:2: upstream: name: expected a name of"),
    (SERVER + SERVER, r"farrier.toml:4: upstream `a`: there is one already \(farrier.toml:1\)"),
    (SERVER + "retrys = 1\n", r"farrier.toml:4: upstream: unknown key `retrys`; did you mean `retries`\?"),
    (SERVER + 'connect_timeout = "0s"\n', r"farrier.toml:1: upstream `a`: `connect_timeout` must be above 0"),
    (SERVER + 'retry_on = ["connect", "404"]\n', r"farrier.toml:4: upstream: retry_on: expected .*got `404`"),
    (SERVER + 'balance = "fair"\n', r"farrier.toml:4: upstream: balance: expected `least`.*got `fair`"),
    (SERVER + 'hash_on = "path"\n', r"farrier.toml:1: upstream `a`: `hash_on` belongs to `balance = \"hash\"`"),
    (SERVER + 'hash_on = "body"\n', r"farrier.toml:4: upstream: hash_on: expected `uri`.*got `body`"),
    (SERVER + 'health = { interval = "1s" }\n', r"upstream `a`: `health`: `path` says what is requested"),
    (SERVER + 'health = { path = "x" }\n', r"upstream `a`: `health`: `path`: `x` is not a path"),
    (SERVER + 'health = { path = "/", type = "tcp" }\n', r"`health`: `path` does not belong to `type = \"tcp\"`"),
    (SERVER + 'health = { path = "/", up = 0 }\n', r"upstream `a`: `health`: `up` must be between 1 and 60"),
    (SERVER + 'health = { path = "/", status = ["600"] }\n', r"health: status: expected a status such as `204`"),
    (SERVER + 'fail = { window = "0s" }\n', r"upstream `a`: `fail`: `window` and `eject` must be above 0"),
    (SERVER + 'sticky = { cookie = "a", learn = "b" }\n', r"upstream `a`: `sticky` needs either `cookie` or `learn`"),
    (SERVER + 'sticky = { cookie = "a b" }\n', r"upstream `a`: `sticky`: `a b` is not the name of a cookie"),
    (
        '[[upstream]]\nname = "a"\nservers = [\n{ url = "http://a", id = "x" },\n{ url = "http://b", id = "x" }]\n',
        r"farrier.toml:5: upstream `a`: the server `http://b`: `id` is that of another server already",
    ),
    (
        '[[upstream]]\nname = "a"\nservers = [{ url = "http://a", agent = "a:9" }]\n',
        r"the server `http://a`: `agent`: `http://a:9` is no address",
    ),
    (SERVER + 'proxy_protocol = "v2"\n', r"farrier.toml:1: upstream `a`: `proxy_protocol` is not supported yet"),
    (
        '[[upstream]]\nname = "a"\nservers = [\n"http://a",\n{ url = "http://b", weight = 0 }]\n',
        r"farrier.toml:5: upstream `a`: the server `http://b`: `weight` must be above 0",
    ),
    (
        '[[upstream]]\nname = "a"\nservers = [\n"http://a",\n"a:80"]\n',
        r"farrier.toml:5: upstream `a`: the server `http://a`: it is there already \(farrier.toml:4\)",
    ),
    (SERVER + 'source = "::1"\n', r"farrier.toml:3: upstream `a`: .*cannot be reached from the `source` ::1"),
    (
        '[[upstream]]\nname = "a"\nservers = ["http://a", "htp://b"]\n',
        r"farrier.toml:3: upstream: servers: `htp://` is not one of `http://`",
    ),
    (
        '[[upstream]]\nname = "a"\nservers = [{ url = "http://a", wieght = 2 }]\n',
        r"farrier.toml:3: upstream: servers: unknown key `wieght`; did you mean `weight`\?",
    ),
    (
        '[[upstream]]\nname = "a"\nservers = [%s]\n' % ", ".join('"http://a:%d"' % port for port in range(1, 258)),
        r"farrier.toml:1: upstream `a`: it has 257 servers; at most 256 are allowed",
    ),
    # Mounts.
    ('[[mount]]\npath = "/api"\nproxy = "app"\n', r"farrier.toml:1: mount `/api`: `app` is not the name of an"),
    (SERVER + '[[mount]]\npath = "/"\nproxy = "b"\n', r"farrier.toml:4: mount `/`: `b` is not .*\(there are `a`\)"),
    ('[[mount]]\npath = "/api"\nproxy = "http://a/b"\n', r"farrier.toml:3: mount: proxy: .* has the path `/b`"),
    ('[[mount]]\npath = "/api"\nproxy = "ftp://a"\n', r"farrier.toml:3: mount: proxy: `ftp://` is not one of"),
    ('[[mount]]\npath = "/api"\nproxy = "h2://a"\n', r"farrier.toml:1: mount `/api`: `h2://` is not supported yet"),
    (MOUNT + 'app = "a:a"\n', r"farrier.toml:1: mount `/api`: `app` and `proxy` cannot both answer"),
    (
        '[[mount]]\npath = "/x"\nstatus = 404\nstrip_prefix = true\n',
        r"farrier.toml:1: .*`strip_prefix` belongs to `proxy`",
    ),
    (
        MOUNT + 'strip_prefix = true\nrewrite_prefix = "/b"\n',
        r"farrier.toml:1: mount `/api`: `strip_prefix` and `rewrite",
    ),
    (MOUNT + 'response_spool = "1M"\n', r"farrier.toml:1: mount `/api`: `response_spool` is not supported yet"),
    (MOUNT + 'methods = ["TRACE"]\n', r"farrier.toml:1: mount `/api`: `methods`: TRACE is never forwarded"),
    (MOUNT + 'host = "a/b"\n', r"farrier.toml:4: mount: host: expected `client`, `upstream`, or a host"),
    (
        MOUNT + 'set_headers = { "X-A" = "$nothing" }\n',
        r"farrier.toml:1: mount `/api`: set_headers: X-A: \$nothing is no",
    ),
    (
        MOUNT + 'set_headers = { Host = "a" }\n',
        r"farrier.toml:1: mount `/api`: set_headers: Host: the Host field has a",
    ),
    (MOUNT + 'remove_headers = ["Upgrade"]\n', r"farrier.toml:1: mount `/api`: remove_headers: Upgrade belongs to"),
    (MOUNT + 'response_headers = { "a b" = "c" }\n', r'farrier.toml:1: mount `/api`: response_headers: "a b" is not'),
    # Addresses of this server itself.
    ('[[mount]]\npath = "/"\nproxy = "http://localhost:8000"\n', r"farrier.toml:1: .*this server itself listens there"),
    ('[[upstream]]\nname = "a"\nservers = ["127.0.0.1:8000"]\n', r"farrier.toml:3: .*`bind` has `127.0.0.1:8000`"),
]


@pytest.mark.parametrize("tables, error", WRONG)
def test_an_error_is_reported_with_its_place_and_the_server_does_not_start(tmp_path, tables, error):
    (tmp_path / "farrier.toml").write_text(tables)
    checked = run_alone(tmp_path, "--check-config")
    assert checked.returncode == 1 and re.search(error, checked.stderr), checked.stderr
    started = run_alone(tmp_path)
    assert started.returncode == 1 and re.search(error, started.stderr), started.stderr


@pytest.mark.parametrize(
    "flags, error",
    [
        (["--proxy", "/api"], "expected `PATH=URL`"),
        (["--proxy", "/api=app"], "command line --proxy: mount `/api`: `app` is not the name"),
        (["--upstream", "app"], "expected `NAME=URL,URL`"),
        (["--proxy", "/=127.0.0.1:8000"], "this server itself listens there"),
        (["--bind", "unix:/x.sock", "--proxy", "/=unix:/x.sock"], "this server itself listens there"),
    ],
)
def test_an_error_on_the_command_line_names_its_flag(tmp_path, flags, error):
    checked = run_alone(tmp_path, "--check-config", *flags)
    assert checked.returncode in (1, 2) and error in checked.stderr, checked.stderr


def test_what_print_config_shows_is_read_as_the_same_configuration(tmp_path):
    tables = """
        proxy = ["/other=app"]

        [[upstream]]
        name = "app"
        servers = ["http://10.0.0.1:8000", { url = "unix:/run/b.sock", weight = 2, backup = true }]
        retry_on = ["connect", "503"]
        fail = { max = 5 }

        [[mount]]
        path = "/api"
        proxy = "app"
        strip_prefix = true
        set_headers = { "X-Scheme" = "$scheme" }
        methods = ["GET"]
    """
    (tmp_path / "farrier.toml").write_text(textwrap.dedent(tables))
    first = run_alone(tmp_path, "--print-config")
    assert first.returncode == 0, first.stderr
    (tmp_path / "farrier.toml").write_text(first.stdout)
    second = run_alone(tmp_path, "--print-config")
    assert second.returncode == 0, second.stderr

    def values(text):
        return [line.partition("  # ")[0].rstrip() for line in text.splitlines()]

    assert values(second.stdout) == values(first.stdout)
    assert 'retry_on = ["connect", "503"]' in first.stdout and "strip_prefix = true" in first.stdout
