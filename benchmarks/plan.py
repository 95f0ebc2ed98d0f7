"""How much of everything a run does: quick to look, the whole for a release, and longer still."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal, get_args

Part = Literal[
    "rounds", "surge", "overload", "slow-disk", "soak", "drain", "import", "growth", "campaign",
    "core",
]  # fmt: skip
"""What can be measured by itself; the order is the order of a run."""

PARTS: tuple[Part, ...] = get_args(Part)
ON_THE_WARM_SERVER: tuple[Part, ...] = ("rounds", "surge", "overload", "slow-disk", "soak")
ON_A_DIRECTORY: tuple[Part, ...] = ("import", "growth", "campaign")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Sizes asked for instead of the plan's own."""

    backlog: int | None = None
    """Payments that wait when the drain begins."""
    meters: int | None = None
    """Meters of the whole utility."""
    vends: int | None = None
    """Vends in its past."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The sizes of one run. `reduced` says what is smaller than the goals name, for the report."""

    name: str
    reduced: str
    rounds: int
    seconds: float
    surge_calm: float
    surge_high: float
    overload_rounds: int
    overload_seconds: float
    slow_rounds: int
    soak_seconds: float
    backlog: int
    meters: int
    vends: int
    growth_rounds: int
    growth_seconds: float
    parts: tuple[Part, ...] = PARTS

    def only(self, parts: Sequence[Part]) -> "Plan":
        """Return the same sizes for fewer parts."""
        return replace(self, parts=tuple(one for one in PARTS if one in parts))

    def sized(self, asked: Sizes) -> "Plan":
        """Return the same plan with other sizes where they are given; the report will say so."""
        given = {name: size for name, size in asdict(asked).items() if size is not None}
        if not given:
            return self
        told = ", ".join(f"{name} {size:,}" for name, size in given.items())
        return replace(
            self,
            backlog=given.get("backlog", self.backlog),
            meters=given.get("meters", self.meters),
            vends=given.get("vends", self.vends),
            reduced=f"{self.reduced} Sizes asked for: {told}.".strip(),
        )

    def has(self, *parts: Part) -> bool:
        """Whether any of these parts is measured."""
        return any(one in self.parts for one in parts)


QUICK = Plan(
    name="quick", rounds=3, seconds=1.5, surge_calm=3, surge_high=10, overload_rounds=2,
    overload_seconds=6, slow_rounds=1, soak_seconds=0, backlog=54_000, meters=370_000,
    vends=250_000, growth_rounds=3, growth_seconds=6,
    parts=tuple(one for one in PARTS if one != "soak"),
    reduced="Reduced sizes: a surge of 10 s for 60 s, a backlog of 54,000 for 540,000, 370,000 "
    "meters for 7,400,000, 250,000 past vends for 10,000,000, and no soak.",
)  # fmt: skip
"""Every part but the soak, small: about seven minutes."""

WHOLE = Plan(
    name="whole", rounds=5, seconds=3, surge_calm=10, surge_high=60, overload_rounds=3,
    overload_seconds=12, slow_rounds=3, soak_seconds=600, backlog=540_000, meters=7_400_000,
    vends=10_000_000, growth_rounds=5, growth_seconds=8,
    reduced="",
)  # fmt: skip
"""The default: every size as the goals name it, and ten minutes at 300/s for the memory."""

FULL = replace(
    WHOLE, name="full", rounds=9, overload_rounds=5, overload_seconds=20, slow_rounds=5,
    growth_rounds=9, growth_seconds=15, soak_seconds=3_600,
)  # fmt: skip
"""The same with more rounds, and a whole hour at 300/s for the memory."""
