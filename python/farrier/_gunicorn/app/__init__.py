"""Stands in for ``gunicorn.app``."""
