"""Stands in for ``gunicorn.workers.gthread``."""

from farrier._objects import Worker

__all__ = ["ThreadWorker"]


class ThreadWorker(Worker):
    """A name for programs that import it: how requests are served is decided by ``worker_class`` alone."""
