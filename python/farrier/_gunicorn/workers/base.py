"""Stands in for ``gunicorn.workers.base``: the class of the object that hooks are given as ``worker``."""

from farrier._objects import Worker

__all__ = ["Worker"]
