"""Stands in for ``gunicorn.instrument.statsd``."""

from farrier.statsd import Statsd

__all__ = ["Statsd"]
