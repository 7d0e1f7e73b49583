"""Stands in for ``gunicorn.workers.sync``."""

from farrier._objects import Worker

__all__ = ["SyncWorker"]


class SyncWorker(Worker):
    """A class for programs that import it; only ``worker_class`` decides how requests are served."""
