"""Logging, the same in every process: one event a line on standard error, as JSON or for people to read.

    log = structlog.get_logger("mailcore.delivery")
    log.info("delivered", queue_id=queue_id, remote=remote)

The event is a fixed phrase, the facts are keyword arguments, and nothing from outside is ever part of the phrase.
Control characters are escaped in both forms: a peer cannot forge a line. What the standard library's ``logging`` and
Twisted say comes out in the same form. Whoever imports this needs no Django.
"""

import logging
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog
from twisted.logger import ILogObserver, LogEvent, LogLevel, eventAsText, globalLogBeginner
from twisted.python.failure import Failure
from zope.interface import implementer

LogFormat = Literal["json", "console"]

# The form of the log travels from the supervisor to its children in this variable.
VARIABLE = "A3MAILER_LOG_FORMAT"

_LEVELS = {
    LogLevel.debug: logging.DEBUG,
    LogLevel.info: logging.INFO,
    LogLevel.warn: logging.WARNING,
    LogLevel.error: logging.ERROR,
    LogLevel.critical: logging.CRITICAL,
}
_INVISIBLE = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# Libraries that talk at the level of info about what is nobody's news.
_QUIET = {"daphne": logging.WARNING, "asyncio": logging.WARNING, "django.server": logging.WARNING}


def wanted_format() -> LogFormat:
    """Return the form that the environment asks for: ``json`` unless it says ``console``."""
    return "console" if os.environ.get(VARIABLE) == "console" else "json"


def configure(process: str, log_format: LogFormat | None = None, stream: TextIO | None = None) -> None:
    """Send everything that is logged in this process to standard error. Calling it again replaces the form."""
    chosen = log_format or wanted_format()
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _Origin(process),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_written_as(chosen)],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=True)


def take_over_twisted() -> None:
    """Send what Twisted logs the same way. To be called once, before the reactor runs."""
    globalLogBeginner.beginLoggingTo([TwistedObserver()], redirectStandardIO=False, discardBuffer=True)


@implementer(ILogObserver)
class TwistedObserver:
    """Hands Twisted's events to ``logging``. A failure keeps its traceback."""

    def __call__(self, event: LogEvent) -> None:
        """Log one event."""
        level = _LEVELS.get(event.get("log_level", LogLevel.info), logging.INFO)
        if level < logging.WARNING:
            return  # "Starting factory", "Timing out client", …: nobody's news
        failure = event.get("log_failure")
        trace = None
        if isinstance(failure, Failure) and failure.value is not None:
            trace = (type(failure.value), failure.value, failure.value.__traceback__)
        text = eventAsText(event, includeTraceback=False, includeTimestamp=False, includeSystem=False)
        logging.getLogger("twisted").log(level, "%s", text, exc_info=trace)


class _Origin:
    """Says which process speaks."""

    def __init__(self, process: str) -> None:
        self._process = process

    def __call__(self, _: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["process"] = self._process
        event["pid"] = os.getpid()
        return event


def _written_as(chosen: LogFormat) -> list[Any]:
    if chosen == "json":
        return [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False),
            _escape_the_invisible,
        ]
    # Plain tracebacks: the pretty ones show local variables, passwords among them.
    renderer = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
    )
    return [_drop_origin, _escape_controls, renderer]


def _escape_the_invisible(_: Any, __: str, line: str) -> str:
    """Escape what JSON may leave as it is: line ends of Unicode, C1 controls, marks that turn text around."""
    return _INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def _drop_origin(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    event.pop("pid", None)
    return event


def _escape_controls(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Make control characters visible: JSON escapes them by itself, a terminal would obey them."""
    for name, value in event.items():
        if isinstance(value, str) and name != "exception" and not value.isprintable():
            event[name] = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
    return event
