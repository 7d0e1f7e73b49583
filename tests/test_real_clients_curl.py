"""curl and wget against the edge: versions of HTTP and TLS, ranges, codings, uploads, client certificates, resumption."""

import hashlib
import json
import os
import shutil
import subprocess

import pytest

from certificates import Authority
from edge import environment_without_proxies, serve_edge

pytestmark = [
    pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed"),
    pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed"),
]
needs_wget = pytest.mark.skipif(not shutil.which("wget"), reason="wget is not installed")


@pytest.fixture(scope="module")
def server(serve_module, tmp_path_factory, authority):
    return serve_edge(serve_module, tmp_path_factory.mktemp("edge"), authority, "--compress", "on")


@pytest.fixture
def curl(authority):
    """Runs curl and returns its output; `told` are write-out variables, returned as a dict beside it."""

    def run(*arguments, told=(), fails=False):
        marker = "\n--told--"
        wanted = ["-w", "%{stderr}" + marker + json.dumps({name: "%%{%s}" % name for name in told})]
        done = subprocess.run(
            ["curl", "-sS", "--max-time", "60", "--cacert", authority.pem, *wanted, *map(str, arguments)],
            capture_output=True,
            env=environment_without_proxies(),
        )
        errors, _, variables = done.stderr.decode().rpartition(marker)
        assert (done.returncode != 0) == fails, (done.returncode, errors)
        return done.stdout, json.loads(variables) if told else errors

    return run


VERSIONS = {
    "1.0": ["--http1.0"],
    "1.1": ["--http1.1"],
    "2": ["--http2"],
}


@pytest.mark.parametrize("tls", ["1.2", "1.3"])
@pytest.mark.parametrize("version", VERSIONS)
def test_curl_gets_a_page_by_each_version_of_http_and_tls(server, curl, version, tls):
    body, told = curl(
        *VERSIONS[version],
        *("--tlsv" + tls, "--tls-max", tls, server.url + "/asked"),
        told=["http_version", "http_code", "ssl_verify_result"],
    )
    # A server sends its own version, not the request's (RFC 9110 §2.5).
    assert told["http_version"] == max(version, "1.1") and told["http_code"] == "200"
    assert told["ssl_verify_result"] == "0"
    asked = json.loads(body)
    assert asked["wsgi.url_scheme"] == "https" and asked["HTTPS"] == "on"
    assert asked["SERVER_PROTOCOL"] == "HTTP/" + version
    assert asked["SERVER_PORT"] == str(server.addresses[0][1])


@pytest.mark.parametrize("version, flags", [("1.1", []), ("2", ["--http2-prior-knowledge"])])
def test_curl_gets_a_page_without_tls(server, curl, version, flags):
    body, told = curl(*flags, server.plain_url + "/asked", told=["http_version"])
    assert told["http_version"] == version
    assert json.loads(body)["wsgi.url_scheme"] == "http"


def test_curl_that_offers_an_upgrade_to_http2_is_served_by_http_1_1(server, curl):
    _, told = curl("--http2", server.plain_url + "/", told=["http_version", "http_code"])
    assert told == {"http_version": "1.1", "http_code": "200"}


@pytest.mark.parametrize("old", ["1.0", "1.1"])
def test_curl_with_an_old_tls_is_refused(server, curl, old):
    curl("--tlsv" + old, "--tls-max", old, "--ciphers", "DEFAULT@SECLEVEL=0", server.url + "/", fails=True)


def test_plain_http_on_a_tls_port_gets_an_error_message(server, curl):
    body, told = curl(server.url.replace("https", "http") + "/", told=["http_code"])
    assert told["http_code"] == "400" and b"https://" in body


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize(
    "asked, first, last",
    [
        ("0-0", 0, 0),
        ("100-199", 100, 199),
        ("-5", -5, -1),
        ("8388600-", 8388600, -1),
        ("1000000-8000000", 1000000, 8000000),
    ],
)
def test_curl_gets_a_range_of_a_file(server, curl, version, asked, first, last):
    content = server.files["big.bin"]
    body, told = curl(*VERSIONS[version], "-r", asked, server.url + "/static/big.bin", told=["http_code"])
    first, last = first % len(content), last % len(content)
    assert told["http_code"] == "206" and body == content[first : last + 1]


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_curl_gets_several_ranges_of_a_file(server, curl, version):
    content = server.files["big.bin"]
    body, told = curl(
        *VERSIONS[version], "-r", "0-9,500-509", server.url + "/static/big.bin", told=["http_code", "content_type"]
    )
    assert told["http_code"] == "206" and told["content_type"].startswith("multipart/byteranges")
    assert content[:10] in body and content[500:510] in body


def test_curl_gets_416_for_a_range_outside(server, curl):
    _, told = curl("-r", "99999999-", server.url + "/static/big.bin", told=["http_code"])
    assert told["http_code"] == "416"


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_curl_continues_a_download(server, curl, tmp_path, version):
    content = server.files["big.bin"]
    partial = tmp_path / "big.bin"
    partial.write_bytes(content[:1234567])
    curl(*VERSIONS[version], "-C", "-", "-o", partial, server.url + "/static/big.bin")
    assert partial.read_bytes() == content


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_curl_gets_a_compressed_page(server, curl, version):
    plain, _ = curl(*VERSIONS[version], server.url + "/text")
    body, told = curl(*VERSIONS[version], "--compressed", server.url + "/text", told=["size_download"])
    assert body == plain and len(plain) == 43000 and int(told["size_download"]) < 5000


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_curl_downloads_only_changed_files(server, curl, tmp_path, version):
    tag, page = tmp_path / "tag", server.url + "/static/style.css"
    first, _ = curl(*VERSIONS[version], "--etag-save", tag, page)
    again, told = curl(*VERSIONS[version], "--etag-compare", tag, page, told=["http_code"])
    assert first == server.files["style.css"] and (told["http_code"], again) == ("304", b"")


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize("size", [0, 1, 100_000, 9_000_000])
def test_curl_uploads(server, curl, tmp_path, version, size):
    upload = tmp_path / "upload"
    upload.write_bytes(os.urandom(size))
    body, _ = curl(*VERSIONS[version], "-T", upload, server.url + "/asked")
    asked = json.loads(body)
    assert asked["REQUEST_METHOD"] == "PUT" and asked["length"] == size
    assert asked["sha256"] == hashlib.sha256(upload.read_bytes()).hexdigest()


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_curl_uploads_without_a_length(server, tmp_path, authority, version):
    done = subprocess.run(
        ["curl", "-sS", "--cacert", authority.pem, *VERSIONS[version], "-T", "-", server.url + "/asked"],
        input=b"piped" * 100_000,
        capture_output=True,
        env=environment_without_proxies(),
    )
    asked = json.loads(done.stdout)
    assert asked["length"] == 500_000 and asked["CONTENT_LENGTH"] == "500000"
    assert "HTTP_TRANSFER_ENCODING" not in asked


def test_curls_too_large_upload_is_refused(server, curl, tmp_path):
    upload = tmp_path / "upload"
    with upload.open("wb") as out:
        out.truncate(30 << 20)
    for version in ("1.1", "2"):
        _, told = curl(*VERSIONS[version], "-T", upload, server.url + "/asked", told=["http_code"])
        assert told["http_code"] == "413", version


@pytest.mark.parametrize("version", ["1.1", "2"])
def test_curl_keeps_its_connection(server, curl, version):
    arguments = []
    for path in ("/", "/static/script.js", "/missing", "/slowly", "/static/none"):
        arguments += [server.url + path, "-o", "/dev/null"]
    said, _ = curl(*VERSIONS[version], *arguments, "-w", "%{http_code} %{num_connects}\n")
    assert said.decode().split("\n")[:-1] == ["200 1", "200 0", "404 0", "200 0", "404 0"]


def test_curl_gets_many_things_at_once_over_one_connection(server, curl, tmp_path):
    arguments = []
    for number in range(60):
        path = ("/static/big.bin", "/slowly", "/asked", "/bytes/70000")[number % 4]
        arguments += [server.url + path, "-o", tmp_path / str(number)]
    curl("--http2", "-Z", "--parallel-max", "30", *arguments)
    for number in range(60):
        content = (tmp_path / str(number)).read_bytes()
        if number % 4 == 0:
            assert content == server.files["big.bin"], number
        elif number % 4 == 1:
            assert content == b"0\n1\n2\n3\n4\n"
        elif number % 4 == 3:
            assert content == b"x" * 70000


def test_curl_shows_a_client_certificate(serve, tmp_path, authority, curl):
    ours = authority.issue("visitor", subject="/CN=a visitor")
    for demand in ("optional", "required"):
        directory = tmp_path / demand
        directory.mkdir()
        server = serve_edge(serve, directory, authority, "--ca-certs", authority.pem, "--cert-reqs", demand, workers=1)
        for version in ("1.1", "2"):
            flags = [*VERSIONS[version], server.url + "/asked"]
            asked = json.loads(curl(*flags, "--cert", ours.pem, "--key", ours.key)[0])
            assert "a visitor" in asked["SSL_CLIENT_S_DN"], asked
            assert asked["SSL_CLIENT_VERIFY"] == "SUCCESS", asked
            if demand == "optional":
                assert "SSL_CLIENT_S_DN" not in json.loads(curl(*flags)[0])
            else:
                curl(*flags, fails=True)


def test_curl_with_a_client_certificate_of_another_authority_is_refused(serve, tmp_path, authority, curl):
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    theirs = Authority(stranger, "Somebody else").issue("visitor")
    flags = ("--ca-certs", authority.pem, "--cert-reqs", "optional")
    server = serve_edge(serve, tmp_path, authority, *flags, workers=1)
    curl(server.url + "/", "--cert", theirs.pem, "--key", theirs.key, fails=True)
    assert curl(server.url + "/")[0] == b"Hello, World!"


@needs_wget
def test_wget_continues_a_download(server, authority, tmp_path):
    content = server.files["big.bin"]
    partial = tmp_path / "big.bin"
    partial.write_bytes(content[:7654321])
    _wget(authority, tmp_path, "-c", server.url + "/static/big.bin")
    assert partial.read_bytes() == content
    # A whole file: 416 says so, and wget leaves it alone.
    _wget(authority, tmp_path, "-c", server.url + "/static/big.bin")
    assert partial.read_bytes() == content


@needs_wget
def test_wget_downloads_a_page_with_its_files(server, authority, tmp_path):
    _wget(authority, tmp_path, "-r", "-l", "1", "-nH", "-p", server.url + "/hinted")
    assert (tmp_path / "static" / "style.css").read_bytes() == server.files["style.css"]


@needs_wget
def test_wget_downloads_only_newer_files(server, authority, tmp_path):
    for _ in range(2):
        output = _wget(authority, tmp_path, "-N", server.url + "/static/style.css")
    assert "304" in output or "not retrieving" in output, output


def _wget(authority, directory, *arguments):
    done = subprocess.run(
        ["wget", "--no-config", "--tries=1", "--timeout=30", "--ca-certificate=%s" % authority.pem, *arguments],
        cwd=str(directory),
        env=dict(environment_without_proxies(), LC_ALL="C"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr
