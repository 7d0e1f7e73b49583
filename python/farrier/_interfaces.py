"""Tell an ASGI application from a WSGI application when it is loaded, before a client gets an error."""

from __future__ import annotations

import functools
import inspect
from typing import Any

#: What an ASGI application is called with.
ASGI_PARAMETERS = ("scope", "receive", "send")


def is_asgi(found: Any) -> bool:
    """Whether a callable is certainly an ASGI application. In doubt it is not."""
    while isinstance(found, functools.partial):
        found = found.func
    if _is_async(found) or _required_parameters(found) == ASGI_PARAMETERS:
        return True
    if inspect.isclass(found):
        # Called as a WSGI application a class gives an instance, which then must be iterable.
        return _is_async(inspect.getattr_static(found, "__call__", None)) and not hasattr(found, "__iter__")
    return _is_async(inspect.getattr_static(type(found), "__call__", None))


def refusal(found: Any, specification: str) -> str:
    """Say what to do with an ASGI application."""
    kind = type(found)
    # A function or a class says nothing by its type, but a framework's application does.
    what = (
        ""
        if kind.__module__ in ("builtins", "functools")
        else f" ({kind.__module__.split('.')[0]}.{kind.__qualname__})"
    )
    hint = ""
    module, colon, attribute = specification.partition(":")
    if module.split(".")[-1] == "asgi":
        hint = f" If the project has a WSGI application too, name it: `{module[: -len('asgi')]}wsgi{colon}{attribute}`."
    return (
        f"{specification!r} is an ASGI application{what}, and Farrier serves WSGI applications alone. Serve it with an ASGI "
        f"server such as Uvicorn or Hypercorn, or convert it with the package a2wsgi: `a2wsgi.ASGIMiddleware(app)`.{hint}"
    )


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def _required_parameters(found: Any) -> tuple[str, ...]:
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        # Written in C, or its own __signature__ is no signature.
        return ()
    return tuple(parameter.name for parameter in parameters if parameter.default is parameter.empty)
