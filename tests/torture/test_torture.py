"""The server, killed for real under load: what it has acknowledged is never lost nor done twice."""

import random

import pytest

from tests.torture import ground, harness
from tests.torture.harness import KILLS, kill_the_server
from tests.torture.verdict import shown

pytestmark = [pytest.mark.torture, pytest.mark.timeout(900)]


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """Say what the run was played with; `--seed` plays it again."""
    asked = request.config.getoption("--seed")
    seed = ground.new_seed() if asked is None else int(asked)
    print(f"--seed {seed}")
    return seed


async def test_whatever_is_killed_nothing_acknowledged_is_lost_or_done_twice(
    cycles: int, seed: int
) -> None:
    report = await harness.run(cycles, seed=seed, say=print)
    assert not report.faults, shown(report.faults)
    assert report.cycles.total() == cycles
    assert report.acknowledged > cycles
    assert report.tokens > cycles


async def test_a_server_that_acknowledges_before_it_commits_is_caught(seed: int) -> None:
    report = await harness.run(
        4, seed=seed, kill=kill_the_server, fault="acknowledge-before-commit"
    )
    assert any("was acknowledged and is not there" in fault for fault in report.faults)


def test_a_run_long_enough_meets_every_kind_of_kill() -> None:
    planned = harness.plan(50, random.Random(1))
    assert len(planned) == 50
    assert set(planned) == set(KILLS)
