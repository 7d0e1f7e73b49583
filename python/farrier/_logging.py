"""Connect Python's loggers ``gunicorn.error`` and ``gunicorn.access`` with the logs that the extension module writes.

There are two ways, chosen when a configuration is read. *Plain*: the extension module formats and writes every line.
Lines that an application writes with the two loggers go to the same files. *Diverted*: the lines of the server go
through the loggers. This happens if the configuration asks for it (``logger_class``, ``logconfig`` and similar
settings), or if the application has changed a logger's handlers, level or filters.
"""

from __future__ import annotations

import importlib
import logging
import os
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from farrier import glogging

#: Names of the default class.
DEFAULT_CLASSES = ("gunicorn.glogging.Logger", "farrier.glogging.Logger", "simple", "gunicorn.glogging:Logger")

#: The same loggers under the server's own name.
ALIASES = {"farrier.error": "gunicorn.error", "farrier.access": "gunicorn.access"}

LEVELS = {10: "debug", 20: "info", 30: "warning", 40: "error", 50: "critical"}


class Outlet(Protocol):
    """The logs of this process in the extension module."""

    def put(self, is_access: bool, text: str) -> None:
        """Write text as it is."""

    def syslog(self, is_access: bool, level: int, text: str) -> None:
        """Send text to syslog."""

    def metric(self, name: str, value: str, kind: str) -> None:
        """Send a metric."""

    def divert(self, error: bool, access: bool, level: int) -> None:
        """Let the lines of these logs go through the loggers from now on."""


class Started(NamedTuple):
    """How the logs of a process are written."""

    #: The lines of the server go through Python's loggers.
    diverted: bool
    #: The level of the error log.
    level: int
    #: Access lines are written.
    wants_access: bool
    #: ``log.access``, if the class overrides it; then it must be called on the thread of the request.
    access: Any


class _Process:
    """The logging of this process."""

    outlet: Outlet | None = None
    log: Any | None = None
    plain = True
    #: The original state of the two loggers.
    states: tuple[Any, Any] | None = None
    #: Whether changes are detected.
    watching = False
    #: Whether the application has changed the logger of errors, and that of requests.
    changed = (False, False)


_process = _Process()


def start(cfg: Any, outlet: Outlet) -> Started:
    """Set up the loggers for a configuration. If that fails, they do not change.

    :raises RuntimeError: the logging configuration is invalid.
    """
    before = {name: getattr(_process, name) for name in ("outlet", "log", "plain", "states", "watching", "changed")}
    snapshot = _snapshot()
    _process.watching, _process.changed = False, (False, False)
    try:
        logger_class = class_of(cfg)
        _process.outlet = outlet
        _process.plain = logger_class.__module__.partition(".")[0] == "farrier" and not (
            cfg.logconfig or cfg.logconfig_dict or cfg.logconfig_json
        )
        for name in ("gunicorn.error", "gunicorn.access"):
            _fresh(name)
        _process.log = logger_class(cfg)
    except BaseException as error:
        for name, value in before.items():
            setattr(_process, name, value)
        _restore(snapshot)
        if isinstance(error, (RuntimeError, KeyboardInterrupt, SystemExit)):
            raise
        raise RuntimeError(f"logger_class = {cfg.logger_class!r} cannot be used: {error!r}") from error
    for alias, name in ALIASES.items():
        logging.getLogger(alias).parent = logging.getLogger(name)
    _process.states = _states()
    return _started()


def enter_worker(cfg: Any, outlet: Outlet) -> Started:
    """The same in a process that was forked from one that has started."""
    current = _process.log
    if current is None or getattr(current, "cfg", None) is not cfg:
        return start(cfg, outlet)
    _process.outlet = outlet
    return _started()


def application_loaded() -> None:
    """Check whether the application has changed the loggers, now and from now on."""
    error, access = logging.getLogger("gunicorn.error"), logging.getLogger("gunicorn.access")
    if error.disabled and access.disabled:
        # dictConfig disables every logger that it does not name; the server's own lines must not vanish by that.
        error.disabled = access.disabled = False
    for alias in ALIASES:
        logging.getLogger(alias).disabled = False
    if not _process.plain:
        return
    for log in (error, access, *map(logging.getLogger, ALIASES)):
        _watch(log)
    _process.watching = True
    if any(_process.changed):
        # In the template that this process was forked from.
        _divert()
    _look()


def deliver(items: Iterable[Any]) -> None:
    """Pass lines ``(level, text)`` and access entries (dicts of atoms) to the loggers."""
    log = _process.log
    if log is None:
        return
    for item in items:
        if isinstance(item, dict):
            _deliver_entry(log, item)
        elif item is not None:
            _deliver_line(log, *item)


def raised(text: str, error: BaseException) -> None:
    """Log an exception of the application's."""
    log = _process.log
    if log is None:
        return
    speaker = getattr(log, "uncounted", log)
    speaker.error(text, exc_info=(type(error), error, error.__traceback__))


def reopen() -> None:
    """Reopen the files of all handlers."""
    if _process.log is not None:
        _process.log.reopen_files()


def log_of(cfg: Any) -> Any:
    """The hooks' ``server.log`` and ``worker.log``."""
    if _process.log is None:
        _process.log = class_of(cfg)(cfg)
    return _process.log


def class_of(cfg: Any) -> Any:
    """The class that ``logger_class`` names."""
    named = getattr(cfg, "logger_class", None)
    if isinstance(named, type) and f"{named.__module__}.{named.__qualname__}" in DEFAULT_CLASSES:
        named = None
    if named is None or named in DEFAULT_CLASSES:
        if getattr(cfg, "statsd_host", None):
            from farrier.statsd import Statsd

            return Statsd
        return glogging.Logger
    if not isinstance(named, str):
        return named
    module, _, attribute = named.replace(":", ".").rpartition(".")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise RuntimeError(f"logger_class = {named!r} cannot be imported: {error}") from error


def offsets() -> list[tuple[int, int]]:
    """The offsets of the local time zone for the next twenty years: their start, and the seconds ahead of UTC."""
    day = 86_400
    at = int(time.time()) - 2 * day
    last = time.localtime(at).tm_gmtoff
    found = [(at, last)]
    for _ in range(20 * 52):
        following = at + 7 * day
        offset = time.localtime(following).tm_gmtoff
        if offset != last:
            low, high = at, following
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if time.localtime(middle).tm_gmtoff == last else (low, middle)
            found.append((high, offset))
            last = offset
        at = following
    return found


def backlog(descriptors: Iterable[int]) -> int | None:
    """How many connections the kernel has queued for these listening sockets; ``None`` if none of them is TCP."""
    queued = None
    for descriptor in descriptors:
        with socket.socket(fileno=os.dup(descriptor)) as listener:
            if listener.family in (socket.AF_INET, socket.AF_INET6):
                # For a listening socket tcpi_unacked is the length of its queue: the fifth number after eight bytes.
                state = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
                queued = (queued or 0) + int(struct.unpack_from("=I", state, 24)[0])
    return queued


# Functions for farrier.glogging.


def stream_of(logger: Any, log: logging.Logger) -> Any:
    """The stream into the extension module's log; ``None`` if a handler must open its own."""
    if _process.plain and log.name in ("gunicorn.error", "gunicorn.access"):
        return _Stream(log.name == "gunicorn.access")
    return None


def syslog_of(logger: Any, log: logging.Logger) -> logging.Handler | None:
    """The same for syslog."""
    if _process.plain and log.name in ("gunicorn.error", "gunicorn.access"):
        return _SyslogHandler(log.name == "gunicorn.access")
    return None


def metric(name: str, value: Any, kind: str) -> None:
    """Send a metric."""
    if _process.outlet is not None:
        _process.outlet.metric(name, str(value), kind)


class _Stream:
    """A text stream into one of the logs."""

    encoding = "utf-8"

    def __init__(self, is_access: bool) -> None:
        self._is_access = is_access

    def write(self, text: str) -> int:
        if _process.outlet is not None:
            _process.outlet.put(self._is_access, text.encode("utf-8", "backslashreplace").decode("utf-8"))
        return len(text)

    def flush(self) -> None:
        """Nothing is buffered here."""

    def isatty(self) -> bool:
        return False


class _SyslogHandler(logging.Handler):
    """Sends lines of a logger to syslog, together with the server's own."""

    def __init__(self, is_access: bool) -> None:
        super().__init__()
        self._is_access = is_access

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record).encode("utf-8", "backslashreplace").decode("utf-8")
            if _process.outlet is not None:
                _process.outlet.syslog(self._is_access, record.levelno, text)
        except Exception:
            self.handleError(record)


class _Relay(logging.Handler):
    """Passes a logger's records to the handlers that were attached to its other name."""

    def __init__(self, alias: logging.Logger) -> None:
        super().__init__()
        self.alias = alias

    def emit(self, record: logging.LogRecord) -> None:
        # Records of the other name have passed these handlers already.
        if record.name != self.alias.name:
            for handler in self.alias.handlers:
                if record.levelno >= handler.level:
                    handler.handle(record)


def _started() -> Started:
    log = _process.log
    base = glogging.Logger
    access, wants_access = None, False
    if log is not None:
        wants_access = glogging.access_log_enabled(log.cfg)
        own = [name for name in ("access", "atoms", "now", "_get_user") if _overrides(type(log), base, name)]
        if "access" in own or (own and wants_access):
            access = log.access
    level = logging.getLogger("gunicorn.error").getEffectiveLevel()
    return Started(not _process.plain, level, wants_access, access)


def _overrides(cls: type, base: type, name: str) -> bool:
    return getattr(cls, name, None) is not getattr(base, name)


def _deliver_line(log: Any, level: int, text: str) -> None:
    # The extension module counts the server's own lines.
    speaker = getattr(log, "uncounted", log)
    getattr(speaker, LEVELS[level])(text)


def _deliver_entry(log: Any, atoms: dict[str, Any]) -> None:
    line = atoms.pop("", None)
    if line is not None:
        log.access_log.info("%s", line)
        return
    pattern = log.cfg.access_log_format
    log.access_log.info(glogging.PATTERNS.get(pattern, pattern), log.atoms_wrapper_class(atoms))


def _fresh(name: str) -> None:
    log = logging.getLogger(name)
    log.disabled = False
    for handler in [handler for handler in log.handlers if getattr(handler, "_gunicorn", False)]:
        log.removeHandler(handler)


def _snapshot() -> list[tuple[logging.Logger, dict[str, Any]]]:
    kept = ("level", "propagate", "disabled")
    return [
        (
            log,
            {
                **{name: getattr(log, name) for name in kept},
                "handlers": list(log.handlers),
                "filters": list(log.filters),
            },
        )
        for log in glogging.loggers()
    ]


def _restore(snapshot: list[tuple[logging.Logger, dict[str, Any]]]) -> None:
    for log, attributes in snapshot:
        for name, value in attributes.items():
            setattr(log, name, value)
        # Set with the method, because it clears the cache of levels.
        log.setLevel(attributes["level"])


def _states() -> tuple[Any, Any]:
    return _state("gunicorn.error", "farrier.error"), _state("gunicorn.access", "farrier.access")


def _state(name: str, alias: str) -> Any:
    log = logging.getLogger(name)
    handlers = tuple((id(each), id(each.formatter), each.level, tuple(map(id, each.filters))) for each in log.handlers)
    others = tuple(map(id, logging.getLogger(alias).handlers))
    return (log.level, handlers, tuple(map(id, log.filters)), log.propagate, log.disabled, others)


def _look() -> None:
    if not _process.watching or _process.states is None or _process.outlet is None:
        return
    with _unwatched():
        error, access = (now != then for now, then in zip(_states(), _process.states))
        if not (error or access):
            return
        for alias, name in ALIASES.items():
            other, log = logging.getLogger(alias), logging.getLogger(name)
            if other.handlers and not any(isinstance(handler, _Relay) for handler in log.handlers):
                log.addHandler(_Relay(other))
        _process.states = _states()
        _process.changed = (_process.changed[0] or error, _process.changed[1] or access)
        _divert()


def _divert() -> None:
    if _process.outlet is not None:
        _process.outlet.divert(*_process.changed, logging.getLogger("gunicorn.error").getEffectiveLevel())


@contextmanager
def _unwatched() -> Iterator[None]:
    _process.watching = False
    try:
        yield
    finally:
        _process.watching = True


def _watch(log: logging.Logger) -> None:
    """Make a logger report changes."""
    plain: Any = type(log)
    if plain.__name__ == "_Watched":
        return

    class _Watched(plain):  # type: ignore[misc]
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if name in ("level", "handlers", "filters", "propagate", "disabled"):
                _look()

        def addHandler(self, hdlr: logging.Handler) -> None:
            super().addHandler(hdlr)
            _look()

        def removeHandler(self, hdlr: logging.Handler) -> None:
            super().removeHandler(hdlr)
            _look()

        def addFilter(self, filter: Any) -> None:
            super().addFilter(filter)
            _look()

    try:
        log.__class__ = _Watched
    except TypeError:
        # A class of the application that cannot be replaced: it was checked once, after loading.
        pass
