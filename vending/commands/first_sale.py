"""What a developer types first: the lines that a sandbox prints for whoever started it."""

import json
import shlex
from pathlib import Path
from typing import Final

from vending.sandbox.meters import MAGIC

_SALE: Final = {"reference": "my-first", "meter": MAGIC[0].number, "amount_minor": 50_000}

SALE: Final = (
    '  curl -sS "$URL/v1/sales" -H "Authorization: Bearer $KEY" \\',
    "    -H 'Content-Type: application/json' \\",
    f"    -d '{json.dumps(_SALE)}'",
)
"""The sale that gets a first token, of a shell that knows URL and KEY."""


def steps(url: str, *, program: str, config: Path | None) -> str:
    """Return what to do with a sandbox that listens at `url`, to be copied line by line.

    `program` is how `vending` is called.
    """
    settings = "" if config is None else f" --config {shlex.quote(str(config.absolute()))}"
    return "\n".join(
        (
            f"The sandbox listens at {url} until Ctrl-C; it sells for no money.",
            "",
            "Once, from another terminal with the same STIMA_ variables: a vendor and a test key",
            "",
            f'  {program} vendors add me --name "Me" --by me{settings}',
            f'  export KEY="$({program} vendors keys issue me --test --by me{settings})"',
            f"  export URL={url}",
            "",
            "then a first token, a second later:",
            "",
            *SALE,
            "",
            f"What else there is: {url}/openapi.json, for people docs/reference/vendor-api.html;",
            "a meter for everything that can go wrong: docs/reference/sandbox.md.",
            "",
        )
    )
