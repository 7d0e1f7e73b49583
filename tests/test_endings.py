"""The end of a worker: the program around the server unwinds there too, exit functions run, and threads hold up nothing."""

import glob
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from process import COMMAND

#: A tool that runs the server and sees what unwinds, as `coverage run` does.
AROUND = """
    import os, runpy, sys
    try:
        runpy.run_module("farrier", run_name="__main__", alter_sys=True)
    finally:
        os.write(2, b"unwound in %d\\n" % os.getpid())
"""

APPLICATION = """
    import atexit, logging, multiprocessing.util, os, threading, time

    class Counted:
        pass

    COUNTED = Counted()
    note = lambda what: os.write(2, b"%s in %d\\n" % (what, os.getpid()))
    atexit.register(note, b"atexit")
    atexit.register(logging.getLogger("gunicorn.error").info, "logged at exit")
    multiprocessing.util.Finalize(COUNTED, note, (b"finalized",), exitpriority=1)

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/thread":
            threading.Thread(target=time.sleep, args=(1000,)).start()
        start_response("200 OK", [])
        return [b"x"]
"""


@pytest.mark.parametrize("flags", [[], ["--preload"]], ids=["plain", "preload"])
def test_what_is_around_the_server_unwinds_in_the_workers_and_exit_functions_follow(serve, tmp_path, flags):
    (tmp_path / "around.py").write_text(textwrap.dedent(AROUND))
    flags = [*flags, "--workers", 2, "--log-level", "debug"]
    server = serve(APPLICATION, *flags, directory=tmp_path, command=[sys.executable, "around.py"])
    server.log.wait("from fork to ready", count=2)
    assert server.get("/thread").status == 200
    loaded = {*server.workers(), *server.templates()}
    server.kill(signal.SIGTERM)
    assert server.wait_exit() == 0
    lines = server.log.lines
    for pid in loaded:
        unwound = lines.index(f"unwound in {pid}")
        assert unwound < lines.index(f"atexit in {pid}")
        # multiprocessing runs its finalizers in the process that has made them: the template, or a worker without one.
        if not server.templates() or pid in server.templates():
            assert f"finalized in {pid}" in lines
    assert len(server.log.find("logged at exit")) == len(loaded)
    assert lines.count(f"unwound in {server.pid}") == 1


def test_the_exit_code_of_a_worker_is_kept(serve, tmp_path):
    """A tool that swallows SystemExit does not turn a worker that could not boot into one that has ended well."""
    source = "import runpy\ntry:\n    runpy.run_module('farrier', run_name='__main__', alter_sys=True)\nexcept SystemExit:\n    pass\n"
    (tmp_path / "around.py").write_text(source)
    server = serve("missing:application", directory=tmp_path, command=[sys.executable, "around.py"], listening=False)
    server.log.wait("Reason: App failed to load")
    server.wait_exit()


def test_coverage_measures_the_application(serve, tmp_path):
    pytest.importorskip("coverage")
    (tmp_path / ".coveragerc").write_text("[run]\nparallel = true\nsource = .\n")
    source = """
        def application(environ, start_response):
            body = b"measured"
            start_response("200 OK", [("Content-Length", str(len(body)))])
            return [body]
    """
    command = [sys.executable, "-m", "coverage", "run", *COMMAND]
    server = serve(source, "--workers", 2, "--log-level", "debug", directory=tmp_path, command=command)
    server.log.wait("from fork to ready", count=2)
    assert server.get().text == "measured"
    server.kill(signal.SIGTERM)
    assert server.wait_exit() == 0
    assert len(glob.glob(os.path.join(tmp_path, ".coverage.*"))) == 3
    for arguments in (["combine", "-q"], ["report", "--include=app.py", "--fail-under=100"]):
        done = subprocess.run(
            [sys.executable, "-m", "coverage", *arguments], cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
