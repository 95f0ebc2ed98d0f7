"""What a run comes to, in words for somebody who did not write it."""

from collections.abc import Sequence
from dataclasses import dataclass

from vending.loadtest import exposition, latency
from vending.loadtest.limits import Judgement, figure
from vending.loadtest.run import CONFIRMS, DONE, Run
from vending.loadtest.scenarios import Scenario

GENERATOR = "generator-lag-p99-ms"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The word, and the paragraph that explains it."""

    passed: bool
    word: str
    text: str


def verdict(run: Run, scenario: Scenario, judgements: Sequence[Judgement]) -> Verdict:
    """Say whether a run met its limits; a generator that was late itself proves nothing."""
    broken = [one for one in judgements if not one.holds]
    if not broken:
        return Verdict(passed=True, word="Passed", text=f"{_story(run, scenario)} {_all_hold(run)}")
    if any(one.limit.name == GENERATOR for one in broken):
        return Verdict(
            passed=False,
            word="Not proven",
            text=f"{_story(run, scenario)} The load generator could not keep its own time on this "
            "machine, so the times below are not the server's alone. Free the machine, lower "
            "--rate-scale, or run the generator elsewhere, and repeat the test."
            + _because([one for one in broken if one.limit.name != GENERATOR]),
        )
    return Verdict(
        passed=False,
        word="Failed",
        text=f"{_story(run, scenario)}{_because(broken)}",
    )


def _all_hold(run: Run) -> str:
    count = len(run.asked.limits)
    return "No limit was set." if not count else f"All {count} limits hold."


def _because(broken: Sequence[Judgement]) -> str:
    if not broken:
        return ""
    which = "One limit does" if len(broken) == 1 else f"{len(broken)} limits do"
    return f" {which} not hold: {'; '.join(one.sentence() for one in broken)}."


def _story(run: Run, scenario: Scenario) -> str:
    """Tell what was done and what came of it."""
    payments, lost = run.ended.payments, run.ended.unacknowledged
    requests = sum(sum(one.offered.values()) for one in run.seconds)
    peak = max((sum(one.offered.values()) for one in run.seconds), default=0)
    busiest = f"{peak:,} requests in the busiest second"
    door = scenario.door
    offered = (
        f"{payments:,} {door.payment}s in {requests:,} requests over {figure(run.asked.seconds)} s"
    )
    parts = [f"{scenario.title}: {offered}, {busiest}."]
    if not payments:
        return parts[0]
    parts.append(
        f"Every {door.payment} was acknowledged"
        if not lost
        else f"{lost:,} {door.payment}s were never acknowledged"
    )
    p50, p99 = (latency.percentile(run.latencies(*CONFIRMS), share) for share in (0.5, 0.99))
    if p50 is not None and p99 is not None:
        parts[-1] += (
            f": half of the {door.confirm}s within {figure(p50 * 1000)} ms, "
            f"99 % within {figure(p99 * 1000)} ms."
        )
    else:
        parts[-1] += "."
    refused = {status: count for status, count in run.statuses().items() if status not in DONE}
    if refused:
        told = ", ".join(f"{count:,} {_status(status)}" for status, count in refused.items())
        codes = exposition.rises(run.first, run.last, "stima_requests_refused_total", "code")
        why = ", ".join(f"{count:,.0f} {code}" for code, count in codes.items() if count)
        named = f"; the server's reasons are {why}" if why else ""
        parts.append(f"Not every request got what it asked for: {told}{named}.")
    tokens = run.risen("stima_outcomes_total", kind="token_issued")
    if tokens is not None:
        others = (run.risen("stima_outcomes_total") or 0.0) - tokens
        parts.append(
            f"The server issued {tokens:,.0f} tokens"
            + (f" and decided {others:,.0f} payments otherwise." if others else ".")
        )
    return " ".join(parts)


def _status(status: str) -> str:
    return f"answered {status}" if status.isdecimal() else status
