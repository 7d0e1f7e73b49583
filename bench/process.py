"""One server process tree: started on its core, watched through /proc, stopped for certain."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class ServerError(Exception):
    """The server did not start, or died."""


class ServerProcess:
    """A running server. Use it as a context; at its end no process of the tree is left."""

    def __init__(self, argv, environ, directory, core):
        self.log = directory / "server.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                ["taskset", "-c", str(core), *argv],
                cwd=directory,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_listening(self, port, timeout_seconds=20):
        def listens():
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return True
            except OSError:
                return False

        self._wait_until(listens, "not listening", timeout_seconds)

    def wait_for_socket(self, path, timeout_seconds=20):
        """Waits until the unix socket is there."""
        self._wait_until(lambda: os.path.exists(path), "no socket", timeout_seconds)

    def _wait_until(self, is_ready, otherwise, timeout_seconds):
        deadline = time.monotonic() + timeout_seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise ServerError(f"exit {self.process.returncode}: {self.last_words()}")
            if is_ready():
                return
            time.sleep(0.02)
        raise ServerError(f"{otherwise} after {timeout_seconds} s: {self.last_words()}")

    def wait_for_processes(self, count, timeout_seconds=10):
        """Waits until the tree has at least `count` processes, so that no worker is missed."""
        deadline = time.monotonic() + timeout_seconds
        while len(self.pids()) < count and time.monotonic() < deadline:
            time.sleep(0.02)

    def pids(self):
        """The server's process and all its descendants."""
        children = {}
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (fields := _stat(int(entry))):
                children.setdefault(int(fields[1]), []).append(int(entry))
        tree = [self.process.pid]
        for pid in tree:
            tree += children.get(pid, [])
        return tree

    def cpu_seconds(self):
        """User and system time of the whole tree, the children that have ended included."""
        ticks = 0
        for pid in self.pids():
            if fields := _stat(pid):
                ticks += sum(int(field) for field in fields[11:15])
        return ticks / _TICKS_PER_SECOND

    def pss_bytes(self):
        """Proportional set size of the whole tree: shared pages count once, divided among their users."""
        total = 0
        for pid in self.pids():
            try:
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            total += sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
        return total

    def last_words(self):
        return self.log.read_text(errors="replace").strip()[-300:]

    def stop(self, timeout_seconds=3):
        tree = self.pids()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            pass
        # The session is the server's own, so a worker that outlived its parent is still found.
        for pid in tree:
            if _session(pid) == self.process.pid:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()


def _stat(pid):
    """The fields of /proc/PID/stat after the command's name: state, ppid, pgrp, session, …"""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def _session(pid):
    fields = _stat(pid)
    return int(fields[3]) if fields else None
