"""A run measures what it was asked to, at the sizes it names."""

import pytest

from benchmarks import plan
from benchmarks.plan import PARTS, Sizes


def test_the_default_has_every_part_at_the_sizes_the_goals_name() -> None:
    whole = plan.WHOLE
    assert whole.parts == PARTS
    assert (whole.backlog, whole.meters, whole.vends) == (540_000, 7_400_000, 10_000_000)
    assert (whole.surge_high, whole.rounds) == (60, 5)
    assert not whole.reduced


def test_the_quick_run_says_what_it_reduces() -> None:
    for size in (plan.QUICK.backlog, plan.QUICK.meters, plan.QUICK.vends):
        assert f"{size:,}" in plan.QUICK.reduced


def test_some_parts_alone_keep_their_sizes_and_their_order() -> None:
    chosen = plan.WHOLE.only(["drain", "surge"])
    assert chosen.parts == ("surge", "drain")
    assert chosen.backlog == plan.WHOLE.backlog
    assert chosen.has("drain", "core")
    assert not chosen.has("core")


@pytest.mark.parametrize("sizes", [plan.QUICK, plan.WHOLE, plan.FULL], ids=lambda one: one.name)
def test_a_goal_is_never_judged_by_fewer_than_two_overloads(sizes: plan.Plan) -> None:
    assert sizes.overload_rounds >= 2


def test_sizes_of_one_s_own_are_told_in_the_report() -> None:
    sized = plan.WHOLE.sized(Sizes(meters=2_000_000))
    assert (sized.meters, sized.vends) == (2_000_000, plan.WHOLE.vends)
    assert sized.reduced == "Sizes asked for: meters 2,000,000."
    assert plan.WHOLE.sized(Sizes()) is plan.WHOLE
