"""Farrier, a WSGI application server.

The command ``farrier`` starts it; :func:`serve` does the same from Python.
"""

from __future__ import annotations

from collections.abc import Sequence

from farrier._farrier import __version__
from farrier._request_timeout import RequestTimeout

__all__ = ["RequestTimeout", "__version__", "serve", "stand_in_for_gunicorn"]


def serve(*arguments: str) -> int:
    """Serve an application until a stop signal, as the command line does.

    :param arguments: the arguments of ``farrier`` on a command line, for example ``serve("mysite.wsgi", "--workers",
        "2")``.
    :return: the exit code.

    The calling process becomes the arbiter: it forks workers and handles signals, so it must be the main thread of a
    process without other threads.
    """
    from farrier import _farrier, _shims

    _shims.install()
    given: Sequence[str] = list(arguments)
    return _farrier.main(given)


def stand_in_for_gunicorn() -> None:
    """Let this program's later ``import gunicorn`` find Farrier's stand-ins, if the real package is not installed.

    A program that embeds the server calls it before it imports ``gunicorn.app.base``. In Farrier's own processes it has no
    effect, because they are found there anyway. ``farrier gunicorn-compat install`` does the same for all programs of an
    environment.
    """
    from farrier import _shims

    _shims.install()
