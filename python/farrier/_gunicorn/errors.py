"""Stands in for ``gunicorn.errors``."""

from farrier._embedding import AppImportError, ConfigError, HaltServer

__all__ = ["AppImportError", "ConfigError", "HaltServer"]
