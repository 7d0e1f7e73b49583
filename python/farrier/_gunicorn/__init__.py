"""Stands in for Gunicorn's package if that is not installed."""

from farrier._shims import SERVER, SERVER_SOFTWARE, VERSION, VERSION_INFO

__all__ = ["SERVER", "SERVER_SOFTWARE", "__version__", "version_info"]

version_info = VERSION_INFO
__version__ = VERSION
