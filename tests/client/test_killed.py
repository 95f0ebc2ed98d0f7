"""Two vendors who sell by the client while things get lost and the server is killed."""

from pathlib import Path

import pytest

from tests.client import acceptance
from tests.client.acceptance import Run
from tests.database import Database

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("workers", [0, 2])
async def test_each_reference_is_one_token_whatever_happens(
    database: Database, tmp_path: Path, workers: int
) -> None:
    """`python -m tests.client.acceptance --sales 20000` is the same with more of it."""
    run = Run(sales=240, kills=2 + workers // 2, workers=workers)
    said: list[str] = []
    await acceptance.sell_and_count(database, tmp_path, run, say=said.append)
    assert sum("killed" in line for line in said) == run.kills
    assert said[-1] == "the audit is clean"
