"""Stands in for ``gunicorn.workers``."""

#: Classes by the names that ``worker_class`` takes.
SUPPORTED_WORKERS = {
    "sync": "gunicorn.workers.sync.SyncWorker",
    "gthread": "gunicorn.workers.gthread.ThreadWorker",
}
