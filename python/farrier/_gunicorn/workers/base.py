"""Stands in for ``gunicorn.workers.base``: the class of the hooks' ``worker``."""

from farrier._objects import Worker

__all__ = ["Worker"]
