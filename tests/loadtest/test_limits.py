"""What a run is held to, and what is said of it."""

from pathlib import Path

import msgspec
import pytest

from tests.loadtest.records import record, samples, second
from vending.loadtest import limits, run, verdict
from vending.loadtest.limits import LIMITS, LimitUnknown
from vending.loadtest.run import Look, Run, RunUnreadable
from vending.loadtest.scenarios import CALM, OPERATOR, SALES, SCENARIOS, named


def measured(one: Run) -> dict[str, float | None]:
    judged = limits.judge(one, named(one.asked.scenario))
    return {found.limit.name: found.measured for found in judged}


def told(one: Run) -> verdict.Verdict:
    day = named(one.asked.scenario)
    return verdict.verdict(one, day, limits.judge(one, day))


def test_every_scenario_is_held_to_limits_that_exist() -> None:
    for scenario in SCENARIOS.values():
        assert set(scenario.limits) <= set(LIMITS)
        twice = (
            {"undecided", "stored-beyond-sent"}
            if scenario.door is OPERATOR
            else {"tokens-beyond-sold", "refused-percent"}
        )
        assert set(scenario.limits) >= {"unacknowledged"} | twice


def test_a_good_run_passes_and_says_what_was_done() -> None:
    found = told(record())
    assert found.passed
    assert found.word == "Passed"
    assert "A steady day: 100 payments in 100 requests over 10 s" in found.text
    assert "Every payment was acknowledged: half of the confirmations within 5.1 ms" in found.text
    assert "The server issued 100 tokens." in found.text
    assert f"All {len(CALM)} limits hold." in found.text


def test_a_slow_run_fails_and_says_by_how_much() -> None:
    found = told(record(seconds=[second(number, seconds=0.8) for number in range(10)]))
    assert (found.passed, found.word) == (False, "Failed")
    assert (
        "One limit does not hold: 99 % of confirmations should be acknowledged within" in found.text
    )
    assert "250 ms: it was 8" in found.text


def test_a_lost_payment_fails_whatever_the_times() -> None:
    found = told(record(unacknowledged=3))
    assert not found.passed
    assert "3 payments were never acknowledged" in found.text


def test_what_is_stored_undecided_or_doubled_is_counted() -> None:
    looks = [
        Look(at=0, samples=samples(stored=50, decided=40)),
        Look(at=9, samples=samples(stored=152, decided=138, quarantined=1, oldest=61.5)),
    ]
    found = measured(record(looks=looks))
    assert found["undecided"] == 4
    assert found["stored-beyond-sent"] == 2
    assert found["quarantined"] == 1
    assert found["oldest-waiting-s"] == 61.5


def test_what_could_not_be_seen_does_not_hold() -> None:
    found = told(record(looks=[Look(at=0, samples=None)]))
    assert not found.passed
    assert "this could not be measured" in found.text


def test_a_generator_that_was_late_itself_proves_nothing() -> None:
    found = told(record(lag={500: 100}))
    assert (found.passed, found.word) == (False, "Not proven")
    assert "could not keep its own time" in found.text


def test_other_answers_than_200_are_named() -> None:
    bad = [second(0), second(1, status="503"), second(2, status="timed out")]
    text = told(record(seconds=bad)).text
    assert "10 answered 503" in text
    assert "10 timed out" in text


def test_recovery_counts_from_the_worst_to_three_calm_seconds() -> None:
    """Of 20 seconds the worst is over after 14; two slow ones, a blink, and then it is well."""
    slow = {*range(2, 16), 17}
    seconds = [second(n, seconds=1.5 if n in slow else 0.004) for n in range(22)]
    one = record("month-start", seconds=seconds)
    one = msgspec.structs.replace(one, asked=msgspec.structs.replace(one.asked, seconds=20.0))
    assert measured(one)["recovery-s"] == 4


def test_a_server_that_never_recovers_is_told_so() -> None:
    seconds = [second(n, seconds=1.5) for n in range(20)]
    assert "they never were" in told(record("month-start", seconds=seconds)).text


def test_silence_while_something_is_offered_is_no_recovery() -> None:
    seconds = [second(n) for n in range(10)] + [
        msgspec.structs.replace(second(n), answered={}, latency={}) for n in range(10, 20)
    ]
    assert measured(record("month-start", seconds=seconds))["recovery-s"] == float("inf")


def test_sales_that_are_refused_are_counted_in_a_hundred() -> None:
    seconds = [second(0, status="201"), second(1, status="422"), second(2), second(3)]
    one = record("vendor-day", seconds=seconds, limits=dict(SALES))
    assert measured(one)["refused-percent"] == 25
    assert not told(one).passed


def test_a_sale_that_sold_twice_is_seen_in_the_tokens() -> None:
    limits_set = {"tokens-beyond-sold": 0.0}
    assert told(record("vendor-day", limits=limits_set)).passed
    looks = [Look(at=0.0, samples=samples()), Look(at=9.0, samples=samples(decided=101))]
    assert measured(record("vendor-day", limits=limits_set, looks=looks)) == {
        "tokens-beyond-sold": 1.0
    }
    blind = [Look(at=0.0, samples=None)]
    assert measured(record("vendor-day", limits=limits_set, looks=blind)) == {
        "tokens-beyond-sold": None
    }


def test_what_sold_is_told_in_the_words_of_vendors() -> None:
    text = told(record("vendor-day", limits={})).text
    assert "100 sales in 100 requests" in text
    assert "half of the sales within" in text
    assert "payment" not in text


def test_limits_can_be_changed_and_taken_away() -> None:
    changed = limits.overridden(CALM, ["confirm-p99-ms=400", "undecided=off"])
    assert changed["confirm-p99-ms"] == 400
    assert "undecided" not in changed
    assert told(record(limits={})).text.endswith("No limit was set.")


@pytest.mark.parametrize(
    "change", ["speed=1", "undecided", "undecided=few", "undecided=-1", "undecided=nan"]
)
def test_what_is_no_limit_is_refused(change: str) -> None:
    with pytest.raises(LimitUnknown):
        limits.overridden(CALM, [change])


def test_a_run_is_stored_and_read_back_as_it_was(tmp_path: Path) -> None:
    one = record("panic-retries")
    run.store(one, tmp_path / "deep" / "run.json")
    assert run.read(tmp_path / "deep" / "run.json") == one


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    for name in ("x.json", "none.json"):
        with pytest.raises(RunUnreadable):
            run.read(tmp_path / name)
