"""Stands in for ``gunicorn.util``: the few functions that programs use from it."""

from farrier._embedding import http_date, import_app, is_ipv6, parse_address

__all__ = ["http_date", "import_app", "is_ipv6", "parse_address"]
