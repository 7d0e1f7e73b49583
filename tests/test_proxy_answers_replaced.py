"""Answers of a server behind the proxy that this server replaces: with an internal file, or with its own page."""

import pytest

from proxied import proxied_by
from static_folder import TEXT, fill

TABLES = (
    ("/files", 'accel = ["redirect"]'),
    ("/pages", "intercept_errors = [404, 500]"),
    ("/", ""),
)


@pytest.fixture(scope="module")
def proxied(serve_module, tmp_path_factory):
    directory = tmp_path_factory.mktemp("replaced")
    fill(directory)
    yield from proxied_by(serve_module, TABLES, flags=("--internal", "/protected/=files"), directory=directory)


def answer(status, *fields, content=b"the server's own"):
    lines = "".join("%s: %s\r\n" % field for field in fields).encode()
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n%s" % (status, len(content), lines, content)


def test_a_server_may_name_a_file_where_the_mount_allows_it(proxied):
    named = answer(b"200 OK", ("X-Accel-Redirect", "/protected/text.txt"), ("Content-Type", "text/x-own"))
    got = proxied.get(named, below="/files/")
    assert (got.status, got.body, got.value("Content-Type")) == (200, TEXT, "text/x-own")
    assert got.value("X-Accel-Redirect") is None
    ranged = proxied.get(named, below="/files/", fields=[("Range", "bytes=0-2")])
    assert (ranged.status, ranged.body) == (206, TEXT[:3])
    proxied.works()


def test_elsewhere_the_field_is_removed_and_the_content_sent(proxied):
    got = proxied.get(answer(b"200 OK", ("X-Accel-Redirect", "/protected/text.txt")), below="/")
    assert (got.status, got.body, got.value("X-Accel-Redirect")) == (200, b"the server's own", None)


def test_a_file_outside_of_declared_folders_is_not_sent(proxied):
    got = proxied.get(answer(b"200 OK", ("X-Accel-Redirect", "/secret.txt")), below="/files/")
    assert got.status == 500 and b"SECRET" not in got.body


@pytest.mark.parametrize(("status", "replaced"), [(404, True), (500, True), (403, False)])
def test_statuses_that_are_intercepted_get_this_servers_page(proxied, status, replaced):
    got = proxied.get(answer(b"%d Status" % status), below="/pages/")
    assert got.status == status
    assert (got.body == b"the server's own") is not replaced
    proxied.works()
