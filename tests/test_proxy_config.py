"""The reverse proxy as it is configured: the flag, the tables, and errors that name file and line."""

import re

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


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
def test_methods_that_are_no_use_to_a_server_behind_are_refused(serve, behind, method):
    front = serve("", "--proxy", "/=" + url(behind))
    assert front.exchange(message(method, "/")).status in (400, 405, 501)
