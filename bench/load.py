"""The load: wrk processes that ask, a handful of connections that check, thousands that only wait."""

import http.client
import json
import math
import os
import resource
import signal
import socket
import ssl
import subprocess
import time
from pathlib import Path

SCRIPT = Path(__file__).with_name("load.lua")


class Wrk:
    """One running wrk with one thread. Several run side by side on the load's core."""

    def __init__(self, port, stream, seconds, core, scheme="http"):
        self.seconds = seconds
        self.started = time.monotonic()
        # wrk counts whole seconds; for less it is interrupted, and then reports the time it really ran.
        self.process = subprocess.Popen(
            [
                "taskset",
                "-c",
                str(core),
                "wrk",
                "-t1",
                f"-c{stream.connections}",
                f"-d{math.ceil(seconds)}s",
                "-s",
                str(SCRIPT),
                f"{scheme}://127.0.0.1:{port}{stream.path}",
                "--",
                str(stream.post_bytes),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def result(self):
        """Waits for the end and returns requests, seconds, p50_us, p99_us, max_us, errors."""
        if self.seconds != math.ceil(self.seconds):
            time.sleep(max(0.0, self.started + self.seconds - time.monotonic()))
            self.process.send_signal(signal.SIGINT)
        try:
            output, complaint = self.process.communicate(timeout=self.seconds + 30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise LoadError("wrk did not end") from None
        line = next((line for line in output.splitlines() if line.startswith("{")), None)
        if line is None:
            raise LoadError(f"wrk reported nothing: {complaint.strip() or output.strip()}")
        result = json.loads(line)
        if result["errors"]["status"]:
            raise LoadError(f"{result['errors']['status']} of {result['requests']} answers were no success")
        return result


class LoadError(Exception):
    """The load could not be made, or an answer was wrong."""


def run(port, streams, seconds, core, scheme="http"):
    """Runs one wrk per stream at the same time and returns their results in the streams' order."""
    running = [Wrk(port, stream, seconds, core, scheme) for stream in streams]
    return [wrk.result() for wrk in running]


def check(port, stream, timeout_seconds=10, scheme="http"):
    """Asks once and compares status and body, so that no server is measured while it answers wrongly."""
    if scheme == "https":
        unverified = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=timeout_seconds, context=unverified)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_seconds)
    try:
        if stream.post_bytes:
            connection.request("POST", stream.path, b"x" * stream.post_bytes)
        else:
            connection.request("GET", stream.path)
        response = connection.getresponse()
        body = response.read()
    except (OSError, http.client.HTTPException) as error:
        raise LoadError(f"{stream.path}: {type(error).__name__}: {error}") from error
    finally:
        connection.close()
    if response.status != 200 or body != stream.expected:
        raise LoadError(f"{stream.path}: {response.status}, {body[:60]!r} instead of {stream.expected[:60]!r}")


class IdleConnections:
    """Keep-alive connections that have been answered once and then only wait."""

    def __init__(self, port, count):
        raise_descriptor_limit(count + 200)
        self.sockets = []
        try:
            for _ in range(count):
                self.sockets.append(_answered_once(port))
        except (OSError, LoadError) as error:
            opened = len(self.sockets)
            self.close()
            raise LoadError(f"connection {opened + 1} of {count}: {error}") from error

    def still_open(self):
        """How many connections the server has not closed meanwhile."""
        return sum(1 for waiting in self.sockets if _is_open(waiting))

    def close(self):
        for waiting in self.sockets:
            waiting.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


def raise_descriptor_limit(wanted):
    """Raises the soft limit of open files; servers started afterwards inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and wanted > hard:
        raise LoadError(f"{wanted} descriptors are wanted, {hard} allowed")
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _answered_once(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=5)
    try:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        answer = connection.recv(4096)
        # The head and the 13 bytes of the body may come in two segments.
        while b"Hello, World!" not in answer:
            more = connection.recv(4096)
            if not more:
                raise LoadError(f"closed after {answer[:60]!r}")
            answer += more
    except BaseException:
        connection.close()
        raise
    return connection


def _is_open(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pin_self(core):
    """Keeps this process off the server's core."""
    os.sched_setaffinity(0, {core})
