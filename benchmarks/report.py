"""The report: one page that needs nothing but itself, made from `latest.json` alone.

For people who did not write it: what was measured, how, what must be reached, and the pictures.
"""

from collections.abc import Sequence
from html import escape
from statistics import median

from benchmarks.goals import Figure, Result
from vending.loadtest import charts
from vending.loadtest.charts import Bar, Limit, Mark, Series

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 60rem; margin: 2rem auto;
       padding: 0 1rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
table { border-collapse: collapse; width: 100%; font-size: .92rem }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #e4e4e4;
         vertical-align: top }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
td code { color: #0072b2; font-size: .85rem }
td .note { color: #666; font-size: .85rem }
.verdict-of { white-space: nowrap }
.verdict { padding: .6rem .9rem; border-left: 5px solid #777; background: #f6f6f6 }
.good { color: #00694b; font-weight: 600 } .bad { color: #b00020; font-weight: 600 }
.none { color: #777 }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; font-size: .92rem }
dt { color: #666 } dd { margin: 0 }
"""

HOW = (
    """Everything ran on this one machine in one run: the server as its own process, its PostgreSQL
    with every safety on, and the generator of the load. Rates of one machine mean little on
    another, so the figures are ratios against two yardsticks measured in the same minutes: TPC-B,
    PostgreSQL's own bank benchmark (pgbench, 16 clients, scale 50, prepared statements), and an
    empty aiohttp server that reads the same request and answers one line. Each round runs all of
    them in turn; a figure is the median of the rounds' ratios. While TPC-B, the empty server and
    the paused lane are measured, the server that vends stands still. Any measurement during which
    other programs took more than a fifth of a core is made again, a few times at most; what never
    was quiet says so.""",
    """A sale is one HTTP request answered with a real STS token (half the meters EA07, half EA11,
    keys derived by DKGA04) after the commit that holds payment, token, nine ledger lines, the
    meter's state and, where the household has a phone, its message. A callback is an M-PESA
    confirmation acknowledged after its commit; it counts when its token is committed as well.
    Latencies count from the instant a request was due, not from when it could be sent. In a closed
    loop each connection asks again as soon as it is answered, so it offers what is taken; in an
    open loop requests come at random instants at the rate named, whatever is answered.""",
)

FLOOD = """Capacity is measured just before and after each round, in a closed loop. Done is what was
answered 201 with its token before the last request was due; 503 is a refusal, 0 no answer in
time."""


def page(result: Result) -> str:
    """Return the whole page."""
    parts = [
        "<!doctype html>",
        '<html lang="en"><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Stima: how fast, {escape(result.made_at[:10])}</title>",
        f"<style>{STYLE}{charts.CSS}</style>",
        "<h1>Stima: how fast it is</h1>",
        (f"<p>{escape(result.made_at[:16].replace('T', ' '))} UTC, "
        f"<code>{escape(result.command)}</code>, {result.seconds / 60:.0f} minutes</p>"),
        _verdict(result),
        "<h2>Figures</h2>", _figures(result),
        "<h2>How it was measured</h2>", *(f"<p>{escape(text)}</p>" for text in HOW),
        *(f"<p>{escape(note)}</p>" for note in result.notes),
        "<h2>Rounds</h2>", *_rounds(result),
        "<h2>The surge</h2>", *_surge(result),
        "<h2>Past the limit</h2>", *_overload(result),
        "<h2>The drain after an outage</h2>", *_drain(result),
        "<h2>Memory at 300/s</h2>", *_soak(result),
        "<h2>How quiet the machine was</h2>", _quiet(result),
        "<h2>The books afterwards</h2>", _books(result),
        "<h2>The machine</h2>", _machine(result),
        "</html>",
    ]  # fmt: skip
    return "\n".join(parts)


def shown(figure: Figure, value: float | None) -> str:
    """Return a figure's value, or one of its bounds, as people read it."""
    if value is None:
        return "none"
    return f"{charts.number(value)} {figure.unit}".strip()


def bound(figure: Figure, value: float) -> str:
    """Return a bound with its side: at least or at most."""
    return f"{'≤' if figure.at_most else '≥'} {shown(figure, value)}"


def _verdict(result: Result) -> str:
    measured = [one for one in result.figures.values() if one.value is not None]
    must = sum(one.must_met for one in measured)
    aim = sum(one.aim_met for one in measured)
    missed = [one.key for one in measured if not one.must_met]
    told = (
        f"{len(measured)} of {len(result.figures)} figures were measured: {must} keep their bound, "
        f"{aim} reach their aim."
    )
    if missed:
        told += f" Below their bound: {', '.join(missed)}."
    books = "The books balance." if result.sound else "THE BOOKS DO NOT BALANCE: see below."
    return f'<p class="verdict">{escape(told)} {books}</p>'


def _figures(result: Result) -> str:
    rows = [("<tr><th>Figure<th class=number>Measured<th class=number>Must"
            "<th class=number>Aim<th class=verdict-of>Verdict</tr>")]  # fmt: skip
    for one in result.figures.values():
        note = one.note or one.reason
        if len(one.rounds) > 1:
            note += f" (rounds {', '.join(charts.number(each) for each in one.rounds)})"
        rows.append(
            f"<tr><td>{escape(one.says[:1].upper() + one.says[1:])}"
            f'<br><code>{one.key}</code> <span class="note">{escape(note)}</span>'
            f"<td class=number>{shown(one, one.value)}"
            f"<td class=number>{bound(one, one.must)}<td class=number>{bound(one, one.aim)}"
            f"<td class=verdict-of>{_judgement(one)}</tr>"
        )
    return f"<table>{''.join(rows)}</table>"


def judgement(figure: Figure) -> str:
    """Return the verdict on a figure in a word or two."""
    if figure.value is None:
        return "not measured"
    if figure.aim_met:
        return "aim reached"
    return "bound kept" if figure.must_met else "missed"


def _judgement(figure: Figure) -> str:
    said = judgement(figure)
    kind = {"not measured": "none", "missed": "bad"}.get(said, "good")
    return f'<span class="{kind}">{said}</span>'


def _rounds(result: Result) -> list[str]:
    rounds = result.details.get("rounds", [])
    if not rounds:
        return ["<p>No rounds were run.</p>"]
    names = list(rounds[0]["rates"])
    rows = [("<tr><th>What<th class=number>a second<th class=number>processor time each"
            "<th>of which<th class=number>generator<th class=number>p50<th class=number>p99"
            "<th class=number>connections</tr>")]  # fmt: skip
    for name in names:
        rates = [one["rates"][name] for one in rounds]
        split = ", ".join(
            f"{tree} {median(rate['micros_of'][tree] for rate in rates):.0f}"
            for tree in rates[0]["micros_of"]
        )
        cells = [
            median(rate[key] for rate in rates)
            for key in ("per_second", "micros", "generator_micros", "p50_ms", "p99_ms")
        ]
        rows.append(
            f"<tr><td>{name}<td class=number>{cells[0]:,.0f}<td class=number>{cells[1]:.0f} us"
            f"<td>{split}<td class=number>{cells[2]:.0f} us<td class=number>{cells[3]:.1f} ms"
            f"<td class=number>{cells[4]:.1f} ms<td class=number>{rates[0]['connections']}</tr>"
        )
    each = [
        Series(
            name=name,
            points=[(place + 1, one["rates"][name]["per_second"])
                    for place, one in enumerate(rounds)],
        )
        for name in names
    ]  # fmt: skip
    strange = ", ".join(f"{one['strange_cores']:.2f}" for one in rounds)
    drawn = charts.lines(
        "Each round's rates", each, unit="a second", across="round",
        says=f"Closed loop, medians above. Cores that other programs took: {strange}.",
    )  # fmt: skip
    return [f"<table>{''.join(rows)}</table>", drawn]


def _surge(result: Result) -> list[str]:
    surge = result.details.get("surge")
    if surge is None:
        return ["<p>No surge was run.</p>"]
    marks = [Mark(at=surge["calm"], text="3,000/s from here"),
             Mark(at=surge["calm"] + surge["high"], text="300/s again")]  # fmt: skip
    latency = [
        Series(
            name=f"{what} {which}", points=[(at["second"], at[f"{which}_ms"]) for at in surge[key]]
        )
        for what, key in (("token", "vended"), ("acknowledged", "acknowledged"))
        for which in ("p99", "p50")
    ]
    must = result.figures["surge_token_p99_ms"].must
    parts = [
        charts.lines(
            "Latency, second by second", latency, unit="ms", marks=marks,
            limit=Limit(at=must, text=f"token p99 at most {must:.0f} ms"),
            says="From the instant a payment was due to its acknowledgement, and to its token.",
        ),
        charts.bars(
            "Acknowledgements while 3,000/s came", _bars(surge["acknowledged_histogram"]),
            unit="payments", across="milliseconds",
        ),
        charts.bars(
            "Tokens while 3,000/s came", _bars(surge["vended_histogram"]), unit="payments",
            across="milliseconds",
        ),
        charts.bars(
            "Payments in one commit", _sizes(result.details.get("batches", [])), unit="commits",
            says="Batches grow with the load: nothing waits for a timer.", across="payments",
        ),
    ]  # fmt: skip
    calm, recovered = surge["calm_p99_ms"], surge["recovered_p99_ms"]
    if calm is not None and recovered is not None:
        parts.append(f"<p>Token p99 before the surge {calm:.1f} ms, after it {recovered:.1f} ms. "
                     f"Memory of the server {surge['memory_mb'][0]:.0f} MB before, "
                     f"{surge['memory_mb'][1]:.0f} MB after.</p>")  # fmt: skip
    return parts


def _bars(histogram: Sequence[Sequence[object]]) -> list[Bar]:
    return [Bar(name=str(name), value=float(str(count)), says=f"{name} ms: {count}")
            for name, count in histogram]  # fmt: skip


def _sizes(batches: Sequence[Sequence[int]]) -> list[Bar]:
    edges = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500)
    bars = []
    for low, high in zip(edges, (*edges[1:], 501), strict=True):
        count = sum(commits for size, commits in batches if low <= size < high)
        name = str(low) if high == low + 1 else f"{low}-{high - 1}"
        bars.append(Bar(name=name, value=count))
    return bars


def _overload(result: Result) -> list[str]:
    floods = result.details.get("overload")
    if not floods:
        return ["<p>No overload was run.</p>"]
    last = floods[-1]
    rows = [("<tr><th>Round<th class=number>capacity<th class=number>offered"
             "<th class=number>done<th class=number>of capacity<th class=number>p99 accepted"
             "<th>answers</tr>")]  # fmt: skip
    for place, one in enumerate(floods, 1):
        answers = ", ".join(f"{code}: {count:,}" for code, count in one["answers"].items())
        p99 = "none" if one["p99_ms"] is None else f"{one['p99_ms']:,.0f} ms"
        rows.append(
            f"<tr><td>{place}<td class=number>{one['capacity']:,.0f}/s"
            f"<td class=number>{one['offered']:,.0f}/s<td class=number>{one['goodput']:,.0f}/s"
            f"<td class=number>{one['goodput'] / one['capacity']:.2f}<td class=number>{p99}"
            f"<td>{escape(answers)}</tr>"
        )
    over = [
        Series(name=name, points=[(at["second"], at[name]) for at in last["seconds"]])
        for name in ("offered", "accepted")
    ]
    slow = [Series(name="p99", points=[(at["second"], at["p99_ms"]) for at in last["seconds"]])]
    must = result.figures["overload_p99_ms"].must
    return [
        f"<p>{FLOOD}</p>",
        f"<table>{''.join(rows)}</table>",
        charts.lines(
            "Sales at twice the capacity", over, unit="a second",
            limit=Limit(at=last["capacity"], text="capacity, closed loop"),
            says="The last round: offered by when a request was due, accepted by when answered.",
        ),
        charts.lines(
            "How long accepted sales took", slow, unit="ms",
            limit=Limit(at=must, text=f"at most {must:.0f} ms"),
        ),
        charts.bars(
            "Accepted sales at twice the capacity", _bars(last["accepted_histogram"]),
            unit="sales", across="milliseconds",
        ),
    ]  # fmt: skip


def _soak(result: Result) -> list[str]:
    points = result.details.get("soak")
    if not points:
        return ["<p>No soak was run.</p>"]
    return [
        charts.lines(
            "Memory of the server", [Series(name="resident", points=points)], unit="MB",
            says="The figure is the slope of the last two thirds.",
        )
    ]  # fmt: skip


def _quiet(result: Result) -> str:
    stretches = result.details.get("quiet", [])
    if not stretches:
        return "<p>Nothing was listened for.</p>"
    again = [one for one in stretches if one["tries"] > 1]
    rows = ["<tr><th>Measurement<th class=number>tries<th class=number>cores taken by others</tr>"]
    rows += [
        f"<tr><td>{escape(one['what'])}<td class=number>{one['tries']}"
        f"<td class=number>{one['strange_cores']:.2f}</tr>"
        for one in (again or stretches)
    ]
    worst = max(one["strange_cores"] for one in stretches)
    told = (
        f"{len(stretches)} measurements, {len(again)} of them made more than once; the loudest "
        f"that was kept lost {worst:.2f} cores to other programs."
    )
    return f"<p>{told}</p><table>{''.join(rows)}</table>"


def _drain(result: Result) -> list[str]:
    drain = result.details.get("drain")
    if drain is None:
        return ["<p>No drain was run.</p>"]
    points = [(second, float(vended)) for second, vended in drain["progress"]]
    return [
        charts.lines(
            "Backlog vended", [Series(name="payments", points=points)], unit="a second",
            says=f"{drain['count']:,} payments in {drain['seconds']:.0f} s, with live traffic.",
            across="seconds since the server was ready",
        )
    ]  # fmt: skip


def _books(result: Result) -> str:
    rows = [
        f"<tr><td>{escape(says)}<td>{escape(told)}"
        f'<td><span class="{"good" if holds else "bad"}">'
        f"{'holds' if holds else 'BROKEN'}</span></tr>"
        for says, holds, told in result.books
    ]
    return f"<table>{''.join(rows)}</table>"


def _machine(result: Result) -> str:
    pairs = [f"<dt>{escape(name)}<dd>{escape(value)}" for name, value in result.machine.items()]
    return f"<dl>{''.join(pairs)}</dl>"
