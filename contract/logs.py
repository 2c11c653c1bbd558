"""The form of a log line, the same in every service: one JSON object a line on standard error."""

import logging
import sys

import msgspec
import structlog


def configure(level: str = "INFO") -> None:
    """Sets structlog up for this process: level, ISO 8601 UTC time stamp and the event's key-value pairs, as JSON."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_serialize),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.BytesLoggerFactory(file=sys.stderr.buffer),
        cache_logger_on_first_use=True,
    )


def _serialize(event: object, **_: object) -> bytes:
    return msgspec.json.encode(event, enc_hook=str)
