"""Stands in for ``gunicorn.app.wsgiapp``."""

from farrier._embedding import WSGIApplication, run

__all__ = ["WSGIApplication", "run"]

if __name__ == "__main__":
    run()
