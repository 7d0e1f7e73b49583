"""A server behind the reverse proxy, as a process of its own: it tells its name and notes what it has been asked.

Files in its folder change it: `sick` makes its health check fail, `slow` holds requests for as long as it is there.
"""

import os
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from web_server import free_port
from wire import until


class Upstream:
    """A started process. It may be killed, and started again at the same port."""

    def __init__(self, folder, name, port=0):
        self.folder, self.name = str(folder), name
        self.port = port or free_port()
        self.process = None
        self.start()

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.port

    def start(self):
        arguments = [sys.executable, os.path.abspath(__file__), str(self.port), self.folder, self.name]
        self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL)
        until(self._listens, 30, "an upstream to listen")

    def _listens(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def kill(self):
        """Kills it without a warning."""
        self.process.kill()
        self.process.wait()

    def set(self, name, is_there=True):
        """Makes or removes one of the files that change it."""
        path = os.path.join(self.folder, name)
        if is_there:
            with open(path, "w"):
                pass
        elif os.path.exists(path):
            os.remove(path)

    def seen(self, of=None):
        """What it was asked, without checks: method, path and cookies of each request."""
        path = os.path.join(self.folder, "seen-" + self.name)
        if not os.path.exists(path):
            return []
        with open(path) as file:
            lines = [line.rstrip("\n").split(" ", 2) for line in file]
        return [line for line in lines if of is None or line[0] == of]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    folder = name = ""

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        is_there = lambda name: os.path.exists(os.path.join(self.folder, name))  # noqa: E731
        if self.path == "/healthz":
            return self._answer(503 if is_there("sick") else 200)
        # One write of less than a block, so that lines of several threads do not mix.
        line = "%s %s %s\n" % (self.command, self.path, self.headers.get("Cookie", ""))
        descriptor = os.open(os.path.join(self.folder, "seen-" + self.name), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, line.encode())
        os.close(descriptor)
        while is_there("slow"):
            time.sleep(0.01)
        self._answer(200)

    do_POST = do_GET

    def _answer(self, status):
        content = self.name.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if self.path == "/login":
            self.send_header("Set-Cookie", "sessionid=%s-%d; Path=/" % (self.name, time.monotonic_ns()))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_):
        pass


if __name__ == "__main__":
    Handler.folder, Handler.name = sys.argv[2:4]
    Listener(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
