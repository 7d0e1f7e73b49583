"""Stands in for ``gunicorn.instrument.statsd``."""

from farrier.statsd import (
    COUNTER_TYPE,
    GAUGE_TYPE,
    HISTOGRAM_TYPE,
    METRIC_VAR,
    MTYPE_VAR,
    TIMER_TYPE,
    VALUE_VAR,
    Statsd,
)

__all__ = [
    "COUNTER_TYPE",
    "GAUGE_TYPE",
    "HISTOGRAM_TYPE",
    "METRIC_VAR",
    "MTYPE_VAR",
    "TIMER_TYPE",
    "VALUE_VAR",
    "Statsd",
]
