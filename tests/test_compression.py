"""Compression of the application's responses: for which clients, of which responses, and with which fields."""

import gzip
import io
import os
import shutil
import subprocess
import zlib

import brotli
import pytest
import zstandard

from wire import Incomplete, message

APPLICATION = """
    import json, os
    from urllib.parse import parse_qs

    TEXT = b"".join(b"Line %d of a page that compresses well.\\n" % number for number in range(600))
    with open("page.txt", "wb") as out:
        out.write(TEXT)
    with open("large.txt", "wb") as out:
        out.write(TEXT * 100)

    def application(environ, start_response):
        asked = {key: values[0] for key, values in parse_qs(environ["QUERY_STRING"]).items()}
        fields = [("Content-Type", asked.get("type", "text/html; charset=utf-8"))]
        for pair in filter(None, asked.get("fields", "").split("|")):
            fields.append(tuple(pair.split("=", 1)))
        kind = environ["PATH_INFO"].strip("/")
        content = TEXT[:int(asked.get("size", len(TEXT)))]
        if "declared" in asked:
            fields.append(("Content-Length", asked["declared"]))
        start_response(asked.get("status", "200 OK"), fields)
        if kind == "whole":
            return [content]
        if kind == "list":
            return [content[:100], content[100:5000], b"", content[5000:]]
        if kind == "stream":
            return (content[start:start + 1000] for start in range(0, len(content), 1000))
        if kind == "wait":
            return wait(content)
        if kind == "fail":
            return fail(content)
        if kind == "file":
            return environ["wsgi.file_wrapper"](open("page.txt", "rb"))
        if kind == "large":
            return environ["wsgi.file_wrapper"](open("large.txt", "rb"))
        return []

    def wait(content):
        yield content[:2000]
        # The client has the first chunk before the second is made, or it never asks for it.
        while not os.path.exists("go"):
            import time
            time.sleep(0.01)
        yield content[2000:]

    def fail(content):
        yield content[:2000]
        raise RuntimeError("in the middle")
"""

TEXT = b"".join(b"Line %d of a page that compresses well.\n" % number for number in range(600))

DECODERS = {
    "gzip": gzip.decompress,
    "br": brotli.decompress,
    "zstd": lambda content: zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content)).read(),
    None: bytes,
}


@pytest.fixture(scope="module")
def server(serve_module):
    return serve_module(APPLICATION, "--compress", "on")


def ask(server, target, accepted="gzip", method="GET", fields=(), version="1.1"):
    fields = list(fields) + ([("Accept-Encoding", accepted)] if accepted is not None else [])
    return server.exchange(message(method, target, fields=fields, version=version), head_only=method == "HEAD")


def content_of(response):
    return DECODERS[response.value("Content-Encoding")](response.body)


def test_nothing_is_compressed_unless_it_is_asked_for(serve):
    response = ask(serve(APPLICATION), "/whole")
    assert (response.value("Content-Encoding"), response.value("Vary")) == (None, None)
    assert response.body == TEXT


@pytest.mark.parametrize(
    "accepted, coding",
    [
        ("gzip", "gzip"),
        ("br", "br"),
        ("zstd", "zstd"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "gzip"),
        ("gzip;q=0.9, br", "br"),
        ("gzip;q=1, br;q=0.5, zstd;q=0", "gzip"),
        ("*", "zstd"),
        ("deflate", None),
        ("gzip;q=0", None),
        ("identity;q=1, gzip;q=0.5", None),
        ("gzip;q=2", None),
        ("", None),
        (None, None),
    ],
)
@pytest.mark.parametrize("kind", ["whole", "list", "stream", "file"])
def test_the_client_gets_the_coding_that_it_weighs_most(server, kind, accepted, coding):
    response = ask(server, "/" + kind, accepted)
    assert response.value("Content-Encoding") == coding
    assert content_of(response) == TEXT
    # The response to other clients depends on it, too.
    assert response.value("Vary") == "Accept-Encoding"
    if coding:
        assert len(response.body) < len(TEXT) / 2


@pytest.mark.parametrize("kind", ["whole", "list", "file"])
@pytest.mark.parametrize("declared", ["", "&declared=%d" % len(TEXT)])
def test_a_response_that_is_known_as_a_whole_has_a_length(server, kind, declared):
    response = ask(server, "/%s?%s" % (kind, declared))
    assert int(response.value("Content-Length")) == len(response.body)
    assert content_of(response) == TEXT


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_generators_chunk_arrives_before_the_next_is_made(serve, coding):
    server = serve(APPLICATION, "--compress", coding)
    with server.connect() as wire:
        wire.send(message("GET", "/wait", fields=[("Accept-Encoding", coding)]))
        head = wire.read_head()
        assert head.value("Content-Encoding") == coding and head.value("Content-Length") is None
        decode = {
            "gzip": zlib.decompressobj(31).decompress,
            "br": brotli.Decompressor().process,
            "zstd": zstandard.ZstdDecompressor().decompressobj().decompress,
        }[coding]
        content = b""
        while len(content) < 2000:
            content += decode(wire.read_chunk())
        assert content == TEXT[:2000]
        server.write("go", "")
        for chunk in wire.read_chunks():
            content += decode(chunk)
        assert content == TEXT


def test_a_stream_that_declares_its_length_is_cut_there_and_never_looks_complete_before(server):
    response = ask(server, "/stream?declared=%d" % len(TEXT))
    assert content_of(response) == TEXT
    response = ask(server, "/stream?declared=5500")
    assert content_of(response) == TEXT[:5500]
    server.log.wait("the application gave more than its Content-Length")
    with pytest.raises(Incomplete):
        ask(server, "/stream?declared=%d" % (len(TEXT) + 1))
    server.log.wait("the application gave fewer bytes than its Content-Length")


def test_a_stream_that_fails_never_looks_complete(server):
    with pytest.raises(Incomplete):
        ask(server, "/fail")


def test_an_http_1_0_client_gets_it_until_the_connection_ends(server):
    response = ask(server, "/stream", version="1.0")
    assert response.value("Transfer-Encoding") is None and response.closes
    assert gzip.decompress(response.body) == TEXT


@pytest.mark.parametrize(
    "target",
    [
        "/whole?size=1023",
        "/list?declared=1023&size=1023",
        "/whole?type=image/png",
        "/whole?type=text/event-stream",
        "/stream?type=text/event-stream",
        "/whole?fields=Content-Encoding=x-own",
        "/whole?fields=Cache-Control=public,%20no-transform",
        "/whole?fields=Content-Range=bytes%200-9/10",
        "/whole?fields=Content-Digest=sha-256=:x:",
        "/whole?status=206%20Partial%20Content",
    ],
)
def test_responses_that_must_not_or_need_not_be_compressed_are_not_changed(server, target):
    response, plain = ask(server, target), ask(server, target, None)
    assert response.body == plain.body and response.body.startswith(TEXT[:1000])
    assert response.value("Content-Encoding") in (None, "x-own")
    assert response.value("Vary") is None
    assert sorted(key for key, _ in response.fields) == sorted(key for key, _ in plain.fields)


def test_a_large_file_is_sent_as_it_is(server):
    response = ask(server, "/large")
    assert (response.value("Content-Encoding"), response.body) == (None, TEXT * 100)


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_a_response_without_content_has_no_content_encoding(server, status):
    response = ask(server, "/whole?size=0&status=" + status.replace(" ", "%20"))
    assert response.value("Content-Encoding") is None and response.body == b""


@pytest.mark.parametrize("kind", ["whole", "stream"])
def test_head_is_answered_with_the_head_of_get(server, kind):
    declared = "/%s?declared=%d&fields=ETag=%%22a%%22" % (kind, len(TEXT))
    head, get = ask(server, declared, method="HEAD"), ask(server, declared)
    ignored = ("Date", "Content-Length", "Transfer-Encoding")
    assert [field for field in head.fields if field[0] not in ignored] == [
        field for field in get.fields if field[0] not in ignored
    ]
    assert head.value("Content-Encoding") == "gzip"
    # The length that GET would have is unknown; the uncompressed length would be wrong.
    assert head.value("Content-Length") is None


@pytest.mark.parametrize(
    "fields, etag, vary",
    [
        ("ETag=%22a%22", 'W/"a"', "Accept-Encoding"),
        ("ETag=W/%22a%22", 'W/"a"', "Accept-Encoding"),
        ("Vary=Cookie", None, "Cookie, Accept-Encoding"),
        ("Vary=Cookie,%20accept-encoding", None, "Cookie, accept-encoding"),
        ("Vary=*", None, "*"),
        ("Accept-Ranges=bytes", None, "Accept-Encoding"),
    ],
)
def test_validators_and_vary_follow(server, fields, etag, vary):
    response = ask(server, "/whole?fields=" + fields)
    assert (response.value("ETag"), response.value("Vary")) == (etag, vary)
    assert response.value("Accept-Ranges") is None


def test_the_tag_stays_strong_where_nothing_is_compressed(server):
    assert ask(server, "/whole?fields=ETag=%22a%22", None).value("ETag") == '"a"'


def test_a_304_names_the_weak_tag_that_the_client_asked_about(server):
    target = "/whole?size=0&status=304%20Not%20Modified&fields=ETag=%22a%22"
    response = ask(server, target, fields=[("If-None-Match", 'W/"a"')])
    assert (response.value("ETag"), response.value("Vary")) == ('W/"a"', "Accept-Encoding")
    assert ask(server, target, fields=[("If-None-Match", '"a"')]).value("ETag") == '"a"'


def test_types_sizes_and_codings_are_settings(serve):
    server = serve(
        APPLICATION,
        *("--compress", "gzip:9,br:1", "--compress-min-bytes", 10, "--compress-types", "application/x-own,*+json"),
        *("--compress-file-bytes-max", "10MiB"),
    )
    assert ask(server, "/whole?type=application/x-own", "gzip, br, zstd").value("Content-Encoding") == "gzip"
    assert ask(server, "/whole?size=10&type=application/ld%2Bjson", "br").value("Content-Encoding") == "br"
    assert ask(server, "/whole?type=application/x-own", "zstd").value("Content-Encoding") is None
    assert ask(server, "/whole").value("Vary") is None
    large = ask(server, "/large?type=application/x-own")
    assert gzip.decompress(large.body) == TEXT * 100


@pytest.mark.parametrize("value", ["deflate", "gzip:11", "gzip,gzip", "br:x"])
def test_a_coding_that_does_not_exist_is_an_error_at_the_start(serve, value):
    server = serve(APPLICATION, settings='compress = "%s"' % value, listening=False)
    assert server.wait_exit() == 1
    server.log.wait("farrier.toml.*compress")


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_curl_decodes_it(server, coding):
    curl = shutil.which("curl")
    if not curl:
        pytest.skip("needs curl")
    if coding != "gzip" and coding not in subprocess.run(
        [curl, "--version"], capture_output=True, text=True
    ).stdout.replace("brotli", "br"):
        pytest.skip("this curl cannot decode " + coding)
    for kind in ("whole", "stream"):
        url = "http://%s:%d/%s" % (*server.address, kind)
        command = [curl, "-sS", "--compressed", "-H", "Accept-Encoding: " + coding, "-D", "-", "-o", os.devnull, url]
        head = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
        assert "content-encoding: " + coding in head.lower()
        command = [curl, "-sS", "--compressed", "-H", "Accept-Encoding: " + coding, url]
        assert subprocess.run(command, capture_output=True, check=True, timeout=20).stdout == TEXT


@pytest.mark.parametrize("kind", ["whole", "stream", "file"])
def test_streams_of_http2_are_compressed_too(serve, kind):
    curl = shutil.which("curl")
    if not curl:
        pytest.skip("needs curl")
    server = serve(APPLICATION, "--compress", "on", "--http2-cleartext", "prior-knowledge")
    url = "http://%s:%d/%s" % (*server.address, kind)
    command = [curl, "-sS", "--http2-prior-knowledge", "-H", "Accept-Encoding: gzip", "-w", "%{http_version}", url]
    sent = subprocess.run(command, capture_output=True, check=True, timeout=20).stdout
    assert sent[-1:] == b"2" and gzip.decompress(sent[:-1]) == TEXT


def test_the_access_log_counts_what_was_sent(serve):
    server = serve(APPLICATION, "--compress", "gzip", "--access-logfile", "-", "--access-logformat", "%(s)s %(b)s")
    response = ask(server, "/whole")
    server.output.wait("^200 %d$" % len(response.body))


def test_a_site_and_a_mount_have_a_switch_of_their_own(serve):
    server = serve(
        APPLICATION,
        settings="""
            compress = "gzip"

            [[mount]]
            path = "/secrets"
            app = "app:application"
            compress = false

            [[mount]]
            path = "/better"
            app = "app:application"
            compress = "br:9"

            [[site]]
            hosts = ["plain.test"]
            app = "app:application"
            compress = "off"
        """,
    )
    accepted = "gzip, br"
    for target, host, coding in [
        ("/whole", "farrier.test", "gzip"),
        ("/better/whole", "farrier.test", "br"),
        ("/secrets/whole", "farrier.test", None),
        ("/whole", "plain.test", None),
    ]:
        response = server.exchange(message(target=target, host=host, fields=[("Accept-Encoding", accepted)]))
        assert response.value("Content-Encoding") == coding, (target, host)
        assert content_of(response) == TEXT


def test_compress_is_refused_for_mounts_without_an_application(serve):
    settings = '[[mount]]\npath = "/old"\nredirect = "/new"\ncompress = "on"\n'
    server = serve(APPLICATION, settings=settings, listening=False)
    assert server.wait_exit() == 1
    server.log.wait("`compress` belongs to `app`")
