"""What happens past the ordinary: a surge, an overload, a disk that has become slow.

Latencies count from the instant a request was due, and tokens from the same instant.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from itertools import pairwise
from statistics import median
from typing import Any

import msgspec

from benchmarks import committed, processors
from benchmarks.goals import Result, percentile, ratios
from benchmarks.gun import Phase
from benchmarks.processors import Spent
from benchmarks.quiet import Quiet, spent_in
from benchmarks.rounds import SALE_CONNECTIONS
from benchmarks.site import Fire, Server, Site

CALM_PER_SECOND = 300
HIGH_PER_SECOND = 3_000
SURGE_CONNECTIONS = 512
OVERLOAD_CONNECTIONS = 6144
"""More than a quick server lets wait: with fewer, the load would wait at its own gates, unrefused,
and the overload would be the generator's."""

GRAIN_SECONDS = 0.0005
"""Of a load of thousands a second: waking for each request would cost the generator twice the
processor time, which is then the server's no more. Times are too long by half a millisecond."""

SLOW_MILLISECONDS = 10
EDGES_MS = (0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100, 150, 250, 500, 1000, 2500, 10_000)
"""Where the histogram's bars begin and end."""


async def surge(
    site: Site, server: Server, result: Result, *, calm: float, high: float, quiet: Quiet
) -> None:
    """Offer 300/s, then 3 000/s, then 300/s again, and judge the high part."""
    phases = [
        Phase(per_second=CALM_PER_SECOND, seconds=calm),
        Phase(per_second=HIGH_PER_SECOND, seconds=high),
        Phase(per_second=CALM_PER_SECOND, seconds=calm),
    ]
    roots = {"server": server.pid, "postgres": site.cluster.pid}
    memory = processors.resident_mb(server.pid)

    async def run() -> Fire:
        fire = await site.fire(
            server, "confirm", connections=SURGE_CONNECTIONS, phases=phases,
            grain_seconds=GRAIN_SECONDS,
        )  # fmt: skip
        await committed.settled(site.cluster, server.database, fire.prefix)
        return fire

    async def work() -> tuple[tuple[Fire, Spent], Spent]:
        fire, spent = await spent_in(roots, run())
        return (fire, spent), spent

    fire, spent = await quiet.measure("surge", work, tries=2)
    stamps = await committed.stamps(site.cluster, server.database, fire.prefix)
    due, latency, status = fire.fired.columns()
    tokens = committed.waits(fire, stamps)
    acknowledged = committed.within(due, latency, calm, calm + high)
    vended = committed.within(due, tokens, calm, calm + high)
    errors = sum(code != HTTPStatus.OK for code in status)
    told = (
        f"3 000/s for {high:.0f} s, open loop, {len(due):,} payments; {_cost(fire, spent)}"
        f"{quiet.told('surge')}"
    )
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


class Flood(msgspec.Struct, frozen=True, kw_only=True):
    """One round of the overload: sales a second around it, and what became of twice as many.

    `capacity` is the mean of before and after, because a machine's speed changes by the minute;
    `offered` a second is twice that of before. `goodput` counts sales answered 201 with their token
    before the last one was due: what was answered later is not work done under that load. `seconds`
    has offered, accepted and the p99 of the accepted, second by second of the time at which they
    were due or answered.
    """

    capacity: float
    offered: float
    goodput: float
    p99_ms: float | None
    answers: dict[int, int]
    cost: str
    seconds: list[dict[str, Any]]
    accepted_histogram: list[tuple[str, int]]


async def overload(
    site: Site, server: Server, result: Result, *, rounds: int, calm: float, seconds: float,
    quiet: Quiet,
) -> None:  # fmt: skip
    """Sell at capacity, then offer twice that, in turns: how much of the capacity is still done."""

    async def work() -> tuple[Flood, Spent]:
        return await spent_in({}, _flood(site, server, calm=calm, seconds=seconds))

    found = []
    for number in range(1, rounds + 1):
        one = await quiet.measure(f"overload {number}", work)
        found.append(one)
        quiet.say(
            f"overload {number} of {rounds}: {one.goodput:,.0f}/s of {one.capacity:,.0f}/s, "
            f"p99 {one.p99_ms or 0:,.0f} ms, answers {_answers(one)}"
        )
    told = (
        f"{median(one.goodput for one in found):,.0f}/s of "
        f"{median(one.capacity for one in found):,.0f}/s measured just before and after (closed "
        f"loop, {SALE_CONNECTIONS} connections), offered twice that for {seconds:.0f} s on "
        f"{OVERLOAD_CONNECTIONS} connections; answers {_answers(found[-1])}; {found[-1].cost}"
        f"{quiet.told('overload')}"
    )
    result.set(
        "overload_goodput",
        rounds=ratios([one.goodput for one in found], [one.capacity for one in found]),
        note=told,
    )
    p99s = [one.p99_ms for one in found if one.p99_ms is not None]
    if p99s:
        result.set("overload_p99_ms", rounds=p99s, note="sales answered 201 with their token")
    else:
        result.set("overload_p99_ms", reason="no sale was answered")
    result.details["overload"] = msgspec.to_builtins(found)


async def _flood(site: Site, server: Server, *, calm: float, seconds: float) -> Flood:
    before = await site.fire(server, "sale", connections=SALE_CONNECTIONS, seconds=calm)
    capacity = before.answered / before.fired.seconds
    roots = {"server": server.pid, "postgres": site.cluster.pid}
    fire, spent = await spent_in(
        roots,
        site.fire(
            server, "sale", connections=OVERLOAD_CONNECTIONS, patience_seconds=8.0,
            phases=[Phase(per_second=2 * capacity, seconds=seconds)],
            grain_seconds=GRAIN_SECONDS,
        ),
    )  # fmt: skip
    after = await site.fire(server, "sale", connections=SALE_CONNECTIONS, seconds=calm)
    due, latency, status = fire.fired.columns()
    accepted = [
        (at, took)
        for at, took, code in zip(due, latency, status, strict=True)
        if code == HTTPStatus.CREATED
    ]
    ordered = sorted(took for _, took in accepted)
    return Flood(
        capacity=(capacity + after.answered / after.fired.seconds) / 2,
        offered=2 * capacity,
        goodput=sum(at + took <= seconds for at, took in accepted) / seconds,
        p99_ms=_p99_ms(ordered),
        answers=dict(Counter(status)),
        cost=_cost(fire, spent),
        seconds=_flood_by_second(due, accepted),
        accepted_histogram=histogram(ordered),
    )


def _flood_by_second(
    due: Sequence[float], accepted: Sequence[tuple[float, float]]
) -> list[dict[str, Any]]:
    offered = Counter(int(at) for at in due)
    done: dict[int, list[float]] = {}
    for at, took in accepted:
        done.setdefault(int(at + took), []).append(took)
    return [
        {
            "second": second,
            "offered": offered[second],
            "accepted": len(done.get(second, [])),
            "p99_ms": _p99_ms(sorted(done.get(second, []))),
        }
        for second in sorted(offered)
    ]


def _answers(one: Flood) -> str:
    return ", ".join(
        f"{code or 'no answer in 8 s'}: {count:,}" for code, count in sorted(one.answers.items())
    )


async def slow_disk(
    site: Site, server: Server, result: Result, *, rounds: int, seconds: float, quiet: Quiet
) -> None:
    """Sell with and without 10 ms more on every fdatasync, in turns."""
    if site.cluster.slow_file is None:
        result.set("slow_disk", reason="no C compiler (cc) to make the disk slower with")
        return

    async def work() -> tuple[tuple[float, float], Spent]:
        return await spent_in({}, _fast_and_slow(site, server, seconds))

    found = []
    for number in range(1, rounds + 1):
        fast, slow = await quiet.measure(f"slow disk {number}", work)
        found.append((fast, slow))
        quiet.say(f"slow disk {number} of {rounds}: {slow:,.0f}/s of {fast:,.0f}/s")
    note = (
        f"{median(slow for _, slow in found):,.0f}/s of {median(fast for fast, _ in found):,.0f}/s "
        f"sales on {SALE_CONNECTIONS} connections, closed loop{quiet.told('slow disk')}"
    )
    result.set("slow_disk", rounds=[slow / fast for fast, slow in found], note=note)


async def _fast_and_slow(site: Site, server: Server, seconds: float) -> tuple[float, float]:
    rates = []
    for milliseconds in (0, SLOW_MILLISECONDS):
        site.cluster.slow_down(milliseconds)
        try:
            fire = await site.fire(server, "sale", connections=SALE_CONNECTIONS, seconds=seconds)
        finally:
            site.cluster.slow_down(0)
        rates.append(fire.answered / fire.fired.seconds)
    return rates[0], rates[1]


async def soak(site: Site, server: Server, *, seconds: float) -> list[tuple[float, float]]:
    """Offer 300/s and return the server's memory (seconds, MB) once a second."""
    firing = asyncio.create_task(
        site.fire(
            server, "confirm", connections=64,
            phases=[Phase(per_second=CALM_PER_SECOND, seconds=seconds)],
        )
    )  # fmt: skip
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
        f"+ {fire.fired.cpu_seconds / asked * 1e6:.0f} us generator each "
        f"(generator {fire.fired.cpu_seconds / fire.fired.seconds:.2f} of a core)"
    )
