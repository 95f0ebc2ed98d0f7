"""How much of everything a run does: quick to look, the whole for a release, and all of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The sizes of one run; a part of size 0 is left out, and its figures say so."""

    name: str
    rounds: int
    seconds: float
    surge_calm: float
    surge_high: float
    overload_seconds: float
    slow_rounds: int
    backlog: int
    meters: int
    vends: int
    growth_rounds: int
    growth_seconds: float
    campaign: int
    soak_seconds: float
    core: bool


QUICK = Plan(
    name="quick", rounds=3, seconds=1.5, surge_calm=2, surge_high=6, overload_seconds=4,
    slow_rounds=1, backlog=0, meters=0, vends=0, growth_rounds=0, growth_seconds=0, campaign=0,
    soak_seconds=0, core=False,
)  # fmt: skip
"""A minute and a half: the ratios, a short surge and a short overload."""

WHOLE = Plan(
    name="whole", rounds=5, seconds=3, surge_calm=10, surge_high=60, overload_seconds=12,
    slow_rounds=3, backlog=540_000, meters=740_000, vends=1_000_000, growth_rounds=3,
    growth_seconds=8, campaign=200_000, soak_seconds=0, core=True,
)  # fmt: skip
"""The default, well under twenty minutes on two cores: a tenth of the meters and the history."""

FULL = Plan(
    name="full", rounds=7, seconds=3, surge_calm=10, surge_high=60, overload_seconds=20,
    slow_rounds=3, backlog=540_000, meters=7_400_000, vends=10_000_000, growth_rounds=5,
    growth_seconds=20, campaign=1_000_000, soak_seconds=1_800, core=True,
)  # fmt: skip
"""Every size as the goals name it, and half an hour at 300/s for the memory; hours in all."""
