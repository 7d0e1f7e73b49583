"""The same requests to nginx and to Farrier, which serve the same folder: the responses agree, except where nginx is
wrong."""

import pytest

from static_folder import APPLICATION, MODIFIED, fill
from web_server import NGINX, free_port, let_everybody_in, nginx
from wire import Wire, message

pytestmark = pytest.mark.skipif(NGINX is None, reason="needs nginx (Debian: nginx-light)")

BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"

SERVER = """
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    sendfile on;
    max_ranges 8;
    server {
        listen 127.0.0.1:%d;
        location /static/ { alias %s/; expires 60s; }
        location /pages/ { alias %s/pages/; index index.html; }
    }
"""


@pytest.fixture(scope="module")
def both(serve_module, tmp_path_factory):
    """The addresses of nginx and of Farrier."""
    directory = tmp_path_factory.mktemp("site")
    root = fill(directory)
    let_everybody_in(directory)
    port = free_port()
    web_server = nginx(directory, SERVER % (port, root, root), [port])
    settings = """
        [[static]]
        url = "/static/"
        dir = "files"

        [[static]]
        url = "/pages/"
        dir = "files/pages"
        index = "index.html"
    """
    farrier = serve_module(APPLICATION, directory=directory, settings=settings)
    yield ("127.0.0.1", port), farrier.address
    web_server.stop()


def ask(address, raw, head_only=False):
    with Wire(address) as wire:
        return wire.request(raw, head_only)


REQUESTS = [
    ("GET", "/static/text.txt", {}),
    ("HEAD", "/static/text.txt", {}),
    ("GET", "/static/empty.txt", {}),
    ("GET", "/static/a%20b%C3%BC%25.txt", {}),
    ("GET", "/static//text.txt", {}),
    ("GET", "/static/text.txt?query", {}),
    ("GET", "/static/nothing", {}),
    ("GET", "/static/text.txt/", {}),
    ("GET", "/static/dangling", {}),
    ("GET", "/static/pipe", {}),
    ("GET", "/static/css", {}),
    ("GET", "/pages/", {}),
    ("POST", "/static/text.txt", {}),
    ("PUT", "/static/text.txt", {}),
    ("GET", "/static/text.txt", {"If-Modified-Since": MODIFIED}),
    ("GET", "/static/text.txt", {"If-Modified-Since": BEFORE}),
    ("GET", "/static/text.txt", {"If-Unmodified-Since": BEFORE}),
    ("GET", "/static/text.txt", {"If-Unmodified-Since": MODIFIED}),
    ("GET", "/static/text.txt", {"If-Match": '"other"'}),
    ("GET", "/static/text.txt", {"If-Match": "*"}),
    ("GET", "/static/text.txt", {"If-None-Match": '"other"'}),
    ("GET", "/static/text.txt", {"If-None-Match": "*"}),
    ("GET", "/static/text.txt", {"Range": "bytes=0-0"}),
    ("GET", "/static/text.txt", {"Range": "bytes=100-"}),
    ("GET", "/static/text.txt", {"Range": "bytes=-5"}),
    ("GET", "/static/text.txt", {"Range": "bytes=-99999"}),
    ("GET", "/static/text.txt", {"Range": "bytes=3999-9999"}),
    ("GET", "/static/text.txt", {"Range": "bytes=4000-"}),
    ("GET", "/static/text.txt", {"Range": "bytes=0-1,1000-1001,-1"}),
    ("GET", "/static/text.txt", {"Range": "bytes=" + ",".join("%d-%d" % (n * 200, n * 200) for n in range(9))}),
    ("GET", "/static/text.txt", {"Range": "items=0-1"}),
    ("GET", "/static/text.txt", {"Range": "bytes=0-9", "If-Range": MODIFIED}),
    ("GET", "/static/text.txt", {"Range": "bytes=0-9", "If-Range": BEFORE}),
    ("GET", "/static/text.txt", {"Range": "bytes=0-9", "If-Range": '"other"'}),
]


@pytest.mark.parametrize(("method", "target", "fields"), REQUESTS)
def test_the_answer_is_nginxs(both, method, target, fields):
    raw = message(method, target, fields=fields.items())
    nginxs, ours = (ask(address, raw, method == "HEAD") for address in both)
    assert ours.status == nginxs.status
    if ours.status in (200, 206) and "multipart" not in ours.value("Content-Type"):
        assert ours.body == nginxs.body
        assert ours.value("Content-Length") == nginxs.value("Content-Length")
    if ours.status in (200, 206, 304):
        assert ours.value("Last-Modified") == nginxs.value("Last-Modified")
        assert ours.value("Cache-Control") == (nginxs.value("Cache-Control") or "max-age=60")
    if ours.status in (206, 416):
        assert ours.value("Content-Range") == nginxs.value("Content-Range")
    if ours.status == 301:
        assert nginxs.value("Location").endswith(ours.value("Location"))
    if "multipart" in (ours.value("Content-Type") or ""):
        # The same parts: boundaries are of another length, and types say that text is UTF-8.
        assert ours.body.count(b"Content-Range: bytes") == nginxs.body.count(b"Content-Range: bytes")


def test_types_agree_but_for_the_charset(both):
    for name in ("css/site.css", "text.txt", "large.bin", "pages/index.html"):
        nginxs, ours = (ask(address, message(target="/static/" + name)) for address in both)
        assert ours.value("Content-Type").split(";")[0] == nginxs.value("Content-Type").split(";")[0]
