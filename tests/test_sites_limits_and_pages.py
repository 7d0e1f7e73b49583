"""The longest body of each mount, and a site's own error pages."""

import signal
import socket
import textwrap

import pytest

import gateway
from frames import DATA, END_STREAM, Connection, frame
from wire import chunked, message, until

APPLICATION = """
    import time

    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path.endswith("/raise"):
            raise RuntimeError("secret")
        if path.endswith("/slow"):
            time.sleep(5)
        length = len(environ["wsgi.input"].read())
        status = "404 Not Found" if path.endswith("/missing") else "200 OK"
        start_response(status, [("Content-Type", "text/plain")])
        return [b"application %d" % length]
"""

SETTINGS = """
wsgi_app = "app"
limit_request_body = "1KiB"
request_timeout = 1

[error_pages]
404 = "pages/404.html"
400 = "pages/400.txt"
500 = "pages/500.html"
413 = "pages/413.html"
503 = "pages/503.html"
504 = "pages/504.html"

[[mount]]
path = "/upload"
app = "app"
limit_request_body = "100KiB"

[[mount]]
path = "/small"
app = "app"
limit_request_body = 10

[[mount]]
path = "/down"
status = 503

[[static]]
url = "/files"
dir = "pages"

[[site]]
hosts = ["own.test"]
app = "app"
limit_request_body = 5
error_pages = { 404 = "pages/own404.html", 413 = "pages/own413.html", 421 = "pages/421.html" }

[[site.mount]]
path = "/only"
status = 404
"""

PAGES = {
    "404.html": "<p>nothing here",
    "400.txt": "odd request",
    "500.html": "<p>broken",
    "413.html": "<p>too much",
    "503.html": "<p>back soon",
    "504.html": "<p>too slow",
    "own404.html": "<p>own nothing",
    "own413.html": "<p>own too much",
    "421.html": "<p>wrong door",
}


@pytest.fixture(scope="module")
def site(serve_module, tmp_path_factory):
    directory = tmp_path_factory.mktemp("site")
    (directory / "app.py").write_text(textwrap.dedent(APPLICATION))
    (directory / "pages").mkdir()
    for name, content in PAGES.items():
        (directory / "pages" / name).write_text(content)
    bind = ("127.0.0.1:0", "uwsgi://127.0.0.1:0")
    return serve_module("", "--http2-cleartext", "prior-knowledge", directory=directory, settings=SETTINGS, bind=bind)


@pytest.mark.parametrize(
    "target, host, most",
    [("/x", "a.test", 1024), ("/upload/x", "a.test", 102400), ("/small", "a.test", 10), ("/x", "own.test", 5)],
)
def test_a_mount_has_its_own_longest_body(site, target, host, most):
    assert site.exchange(message("POST", target, body=b"x" * most, host=host)).text == "application %d" % most
    assert site.exchange(message("POST", target, body=b"x" * (most + 1), host=host)).status == 413
    pieces = [b"x" * (most // 2), b"x" * (most - most // 2)]
    for extra, status in (([], 200), ([b"y"], 413)):
        head = message("POST", target, host=host, fields=[("Transfer-Encoding", "chunked")])
        head = head.replace(b"Content-Length: 0\r\n", b"")
        assert site.exchange(head + chunked(pieces + extra)).status == status


def test_a_body_that_is_too_long_is_refused_before_it_is_sent(site):
    head = message("POST", "/small", fields=[("Expect", "100-continue"), ("Content-Length", "11")])
    head = head.replace(b"Content-Length: 0\r\n", b"")
    response = site.exchange(head)
    assert (response.status, response.closes) == (413, True)
    # A body that the mount accepts, although the server would not, is requested.
    head = message("POST", "/upload/", fields=[("Expect", "100-continue"), ("Content-Length", "2000")])
    wire = site.connect()
    wire.send(head.replace(b"Content-Length: 0\r\n", b""))
    assert wire.read_response().status == 100
    wire.send(b"x" * 2000)
    assert wire.read_response().text == "application 2000"


@pytest.mark.parametrize(
    "target, host, status, content, kind",
    [
        ("/files/none.html", "a.test", 404, "<p>nothing here", "text/html; charset=utf-8"),
        ("/down", "a.test", 503, "<p>back soon", "text/html; charset=utf-8"),
        ("/raise", "a.test", 500, "<p>broken", "text/html; charset=utf-8"),
        ("/upload/raise", "a.test", 500, "<p>broken", "text/html; charset=utf-8"),
        ("/raise", "own.test", 500, "<p>broken", "text/html; charset=utf-8"),
        ("/only", "own.test", 404, "<p>own nothing", "text/html; charset=utf-8"),
        ("/slow", "a.test", 504, "<p>too slow", "text/html; charset=utf-8"),
        ("/small/../x", "a.test", 400, "odd request", "text/plain; charset=utf-8"),
    ],
)
def test_an_error_page_replaces_the_servers_own_text(site, target, host, status, content, kind):
    response = site.exchange(message(target=target, host=host))
    assert (response.status, response.text, response.value("Content-Type")) == (status, content, kind)
    if not target.endswith("/slow"):
        head = site.exchange(message("HEAD", target, host=host), head_only=True)
        assert (head.status, head.value("Content-Length"), head.body) == (status, str(len(content)), b"")


def test_the_applications_own_errors_stay_its_own(site):
    assert site.get("/missing").text == "application 0"


def test_the_page_of_a_refused_body_is_that_of_its_site(site):
    assert site.exchange(message("POST", "/x", body=b"x" * 2000)).text == "<p>too much"
    assert site.exchange(message("POST", "/x", body=b"x" * 2000, host="own.test")).text == "<p>own too much"


def test_requests_refused_before_their_host_is_known_get_the_default_sites_page(site):
    assert site.exchange(b"GET / HTTP/1.1\r\nHost: own.test\r\nBroken Field: x\r\n\r\n").text == "odd request"


def test_a_name_that_no_site_serves_shows_the_page_for_all_sites(serve, tmp_path):
    (tmp_path / "421.html").write_text("<p>wrong door")
    (tmp_path / "app.py").write_text("def application(environ, start_response): pass\n")
    (tmp_path / "own.html").write_text("<p>of the site")
    settings = '[error_pages]\n421 = "421.html"\n[[site]]\nhosts = ["own.test"]\napp = "app"\n'
    settings += 'error_pages = { 421 = "own.html", 404 = "own.html" }\n'
    server = serve("", directory=tmp_path, settings=settings)
    response = server.exchange(message(host="other.test"))
    assert (response.status, response.text) == (421, "<p>wrong door")


def test_pages_are_read_at_the_start_and_again_at_a_reload(serve, tmp_path):
    (tmp_path / "404.html").write_text("first")
    settings = '[error_pages]\n404 = "404.html"\n[[mount]]\npath = "/"\nstatus = 404\n'
    server = serve("", directory=tmp_path, settings=settings)
    assert server.get("/").text == "first"
    (tmp_path / "404.html").write_text("second")
    assert server.get("/").text == "first"
    server.kill(signal.SIGHUP)
    until(lambda: server.get("/").text == "second", 20, "the new page")


def test_an_error_page_is_sent_with_one_application_and_no_sites(serve):
    server = serve(
        """
        def application(environ, start_response):
            raise RuntimeError("secret")
        """,
        "--error-page",
        "500=broken.html",
        listening=False,
    )
    assert server.wait_exit() == 1
    assert server.log.find(r"error_pages: the page for 500, `broken.html`, cannot be read: No such file")


def test_streams_of_http2_have_the_same_bounds_and_pages(site):
    with Connection(site.address) as connection:

        def ask(method, path, host, *fields, end=True):
            pseudo = [(":method", method), (":scheme", "http"), (":authority", host), (":path", path)]
            return connection.open(block=connection.encoder.encode(pseudo + list(fields)), end=end)

        refused = connection.response(ask("POST", "/small", "a.test", ("content-length", "11"), end=False))
        assert (refused.status, refused.body) == (413, b"<p>too much")
        refused = connection.response(ask("POST", "/x", "own.test", ("content-length", "6"), end=False))
        assert (refused.status, refused.body) == (413, b"<p>own too much")
        missing = connection.response(ask("GET", "/only", "own.test"))
        assert (missing.status, missing.body) == (404, b"<p>own nothing")
        odd = connection.response(ask("GET", "/small/../x", "a.test"))
        assert (odd.status, odd.body) == (400, b"odd request")
        large = ask("POST", "/upload/x", "a.test", ("content-length", "2000"), end=False)
        connection.send(frame(DATA, END_STREAM, large, b"x" * 2000))
        assert connection.response(large).body == b"application 2000"


def test_requests_of_a_web_server_in_front_are_routed_by_their_variables(site):
    def ask(method="GET", target="/", body=None, **more):
        with socket.create_connection(site.addresses[1], 15) as connection:
            connection.sendall(gateway.uwsgi(method, target, body, **more))
            head, _, content = b"".join(iter(lambda: connection.recv(65536), b"")).partition(b"\r\n\r\n")
            return int(head.split()[1]), content

    assert ask("POST", "/small", b"x" * 10) == (200, b"application 10")
    assert ask("POST", "/small", b"x" * 11) == (413, b"<p>too much")
    assert ask("POST", "/upload/x", b"x" * 2000) == (200, b"application 2000")
    assert ask(target="/only", HTTP_HOST="own.test") == (404, b"<p>own nothing")


def test_a_client_that_asks_too_often_sees_the_page_of_its_site(serve, tmp_path):
    for name in ("all", "own"):
        (tmp_path / (name + ".html")).write_text(name)
    settings = """
    error_pages = { 429 = "all.html" }
    [[mount]]
    path = "/"
    respond = "fine"
    [[site]]
    hosts = ["own.test"]
    error_pages = { 429 = "own.html" }
    [[site.mount]]
    path = "/"
    respond = "fine"
    """
    server = serve("", "--rate-limit", "1/h", directory=tmp_path, settings=settings)
    assert server.get().text == "fine"
    until(lambda: server.get().status == 429, 10, "the refusal")
    for host, page in (("a.test", "all"), ("own.test", "own")):
        response = server.exchange(message(host=host))
        assert (response.status, response.text) == (429, page)
        assert int(response.value("Retry-After")) > 0
