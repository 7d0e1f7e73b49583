"""Stands in for ``gunicorn.instrument``."""
