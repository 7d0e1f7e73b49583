"""Development: the files that a worker watches, and the response while the code cannot be loaded."""

from __future__ import annotations

import glob
import os
import sys
import sysconfig
from collections.abc import Callable, Iterable
from typing import Any

#: Folders of code that nobody edits: a new file there causes no reload.
INSTALLED = tuple(
    {os.path.realpath(path) for name, path in sysconfig.get_paths().items() if name in ("stdlib", "purelib", "platlib")}
)


def sources(extra: Iterable[str]) -> tuple[list[str], list[str]]:
    """Find the files to watch.

    :param extra: paths or patterns of further files.
    :return: files, and directories in which a Python file that appears is a change.
    """
    files, directories = set(), {os.getcwd()}
    for module in list(sys.modules.values()):
        # `sys.modules` may contain any object.
        path = getattr(module, "__file__", None)
        if not isinstance(path, str):
            continue
        if path.endswith((".pyc", ".pyo")):
            path = path[:-1]
        if not path.endswith(".py"):
            continue
        path = os.path.abspath(path)
        files.add(path)
        if not os.path.realpath(path).startswith(INSTALLED):
            directories.add(os.path.dirname(path))
    for pattern in extra:
        files.update(os.path.abspath(path) for path in glob.glob(pattern, recursive=True) or [pattern])
    return sorted(files), sorted(directories)


def failed_application(text: str) -> Callable[..., Iterable[bytes]]:
    """Make an application that answers with a text and the status 500."""
    body = text.encode("utf-8", "backslashreplace")

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        fields = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))]
        start_response("500 Internal Server Error", fields)
        return [body]

    return application
