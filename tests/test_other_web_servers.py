"""Apache, lighttpd, HAProxy and uWSGI's own router in front, each with the module it has for uwsgi or FastCGI."""

import hashlib
import json
import os
import shutil
import sysconfig

import pytest

from web_server import WebServer, free_port, let_everybody_in
from wire import Wire, chunked, message

PEERS = os.environ.get("FARRIER_TEST_PEERS") or os.path.join(sysconfig.get_path("data"), "peers")
PLACES = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin", os.path.join(PEERS, "bin")])

TELLING = """
    import hashlib, json

    def application(environ, start_response):
        body = environ["wsgi.input"].read()
        told = {key: value for key, value in environ.items() if isinstance(value, str)}
        told["body"] = [len(body), hashlib.sha256(body).hexdigest()]
        start_response("200 OK", [("X-A", "b")])
        return [json.dumps(told).encode()]
"""

APACHE = """
ServerName example.test
Listen 127.0.0.1:%(port)d
PidFile %(directory)s/apache.pid
ErrorLog /dev/stderr
Mutex file:%(directory)s
LoadModule mpm_event_module %(modules)s/mod_mpm_event.so
LoadModule authz_core_module %(modules)s/mod_authz_core.so
LoadModule proxy_module %(modules)s/mod_proxy.so
LoadModule proxy_uwsgi_module %(modules)s/mod_proxy_uwsgi.so
LoadModule proxy_fcgi_module %(modules)s/mod_proxy_fcgi.so
User www-data
Group www-data
ProxyPass / unix:%(directory)s/%(scheme)s.sock|%(name)s://farrier/
"""

LIGHTTPD = """
server.document-root = "%(directory)s"
server.bind = "127.0.0.1"
server.port = %(port)d
server.modules = ("mod_fastcgi")
server.errorlog = "/dev/stderr"
server.upload-dirs = ("%(directory)s")
fastcgi.server = ("/" => ((
    "socket" => "%(directory)s/fastcgi.sock", "check-local" => "disable", "fix-root-scriptname" => "enable"
)))
"""

HAPROXY = """
defaults
    mode http
    timeout connect 10s
    timeout client 30s
    timeout server 30s
fcgi-app application
    docroot %(directory)s
frontend front
    bind 127.0.0.1:%(port)d
    default_backend back
backend back
    use-fcgi-app application
    server farrier unix@%(directory)s/fastcgi.sock proto fcgi
"""


def program(name):
    return shutil.which(name, path=PLACES)


def apache(directory, port, name):
    scheme = {"uwsgi": "uwsgi", "fcgi": "fastcgi"}[name]
    modules = next(path for path in ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules") if os.path.isdir(path))
    inside = {"directory": directory, "port": port, "modules": modules, "scheme": scheme, "name": name}
    configuration = write(directory / "apache.conf", APACHE % inside)
    return [program("apache2"), "-X", "-d", str(directory), "-f", configuration]


def lighttpd(directory, port):
    configuration = write(directory / "lighttpd.conf", LIGHTTPD % {"directory": directory, "port": port})
    return [program("lighttpd"), "-D", "-f", configuration]


def haproxy(directory, port):
    configuration = write(directory / "haproxy.conf", HAPROXY % {"directory": directory, "port": port})
    return [program("haproxy"), "-f", configuration]


def uwsgi(directory, port):
    backend = "%s/uwsgi.sock" % directory
    return [program("uwsgi"), "--master", "--http", "127.0.0.1:%d" % port, "--http-to", backend, "--die-on-term"]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


WAYS = {
    "apache-uwsgi": ("apache2", lambda directory, port: apache(directory, port, "uwsgi")),
    "apache-fastcgi": ("apache2", lambda directory, port: apache(directory, port, "fcgi")),
    "lighttpd-fastcgi": ("lighttpd", lighttpd),
    "haproxy-fastcgi": ("haproxy", haproxy),
    "uwsgi-router": ("uwsgi", uwsgi),
}


# Web servers that refuse chunked uploads for these protocols, and their answers.
WITHOUT_CHUNKED = {"apache-uwsgi": 411, "haproxy-fastcgi": 400}


@pytest.fixture(scope="module", params=list(WAYS))
def way(request, serve_module, tmp_path_factory):
    """The address of a web server with Farrier behind it."""
    name, command = WAYS[request.param]
    if program(name) is None:
        pytest.skip("needs %s" % name)
    directory = tmp_path_factory.mktemp(request.param)
    let_everybody_in(directory)
    bind = ["%s+unix:%s/%s.sock" % (scheme, directory, scheme) for scheme in ("uwsgi", "fastcgi")]
    serve_module(TELLING, "--limit-request-body", "32M", bind=bind, directory=directory)
    port = free_port()
    running = WebServer(command(directory, port), [port], directory)
    yield ("127.0.0.1", port)
    running.stop()


def ask(address, raw):
    with Wire(address, timeout=30) as wire:
        return wire.request(raw)


def test_the_application_sees_what_the_client_sent(way):
    fields = [("X-Y", "1"), ("Cookie", "a=b; c=d"), ("Connection", "close")]
    response = ask(way, message("GET", "/a/b?c=d%20e", host="example.test", fields=fields))
    told = json.loads(response.body)
    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/a/b",
        "QUERY_STRING": "c=d%20e",
        "HTTP_HOST": "example.test",
        "HTTP_X_Y": "1",
        "HTTP_COOKIE": "a=b; c=d",
        "wsgi.url_scheme": "http",
        "REMOTE_ADDR": "127.0.0.1",
    }
    assert {key: told.get(key) for key in expected} == expected
    assert (response.status, response.value("X-A")) == (200, "b")


@pytest.mark.parametrize("length", [0, 1, 65535, 65536, 10 << 20])
def test_uploads_arrive_whole(way, length):
    body = os.urandom(length)
    told = json.loads(ask(way, message("POST", "/", body, fields=[("Connection", "close")])).body)
    assert told["body"] == [length, hashlib.sha256(body).hexdigest()]


def test_chunked_uploads_arrive_whole(way, request):
    name = request.node.callspec.params["way"]
    fields = [("Transfer-Encoding", "chunked"), ("Connection", "close")]
    raw = message("POST", "/", fields=fields).replace(b"Content-Length: 0\r\n", b"")
    response = ask(way, raw + chunked([b"hello", b"w" * 70000]))
    if name in WITHOUT_CHUNKED:
        assert response.status == WITHOUT_CHUNKED[name]
        return
    # uWSGI's router passes on the coding unchanged and no length, so the application gets no content.
    whole = 0 if name == "uwsgi-router" else 70005
    assert json.loads(response.body)["body"][0] == whole


def test_many_requests_one_after_the_other(way):
    for number in range(50):
        response = ask(way, message("POST", "/%d" % number, b"x" * number, fields=[("Connection", "close")]))
        assert json.loads(response.body)["body"][0] == number


def test_a_client_that_leaves_does_not_affect_others(way):
    for sent in (0, 50000):
        with Wire(way) as wire:
            wire.send(message("POST", "/", b"x" * 100000)[: -100000 + sent])
    assert ask(way, message(fields=[("Connection", "close")])).status == 200
