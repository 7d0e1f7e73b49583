"""Stands in for ``gunicorn.app.base``: programs subclass these to embed the server."""

from farrier._embedding import Application, BaseApplication

__all__ = ["Application", "BaseApplication"]
