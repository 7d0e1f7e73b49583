"""wsgi.file_wrapper (PEP 3333, "Optional Platform-Specific File Handling")."""

import pytest

from wire import Incomplete

SERVE = """
    import io, os, tempfile

    CONTENT = bytes(range(256)) * 4096  # 1 MiB
    LARGE = os.path.join(os.getcwd(), "large")
    EMPTY = os.path.join(os.getcwd(), "empty")
    for path, content in ((LARGE, CONTENT), (EMPTY, b"")):
        with open(path, "wb") as out:
            out.write(content)

    class Opened(io.FileIO):
        def close(self):
            if not self.closed:
                SEEN.append("closed")
            super().close()

    class FileLike:
        "Only read and close: no fileno, no iteration."
        def __init__(self, content):
            self.stream = io.BytesIO(content)
        def read(self, size=-1):
            return self.stream.read(size)
        def close(self):
            SEEN.append("closed")

    class NoClose:
        def __init__(self, content):
            self.stream = io.BytesIO(content)
        def read(self, size=-1):
            return self.stream.read(size)

    class LyingFileno(FileLike):
        "A file-like whose fileno() is not its content."
        def fileno(self):
            raise io.UnsupportedOperation("fileno")

    def pipe(content):
        reading, writing = os.pipe()
        os.write(writing, content)
        os.close(writing)
        return os.fdopen(reading, "rb")

    def opened(path=LARGE, seek=0, read=0, buffering=-1):
        stream = open(path, "rb", buffering)
        stream.seek(seek)
        stream.read(read)
        return stream

    def application(environ, start_response):
        wrap = environ["wsgi.file_wrapper"]
        %s
"""

CONTENT = bytes(range(256)) * 4096


def serving(host, code):
    return host(SERVE % code)


BODIES = [
    ("start_response('200 OK', []); return wrap(opened())", CONTENT),
    ("start_response('200 OK', []); return wrap(opened(), 100)", CONTENT),
    ("start_response('200 OK', []); return wrap(opened(seek=1000))", CONTENT[1000:]),
    # The buffered reader has read ahead: the descriptor's offset is not the file object's.
    ("start_response('200 OK', []); return wrap(opened(read=10))", CONTENT[10:]),
    ("start_response('200 OK', []); return wrap(opened(seek=100, read=7, buffering=0))", CONTENT[107:]),
    ("start_response('200 OK', []); return wrap(opened(EMPTY))", b""),
    ("start_response('200 OK', []); return wrap(opened(seek=2000000))", b""),
    ("start_response('200 OK', []); return wrap(FileLike(CONTENT))", CONTENT),
    ("start_response('200 OK', []); return wrap(FileLike(b''))", b""),
    ("start_response('200 OK', []); return wrap(NoClose(b'abc'))", b"abc"),
    ("start_response('200 OK', []); return wrap(LyingFileno(b'abc'))", b"abc"),
    ("start_response('200 OK', []); return wrap(io.BytesIO(b'abc'))", b"abc"),
    ("start_response('200 OK', []); return wrap(pipe(b'abc'))", b"abc"),
    ("start_response('200 OK', []); f = tempfile.TemporaryFile(); f.write(b'abc'); f.seek(1); return wrap(f)", b"bc"),
    ("start_response('200 OK', [('Content-Length', '10')]); return wrap(opened())", CONTENT[:10]),
    ("start_response('200 OK', [('Content-Length', '10')]); return wrap(opened(seek=300))", CONTENT[300:310]),
    ("start_response('200 OK', [('Content-Length', '10')]); return wrap(FileLike(CONTENT))", CONTENT[:10]),
    ("start_response('200 OK', [('Content-Length', '0')]); return wrap(opened())", b""),
    ("start_response('206 Partial Content', [('Content-Length', '5')]); return wrap(opened(seek=5))", CONTENT[5:10]),
    ("start_response('200 OK', []); return (part for part in wrap(opened()))", CONTENT),
    ("start_response('200 OK', []); return list(wrap(opened(), 1000))", CONTENT),
    ("write = start_response('200 OK', []); write(b'head '); return wrap(opened(EMPTY))", b"head "),
    ("write = start_response('200 OK', []); write(b'head '); return wrap(FileLike(b'tail'))", b"head tail"),
    (
        "write = start_response('200 OK', []); write(b'head '); return wrap(opened(seek=1048570))",
        b"head " + CONTENT[1048570:],
    ),
]


@pytest.mark.parametrize("code, body", BODIES, ids=[row[0] for row in BODIES])
def test_the_file_from_its_current_offset_is_the_body(host, code, body):
    app = serving(host, code)
    with app.connect() as wire:
        for _ in range(2):
            response = wire.request(app.message())
            assert response.body == body
            assert wire.pending == b""


@pytest.mark.parametrize(
    "code",
    [
        "start_response('200 OK', []); return wrap(opened())",
        "start_response('200 OK', []); return wrap(opened(EMPTY))",
        "start_response('200 OK', []); return wrap(FileLike(b'abc'))",
    ],
)
def test_http_1_0_gets_the_file_too(host, code):
    app = serving(host, code)
    response = app.request(version="1.0")
    assert (
        response.body
        == {"opened()": CONTENT, "EMPTY": b"", "abc": b"abc"}[
            "EMPTY" if "EMPTY" in code else "abc" if "abc" in code else "opened()"
        ]
    )


def test_a_plain_file_without_content_length_gets_one(host):
    app = serving(host, "start_response('200 OK', []); return wrap(opened(seek=48576))")
    assert app.get().value("Content-Length") == "1000000"


@pytest.mark.parametrize("stream", ["opened(seek=1048476)", "FileLike(b'x' * 100)"])
def test_a_content_length_longer_than_the_file_is_visibly_incomplete(host, stream):
    app = serving(host, "start_response('200 OK', [('Content-Length', '200')]); return wrap(%s)" % stream)
    with app.connect() as wire:
        wire.send(app.message())
        try:
            # Known before the head was sent: a 500 is as good.
            assert wire.read_response().status == 500
        except Incomplete as incomplete:
            assert len(incomplete.received) < 1000


@pytest.mark.parametrize(
    "method, code, status",
    [
        ("GET", "start_response('200 OK', []); return wrap(Opened(LARGE))", 200),
        ("GET", "start_response('200 OK', []); return wrap(Opened(EMPTY))", 200),
        ("GET", "start_response('200 OK', []); return wrap(FileLike(CONTENT))", 200),
        ("GET", "start_response('200 OK', [('Content-Length', '1')]); return wrap(Opened(LARGE))", 200),
        ("HEAD", "start_response('200 OK', []); return wrap(Opened(LARGE))", 200),
        ("GET", "start_response('204 No Content', []); return wrap(Opened(LARGE))", 204),
        ("GET", "start_response('304 Not Modified', []); return wrap(FileLike(b'x'))", 304),
        ("GET", "return wrap(Opened(LARGE))", 500),
    ],
)
def test_close_of_the_file_is_called_exactly_once(host, method, code, status):
    app = serving(host, code)
    assert app.request(method).status == status
    app.wait_seen("closed")
    assert app.seen() == ["closed"]


def test_close_is_called_when_the_client_left(host):
    app = serving(
        host,
        """start_response('200 OK', [])
        class Endless(FileLike):
            def read(self, size=-1):
                return b"x" * 65536
        return wrap(Endless(b""))""",
    )
    wire = app.connect(receive_buffer=65536)
    wire.send(app.message())
    wire.read_head()
    wire.reset()
    app.wait_seen("closed")
    assert app.seen() == ["closed"]


def test_an_error_in_read_before_anything_was_sent_is_a_500(host):
    app = serving(
        host,
        """start_response('200 OK', [])
        class Broken(FileLike):
            def read(self, size=-1):
                raise OSError("disk")
        return wrap(Broken(b""))""",
    )
    assert app.get().status == 500
    assert app.seen() == ["closed"]


def test_it_has_the_block_size_of_the_pep_as_second_argument(host):
    app = serving(
        host,
        """start_response('200 OK', [])
        class Asked(FileLike):
            def read(self, size=-1):
                SEEN.append(size)
                return super().read(size)
        return [part for part in wrap(Asked(b"x" * 25), 10)]""",
    )
    assert app.get().body == b"x" * 25
    assert app.seen()[0] == 10
