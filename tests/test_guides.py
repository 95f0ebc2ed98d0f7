"""What the guides for operators show is what the server takes."""

import re
from pathlib import Path

import pytest

from vending.tariffs.charge import ChargeKind, TaxMode
from vending.tariffs.document import parse
from vending.tariffs.example import check

OPERATING = Path(__file__).parents[1] / "docs" / "operating"


def guide(name: str) -> str:
    return (OPERATING / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    """Return a guide's blocks in a language, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```", guide(name), re.MULTILINE | re.DOTALL)


def test_the_tariff_guide_is_a_tariff_whose_examples_come_out() -> None:
    document = parse("\n".join(blocks("tariffs.md", "toml")))
    check(document.tariff, document.examples)
    assert len(document.examples) >= 2
    assert document.tariff.code in blocks("tariffs.md", "console")[0]


@pytest.mark.parametrize("word", [*ChargeKind, *TaxMode])
def test_the_tariff_guide_knows_every_kind_of_line_and_of_tax(word: str) -> None:
    assert f"| `{word}` |" in guide("tariffs.md")
