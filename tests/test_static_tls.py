"""Static files over TLS, with HTTP/1.1 and HTTP/2: from the disk, and cut off when they change."""

import os
import shutil
import subprocess

import pytest

from edge import serve_edge
from static_folder import has_thread
from wire import until

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")

VERSIONS = ["--http1.1", "--http2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("edge")


@pytest.fixture(scope="module")
def site(serve_module, folder, authority):
    return serve_edge(serve_module, folder, authority, workers=1)


def command(authority, *arguments):
    return ["curl", "-sS", "--noproxy", "*", "--max-time", "60", "--cacert", authority.pem, *map(str, arguments)]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_not_in_memory_is_sent_completely(site, folder, authority, version):
    path = folder / "site" / ("cold%s.bin" % version)
    content = os.urandom(9_000_000)
    path.write_bytes(content)
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    done = subprocess.run(
        command(authority, version, site.url + "/static/" + path.name), capture_output=True, timeout=90
    )
    assert (done.returncode, done.stderr) == (0, b"") and done.stdout == content
    (worker,) = site.workers()
    assert has_thread(worker, "farrier-disk")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("change", ["shrunk", "grown"])
def test_a_file_that_changes_while_it_is_sent_is_visibly_incomplete(site, folder, authority, version, change):
    path = folder / "site" / ("%s%s.bin" % (change, version))
    content = os.urandom(30_000_000)
    path.write_bytes(content)
    with subprocess.Popen(
        command(authority, version, "--limit-rate", "4M", site.url + "/static/" + path.name),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as client:
        first = client.stdout.read(65536)
        with path.open("r+b") as out:
            if change == "shrunk":
                out.truncate(100)
            else:
                out.seek(0, os.SEEK_END)
                out.write(b"more")
        received = first + client.stdout.read()
        assert client.wait(60) != 0
    assert len(received) < len(content) and content.startswith(received)
    done = subprocess.run(command(authority, version, site.url + "/"), capture_output=True, timeout=90)
    assert done.stdout == b"Hello, World!"
    until(lambda: not site.log.find("panicked"), 1)
