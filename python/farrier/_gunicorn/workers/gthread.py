"""Stands in for ``gunicorn.workers.gthread``."""

from farrier._objects import Worker

__all__ = ["ThreadWorker"]


class ThreadWorker(Worker):
    """A class for programs that import it; only ``worker_class`` decides how requests are served."""
