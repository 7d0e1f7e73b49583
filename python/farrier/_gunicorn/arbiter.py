"""Stands in for ``gunicorn.arbiter``: the class of the object that hooks are given as ``server``."""

from farrier._objects import Server as Arbiter

__all__ = ["Arbiter"]
