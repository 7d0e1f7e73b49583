"""The settings for hooks and applications (``cfg``), and the environment variables that they set."""

from __future__ import annotations

import grp
import os
import pwd
import re
from collections.abc import Iterable, Mapping
from typing import Any

from farrier import _farrier


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
        """``sync``, ``gthread`` or ``adaptive``; there is no such class."""
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
        """The umask; 0 if it is not set."""
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
        """The application's name, unless the processes have another."""
        return self.settings["wsgi_app"].get() or "farrier"

    @property
    def certfile(self) -> str | None:
        """The file of the first certificate."""
        return next(iter(self.settings["certfile"].get()), None)

    @property
    def keyfile(self) -> str | None:
        """The file of the first key."""
        return next(iter(self.settings["keyfile"].get()), None)

    @property
    def is_ssl(self) -> bool:
        """Whether clients speak TLS with the server."""
        return bool(self.settings["certfile"].get() or self.settings["keyfile"].get())

    @property
    def ssl_options(self) -> dict[str, Any]:
        """The settings of TLS, with Gunicorn's names."""
        names = ("keyfile", "certfile", "cert_reqs", "ca_certs", "ciphers")
        return {name: getattr(self, name) for name in names}

    @property
    def paste_global_conf(self) -> dict[str, str] | None:
        """The global configuration for PasteDeploy."""
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


def set_environment(pairs: Iterable[tuple[str, str]]) -> None:
    """Set the variables of ``raw_env``; they replace those that were set before."""
    suspend_environment()
    _set.clear()
    _set.update(pairs)
    resume_environment()


def suspend_environment() -> None:
    """Restore the variables that ``raw_env`` has replaced, so that the settings are read as at the start."""
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


#: The variables of ``raw_env``, and their previous values.
_set: dict[str, str] = {}
_replaced: dict[str, str | None] = {}


def _address(text: str) -> tuple[str, int] | str:
    text = re.sub(r"^(http|uwsgi|fastcgi|auto)(://|\+)", "", text)
    if text.startswith("unix:"):
        return text[len("unix:") :]
    host, _, port = text.rpartition(":")
    return (host.strip("[]") or "0.0.0.0", int(port)) if port.isdigit() else text
