"""Logs: events with fields, as text or JSON lines on stderr, in which no card number survives.

Libraries that log by the standard library, warnings and uncaught exceptions take the same way out.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any, TextIO

import structlog
from structlog.typing import Processor

from tollhouse.masking import mask_cards

_LIBRARIES = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi", "aiohttp", "asyncio", "asyncpg")


def _masked(value: Any) -> Any:
    """The value with every text in it masked. A number becomes text where it is a card's."""
    if isinstance(value, str):
        return mask_cards(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, Mapping):
        return {_masked(key): _masked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_masked(item) for item in value]
    if isinstance(value, int | float):
        text = str(value)
        return value if mask_cards(text) == text else mask_cards(text)
    # What a renderer makes of an object is its repr, so it is made here, where it can be masked.
    return mask_cards(repr(value))


def _mask_fields(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    kept = {name: event.pop(name) for name in ("_record", "_from_structlog") if name in event}
    return {**_masked(event), **kept}


def _renderers(log_format: str, stream: TextIO) -> list[Processor]:
    if log_format == "json":
        return [structlog.processors.JSONRenderer(ensure_ascii=False)]
    # Plain tracebacks: the rich ones print local variables.
    return [
        structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
        )
    ]


def set_up_logs(level: str, log_format: str, stream: TextIO | None = None) -> None:
    """Sends everything of `level` (debug, info, warning, error) and above to the stream, as `text` or `json`."""
    target = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    first: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _mask_fields,
    ]
    renderers = _renderers(log_format, target)
    structlog.configure(
        processors=[*first, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, structlog.stdlib.ExtraAdder(), *first],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
            keep_exc_info=False,
        )
    )
    _take_over(handler, number)


def _take_over(handler: logging.Handler, level: int) -> None:
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    # What the web server says of itself and of each request; the gateway logs its own events.
    for name in ("uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).setLevel(level if level <= logging.DEBUG else max(level, logging.WARNING))
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = lambda thread: _log_uncaught(thread.exc_type, thread.exc_value, thread.exc_traceback)
    sys.unraisablehook = lambda raised: _log_uncaught(raised.exc_type, raised.exc_value, raised.exc_traceback)


def _log_uncaught(kind: type[BaseException], error: BaseException | None, where: TracebackType | None) -> None:
    if issubclass(kind, (KeyboardInterrupt, asyncio.CancelledError)):
        return
    structlog.get_logger().error("uncaught exception", exc_info=(kind, error, where))
