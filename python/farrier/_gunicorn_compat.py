"""The command ``farrier gunicorn-compat``: lets every program of an environment import the stand-ins for ``gunicorn``."""

from __future__ import annotations

import importlib.util
import os
import sys
import sysconfig
from collections.abc import Sequence

from farrier import _gunicorn_finder

COMMAND = "gunicorn-compat"

USAGE = f"""\
Usage: farrier {COMMAND} install | uninstall | status

In Farrier's own processes `import gunicorn` finds stand-ins if the real package is not installed. Programs that import
gunicorn to embed the server need them too. Either such a program calls `farrier.stand_in_for_gunicorn()` first, or this
command provides them for all programs of the environment. The real package wins in any case.

  install      Write {{pth}} and {{module}} into the environment's folder of packages
  uninstall    Remove both; do this before Farrier itself is uninstalled
  status       Say whether they are there
"""

#: The two files: the interpreter reads the first at each start, and imports the second.
PTH, MODULE = "farrier-gunicorn.pth", "_farrier_gunicorn.py"


def run(arguments: Sequence[str]) -> int:
    """Run the command and return its exit code: 0 done, 1 failed or not installed, 2 usage."""
    actions = {"install": _install, "uninstall": _uninstall, "status": _status}
    if len(arguments) == 1 and arguments[0] in ("-h", "--help"):
        print(USAGE.format(pth=PTH, module=MODULE), end="")
        return 0
    action = actions.get(arguments[0]) if len(arguments) == 1 else None
    if action is None:
        said = " ".join(arguments) or "nothing"
        print(f"farrier: {COMMAND}: expected `install`, `uninstall` or `status`, got {said!r}", file=sys.stderr)
        return 2
    try:
        return action()
    except OSError as error:
        hint = (
            "the folder belongs to another user, or is not to be changed" if isinstance(error, PermissionError) else ""
        )
        reason = f"{error.filename}: {error.strerror}" + (f": {hint}" if hint else "")
        print(f"farrier: {COMMAND}: {reason}", file=sys.stderr)
        return 1


def _files() -> tuple[str, str]:
    folder = sysconfig.get_path("purelib")
    return os.path.join(folder, PTH), os.path.join(folder, MODULE)


def _install() -> int:
    pth, module = _files()
    with open(_gunicorn_finder.__file__, encoding="utf-8") as file:
        source = file.read()
    # The module first: a start of the interpreter in between must find what the other file names.
    _write(module, source + "\n\ninstall()\n")
    _write(pth, "import _farrier_gunicorn\n")
    print(f"Programs of this environment find Farrier's stand-ins for gunicorn: {pth}, {module}")
    if importlib.util.find_spec("gunicorn") is not None and not _is_stand_in():
        print("The real package gunicorn is installed, and wins until it is uninstalled.")
    return 0


def _is_stand_in() -> bool:
    spec = importlib.util.find_spec("gunicorn")
    return spec is not None and os.path.basename(os.path.dirname(spec.origin or "")) == "_gunicorn"


def _uninstall() -> int:
    removed = []
    for path in _files():
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
        removed.append(path)
    print(f"Removed: {', '.join(removed)}" if removed else "Nothing was installed.")
    return 0


def _status() -> int:
    there = [path for path in _files() if os.path.exists(path)]
    print(f"Installed: {', '.join(there)}" if there else "Not installed.")
    return 0 if len(there) == 2 else 1


def _write(path: str, text: str) -> None:
    """Write a file in one step, so that no interpreter reads half of it."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(path + ".new", path)
