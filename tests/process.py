"""One server under test: its process, its log, its address, and its end."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sysconfig
import textwrap
import threading
import time

from wire import Wire, until

# Another server can be tested, to check the suite itself, e.g. FARRIER_TEST_COMMAND="gunicorn -k gthread".
COMMAND = shlex.split(os.environ.get("FARRIER_TEST_COMMAND", "")) or [
    os.path.join(sysconfig.get_path("scripts"), "farrier")
]

EXAMPLES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "examples")

LISTENER = re.compile(r"(?:https?|uwsgi|fastcgi|auto)://(?:\[([^\]]+)\]|([0-9.]+)):(\d+)|(?:\w+\+)?unix:(\S+)")


def run_alone(folder, *arguments, command=None, **variables):
    """Runs the command to its end in a folder. Of the settings in the environment it sees only `variables`."""
    environment = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("FARRIER_", "GUNICORN_")) and key not in ("PORT", "WEB_CONCURRENCY")
    }
    # Two configuration files of one second and one length would share their bytecode.
    environment.update(variables, PYTHONDONTWRITEBYTECODE="1")
    return subprocess.run(
        [*(command or COMMAND), *arguments],
        cwd=folder,
        env=environment,
        timeout=30,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def number_in(path):
    """The number in a pid file; 0 if there is none."""
    try:
        with open(path) as file:
            return int(file.read() or "0")
    except FileNotFoundError:
        return 0


def title_of(pid):
    """What `ps` shows for a process; nothing if it has gone."""
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            return file.read().rstrip(b"\0").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def is_alive(pid):
    """Whether there is such a process and it is no zombie."""
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] != b"Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children(pid):
    """The living children of a process, except the template that workers are forked from."""
    with open("/proc/%d/task/%d/children" % (pid, pid)) as file:
        living = [int(child) for child in file.read().split() if is_alive(int(child))]
    return [child for child in living if not title_of(child).startswith("farrier: template")]


@contextlib.contextmanager
def paused(*pids):
    """Meanwhile these processes stand still. All their threads do so before the context begins.

    A signal is sent in a moment, but a process stops only when its threads have been scheduled: until then it serves on.
    """
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        until(lambda: all(map(_stands_still, pids)), 15, "processes to stand still")
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _stands_still(pid):
    states = set()
    for thread in os.listdir("/proc/%d/task" % pid):
        try:
            with open("/proc/%d/task/%s/stat" % (pid, thread), "rb") as stat:
                states.add(stat.read().rpartition(b")")[2].split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return states == {b"T"}


class Log:
    """Lines of a stream, collected by a thread. Every wait has a deadline."""

    def __init__(self, stream):
        self.lines = []
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._collect, args=(stream,), daemon=True)
        self.thread.start()

    def _collect(self, stream):
        for line in stream:
            with self.changed:
                self.lines.append(line.decode("utf-8", "backslashreplace").rstrip("\n"))
                self.changed.notify_all()
        stream.close()
        with self.changed:
            self.lines.append("<end of the log>")
            self.changed.notify_all()

    @property
    def text(self):
        """All of it so far."""
        with self.changed:
            return "\n".join(self.lines)

    def mark(self):
        """The present end, for `since`."""
        with self.changed:
            return len(self.lines)

    def find(self, pattern, since=0):
        """Matches of the pattern in single lines."""
        with self.changed:
            return [match for match in (re.search(pattern, line) for line in self.lines[since:]) if match]

    def wait(self, pattern, count=1, since=0, timeout=15):
        """Waits until `count` lines match and returns the last of them."""
        deadline = time.monotonic() + timeout
        with self.changed:
            while True:
                found = [m for m in (re.search(pattern, line) for line in self.lines[since:]) if m]
                if len(found) >= count:
                    return found[count - 1]
                rest = deadline - time.monotonic()
                if rest <= 0 or (self.lines and self.lines[-1] == "<end of the log>"):
                    raise AssertionError(
                        "the log has no %r (%d of %d):\n%s" % (pattern, len(found), count, "\n".join(self.lines[-60:]))
                    )
                self.changed.wait(rest)


class Server:
    """A started server. `stop()` demands a clean end; the fixtures call it for every test."""

    def __init__(
        self,
        directory,
        application,
        flags=(),
        bind=("127.0.0.1:0",),
        environment=None,
        preexec=None,
        settings=None,
        command=None,
        stdin=subprocess.DEVNULL,
    ):
        self.directory = str(directory)
        self.wires = []
        if "\n" in application:
            self.write("app.py", application)
            application = "app:application"
        if settings is not None:
            self.write("farrier.toml", settings)
        arguments = list(command or COMMAND)
        for address in bind:
            arguments += ["--bind", address]
        arguments += [str(flag) for flag in flags]
        if application:
            arguments.append(application)
        variables = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("FARRIER_", "GUNICORN_", "PYTEST_")) and key not in ("PORT", "WEB_CONCURRENCY")
        }
        variables.update(PYTHONDONTWRITEBYTECODE="1", PYTHONUNBUFFERED="1")
        variables.update(environment or {})
        # A separate session: processes in it after the end were left behind by the server.
        self.process = subprocess.Popen(
            arguments,
            cwd=self.directory,
            env=variables,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=preexec,
        )
        self.pid = self.process.pid
        self.log = Log(self.process.stderr)
        self.output = Log(self.process.stdout)
        self.addresses = []

    def write(self, name, source):
        """Writes a file into the server's directory, as one step, so that a reload never sees half of it."""
        path = os.path.join(self.directory, name)
        with open(path + ".new", "w", encoding="utf-8") as out:
            out.write(textwrap.dedent(source))
        os.replace(path + ".new", path)
        return path

    def wait_listening(self):
        """Reads the addresses from the log, because the port is 0."""
        listeners = self.log.wait(r"Listening at: (\S+) \(\d+\)").group(1)
        for listener in listeners.split(","):
            six, four, port, path = LISTENER.fullmatch(listener).groups()
            if path:
                path = "\0" + path[1:] if path.startswith("@") else path
                self.addresses.append(
                    path if os.path.isabs(path) or path.startswith("\0") else os.path.join(self.directory, path)
                )
            else:
                self.addresses.append((six or four, int(port)))
        return self

    @property
    def address(self):
        """The first listener's."""
        return self.addresses[0]

    def connect(self, **options):
        """A new connection, closed with the server if not before."""
        wire = Wire(options.pop("address", self.address), **options)
        self.wires.append(wire)
        return wire

    def exchange(self, raw, head_only=False):
        """One request on a new connection."""
        with Wire(self.address) as wire:
            return wire.request(raw, head_only)

    def get(self, target="/", fields=()):
        """GET on a new connection."""
        from wire import message

        return self.exchange(message(target=target, fields=fields))

    def kill(self, number, pid=None):
        """Sends a signal to the arbiter or to another process of the server."""
        os.kill(pid or self.pid, number)

    def processes(self):
        """Living processes of the server's session: (pid, parent, state)."""
        found = []
        for name in os.listdir("/proc"):
            if name.isdigit():
                try:
                    with open("/proc/%s/stat" % name, "rb") as stat:
                        rest = stat.read().rpartition(b")")[2].split()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if int(rest[3]) == self.pid:
                    found.append((int(name), int(rest[1]), rest[0].decode()))
        return found

    def workers(self):
        """Pids of the arbiter's living children, without its templates."""
        children = [pid for pid, parent, state in self.processes() if parent == self.pid and state != "Z"]
        templates = self.templates()
        return [pid for pid in children if pid not in templates]

    def templates(self):
        """Pids of all templates so far, living or not."""
        return [int(match.group(1)) for match in self.log.find(r"Preloading the application \(pid: (\d+)\)")]

    def wait_booted(self, count):
        """Waits until the log has named this many different workers."""
        until(
            lambda: len({m.group(1) for m in self.log.find(r"Booting worker with pid: (\d+)")}) >= count,
            30,
            "%d workers to be named in the log:\n%s" % (count, self.log.text[-3000:]),
        )

    def wait_exit(self, timeout=40):
        """Waits for the end and returns the exit status."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError("the server still runs after %s s; its log:\n%s" % (timeout, self.log.text))
        # The last lines may still be in the pipes.
        for log in (self.log, self.output):
            log.thread.join(1)
        return status

    def stop(self):
        """TERM, then: exit status 0, no panic in the log, no process left behind."""
        for wire in self.wires:
            wire.close()
        try:
            if self.process.poll() is None:
                self.kill(signal.SIGTERM)
                status = self.wait_exit()
                assert status == 0, "exit status %s after TERM; the log:\n%s" % (status, self.log.text)
            until(lambda: not self._left_behind(), 10, "the server's processes to leave")
        finally:
            self.end()
        assert "panicked" not in self.log.text, self.log.text

    def _left_behind(self):
        return [entry for entry in self.processes() if entry[2] != "Z" and entry[0] != self.pid]

    def end(self):
        """Ends what is left, by pid, whatever state it is in."""
        for pid, _, state in self.processes():
            if state != "Z":
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
        self.process.wait()
        self.log.thread.join(5)
        self.output.thread.join(5)
