"""Writes the reference pages that follow from the code: settings, metrics, commands.

`python -m tests.reference_pages` rewrites them; tests/test_documentation.py holds them to the code.
"""

import re
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta
from prometheus_client import Counter, Gauge, Histogram

from tests import vendor_api_page
from vending import config, metrics, tallies
from vending.__main__ import app
from vending.api.v1 import description

Declared = Counter | Gauge | Histogram | tallies.Counter | tallies.Histogram

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"

_SETTINGS_HEAD = """# Settings

One TOML file (`--config FILE`, or `STIMA_CONFIG`) and the environment. A variable
`STIMA_SECTION__NAME` overrides `[section] name`; lists are given with commas. An unknown setting,
a missing one or one out of range stops the start with `config_invalid` and its name. Secrets
belong in the environment; no log or error shows them.

This page is written from `vending/config.py` by `python -m tests.reference_pages`.
"""

_METRICS_HEAD = """# Metrics

Served at `/metrics` in Prometheus' text format. Label values come from closed lists in the code.
Alarm on `stima_oldest_waiting_seconds` (the one number for the wall), on any rise of
`stima_quarantined_total`, and on `stima_database_up` = 0.

This page is written from `vending/metrics.py` by `python -m tests.reference_pages`.
"""

_COMMANDS_HEAD = """<!-- Written from the commands by `python -m tests.reference_pages`. -->

"""


def settings_page() -> str:
    """Return docs/reference/configuration.md."""
    parts = [_SETTINGS_HEAD]
    for section, hint in get_type_hints(config.Config).items():
        kind = get_args(hint)[0] if get_origin(hint) is list else hint
        title = f"[[{section}]]" if get_origin(hint) is list else f"[{section}]"
        sentence = (kind.__doc__ or "").strip().splitlines()[0]
        parts.append(
            f"\n## {title}\n\n{sentence}\n\n| setting | default | meaning |\n|---|---|---|\n"
        )
        defaults = {field.name: field for field in msgspec.structs.fields(kind)}
        for name, full in get_type_hints(kind, include_extras=True).items():
            parts.append(f"| `{name}` | {_default(defaults[name])} | {_meaning(full)} |\n")
    return "".join(parts)


def metrics_page() -> str:
    """Return docs/reference/metrics.md."""
    rows = [_METRICS_HEAD, "\n| metric | kind | labels | meaning |\n|---|---|---|---|\n"]
    for metric in declared():
        (family,) = metric.describe()
        suffix = "_total" if family.type == "counter" else ""
        labels = ", ".join(label_names(metric)) or "none"
        rows.append(
            f"| `{family.name}{suffix}` | {family.type} | {labels} | {family.documentation} |\n"
        )
    return "".join(rows)


def declared() -> list[Declared]:
    """Return every metric of the server."""
    return [metric for metric in vars(metrics).values() if isinstance(metric, Declared)]


def label_names(metric: Declared) -> tuple[str, ...]:
    """Return the names of a metric's labels."""
    if isinstance(metric, tallies.Counter | tallies.Histogram):
        return metric.labelnames
    return tuple(metric._labelnames)


def commands_page() -> str:
    """Return docs/reference/commands.md."""
    written = app.generate_docs(output_format="markdown").rstrip()
    # The program is named after whatever runs now; the reader runs `vending`.
    return (
        _COMMANDS_HEAD
        + re.sub(r"^(vending\b.*?) -m \S+", r"\1", written, flags=re.MULTILINE)
        + "\n"
    )


def openapi_page() -> str:
    """Return docs/reference/openapi.json."""
    return description.written().decode()


PAGES = {
    "configuration.md": settings_page,
    "metrics.md": metrics_page,
    "commands.md": commands_page,
    "openapi.json": openapi_page,
    "vendor-api.html": vendor_api_page.page,
}


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "must be given"
    value = field.default
    if value is msgspec.NODEFAULT:
        value = field.default_factory()
    return "empty" if value in ("", []) else f"`{value}`"


def _meaning(full: object) -> str:
    assert get_origin(full) is Annotated, full
    kind, *notes = get_args(full)
    (meta,) = [note for note in notes if isinstance(note, Meta)]
    bounds = [
        f"{word} {bound}"
        for word, bound in (("at least", meta.ge), ("at most", meta.le))
        if bound is not None
    ]
    choices = [f"`{one}`" for one in get_args(kind)] if get_origin(kind) is not list else []
    extra = [", ".join(bounds)] if bounds else []
    extra += [f"one of {', '.join(choices)}"] if choices else []
    return f"{meta.description} ({'; '.join(extra)})" if extra else str(meta.description)


if __name__ == "__main__":
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")
