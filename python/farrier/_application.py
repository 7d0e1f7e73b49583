"""Find and import the WSGI application that a user names, or the one that the working directory holds."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import os
import re
import sys
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

from farrier import _accounts, _django, _interfaces

#: Usual names of a module's application, in the order in which they are tried.
USUAL_NAMES = ("application", "app", "create_app", "make_app")

#: Files that are tried when nothing was named, in this order.
USUAL_FILES = ("wsgi.py", "app.py", "main.py")


_FINDS = "`farrier`, which finds the application of this folder, or `farrier MODULE:NAME`"
_ASKS_DJANGO = "`python manage.py {}`"

#: Words that people take for commands of Farrier's, and what they look for.
LIKELY_WORDS = {
    **dict.fromkeys(("run", "serve", "server", "start", "runserver", "up", "web", "dev"), _FINDS),
    **dict.fromkeys(("reload", "restart"), "`kill -HUP PID` with the master's pid"),
    **dict.fromkeys(("collectstatic", "migrate", "createsuperuser", "shell"), _ASKS_DJANGO),
    **dict.fromkeys(("check", "configtest", "validate", "test"), "`farrier --check-config`"),
    **dict.fromkeys(("init", "config", "settings"), "`farrier --print-config`, whose output can be a farrier.toml"),
    **dict.fromkeys(("import", "import-uwsgi", "uwsgi"), "`farrier import-uwsgi uwsgi.ini`"),
    **dict.fromkeys(("import-nginx", "nginx"), "`farrier import-nginx /etc/nginx/nginx.conf`"),
    **dict.fromkeys(("gunicorn-compat", "gunicorn", "install"), "`farrier gunicorn-compat install`"),
    "help": "`farrier --help`",
    "version": "`farrier --version`",
    "status": "the setting `stats`, or the log",
    "stop": "`kill -TERM PID` with the master's pid",
    "upgrade": "`kill -USR2 PID` with the master's pid",
    "completions": "`farrier --completions bash`",
}


class ApplicationNotFound(Exception):
    """The specification is invalid, or its target does not exist or is not callable."""


def load(specification: str | None, is_served: bool = True) -> tuple[Callable[..., Any], str]:
    """Import the application.

    :param specification: ``module:callable``, ``module`` (its ``application``), ``path/to/file.py[:callable]`` or
        ``module:factory('literal', key=1)``; ``None`` to look in the working directory.
    :param is_served: the application will be called as it is, so it must be a WSGI application.
    :return: the application and the specification that was used.
    :raises ApplicationNotFound: the specification is invalid, or its target does not exist or is not callable.
    :raises Exception: any exception of the application's own code during the import.
    """
    if specification is None:
        specification, _ = discover()
    module_part, _, expression = _split(specification)
    try:
        with _django.one_project(specification):
            module = _import(module_part, specification)
            application = _evaluate(module, expression or "application", specification)
    except _django.SecondProject as clash:
        raise ApplicationNotFound(str(clash)) from None
    if is_served and _interfaces.is_asgi(application):
        raise ApplicationNotFound(_interfaces.refusal(application, specification))
    _django.import_urls()
    return application, specification


def discover() -> tuple[str, str]:
    """Look for an application in the working directory.

    :return: a specification, and where it was found.
    :raises ApplicationNotFound: when there is none.
    """
    if os.path.isfile("manage.py"):
        found = _django_application()
        if found is not None:
            return found, "in manage.py's settings"
    for name in USUAL_FILES:
        if os.path.isfile(name):
            attribute = _usual_attribute(name)
            if attribute is not None:
                return f"{name[:-3]}:{attribute}", f"in {name}"
    raise ApplicationNotFound(
        "No application was named, and the working directory holds no manage.py, wsgi.py, app.py or main.py with one: "
        "say which, for example `farrier mysite.wsgi` or `farrier mysite:app`."
    )


def no_command(specification: str) -> str | None:
    """Why a word names no application, if it is one that people take for a command of Farrier's.

    :return: ``None`` if it is no such word, or if a module has this name.
    """
    meant = _meant(specification)
    if meant is None:
        return None
    try:
        found = importlib.util.find_spec(specification.replace("-", "_")) is not None
    except (ImportError, ValueError):
        found = True
    return (
        None if found else f"There is no command {specification!r}, and no module of this name: did you mean {meant}?"
    )


def _meant(word: str) -> str | None:
    """What is likely to be meant by a word that is near to one of the table."""
    if not re.fullmatch(r"[A-Za-z_-]+", word):
        return None
    import difflib

    plain = word.lower().replace("_", "-")
    near = [plain] if plain in LIKELY_WORDS else difflib.get_close_matches(plain, LIKELY_WORDS, 1, 0.85)
    return LIKELY_WORDS[near[0]].format(near[0]) if near else None


def own_traceback(raised: BaseException, trace: TracebackType | None) -> str:
    """The traceback without the frames of the server and of the import machinery."""
    while trace is not None and _is_foreign(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(raised), raised, trace))


def _is_foreign(filename: str) -> bool:
    return (
        filename in (__file__, _django.__file__)
        or filename.startswith("<frozen importlib")
        or "importlib" in filename.split(os.sep)
    )


def _split(specification: str) -> tuple[str, str, str]:
    # A colon inside a factory's arguments is no separator.
    match = re.match(r"^(?P<module>[^:(]+)(?P<colon>:?)(?P<expression>.*)$", specification, re.DOTALL)
    if match is None:
        raise ApplicationNotFound(f"{specification!r} names no application: expected `module:callable`.")
    return match["module"], match["colon"], match["expression"].strip()


def _import(module_part: str, specification: str) -> Any:
    if module_part.endswith(".py") or os.sep in module_part:
        return _import_file(module_part)
    try:
        return importlib.import_module(module_part)
    except ModuleNotFoundError as missing:
        # A module missing inside the application is the application's own error, with its own traceback.
        if missing.name is not None and (module_part + ".").startswith(missing.name + "."):
            raise ApplicationNotFound(_missing_module(module_part, missing.name, specification)) from None
        raise


def _missing_module(module_part: str, missing: str, specification: str) -> str:
    here = os.getcwd()
    hint = f"is {here} the directory that holds it? (--chdir, --pythonpath)"
    closed = _accounts.closed(here)
    meant = _meant(specification)
    if closed is not None:
        return f"There is no module {missing!r} for the application {specification!r} that this user can read: {closed}"
    if meant is not None:
        hint = f"did you mean {meant}?"
    if os.path.isfile(module_part + ".py"):
        hint = "the file exists, but not as an importable module"
    return f"There is no module {missing!r} for the application {specification!r}: {hint}"


def _import_file(path: str) -> Any:
    if not path.endswith(".py"):
        path += ".py"
    path = os.path.abspath(path)
    if not os.path.isfile(path):
        raise ApplicationNotFound(f"There is no file {path}.")
    directory, filename = os.path.split(path)
    name = filename[:-3]
    # A file inside a package is imported under its full name, so that its relative imports work.
    while os.path.isfile(os.path.join(directory, "__init__.py")):
        directory, package = os.path.split(directory)
        name = f"{package}.{name}"
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        found = importlib.import_module(name)
        # A file may have the name of a module that Python has loaded already, such as site.py.
        if os.path.realpath(getattr(found, "__file__", None) or "") == os.path.realpath(path):
            return found
    except ModuleNotFoundError as missing:
        if missing.name is None or not (name + ".").startswith(missing.name + "."):
            raise
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ApplicationNotFound(f"{path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _evaluate(module: Any, expression: str, specification: str) -> Callable[..., Any]:
    try:
        parsed = ast.parse(expression, mode="eval").body
    except SyntaxError:
        raise ApplicationNotFound(f"{expression!r} in {specification!r} is neither a name nor a call.") from None
    if isinstance(parsed, ast.Call):
        factory = _attribute(module, parsed.func, specification)
        positional, named = _literals(parsed, specification)
        found = factory(*positional, **named)
        made = f"{expression} returned"
    else:
        found = _attribute(module, parsed, specification)
        made = f"{expression} is"
    if not callable(found):
        raise ApplicationNotFound(
            f"{made} no WSGI application: expected a callable, got {type(found).__name__} ({specification!r})."
        )
    return found  # type: ignore[no-any-return]


def _attribute(module: Any, node: ast.expr, specification: str) -> Any:
    if isinstance(node, ast.Attribute):
        owner = _attribute(module, node.value, specification)
        name = node.attr
    elif isinstance(node, ast.Name):
        owner, name = module, node.id
    else:
        raise ApplicationNotFound(f"{ast.unparse(node)!r} in {specification!r} is not a name.")
    try:
        return getattr(owner, name)
    except AttributeError:
        usual = [usual for usual in USUAL_NAMES if hasattr(module, usual) and usual != name]
        hint = f"; it has {usual[0]!r}: try `{specification.split(':')[0]}:{usual[0]}`" if usual else ""
        where = getattr(module, "__file__", None) or getattr(module, "__name__", "the module")
        raise ApplicationNotFound(f"{where} has no attribute {name!r}{hint}.") from None


def _literals(call: ast.Call, specification: str) -> tuple[list[Any], dict[str, Any]]:
    try:
        positional = [ast.literal_eval(argument) for argument in call.args]
        named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in call.keywords if keyword.arg}
    except ValueError:
        raise ApplicationNotFound(f"The arguments in {specification!r} must be literals.") from None
    return positional, named


def _django_application() -> str | None:
    """The WSGI_APPLICATION in the settings that manage.py names."""
    with open("manage.py", encoding="utf-8") as file:
        text = file.read()
    named = re.search(r"DJANGO_SETTINGS_MODULE['\"]\s*,\s*['\"]([\w.]+)['\"]", text)
    settings = os.environ.get("DJANGO_SETTINGS_MODULE") or (named.group(1) if named else None)
    if settings is None:
        return None
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", settings)
    application = _setting(settings, "WSGI_APPLICATION")
    if application is None:
        return "django.core.wsgi:get_wsgi_application()"
    module, _, attribute = application.rpartition(".")
    return f"{module}:{attribute}"


def _setting(module: str, name: str) -> str | None:
    """A string setting, read from the source so that the arbiter need not import the site."""
    path = os.path.join(*module.split(".")) + ".py"
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8") as file:
        tree = ast.parse(file.read(), path)
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.value, ast.Constant):
            names = [target.id for target in statement.targets if isinstance(target, ast.Name)]
            if name in names and isinstance(statement.value.value, str):
                return statement.value.value
    return None


def _usual_attribute(path: str) -> str | None:
    """The usual name that the file defines, with a call if it is a factory."""
    with open(path, encoding="utf-8") as file:
        try:
            tree = ast.parse(file.read(), path)
        except SyntaxError:
            # The import will report the error.
            return "application"
    defined: dict[str, bool] = {}
    for statement in tree.body:
        if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
            defined[statement.name] = isinstance(statement, ast.FunctionDef)
        elif isinstance(statement, ast.Assign):
            defined.update({target.id: False for target in statement.targets if isinstance(target, ast.Name)})
        elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            defined[statement.target.id] = False
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            defined.update({alias.asname or alias.name: False for alias in statement.names})
    for name in USUAL_NAMES:
        if name in defined:
            return f"{name}()" if name in ("create_app", "make_app") and defined[name] else name
    return None
