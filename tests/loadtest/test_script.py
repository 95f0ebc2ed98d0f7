"""Scenarios turned into requests."""

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

import pytest

from vending.loadtest import callbacks, customers
from vending.loadtest.callbacks import Callbacks, Payment
from vending.loadtest.generator import Shot
from vending.loadtest.scenarios import SCENARIOS, ScenarioUnknown, named
from vending.loadtest.script import CHECK, CONFIRM, LATE, REPEAT, Script
from vending.operators import mpesa

STARTED = datetime(2026, 11, 22, 8, 0, 30, tzinfo=UTC)
WRITER = Callbacks(
    host="127.0.0.1:8080",
    path="/op/saf/SECRET/v2",
    short_code="888880",
    prefix=callbacks.prefix_at(STARTED),
    started_at=STARTED,
)
TOWN = customers.of_the_demo()


def shots(
    name: str,
    *,
    seed: int = 1,
    seconds: float = 20,
    scale: float = 0.3,
    died: frozenset[int] = frozenset(),
) -> list[Shot]:
    script = Script(
        named(name), TOWN, seconds=seconds, scale=scale, seed=seed, payer_of=callbacks.shown
    )
    return list(script.shots(WRITER.request, died=died))


def body(shot: Shot) -> dict[str, str]:
    found: dict[str, str] = json.loads(shot.request.partition(b"\r\n\r\n")[2])
    return found


every_scenario = pytest.mark.parametrize("name", SCENARIOS)


@every_scenario
def test_the_same_seed_makes_the_same_requests_to_the_byte(name: str) -> None:
    assert shots(name) == shots(name)
    assert shots(name) != shots(name, seed=2)


@every_scenario
def test_requests_come_in_order_of_time(name: str) -> None:
    due = [shot.due for shot in shots(name)]
    assert due == sorted(due)
    assert len(due) > 20


@every_scenario
def test_a_payment_is_checked_before_it_is_confirmed_and_repeated_after(name: str) -> None:
    order = defaultdict(list)
    for shot in shots(name):
        order[shot.name].append(shot.kind)
    assert all(kinds.count(CONFIRM) + kinds.count(LATE) == 1 for kinds in order.values())
    for kinds in order.values():
        assert kinds.count(CHECK) <= 1
        assert CHECK not in kinds or kinds[0] == CHECK
        first = min(kinds.index(kind) for kind in (CONFIRM, LATE) if kind in kinds)
        assert REPEAT not in kinds or kinds.index(REPEAT) > first


@every_scenario
def test_every_body_is_one_that_the_product_reads(name: str) -> None:
    for shot in shots(name, seconds=4):
        whole = shot.request.partition(b"\r\n\r\n")[2]
        if shot.kind == CHECK:
            read = mpesa.validation(whole)
            assert read.transaction_id.startswith("LT")
        else:
            notice = mpesa.notice(whole)
            assert notice.short_code == "888880"
            assert notice.amount_minor >= 50_00
            assert abs(notice.paid_at - STARTED) < timedelta(hours=16)


def test_repeats_are_the_same_payment_and_impatience_is_new_money() -> None:
    found = shots("panic-retries")
    repeats = [shot for shot in found if shot.kind == REPEAT]
    confirmed = {shot.name: shot for shot in found if shot.kind == CONFIRM}
    assert repeats
    assert all(shot.request == confirmed[shot.name].request for shot in repeats)
    ids = [body(shot)["TransID"] for shot in confirmed.values()]
    assert len(set(ids)) == len(ids)
    buyers = Counter(body(shot)["BillRefNumber"] for shot in confirmed.values())
    assert max(buyers.values()) > 2


def test_a_storm_is_so_many_copies_at_one_instant() -> None:
    at = Counter(shot.due for shot in shots("operator-repeats", scale=0.2))
    assert [count for _due, count in at.most_common(2)] == [200, 200]


def test_after_an_outage_payments_of_many_hours_are_confirmed() -> None:
    late = [shot for shot in shots("post-outage-flood", scale=0.1) if shot.kind == LATE]
    days = {body(shot)["TransTime"][:10] for shot in late}
    assert len(late) > 100
    assert len(days) > 10  # the hours in which they were made


def test_a_campaign_brings_each_meter_once() -> None:
    confirmed = [shot for shot in shots("campaign-day", scale=0.5) if shot.kind == CHECK]
    buyers = Counter(body(shot)["BillRefNumber"] for shot in confirmed)
    assert buyers.most_common(1)[0][1] <= 12  # the other stream's regulars
    assert len(buyers) > len(confirmed) * 0.7


def test_a_payment_that_validation_refused_is_not_confirmed() -> None:
    first = next(shot for shot in shots("steady-day") if shot.kind == CHECK)
    died = frozenset({int(first.name)})
    kinds = [shot.kind for shot in shots("steady-day", died=died) if shot.name == first.name]
    assert kinds == [CHECK]


def test_ids_of_two_runs_never_meet() -> None:
    later = callbacks.prefix_at(STARTED + timedelta(milliseconds=1))
    assert later > callbacks.prefix_at(STARTED)
    assert len(later) == len(callbacks.prefix_at(STARTED)) == 10


def test_a_payers_number_is_masked() -> None:
    payment = Payment(
        serial=1, account="14", payer=callbacks.shown(TOWN[0]), amount_minor=1, made=0
    )
    assert b"*****" in WRITER.request("confirm", payment)
    assert TOWN[0].payer.encode() not in WRITER.request("confirm", payment)


def test_an_unknown_scenario_says_which_there_are() -> None:
    with pytest.raises(ScenarioUnknown, match="steady-day"):
        named("doomsday")
