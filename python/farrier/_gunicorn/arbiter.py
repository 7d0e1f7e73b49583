"""Stands in for ``gunicorn.arbiter``: the class of the hooks' ``server``."""

from farrier._objects import Server as Arbiter

__all__ = ["Arbiter"]
