"""What happens past the ordinary: a surge, an overload, a disk that has become slow.

Latencies count from the instant a request was due, and tokens from the same instant.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from benchmarks import committed, processors
from benchmarks.goals import Result, percentile, ratios
from benchmarks.gun import Phase
from benchmarks.processors import Spent
from benchmarks.rounds import SALE_CONNECTIONS, spent_in
from benchmarks.site import Fire, Server, Site

SURGE_CONNECTIONS = 512
OVERLOAD_CONNECTIONS = 2048
SLOW_MILLISECONDS = 10
EDGES_MS = (0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100, 150, 250, 500, 1000, 2500, 10_000)
"""Where the histogram's bars begin and end."""


async def surge(site: Site, server: Server, result: Result, *, calm: float, high: float) -> None:
    """Offer 300/s, then 3 000/s, then 300/s again, and judge the high part."""
    phases = [
        Phase(per_second=300, seconds=calm),
        Phase(per_second=3000, seconds=high),
        Phase(per_second=300, seconds=calm),
    ]
    roots = {"server": server.pid, "postgres": site.cluster.pid}
    memory = processors.resident_mb(server.pid)

    async def run() -> Fire:
        fire = await site.fire(server, "confirm", connections=SURGE_CONNECTIONS, phases=phases)
        await committed.settled(site.cluster, server.database, fire.prefix)
        return fire

    fire, spent = await spent_in(roots, run())
    stamps = await committed.stamps(site.cluster, server.database, fire.prefix)
    due, latency, status = fire.fired.columns()
    tokens = committed.waits(fire, stamps)
    acknowledged = committed.within(due, latency, calm, calm + high)
    vended = committed.within(due, tokens, calm, calm + high)
    errors = sum(code != 200 for code in status)
    told = f"3 000/s for {high:.0f} s, open loop, {len(due):,} payments; {_cost(fire, spent)}"
    note = f"acknowledgement; {told}"
    result.set("surge_p99_ms", percentile(acknowledged, 0.99) * 1e3, note=note)
    note = f"callback to committed token; {told}"
    result.set("surge_token_p99_ms", percentile(vended, 0.99) * 1e3, note=note)
    result.set("surge_errors", errors, note=f"of {len(due):,}; {len(due) - len(stamps)} undecided")
    after = calm + high + calm / 2
    result.details["surge"] = {
        "calm": calm,
        "high": high,
        "acknowledged": _by_second(due, latency),
        "vended": _by_second(due, tokens),
        "acknowledged_histogram": histogram(acknowledged),
        "vended_histogram": histogram(vended),
        "recovered_p99_ms": _p99_ms(committed.within(due, tokens, after, after + calm)),
        "calm_p99_ms": _p99_ms(committed.within(due, tokens, calm / 2, calm)),
        "memory_mb": [memory, processors.resident_mb(server.pid)],
        "strange_cores": spent.strange_cores,
    }
    result.details["batches"] = await batches(site, server, fire.prefix)


async def overload(
    site: Site, server: Server, result: Result, *, capacity: float, seconds: float
) -> None:
    """Offer sales at twice the measured capacity: how much of the capacity is still done."""
    phases = [Phase(per_second=2 * capacity, seconds=seconds)]
    roots = {"server": server.pid, "postgres": site.cluster.pid}
    fire, spent = await spent_in(
        roots,
        site.fire(
            server, "sale", connections=OVERLOAD_CONNECTIONS, phases=phases, patience_seconds=8.0
        ),
    )
    due, latency, status = fire.fired.columns()
    accepted = sorted(
        took for took, code in zip(latency, status, strict=True) if 200 <= code < 300
    )  # fmt: skip
    # What was still answered after the last arrival is not work done under this load.
    in_time = sum(
        at + took <= seconds and 200 <= code < 300
        for at, took, code in zip(due, latency, status, strict=True)
    )
    goodput = in_time / seconds
    answers = ", ".join(f"{code}: {n:,}" for code, n in sorted(Counter(status).items()))
    note = (
        f"{goodput:,.0f}/s of {capacity:,.0f}/s, offered {2 * capacity:,.0f}/s for "
        f"{seconds:.0f} s; answers {answers} (0: none in 8 s); {_cost(fire, spent)}"
    )
    result.set("overload_goodput", goodput / capacity, note=note)
    if accepted:
        result.set("overload_p99_ms", percentile(accepted, 0.99) * 1e3, note="sales answered 201")
    else:
        result.set("overload_p99_ms", reason="no sale was answered")
    result.details["overload"] = {"accepted_histogram": histogram(accepted), "answers": answers}


async def slow_disk(
    site: Site,
    server: Server,
    result: Result,
    *,
    rounds: int,
    seconds: float,
    say: Callable[[str], None],
) -> None:
    """Sell with and without 10 ms more on every fdatasync, in turns."""
    if site.cluster.slow_file is None:
        result.set("slow_disk", reason="no C compiler (cc) to make the disk slower with")
        return
    slow: list[float] = []
    fast: list[float] = []
    for _ in range(rounds):
        for milliseconds, rates in ((0, fast), (SLOW_MILLISECONDS, slow)):
            site.cluster.slow_down(milliseconds)
            try:
                fire = await site.fire(
                    server, "sale", connections=SALE_CONNECTIONS, seconds=seconds
                )
            finally:
                site.cluster.slow_down(0)
            rates.append(fire.answered / fire.fired.seconds)
        say(f"slow disk: {slow[-1]:,.0f}/s of {fast[-1]:,.0f}/s")
    note = f"sales on {SALE_CONNECTIONS} connections, closed loop"
    result.set("slow_disk", rounds=ratios(slow, fast), note=note)


async def soak(site: Site, server: Server, *, seconds: float) -> list[tuple[float, float]]:
    """Offer 300/s and return the server's memory (seconds, MB) once a second."""
    firing = asyncio.create_task(
        site.fire(
            server, "confirm", connections=64, phases=[Phase(per_second=300, seconds=seconds)]
        )
    )
    memory = []
    began = asyncio.get_running_loop().time()
    while not firing.done():
        memory.append(
            (asyncio.get_running_loop().time() - began, processors.resident_mb(server.pid))
        )
        await asyncio.wait({firing}, timeout=1.0)
    await firing
    return memory


def slope_per_hour(points: Sequence[tuple[float, float]]) -> float:
    """Return by how much the second value rises in an hour of the first (least squares)."""
    count = len(points)
    mean_x = sum(x for x, _ in points) / count
    mean_y = sum(y for _, y in points) / count
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return 3600 * sum((x - mean_x) * (y - mean_y) for x, y in points) / spread


def histogram(ordered: Sequence[float]) -> list[tuple[str, int]]:
    """Count seconds into bars named by their milliseconds; the last bar has what is beyond."""
    bars = [
        (f"{low}-{high}", sum(low <= value * 1e3 < high for value in ordered))
        for low, high in pairwise(EDGES_MS)
    ]
    bars.append((f"{EDGES_MS[-1]}+", sum(value * 1e3 >= EDGES_MS[-1] for value in ordered)))
    while len(bars) > 1 and not bars[-1][1]:
        bars.pop()
    return bars


BATCHES = """
with sizes as (
    select count(*) as size
      from payment
      join outcome using (payment_id)
     where operator = 'mpesa' and transaction_id >= $1 and transaction_id < $2
     group by outcome.xmin::text
)
select size, count(*) as batches from sizes group by size order by size
"""


async def batches(site: Site, server: Server, prefix: str) -> list[tuple[int, int]]:
    """Return how many commits of a load held how many payments: (size, commits)."""
    rows = await site.cluster.fetch(BATCHES, *committed.bounds(prefix), database=server.database)
    return [(row["size"], row["batches"]) for row in rows]


def _by_second(due: Sequence[float], values: Sequence[float]) -> list[dict[str, Any]]:
    seconds: dict[int, list[float]] = {}
    for at, value in zip(due, values, strict=True):
        if value >= 0:
            seconds.setdefault(int(at), []).append(value)
    return [
        {
            "second": second,
            "count": len(found),
            "p50_ms": percentile(sorted(found), 0.5) * 1e3,
            "p99_ms": percentile(sorted(found), 0.99) * 1e3,
        }
        for second, found in sorted(seconds.items())
    ]


def _p99_ms(ordered: Sequence[float]) -> float | None:
    return percentile(ordered, 0.99) * 1e3 if ordered else None


def _cost(fire: Fire, spent: Spent) -> str:
    asked = max(1, len(fire.fired.columns()[0]))
    each = {name: seconds / asked * 1e6 for name, seconds in spent.trees.items()}
    return (
        f"{each['server']:.0f} us server + {each['postgres']:.0f} us database "
        f"+ {fire.fired.cpu_seconds / asked * 1e6:.0f} us generator each"
    )
