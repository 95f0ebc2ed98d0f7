"""Forms as carriers post them: a small flat set of names and values."""

from urllib.parse import parse_qsl

from aiohttp import web

from vending.api import admission
from vending.api.problems import RequestMalformed

_FIELDS_MAX = 32
"""Africa's Talking sends eleven at the most."""


async def read_form(request: web.Request) -> dict[str, str]:
    """Return a url-encoded form; of a repeated name the last value. Raises RequestMalformed."""
    body = await admission.read_body(request)
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=_FIELDS_MAX,
        )
    except ValueError as fault:
        raise RequestMalformed(fault=f"form: {type(fault).__name__}") from None
    return dict(pairs)


def member(form: dict[str, str], name: str, *, letters_max: int) -> str:
    """Return a form's value without NUL; "" when it is absent.

    Raises RequestMalformed when it is too long.
    """
    value = form.get(name, "").replace("\0", "").strip()
    if len(value) > letters_max:
        raise RequestMalformed(fault=f"{name} is too long")
    return value
