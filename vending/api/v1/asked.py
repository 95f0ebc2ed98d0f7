"""What an operation is asked, decoded and checked, and what it answers."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from msgspec import Meta

from vending.errors import Rejected
from vending.values import Value
from vending.vendors.register import Caller

Body = TypeVar("Body")
Query = TypeVar("Query")

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2100, 1, 1, tzinfo=UTC)
"""Instants outside are typing errors, and some cannot be written in UTC at all."""

Instant = Annotated[datetime, Meta(tz=True)]
"""An instant as it is sent: RFC 3339 with an offset."""

_AT = re.compile(r"(.*) - at `\$\.?([^`]*)`", re.DOTALL)
_FIELD = re.compile(r"Object (contains unknown|missing required) field `([^`]*)`")
_TYPES = re.compile(r"`([a-z]+(?: \| [a-z]+)*)`")
_IN_JSON: Final = {
    "str": "string", "int": "integer", "float": "number", "bool": "boolean",
    "datetime": "date-time", "bytes": "string",
}  # fmt: skip
_PLAIN = re.compile(r"[A-Za-z0-9_.\[\]-]{1,60}")


class RequestInvalid(Rejected):
    """The request is not as the description says.

    `member` names the member, parameter or header that is wrong and `fault` the rule it breaks;
    /openapi.json has them all.
    """

    code = "request_invalid"


class ContentTypeWrong(Rejected):
    """The body is not of the media type that this is asked in.

    Send application/json, in UTF-8; /oauth/token is asked with a form.
    """

    code = "content_type_wrong"


class Asked(Value, Generic[Body, Query], frozen=True, kw_only=True):
    """A request to an operation: who asks, the names in its path, and its decoded parts.

    `headers` are those the operation has declared, by their names in small letters, as far as they
    were sent.
    """

    hidden = frozenset({"body"})

    caller: Caller
    path: dict[str, str]
    headers: dict[str, str]
    query: Query
    body: Body
    now: datetime


class Answer(Value, frozen=True, kw_only=True):
    """What an operation answers: one of its statuses, and a body of that status' type."""

    hidden = frozenset({"body"})

    status: int
    body: msgspec.Struct | None = None
    headers: tuple[tuple[str, str], ...] = ()


def read_body(raw: bytes, kind: type[Any]) -> Any:
    """Return a JSON body as what it is to be. Raises RequestInvalid naming the member."""
    try:
        found = msgspec.json.decode(raw, type=kind)
        # Text that cannot be written as UTF-8 again is half a character; nothing stores it.
        msgspec.json.encode(found)
    except msgspec.ValidationError as fault:
        raise invalid(fault) from None
    except (msgspec.DecodeError, UnicodeError):
        raise RequestInvalid(member="body", fault="not JSON in UTF-8") from None
    return found


def read_query(pairs: list[tuple[str, str]], kind: type[Any] | None) -> Any:
    """Return the parameters behind the question mark. Raises RequestInvalid naming one."""
    given = dict(pairs)
    if len(given) < len(pairs):
        raise RequestInvalid(member="query", fault="a parameter is given twice")
    if kind is None:
        if given:
            raise RequestInvalid(member=_plain(next(iter(given))), fault="unknown parameter")
        return None
    try:
        found = msgspec.convert(given, kind, strict=False)
        msgspec.json.encode(found)
    except msgspec.ValidationError as fault:
        raise invalid(fault) from None
    except UnicodeError:
        raise RequestInvalid(member="query", fault="not UTF-8") from None
    for name in given:
        # The decoder takes the word for the value; nobody means it.
        if getattr(found, name) is None:
            raise RequestInvalid(member=name, fault="null is no value of a parameter")
    return found


def instant(member: str, at: datetime) -> datetime:
    """Return an instant that can be meant. Raises RequestInvalid for any other."""
    # Compared as they stand: some instants of the year 1 cannot be written in UTC.
    if not EARLIEST <= at <= LATEST:
        raise RequestInvalid(member=member, fault="an instant of this century")
    return at


def invalid(fault: msgspec.ValidationError) -> RequestInvalid:
    """Return the refusal of what the decoder found, without any value that was sent."""
    text, member = str(fault), ""
    if found := _AT.fullmatch(text):
        text, member = found[1], found[2]
    if found := _FIELD.fullmatch(text):
        text = "unknown member" if found[1].startswith("contains") else "missing"
        member = f"{member}.{found[2]}" if member else found[2]
    elif text.startswith("Invalid enum value"):
        text = "not one of the listed values"
    elif text.startswith("Invalid "):
        text = text.split("'", 1)[0].rstrip()
    text = _TYPES.sub(_in_json, text)
    return RequestInvalid(member=_plain(member or "body"), fault=text[:200])


def _in_json(types: re.Match[str]) -> str:
    """Return the decoder's names of types as JSON Schema has them, which the description speaks."""
    return "`" + " | ".join(_IN_JSON.get(one, one) for one in types[1].split(" | ")) + "`"


def _plain(member: str) -> str:
    return member if _PLAIN.fullmatch(member) else "?"
