"""X-Sendfile and X-Accel-Redirect: files that the application names, from declared folders alone."""

import os

import pytest

from static_folder import LARGE, MODIFIED, TEXT, fill
from wire import message, until

APPLICATION = """
    import os, urllib.parse
    from pathlib import Path

    CLOSED = []

    class Body:
        def __init__(self):
            self.given = 0

        def __iter__(self):
            return self

        def __next__(self):
            self.given += 1
            if self.given > 1000:
                raise StopIteration
            return b"the application's own content"

        def close(self):
            CLOSED.append(self.given)

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/closed":
            start_response("200 OK", [])
            return [repr(CLOSED).encode()]
        fields = urllib.parse.parse_qsl(environ["QUERY_STRING"], encoding="latin-1")
        here = str(Path("files").resolve())
        fields = [(name, value.replace("HERE", here)) for name, value in fields]
        start_response(environ["PATH_INFO"][1:] + " Status", fields)
        return [] if environ["REQUEST_METHOD"] == "DELETE" else Body()
"""


@pytest.fixture(scope="module")
def site(serve_module, tmp_path_factory):
    directory = tmp_path_factory.mktemp("site")
    fill(directory)
    server = serve_module(APPLICATION, "--internal", "/protected/=files", directory=directory)
    server.root = directory / "files"
    return server


def target(*fields, status=200):
    from urllib.parse import quote

    pairs = ["%s=%s" % (quote(name), quote(value, encoding="latin-1")) for name, value in fields]
    return "/%d?%s" % (status, "&".join(pairs))


def assert_hidden(answer):
    """The response does not show how the file was named."""
    assert b"x-sendfile" not in answer.raw.lower() and b"x-accel" not in answer.raw.lower()
    assert b"own content" not in answer.raw


@pytest.mark.parametrize(
    "field",
    [
        ("X-Accel-Redirect", "/protected/text.txt"),
        ("x-accel-redirect", "/protected/text.txt?a=b"),
        ("X-Accel-Redirect", "/protected/css/up.txt"),
        ("X-Sendfile", "HERE/text.txt"),
        ("X-SENDFILE", "HERE/css/up.txt"),
    ],
)
def test_the_file_is_sent_with_the_applications_own_fields(site, field):
    own = [
        ("Content-Type", "application/x-own"),
        ("Content-Disposition", 'attachment; filename="a.txt"'),
        ("Set-Cookie", "a=1"),
        ("Set-Cookie", "b=2"),
        ("Cache-Control", "private"),
        ("X-Own", "1"),
    ]
    told = [("Content-Length", "29"), ("ETag", '"own"'), ("Content-Encoding", "gzip"), ("X-Accel-Buffering", "no")]
    answer = site.get(target(field, *own, *told))
    assert (answer.status, answer.body) == (200, TEXT)
    assert_hidden(answer)
    for name, value in own:
        assert value in answer.values(name)
    assert answer.value("Last-Modified") == MODIFIED and answer.value("Accept-Ranges") == "bytes"
    assert answer.value("ETag") not in (None, '"own"') and answer.value("Content-Encoding") is None


def test_without_a_type_the_files_name_decides(site):
    answer = site.get(target(("X-Accel-Redirect", "/protected/css/site.css")))
    assert answer.value("Content-Type") == "text/css; charset=utf-8"


@pytest.mark.parametrize(
    "field",
    [
        ("X-Accel-Redirect", "/protected/a%20b%C3%BC%25.txt"),
        ("X-Accel-Redirect", "/protected/a b\u00c3\u00bc%.txt"),
        ("X-Sendfile", "HERE/a b\u00c3\u00bc%.txt"),
        ("X-Sendfile", "HERE/a%20b%C3%BC%25.txt"),
    ],
)
def test_names_may_be_escaped(site, field):
    assert site.get(target(field)).body == b"odd name\n"


def test_the_applications_content_is_dropped_and_closed(site):
    before = site.get("/closed").body
    assert site.get(target(("X-Sendfile", "HERE/text.txt"))).body == TEXT
    after = site.get("/closed").body
    assert len(after) > len(before) and b"1000" not in after


def test_conditions_and_ranges_are_those_of_the_file(site):
    asked = target(("X-Accel-Redirect", "/protected/large.bin"), ("Content-Type", "a/b"), ("Set-Cookie", "a=1"))
    wire = site.connect()
    whole = wire.request(message(target=asked))
    tag = whole.value("ETag")
    assert whole.body == LARGE
    part = wire.request(message(target=asked, fields=[("Range", "bytes=5-9")]))
    assert (part.status, part.body, part.value("Content-Type")) == (206, LARGE[5:10], "a/b")
    parts = wire.request(message(target=asked, fields=[("Range", "bytes=5-9,1000-1001")]))
    assert parts.status == 206 and b"\r\nContent-Type: a/b\r\n" in parts.body
    same = wire.request(message(target=asked, fields=[("If-None-Match", tag)]))
    assert (same.status, same.value("Set-Cookie"), same.value("Content-Type")) == (304, "a=1", None)
    assert wire.request(message(target=asked, fields=[("If-Match", '"x"')])).status == 412
    assert wire.request(message(target=asked, fields=[("Range", "bytes=999999-")])).status == 416
    head = wire.request(message("HEAD", asked), head_only=True)
    assert (head.status, head.value("Content-Length")) == (200, str(len(LARGE)))
    assert wire.request(message("POST", asked, b"x", fields=[("Range", "bytes=5-9")])).body == LARGE


@pytest.mark.parametrize(
    "name", ["nothing", "outside.txt", "absolute.txt", "../secret.txt", "css/../../secret.txt", "pipe", "css"]
)
@pytest.mark.parametrize("field", ["X-Accel-Redirect", "X-Sendfile"])
def test_a_file_that_is_not_there_is_404(site, field, name):
    start = "/protected/" if field == "X-Accel-Redirect" else "HERE/"
    answer = site.get(target((field, start + name), ("Set-Cookie", "a=1")))
    assert answer.status == 404 and b"outside" not in answer.raw
    assert_hidden(answer)


# The kernel ends a name at a NUL, so `text.txt` was sent behind an application's check that the name ends in `.pdf`.
@pytest.mark.parametrize("name", ["text.txt%00.pdf", "text.txt%00", "%00", "css%00/up.txt"])
@pytest.mark.parametrize("field", ["X-Accel-Redirect", "X-Sendfile"])
def test_a_name_is_not_cut_at_a_nul(site, field, name):
    start = "/protected/" if field == "X-Accel-Redirect" else "HERE/"
    answer = site.get(target((field, start + name)))
    assert answer.status == 404
    assert_hidden(answer)
    site.log.wait("%s in %s, which contains a NUL byte" % (name, field))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("X-Accel-Redirect", "/elsewhere/text.txt"),
        ("X-Accel-Redirect", "/protectedx/text.txt"),
        ("X-Accel-Redirect", "/protected"),
        ("X-Accel-Redirect", "@named"),
        ("X-Accel-Redirect", "http://127.0.0.1/protected/text.txt"),
        ("X-Sendfile", "/etc/passwd"),
        ("X-Sendfile", "HERE"),
        ("X-Sendfile", "HEREx/text.txt"),
        ("X-Sendfile", "files/text.txt"),
    ],
)
def test_a_file_outside_of_declared_folders_is_500_and_logged(site, field, value):
    since = site.log.mark()
    answer = site.get(target((field, value)))
    assert answer.status == 500
    assert_hidden(answer)
    site.log.wait(r"names .* in %s, but .* of the setting internal" % field, since=since)


def test_clients_cannot_ask_for_the_folder(site):
    assert site.get("/protected/text.txt").status != 200 or site.get("/protected/text.txt").body != TEXT


def test_an_error_response_may_replace_a_named_file(serve, tmp_path):
    fill(tmp_path)
    server = serve(
        """
        import sys

        def application(environ, start_response):
            start_response("200 OK", [("X-Accel-Redirect", "/p/text.txt")])
            try:
                raise ValueError
            except ValueError:
                start_response("403 No", [("Content-Type", "text/plain")], sys.exc_info())
            return [b"not for you"]
        """,
        "--internal",
        "/p=files",
        directory=tmp_path,
    )
    answer = server.get("/")
    assert (answer.status, answer.body) == (403, b"not for you")


def test_a_file_that_is_not_in_memory_is_sent_too(site):
    content = os.urandom(5_000_000)
    path = site.root / "cold.bin"
    path.write_bytes(content)
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    assert site.get(target(("X-Sendfile", "HERE/cold.bin"))).body == content


def test_clients_never_see_the_fields_where_no_folder_is_declared(serve, tmp_path):
    # No peer is trusted, so the client is no proxy.
    server = serve(APPLICATION, "--forwarded-allow-ips", "192.0.2.1", directory=tmp_path)
    for field in ("X-Accel-Redirect", "x-sendfile"):
        answer = server.get(target((field, "/protected/text.txt"), ("X-Own", "1")))
        assert (answer.status, answer.value("X-Own"), answer.value(field)) == (200, "1", None)
        assert b"protected" not in answer.raw
    server.log.wait("no folder is declared for that", count=2)


def test_a_trusted_proxy_sees_them_where_no_folder_is_declared(serve, tmp_path):
    server = serve(APPLICATION, directory=tmp_path, bind=["127.0.0.1:0", "unix:server.sock"])
    for address in server.addresses:
        wire = server.connect(address=address)
        answer = wire.request(message(target=target(("X-Accel-Redirect", "/protected/text.txt"))))
        assert answer.value("X-Accel-Redirect") == "/protected/text.txt"


def test_a_folder_that_is_not_there_is_an_error_at_the_start(serve, tmp_path):
    server = serve(APPLICATION, "--internal", "/p=nowhere", directory=tmp_path, listening=False)
    assert server.wait_exit() == 1
    server.log.wait(r"internal: cannot open the folder .*/nowhere: No such file or directory")


def test_the_access_log_tells_of_the_file(serve, tmp_path):
    fill(tmp_path)
    server = serve(APPLICATION, "--internal", "/p=files", "--access-logfile", "-", directory=tmp_path)
    server.get(target(("X-Accel-Redirect", "/p/text.txt")))
    until(lambda: server.output.find(r"\" 200 %d " % len(TEXT)), 10, "the access log's line")


@pytest.fixture(scope="module")
def exchanging(serve_module, tmp_path_factory):
    """A site whose answers come from an exchange, as those of a proxy do."""
    directory = tmp_path_factory.mktemp("exchanging")
    fill(directory)
    environment = {"_FARRIER_TEST_EXCHANGE": "/exchange"}
    return serve_module(APPLICATION, "--internal", "/protected/=files", directory=directory, environment=environment)


@pytest.mark.parametrize(
    ("method", "name", "fields", "status"),
    [
        ("GET", "/protected/text.txt", [], 200),
        ("HEAD", "/protected/text.txt", [], 200),
        ("GET", "/protected/text.txt", [("Range", "bytes=1-3")], 206),
        ("GET", "/protected/text.txt", [("If-Modified-Since", MODIFIED)], 304),
        ("GET", "/protected/large.bin", [], 200),
        ("GET", "/protected/none.txt", [], 404),
        ("GET", "/elsewhere/text.txt", [], 500),
    ],
)
def test_an_exchange_names_a_file_as_an_application_does(exchanging, method, name, fields, status):
    targets = ("/exchange?make=100000&file=" + name, target(("X-Accel-Redirect", name)))
    answers = [
        exchanging.exchange(message(method, where, fields=fields), head_only=method == "HEAD") for where in targets
    ]
    assert [answer.status for answer in answers] == [status, status]
    assert answers[0].body == answers[1].body
    apart = ("date", "content-type", "server")
    left = [sorted(field for field in answer.fields if field[0].lower() not in apart) for answer in answers]
    assert left[0] == left[1]
