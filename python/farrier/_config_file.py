"""Runs a config file as Gunicorn does, finds the line of each variable, and explains errors."""

from __future__ import annotations

import ast
import datetime
import importlib
import importlib.util
import os
import sys
import traceback
import types
from typing import Any, NamedTuple


class Assignment(NamedTuple):
    """A variable that a config file made."""

    name: str
    #: The object, and the same value as plain types.
    value: Any
    plain: Any
    file: str
    line: int
    #: The lines of a list's items, if they are known.
    item_lines: list[int]
    #: Whether the file itself reads the variable, so that it is not just a misspelt setting.
    is_read: bool


def evaluate(path: str | None, module: str | None) -> list[Assignment]:
    """Run a config file, or import a module, and return its variables.

    :param path: the file.
    :param module: the module, if there is no file.
    :raises Exception: any exception of the file; :func:`explain` describes it.
    """
    directory = os.getcwd()
    if directory not in sys.path:
        sys.path.insert(0, directory)
    if path is None:
        assert module is not None
        # Imported again at each reload.
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
            plain(name, value),
            path,
            *places.of(name, value),
            name in places.read,
        )
        for name, value in vars(made).items()
        if name == name.lower() and not name.startswith("_") and not isinstance(value, types.ModuleType)
    ]


def explain(raised: BaseException, trace: types.TracebackType | None, path: str | None) -> tuple[str, str, int, str]:
    """Describe the error of a config file that failed.

    :return: the traceback of its own frames, the file, the line, and a message.
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


def plain(name: str, value: Any) -> Any:
    """The value as plain types; anything else stays as it is."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, dict) and name == "secure_scheme_headers":
        return [f"{field}={meaning}" for field, meaning in value.items()]
    if isinstance(value, type) and name in ("logger_class", "worker_class"):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, dict):
        return {str(key): plain("", item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain("", item) for item in value]
    return value


def _source(path: str) -> str:
    with open(path, "rb") as file:
        return importlib.util.decode_source(file.read())


def _is_ours(filename: str) -> bool:
    return filename == __file__ or filename.startswith("<frozen importlib") or "importlib" in filename.split(os.sep)


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
            # Of several branches, the one that assigned the value.
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
