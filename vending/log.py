"""Structured logs: one JSON line an event, with secrets and people's data cut out.

A message reads alone; fields are for queries; one dotted name means one thing everywhere
(docs/reference/logs.md). Tokens, keys, credentials and full phone numbers are never fields; the
redactor below is the second line of defence for text that carries them all the same. A line that
cannot be written is lost: no request fails for it.
"""

import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, TextIO, cast

import msgspec
import structlog

_TOKEN = re.compile(r"(?<![0-9])(?:[0-9]{4}[ -]?){4}[0-9]{4}(?![0-9])")
_PHONE = re.compile(r"(?<![0-9A-Za-z])\+?(?:254|255|256|0)(7|1)[0-9]{6}([0-9]{2})(?![0-9])")
_CREDENTIAL = re.compile(
    r"stima_(?:live|test)_[a-z2-7]{8}_[a-z2-7]+|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*", re.ASCII
)
_SECRET_NAMES = frozenset(
    {"token", "digits", "key", "api_key", "secret", "passphrase", "password", "authorization",
     "msisdn", "phone", "customer_name", "payer", "recipient", "body", "raw", "dsn"}
)  # fmt: skip


def redact_text(text: str) -> str:
    """Return the text with STS tokens, phone numbers and credentials cut down to a hint."""
    text = _CREDENTIAL.sub("<credential>", text)
    return _PHONE.sub(r"0\1******\2", _TOKEN.sub("<token>", text))


def redact(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Cut secrets out of an event: by field name, and by shape in every text."""
    for name, value in event.items():
        if name in _SECRET_NAMES:
            event[name] = "<redacted>"
        elif isinstance(value, str):
            event[name] = redact_text(value)
        elif isinstance(value, (list, tuple, dict, set, bytes, BaseException)):
            event[name] = redact_text(str(value))
    return event


class _Forgiving:
    """Standard error as what is logged goes there: on a full disk or a closed terminal, nowhere."""

    def write(self, text: str) -> None:
        """Write, if it can be written."""
        with suppress(OSError, ValueError):
            sys.stderr.write(text)

    def flush(self) -> None:
        """Flush, if it can be flushed."""
        with suppress(OSError, ValueError):
            sys.stderr.flush()


def _to_json(event: MutableMapping[str, Any], **_unused: object) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


def configure(*, level: str, form: str) -> None:
    """Set up logging for this process: `form` is "json" or "console", to standard error."""
    renderer: Any = (
        structlog.processors.JSONRenderer(serializer=_to_json)
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            redact,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.PrintLoggerFactory(cast(TextIO, _Forgiving())),
        cache_logger_on_first_use=True,
    )
    # aiohttp and asyncio speak through the standard library; a traceback per malformed request
    # would let a stranger fill our disk, so only their errors pass.
    logging.basicConfig(level=logging.ERROR, stream=sys.stderr, format="%(message)s", force=True)
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)


def say_everywhere(**fields: object) -> None:
    """Put fields into every event from here on: what this process is."""
    structlog.contextvars.bind_contextvars(**fields)


def get(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module."""
    logger: structlog.stdlib.BoundLogger = structlog.get_logger(module=name)
    return logger
