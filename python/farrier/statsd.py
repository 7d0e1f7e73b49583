"""The logger that also sends to statsd: ``log.info(message, extra={"metric": …, "value": …, "mtype": …})``.

The extension module counts requests and sends them; this class handles lines and metrics of hooks.
"""

from __future__ import annotations

import logging
from typing import Any

from farrier import _logging
from farrier.glogging import Logger

METRIC_VAR, VALUE_VAR, MTYPE_VAR = "metric", "value", "mtype"
GAUGE_TYPE, COUNTER_TYPE, HISTOGRAM_TYPE, TIMER_TYPE = "gauge", "counter", "histogram", "timer"


class Statsd(Logger):
    """Counts lines of certain levels, and sends the metrics that lines carry."""

    def __init__(self, cfg: Any) -> None:
        super().__init__(cfg)
        self.uncounted = _Uncounted(self)

    def critical(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Write a line of the level CRITICAL, and count it."""
        super().critical(msg, *args, **kwargs)
        self.increment("gunicorn.log.critical", 1)

    def error(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Write a line of the level ERROR, and count it."""
        super().error(msg, *args, **kwargs)
        self.increment("gunicorn.log.error", 1)

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Write a line of the level WARNING, and count it."""
        super().warning(msg, *args, **kwargs)
        self.increment("gunicorn.log.warning", 1)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Write the traceback of the exception that is being handled, and count it."""
        super().exception(msg, *args, **kwargs)
        self.increment("gunicorn.log.exception", 1)

    def info(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Write a line of the level INFO, or send the metric that it carries."""
        self.log(logging.INFO, msg, *args, **kwargs)

    def debug(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Write a line of the level DEBUG, or send the metric that it carries."""
        self.log(logging.DEBUG, msg, *args, **kwargs)

    def log(self, lvl: Any, msg: Any, *args: Any, **kwargs: Any) -> None:
        """Write a line of a level, and send the metric that it carries; a line without text is a metric alone."""
        extra = kwargs.get("extra") or {}
        name, value, kind = (extra.get(key) for key in (METRIC_VAR, VALUE_VAR, MTYPE_VAR))
        if name and value is not None and kind:
            _logging.metric(name, value, kind)
        if msg:
            super().log(lvl, msg, *args, **kwargs)

    def gauge(self, name: str, value: Any) -> None:
        """Set a gauge."""
        _logging.metric(name, value, GAUGE_TYPE)

    def increment(self, name: str, value: Any, sampling_rate: float = 1.0) -> None:
        """Add to a counter."""
        _logging.metric(name, value, COUNTER_TYPE)

    def decrement(self, name: str, value: Any, sampling_rate: float = 1.0) -> None:
        """Subtract from a counter."""
        _logging.metric(name, f"-{value}", COUNTER_TYPE)

    def timer(self, name: str, value: Any) -> None:
        """Send a duration in ms."""
        _logging.metric(name, value, TIMER_TYPE)

    def histogram(self, name: str, value: Any) -> None:
        """Send one value of a distribution."""
        _logging.metric(name, value, HISTOGRAM_TYPE)


class _Uncounted:
    """The same logger for lines that are counted elsewhere."""

    def __init__(self, log: Statsd) -> None:
        for name in _logging.LEVELS.values():
            setattr(self, name, getattr(log.error_log, name))
