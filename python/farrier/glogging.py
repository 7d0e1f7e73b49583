"""The logger for hooks and subclasses: Gunicorn's interface to the loggers ``gunicorn.error`` and ``gunicorn.access``.

Without a custom logging configuration, the server's lines do not pass through here: the extension module writes them,
and the lines of the two loggers. See :mod:`farrier._logging`.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import logging.config
import logging.handlers
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from datetime import timedelta
from typing import IO, Any

#: Facilities of syslog by name (RFC 3164 §4.1.1).
SYSLOG_FACILITIES: dict[str, int] = dict(logging.handlers.SysLogHandler.facility_names)

#: The defaults of a logging configuration: each key that it has replaces the one here.
CONFIG_DEFAULTS: dict[str, Any] = {
    "version": 1,
    "disable_existing_loggers": False,
    "root": {"level": "INFO", "handlers": ["console"]},
    "loggers": {
        "gunicorn.error": {
            "level": "INFO",
            "handlers": ["error_console"],
            "propagate": True,
            "qualname": "gunicorn.error",
        },
        "gunicorn.access": {
            "level": "INFO",
            "handlers": ["console"],
            "propagate": True,
            "qualname": "gunicorn.access",
        },
    },
    "handlers": {
        "console": {"class": "logging.StreamHandler", "formatter": "generic", "stream": "ext://sys.stdout"},
        "error_console": {"class": "logging.StreamHandler", "formatter": "generic", "stream": "ext://sys.stderr"},
    },
    "formatters": {
        "generic": {
            "format": "%(asctime)s [%(process)d] [%(levelname)s] %(message)s",
            "datefmt": "[%Y-%m-%d %H:%M:%S %z]",
            "class": "logging.Formatter",
        }
    },
}

#: Formats of the access log that have a name.
PATTERNS = {
    "common": '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s',
    "combined": '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"',
}

#: A character, escaped for an access line: no value can end its quotes or its line.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_ESCAPES.update({ord('"'): '\\"', ord("\\"): "\\\\"})


class SafeAtoms(dict[str, Any]):
    """The atoms of an access line. Text is escaped, a missing value is a dash, and names in braces are
    case-insensitive."""

    def __init__(self, atoms: Mapping[str, Any]) -> None:
        super().__init__(
            (key, value.translate(_ESCAPES) if isinstance(value, str) else value) for key, value in atoms.items()
        )

    def __getitem__(self, key: str) -> Any:
        if key.startswith("{"):
            key = key.lower()
        return super().__getitem__(key) if key in self else "-"


def parse_syslog_address(address: str) -> tuple[socket.SocketKind | None, Any]:
    """Parses an address: the kind of socket (``None`` if both must be tried) and the address."""
    kinds = {"udp": socket.SOCK_DGRAM, "tcp": socket.SOCK_STREAM, "dgram": socket.SOCK_DGRAM}
    scheme, separator, rest = address.partition("://")
    if scheme == "unix" and separator:
        path, _, kind = rest.partition("#")
        if kind in ("", "dgram", "stream") and path:
            return ({"": None, "dgram": socket.SOCK_DGRAM, "stream": socket.SOCK_STREAM}[kind], path)
    elif scheme in ("udp", "tcp") and separator:
        host, colon, port = rest.rpartition(":")
        if not colon or rest.endswith("]"):
            host, port = rest, "514"
        host = host.strip("[]")
        if host and port.isdigit():
            return (kinds[scheme], (host, int(port)))
    raise RuntimeError(
        f"{address!r} is no address of syslog: expected udp://HOST:PORT, tcp://HOST:PORT or unix://PATH[#dgram|#stream]"
    )


def loggers() -> list[logging.Logger]:
    """The root logger and all other existing loggers."""
    named = list(logging.root.manager.loggerDict)
    return [logging.root, *(logging.getLogger(name) for name in named)]


class Logger:
    """Writes the logs of the server. ``logger_class`` may name a subclass."""

    LOG_LEVELS = {
        "critical": logging.CRITICAL,
        "error": logging.ERROR,
        "warning": logging.WARNING,
        "info": logging.INFO,
        "debug": logging.DEBUG,
    }
    loglevel = logging.INFO

    error_fmt = r"%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
    datefmt = r"[%Y-%m-%d %H:%M:%S %z]"
    access_fmt = "%(message)s"
    syslog_fmt = "[%(process)d] %(message)s"

    atoms_wrapper_class: Any = SafeAtoms

    def __init__(self, cfg: Any) -> None:
        self.error_log = logging.getLogger("gunicorn.error")
        self.error_log.propagate = False
        self.access_log = logging.getLogger("gunicorn.access")
        self.access_log.propagate = False
        self.error_handlers: list[logging.Handler] = []
        self.access_handlers: list[logging.Handler] = []
        self.logfile: IO[str] | None = None
        self.lock = threading.Lock()
        self.cfg = cfg
        self.setup(cfg)

    def setup(self, cfg: Any) -> None:
        """Set levels and handlers from the configuration.

        :raises RuntimeError: the logging configuration cannot be read or is invalid.
        """
        self.loglevel = self.LOG_LEVELS.get(str(cfg.loglevel).lower(), logging.INFO)
        self.error_log.setLevel(self.loglevel)
        self.access_log.setLevel(logging.INFO)
        self._set_handler(self.error_log, cfg.errorlog, logging.Formatter(self.error_fmt, self.datefmt))
        if cfg.accesslog is not None:
            self._set_handler(self.access_log, cfg.accesslog, logging.Formatter(self.access_fmt), stream=sys.stdout)
        if cfg.syslog:
            self._set_syslog_handler(self.error_log, cfg, self.syslog_fmt, "error")
            if not cfg.disable_redirect_access_to_syslog:
                self._set_syslog_handler(self.access_log, cfg, self.syslog_fmt, "access")
        if cfg.logconfig_dict:
            self._configure(cfg.logconfig_dict, "logconfig_dict")
        elif cfg.logconfig_json:
            self._configure(_read_json(cfg.logconfig_json), f"the log config {cfg.logconfig_json}")
        elif cfg.logconfig:
            _read_ini(cfg.logconfig)

    def _configure(self, given: Mapping[str, Any], source: str) -> None:
        try:
            logging.config.dictConfig({**CONFIG_DEFAULTS, **given})
        except (AttributeError, ImportError, ValueError, TypeError) as error:
            raise RuntimeError(_reason(error, source)) from error

    # Lines of hooks and of the server.

    def critical(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Write a line of the level CRITICAL."""
        self.error_log.critical(msg, *args, **kwargs)

    def error(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Write a line of the level ERROR."""
        self.error_log.error(msg, *args, **kwargs)

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Write a line of the level WARNING."""
        self.error_log.warning(msg, *args, **kwargs)

    def info(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Write a line of the level INFO."""
        self.error_log.info(msg, *args, **kwargs)

    def debug(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Write a line of the level DEBUG."""
        self.error_log.debug(msg, *args, **kwargs)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Write a line of the level ERROR with the traceback of the exception that is being handled."""
        self.error_log.exception(msg, *args, **kwargs)

    def log(self, lvl: Any, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Write a line of a level, by its name or number."""
        if isinstance(lvl, str):
            lvl = self.LOG_LEVELS.get(lvl.lower(), logging.INFO)
        self.error_log.log(lvl, msg, *args, **kwargs)

    # The access log.

    def atoms(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta) -> dict[str, Any]:
        """The values that an access line can show, by the names of the format."""
        status = resp.status
        if isinstance(status, str):
            status = status.split(None, 1)[0]
        sent = getattr(resp, "sent", None)
        seconds, micros = request_time.seconds, request_time.microseconds
        method, uri, protocol = (environ.get(key) for key in ("REQUEST_METHOD", "RAW_URI", "SERVER_PROTOCOL"))
        atoms: dict[str, Any] = {
            "h": environ.get("REMOTE_ADDR", "-"),
            "l": "-",
            "u": self._get_user(environ) or "-",
            "t": self.now(),
            "r": f"{method} {uri} {protocol}",
            "s": status,
            "m": method,
            "U": environ.get("PATH_INFO"),
            "q": environ.get("QUERY_STRING"),
            "H": protocol,
            "b": "-" if sent is None else str(sent),
            "B": sent,
            "f": environ.get("HTTP_REFERER", "-"),
            "a": environ.get("HTTP_USER_AGENT", "-"),
            "T": seconds,
            "M": seconds * 1000 + micros // 1000,
            "D": seconds * 1_000_000 + micros,
            "L": f"{seconds}.{micros:06d}",
            "p": f"<{os.getpid()}>",
        }
        request_fields = getattr(req, "headers", req)
        response_fields = getattr(resp, "headers", ())
        for kind, fields in (("i", request_fields), ("o", response_fields), ("e", environ)):
            pairs = fields.items() if hasattr(fields, "items") else fields
            atoms.update((f"{{{name.lower()}}}{kind}", value) for name, value in pairs)
        return atoms

    @property
    def access_log_enabled(self) -> bool:
        """Whether access lines are written."""
        return access_log_enabled(self.cfg)

    def access(self, resp: Any, req: Any, environ: Mapping[str, Any], request_time: timedelta) -> None:
        """Write the access line of a request that was answered."""
        if not access_log_enabled(self.cfg):
            return
        pattern = PATTERNS.get(self.cfg.access_log_format, self.cfg.access_log_format)
        atoms = self.atoms_wrapper_class(self.atoms(resp, req, environ, request_time))
        try:
            self.access_log.info(pattern, atoms)
        except Exception:
            self.error(traceback.format_exc())

    def now(self) -> str:
        """The time in the format of access lines."""
        return time.strftime("[%d/%b/%Y:%H:%M:%S %z]")

    def _get_user(self, environ: Mapping[str, Any]) -> str | None:
        scheme, _, credentials = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            decoded = base64.b64decode(credentials.strip().encode("ascii"))
            user, colon, _ = decoded.decode("utf-8").partition(":")
        except (binascii.Error, UnicodeError) as error:
            self.debug("No user in the Authorization field: %s", error)
            return None
        return user if colon else None

    # Files and handlers.

    def reopen_files(self) -> None:
        """Reopen all log files: they may have been renamed."""
        for handler in _file_handlers():
            handler.acquire()
            try:
                if handler.stream is not None:
                    handler.close()
                    handler.stream = handler._open()
            finally:
                handler.release()

    def close_on_exec(self) -> None:
        """Close log files in programs that this process starts or is replaced by."""
        for handler in _file_handlers():
            handler.acquire()
            try:
                if handler.stream is not None:
                    os.set_inheritable(handler.stream.fileno(), False)
            finally:
                handler.release()

    def _get_gunicorn_handler(self, log: logging.Logger) -> logging.Handler | None:
        return next((handler for handler in log.handlers if getattr(handler, "_gunicorn", False)), None)

    def _set_handler(
        self, log: logging.Logger, output: str | None, fmt: logging.Formatter, stream: IO[str] | None = None
    ) -> None:
        from farrier import _logging

        _remove(log, self._get_gunicorn_handler(log))
        if output is None:
            return
        handler: logging.Handler
        outlet = _logging.stream_of(self, log)
        if outlet is not None:
            handler = logging.StreamHandler(outlet)
        elif output == "-":
            handler = logging.StreamHandler(stream)
        else:
            handler = logging.FileHandler(output)
        handler.setFormatter(fmt)
        _mark(handler)
        log.addHandler(handler)

    def _set_syslog_handler(self, log: logging.Logger, cfg: Any, fmt: str, name: str) -> None:
        from farrier import _logging

        handler: logging.Handler
        outlet = _logging.syslog_of(self, log)
        if outlet is not None:
            # The extension module adds the program name and the pid.
            handler = outlet
        else:
            prefix = cfg.syslog_prefix or str(cfg.proc_name or "farrier").replace(":", ".")
            facility = SYSLOG_FACILITIES.get(str(cfg.syslog_facility).lower())
            if facility is None:
                raise RuntimeError(f"syslog_facility = {cfg.syslog_facility!r} is no facility of syslog.")
            kind, address = parse_syslog_address(cfg.syslog_addr)
            handler = logging.handlers.SysLogHandler(address=address, facility=facility, socktype=kind)
            handler.setFormatter(logging.Formatter(f"gunicorn.{prefix}.{name}: {fmt}"))
        _mark(handler)
        log.addHandler(handler)


def access_log_enabled(cfg: Any) -> bool:
    """Whether the configuration asks for access lines."""
    return bool(
        cfg.accesslog
        or cfg.logconfig
        or cfg.logconfig_dict
        or cfg.logconfig_json
        or (cfg.syslog and not cfg.disable_redirect_access_to_syslog)
    )


def _read_json(path: Any) -> dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            given = json.load(file)
    except FileNotFoundError:
        raise RuntimeError(f"There is no log config {path} (logconfig_json).") from None
    except (OSError, ValueError) as error:
        raise RuntimeError(f"The log config {path} (logconfig_json) cannot be read: {error}") from error
    if not isinstance(given, dict):
        raise RuntimeError(f"The log config {path} (logconfig_json) is no object.")
    return given


def _read_ini(path: Any) -> None:
    path = str(path)
    if not os.path.isfile(path):
        raise RuntimeError(f"There is no log config {path} (logconfig).")
    # An INI file may name itself and its folder.
    defaults = {"__file__": path, "here": os.path.dirname(path)}
    try:
        logging.config.fileConfig(path, defaults=defaults, disable_existing_loggers=False)
    except Exception as error:
        raise RuntimeError(_reason(error, f"The log config {path} (logconfig)")) from error


def _reason(error: BaseException, source: str) -> str:
    cause = error.__cause__ or error.__context__
    because = f" ({cause})" if cause is not None and str(cause) != str(error) else ""
    return f"{source} cannot be used: {type(error).__name__}: {error}{because}"


def _file_handlers() -> list[logging.FileHandler]:
    found = {id(handler): handler for log in loggers() for handler in log.handlers}
    return [handler for handler in found.values() if isinstance(handler, logging.FileHandler)]


def _remove(log: logging.Logger, handler: logging.Handler | None) -> None:
    if handler is not None:
        log.removeHandler(handler)


def _mark(handler: Any) -> None:
    handler._gunicorn = True
