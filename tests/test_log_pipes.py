"""Log pipes that nobody reads: the arbiter goes on, and says how many lines were dropped once there is room."""

import fcntl
import os
import re
import signal
import socket
import textwrap

import pytest

from process import Server, is_alive
from wire import until

HELLO = """
    import os

    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"%d" % os.getpid()]
"""

HOOKS = """
    import sys

    def pre_fork(server, worker):
        print("x" * 2000)
        print("y" * 2000, file=sys.stderr)
        server.log.info("the hook has run")
"""

LONG_LINES = """
    def pre_fork(server, worker):
        server.log.info("z" * 1000)
"""

LOGGERS = """
    logconfig_dict = {"loggers": {"gunicorn.error": {"level": "DEBUG", "handlers": ["error_console"]}}}
"""


class Pipe:
    """A pipe that is full from the beginning."""

    def __init__(self):
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.write_end, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(self.write_end, b"-" * 4096)
        # Flags belong to both processes: the server gets a pipe that blocks.
        os.set_blocking(self.write_end, True)
        assert fcntl.fcntl(self.write_end, fcntl.F_GETFL) & os.O_NONBLOCK == 0

    def read(self):
        """What has been written so far. The server writes more once there is room."""
        os.set_blocking(self.read_end, False)
        found = b""
        while True:
            try:
                piece = os.read(self.read_end, 1 << 20)
            except BlockingIOError:
                return found.decode()
            if not piece:
                return found.decode()
            found += piece

    def close(self):
        os.close(self.read_end)
        os.close(self.write_end)


def listens(path):
    """Whether a server listens at a unix socket. Its log cannot be read for that."""
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(path) == 0


@pytest.fixture
def unread(tmp_path):
    """Starts a server whose standard streams are full pipes: `unread(source, flags…)` is the server and the pipe."""
    servers, pipes = [], []

    def start(source, *flags, config=None):
        pipe = Pipe()
        pipes.append(pipe)

        def redirect():
            os.dup2(pipe.write_end, 1)
            os.dup2(pipe.write_end, 2)

        if config:
            (tmp_path / "gunicorn.conf.py").write_text(textwrap.dedent(config))
            flags = (*flags, "--config", "gunicorn.conf.py")
        server = Server(tmp_path, source, flags, bind=["unix:%s/socket" % tmp_path], preexec=redirect)
        servers.append(server)
        server.addresses = [str(tmp_path / "socket")]
        until(lambda: listens(server.address), 30, "the server to listen")
        return server, pipe

    yield start
    for server in servers:
        server.end()
    for pipe in pipes:
        pipe.close()


def replaced(server):
    """Kills the worker, and returns the pid of the one that answers in its place."""
    before = int(server.get().text)
    server.kill(signal.SIGKILL, before)
    until(lambda: not is_alive(before), 15, "the worker to be gone")
    after = int(server.get().text)
    assert after != before
    return after


def replaced_and_ended(server):
    """A worker that is killed is replaced, and TERM ends the server in time."""
    replaced(server)
    server.kill(signal.SIGTERM)
    assert server.wait_exit(15) == 0
    until(lambda: not server._left_behind(), 10, "the workers to leave")


@pytest.mark.parametrize(
    "config", ["", HOOKS, LOGGERS], ids=["its own lines", "what hooks print", "lines of Python's loggers"]
)
def test_a_full_log_pipe_does_not_stop_the_arbiter(unread, config):
    # It wrote to the pipe and waited: dead workers were not replaced, and TERM did nothing.
    server, _ = unread(HELLO, config=config)
    replaced_and_ended(server)


def test_workers_leave_with_a_full_pipe_when_the_arbiter_was_killed(unread):
    server, _ = unread(HELLO)
    server.get()
    server.kill(signal.SIGKILL)
    server.process.wait()
    until(lambda: not server._left_behind(), 20, "the workers to leave")


def test_a_template_goes_on_with_a_full_pipe(unread):
    server, _ = unread(HELLO, "--preload")
    replaced_and_ended(server)


def test_a_log_file_that_is_a_pipe_without_a_reader_does_not_stop_the_start(serve, tmp_path):
    # Opening it waited for a reader (fifo(7)).
    os.mkfifo(tmp_path / "log")
    server = serve(HELLO, "--error-logfile", tmp_path / "log", bind=["unix:%s/socket" % tmp_path], listening=False)
    server.addresses = [str(tmp_path / "socket")]
    until(lambda: listens(server.address), 30, "the server to listen")
    replaced_and_ended(server)


def test_dropped_lines_are_counted_and_told_when_there_is_room(unread):
    server, pipe = unread(HELLO, "--log-buffer-bytes", 4096, config=LONG_LINES)
    for _ in range(5):
        replaced(server)
    told, text = r"\([1-9]\d* log lines dropped: the target is too slow\)\n", []
    until(lambda: text.append(pipe.read()) or re.search(told, "".join(text)), 15, "the number of dropped lines")
    # What comes later is complete again.
    server.kill(signal.SIGTERM)
    assert server.wait_exit(15) == 0
    assert "Shutting down: Master" in pipe.read()
