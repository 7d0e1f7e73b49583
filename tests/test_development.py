"""Development: a change of a source file starts new workers; an error in it is shown, and the old code keeps
serving."""

import os
import pty
import re
import signal
import subprocess
import threading

import pytest

from load import Load
from process import COMMAND, LISTENER
from wire import Wire, message, until

APPLICATION = """
    import part

    def application(environ, start_response):
        body = b"version 1 " + part.WORD
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]
"""


def begin(serve, directory, *flags):
    (directory / "part.py").write_text("WORD = b'one'\n")
    server = serve(APPLICATION, "--reload", *flags, directory=directory)
    assert server.get().text == "version 1 one"
    return server


@pytest.mark.parametrize("flags", [[], ["--preload"], ["--workers", 3]], ids=["plain", "preload", "three workers"])
@pytest.mark.parametrize("engine", ["auto", "inotify", "poll"])
def test_a_change_brings_new_workers_without_a_lost_request(serve, tmp_path, engine, flags):
    server = begin(serve, tmp_path, "--reload-engine", engine, *flags)
    with Load(server, 2) as load:
        server.write("part.py", "WORD = b'two'\n")
        server.log.wait(r"Worker reloading: %s modified" % re.escape(str(tmp_path / "part.py")))
        until(lambda: load.bodies[b"version 1 two"], 30, "the new code to answer")
        server.log.wait("Reloaded: generation 2 serves", timeout=30)
        # The new workers watch as well.
        server.write("app.py", APPLICATION.replace("version 1", "version 2"))
        until(lambda: load.bodies[b"version 2 two"], 30, "the newest code to answer")
    assert load.failures == []


def test_an_error_is_shown_and_the_old_worker_serves_until_it_is_fixed(serve, tmp_path):
    server = begin(serve, tmp_path)
    with Load(server, 2) as load:
        server.write("part.py", "import other\nWORD = other.WORD\n")
        server.log.wait("No module named 'other'|ModuleNotFoundError")
        server.log.wait("Reload abandoned")
        # A file that did not exist when the old worker was loaded.
        server.write("other.py", "WORD = b'two\n")
        server.log.wait("SyntaxError")
        server.log.wait("Reload abandoned", count=2)
        before = load.answered
        until(lambda: load.answered > before + 20, what="answers of the old worker")
        server.write("other.py", "WORD = b'three'\n")
        until(lambda: load.bodies[b"version 1 three"], 30, "the mended code to answer")
    assert load.failures == [] and set(load.bodies) == {b"version 1 one", b"version 1 three"}


@pytest.mark.parametrize("pattern", ["settings.ini", "pages/*.html", "pages/**/*.html"])
def test_further_files_are_watched_by_path_or_pattern(serve, tmp_path, pattern):
    (tmp_path / "settings.ini").write_text("one")
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "start.html").write_text("one")
    server = begin(serve, tmp_path, "--reload-extra-file", pattern)
    name = "settings.ini" if pattern == "settings.ini" else "pages/start.html"
    server.write(name, "two, longer")
    server.log.wait(r"Worker reloading: %s modified" % re.escape(str(tmp_path / name)))
    server.log.wait("Reloaded: generation 2 serves")
    assert server.get().status == 200


def test_a_server_that_starts_with_an_error_shows_it_to_clients_until_it_is_fixed(serve, tmp_path):
    server = serve("def application(:\n\n", "--reload", directory=tmp_path)
    response = server.get()
    assert response.status == 500 and "SyntaxError" in response.text
    (tmp_path / "part.py").write_text("WORD = b'one'\n")
    server.write("app.py", APPLICATION)
    until(lambda: server.get().status == 200, 30, "the mended code to answer")


def test_without_reload_a_change_brings_nothing(serve, tmp_path):
    (tmp_path / "part.py").write_text("WORD = b'one'\n")
    server = serve(APPLICATION, directory=tmp_path)
    assert server.get().text == "version 1 one"
    server.write("part.py", "WORD = b'two'\n")
    # A watcher would check once a second.
    with Wire(server.address) as wire:
        wire.assert_silent(2.5)
    assert server.get().text == "version 1 one"
    assert not server.log.find("reloading|Hang up")


def _in_a_terminal(tmp_path, variables):
    """The server's error log in a terminal, for an application that raises."""
    (tmp_path / "app.py").write_text("def application(environ, start_response):\n    raise ValueError('broken-551')\n")
    master, slave = pty.openpty()
    environment = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM")}
    environment.update(variables, PYTHONDONTWRITEBYTECODE="1")
    process = subprocess.Popen(
        [*COMMAND, "--bind", "127.0.0.1:0", "app:application"],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    shown = bytearray()

    def collect():
        while True:
            try:
                shown.extend(os.read(master, 4096))
            except OSError:
                return

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    try:
        until(lambda: b"Listening at" in shown and b")" in shown.partition(b"Listening at")[2], 15, "the address")
        port = int(LISTENER.search(shown.decode()).group(3))
        with Wire(("127.0.0.1", port)) as wire:
            assert wire.request(message()).status == 500
        until(lambda: b"broken-551" in shown, 15, "the traceback")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        thread.join(10)
        os.close(master)
    return shown.decode()


def test_tracebacks_are_coloured_in_a_terminal(tmp_path):
    assert "\x1b[1;31mValueError: broken-551\x1b[0m" in _in_a_terminal(tmp_path, {"TERM": "xterm"})


@pytest.mark.parametrize("variables", [{"TERM": "xterm", "NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["NO_COLOR", "dumb"])
def test_tracebacks_are_plain_where_colours_are_not_wanted(tmp_path, variables):
    assert "\x1b" not in _in_a_terminal(tmp_path, variables)


def test_tracebacks_are_plain_outside_a_terminal(serve):
    server = serve("""
        def application(environ, start_response):
            raise ValueError("broken-552")
    """)
    assert server.get().status == 500
    server.log.wait("ValueError: broken-552")
    assert "\x1b" not in server.log.text
