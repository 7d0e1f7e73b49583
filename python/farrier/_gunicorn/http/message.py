"""Stands in for ``gunicorn.http.message``."""

from farrier._objects import Request

__all__ = ["Message", "Request"]

Message = Request
