"""Static files that change while the server runs: seen within a second, and never sent as a mixture of two versions."""

import os
import time

import pytest

from static_folder import APPLICATION, LARGE, TEXT, fill, has_thread, write
from wire import Broken, Incomplete, message, until

BEFORE = b"before " * 1000
AFTER = b"after! " * 1000


@pytest.fixture
def site(serve, tmp_path):
    root = fill(tmp_path)
    server = serve(APPLICATION, "--static", "/static=files", directory=tmp_path)
    server.root = root
    return server


def becomes(site, target, condition, what):
    """Waits until the response is this: at most a second, plus the machine's delays."""
    until(lambda: condition(site.get(target)), 10, what)


def replace(path, content):
    """Replaces the file under the same name atomically."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(content)
    os.replace(new, path)


@pytest.mark.parametrize("size", [1, 100], ids=["in memory", "kept open"])
@pytest.mark.parametrize("change", ["replaced", "rewritten"])
def test_a_change_is_seen_within_a_second(site, size, change):
    path = site.root / "changing.txt"
    path.write_bytes(BEFORE * size)
    first = site.get("/static/changing.txt")
    assert first.body == BEFORE * size
    if change == "replaced":
        replace(path, AFTER * size)
    else:
        path.write_bytes(AFTER * size)
    seen = set()

    def is_new(answer):
        # The content always matches the tag.
        seen.add((answer.value("ETag"), answer.body))
        return answer.body == AFTER * size

    becomes(site, "/static/changing.txt", is_new, "the new content")
    assert len({tag for tag, _ in seen}) == len(seen) <= 2


def test_a_file_that_is_removed_and_created_is_noticed(site):
    path = site.root / "coming.txt"
    assert site.get("/static/coming.txt").status == 404
    path.write_bytes(b"here\n")
    becomes(site, "/static/coming.txt", lambda answer: answer.status == 200, "the file to be found")
    path.unlink()
    becomes(site, "/static/coming.txt", lambda answer: answer.status == 404, "the file to be gone")
    path.mkdir()
    becomes(site, "/static/coming.txt", lambda answer: answer.status == 301, "the folder to be found")


def test_a_new_precompressed_file_is_used(site):
    fields = [("Accept-Encoding", "br")]
    assert site.get("/static/text.txt", fields=fields).value("Content-Encoding") is None
    write(site.root / "text.txt.br", b"coded")
    until(lambda: site.get("/static/text.txt", fields=fields).body == b"coded", 10, "the coded form")


def test_a_folder_behind_a_link_may_be_exchanged(serve, tmp_path):
    for name in ("one", "two"):
        write(tmp_path / name / "a.txt", name.encode())
    (tmp_path / "current").symlink_to("one")
    server = serve("", "--static", "/=current", directory=tmp_path)
    assert server.get("/a.txt").body == b"one"
    (tmp_path / "next").symlink_to("two")
    os.replace(tmp_path / "next", tmp_path / "current")
    until(lambda: server.get("/a.txt").body == b"two", 10, "the other folder")


def test_the_cache_is_bounded_and_correct(serve, tmp_path):
    root = fill(tmp_path)
    for number in range(60):
        write(root / ("%d.txt" % number), b"%d" % number * 1000)
        write(root / ("%d.bin" % number), b"%d" % number * 60000)
    server = serve(
        APPLICATION,
        "--static",
        "/static=files",
        "--static-cache-entries",
        10,
        "--static-cache-bytes",
        "20KiB",
        "--static-open-files",
        4,
        directory=tmp_path,
    )
    wire = server.connect()
    for _ in range(2):
        for number in range(60):
            assert wire.request(message(target="/static/%d.txt" % number)).body == b"%d" % number * 1000
            assert wire.request(message(target="/static/%d.bin" % number)).body == b"%d" % number * 60000
    (worker,) = server.workers()
    held = [os.readlink("/proc/%d/fd/%s" % (worker, name)) for name in os.listdir("/proc/%d/fd" % worker)]
    assert len([name for name in held if name.startswith(str(root) + "/")]) <= 4, held


def start_slow_download(site, name, size):
    """A client that has read the head and stops: more of the file than the kernel buffers is still to be sent."""
    path = site.root / name
    with path.open("wb") as out:
        for _ in range(size // 1_000_000):
            out.write(os.urandom(1_000_000))
    wire = site.connect(receive_buffer=4096)
    wire.send(message(target="/static/" + name))
    taken = []
    head = wire.read_head(taken)
    assert (head.status, head.value("Content-Length")) == (200, str(path.stat().st_size))
    return path, path.read_bytes(), wire


def read_rest(wire):
    """All remaining bytes."""
    return wire._rest()


@pytest.mark.parametrize("change", ["shrunk", "emptied", "grown", "rewritten in place"])
def test_a_file_that_changes_while_it_is_sent_ends_the_connection(site, change):
    path, content, wire = start_slow_download(site, "big.bin", 12_000_000)
    with path.open("r+b") as out:
        if change == "shrunk":
            out.truncate(len(content) // 2)
        elif change == "emptied":
            out.truncate(0)
        elif change == "grown":
            out.seek(0, os.SEEK_END)
            out.write(b"more")
        else:
            out.write(b"\0" * len(content))
    received = read_rest(wire)
    assert len(received) < len(content)
    if change != "rewritten in place":
        assert content.startswith(received)
    # The kernel's pages to send belong to the file itself, so only the end of the message shows the change. Other
    # requests are served as before.
    assert site.get("/static/text.txt").body == TEXT


@pytest.mark.parametrize("change", ["removed", "replaced"])
def test_a_file_whose_name_goes_while_it_is_sent_is_sent_whole(site, change):
    path, content, wire = start_slow_download(site, "big.bin", 12_000_000)
    if change == "removed":
        path.unlink()
    else:
        replace(path, b"another file")
    assert read_rest_exactly(wire, len(content)) == content


def read_rest_exactly(wire, length):
    """Exactly the content."""
    return wire._exactly(length, [])


def test_a_client_that_leaves_in_the_middle_is_no_error(site):
    _, _, wire = start_slow_download(site, "big.bin", 12_000_000)
    wire.reset()
    assert site.get("/static/large.bin").body == LARGE
    assert not site.log.find("ERROR")


def is_cold(path):
    """Whether the last page of a file is not in the page cache."""
    with path.open("rb") as file:
        try:
            os.preadv(file.fileno(), [bytearray(1)], path.stat().st_size - 1, os.RWF_NOWAIT)
        except BlockingIOError:
            return True
        return False


def cool(path):
    """Drops a file from the page cache; skips where the file system keeps it there."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        deadline = time.monotonic() + 10
        while not is_cold(path):
            if time.monotonic() > deadline:
                pytest.skip("this file system keeps files in memory")
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


@pytest.mark.parametrize("size", [20_000, 10_000_000], ids=["small", "large"])
def test_files_not_in_memory_are_read_by_the_disk_thread(serve, tmp_path, size):
    root = fill(tmp_path)
    # Without precompressed files: only the disk shows that there are none.
    settings = '[[static]]\nurl = "/static/"\ndir = "files"\nprecompressed = false\n'
    site = serve(APPLICATION, settings=settings, directory=tmp_path)
    content = os.urandom(size)
    path = root / "cold.bin"
    path.write_bytes(content)
    # A file in memory needs no disk lookup.
    assert site.get("/static/text.txt").body == TEXT and site.get("/static/large.bin").body == LARGE
    (worker,) = site.workers()
    assert not has_thread(worker, "farrier-disk")
    cool(path)
    assert site.get("/static/cold.bin").body == content
    assert has_thread(worker, "farrier-disk")


def test_a_range_of_a_file_not_in_memory_is_correct(site):
    content = os.urandom(12_000_000)
    path = site.root / "cold.bin"
    path.write_bytes(content)
    cool(path)
    wire = site.connect()
    fields = [("Range", "bytes=11000000-11999999")]
    assert wire.request(message(target="/static/cold.bin", fields=fields)).body == content[11000000:]
    fields = [("Range", "bytes=5-6,9000000-9999999,4000000-4000009")]
    answer = wire.request(message(target="/static/cold.bin", fields=fields))
    assert content[9000000:10000000] in answer.body and content[4000000:4000010] in answer.body
    assert wire.request(message(target="/static/text.txt")).body == TEXT


def test_many_clients_that_wait_for_the_disk_are_all_served(site):
    contents = {}
    for number in range(20):
        path = site.root / ("cold%d.bin" % number)
        contents[path] = os.urandom(1_500_000)
        path.write_bytes(contents[path])
    for path in contents:
        cool(path)
    wires = []
    for path in contents:
        wires.append(site.connect())
        wires[-1].send(message(target="/static/" + path.name))
    # One client does not wait for its response.
    wires[3].reset()
    assert site.get("/other").status == 200
    for wire, content in list(zip(wires, contents.values())):
        if wire is not wires[3]:
            assert wire.read_response().body == content


def test_a_stop_finishes_files_that_are_being_sent(site):
    path, content, wire = start_slow_download(site, "big.bin", 12_000_000)
    site.kill(15)
    assert read_rest_exactly(wire, len(content)) == content
    # The connection, which was announced as kept alive, does not delay the end.
    assert site.wait_exit(20) == 0


def test_the_applications_own_files_may_grow_while_they_are_sent(serve, tmp_path):
    path = tmp_path / "growing.log"
    path.write_bytes(LARGE * 60)
    server = serve(
        """
        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return environ["wsgi.file_wrapper"](open("growing.log", "rb"))
        """,
        directory=tmp_path,
    )
    wire = server.connect(receive_buffer=4096)
    wire.send(message(target="/"))
    assert wire.read_head().status == 200
    with path.open("ab") as out:
        out.write(b"more")
    assert read_rest_exactly(wire, len(LARGE) * 60) == LARGE * 60


def test_breakage_is_visible(site):
    """Checks the test client itself: a message that ends early is an error."""
    path, _, wire = start_slow_download(site, "big.bin", 12_000_000)
    os.truncate(path, 0)
    with pytest.raises((Broken, Incomplete)):
        wire._exactly(12_000_000, [])
