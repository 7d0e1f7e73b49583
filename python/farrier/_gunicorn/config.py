"""Stands in for ``gunicorn.config``."""

from farrier._configuration import Cfg as Config

__all__ = ["Config"]
