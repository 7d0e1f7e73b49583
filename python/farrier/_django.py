"""Complete the loading of a Django project: its URL configuration, which Django itself imports at the first request.

A mistake in ``urls.py`` or in a view's module then shows at the start, and on a reload before the old code is gone; workers
that are forked from a preloaded application share the memory of all its modules; and the first request is as fast as others.
"""

from __future__ import annotations

import sys
from typing import Any


def import_urls() -> None:
    """Import the URL configuration, where the application is a Django project that has been set up.

    :raises Exception: whatever the project's own code raises when it is imported.
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
