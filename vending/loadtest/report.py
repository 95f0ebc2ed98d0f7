"""The page that a load test leaves: one HTML file with everything in it, verdict first."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from html import escape
from itertools import pairwise

from vending.loadtest import charts, exposition, latency, limits, verdict
from vending.loadtest.charts import Bar, Limit, Mark, Series
from vending.loadtest.limits import Judgement, figure
from vending.loadtest.run import CONFIRMS, DONE, Run
from vending.loadtest.scenarios import Door, Scenario

CSS = """
:root { color-scheme: light }
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff;
       max-width: 58rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; margin: 0 0 .4rem } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem }
.word { display: inline-block; padding: .1rem .6rem; border-radius: .3rem; color: #fff;
        font-size: 1rem; vertical-align: middle; margin-left: .4rem }
.yes { background: #1b7a43 } .no { background: #b00020 }
.verdict { font-size: 1.08rem }
table { border-collapse: collapse; font-size: .95rem; margin: .6rem 0 }
th, td { text-align: left; padding: .3rem 1.2rem .3rem 0; border-bottom: 1px solid #e4e4e4;
         vertical-align: top }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
code.name { white-space: nowrap }
.bad { color: #b00020; font-weight: 600 } code { font-size: .92em; overflow-wrap: anywhere }
footer { color: #555; font-size: .9rem; margin: 2.5rem 0 }
"""

_MEBIBYTE = 2**20
_APART_SECONDS = 0.5
"""Two looks closer together than this (the last two may be) say nothing of a rate."""

_OCTAVE_PARTS = 2
"""The histogram is drawn in halves of a doubling: coarse enough to be read."""

_FOOTER = (
    "Latencies count from the instant a request was due. Processor time of the server does not "
    "include its database's. Rates of the server are read from its /metrics each second; other "
    "traffic on it is in them."
)


def page(run: Run, scenario: Scenario) -> str:
    """Return the whole page."""
    judgements = limits.judge(run, scenario)
    told = verdict.verdict(run, scenario, judgements)
    marks = injected(run, scenario)
    colour = "yes" if told.passed else "no"
    word = f'<span class="word {colour}">{told.word}</span>'
    parts = [
        f"<h1>{escape(scenario.title)} {word}</h1>",
        f'<p class="verdict">{escape(told.text)}</p>',
        _limits_table(judgements),
        "<h2>What was asked</h2>",
        f"<p>{escape(scenario.says)}</p>",
        _asked_table(run),
        "<h2>What was injected when</h2>",
        _injected_table(run, marks, scenario.door),
        "<h2>What happened</h2>",
        *_charts(run, marks, scenario.door),
        "<h2>Answers</h2>",
        _answers_table(run),
        "<h2>What the server decided and refused</h2>",
        _refused_table(run),
        f"<footer>{escape(_FOOTER)}</footer>",
    ]
    title = f"{scenario.title}: {told.word.lower()}"
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title>"
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{CSS}{charts.CSS}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def injected(run: Run, scenario: Scenario) -> list[Mark]:
    """Return what a reader should know of, in order: the scenario's moments and storms."""
    seconds = run.asked.seconds
    marks = [Mark(at=one.at * seconds, text=one.text) for one in scenario.moments]
    for storm in scenario.storms:
        copies = max(1, round(storm.copies * min(1.0, run.asked.scale)))
        marks.append(Mark(at=storm.at * seconds, text=f"{copies:,} copies at once"))
    if scenario.over is not None:
        marks.append(Mark(at=scenario.over * seconds, text="worst is over"))
    return sorted(marks, key=lambda mark: mark.at)


def _end(run: Run) -> float:
    """Return where every chart over time ends."""
    return max([look.at for look in run.looks] + [one.second for one in run.seconds], default=0.0)


def _charts(run: Run, marks: Sequence[Mark], door: Door) -> list[str]:
    return [
        _throughput(run, marks, door),
        _latency_over_time(run, marks, door),
        _histogram(run, door),
        _queue_age(run, marks),
        _queue_length(run, marks),
        _processors(run, marks),
        _memory(run, marks),
    ]


def _throughput(run: Run, marks: Sequence[Mark], door: Door) -> str:
    told = [(one.second, sum(one.offered.get(kind, 0) for kind in CONFIRMS)) for one in run.seconds]
    kept = [
        (
            one.second,
            sum(one.answered.get(kind, {}).get(yes, 0) for kind in CONFIRMS for yes in DONE),
        )
        for one in run.seconds
    ]
    asked = [(one.second, one.offered.get("check", 0)) for one in run.seconds]
    return charts.lines(
        "Offered, accepted and vended",
        [
            Series(name=f"{door.confirm}s offered", points=told),
            Series(name="accepted", points=kept),
            Series(name="vended", points=_rate(run, "stima_outcomes_total", **door.vended())),
            Series(name=f"{door.check}s offered", points=asked),
        ],
        unit="per second",
        says=f"Accepted are {door.confirm}s answered 200 or 201 (repeats included); vended are "
        f"{door.payment}s that got their {'token' if door.outcome else 'token or their refund'}.",
        marks=marks,
        until=_end(run),
    )


def _latency_over_time(run: Run, marks: Sequence[Mark], door: Door) -> str:
    def points(share: float, *kinds: str) -> list[tuple[float, float | None]]:
        found: list[tuple[float, float | None]] = []
        for one in run.seconds:
            counts = latency.merged(counts for kind, counts in one.latency.items() if kind in kinds)
            value = latency.percentile(counts, share)
            found.append((one.second, None if value is None else value * 1000))
        return found

    limits_set = run.asked.limits
    allowed = limits_set.get("confirm-p99-ms", limits_set.get("sale-p99-ms"))
    return charts.lines(
        "How long answers took",
        [
            Series(name=f"{door.confirm}, slowest", points=points(1.0, *CONFIRMS)),
            Series(name=f"{door.confirm}, 99 %", points=points(0.99, *CONFIRMS)),
            Series(name=f"{door.confirm}, half", points=points(0.5, *CONFIRMS)),
            Series(name=f"{door.check}, 99 %", points=points(0.99, "check")),
        ],
        unit="ms",
        says="Each point is a second's answers: this share of them took no longer.",
        marks=marks,
        until=_end(run),
        limit=Limit(at=allowed, text="limit for 99 %") if allowed is not None else None,
    )


def _histogram(run: Run, door: Door) -> str:
    counts = run.latencies(*CONFIRMS)
    step = latency.STEPS // _OCTAVE_PARTS
    coarse: Counter[int] = Counter()
    for bucket, count in counts.items():
        coarse[bucket // step] += count
    shown = range(min(coarse, default=0), max(coarse, default=0) + 1)
    total = sum(counts.values())
    values = []
    for part in shown:
        upto = latency.upper_seconds((part + 1) * step - 1) * 1000
        share = coarse[part] / total * 100 if total else 0.0
        values.append(
            Bar(
                name=f"≤ {charts.number(upto)}",
                value=coarse[part],
                says=f"{coarse[part]:,} {door.confirm}s ({share:.2g} %) took up to "
                f"{charts.number(upto)} ms",
            )
        )
    told = ", ".join(
        f"{name} {figure(value * 1000)} ms"
        for name, share in (
            ("half", 0.5), ("90 %", 0.9), ("99 %", 0.99), ("99.9 %", 0.999), ("all", 1.0)
        )
        if (value := latency.percentile(counts, share)) is not None
    )  # fmt: skip
    return charts.bars(
        f"{door.confirm.capitalize()}s by the time they took",
        values,
        unit=f"{door.confirm}s",
        says=f"Within: {told}." if told else "",
        across="milliseconds, each bar 1.4 times the one before",
    )


def _queue_age(run: Run, marks: Sequence[Mark]) -> str:
    allowed = run.asked.limits.get("oldest-waiting-s")
    return charts.lines(
        "Age of the oldest paid and undecided payment",
        [Series(name="oldest", points=_gauge(run, "stima_oldest_waiting_seconds"))],
        unit="seconds",
        says="The one number for the wall: how long somebody has been without their token.",
        marks=marks,
        until=_end(run),
        limit=Limit(at=allowed, text="limit") if allowed is not None else None,
    )


def _queue_length(run: Run, marks: Sequence[Mark]) -> str:
    return charts.lines(
        "What waits",
        [
            Series(name="payments to decide", points=_gauge(run, "stima_waiting_payments")),
            Series(name="of them in backlog", points=_gauge(run, "stima_backlog_payments")),
            Series(name="messages to send", points=_gauge(run, "stima_messages_waiting")),
            Series(
                name="requests without a connection",
                points=[(one.second, one.unsent) for one in run.seconds],
            ),
        ],
        unit="waiting",
        marks=marks,
        until=_end(run),
    )


def _processors(run: Run, marks: Sequence[Mark]) -> str:
    server = [
        (at, None if value is None else value * 100)
        for at, value in _rate(run, "process_cpu_seconds_total")
    ]
    generator = [(one.second, one.cpu_seconds * 100) for one in run.seconds[:-1]]
    each = run.ended.cpu_seconds / max(1, run.ended.requests) * 1_000_000
    return charts.lines(
        "Processor time",
        [Series(name="server", points=server), Series(name="generator", points=generator)],
        unit="% of a core",
        says=f"The generator used {figure(each)} µs for each request. 100 % is one core.",
        marks=marks,
        until=_end(run),
    )


def _memory(run: Run, marks: Sequence[Mark]) -> str:
    server = [
        (at, None if value is None else value / _MEBIBYTE)
        for at, value in _gauge(run, "process_resident_memory_bytes")
    ]
    generator = [(one.second, one.memory_bytes / _MEBIBYTE) for one in run.seconds]
    return charts.lines(
        "Memory",
        [Series(name="server", points=server), Series(name="generator", points=generator)],
        unit="MiB",
        marks=marks,
        until=_end(run),
    )


def _gauge(run: Run, name: str) -> list[tuple[float, float | None]]:
    return [
        (look.at, None if look.samples is None else exposition.total(look.samples, name))
        for look in run.looks
    ]


def _rate(run: Run, name: str, **labels: str) -> list[tuple[float, float | None]]:
    """Return a counter's rise a second between looks; a gap where the target did not answer."""
    points: list[tuple[float, float | None]] = []
    looks = [
        one
        for place, one in enumerate(run.looks)
        if not place or one.at - run.looks[place - 1].at >= _APART_SECONDS
    ]
    for before, after in pairwise(looks):
        if before.samples is None or after.samples is None:
            points.append((after.at, None))
            continue
        risen = exposition.rise(before.samples, after.samples, name, **labels)
        points.append((after.at, None if risen is None else risen / (after.at - before.at)))
    return points


def _limits_table(judgements: Sequence[Judgement]) -> str:
    if not judgements:
        return ""
    rows = [
        (
            "holds" if one.holds else '<span class="bad">FAILS</span>',
            escape(one.limit.asks),
            f"{figure(one.allowed)} {one.limit.unit}",
            "not seen" if one.measured is None else f"{figure(one.measured)} {one.limit.unit}",
            f'<code class="name">{one.limit.name}</code>',
        )
        for one in judgements
    ]
    return _table(("", "limit", "allowed", "measured", "name"), rows, numbers={2, 3})


def _asked_table(run: Run) -> str:
    asked = run.asked
    again = (
        f"vending loadtest {asked.scenario} --target {asked.target} --seed {asked.seed} "
        f"--duration {asked.seconds:g} --rate-scale {asked.scale:g} "
        f"--connections {asked.connections}"
    )
    return _table(
        (),
        [
            ("target", escape(asked.target)),
            ("when", f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC, for {run.ended.seconds:.0f} s"),
            ("meters", f"{asked.customers:,}"),
            ("again", f"<code>{escape(again)}</code>"),
        ],
    )


def _injected_table(run: Run, marks: Sequence[Mark], door: Door) -> str:
    shares = [
        (f"{door.check}s", run.offered("check")),
        (f"first {door.confirm}s", run.offered("confirm")),
        (f"{door.confirm}s of {door.payment}s made hours before", run.offered("late confirm")),
        (f"repeated {door.confirm}s", run.offered("repeat")),
        (f"{door.payment}s refused at {door.check}, so none was made", run.ended.refused_at_check),
    ]
    moments = [(f"{mark.at:.1f} s", escape(mark.text)) for mark in marks]
    return _table(("second", "what"), moments, numbers={0}) + _table(
        ("count", "in all"), [(f"{count:,}", name) for name, count in shares], numbers={0}
    )


def _answers_table(run: Run) -> str:
    sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for one in run.seconds:
        for kind, counts in one.answered.items():
            sums[kind].update(counts)
    rows = [
        (kind, escape(status), f"{count:,}")
        for kind, counts in sums.items()
        for status, count in counts.most_common()
    ]
    return _table(("request", "status", "count"), rows, numbers={2})


def _refused_table(run: Run) -> str:
    first, last = run.first, run.last
    rows = [
        (escape(reason), f"{count:,.0f}", what)
        for name, what, label_names in (
            ("stima_requests_refused_total", "request answered with a problem", ("code",)),
            ("stima_shed_total", "request shed", ("class", "reason")),
            ("stima_quarantined_total", "put aside for a person", ("reason",)),
            ("stima_batch_failures_total", "batch that failed and was halved", ("cause",)),
        )
        for reason, count in exposition.rises(first, last, name, *label_names).items()
    ]
    outcomes = exposition.rises(first, last, "stima_outcomes_total", "kind", "reason")
    rows += [
        (escape(kind.replace("_", " ")), f"{count:,.0f}", "payment decided")
        for kind, count in outcomes.items()
    ]
    if not rows:
        return "<p>The server's metrics show nothing decided, refused or put aside.</p>"
    return _table(("reason", "count", "what"), rows, numbers={1})


def _table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numbers: Collection[int] = (),
) -> str:
    """Return a table; cells are HTML."""
    head = "".join(
        f'<th class="{"number" if place in numbers else ""}">{escape(one)}</th>'
        for place, one in enumerate(heads)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="number">{cell}</td>' if place in numbers else f"<td>{cell}</td>"
            for place, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f"<table>{f'<thead><tr>{head}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"
    )
