"""Stands in for ``gunicorn.http.wsgi``: where some configuration files change the ``Server`` field."""

from farrier._shims import SERVER, SERVER_SOFTWARE

__all__ = ["SERVER", "SERVER_SOFTWARE"]
