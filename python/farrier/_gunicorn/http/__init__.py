"""Stands in for ``gunicorn.http``: the class of the object that request hooks are given as ``req``."""

from farrier._objects import Request

__all__ = ["Message", "Request"]

Message = Request
