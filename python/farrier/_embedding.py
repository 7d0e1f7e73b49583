"""Programs that embed the server: the application classes to subclass, and the function that runs one."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NoReturn

from farrier import _application, _farrier
from farrier._configuration import Cfg

#: The application in the settings of a program that embeds the server.
SPECIFICATION = "farrier._embedding:application()"


class ConfigError(Exception):
    """The configuration is invalid."""


class AppImportError(Exception):
    """The application cannot be imported."""


class HaltServer(BaseException):
    """The server should stop."""

    def __init__(self, reason: str, exit_status: int = 1) -> None:
        self.reason = reason
        self.exit_status = exit_status

    def __str__(self) -> str:
        return f"<HaltServer {self.reason!r} {self.exit_status}>"


class BaseApplication:
    """An application that configures and runs the server itself: subclasses give ``load_config`` and ``load``."""

    def __init__(self, usage: str | None = None, prog: str | None = None) -> None:
        self.usage = usage
        self.prog = prog
        self.cfg: Any = None
        self.callable: Any = None
        self.logger: Any = None
        self.do_load_config()

    def do_load_config(self) -> None:
        """Read the settings; an error in them ends the program."""
        try:
            self.load_default_config()
            self.load_config()
        except Exception as error:
            print(f"\nError: {error}", file=sys.stderr, flush=True)
            sys.exit(1)

    def load_default_config(self) -> None:
        """Start with the defaults."""
        self.cfg = Cfg()

    def init(self, parser: Any, opts: Any, args: Any) -> Any:
        """Return settings as a dictionary, if a subclass takes them from the command line."""
        raise NotImplementedError

    def load_config(self) -> None:
        """Set values other than the defaults: ``self.cfg.set(name, value)``."""
        raise NotImplementedError

    def load(self) -> Any:
        """Return the WSGI application; called in each worker."""
        raise NotImplementedError

    def reload(self) -> None:
        """Read the settings again, at HUP."""
        self.do_load_config()

    def wsgi(self) -> Any:
        """Return the WSGI application, loaded once."""
        if self.callable is None:
            self.callable = self.load()
        return self.callable

    def run(self) -> NoReturn:
        """Serve until told to stop, then end the program with the server's exit code."""
        _Running.program = self
        sys.exit(_farrier.embed(_Reading(self)))


class Application(BaseApplication):
    """The same for programs that return their settings from ``init``."""

    def load_config(self) -> None:
        """Ask ``init`` for settings."""
        try:
            settings = self.init(None, None, sys.argv[1:])
        except NotImplementedError:
            return
        for name, value in (settings or {}).items():
            self.cfg.set(name.lower(), value)


class WSGIApplication(Application):
    """The server as the command line runs it, with the application's name."""

    app_uri: str | None = None

    def init(self, parser: Any, opts: Any, args: Any) -> Any:
        """Use only the settings of the command line."""
        return None

    def load_wsgiapp(self) -> Any:
        """Import the application of ``app_uri``."""
        return import_app(self.app_uri or self.cfg.wsgi_app)

    def load(self) -> Any:
        """Return the WSGI application."""
        return self.load_wsgiapp()

    def run(self) -> NoReturn:
        """Serve until told to stop, then end the program with the server's exit code."""
        if type(self).load_config is Application.load_config and self.app_uri is None:
            run()
        super().run()


def run(prog: str | None = None) -> NoReturn:
    """Run the command line, and end the program with the exit code."""
    sys.exit(_farrier.main(sys.argv[1:]))


def application() -> Any:
    """The WSGI application of the program that runs."""
    if _Running.program is None:
        raise RuntimeError("no program embeds the server in this process")
    return _Running.program.wsgi()


def running() -> BaseApplication | None:
    """The program that embeds the server in this process."""
    return _Running.program


class _Running:
    program: BaseApplication | None = None


class _Reading:
    """Returns the settings of a program, at the start and again at each HUP."""

    def __init__(self, program: BaseApplication) -> None:
        self.program = program
        self.read_before = False

    def __call__(self) -> dict[str, Any]:
        """The settings of the program."""
        if self.read_before:
            self.program.reload()
        self.read_before = True
        return {**self.program.cfg.given, "wsgi_app": SPECIFICATION}


# Functions that programs use from `gunicorn.util`.


def import_app(module: str) -> Callable[..., Any]:
    """Import an application by its name.

    :raises AppImportError: there is none of this name.
    """
    try:
        return _application.load(module, is_served=False)[0]
    except _application.ApplicationNotFound as error:
        raise AppImportError(str(error)) from error


def http_date(timestamp: float | None = None) -> str:
    """A time as an HTTP date (RFC 9110 §5.6.7); the current time if none is given."""
    import email.utils

    return email.utils.formatdate(timestamp, usegmt=True)


def is_ipv6(address: str) -> bool:
    """Whether the text is an IPv6 address."""
    import ipaddress

    try:
        return ipaddress.ip_address(address).version == 6
    except ValueError:
        return False


def parse_address(netloc: str, default_port: str = "8000") -> Any:
    """An address of ``bind`` as host and port, path of a unix socket, or descriptor.

    :raises RuntimeError: the port is no number.
    """
    if netloc.startswith("unix:"):
        return netloc[len("unix:") :].removeprefix("//")
    if netloc.startswith("fd://"):
        return int(netloc[len("fd://") :])
    netloc = netloc[len("tcp://") :] if netloc.startswith("tcp://") else netloc
    if netloc.startswith("["):
        host, _, rest = netloc[1:].partition("]")
        port = rest.lstrip(":") or default_port
    else:
        host, _, port = netloc.partition(":")
        port = port or default_port
    if not port.isdigit():
        raise RuntimeError(f"{port!r} is not a valid port number.")
    return (host or "0.0.0.0").lower(), int(port)
