"""The replacement for the package ``gunicorn``, and the changes that programs make in it.

The modules are in ``_gunicorn``; the finder of ``_gunicorn_finder`` finds them if the real package is missing.
"""

from __future__ import annotations

import sys

from farrier import _gunicorn_finder

#: The version whose behaviour the replacement follows.
VERSION_INFO = (27, 0, 1)
VERSION = ".".join(map(str, VERSION_INFO))

#: The original values of ``gunicorn.SERVER`` and ``gunicorn.SERVER_SOFTWARE``.
SERVER = "gunicorn"
SERVER_SOFTWARE = f"{SERVER}/{VERSION}"


def install() -> None:
    """Let ``import gunicorn`` find the replacement if there is no real package, in this process and those that it forks."""
    _gunicorn_finder.install()


def server_header() -> str | None:
    """The ``Server`` field, if a configuration file has changed ``gunicorn.SERVER`` or ``SERVER_SOFTWARE``.

    :return: the new value; ``None`` if nothing was changed.
    """
    module = sys.modules.get("gunicorn")
    if module is None:
        return None
    version = getattr(module, "__version__", VERSION)
    untouched = {"SERVER": (SERVER,), "SERVER_SOFTWARE": (f"{SERVER}/{version}", f"{SERVER}/{VERSION}")}
    # Where Gunicorn reads it, a file may have changed it too.
    for owner in (module, sys.modules.get("gunicorn.http.wsgi")):
        for name, values in untouched.items():
            value = getattr(owner, name, None)
            if isinstance(value, (str, bytes)):
                text = value if isinstance(value, str) else value.decode("latin-1")
                if text not in values:
                    return text
    return None
