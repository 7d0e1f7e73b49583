"""Stands in for ``gunicorn.workers.sync``."""

from farrier._objects import Worker

__all__ = ["SyncWorker"]


class SyncWorker(Worker):
    """A name for programs that import it: how requests are served is decided by ``worker_class`` alone."""
