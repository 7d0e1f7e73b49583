"""The server hooks of a configuration file: their names, their arguments, and the check of a function's signature."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

Hook = Callable[..., Any]

#: Every hook and its arguments, in the order in which a server calls them.
SIGNATURES: dict[str, tuple[str, ...]] = {
    "nworkers_changed": ("server", "new_value", "old_value"),
    "on_starting": ("server",),
    "when_ready": ("server",),
    "pre_fork": ("server", "worker"),
    "post_fork": ("server", "worker"),
    "post_worker_init": ("worker",),
    "pre_request": ("worker", "req"),
    "post_request": ("worker", "req", "environ", "resp"),
    "worker_int": ("worker",),
    "worker_abort": ("worker",),
    "worker_exit": ("server", "worker"),
    "child_exit": ("server", "worker"),
    "on_reload": ("server",),
    "pre_exec": ("server",),
    "on_exit": ("server",),
    "ssl_context": ("config", "default_ssl_context_factory"),
}

#: Smaller numbers of arguments that are allowed because an older form of the hook had fewer.
FEWEST_ARGUMENTS: dict[str, int] = {"post_request": 2}


class HookError(TypeError):
    """A hook is no function, or cannot be called with its arguments."""


# `inspect` is slow to import, and a server without hooks does not need it.
def check(name: str, given: Hook | str | None) -> Hook | None:
    """Check that a hook can be called.

    :param name: the setting's name, for example ``"post_fork"``.
    :param given: the function, or an import string (``"package.module.function"`` or ``"package.module:function"``).
    :return: the function, or ``None`` if none was given.
    :raises HookError: it is not callable, or does not take the hook's arguments.
    """
    if given is None:
        return None
    hook = _imported(name, given) if isinstance(given, str) else given
    if not callable(hook):
        raise HookError(
            f"{name} must be a function with the signature {_signature(name)}, or its import string; "
            f"got {type(hook).__name__}: {hook!r}."
        )
    if name == "ssl_context":
        raise HookError(
            f"ssl_context is given ({_place(hook)}), but Python's ssl does not serve here, so there is no context to make: "
            f"remove the hook and say with certfile, keyfile, ca_certs, cert_reqs, ciphers and tls_min_version what it would."
        )
    if accepted(name, hook) is None:
        raise HookError(
            f"{name} is called as {_signature(name)}, which {_described(hook)} cannot take: {_place(hook)}. "
            f"Give it {_counted(name)}."
        )
    return hook


def accepted(name: str, hook: Hook) -> int | None:
    """The number of arguments with which a hook is called.

    :return: the number that it accepts; ``None`` if it accepts none of the allowed numbers.
    """
    most = len(SIGNATURES[name])
    import inspect

    try:
        signature = inspect.signature(hook)
    except (TypeError, ValueError):
        # A callable from C without a signature.
        return most
    for count in range(most, FEWEST_ARGUMENTS.get(name, most) - 1, -1):
        try:
            signature.bind(*range(count))
        except TypeError:
            continue
        return count
    return None


class Hooks:
    """The hooks of one configuration: one attribute each, ``None`` if it is not set."""

    def __init__(self, cfg: Any) -> None:
        """Take the hooks of a configuration object, checking each.

        :raises HookError: one of them does not fit.
        """
        for name in SIGNATURES:
            setattr(self, name, check(name, getattr(cfg, name, None)))

    def any(self) -> bool:
        """Whether any hook is set."""
        return any(getattr(self, name) is not None for name in SIGNATURES)

    def arguments_of(self, name: str) -> int:
        """The number of arguments of a hook that is set."""
        return accepted(name, getattr(self, name)) or len(SIGNATURES[name])


def table(cfg: Any) -> Hooks | None:
    """The hooks of a configuration object, or ``None`` if it sets none.

    :raises HookError: one of them does not fit.
    """
    hooks = Hooks(cfg)
    return hooks if hooks.any() else None


def _imported(name: str, path: str) -> Any:
    module_name, _, attribute = path.partition(":") if ":" in path else path.rpartition(".")
    if not module_name or not attribute:
        raise HookError(f"{name} = {path!r} is no import string: expected `module.function` or `module:function`.")
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise HookError(f"{name} = {path!r} cannot be imported: {error}.") from error
    return found


def _signature(name: str) -> str:
    return f"{name}({', '.join(SIGNATURES[name])})"


def _counted(name: str) -> str:
    most, fewest = len(SIGNATURES[name]), FEWEST_ARGUMENTS.get(name, len(SIGNATURES[name]))
    if fewest < most:
        return f"{fewest} to {most} positional parameters"
    return f"{most} positional parameter{'s' if most > 1 else ''}"


def _described(hook: Hook) -> str:
    import inspect

    named = getattr(hook, "__name__", type(hook).__name__)
    try:
        return f"{named}{inspect.signature(hook)}"
    except (TypeError, ValueError):
        return str(named)


def _place(hook: Any) -> str:
    import inspect

    code = getattr(inspect.unwrap(hook), "__code__", None) or getattr(type(hook).__call__, "__code__", None)
    if code is None:
        return f"a {type(hook).__name__} in {getattr(hook, '__module__', None) or 'no module'}"
    return f"{code.co_filename}, line {code.co_firstlineno}"
