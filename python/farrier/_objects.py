"""The hooks' objects ``server``, ``worker`` and ``req``, with the attributes that hooks for Gunicorn read.

The extension module makes ``resp``. Each attribute is computed when it is read; hooks may add their own.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import sys
import time
from typing import Any, Protocol

from farrier._logging import log_of

#: The value of ``worker.pid`` until the worker is forked.
BOOTING = "[booting]"

#: The most bytes that can be passed from ``pre_fork`` to a worker that a template forks.
RECORD_BYTES_MAX = 16384


class Handle(Protocol):
    """The worker's process, implemented by the extension module."""

    def requests(self) -> int:
        """How many requests were begun."""

    def leaving(self) -> bool:
        """Whether it got a stop signal."""

    def retire(self) -> None:
        """Ask the arbiter for a successor; TERM follows when that serves."""

    def beat(self) -> None:
        """Say that the worker is alive."""


class Listener:
    """A listening socket: a :class:`socket.socket`, with its address as in the log."""

    def __init__(self, descriptor: int, display: str) -> None:
        self._descriptor = descriptor
        self._display = display

    @property
    def sock(self) -> socket.socket:
        """A socket with a copy of the descriptor, so that closing it does not close the listener.

        It is not kept here: a forgotten copy would keep the address open after the listener is closed.
        """
        return _Copy(fileno=os.dup(self._descriptor))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.sock, name)

    def fileno(self) -> int:
        """The descriptor that the server listens on."""
        return self._descriptor

    def __str__(self) -> str:
        return self._display

    def __repr__(self) -> str:
        return f"<listener {self._display}>"


class _Copy(socket.socket):
    """Closes its descriptor when it is no longer used, without the warning of a socket that was forgotten."""

    def __del__(self) -> None:
        self.close()


class App:
    """The application, as ``server.app`` and ``worker.app``."""

    def __init__(self, cfg: Any, callable: Any = None) -> None:
        self.cfg = cfg
        self.callable = callable

    def wsgi(self) -> Any:
        """The WSGI callable, once it is loaded."""
        return self.callable


def app_of(cfg: Any) -> Any:
    """The program that embeds the server, or the replacement for Gunicorn's."""
    embedding = sys.modules.get("farrier._embedding")
    program = embedding.running() if embedding is not None else None
    return App(cfg) if program is None else program


class Server:
    """The arbiter."""

    WORKER_BOOT_ERROR = 3
    APP_LOAD_ERROR = 4

    def __init__(self, cfg: Any) -> None:
        self.cfg = cfg
        self.pid = os.getpid()
        self.app = app_of(cfg)
        self.num_workers = 0
        self.worker_age = 0
        self.reexec_pid = 0
        self.master_pid = 0
        self.master_name = "Master"
        #: Living workers by their pid.
        self.WORKERS: dict[int, Worker] = {}
        # Read by workers that a template forks; written only by this process.
        self._ledger = os.memfd_create("farrier-workers", os.MFD_CLOEXEC)
        #: The sockets that the server listens on.
        self.LISTENERS: list[Listener] = []

    @property
    def log(self) -> Any:
        """The error log."""
        return log_of(self.cfg)

    @property
    def address(self) -> Any:
        """The addresses to bind, as in the configuration."""
        return getattr(self.cfg, "address", None)

    @property
    def proc_name(self) -> Any:
        """The name in the process title."""
        return getattr(self.cfg, "proc_name", None)

    @property
    def timeout(self) -> Any:
        """Seconds without a heartbeat after which a worker counts as stuck."""
        return getattr(self.cfg, "timeout", None)

    def reload(self) -> None:
        """Replace all workers, as HUP does."""
        os.kill(self.pid, signal.SIGHUP)

    def stop(self, graceful: bool = True) -> None:
        """End the server, as TERM or QUIT does."""
        os.kill(self.pid, signal.SIGTERM if graceful else signal.SIGQUIT)

    def kill_worker(self, pid: int, sig: int) -> None:
        """Send a signal to a worker; ignored if it has ended already."""
        try:
            os.kill(pid, sig)
        except ProcessLookupError:
            self.WORKERS.pop(pid, None)

    def kill_workers(self, sig: int) -> None:
        """Send a signal to all workers."""
        for pid in list(self.WORKERS):
            self.kill_worker(pid, sig)

    # What the extension module calls.

    def _listens(self, listeners: list[tuple[int, str]]) -> None:
        self.LISTENERS = [Listener(descriptor, display) for descriptor, display in listeners]

    def _renewed(self, cfg: Any) -> None:
        self.cfg = cfg
        if isinstance(self.app, App):
            self.app.cfg = cfg

    def _prepared(self, cfg: Any) -> Worker:
        self.worker_age += 1
        return Worker(self.worker_age, self.pid, cfg, self.LISTENERS)

    def _entrust(self, worker: Worker, slot: int) -> None:
        """Store what ``pre_fork`` has set on a worker, for the worker that a template forks.

        :raises TypeError: some of it cannot be passed between processes.
        """
        carried, lost = {}, []
        for name, value in worker._marks().items():
            try:
                carried[name] = pickle.dumps(value)
            except Exception:
                lost.append(name)
        record = pickle.dumps((worker.age, carried))
        if len(record) > RECORD_BYTES_MAX - 8:
            lost.extend(carried)
            record = pickle.dumps((worker.age, {}))
        os.pwrite(self._ledger, len(record).to_bytes(8, "little") + record, slot * RECORD_BYTES_MAX)
        if lost:
            raise TypeError(
                f"pre_fork has set {', '.join(lost)} on the worker, which cannot be carried into a worker of a preloaded "
                f"application: set it in post_fork, or to something that pickles into few bytes."
            )

    def _entrusted(self, cfg: Any, slot: int) -> Worker:
        """In a worker that a template has forked: the worker object as changed by ``pre_fork``."""
        record = os.pread(self._ledger, RECORD_BYTES_MAX, slot * RECORD_BYTES_MAX)
        age, carried = pickle.loads(record[8 : 8 + int.from_bytes(record[:8], "little")])
        self.worker_age = age
        worker = Worker(age, self.pid, cfg, self.LISTENERS)
        for name, value in carried.items():
            setattr(worker, name, pickle.loads(value))
        return worker

    def _forked(self, worker: Worker, pid: int) -> None:
        worker.pid = pid
        self.WORKERS[pid] = worker

    def _template(self, pid: int) -> Template:
        """The template of this pid, for ``child_exit``."""
        return Template(pid, self)

    def _reaped(self, pid: int) -> None:
        self.WORKERS.pop(pid, None)


class Worker:
    """A worker, in its own process and in the arbiter."""

    #: Whether it is a template (:class:`Template`), which only ``child_exit`` gets.
    is_template = False

    def __init__(self, age: int, ppid: int, cfg: Any, sockets: list[Listener]) -> None:
        self.age = age
        self.ppid = ppid
        self.pid: int | str = BOOTING
        self.cfg = cfg
        self.app = app_of(cfg)
        self.sockets = sockets
        self.booted = False
        self.aborted = False
        self.timeout = getattr(cfg, "timeout", None)
        self.max_requests = getattr(cfg, "max_requests", 0) or float("inf")
        self.tmp = Heartbeat(self)
        self._handle: Handle | None = None
        self._retired = False
        self._own = frozenset(self.__dict__) | {"_own"}

    @property
    def log(self) -> Any:
        """The error log."""
        return log_of(self.cfg)

    @property
    def wsgi(self) -> Any:
        """The WSGI callable, once it is loaded."""
        return self.app.callable

    @property
    def nr(self) -> int:
        """How many requests the worker has begun."""
        return self._handle.requests() if self._handle is not None else 0

    @property
    def alive(self) -> bool:
        """False once the worker must leave. Setting it to False replaces the worker when its successor serves."""
        return not self._retired and (self._handle is None or not self._handle.leaving())

    @alive.setter
    def alive(self, alive: bool) -> None:
        if not alive and not self._retired:
            self._retired = True
            if self._handle is not None:
                self._handle.retire()

    def notify(self) -> None:
        """Send a heartbeat. The server does this by itself."""
        if self._handle is not None:
            self._handle.beat()

    def __str__(self) -> str:
        return f"<Worker {self.pid}>"

    # What the extension module calls.

    def _marks(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in self._own}

    def _entered(self, handle: Handle) -> None:
        self.pid = os.getpid()
        self._handle = handle

    def _loaded(self, application: Any) -> None:
        self.app.callable = application

    def _serving(self) -> None:
        self.booted = True
        # The arbiter does not replace a worker that has not served yet.
        if self._retired and self._handle is not None:
            self._handle.retire()


class Template(Worker):
    """A process that has imported a preloaded application and has forked workers: the ``worker`` of ``child_exit`` when it
    has ended. What ``pre_fork`` sets on a worker is ``None`` here."""

    is_template = True

    def __init__(self, pid: int, server: Server) -> None:
        super().__init__(0, server.pid, server.cfg, server.LISTENERS)
        self.pid = pid

    def __getattr__(self, name: str) -> None:
        # Called only for attributes that it does not have.
        if name.startswith("_"):
            raise AttributeError(name)


class Heartbeat:
    """Replaces the temporary file of Gunicorn's workers: a worker's heartbeat."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._last = time.monotonic()

    def notify(self) -> None:
        """Say that the worker is alive."""
        self._last = time.monotonic()
        self._worker.notify()

    def last_update(self) -> float:
        """When this object last sent a heartbeat, in seconds of the monotonic clock."""
        return self._last

    def close(self) -> None:
        """Nothing is open."""


class Request:
    """A request. Attributes are computed from the client's request when they are read; attributes that ``pre_request``
    sets are kept."""

    proxy_protocol_info = None
    fragment = ""

    def __init__(self, facts: Any) -> None:
        self._facts = facts

    def __getattr__(self, name: str) -> Any:
        # Called only for attributes that the instance does not have yet.
        if name == "remote_addr":
            value = self._facts.peer_addr
        elif name == "trailers":
            value = []
        elif name.startswith("_"):
            raise AttributeError(name)
        else:
            value = getattr(self._facts, name)
        self.__dict__[name] = value
        return value

    def apply_to(self, environ: dict[str, Any]) -> None:
        """Copy the changes of ``pre_request`` into the environ."""
        mine = self.__dict__
        if len(mine) == 1:
            return
        for name, key in _ENVIRON_KEYS:
            if name in mine and mine[name] != getattr(self._facts, name):
                environ[key] = mine[name]
        if "path" in mine and mine["path"] != self._facts.path:
            from urllib.parse import unquote_to_bytes

            environ["PATH_INFO"] = unquote_to_bytes(mine["path"]).decode("latin-1")
        if "remote_addr" in mine and mine["remote_addr"] != self._facts.peer_addr:
            environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = mine["remote_addr"][0], str(mine["remote_addr"][1])
        if "headers" in mine:
            self._apply_headers(environ, self._facts.headers, list(mine["headers"]))

    @staticmethod
    def _apply_headers(environ: dict[str, Any], old: list[tuple[str, str]], new: list[tuple[str, str]]) -> None:
        if old == new:
            return
        kept = set(old) & set(new)
        changed = {name for name, _ in set(old) ^ set(new)}
        changed.update(name for name, value in kept if old.count((name, value)) != new.count((name, value)))
        for name in changed:
            key = name.upper().replace("-", "_")
            if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                key = "HTTP_" + key
            values = [value for other, value in new if other == name]
            if values:
                environ[key] = ("; " if key == "HTTP_COOKIE" else ",").join(values)
            else:
                environ.pop(key, None)


#: Attributes of a request, and the environ keys that they set if a hook changes them.
_ENVIRON_KEYS = (
    ("method", "REQUEST_METHOD"),
    ("uri", "RAW_URI"),
    ("query", "QUERY_STRING"),
    ("scheme", "wsgi.url_scheme"),
)
