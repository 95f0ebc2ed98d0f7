"""What shared the machine with strangers is measured again, and a figure says when it never was."""

from collections.abc import Awaitable, Callable

from benchmarks import quiet
from benchmarks.processors import Spent
from benchmarks.quiet import Quiet


def tries_of(*cores: float) -> Callable[[], Awaitable[tuple[float, Spent]]]:
    """Return work that measures, in turn, how many cores strangers took while it did."""
    left = list(cores)

    async def work() -> tuple[float, Spent]:
        taken = left.pop(0)
        return taken, Spent(seconds=2.0, trees={}, strangers=2.0 * taken)

    return work


async def test_a_quiet_measurement_is_taken_at_once() -> None:
    said: list[str] = []
    listening = Quiet(said.append)
    assert await listening.measure("round 1", tries_of(0.1)) == 0.1
    assert said == []
    assert listening.told("round") == ""


async def test_a_loud_one_is_made_again_until_it_is_quiet() -> None:
    said: list[str] = []
    listening = Quiet(said.append)
    assert await listening.measure("round 1", tries_of(0.9, 0.5, 0.0)) == 0.0
    assert said == [
        "round 1 again: other programs took 0.90 cores",
        "round 1 again: other programs took 0.50 cores",
    ]
    assert listening.told("round") == ""


async def test_of_tries_that_never_were_quiet_the_quietest_is_kept_and_marked() -> None:
    listening = Quiet(lambda _: None)
    assert await listening.measure("surge", tries_of(0.9, 0.4), tries=2) == 0.4
    assert listening.stretches == [quiet.Stretch(what="surge", tries=2, strange_cores=0.4)]
    assert "NOT QUIET: other programs took up to 0.40 cores in all of 2 tries" in listening.told(
        "surge"
    )


async def test_one_loud_round_marks_the_figure_of_all() -> None:
    listening = Quiet(lambda _: None)
    await listening.measure("round 1", tries_of(0.0))
    await listening.measure("round 2", tries_of(0.3), tries=1)
    assert "0.30 cores" in listening.told("round")
    assert listening.told("overload") == ""


async def test_work_is_counted_while_it_is_done() -> None:
    async def work() -> str:
        return "done"

    done, spent = await quiet.spent_in({}, work())
    assert done == "done"
    assert spent.seconds > 0
