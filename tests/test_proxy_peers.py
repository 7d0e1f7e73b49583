"""Real servers behind the proxy and real ones in front of it, each with the same table of requests."""

import hashlib
import json
import os
import sys
import textwrap

import pytest

import frames
from test_other_web_servers import PEERS, program, write
from web_server import NGINX, WebServer, free_port, let_everybody_in, nginx
from wire import Wire, chunked, message

APPLICATION = """
    import hashlib, json

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/pieces":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return (b"%d\\n" % number * 1000 for number in range(100))
        if path == "/large":
            start_response("200 OK", [("Content-Length", "3000000")])
            return [b"0123456789" * 300000]
        if path == "/empty":
            start_response("204 No Content", [])
            return []
        if path == "/moved":
            start_response("302 Found", [("Location", "/there?a=b"), ("Set-Cookie", "a=b; Path=/"), ("Set-Cookie", "c=d")])
            return []
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        told = {key: value for key, value in environ.items() if isinstance(value, str)}
        told["body"] = [len(body), hashlib.sha256(body).hexdigest()]
        told = json.dumps(told).encode()
        start_response("200 OK", [("X-A", "b"), ("Content-Length", str(len(told)))])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else told]
"""

NODE = """
const http = require("http"), crypto = require("crypto");
http.createServer((request, response) => {
    const [path, query] = request.url.split("?");
    if (path === "/pieces") {
        for (let number = 0; number < 100; number++) response.write((number + "\\n").repeat(1000));
        return response.end();
    }
    if (path === "/large") return response.end("0123456789".repeat(300000));
    if (path === "/empty") { response.statusCode = 204; return response.end(); }
    if (path === "/moved") {
        response.writeHead(302, { Location: "/there?a=b", "Set-Cookie": ["a=b; Path=/", "c=d"] });
        return response.end();
    }
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece)).on("end", () => {
        const body = Buffer.concat(pieces);
        const told = { REQUEST_METHOD: request.method, PATH_INFO: decodeURIComponent(path), QUERY_STRING: query || "" };
        for (const name in request.headers) told["HTTP_" + name.toUpperCase().replace(/-/g, "_")] = request.headers[name];
        told.body = [body.length, crypto.createHash("sha256").update(body).digest("hex")];
        response.setHeader("X-A", "b");
        response.end(JSON.stringify(told));
    });
}).listen(+process.argv[2], "127.0.0.1");
"""

PHP = """<?php
$path = parse_url($_SERVER["REQUEST_URI"], PHP_URL_PATH);
if ($path == "/pieces") {
    for ($number = 0; $number < 100; $number++) { echo str_repeat("$number\\n", 1000); flush(); }
} elseif ($path == "/large") {
    echo str_repeat("0123456789", 300000);
} elseif ($path == "/empty") {
    http_response_code(204);
} elseif ($path == "/moved") {
    header("Location: /there?a=b", true, 302);
    header("Set-Cookie: a=b; Path=/");
    header("Set-Cookie: c=d", false);
} else {
    header("X-A: b");
    $body = file_get_contents("php://input");
    $told = array_filter($_SERVER, "is_string");
    $told["PATH_INFO"] = urldecode($path);
    $told["body"] = [strlen($body), hash("sha256", $body)];
    echo json_encode($told);
}
"""

FPM = """
[global]
error_log = /dev/stderr
daemonize = no
[www]
user = www-data
group = www-data
listen = 127.0.0.1:%(port)d
pm = static
pm.max_children = 2
clear_env = no
"""


def uwsgi(flag):
    return lambda directory, port: [
        *(program("uwsgi"), "--master", "--die-on-term", flag, "127.0.0.1:%d" % port, "--buffer-size", "32768"),
        *(
            "--chdir",
            str(directory),
            "--wsgi-file",
            "app.py",
            "--post-buffering",
            "65536",
            "--threads",
            "16",
            "--listen",
            "64",
        ),
    ]


def gunicorn(kind):
    return lambda directory, port: [
        *(
            sys.executable,
            "-c",
            "import sys; sys.path.insert(0, %r); from gunicorn.app.wsgiapp import run; run()" % PEERS,
        ),
        *("--bind", "127.0.0.1:%d" % port, "--worker-class", kind, "--threads", "4", "--chdir", str(directory)),
        "app:application",
    ]


def waitress(directory, port):
    start = "import sys; sys.path[:0] = [%r, %r]; from waitress import serve; from app import application; " % (
        PEERS,
        str(directory),
    )
    return [sys.executable, "-c", start + "serve(application, host='127.0.0.1', port=%d)" % port]


def node(directory, port):
    return [program("node"), write(directory / "server.js", NODE), str(port)]


def fpm_program():
    places = ("/usr/sbin", "/usr/bin")
    found = [
        os.path.join(place, name)
        for place in places
        for name in sorted(os.listdir(place))
        if name.startswith("php-fpm")
    ]
    return found[0] if found else None


def fpm(directory, port):
    write(directory / "index.php", PHP)
    return [
        fpm_program(),
        "-n",
        "-R",
        "-d",
        "post_max_size=32M",
        "-y",
        write(directory / "fpm.conf", FPM % {"port": port}),
    ]


def is_there(name):
    return lambda: os.path.isdir(os.path.join(PEERS, name))


# Scheme, whether it is there, and its command.
UPSTREAMS = {
    "gunicorn": ("http", is_there("gunicorn"), gunicorn("sync")),
    "gunicorn-gthread": ("http", is_there("gunicorn"), gunicorn("gthread")),
    "waitress": ("http", is_there("waitress"), waitress),
    "node": ("http", lambda: program("node"), node),
    "uwsgi-http": ("http", lambda: program("uwsgi"), uwsgi("--http-socket")),
    "uwsgi": ("uwsgi", lambda: program("uwsgi"), uwsgi("--socket")),
    "uwsgi-fastcgi": ("fastcgi", lambda: program("uwsgi"), uwsgi("--fastcgi-socket")),
    "php-fpm": ("fastcgi", fpm_program, fpm),
}
FARRIER = {"farrier": "http", "farrier-uwsgi": "uwsgi", "farrier-fastcgi": "fastcgi"}
FLAGS = ("--limit-request-body", "32M", "--http2-cleartext", "prior-knowledge")

FRONT_HAPROXY = """
defaults
    mode http
    timeout connect 10s
    timeout client 30s
    timeout server 30s
listen front
    bind 127.0.0.1:%(port)d
    server farrier 127.0.0.1:%(behind)d
"""

FRONT_LIGHTTPD = """
server.document-root = "%(directory)s"
server.bind = "127.0.0.1"
server.port = %(port)d
server.modules = ("mod_proxy")
server.errorlog = "/dev/stderr"
server.upload-dirs = ("%(directory)s")
proxy.server = ("" => (("host" => "127.0.0.1", "port" => %(behind)d)))
"""

FRONT_APACHE = """
ServerName example.test
Listen 127.0.0.1:%(port)d
PidFile %(directory)s/apache.pid
ErrorLog /dev/stderr
Mutex file:%(directory)s
LoadModule mpm_event_module %(modules)s/mod_mpm_event.so
LoadModule authz_core_module %(modules)s/mod_authz_core.so
LoadModule proxy_module %(modules)s/mod_proxy.so
LoadModule proxy_http_module %(modules)s/mod_proxy_http.so
User www-data
Group www-data
ProxyPreserveHost On
ProxyPass / http://127.0.0.1:%(behind)d/
"""

FRONT_NGINX = """
server {
    listen 127.0.0.1:%(port)d;
    client_max_body_size 32m;
    location / { proxy_pass http://127.0.0.1:%(behind)d; proxy_set_header Host $host; proxy_http_version 1.1; proxy_set_header Connection ""; }
}
"""


def front_of(name, text):
    def start(directory, port, behind):
        modules = "/usr/lib/apache2/modules"
        inside = text % {"directory": directory, "port": port, "behind": behind, "modules": modules}
        if name == "nginx":
            return nginx(directory, inside, [port])
        configuration = write(directory / "front.conf", inside)
        flags = {"haproxy": ["-f"], "lighttpd": ["-D", "-f"], "apache2": ["-X", "-d", str(directory), "-f"]}[name]
        return WebServer([program(name), *flags, configuration], [port], directory)

    return start


FRONTS = {
    "nginx": FRONT_NGINX,
    "haproxy": FRONT_HAPROXY,
    "lighttpd": FRONT_LIGHTTPD,
    "apache2": FRONT_APACHE,
}


@pytest.fixture(scope="module", params=[*UPSTREAMS, *FARRIER, *("front-" + name for name in FRONTS)])
def way(request, serve_module, tmp_path_factory):
    """The address of a chain with the proxy in it."""
    name = request.param
    directory = tmp_path_factory.mktemp(name)
    running = None
    if name in UPSTREAMS:
        scheme, is_present, command = UPSTREAMS[name]
        if not is_present():
            pytest.skip("needs %s" % name)
        let_everybody_in(directory)
        write(directory / "app.py", textwrap.dedent(APPLICATION))
        port = free_port()
        running = WebServer(command(directory, port), [port], directory)
        behind = "%s://127.0.0.1:%d" % (scheme, port)
    else:
        scheme = FARRIER.get(name, "http")
        bind = "127.0.0.1:%d" % free_port()
        if scheme != "http":
            bind = "%s://%s" % (scheme, bind)
        served = serve_module(APPLICATION, "--limit-request-body", "32M", bind=(bind,))
        behind = "%s://%s:%d" % (scheme, *served.address)
    # uWSGI closes without saying so before, which a POST would run into.
    keepalive = "keepalive = 0\n" if name == "uwsgi-http" else ""
    keys = 'params = { SCRIPT_FILENAME = "%s/index.php" }\n' % directory if name == "php-fpm" else ""
    settings = '[[upstream]]\nname = "app"\nservers = ["%s"]\n%s[[mount]]\npath = "/"\nproxy = "app"\n%s'
    settings %= (behind, keepalive, keys)
    front = serve_module("", *FLAGS, settings=settings)
    address = front.address
    outer = None
    if name.startswith("front-"):
        peer = name.partition("-")[2]
        if program(peer) is None:
            pytest.skip("needs %s" % peer)
        port = free_port()
        let_everybody_in(directory)
        outer = front_of(peer, FRONTS[peer])(directory, port, front.address[1])
        address = ("127.0.0.1", port)
    yield Way(name, address, front)
    for server in (outer, running):
        if server:
            server.stop()


class Way:
    """A chain: its name, the address where it begins, and Farrier's proxy in it."""

    def __init__(self, name, address, front):
        self.name, self.address, self.front = name, address, front

    def ask(self, *arguments, **options):
        """One request on a new connection."""
        with Wire(self.address, timeout=30) as wire:
            return wire.request(message(*arguments, **options), head_only=arguments[:1] == ("HEAD",))


def test_the_application_sees_what_the_client_sent(way):
    response = way.ask("GET", "/a/b?c=d%20e", host="example.test", fields=[("X-Y", "1"), ("Cookie", "a=b; c=d")])
    assert (response.status, response.value("X-A")) == (200, "b")
    told = json.loads(response.body)
    expected = {"REQUEST_METHOD": "GET", "PATH_INFO": "/a/b", "QUERY_STRING": "c=d%20e", "HTTP_X_Y": "1"}
    expected.update(HTTP_COOKIE="a=b; c=d", HTTP_HOST="example.test")
    assert {key: told.get(key) for key in expected} == expected
    assert "farrier" in told["HTTP_VIA"]
    if way.name != "waitress":
        # waitress removes it unless it is told to trust the proxy.
        assert "127.0.0.1" in told["HTTP_X_FORWARDED_FOR"]


@pytest.mark.parametrize("length", [0, 1, 65535, 65536, 10_000_000])
def test_uploads_arrive_whole(way, length):
    if way.name == "uwsgi-fastcgi":
        # uWSGI gives up a FastCGI body that has not arrived yet, behind nginx as well.
        length = min(length, 65536)
    body = os.urandom(length)
    told = json.loads(way.ask("POST", "/", body).body)
    assert told["body"] == [length, hashlib.sha256(body).hexdigest()]


def test_chunked_uploads_arrive_whole(way):
    with Wire(way.address, timeout=30) as wire:
        wire.send(
            b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked([b"hello", b"w" * 70000])
        )
        assert json.loads(wire.read_response().body)["body"][0] == 70005


def test_answers_of_every_kind_arrive_whole(way):
    assert way.ask("GET", "/pieces").body == b"".join(b"%d\n" % number * 1000 for number in range(100))
    assert way.ask("GET", "/large").body == b"0123456789" * 300000
    assert way.ask("GET", "/empty").status == 204
    moved = way.ask("GET", "/moved")
    assert moved.status == 302 and moved.value("Location").endswith("/there?a=b")
    assert moved.values("Set-Cookie") == ["a=b; Path=/", "c=d"]
    assert way.ask("HEAD", "/").body == b""


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"])
def test_every_method_passes(way, method):
    assert json.loads(way.ask(method, "/x").body)["REQUEST_METHOD"] == method


def test_requests_of_one_connection_are_answered_in_order(way):
    with Wire(way.address, timeout=30) as wire:
        for number in range(30):
            kind = ("POST", "/%d" % number, b"x" * number) if number % 3 else ("GET", "/%d" % number)
            told = json.loads(wire.request(message(*kind)).body)
            assert told["PATH_INFO"] == "/%d" % number and told["body"][0] == (number if number % 3 else 0)


def test_clients_of_http_2_are_answered(way):
    with frames.Connection(way.front.address) as client:
        streams = [client.open(path="/%d" % number) for number in range(10)]
        for number, stream in enumerate(streams):
            assert json.loads(client.response(stream).body)["PATH_INFO"] == "/%d" % number
        assert client.get("/large").body == b"0123456789" * 300000
        assert client.get("/pieces").status == 200 and client.get("/empty").status == 204


def test_a_client_that_leaves_does_not_affect_others(way):
    for sent in (0, 50000):
        with Wire(way.address) as wire:
            wire.send(message("POST", "/", b"x" * 100000)[: -100000 + sent])
    with Wire(way.address) as wire:
        wire.send(message("GET", "/large"))
        wire.reset()
    assert way.ask("GET", "/").status == 200


@pytest.mark.skipif(NGINX is None, reason="needs nginx (Debian: nginx-light)")
def test_files_of_nginx_arrive_as_nginx_sends_them(serve, tmp_path):
    (tmp_path / "files" / "folder").mkdir(parents=True)
    body = os.urandom(3_000_000)
    (tmp_path / "files" / "file.bin").write_bytes(body)
    let_everybody_in(tmp_path)
    port = free_port()
    inside = "server { listen 127.0.0.1:%d; root %s/files; location /files { alias %s/files; } }" % (
        port,
        tmp_path,
        tmp_path,
    )
    running = nginx(tmp_path, inside, [port])
    front = serve("", settings='[[mount]]\npath = "/at"\nproxy = "http://127.0.0.1:%d"\nstrip_prefix = true\n' % port)
    first = front.get("/at/file.bin")
    assert first.body == body
    assert front.get("/at/file.bin", [("If-None-Match", first.value("ETag"))]).status == 304
    part = front.get("/at/file.bin", [("Range", "bytes=10-19")])
    assert (part.status, part.body, part.value("Content-Range")) == (206, body[10:20], "bytes 10-19/3000000")
    parts = front.get("/at/file.bin", [("Range", "bytes=0-1,5-6")])
    assert parts.status == 206 and parts.value("Content-Type").startswith("multipart/byteranges")
    assert front.get("/at/none").status == 404
    assert front.exchange(message("HEAD", "/at/file.bin"), head_only=True).value("Content-Length") == "3000000"
    # nginx names the host that it was asked for, with its own port.
    assert front.get("/at/folder").value("Location") == "http://farrier.test/at/folder/"
    running.stop()
