"""What commands share: tables that can be copied from."""

import pytest
from rich.table import Table

from vending.commands import surroundings


def test_a_table_that_is_piped_is_cut_nowhere(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings.console, "width", 80)
    table = Table("number", "reference", "note")
    table.add_row("382874113309392896", "F" * 60, "n" * 60)
    surroundings.show(table)
    told = capsys.readouterr().out
    for whole in ("382874113309392896", "F" * 60, "n" * 60):
        assert whole in told
