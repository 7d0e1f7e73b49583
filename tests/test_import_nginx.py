"""Typical nginx configurations, served by nginx and by Farrier's import of them: the answers agree, request by request."""

import base64
import contextlib
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sysconfig
import textwrap
import threading
from pathlib import Path

import pytest

from process import COMMAND
from secured import SecureWire, context
from web_server import NGINX, WebServer, free_port, let_everybody_in
from wire import Wire, message, until

PEERS = os.environ.get("FARRIER_TEST_PEERS") or os.path.join(sysconfig.get_path("data"), "peers")
UWSGI_PROGRAM = shutil.which("uwsgi", path=os.pathsep.join([os.environ.get("PATH", ""), os.path.join(PEERS, "bin")]))

SHAPES = Path(__file__).resolve().parent / "nginx_shapes"
MIME_TYPES = Path("/etc/nginx/mime.types")

needs_nginx = pytest.mark.skipif(NGINX is None or not MIME_TYPES.exists(), reason="needs nginx (Debian: nginx-light)")

# The server behind the proxy says what it sees, and answers as the path asks.
BEHIND = """
    import json

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        body = environ["wsgi.input"].read()
        fields = [("Content-Type", "application/json"), ("Cache-Control", "no-cache"), ("X-Powered-By", "test")]
        status = "200 OK"
        if path.endswith("/redirect"):
            status = "302 Found"
            fields.append(("Location", "/elsewhere?a=b"))
        if path.endswith("/cookies"):
            fields += [("Set-Cookie", "a=b; Path=/"), ("Set-Cookie", "c=d; Path=/; HttpOnly")]
        if path.endswith("/error"):
            status = "500 Internal Server Error"
        if path.endswith("/gone"):
            status = "404 Not Found"
        if path.endswith("/protected-file"):
            fields.append(("X-Accel-Redirect", "/protected/secret.txt"))
        names = ("REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "HTTP_HOST", "wsgi.url_scheme", "REMOTE_ADDR")
        names += ("HTTP_X_REAL_IP", "HTTP_X_FORWARDED_PROTO", "HTTP_X_SCHEME", "HTTP_COOKIE", "CONTENT_TYPE")
        told = {name: environ.get(name, "") for name in names if name not in HIDDEN}
        told["body"] = len(body), sum(body)
        start_response(status, fields)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [json.dumps(told).encode()]

    HIDDEN = %r
"""

FILES = {
    "static/site.css": b"body { color: red }",
    "static/app.js": b"let a;",
    "static/.hidden": b"secret",
    "static/deep/a b.txt": b"a b",
    "media/photo.jpg": b"\xff\xd8",
    "protected/secret.txt": b"for users",
    "pages/50x.html": b"<h1>Soon back</h1>",
    "public/500.html": b"<h1>Sorry</h1>",
    "public/robots.txt": b"Disallow:",
    "public/static/site.css": b"p {}",
    "dist/index.html": b"<div id=app></div>",
    "dist/robots.txt": b"User-agent: *",
    "dist/assets/app.js": b"let b;",
}

COMPARED = ("Location", "X-Frame-Options", "X-Powered-By")

# Keys that Farrier knows and does not obey yet.
AWAITED = (r'(?m)^flush = "on"$',)


class Both:
    """The addresses of nginx and of Farrier with the same configuration, and the part of the import's report."""

    def __init__(self, nginx, farrier, reported):
        self.addresses, self.reported = (nginx, farrier), reported

    def ask(self, raw, head_only=False, listener=0, name=None):
        """The answers of both."""
        answers = []
        for ports in self.addresses:
            address = ("127.0.0.1", ports[listener])
            wire = SecureWire(address, context(), name=name) if name else Wire(address)
            with wire:
                answers.append(wire.request(raw, head_only))
        return answers


def adapted(text, folder, ports, at=None):
    """A configuration with this folder and these ports; `at` replaces texts of the one that nginx reads."""
    text = re.sub(r"(?m)^(user|pid|include /etc/nginx/modules-enabled|error_log).*$", "", text)
    text = re.sub(r"(?m)^\s*(access_log /var.*|ssl_dhparam .*|listen \[::\]:80;)$", "", text)
    for old, new in ports.items():
        text = re.sub(r"listen(\s+)(?:127\.0\.0\.1:)?%s\b" % old, r"listen\g<1>127.0.0.1:%d" % new, text)
    for old in ("/srv/shop", "/run/shop", "/var/www/certbot", "/etc/letsencrypt"):
        text = text.replace(old, str(folder / old.rpartition("/")[2]))
    for old, new in (at or {}).items():
        text = text.replace(old, new)
    return text


def of_nginx(text, folder):
    """What nginx needs beside, which is no part of what is imported."""
    inside = "http {\naccess_log off;\nclient_body_temp_path %(f)s/body; proxy_temp_path %(f)s/proxy; fastcgi_temp_path %(f)s/fastcgi;"
    inside += "uwsgi_temp_path %(f)s/uwsgi; scgi_temp_path %(f)s/scgi;"
    # A worker of another user could not read the folders of a test.
    user = "user root;\n" if os.geteuid() == 0 else ""
    before = user + "daemon off;\npid %(f)s/nginx.pid;\nerror_log stderr error;\n"
    text = re.sub(r"access_log /var[^;]*;", "", text)
    return before % {"f": folder} + text.replace("http {", inside % {"f": folder}, 1)


def start(serve_module, folder, shape, listeners, at=None, code=0):
    """nginx and Farrier with a shape."""
    for name, content in FILES.items():
        (folder / "shop" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "shop" / name).write_bytes(content)
    (folder / "certbot/.well-known/acme-challenge").mkdir(parents=True)
    (folder / "certbot/.well-known/acme-challenge/token").write_bytes(b"token.key")
    let_everybody_in(folder)
    text = (SHAPES / shape / "nginx.conf").read_text()
    both = []
    for server in ("nginx", "farrier"):
        here = folder / server
        here.mkdir()
        shutil.copy(MIME_TYPES, here)
        for extra in (SHAPES / shape).glob("*_params"):
            shutil.copy(extra, here)
        ports = {old: free_port() for old in listeners}
        here.joinpath("nginx.conf").write_text(adapted(text, folder, ports, at))
        both.append((here, list(ports.values())))
    (of, nginx_ports), (here, farrier_ports) = both
    imported = subprocess.run(
        [*COMMAND, "import-nginx", "nginx.conf", "-o", "farrier.toml"],
        cwd=here,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert imported.returncode == code, imported.stderr
    written = here / "farrier.toml"
    for pattern in AWAITED:
        written.write_text(re.sub(pattern, "", written.read_text()))
    serve_module("farrier.toml", "--config", directory=here, bind=(), listening=True)
    configuration = of / "nginx.conf"
    configuration.write_text(of_nginx(configuration.read_text(), of))
    running = WebServer([NGINX, "-e", "stderr", "-p", str(of), "-c", str(configuration)], nginx_ports, of)
    return Both(nginx_ports, farrier_ports, imported.stderr), running


def behind(serve_module, folder, bind, hidden=()):
    """The server behind both of them, which trusts what they say of the client."""
    run = folder / "shop"
    run.mkdir(exist_ok=True)
    flags = ("--proxy-headers", "x-forwarded-for", "--limit-request-body", "64MiB")
    return serve_module(BEHIND % (tuple(hidden),), *flags, bind=[place.replace("RUN", str(run)) for place in bind])


def check(answers, but=()):
    """Both have the same status, content and fields, but for those that are named."""
    nginxs, ours = answers
    assert ours.status == nginxs.status, (nginxs, ours)
    if ours.status < 300 or "json" in (nginxs.value("Content-Type") or ""):
        assert ours.body == nginxs.body
        assert (ours.value("Content-Type") or "").split(";")[0] == (nginxs.value("Content-Type") or "").split(";")[0]
    assert ours.values("Set-Cookie") == nginxs.values("Set-Cookie")
    for name in COMPARED:
        assert ours.value(name) == nginxs.value(name), name
    if "Cache-Control" not in but:
        assert lifetime(ours) == lifetime(nginxs)


def lifetime(answer):
    """What is said to caches. That a response without a secret is public need not be said."""
    return {word.strip() for value in answer.values("Cache-Control") for word in value.split(",")} - {"public"}


HOST = "shop.example"

#: Files of nginx have no Cache-Control unless the configuration sets one.
LIFETIME = ("Cache-Control",)


@pytest.fixture(scope="module")
def application(serve_module, tmp_path_factory):
    """Shape 1: files, and an application behind a unix socket."""
    folder = tmp_path_factory.mktemp("application")
    behind(serve_module, folder, ["unix:RUN/gunicorn.sock"])
    both, running = start(serve_module, folder, "1-application", [80])
    yield both
    running.stop()


APPLICATION = [
    ("GET", "/", {}, b"", ()),
    ("GET", "/a%20b/c?d=e&f", {}, b"", ()),
    ("HEAD", "/a", {}, b"", ()),
    ("POST", "/form", {"Content-Type": "application/x-www-form-urlencoded"}, b"a=b" * 5000, ()),
    ("PUT", "/big", {}, b"x" * (5 << 20), ()),
    ("POST", "/too-big", {}, b"", ()),
    ("DELETE", "/thing", {}, b"", ()),
    ("GET", "/redirect", {}, b"", ()),
    ("GET", "/cookies", {"Cookie": "a=b; c=d"}, b"", ()),
    ("GET", "/error", {}, b"", ()),
    ("GET", "/gone", {}, b"", ()),
    ("GET", "/static/site.css", {}, b"", ()),
    ("HEAD", "/static/site.css", {}, b"", ()),
    ("GET", "/static/deep/a%20b.txt", {}, b"", ()),
    ("GET", "/static/missing.css", {}, b"", LIFETIME),
    ("GET", "/favicon.ico", {}, b"", ()),
    ("GET", "/media/photo.jpg", {}, b"", LIFETIME),
    ("POST", "/static/site.css", {}, b"x", LIFETIME),
]


@needs_nginx
@pytest.mark.parametrize(("method", "target", "fields", "body", "but"), APPLICATION)
def test_shape_1_an_application_behind_a_socket(application, method, target, fields, body, but):
    raw = message(method, target, body, host=HOST, fields=tuple(fields.items()))
    check(application.ask(raw, method == "HEAD"), but)


@needs_nginx
def test_shape_1_differs_where_the_import_says_so(application):
    # A file whose name begins with a dot: nginx refuses it, Farrier does not say that it is there.
    nginxs, ours = application.ask(message("GET", "/static/.hidden", host=HOST))
    assert (nginxs.status, ours.status) == (403, 404)
    # A path with `..` names no file, even if it would lead back.
    nginxs, ours = application.ask(message("GET", "/static/../static/app.js", host=HOST))
    assert (nginxs.status, ours.status) == (200, 404)
    # nginx adds its redirect to the slash; a mount takes its path in both forms, and a folder has no list.
    nginxs, ours = application.ask(message("GET", "/media/", host=HOST))
    assert (nginxs.status, ours.status) == (403, 404)


@contextlib.contextmanager
def uwsgi_behind(serve_module, folder, hidden):
    """uWSGI with the application, or Farrier in its place where uWSGI is not installed."""
    if UWSGI_PROGRAM is None:
        behind(serve_module, folder, ["uwsgi+unix:RUN/uwsgi.sock"], hidden)
        yield
        return
    here = folder / "shop"
    here.mkdir(exist_ok=True)
    (here / "behind.py").write_text(textwrap.dedent(BEHIND % (tuple(hidden),)))
    flags = [
        "--socket",
        "uwsgi.sock",
        "--chmod-socket=666",
        "--pythonpath",
        ".",
        "--module",
        "behind",
        "--master",
        "--die-on-term",
    ]
    running = WebServer([UWSGI_PROGRAM, *flags, "--need-app", "--buffer-size", "16384"], [], here)
    try:
        until((here / "uwsgi.sock").exists, 20, "uWSGI to listen")
        yield
    finally:
        running.stop()


@pytest.fixture(scope="module")
def uwsgi(serve_module, tmp_path_factory):
    """Shape 2: the same with uwsgi, redirects and an error page."""
    folder = tmp_path_factory.mktemp("uwsgi")
    # The packets of nginx have the address; X-Forwarded-* of HTTP are none of uwsgi's.
    hidden = ("HTTP_X_REAL_IP", "HTTP_X_FORWARDED_PROTO")
    with uwsgi_behind(serve_module, folder, hidden):
        both, running = start(serve_module, folder, "2-uwsgi", [8000])
        yield both
        running.stop()


UWSGI = [
    ("GET", "/", {}, b"", ()),
    ("GET", "/a%20b/c?d=e&f", {}, b"", ()),
    ("POST", "/form", {"Content-Type": "text/plain"}, b"a=b" * 5000, ()),
    ("HEAD", "/a", {}, b"", ()),
    ("GET", "/redirect", {}, b"", ()),
    ("GET", "/cookies", {}, b"", ()),
    ("GET", "/error", {}, b"", ()),
    ("GET", "/static/site.css", {}, b"", LIFETIME),
    ("GET", "/media/photo.jpg", {}, b"", LIFETIME),
    ("GET", "/static/missing", {}, b"", ()),
    ("GET", "/ping", {}, b"", ()),
    ("GET", "/gone", {}, b"", ()),
    ("GET", "/protected/secret.txt", {}, b"", ()),
]


@needs_nginx
@pytest.mark.parametrize(("method", "target", "fields", "body", "but"), UWSGI)
def test_shape_2_an_application_behind_uwsgi(uwsgi, method, target, fields, body, but):
    raw = message(method, target, body, host=HOST, fields=tuple(fields.items()))
    check(uwsgi.ask(raw, method == "HEAD"), but)


@needs_nginx
def test_shape_2_sends_the_file_that_the_application_names(uwsgi):
    nginxs, ours = uwsgi.ask(message("GET", "/protected-file", host=HOST))
    assert (nginxs.status, nginxs.body) == (ours.status, ours.body) == (200, FILES["protected/secret.txt"])
    assert ours.value("X-Accel-Redirect") is None


@needs_nginx
def test_shape_2_redirects_to_a_path_without_naming_the_host(uwsgi):
    # nginx writes an absolute URL with the port that it listens on.
    nginxs, ours = uwsgi.ask(message("GET", "/old/page", host=HOST))
    assert (nginxs.status, ours.status) == (301, 301)
    assert ours.value("Location") == "/new/" and nginxs.value("Location").endswith("/new/")


@pytest.fixture(scope="module")
def https(serve_module, tmp_path_factory, authority):
    """Shape 3: TLS, and what certbot has left."""
    folder = tmp_path_factory.mktemp("https")
    live = folder / "letsencrypt" / "live" / "shop.example"
    live.mkdir(parents=True)
    issued = authority.issue("shop.example", "www.shop.example")
    shutil.copy(issued.pem, live / "fullchain.pem")
    shutil.copy(issued.key, live / "privkey.pem")
    options = "ssl_session_cache shared:le_nginx_SSL:10m;\nssl_session_timeout 1440m;\nssl_session_tickets off;\n"
    options += "ssl_protocols TLSv1.2 TLSv1.3;\nssl_prefer_server_ciphers off;\n"
    (folder / "letsencrypt" / "options-ssl-nginx.conf").write_text(options)
    server = behind(serve_module, folder, ["127.0.0.1:0"])
    at = {"127.0.0.1:8000": "127.0.0.1:%d" % server.address[1]}
    both, running = start(serve_module, folder, "3-https", [443, 80], at)
    yield both
    running.stop()


@needs_nginx
@pytest.mark.parametrize(
    ("target", "host", "but"),
    [
        ("/", HOST, ()),
        ("/a?b=c", HOST, ()),
        ("/static/site.css", HOST, LIFETIME),
        ("/static/none", HOST, ()),
        ("/redirect", HOST, ()),
        ("/cookies", HOST, ()),
        ("/page?q=1", "www.shop.example", ()),
        ("/unknown-name", "other.example", ()),
    ],
)
def test_shape_3_a_site_with_tls(https, target, host, but):
    answers = https.ask(message("GET", target, host=host), name=HOST)
    check(answers, but)
    nginxs, ours = answers
    if "/static/" not in target and host != "www.shop.example":
        assert ours.value("Strict-Transport-Security") == nginxs.value("Strict-Transport-Security")


@needs_nginx
@pytest.mark.parametrize("host", [HOST, "www.shop.example"])
def test_shape_3_leads_to_tls_with_308_where_nginx_has_301(https, host):
    nginxs, ours = https.ask(message("GET", "/a?b=c", host=host), listener=1)
    assert (nginxs.status, ours.status) == (301, 308)
    assert nginxs.value("Location") == "https://%s/a?b=c" % host
    # The port is that of the address that speaks TLS, which is none of its own at port 443.
    assert re.fullmatch(r"https://%s:\d+/a\?b=c" % re.escape(host), ours.value("Location"))


@needs_nginx
def test_shape_3_answers_challenges_without_tls(https):
    nginxs, ours = https.ask(message("GET", "/.well-known/acme-challenge/token", host=HOST), listener=1)
    # The type of a file without an ending is nobody's to know, and authorities do not look at it.
    assert (nginxs.status, nginxs.body) == (ours.status, ours.body) == (200, b"token.key")


@pytest.fixture(scope="module")
def try_files(serve_module, tmp_path_factory):
    """Shape 4: files of a folder first, then the application."""
    folder = tmp_path_factory.mktemp("try")
    behind(serve_module, folder, ["unix:RUN/gunicorn.sock"], ("HTTP_X_REAL_IP",))
    both, running = start(serve_module, folder, "4-try-files", [80])
    yield both
    running.stop()


@needs_nginx
@pytest.mark.parametrize(
    ("method", "target", "body", "but"),
    [
        ("GET", "/", b"", ()),
        ("GET", "/a/b?c=d", b"", ()),
        ("POST", "/form", b"x" * 100000, ()),
        ("GET", "/redirect", b"", ()),
        ("GET", "/cookies", b"", ()),
        ("GET", "/error", b"", ()),
        ("GET", "/gone", b"", ()),
        ("GET", "/static/site.css", b"", LIFETIME),
        ("GET", "/robots.txt", b"", LIFETIME),
        ("HEAD", "/robots.txt", b"", LIFETIME),
        ("GET", "/500.html", b"", LIFETIME),
    ],
)
def test_shape_4_files_before_the_application(try_files, method, target, body, but):
    check(try_files.ask(message(method, target, body, host=HOST), method == "HEAD"), but)


@needs_nginx
def test_shape_4_differs_where_the_import_says_so(try_files):
    # A missing file in a folder is 404 at once; nginx asks the application.
    nginxs, ours = try_files.ask(message("GET", "/static/none", host=HOST))
    assert (nginxs.status, ours.status) == (200, 404)
    # nginx closes the connection of an unknown name without an answer.
    with Wire(("127.0.0.1", try_files.addresses[1][0])) as wire:
        assert wire.request(message("GET", "/", host="other.example")).status == 421


class Messages:
    """A server that switches to WebSocket, says so, and sends all bytes back."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=self.listener.accept()[:1], daemon=True).start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                more = connection.recv(65536)
                if not more:
                    return
                head += more
            key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)
            if key is None:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\npolled")
                return
            digest = hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            accept = base64.b64encode(digest)
            switched = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            connection.sendall(switched + b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept)
            for data in iter(lambda: connection.recv(65536), b""):
                connection.sendall(data)


@needs_nginx
def test_shape_4_has_its_page_when_the_application_is_not_there(serve, tmp_path):
    both, running = start(serve, tmp_path, "4-try-files", [80])
    try:
        for method in ("GET", "HEAD", "POST"):
            nginxs, ours = both.ask(message(method, "/a", host=HOST), method == "HEAD")
            assert (nginxs.status, nginxs.body) == (ours.status, ours.body)
            assert (ours.status, ours.body) == (502, b"" if method == "HEAD" else FILES["public/500.html"])
    finally:
        running.stop()


@pytest.fixture(scope="module")
def services(serve_module, tmp_path_factory):
    """Shape 5: a page in the browser, and services behind paths."""
    folder = tmp_path_factory.mktemp("services")
    # The configuration tells the servers nothing of the client; Farrier always does.
    hidden = ("SCRIPT_NAME", "HTTP_X_REAL_IP", "HTTP_X_FORWARDED_PROTO")
    first, second = (behind(serve_module, folder, ["127.0.0.1:0"], hidden) for _ in range(2))
    at = {}
    messages = Messages(), Messages()
    ports = (first.address[1], second.address[1], messages[0].port, messages[1].port)
    for old, port in zip(("9001", "9002", "9003", "9004"), ports):
        at["127.0.0.1:" + old] = "127.0.0.1:%d" % port
    both, running = start(serve_module, folder, "5-services", [8080], at, code=2)
    yield both
    running.stop()
    for server in messages:
        server.listener.close()


@needs_nginx
@pytest.mark.parametrize(
    ("method", "target", "body", "but"),
    [
        ("GET", "/", b"", LIFETIME),
        ("GET", "/index.html", b"", LIFETIME),
        ("GET", "/robots.txt", b"", LIFETIME),
        ("GET", "/users/7", b"", LIFETIME),
        ("HEAD", "/users/7", b"", LIFETIME),
        ("GET", "/users/7?a=b", b"", LIFETIME),
        ("GET", "/assets/missing.js", b"", LIFETIME),
        ("GET", "/api/things?a=b", b"", ()),
        ("GET", "/api/", b"", ()),
        ("POST", "/api/things", b"x" * 1000, ()),
        ("POST", "/api/upload", b"x" * (4 << 20), ()),
        ("POST", "/api/other", b"x" * (4 << 20), ()),
        ("GET", "/api/cookies", b"", ()),
        ("GET", "/api/error", b"", ()),
        ("GET", "/socket.io/?EIO=4", b"", ()),
        ("GET", "/admin/users", b"", ()),
    ],
)
def test_shape_5_services_behind_paths(services, method, target, body, but):
    check(services.ask(message(method, target, body, host=HOST), method == "HEAD"), but)


@needs_nginx
def test_shape_5_switches_to_websocket(services):
    key = base64.b64encode(b"sixteen bytes ..")
    fields = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
    raw = message("GET", "/socket.io/", host=HOST, fields=[*fields, ("Sec-WebSocket-Key", key.decode())])
    told = []
    for ports in services.addresses:
        with Wire(("127.0.0.1", ports[0])) as wire:
            wire.send(raw)
            answer = wire.read_head()
            frame = b"\x82\x83\x00\x00\x00\x00abc"
            wire.send(frame)
            told.append((answer.status, answer.value("Sec-WebSocket-Accept"), wire.read_bytes(len(frame))))
    assert told[0] == told[1] and told[0][0] == 101


@needs_nginx
def test_shape_5_differs_where_the_import_says_so(services):
    # Hashed names last for a year in both; nginx says ten.
    nginxs, ours = services.ask(message("GET", "/assets/app.js", host=HOST))
    assert ours.body == nginxs.body == FILES["dist/assets/app.js"]
    assert "immutable" in ours.value("Cache-Control")
    # A redirect of a server that knows nothing of its prefix leads out of it in nginx.
    nginxs, ours = services.ask(message("GET", "/api/redirect", host=HOST))
    assert (nginxs.value("Location"), ours.value("Location")) == ("/elsewhere?a=b", "/api/elsewhere?a=b")
    assert "allow 10.0.0.0/8" in services.reported


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "nginx.conf").write_text("server { listen 8080; root /srv; }\n")
    return tmp_path


def run(folder, *arguments):
    """Runs the command to its end."""
    command = [*COMMAND, "import-nginx", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=30)


def test_a_rule_of_access_without_a_counterpart_makes_the_command_fail(folder):
    rule = "server { location / { allow 10.0.0.1; deny all; root /srv; } }\n"
    (folder / "nginx.conf").write_text(rule)
    told = run(folder, "nginx.conf", "--output", "farrier.toml")
    assert told.returncode == 2
    assert "farrier: nginx.conf:1: deny all: requests are refused here" in told.stderr
    assert 'path = "/"\nstatus = 403\n' in (folder / "farrier.toml").read_text()


def test_directives_without_a_counterpart_are_named_with_file_and_line(folder):
    (folder / "nginx.conf").write_text("server {\n    root /srv;\n    sub_filter a b;\n    no_such on;\n}\n")
    told = run(folder, "nginx.conf")
    assert told.returncode == 0
    assert re.findall(r"farrier: nginx.conf:(\d): (\w+)", told.stderr) == [("3", "sub_filter"), ("4", "no_such")]


def test_a_file_that_is_there_is_not_written_over(folder):
    (folder / "farrier.toml").write_text("threads = 3\n")
    refused = run(folder, "nginx.conf", "-o", "farrier.toml")
    assert refused.returncode == 1
    assert "`--force` overwrites it" in refused.stderr
    assert (folder / "farrier.toml").read_text() == "threads = 3\n"
    assert run(folder, "nginx.conf", "-o", "farrier.toml", "--force").returncode == 0
    assert 'bind = ["0.0.0.0:8080"]' in (folder / "farrier.toml").read_text()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server {\n  listen 80\n}\n", "nginx.conf:2: `listen` does not end with `;`"),
        ("server {\n", "nginx.conf:1: the block `server` has no end"),
        ("events { }\ninclude nothing.conf;\n", "nginx.conf:2: cannot read nothing.conf: No such file"),
        ("include nginx.conf;\n", "nginx.conf:1: files include each other more than 32 deep"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_refused_with_the_line(folder, text, said):
    (folder / "nginx.conf").write_text(text)
    refused = run(folder, "nginx.conf")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "farrier: " + said in refused.stderr


def test_the_application_takes_the_place_of_the_server_behind_nginx(serve, folder):
    port = free_port()
    text = "server { listen 127.0.0.1:%d; location / { proxy_pass http://unix:/run/shop.sock; } }\n" % port
    (folder / "nginx.conf").write_text(text)
    (folder / "shop.py").write_text(
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'shop']\n"
    )
    assert run(folder, "--app", "shop", "nginx.conf", "-o", "farrier.toml").returncode == 0
    server = serve("farrier.toml", "--config", bind=(), directory=folder)
    assert server.get("/").body == b"shop"


def test_the_command_prints_its_usage(folder):
    for arguments, status in [
        (["--help"], 0),
        ([], 2),
        (["a", "b"], 2),
        (["-o"], 2),
        (["--app"], 2),
        (["--what", "a"], 2),
    ]:
        told = run(folder, *arguments)
        assert told.returncode == status, arguments
        assert "import-nginx" in told.stdout + told.stderr
