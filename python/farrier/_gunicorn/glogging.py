"""Stands in for ``gunicorn.glogging``."""

from farrier.glogging import CONFIG_DEFAULTS, SYSLOG_FACILITIES, Logger, SafeAtoms, loggers, parse_syslog_address

__all__ = ["CONFIG_DEFAULTS", "SYSLOG_FACILITIES", "Logger", "SafeAtoms", "loggers", "parse_syslog_address"]
