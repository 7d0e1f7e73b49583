"""Three validators of PEP 3333 around real applications: every violation by the server becomes an AssertionError."""

import os

import pytest

from process import EXAMPLES
from wire import message

VALIDATORS = {
    "wsgiref.validate": "from wsgiref.validate import validator as lint",
    "paste.lint": "from paste.lint import middleware as lint",
    "webtest.lint": "from webtest.lint import middleware as lint",
}

PLAIN = """
def inner(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.errors"].write("plain\\n")
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body) + 5))])
    return [b"hello", body]
"""

EXAMPLE = """
import importlib.util
spec = importlib.util.spec_from_file_location("example", %r)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
inner = module.application
"""

STREAMING = """
def inner(environ, start_response):
    lines = environ["wsgi.input"].readlines(100) if environ["REQUEST_METHOD"] == "POST" else []
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"written ")
    def parts():
        yield b"first "
        yield b"second"
    return parts()
"""

APPLICATIONS = {
    "plain": (PLAIN, "/", ("/", b"body")),
    "streaming": (STREAMING, "/", ("/", b"a\nb\n")),
    "flask": (
        EXAMPLE % os.path.join(EXAMPLES, "flask_app", "app.py"),
        "/entries",
        ("/entries", b'{"name": "n", "text": "t"}'),
    ),
    "bottle": (EXAMPLE % os.path.join(EXAMPLES, "bottle_app", "app.py"), "/", ("/api/words", b'{"text": "one two"}')),
}


@pytest.mark.parametrize("validator", VALIDATORS)
@pytest.mark.parametrize("application", APPLICATIONS)
def test_nothing_to_complain_about(serve, tmp_path, validator, application):
    source, target, (post_target, body) = APPLICATIONS[application]
    server = serve(
        source + "\n" + VALIDATORS[validator] + "\n\napplication = lint(inner)\n",
        environment={"GUESTBOOK_DATA": str(tmp_path), "PYTHONWARNINGS": "error::wsgiref.validate.WSGIWarning"},
    )
    json = [("Content-Type", "application/json")]
    with server.connect() as wire:
        for _ in range(2):
            assert wire.request(message(target=target + "?a=b&c=%20")).status == 200
            assert wire.request(message("HEAD", target), head_only=True).status == 200
            assert wire.request(message("POST", post_target, body, fields=json)).status in (200, 201)
            chunked = message("POST", post_target, fields=json + [("Transfer-Encoding", "chunked")]).replace(
                b"Content-Length: 0\r\n", b""
            ) + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
            assert wire.request(chunked).status in (200, 201)
            assert wire.request(message(target="/no/such%20page")).status in (200, 404)
    server.stop()
    for word in ("Traceback", "AssertionError", "without being closed", "WSGIWarning"):
        assert word not in server.log.text, server.log.text
