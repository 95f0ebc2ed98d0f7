"""What the guide to vendors says is what there is."""

import re
from pathlib import Path

from vending.vendors.vendor import USUAL_SCOPES, Scope

GUIDE = Path(__file__).parents[2] / "docs" / "operating" / "vendors.md"


def test_the_guide_lists_every_scope_and_says_which_are_usual() -> None:
    rows = re.findall(
        r"^\| `([a-z-]+)` \| .+ \| (yes|no) \|$", GUIDE.read_text("utf-8"), re.MULTILINE
    )
    assert rows == [(scope.value, "yes" if scope in USUAL_SCOPES else "no") for scope in Scope]
