"""Conditions (RFC 9110, section 13) and ranges (section 14) on static files, bytes in and bytes out."""

import re

import pytest

from static_folder import APPLICATION, LARGE, MODIFIED, TEXT, fill
from wire import message

BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT"
AFTER = "Sun, 06 Nov 1994 08:49:38 GMT"


@pytest.fixture(scope="module")
def site(serve_module, tmp_path_factory):
    directory = tmp_path_factory.mktemp("site")
    fill(directory)
    return serve_module(APPLICATION, "--static", "/static=files", directory=directory)


@pytest.fixture(scope="module")
def tag(site):
    return site.get("/static/text.txt").value("ETag")


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        # Step 1: If-Match, compared strongly.
        (["If-Match: TAG"], 200),
        (["If-Match: *"], 200),
        (['If-Match: "other", TAG'], 200),
        (['If-Match: "other"'], 412),
        (["If-Match: W/TAG"], 412),
        # Step 2: If-Unmodified-Since, where there is no If-Match.
        (["If-Unmodified-Since: " + MODIFIED], 200),
        (["If-Unmodified-Since: " + AFTER], 200),
        (["If-Unmodified-Since: " + BEFORE], 412),
        (["If-Unmodified-Since: some day"], 200),
        (["If-Match: TAG", "If-Unmodified-Since: " + BEFORE], 200),
        (['If-Match: "other"', "If-Unmodified-Since: " + AFTER], 412),
        # Step 3: If-None-Match, compared weakly.
        (["If-None-Match: TAG"], 304),
        (["If-None-Match: W/TAG"], 304),
        (["If-None-Match: *"], 304),
        (['If-None-Match: "other", "third" , TAG'], 304),
        (['If-None-Match: "other"', "If-None-Match: TAG"], 304),
        (['If-None-Match: "other"'], 200),
        (["If-None-Match: nonsense"], 200),
        # Step 4: If-Modified-Since, where there is no If-None-Match.
        (["If-Modified-Since: " + MODIFIED], 304),
        (["If-Modified-Since: " + AFTER], 304),
        (["If-Modified-Since: " + BEFORE], 200),
        (["If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT"], 304),
        (["If-Modified-Since: Sun Nov  6 08:49:37 1994"], 304),
        (["If-Modified-Since: 0"], 200),
        (['If-None-Match: "other"', "If-Modified-Since: " + AFTER], 200),
        (["If-None-Match: TAG", "If-Modified-Since: " + BEFORE], 304),
        # Their order.
        (['If-Match: "other"', "If-None-Match: TAG"], 412),
        (["If-Match: TAG", "If-None-Match: TAG"], 304),
        (["If-Unmodified-Since: " + BEFORE, "If-Modified-Since: " + AFTER], 412),
        # Step 5: If-Range.
        (["Range: bytes=0-3", "If-Range: TAG"], 206),
        (["Range: bytes=0-3", "If-Range: " + MODIFIED], 206),
        (["Range: bytes=0-3", "If-Range: W/TAG"], 200),
        (["Range: bytes=0-3", 'If-Range: "other"'], 200),
        (["Range: bytes=0-3", "If-Range: " + AFTER], 200),
        (["Range: bytes=0-3", "If-Range: nonsense"], 200),
        (["If-Range: TAG"], 200),
        (["Range: bytes=9999-", 'If-Range: "other"'], 200),
        # A valid copy needs no range.
        (["Range: bytes=0-3", "If-None-Match: TAG"], 304),
    ],
)
def test_conditions_are_judged_in_their_order(site, tag, fields, status):
    fields = [tuple(field.replace("TAG", tag).split(": ", 1)) for field in fields]
    wire = site.connect()
    for method in ("GET", "HEAD"):
        answer = wire.request(message(method, "/static/text.txt", fields=fields), head_only=method == "HEAD")
        # Ranges are for GET only.
        assert answer.status == (200 if (method, status) == ("HEAD", 206) else status)
        if status == 304:
            assert answer.value("ETag") == tag and answer.value("Last-Modified") == MODIFIED
            assert answer.value("Cache-Control") == "max-age=60"
            assert answer.value("Content-Type") is None and answer.value("Content-Length") is None
        if status == 412:
            assert answer.value("ETag") is None and answer.value("Last-Modified") is None
        if (method, status) == ("GET", 200):
            assert answer.body == TEXT


@pytest.mark.parametrize(("name", "content"), [("text.txt", TEXT), ("large.bin", LARGE)])
@pytest.mark.parametrize(
    ("ranges", "first", "last"),
    [
        ("0-0", 0, 0),
        ("0-", 0, None),
        ("100-199", 100, 199),
        ("3999-3999", 3999, 3999),
        ("-1", -1, None),
        ("-4000", -4000, None),
        ("-999999999", 0, None),
        ("10-999999999999999999999999", 10, None),
        ("5-9,7-12", 5, 12),
        ("0-9,10-19,5-7", 0, 19),
        (" 1-2 ,, ", 1, 2),
        ("0-3,999999999-", 0, 3),
    ],
)
def test_a_range_is_sent(site, name, content, ranges, first, last):
    answer = site.get("/static/" + name, fields=[("Range", "bytes=" + ranges)])
    whole = len(content)
    start = first + whole if first < 0 else first
    end = whole if last is None else min(last + 1, whole)
    assert answer.status == 206 and answer.body == content[start:end]
    assert answer.value("Content-Range") == "bytes %d-%d/%d" % (start, end - 1, whole)
    assert answer.value("ETag") and answer.value("Last-Modified") == MODIFIED


@pytest.mark.parametrize(("name", "content"), [("text.txt", TEXT), ("large.bin", LARGE)])
def test_several_ranges_are_parts_in_the_order_asked_for(site, name, content):
    asked = [(3000, 3099), (0, 1), (1000, 1999)]
    value = "bytes=" + ",".join("%d-%d" % each for each in asked)
    wire = site.connect()
    for _ in range(2):
        answer = wire.request(message(target="/static/" + name, fields=[("Range", value)]))
        assert answer.status == 206 and answer.value("Content-Range") is None
        boundary = re.fullmatch("multipart/byteranges; boundary=(\\w+)", answer.value("Content-Type")).group(1).encode()
        rest = answer.body
        for first, last in asked:
            head, rest = rest.split(b"\r\n\r\n", 1)
            assert head.startswith(b"\r\n--" + boundary + b"\r\nContent-Type: ")
            assert head.endswith(b"Content-Range: bytes %d-%d/%d" % (first, last, len(content)))
            assert rest[: last + 1 - first] == content[first : last + 1]
            rest = rest[last + 1 - first :]
        assert rest == b"\r\n--" + boundary + b"--\r\n"


def test_large_parts_reach_a_slow_client_whole(serve, tmp_path):
    import os

    content = os.urandom(6_000_000)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "huge.bin").write_bytes(content)
    server = serve("", "--static", "/=files", directory=tmp_path)
    wire = server.connect(receive_buffer=4096)
    wire.send(message(target="/huge.bin", fields=[("Range", "bytes=0-2499999,3000000-5499999,5999000-")]))
    # The server answers others while this client reads nothing yet.
    assert server.get("/huge.bin", fields=[("Range", "bytes=1-2")]).body == content[1:3]
    answer = wire.read_response()
    assert content[:2500000] in answer.body and content[3000000:5500000] in answer.body
    assert content[5999000:] in answer.body
    assert wire.request(message(target="/huge.bin", fields=[("Range", "bytes=-1")])).body == content[-1:]


@pytest.mark.parametrize("value", ["bytes=4000-", "bytes=4000-5000", "bytes=-0", "bytes=9999-,-0"])
def test_an_unsatisfiable_range_is_416(site, value):
    answer = site.get("/static/text.txt", fields=[("Range", value)])
    assert (answer.status, answer.value("Content-Range")) == (416, "bytes */4000")


def test_an_empty_file_has_no_ranges(site):
    for value in ("bytes=0-", "bytes=-5"):
        answer = site.get("/static/empty.txt", fields=[("Range", value)])
        assert (answer.status, answer.value("Content-Range")) == (416, "bytes */0")


@pytest.mark.parametrize(
    "value",
    [
        "items=0-1",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=5-4",
        "bytes=a-b",
        "bytes=0x1-2",
        "bytes=+1-2",
        "bytes=1-2-3",
        "bytes=0-0;1-1",
        "bytes=" + ",".join("%d-%d" % (number * 200, number * 200) for number in range(9)),
        "bytes=" + ",".join(["0-"] * 1300),
        "bytes=" + "0-0," * 1500,
    ],
)
def test_ranges_that_are_wrong_or_too_many_get_the_whole(site, value):
    answer = site.get("/static/text.txt", fields=[("Range", value)])
    assert (answer.status, answer.body) == (200, TEXT)
