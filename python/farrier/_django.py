"""Complete the loading of a Django project: its URL configuration, which Django itself imports at the first request.

An error in ``urls.py`` or in a view's module then shows at the start, and on a reload before the old code is gone.
Workers that are forked from a preloaded application share the memory of all its modules. And the first request is as
fast as others.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

#: The variable that names a project's settings.
VARIABLE = "DJANGO_SETTINGS_MODULE"

#: The settings that an application of this process has asked for, and that application.
_project: tuple[str, str] | None = None


class SecondProject(Exception):
    """An application is a second Django project, and Django keeps the settings of one in a process."""


@contextmanager
def one_project(specification: str) -> Iterator[None]:
    """Check the import of an application: a second project would silently run with the settings of the first.

    :param specification: the application.
    :raises SecondProject: it asks for other settings than an earlier application.
    """
    global _project
    before = os.environ.get(VARIABLE)
    if _project is not None and before == _project[0]:
        # Removed so that this application's value is seen: a project's wsgi.py sets the variable only if it is not set.
        del os.environ[VARIABLE]
    try:
        yield
        asked = os.environ.get(VARIABLE)
        if _project is None:
            if asked is not None and asked != before:
                _project = asked, specification
        elif asked is not None and asked not in (before, _project[0]):
            raise SecondProject(
                f"{specification!r} is a Django project with the settings {asked!r}, but {_project[1]!r} has brought "
                f"{_project[0]!r} already, and Django keeps one project's settings in a process: serve one of them from "
                f"a server of its own."
            )
    finally:
        if _project is not None and before == _project[0]:
            os.environ[VARIABLE] = before


def import_urls() -> None:
    """Import the URL configuration, if the application is a Django project that has been set up.

    :raises Exception: any exception of the project's own code during the import.
    """
    registry = getattr(sys.modules.get("django.apps"), "apps", None)
    if registry is None or not registry.ready:
        return
    from django.conf import settings  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from django.urls import get_resolver  # type: ignore[import-not-found,import-untyped,unused-ignore]

    if getattr(settings, "ROOT_URLCONF", None):
        _import_below(get_resolver())


def _import_below(resolver: Any) -> None:
    for pattern in resolver.url_patterns:
        if hasattr(pattern, "url_patterns"):
            _import_below(pattern)


def static_folders() -> list[tuple[str, str]]:
    """Find the folders to serve, and their URL paths, in Django's settings.

    :returns: a URL path and a folder for static files, and for uploaded files if the settings name a folder for them.
    :raises ValueError: there is no Django project, or its folders cannot be served; the message says what to do.
    """
    registry = getattr(sys.modules.get("django.apps"), "apps", None)
    if registry is None or not registry.ready:
        raise ValueError("`auto` reads the settings of a Django project, and the application is none: name URL=DIR")
    from django.conf import settings  # type: ignore[import-not-found,import-untyped,unused-ignore]

    folders = [_served(settings, "STATIC")]
    # Without a MEDIA_URL uploads are not public; Django then has "/".
    if getattr(settings, "MEDIA_ROOT", "") and getattr(settings, "MEDIA_URL", "/") not in (None, "", "/"):
        folders.append(_served(settings, "MEDIA"))
    return folders


def _served(settings: Any, kind: str) -> tuple[str, str]:
    url, root = getattr(settings, kind + "_URL", None), getattr(settings, kind + "_ROOT", None)
    if not root:
        raise ValueError(
            f"Django's setting {kind}_ROOT is not set: name the folder that `manage.py collectstatic` fills"
        )
    if not url or url == "/":
        raise ValueError(f"Django's setting {kind}_URL is not set: name the path that the files are served at")
    path = urlsplit(str(url))
    if path.netloc:
        raise ValueError(f"Django's setting {kind}_URL ({url}) names another host, so there is nothing to serve here")
    root = os.path.abspath(root)
    if kind == "STATIC" and not os.path.isdir(root):
        raise ValueError(f"Django's STATIC_ROOT, {root}, does not exist: run `manage.py collectstatic`")
    # The first upload creates the folder.
    os.makedirs(root, exist_ok=True)
    return "/" + path.path.lstrip("/"), root
