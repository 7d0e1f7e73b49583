"""Request bodies: their framing, their limits, `Expect`, and aborted uploads (RFC 9112 §6, §7.1, RFC 9110 §10.1.1)."""

import hashlib
import os
import random

import pytest

from wire import chunked, message, until

DIGEST = """
    import hashlib, os

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/calls":
            body = "\\n".join(CALLS)
        else:
            CALLS.append(environ["PATH_INFO"])
            content = environ["wsgi.input"].read()
            body = "%s %d %s" % (environ.get("CONTENT_LENGTH"), len(content), hashlib.sha256(content).hexdigest())
            body += " trailer" if "HTTP_X_CHECKSUM" in environ else ""
            spool = environ.get("HTTP_X_SPOOL")
            body += " files=%d" % len(os.listdir(spool)) if spool else ""
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [body.encode()]

    CALLS = []
"""

MIB = 1024 * 1024
SIZES = [0, 1, 65535, 65536, 65537, MIB, 10 * MIB]


@pytest.fixture(scope="module")
def digest(serve_module):
    return serve_module(DIGEST)


def content(size, seed=0):
    return random.Random(seed).getrandbits(8 * size).to_bytes(size, "big") if size else b""


def told(body):
    return "%d %d %s" % (len(body), len(body), hashlib.sha256(body).hexdigest())


def head(target="/", fields=(), version="1.1"):
    """A POST's head without a length."""
    return message("POST", target, fields=fields, version=version).replace(b"Content-Length: 0\r\n", b"")


CHUNKED = [("Transfer-Encoding", "chunked")]


@pytest.mark.parametrize("size", SIZES)
def test_a_body_with_content_length_arrives_whole(digest, size):
    body = content(size)
    with digest.connect() as wire:
        assert wire.request(message("POST", body=body)).text == told(body)
        assert wire.request(message("POST", body=b"next")).text == told(b"next")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("chunk", [16384, 1000003])
def test_a_chunked_body_arrives_whole(digest, size, chunk):
    body = content(size)
    parts = [body[start : start + chunk] for start in range(0, size, chunk)]
    with digest.connect() as wire:
        assert wire.request(head(fields=CHUNKED) + chunked(parts)).text == told(body)
        assert wire.request(message("POST", body=b"next")).text == told(b"next")


def test_chunks_of_one_byte(digest):
    body = content(5000)
    with digest.connect() as wire:
        assert wire.request(head(fields=CHUNKED) + chunked([bytes([b]) for b in body])).text == told(body)


@pytest.mark.parametrize("seed", range(8))
def test_a_chunked_body_in_random_pieces(digest, seed):
    random_ = random.Random(seed)
    body = content(200000, seed)
    cuts = [0] + sorted(random_.randrange(len(body)) for _ in range(20)) + [len(body)]
    raw = head(fields=CHUNKED) + chunked([body[a:b] for a, b in zip(cuts, cuts[1:])], b"X-Checksum: 1\r\n")
    raw += message("POST", body=b"next")
    cuts = [0] + sorted(random_.randrange(len(raw)) for _ in range(40)) + [len(raw)]
    with digest.connect() as wire:
        wire.send(*[raw[a:b] for a, b in zip(cuts, cuts[1:]) if a != b])
        assert wire.read_response().text == told(body)
        assert wire.read_response().text == told(b"next")


def test_a_trailer_is_no_field_of_the_request(digest):
    with digest.connect() as wire:
        assert wire.request(head(fields=CHUNKED) + chunked([b"abc"], b"X-Checksum: 1\r\n")).text == told(b"abc")


def test_100_is_sent_when_the_body_is_wanted_and_before_it_came(digest):
    with digest.connect() as wire:
        wire.send(head(fields=[("Expect", "100-continue"), ("Content-Length", "3")]))
        interim = wire.read_response()
        assert (interim.status, interim.fields, interim.body) == (100, [], b"") or interim.status == 100
        wire.send(b"abc")
        assert wire.read_response().text == told(b"abc")


@pytest.mark.parametrize("value", ["100-Continue", "100-CONTINUE"])
def test_the_expectation_is_compared_without_case(digest, value):
    with digest.connect() as wire:
        wire.send(head(fields=[("Expect", value)] + CHUNKED))
        assert wire.read_response().status == 100
        wire.send(chunked([b"abc"]))
        assert wire.read_response().text == told(b"abc")


def test_a_client_that_does_not_wait_for_100_is_served(digest):
    with digest.connect() as wire:
        wire.send(
            head(fields=[("Expect", "100-continue"), ("Content-Length", "3")]) + b"abc" + message("POST", body=b"next")
        )
        first = wire.read_response()
        if first.status == 100:
            first = wire.read_response()
        assert first.text == told(b"abc")
        assert wire.read_response().text == told(b"next")


@pytest.mark.parametrize("version, length", [("1.0", "3"), ("1.1", "0")])
def test_no_100_to_http_1_0_nor_without_a_body(digest, version, length):
    with digest.connect() as wire:
        wire.send(
            head(fields=[("Expect", "100-continue"), ("Content-Length", length)], version=version)
            + b"abc"[: int(length)]
        )
        assert wire.read_response().status == 200


def test_no_100_for_a_body_above_its_bound(digest):
    with digest.connect() as wire:
        wire.send(head("/large-expected", fields=[("Expect", "100-continue"), ("Content-Length", str(10 * MIB + 1))]))
        assert wire.read_response().status == 413
        wire.assert_closed()
    assert "/large-expected" not in digest.get("/calls").text


def test_a_chunked_body_above_its_bound_is_413_and_the_application_is_not_called(digest):
    part = b"x" * MIB
    with digest.connect() as wire:
        wire.send_anyway(head("/large-chunked", fields=CHUNKED), *[b"100000\r\n" + part + b"\r\n"] * 11)
        assert wire.read_response().status == 413
        wire.assert_closed()
    assert "/large-chunked" not in digest.get("/calls").text


def test_one_announced_chunk_above_the_bound_is_refused_without_reading_it(digest):
    with digest.connect() as wire:
        wire.send(head("/large-chunk", fields=CHUNKED) + b"a00001\r\n")
        assert wire.read_response().status == 413
        wire.assert_closed()


@pytest.mark.parametrize("end", ["half_close", "close", "reset"])
@pytest.mark.parametrize(
    "framing, sent",
    [
        (("Content-Length", "1000000"), b"x" * 500000),
        (("Content-Length", "10"), b""),
        (("Transfer-Encoding", "chunked"), b"5\r\nabcde\r\n"),
        (("Transfer-Encoding", "chunked"), b"5\r\nab"),
        (("Transfer-Encoding", "chunked"), b"5"),
        (("Transfer-Encoding", "chunked"), b"5\r\nabcde\r\n0\r\nX: y\r\n"),
    ],
)
def test_the_application_is_not_called_for_an_upload_that_broke_off(digest, end, framing, sent):
    target = "/broken-%d" % random.getrandbits(60)
    wire = digest.connect()
    wire.send(head(target, fields=[framing]) + sent)
    getattr(wire, end)()
    if end == "half_close":
        while wire._more():
            pass
        assert b" 200 " not in wire.pending
        wire.close()
    # A later request on another connection was served by the same server: the broken one was seen before it.
    assert digest.get("/later").status == 200
    assert target not in digest.get("/calls").text


@pytest.fixture(scope="module")
def spooling(serve_module, tmp_path_factory):
    directory = tmp_path_factory.mktemp("spool")
    server = serve_module(DIGEST, "--body-buffer-bytes", 4096, "--tmp-upload-dir", directory)
    server.spool = str(directory)
    return server


@pytest.mark.parametrize("size", [4095, 4096, 4097, 100000, 10 * MIB])
def test_a_spooled_body_arrives_whole_and_its_file_has_no_name(spooling, size):
    body = content(size)
    fields = [("X-Spool", spooling.spool)]
    with spooling.connect() as wire:
        assert wire.request(message("POST", body=body, fields=fields)).text == told(body) + " files=0"
        assert wire.request(head(fields=fields + CHUNKED) + chunked([body])).text == told(body) + " files=0"
    assert os.listdir(spooling.spool) == []


def test_the_file_of_a_spooled_body_is_closed(spooling):
    def target(pid, descriptor):
        try:
            return os.readlink("/proc/%d/fd/%s" % (pid, descriptor))
        except FileNotFoundError:
            # Closed since the folder was read: that is what this test is about.
            return ""

    def spooled():
        targets = [target(pid, each) for pid in spooling.workers() for each in os.listdir("/proc/%d/fd" % pid)]
        return [each for each in targets if each.endswith("(deleted)") and spooling.spool in each]

    wire = spooling.connect()
    wire.send(message("POST", body=b"x" * 100000)[:-10])
    until(spooled, what="a spooled body")
    wire.close()
    until(lambda: not spooled(), what="the spool file of a broken upload to be closed")
    assert spooling.exchange(message("POST", body=b"x" * 100000)).status == 200
    until(lambda: not spooled(), what="the spool file of a served upload to be closed")


def test_many_uploads_at_once_do_not_mix(digest):
    bodies = [content(300000 + number, number) for number in range(20)]
    wires = [digest.connect() for _ in bodies]
    raws = [message("POST", body=body) for body in bodies]
    for start in range(0, 400000, 50000):
        for wire, raw in zip(wires, raws):
            wire.send(raw[start : start + 50000])
    assert [wire.read_response().text for wire in wires] == [told(body) for body in bodies]
