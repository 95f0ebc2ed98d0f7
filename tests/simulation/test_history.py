"""The operator's history outlives its writer and says what may be concluded from it."""

from pathlib import Path

import pytest

from vending.simulation.history import (
    Call,
    Event,
    EventKind,
    History,
    acknowledged,
    events,
    open_questions,
    wrongly_believed,
)


def an_event(
    kind: EventKind = EventKind.OK,
    *,
    transaction_id: str = "TGE7Q2M4ZK",
    call: Call = Call.CONFIRM,
    behaviour: str = "pay",
    serial: int = 1,
) -> Event:
    return Event(
        serial=serial,
        at_ns=1,
        kind=kind,
        call=call,
        behaviour=behaviour,
        transaction_id=transaction_id,
        account="14123456783",
        amount_minor=50_000,
    )


def test_what_is_written_can_be_read_back(tmp_path: Path) -> None:
    with History(tmp_path / "operator.jsonl") as history:
        history.write(an_event())
        assert history.events() == [an_event()]


def test_a_second_run_continues_the_file_and_the_numbers(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "operator.jsonl"
    with History(path) as history:
        history.write(an_event(serial=history.next_serial()))
    with History(path) as history:
        assert history.next_serial() == 2
        assert len(history.events()) == 1


def test_a_line_cut_short_by_a_crash_harms_neither_its_neighbours_nor_the_next(
    tmp_path: Path,
) -> None:
    path = tmp_path / "operator.jsonl"
    with History(path) as history:
        history.write(an_event(serial=1))
        history.write(an_event(serial=2))
    path.write_bytes(path.read_bytes()[:-20])
    with History(path) as history:
        history.write(an_event(serial=3))
    assert [event.serial for event in events(path)] == [1, 3]


def test_an_acknowledged_payment_is_one_whose_confirmation_was_answered_well() -> None:
    told = [
        an_event(EventKind.INVOKE),
        an_event(EventKind.OK),
        an_event(EventKind.OK, transaction_id="TGE7Q2M4Z2", call=Call.CHECK),
        an_event(EventKind.UNKNOWN, transaction_id="TGE7Q2M4Z3"),
    ]
    assert set(acknowledged(told)) == {"TGE7Q2M4ZK"}


@pytest.mark.parametrize("behaviour", ["forged_secret", "malformed_empty", "other_facts"])
def test_what_was_never_true_is_not_counted_as_acknowledged(behaviour: str) -> None:
    told = [an_event(EventKind.OK, behaviour=behaviour)]
    assert not acknowledged(told)
    assert not open_questions(told)


def test_a_forged_callback_that_was_believed_is_found() -> None:
    forged = an_event(EventKind.OK, behaviour="forged_address")
    assert wrongly_believed([an_event(), forged]) == [forged]


def test_a_payment_stays_in_doubt_until_some_answer_settles_it() -> None:
    told = [an_event(EventKind.INVOKE), an_event(EventKind.UNKNOWN)]
    assert open_questions(told) == {"TGE7Q2M4ZK"}
    assert open_questions([*told, an_event(EventKind.OK)]) == set()
