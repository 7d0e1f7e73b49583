"""Static files: which path leads to which file, which paths give 404, and the fields of responses."""

import gzip
import os

import pytest

from gateway import Records, uwsgi
from static_folder import APPLICATION, LARGE, MODIFIED, TEXT, fill, write
from web_server import let_everybody_in
from wire import Wire, message, until


@pytest.fixture(scope="module")
def site(serve_module, tmp_path_factory):
    directory = tmp_path_factory.mktemp("site")
    root = fill(directory)
    settings = """
        [[static]]
        url = "/static/"
        dir = "files"
        immutable = ["assets/**"]

        [[static]]
        url = "/pages"
        dir = "files/pages"
        index = "index.html"
        max_age = "5m"
    """
    server = serve_module(APPLICATION, directory=directory, settings=settings)
    server.root = root
    return server


def test_a_file_is_sent_with_the_fields_for_clients_and_caches(site):
    answer = site.get("/static/text.txt")
    assert (answer.status, answer.body) == (200, TEXT)
    assert answer.value("Content-Type") == "text/plain; charset=utf-8"
    assert answer.value("Last-Modified") == MODIFIED
    assert answer.value("Cache-Control") == "max-age=60"
    assert answer.value("Accept-Ranges") == "bytes"
    assert answer.value("X-Content-Type-Options") == "nosniff"
    assert answer.value("ETag").startswith('"') and answer.value("Vary") is None


def test_a_large_file_is_sent_whole_and_again_on_the_same_connection(site):
    wire = site.connect()
    for _ in range(3):
        assert wire.request(message(target="/static/large.bin")).body == LARGE
        assert wire.request(message(target="/static/text.txt")).body == TEXT


def test_an_empty_file_is_an_empty_answer(site):
    answer = site.get("/static/empty.txt")
    assert (answer.status, answer.body, answer.value("Content-Length")) == (200, b"", "0")


def test_all_else_is_the_applications(site):
    assert site.get("/other").value("X-By") == "application"
    assert site.get("/staticx").value("X-By") == "application"
    assert site.get("/").value("X-By") == "application"


@pytest.mark.parametrize("target", ["/static/text.txt", "/static/large.bin", "/static/nothing"])
def test_head_is_answered_like_get_without_content(site, target):
    wire = site.connect()
    by_head = wire.request(message("HEAD", target), head_only=True)
    by_get = wire.request(message("GET", target))
    fields = [(name, value) for name, value in by_get.fields if name != "Date"]
    assert (by_head.status, by_head.body) == (by_get.status, b"")
    assert [(name, value) for name, value in by_head.fields if name != "Date"] == fields


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"])
def test_other_methods_get_405(site, method):
    answer = site.exchange(message(method, "/static/text.txt"))
    assert (answer.status, answer.value("Allow")) == (405, "GET, HEAD, OPTIONS")


def test_options_lists_the_methods(site):
    answer = site.exchange(message("OPTIONS", "/static/text.txt"))
    assert (answer.status, answer.value("Allow")) == (204, "GET, HEAD, OPTIONS")


@pytest.mark.parametrize(
    "target",
    [
        "/static/a%20b%C3%BC%25.txt",
        "/static/%61%20b%c3%bc%25.txt",
        "/static//a%20b%C3%BC%25.txt?query=../../x",
    ],
)
def test_a_path_is_decoded_once(site, target):
    assert site.get(target).body == b"odd name\n"


@pytest.mark.parametrize(
    "target",
    [
        "/static/css%2fsite.css",
        "/static/./text.txt",
        "/static/..\\secret.txt",
        "/static/%5c..%5csecret.txt",
        "/static/%252e%252e/secret.txt",
        "/static/%c0%ae%c0%ae/secret.txt",
        "/static/text.txt%00.css",
        "/static/text.txt/",
        "/static/text.txt/x",
        "/static/" + "x" * 300,
        "/static/" + "x/" * 2000,
    ],
)
def test_a_path_that_leads_nowhere_is_404(site, target):
    answer = site.get(target)
    assert answer.status == 404 and b"outside" not in answer.raw, answer.raw


@pytest.mark.parametrize(
    "target",
    [
        "/static/../secret.txt",
        "/static/%2e%2e/secret.txt",
        "/static/%2E%2E/secret.txt",
        "/static/.%2e/secret.txt",
        "/static/css/../../secret.txt",
        "/static/..%2fsecret.txt",
        "/static/%2e%2e%2fsecret.txt",
        "/static/..",
    ],
)
def test_a_path_that_leads_out_of_the_mount_is_400(site, target):
    answer = site.get(target)
    assert answer.status == 400 and b"outside" not in answer.raw, answer.raw


@pytest.mark.parametrize("target", ["/static/%", "/static/%4", "/static/%zz", "/static/a%-1b"])
def test_a_path_that_cannot_be_decoded_is_400(site, target):
    assert site.get(target).status == 400


@pytest.mark.parametrize("name", [".env", ".git/config", "css/.hidden", ".well-known/.x"])
def test_names_with_a_dot_in_front_are_hidden(site, name):
    assert site.get("/static/" + name).status == 404


# A folder that also holds sources, databases or keys gave them to everybody.
@pytest.mark.parametrize(
    "name",
    ["settings.py", "db.sqlite3", "dump.SQL", "dump.sql.gz", "site.key", "cert.pem", "a.css~", "css/a.bak", ".a.swp"],
)
def test_names_that_are_never_public_are_404(site, name):
    write(site.root / name, b"hidden\n")
    answer = site.get("/static/" + name)
    assert answer.status == 404 and b"hidden" not in answer.raw
    site.log.wait("is not served, because static_hide has")


@pytest.mark.parametrize("name", ["monkey.css", "key", "a.py/b.css", "sql.gz"])
def test_a_name_is_hidden_by_its_ending_alone(site, name):
    write(site.root / name, b"public\n")
    assert site.get("/static/" + name).body == b"public\n"


def test_the_hidden_names_are_a_setting_and_each_folder_is_named_once(serve, tmp_path):
    root = fill(tmp_path)
    for name in ["a.py", "Secrets.txt", "b.bak", "c.bak"]:
        write(root / name, b"content\n")
    settings = 'static_hide = ["*.bak", "secrets.txt"]\nstatic = ["/static/=files"]'
    server = serve(APPLICATION, directory=tmp_path, settings=settings)
    assert [server.get("/static/" + name).status for name in ["a.py", "b.bak", "Secrets.txt", "c.bak"]] == [
        200,
        404,
        404,
        404,
    ]
    server.log.wait(r"files/b\.bak is not served, because static_hide has `\*\.bak`: ")
    assert len(server.log.find("static_hide")) == 1


def test_well_known_files_are_served(site):
    assert site.get("/static/.well-known/security.txt").status == 200


@pytest.mark.parametrize("name", ["inside.txt", "css/up.txt"])
def test_links_are_followed_inside_of_the_folder(site, name):
    assert site.get("/static/" + name).body == TEXT


@pytest.mark.parametrize("name", ["outside.txt", "absolute.txt", "outdoors/secret.txt", "circle", "dangling", "zero"])
def test_links_out_of_the_folder_lead_nowhere(site, name):
    answer = site.get("/static/" + name)
    assert answer.status == 404 and b"outside" not in answer.raw


@pytest.mark.parametrize("name", ["pipe", "socket"])
def test_anything_but_a_regular_file_is_404_at_once(site, name):
    assert site.get("/static/" + name).status == 404


def test_a_file_that_may_not_be_read_is_403_and_the_log_says_which(serve, tmp_path):
    root = fill(tmp_path)
    write(root / "unreadable.txt", b"x").chmod(0)
    let_everybody_in(tmp_path)
    # Root may read everything, and others perhaps not the interpreter's own files.
    flags = ["--user", "nobody", "--preload-app"] if os.geteuid() == 0 else []
    server = serve(APPLICATION, "--static", "/static=files", *flags, directory=tmp_path)
    assert server.get("/static/unreadable.txt").status == 403
    server.log.wait(r"cannot read .*/unreadable\.txt: Permission denied")
    assert server.get("/static/text.txt").status == 200


def test_a_folder_is_never_listed(site):
    for target in ("/static/bare/", "/static/css/", "/static/"):
        answer = site.get(target)
        assert answer.status == 404 and b"site.css" not in answer.raw


def test_a_folder_without_its_slash_is_redirected(site):
    answer = site.get("/static/css?a=b")
    assert (answer.status, answer.value("Location")) == (301, "/static/css/?a=b")
    assert site.get("/static").value("Location") == "/static/"
    assert site.get("/pages").value("Location") == "/pages/"


def test_no_redirect_leads_to_another_host(serve, tmp_path):
    (tmp_path / "files" / "evil.example").mkdir(parents=True)
    server = serve("", "--static", "/=files", directory=tmp_path)
    for target in ("//evil.example", "/%09/evil.example", "//evil.example%2f.."):
        location = server.get(target).value("Location")
        assert location is None or location == "/evil.example/"


def test_an_index_stands_for_its_folder(site):
    answer = site.get("/pages/")
    assert (answer.status, answer.body) == (200, b"<!doctype html>\n")
    assert answer.value("Content-Type") == "text/html; charset=utf-8"
    assert answer.value("Cache-Control") == "max-age=300"


def test_one_file_has_a_path_of_its_own(serve, tmp_path):
    (tmp_path / "robots.txt").write_bytes(b"Disallow: /x")
    (tmp_path / "other.txt").write_bytes(b"other")
    server = serve(APPLICATION, "--static", "/robots.txt=robots.txt", directory=tmp_path)
    answer = server.get("/robots.txt?a=b")
    assert (answer.status, answer.body) == (200, b"Disallow: /x")
    assert answer.value("Content-Type") == "text/plain; charset=utf-8"
    for target in ("/robots.txt/", "/robots.txt/robots.txt", "/robots.txt/other.txt"):
        assert server.get(target).status == 404, target
    assert server.get("/other.txt").value("X-By") == "application"
    (tmp_path / "robots.txt").write_bytes(b"Allow: /")
    until(lambda: server.get("/robots.txt").body == b"Allow: /", 15, "the new content")


def test_a_fallback_is_sent_for_a_missing_file_and_for_nothing_else(serve, tmp_path):
    # An application in the browser has paths of its own, which are no files.
    files = tmp_path / "files"
    (files / "assets").mkdir(parents=True)
    (files / "index.html").write_bytes(b"<div>")
    (files / "assets/a.js").write_bytes(b"a")
    (files / "secret.key").write_bytes(b"key")
    settings = """
        [[static]]
        url = "/"
        dir = "files"
        index = "index.html"
        fallback = "index.html"
    """
    server = serve("", directory=tmp_path, settings=settings)
    for _ in range(2):
        for target in ("/users/7", "/users/", "/assets/missing.js", "/secret.key", "/"):
            answer = server.get(target)
            assert (answer.status, answer.body) == (200, b"<div>"), target
            assert answer.value("Content-Type") == "text/html; charset=utf-8"
        assert server.get("/assets/a.js").body == b"a"
        assert server.get("/.env").status == 404
        assert server.get("/assets").status == 301
        assert server.exchange(message("POST", "/users/7", b"x")).status == 405
    seen = server.get("/users/7").value("ETag")
    assert server.get("/users/8", fields=[("If-None-Match", seen)]).status == 304
    # A file that appears later is sent itself, and its fallback is looked for anew.
    (files / "index.html").unlink()
    until(lambda: server.get("/users/9").status == 404, 15, "the fallback to be missed")


@pytest.mark.parametrize("name", ["js/app.0123456789ab.js", "assets/index-BX2k1aZ9.js"])
def test_names_that_hold_a_hash_are_kept_for_a_year(site, name):
    answer = site.get("/static/" + name)
    assert answer.value("Cache-Control") == "max-age=31536000, immutable"
    assert answer.value("Content-Type") == "text/javascript; charset=utf-8"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        (None, None),
        ("gzip", "gzip"),
        ("gzip, deflate, br", "br"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd;q=0.5, gzip", "gzip"),
        ("br;q=0", None),
        ("identity, gzip;q=0.5", None),
        ("*", "zstd"),
        ("deflate", None),
    ],
)
def test_the_coding_that_the_client_prefers_is_sent(site, accepted, coding):
    fields = [("Accept-Encoding", accepted)] if accepted is not None else []
    answer = site.get("/static/coded.css", fields=fields)
    assert (answer.value("Content-Encoding"), answer.value("Vary")) == (coding, "Accept-Encoding")
    assert answer.value("Content-Type") == "text/css; charset=utf-8"
    expected = {None: b"plain" * 100, "br": b"br" * 10, "zstd": b"zst" * 10}
    assert answer.body == expected.get(coding, answer.body)
    if coding == "gzip":
        assert gzip.decompress(answer.body) == b"plain" * 100


def test_each_form_has_a_tag_of_its_own(site):
    tags = {
        site.get("/static/coded.css", fields=[("Accept-Encoding", accepted)]).value("ETag")
        for accepted in ("identity", "gzip", "br", "zstd")
    }
    assert len(tags) == 4
    for tag in tags:
        fields = [("Accept-Encoding", "br"), ("If-None-Match", tag)]
        answer = site.get("/static/coded.css", fields=fields)
        assert answer.status == (304 if tag.endswith('-br"') else 200)


def test_a_form_that_is_older_than_the_file_is_not_sent(site):
    answer = site.get("/static/stale.css", fields=[("Accept-Encoding", "gzip")])
    assert (answer.body, answer.value("Content-Encoding"), answer.value("Vary")) == (b"new", None, None)


def test_files_are_sent_while_the_only_seat_is_taken(serve, tmp_path):
    fill(tmp_path)
    server = serve(
        """
        import threading
        GO = threading.Event()

        def application(environ, start_response):
            if environ["PATH_INFO"] == "/wait":
                GO.wait(15)
            GO.set()
            start_response("200 OK", [])
            return [b"done"]
        """,
        "--threads",
        2,
        "--static",
        "/static=files",
        directory=tmp_path,
    )
    waiting = server.connect()
    waiting.send(message(target="/wait"))
    wire = server.connect()
    for _ in range(20):
        assert wire.request(message(target="/static/text.txt")).body == TEXT
    assert server.get("/go").body == b"done"
    assert waiting.read_response().body == b"done"


def test_a_file_goes_through_a_gateway_protocol(serve, tmp_path):
    fill(tmp_path)
    bind = ["uwsgi://127.0.0.1:0", "fastcgi://127.0.0.1:0"]
    server = serve(APPLICATION, "--static", "/static=files", directory=tmp_path, bind=bind)
    for name, content in (
        ("text.txt", TEXT),
        ("large.bin", LARGE),
        ("a b\u00fc%.txt".encode().decode("latin-1"), b"odd name\n"),
    ):
        with Wire(server.addresses[0]) as wire:
            wire.send(uwsgi("GET", "/static/" + name))
            assert wire.read_response().body == content
    with Records(server.addresses[1]) as records:
        assert records.ask("GET", "/static/large.bin").body == LARGE


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("/static=nowhere", "nowhere"),
        ("/static=app.py", "app.py is not a folder"),
        ("static=files", "must begin with a slash"),
        ("/static", "URL=DIR"),
        ("/static=", "URL=DIR"),
    ],
)
def test_a_folder_that_cannot_be_served_is_an_error_at_the_start(serve, tmp_path, value, said):
    fill(tmp_path)
    server = serve(APPLICATION, "--static", value, directory=tmp_path, listening=False)
    assert server.wait_exit() in (1, 2)
    server.log.wait(said)


def test_a_folder_that_cannot_be_served_is_found_by_check_config(serve, tmp_path):
    server = serve(APPLICATION, "--check-config", "--static", "/static=nowhere", directory=tmp_path, listening=False)
    assert server.wait_exit() == 1
    server.log.wait(r"farrier: static: cannot open the folder .*/nowhere: No such file or directory")
