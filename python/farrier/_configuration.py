"""Settings in Python: runs a config file, and holds the settings as hooks and applications see them (``cfg``)."""

from __future__ import annotations

import ast
import datetime
import grp
import importlib
import importlib.util
import os
import pwd
import sys
import traceback
import types
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from farrier import _farrier

#: The settings that hold callables, with Gunicorn's names.
HOOKS = (
    "on_starting on_reload when_ready pre_fork post_fork post_worker_init worker_int worker_abort pre_exec pre_request "
    "post_request child_exit worker_exit nworkers_changed on_exit ssl_context"
).split()


class Cfg:
    """The settings by name, typed as Gunicorn's are: ``cfg.workers``, ``cfg.bind``, ``cfg.post_fork``.

    Durations are seconds and sizes are bytes. A hook that is not set is ``None``.
    """

    settings: dict[str, Setting]

    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        """Take these values, or the defaults.

        :param values: a value for every setting.
        """
        if values is None:
            values = _farrier.default_settings()
        self.__dict__["settings"] = {name: Setting(name, value) for name, value in values.items()}
        self.__dict__["given"] = {}

    def __getattr__(self, name: str) -> Any:
        try:
            return self.settings[name].get()
        except KeyError:
            raise AttributeError(f"No configuration setting for: {name}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self.settings:
            raise AttributeError(f"No configuration setting for: {name}")
        self.set(name, value)

    def set(self, name: str, value: Any) -> None:
        """Change a setting.

        :raises AttributeError: there is no such setting.
        """
        if name not in self.settings:
            raise AttributeError(f"No configuration setting for: {name}")
        self.settings[name].set(value)
        self.given[name] = value

    @property
    def given(self) -> dict[str, Any]:
        """What :meth:`set` was called with."""
        given: dict[str, Any] = self.__dict__["given"]
        return given

    @property
    def address(self) -> list[tuple[str, int] | str]:
        """The addresses: host and port, or the path of a unix socket."""
        return [_address(text) for text in self.settings["bind"].get()]

    @property
    def env(self) -> dict[str, str]:
        """The variables of ``raw_env``."""
        return dict(pair.split("=", 1) for pair in self.settings["raw_env"].get())

    @property
    def worker_class_str(self) -> str:
        """``sync``, ``gthread`` or ``adaptive``."""
        return self.settings["worker_class"].get() or "adaptive"

    @property
    def worker_class(self) -> str:
        """``sync``, ``gthread`` or ``adaptive``: there is no class behind it."""
        return self.worker_class_str

    @property
    def uid(self) -> int:
        """The number of the user that the workers are."""
        user = self.settings["user"].get()
        if user is None:
            return os.geteuid()
        return int(user) if str(user).isdigit() else pwd.getpwnam(user).pw_uid

    @property
    def user(self) -> int:
        """The number of the user that the workers are."""
        return self.uid

    @property
    def gid(self) -> int:
        """The number of the group that the workers are."""
        group = self.settings["group"].get()
        if group is None:
            return os.getegid()
        return int(group) if str(group).isdigit() else grp.getgrnam(group).gr_gid

    @property
    def group(self) -> int:
        """The number of the group that the workers are."""
        return self.gid

    @property
    def umask(self) -> int:
        """What is masked; 0 where nothing is set."""
        return self.settings["umask"].get() or 0

    @property
    def chdir(self) -> str:
        """The folder of the application."""
        return self.settings["chdir"].get() or os.getcwd()

    @property
    def proc_name(self) -> str:
        """The name of the processes."""
        return self.settings["proc_name"].get() or self.default_proc_name

    @property
    def default_proc_name(self) -> str:
        """The application's name, where the processes have no other."""
        return self.settings["wsgi_app"].get() or "farrier"

    @property
    def is_ssl(self) -> bool:
        """Whether clients speak TLS with the server."""
        return False

    @property
    def ssl_options(self) -> dict[str, Any]:
        """The settings of TLS."""
        return {}

    @property
    def paste_global_conf(self) -> dict[str, str] | None:
        """What PasteDeploy would be given."""
        return None

    def __str__(self) -> str:
        return "\n".join(f"{name} = {setting.get()!r}" for name, setting in sorted(self.settings.items()))


class Setting:
    """One setting and its value."""

    def __init__(self, name: str, value: Any) -> None:
        """Hold the value of the setting of this name."""
        self.name = name
        self.default = value
        self.value = value

    def get(self) -> Any:
        """Return the value."""
        return self.value

    def set(self, value: Any) -> None:
        """Change the value."""
        self.value = value


class Assignment(NamedTuple):
    """A variable that a config file made."""

    name: str
    #: The object, and the same in the types that every language has.
    value: Any
    plain: Any
    file: str
    line: int
    #: The lines of a list's items, where they are known.
    item_lines: list[int]
    #: Whether the file itself reads the variable, so that it is not just a misspelt setting.
    is_read: bool


def evaluate(path: str | None, module: str | None) -> list[Assignment]:
    """Run a config file, or import a module, and return what it made.

    :param path: the file.
    :param module: the module, where there is no file.
    :raises Exception: whatever the file raises; :func:`explain` says it in words.
    """
    directory = os.getcwd()
    if directory not in sys.path:
        sys.path.insert(0, directory)
    if path is None:
        assert module is not None
        # Read anew at each reload.
        sys.modules.pop(module, None)
        made = importlib.import_module(module)
        path = getattr(made, "__file__", None) or module
        source = _source(path) if os.path.isfile(path) else ""
    else:
        source = _source(path)
        made = types.ModuleType("__config__")
        made.__file__ = os.path.abspath(path)
        sys.modules["__config__"] = made
        exec(compile(source, path, "exec"), made.__dict__)
    places = _Places(source, path)
    return [
        Assignment(
            name,
            value,
            _plain(name, value),
            path,
            *places.of(name, value),
            name in places.read,
        )
        for name, value in vars(made).items()
        if name == name.lower() and not name.startswith("_") and not isinstance(value, types.ModuleType)
    ]


def explain(raised: BaseException, trace: types.TracebackType | None, path: str | None) -> tuple[str, str, int, str]:
    """Say what is wrong with a config file that failed.

    :return: the traceback of its own frames, the file, the line, and one sentence.
    """
    while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(raised), raised, trace))
    file, line = path or "", 0
    if isinstance(raised, SyntaxError) and raised.filename is not None:
        file, line = raised.filename, raised.lineno or 0
    for frame, frame_line in traceback.walk_tb(trace):
        if path is None or frame.f_code.co_filename == path:
            file, line = frame.f_code.co_filename, frame_line
    sentence = str(raised.msg if isinstance(raised, SyntaxError) else raised)
    return text, file, line, f"{type(raised).__name__}: {sentence}"


def set_environment(pairs: Iterable[tuple[str, str]]) -> None:
    """Set the variables of ``raw_env``, in the place of those that were set before."""
    suspend_environment()
    _set.clear()
    _set.update(pairs)
    resume_environment()


def suspend_environment() -> None:
    """Give the environment back what ``raw_env`` took, so that the settings are read as at the start."""
    for name, value in _replaced.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    _replaced.clear()


def resume_environment() -> None:
    """Set the variables of ``raw_env`` again."""
    for name, value in _set.items():
        _replaced.setdefault(name, os.environ.get(name))
        os.environ[name] = value


#: The variables of ``raw_env``, and what stood in their place.
_set: dict[str, str] = {}
_replaced: dict[str, str | None] = {}


def _address(text: str) -> tuple[str, int] | str:
    if text.startswith("unix:"):
        return text[len("unix:") :]
    host, _, port = text.rpartition(":")
    return (host.strip("[]") or "0.0.0.0", int(port)) if port.isdigit() else text


def _source(path: str) -> str:
    with open(path, "rb") as file:
        return importlib.util.decode_source(file.read())


def _is_ours(filename: str) -> bool:
    return filename == __file__ or filename.startswith("<frozen importlib") or "importlib" in filename.split(os.sep)


def _plain(name: str, value: Any) -> Any:
    """The value in the types that every language has; what has none stays as it is."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, dict) and name == "secure_scheme_headers":
        return [f"{field}={meaning}" for field, meaning in value.items()]
    if isinstance(value, type) and name in ("logger_class", "worker_class"):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain("", item) for item in value]
    return value


class _Places:
    """Where a file's variables were made."""

    def __init__(self, source: str, path: str) -> None:
        self.made: dict[str, list[tuple[int, ast.expr | None]]] = {}
        self.read: set[str] = set()
        self.star = 0
        try:
            tree = ast.parse(source, path)
        except SyntaxError:
            return
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign):
                for target in node.targets:
                    self._note(target, node.value)
            elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)):
                self._note(node.target, node.value)
            elif isinstance(node, ast.AugAssign):
                self._note(node.target, None)
            elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                self.made.setdefault(node.name, []).append((node.lineno, None))
            elif isinstance(node, (ast.Import, ast.ImportFrom)):
                for alias in node.names:
                    if alias.name == "*":
                        self.star = node.lineno
                    self.made.setdefault(alias.asname or alias.name, []).append((node.lineno, None))
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                self.read.add(node.id)

    def _note(self, target: ast.expr, value: ast.expr | None) -> None:
        if isinstance(target, ast.Name):
            self.made.setdefault(target.id, []).append((target.lineno, value))
        elif isinstance(target, (ast.Tuple, ast.List)):
            for each in target.elts:
                self._note(each, None)

    def of(self, name: str, value: Any) -> tuple[int, list[int]]:
        """The line of the assignment that made the value, and those of its items."""
        places = self.made.get(name)
        if not places:
            return self.star, []
        line, expression = places[-1]
        for at, written in places:
            # Of several branches, the one that says what the variable is.
            if written is not None and _literal(written) == value:
                line, expression = at, written
        items = expression.elts if isinstance(expression, (ast.List, ast.Tuple)) else []
        is_whole = isinstance(value, (list, tuple)) and len(items) == len(value)
        return line, [item.lineno for item in items] if is_whole else []


def _literal(expression: ast.expr) -> Any:
    try:
        return ast.literal_eval(expression)
    except ValueError:
        return _literal
