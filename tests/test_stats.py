"""Statistics for uWSGI's tools: the document, uwsgitop, and slow or many readers."""

import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import sysconfig
import time

import pytest

from process import paused
from wire import message, until

APPLICATION = """\
import threading

RELEASE = threading.Event()

def application(environ, start_response):
    path = environ['PATH_INFO']
    if path == '/raise':
        raise ValueError('asked for')
    if path == '/wait':
        RELEASE.wait(30)
    if path == '/release':
        RELEASE.set()
    start_response('200 OK', [])
    return [b'x' * 1000]
"""

KEYS = """version listen_queue listen_queue_errors signal_queue load pid uid gid cwd daemons locks caches metrics sockets
workers spoolers crons legions""".split()

WORKER_KEYS = """id pid accepting requests delta_requests exceptions harakiri_count signals signal_queue status rss vsz
running_time last_spawn respawn_count tx avg_rt apps cores""".split()


@pytest.fixture
def observed(serve, tmp_path):
    """Starts a server with statistics on a unix socket: `server, path = observed(...)`."""

    def start(*flags, **options):
        path = str(tmp_path / "stats.sock")
        server = serve(APPLICATION, "--stats", "unix:" + path, *flags, **options)
        return server, path

    return start


def connect(address):
    """A connection to the statistics."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    connection.settimeout(15)
    connection.connect(address)
    return connection


def text(address):
    """Everything that is sent, up to the end."""
    with connect(address) as connection:
        return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def statistics(address):
    """The document."""
    return json.loads(text(address))


def total(document, key):
    """A sum over the workers."""
    return sum(worker[key] for worker in document["workers"])


def wait_for(address, condition, what):
    """Waits until the document is like this; it may be slightly old."""
    seen = []

    def holds():
        seen[:] = [statistics(address)]
        return condition(seen[0])

    until(holds, 15, what)
    return seen[0]


def test_the_document_has_the_keys_of_uwsgis(observed):
    server, path = observed("--workers", "2")
    server.wait_booted(2)
    document = wait_for(path, lambda d: len(d["workers"]) == 2, "two workers")
    assert sorted(document) == sorted(KEYS)
    assert document["pid"] == server.pid
    assert (document["uid"], document["gid"]) == (os.getuid(), os.getgid())
    assert document["cwd"] == os.path.realpath(server.directory)
    assert sorted(worker["pid"] for worker in document["workers"]) == sorted(server.workers())
    for worker in document["workers"]:
        assert sorted(worker) == sorted(WORKER_KEYS)
        assert worker["accepting"] == 1
        assert worker["vsz"] > worker["rss"] > 1 << 20
        assert time.time() - 60 < worker["last_spawn"] <= time.time()
        assert worker["respawn_count"] == 1
    (listener,) = document["sockets"]
    assert listener["name"] == "127.0.0.1:%d" % server.address[1]
    assert (listener["proto"], listener["queue"], listener["max_queue"]) == ("http", 0, 2048)


def test_requests_exceptions_and_bytes_are_counted(observed):
    server, path = observed()
    for _ in range(5):
        assert server.get("/").status == 200
    assert server.get("/raise").status == 500
    document = wait_for(path, lambda d: total(d, "requests") == 6, "6 requests")
    (worker,) = document["workers"]
    assert (worker["requests"], worker["delta_requests"], worker["exceptions"]) == (6, 6, 1)
    assert 5000 <= worker["tx"] < 10000
    assert worker["running_time"] > 0
    assert worker["avg_rt"] > 0
    assert worker["harakiri_count"] == 0


def test_requests_that_outlive_their_time_are_counted(observed):
    server, path = observed("--threads", "4", "--request-timeout", "200ms")
    assert server.get("/wait").status == 504
    wait_for(path, lambda d: total(d, "harakiri_count") == 1, "a request that took too long")
    server.get("/release")


def test_nothing_of_a_request_is_in_it(observed):
    server, path = observed("--threads", "4")
    waiting = server.connect()
    waiting.send(message(target="/wait?token=abc123", fields=[("Cookie", "session=abc123"), ("X-Secret", "abc123")]))
    try:
        wait_for(path, lambda d: d["load"] == 1, "a running call")
        assert "abc123" not in text(path)
        assert "Cookie" not in text(path)
    finally:
        server.get("/release")
    assert waiting.read_response().status == 200


def test_a_worker_is_busy_while_a_call_runs(observed):
    server, path = observed("--threads", "4")
    wait_for(path, lambda d: [w["status"] for w in d["workers"]] == ["idle"], "an idle worker")
    waiting = server.connect()
    waiting.send(message(target="/wait"))
    document = wait_for(path, lambda d: [w["status"] for w in d["workers"]] == ["busy"], "a busy worker")
    assert document["workers"][0]["cores"][0]["in_request"] == 1
    assert server.get("/release").status == 200
    assert waiting.read_response().status == 200
    wait_for(path, lambda d: [w["status"] for w in d["workers"]] == ["idle"], "an idle worker")


def test_no_sum_falls_when_workers_are_replaced(observed):
    server, path = observed()
    for _ in range(3):
        server.get("/")
    wait_for(path, lambda d: total(d, "requests") == 3, "3 requests")
    first = server.workers()
    server.kill(signal.SIGHUP)
    document = wait_for(
        path,
        lambda d: sorted(w["status"] for w in d["workers"]) == ["cheap", "idle"],
        "the old worker's place to be free",
    )
    assert total(document, "requests") == 3
    (living,) = [worker for worker in document["workers"] if worker["pid"]]
    assert [living["pid"]] == server.workers() != first
    os.kill(living["pid"], signal.SIGKILL)
    document = wait_for(path, lambda d: total(d, "respawn_count") == 3, "a third worker")
    assert total(document, "requests") == 3


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_connections_that_wait_are_counted(observed, unix):
    bind = ("unix:app.sock",) if unix else ("127.0.0.1:0",)
    server, path = observed(bind=bind)
    server.wait_booted(1)
    assert server.get("/").status == 200
    (worker,) = server.workers()
    with paused(worker):
        held = [server.connect() for _ in range(3)]
        document = wait_for(path, lambda d: d["listen_queue"] == 3, "3 connections that wait")
        assert document["sockets"][0]["queue"] == 3
        assert len(held) == 3
    wait_for(path, lambda d: d["listen_queue"] == 0, "no connections that wait")


def test_readers_that_read_nothing_do_not_block_others(observed):
    server, path = observed("--workers", "2")
    server.wait_booted(2)
    # More than may wait at the socket: the arbiter takes one after another.
    silent = [until(lambda: try_to_connect(path), 15, "room for a reader") for _ in range(60)]
    try:
        first = server.workers()[0]
        server.kill(signal.SIGKILL, first)
        until(lambda: len(server.workers()) == 2 and first not in server.workers(), 20, "the killed worker's successor")
        assert len(statistics(path)["workers"]) >= 2
    finally:
        for connection in silent:
            connection.close()


def try_to_connect(path):
    """A connection, or None while there is no room for one."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.setblocking(False)
    try:
        connection.connect(path)
    except BlockingIOError:
        connection.close()
        return None
    return connection


def test_tcp_of_this_machine_alone(serve):
    server = serve(APPLICATION, "--stats", "127.0.0.1:0")
    port = int(server.log.wait(r"Statistics at: 127\.0\.0\.1:(\d+)").group(1))
    wait_for(("127.0.0.1", port), lambda d: len(d["workers"]) == 1, "a worker")
    refused = serve(APPLICATION, "--stats", "0.0.0.0:0", listening=False)
    assert refused.wait_exit() == 2
    assert re.search(r"--stats: `0\.0\.0\.0:0` lets other machines read", refused.log.text)


def test_an_address_in_use_is_reported(serve, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server = serve(APPLICATION, "--stats", "127.0.0.1:%d" % taken.getsockname()[1], listening=False)
        assert server.wait_exit() == 1
    assert server.log.find(r"ERROR\] stats: .*in use")


def test_the_sockets_file_leaves_with_the_server(observed):
    server, path = observed()
    assert oct(os.stat(path).st_mode & 0o777) == "0o660"
    server.stop()
    assert not os.path.exists(path)


def test_workers_do_not_keep_the_address(observed):
    server, path = observed("--preload", "--workers", "2")
    server.wait_booted(2)
    wait_for(path, lambda d: len(d["workers"]) == 2, "two workers")
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
        (inode,) = {line.split()[6] for line in table if line.rstrip().endswith(path) and line.split()[5] == "01"}
    for pid, _, _ in server.processes():
        held = []
        for number in os.listdir("/proc/%d/fd" % pid):
            try:
                held.append(os.readlink("/proc/%d/fd/%s" % (pid, number)))
            except FileNotFoundError:
                continue
        assert ("socket:[%s]" % inode in held) == (pid == server.pid), pid


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_uwsgitop_shows_live_workers(serve, tmp_path, kind):
    stats = str(tmp_path / "s") if kind == "unix" else "127.0.0.1:0"
    server = serve(APPLICATION, "--workers", "2", "--stats", "unix:" + stats if kind == "unix" else stats)
    server.wait_booted(2)
    address = server.log.wait(r"Statistics at: (?:unix:)?(\S+)").group(1)
    for _ in range(7):
        server.get("/")
    screen, terminal = pty.openpty()
    program = [sys.executable, os.path.join(sysconfig.get_path("scripts"), "uwsgitop"), address]
    environment = dict(os.environ, TERM="xterm", COLUMNS="200", LINES="50")
    top = subprocess.Popen(program, stdin=terminal, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    shown = b""

    def read():
        nonlocal shown
        if select.select([screen], [], [], 0.1)[0]:
            try:
                shown += os.read(screen, 65536)
            except OSError:
                # A terminal whose program has left reads as an error.
                return False
        plain = re.sub(rb"\x1b[\[(][0-9;?]*[A-Za-z]", b" ", shown).decode("utf-8", "replace")
        pids = [str(pid) for pid in server.workers()]
        return "req: 7" in plain and all(pid in plain for pid in pids) and "masterpid: %d" % server.pid in plain

    try:
        until(read, 20, "uwsgitop to show the workers")
        os.write(screen, b"q")
        until(lambda: read() is None or top.poll() is not None, 10, "uwsgitop to leave")
    finally:
        if top.poll() is None:
            top.kill()
        top.wait()
        os.close(screen)
