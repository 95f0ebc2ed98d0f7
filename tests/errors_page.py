"""Writes docs/reference/errors.md from the error classes: `python -m tests.errors_page`."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import sts_core.errors

import vending
from vending.api.problems import shape_of
from vending.errors import Inconsistent, Refused, Rejected, Unavailable, VendingError

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "errors.md"

HEAD = """\
# Errors

Every error has a stable code. It is in the log line, on the command line in square brackets, in
`code` of an HTTP problem, and, for a sale that cannot happen, the reason of the refund due. Codes
are never reused; a text may become clearer from release to release.

The HTTP column is how the error looks on the wire where a request meets it: status, whether the
same request may succeed later (`retry`), and what became of the money (`money_state`, see
[http-api.md](http-api.md#problems)). An operator's confirmation that cannot be read is answered
with `money_state` *held*: its bytes are in quarantine.

This page is written from the classes by `python -m tests.errors_page`; a test holds it to them.
"""

RULES_HEAD = """\
## Rules of the STS core

Where an error names a `rule`, it is one of these. They are the errors of `sts_core` itself.

"""

FAMILIES: tuple[tuple[type[VendingError], str], ...] = (
    (
        Refused,
        "The sale cannot happen. Money that has moved is kept as a refund due; the code is why.",
    ),
    (Unavailable, "Something is away. Nothing has happened, and the same can be tried again."),
    (Rejected, "What was sent or configured cannot be accepted. Correct it and send it again."),
    (Inconsistent, "One of the server's own promises does not hold. Call a person; keep the logs."),
    (VendingError, "None of the four families above."),
)


def kinds() -> list[type[VendingError]]:
    """Return every error class of the server."""
    for module in pkgutil.walk_packages(vending.__path__, "vending."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return list(_below(VendingError))


def _below(kind: type[VendingError]) -> Iterator[type[VendingError]]:
    for child in kind.__subclasses__():
        # The tests' own errors are nobody's business.
        if child.__module__.startswith("vending."):
            yield child
        yield from _below(child)


def advice(kind: type[VendingError]) -> str:
    """Return what the docstring says after its first sentence."""
    _, _, rest = inspect.cleandoc(kind.__doc__ or "").partition("\n")
    return " ".join(rest.split())


def page() -> str:
    """Return the whole page."""
    families = [family for family, _ in FAMILIES]
    found = [kind for kind in kinds() if kind not in families]
    parts = [HEAD]
    for family, meaning in FAMILIES:
        members = [
            kind
            for kind in found
            if next(parent for parent in kind.__mro__ if parent in families) is family
        ]
        name = "Others" if family is VendingError else family.__name__
        parts.append(f"## {name}\n\n{meaning}\n\n{_table(members)}")
    parts.append(_rules())
    return "\n".join(parts)


def _table(members: list[type[VendingError]]) -> str:
    rows = ["| code | what happened | what to do | HTTP |", "|---|---|---|---|"]
    rows += [
        f"| `{kind.code}` | {_cell(kind.sentence())} | {_cell(advice(kind))} | {_wire(kind)} |"
        for kind in sorted(members, key=lambda kind: kind.code)
    ]
    return "\n".join(rows) + "\n"


def _rules() -> str:
    """Return the rules of the STS core: what `rule` of token_refused and its like may say."""
    rules = sorted(sts_core.errors.StsError.__subclasses__(), key=lambda rule: rule.code)
    rows = ["| rule | what is broken |", "|---|---|"]
    rows += [
        f"| `{rule.code}` | {_cell(' '.join(inspect.cleandoc(rule.__doc__ or '').split()))} |"
        for rule in rules
    ]
    return RULES_HEAD + "\n".join(rows) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _wire(kind: type[VendingError]) -> str:
    shape = shape_of(kind)
    told = [str(int(shape.status))]
    if shape.retry:
        told.append("retry")
    if shape.money_state != "none":
        told.append(shape.money_state)
    return ", ".join(told)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
