"""Stands in for ``gunicorn.http``: the class of the request hooks' ``req``."""

from farrier._objects import Request

__all__ = ["Message", "Request"]

Message = Request
