"""Reload: a hundred times under load without a lost request; if the new code cannot be loaded, the old generation keeps
serving."""

import os
import random
import signal
import textwrap
import time

import pytest

from load import Load
from wire import until

APPLICATION = """
    import os

    def application(environ, start_response):
        body = b"%d" % os.getpid() if environ["PATH_INFO"] == "/pid" else b"generation 1"
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""

#: Of all cases below together.
RELOADS = 104


def of_generation(number):
    return APPLICATION.replace("generation 1", "generation %d" % number)


def ready(serve, workers, *flags, application=APPLICATION, **options):
    """A server with this many workers that have loaded the application."""
    server = serve(application, "--log-level", "debug", *flags, **options)
    server.log.wait("from fork to ready", count=workers)
    return server


def settled(server, workers):
    """Waits until exactly that many workers are left."""
    until(lambda: len(server.workers()) == workers, 30, "%d workers" % workers)


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "unix:site.sock"], ids=["tcp", "unix"])
@pytest.mark.parametrize("flags", [[], ["--preload"]], ids=["plain", "preload"])
@pytest.mark.parametrize("workers", [1, 4])
def test_a_hundred_reloads_under_load_lose_no_request_and_each_brings_its_code(serve, workers, flags, bind):
    server = ready(serve, workers, "--workers", workers, *flags, bind=(bind,))
    with Load(server, 6) as load:
        for generation in range(2, 2 + RELOADS // 8):
            server.write("app.py", of_generation(generation))
            server.kill(signal.SIGHUP)
            server.log.wait("Reloaded: generation %d serves" % generation, timeout=30)
            seen = b"generation %d" % generation
            until(lambda: load.bodies[seen], 30, "an answer of generation %d" % generation)
    assert load.failures == []
    settled(server, workers)
    assert not server.log.find("SIGKILL|WORKER TIMEOUT|Reload abandoned"), server.log.text


@pytest.mark.parametrize("flags", [[], ["--preload"]], ids=["plain", "preload"])
def test_a_broken_configuration_file_leaves_the_old_generation_serving_and_is_logged(serve, tmp_path, flags):
    (tmp_path / "app.py").write_text(
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'here']\n"
    )
    (tmp_path / "gunicorn.conf.py").write_text("workers = 2\n")
    server = ready(serve, 2, *flags, application="app:application", directory=tmp_path)
    settled(server, 2)
    before = set(server.workers())
    broken = [
        ("workers = 2\nthis is no Python\n", "SyntaxError|invalid syntax"),
        ("workers = 1 // 0\n", "ZeroDivisionError"),
        ("workers = 'many'\n", "workers"),
    ]
    with Load(server, 2) as load:
        for source, why in broken:
            mark = server.log.mark()
            (tmp_path / "gunicorn.conf.py").write_text(source)
            server.kill(signal.SIGHUP)
            server.log.wait("Reload abandoned", since=mark)
            server.log.wait(why, since=mark)
            assert set(server.workers()) == before
        (tmp_path / "gunicorn.conf.py").write_text("workers = 3\n")
        server.kill(signal.SIGHUP)
        server.log.wait("Reloaded: generation 2 serves")
        settled(server, 3)
    assert load.failures == []


@pytest.mark.parametrize("flags", [[], ["--preload"]], ids=["plain", "preload"])
@pytest.mark.parametrize(
    "source, word",
    [
        ("def application(:\n\n", "SyntaxError"),
        ("import missing_module_77\n\n", "missing_module_77"),
        ("other = 5\n\n", "application"),
        ("import os\nos._exit(7)\n\n", "code 7"),
    ],
    ids=["syntax", "import", "name", "exit"],
)
def test_code_that_cannot_be_loaded_leaves_the_old_generation_serving_and_is_logged(serve, source, word, flags):
    server = ready(serve, 2, "--workers", 2, *flags)
    settled(server, 2)
    before = set(server.workers())
    with Load(server, 2) as load:
        server.write("app.py", source)
        mark = server.log.mark()
        server.kill(signal.SIGHUP)
        server.log.wait("Reload abandoned", since=mark)
        server.log.wait(word, since=mark)
        settled(server, 2)
        assert set(server.workers()) == before
        server.write("app.py", of_generation(2))
        server.kill(signal.SIGHUP)
        until(lambda: load.bodies[b"generation 2"], 30, "answers of the mended code")
    assert load.failures == []


def test_a_worker_that_cannot_boot_later_is_tried_again_and_never_ends_a_server_that_was_healthy(serve):
    server = ready(serve, 2, "--workers", 2)
    settled(server, 2)
    server.write("app.py", "raise RuntimeError('broken-331')\n")
    server.kill(signal.SIGKILL, server.workers()[0])
    server.log.wait("RuntimeError: broken-331", count=4, timeout=30)
    assert server.get().status == 200
    # Even the last healthy worker may go: requests wait until the code is fixed.
    for pid in server.workers():
        server.kill(signal.SIGKILL, pid)
    server.log.wait("RuntimeError: broken-331", count=6, timeout=30)
    wire = server.connect(timeout=60)
    wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    server.write("app.py", of_generation(2))
    assert wire.read_response().body == b"generation 2"
    settled(server, 2)


@pytest.mark.parametrize("flags", [[], ["--preload"]], ids=["plain", "preload"])
def test_ttin_and_ttou_under_load_lose_no_request(serve, flags):
    server = ready(serve, 1, *flags)
    with Load(server, 4) as load:
        for number, wanted in [(signal.SIGTTIN, 2), (signal.SIGTTIN, 3), (signal.SIGTTOU, 2), (signal.SIGTTOU, 1)]:
            server.kill(number)
            settled(server, wanted)
            before = load.answered
            until(lambda: load.answered > before + 20, what="answers")
    assert load.failures == []


@pytest.mark.parametrize("flags", [[], ["--preload"]], ids=["plain", "preload"])
def test_when_workers_are_killed_all_the_time_only_requests_inside_them_fail(serve, flags):
    server = ready(serve, 4, "--workers", 4, *flags)
    clients, seconds, kills = 6, 5, 0
    with Load(server, clients) as load:
        until(lambda: load.answered > 50, what="some load")
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for pid in random.sample(server.workers(), 1) if server.workers() else []:
                try:
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
                except ProcessLookupError:
                    pass
            time.sleep(0.05)
        before = load.answered
        until(lambda: load.answered > before + 100, 30, "answers when the storm is over")
    settled(server, 4)
    assert kills > 20
    assert load.answered > 10 * len(load.failures)
    # A killed worker loses its running requests, and each client has one request at a time.
    assert len(load.failures) <= kills * clients
    assert [failure for failure in load.failures if "Refused" in failure or "timed out" in failure] == []
    mark = len(load.failures)
    with Load(server, 2) as after:
        until(lambda: after.answered > 50, 30, "answers")
    assert after.failures == [] and len(load.failures) == mark


RELEASE = """
    import os, sys
    def application(environ, start_response):
        start_response("200 OK", [])
        inner = [path for path in sys.path if "release-" in path]
        return [b"release %d in %s, %s" % (NUMBER, os.getcwd().encode(), " ".join(inner).encode())]
    NUMBER = {number}
"""


def release(folder, number):
    """A release with this number."""
    made = folder / f"release-{number}"
    made.mkdir()
    (made / "app.py").write_text(textwrap.dedent(RELEASE.replace("{number}", str(number))))
    return made


def turn(link, target):
    """Points a symbolic link elsewhere, in one step."""
    os.symlink(target, str(link) + ".new")
    os.replace(str(link) + ".new", link)


@pytest.mark.parametrize("flags", [[], ["--preload"], ["--chdir", "."]], ids=["plain", "preload", "chdir"])
def test_hup_follows_a_working_directory_that_a_deploy_has_turned(serve, tmp_path, flags):
    """The folder that the shell named, as Gunicorn's; the log says which one is served."""
    current = tmp_path / "current"
    first, second = release(tmp_path, 1), release(tmp_path, 2)
    os.symlink(first, current)
    server = serve("app:application", *flags, directory=current, environment={"PWD": str(current)})
    server.log.wait(rf"Working directory: {first} \({current}\)")
    assert server.get().text == f"release 1 in {first}, {first}"
    turn(current, second)
    server.kill(signal.SIGHUP)
    server.log.wait(rf"Working directory: {second} \({current}\)")
    server.log.wait("generation 2 serves")
    assert server.get().text == f"release 2 in {second}, {second}"


def test_an_abandoned_reload_leaves_later_workers_in_the_old_folder(serve, tmp_path):
    current = tmp_path / "current"
    first, second = release(tmp_path, 1), release(tmp_path, 2)
    (second / "app.py").write_text("raise RuntimeError('broken')\n")
    os.symlink(first, current)
    server = serve("app:application", directory=current, environment={"PWD": str(current)})
    turn(current, second)
    server.kill(signal.SIGHUP)
    server.log.wait("Reload abandoned")
    (worker,) = until(lambda: server.workers() if len(server.workers()) == 1 else None, what="the old worker alone")
    server.kill(signal.SIGKILL, worker)
    until(lambda: worker not in server.workers() and server.workers(), what="its successor")
    assert server.get().text == f"release 1 in {first}, {first}"
