"""Our own numbers: rising, of one node, and above all that went before."""

from tests.conftest import SettableClock
from vending.numbering import Numbers, first_at


def test_numbers_rise_while_the_clock_stands_still_or_goes_back(clock: SettableClock) -> None:
    numbers = Numbers(clock, node=7)
    given = [numbers.next() for _ in range(20_000)]
    clock.advance(hours=-1)
    given += [numbers.next() for _ in range(20_000)]
    assert given == sorted(set(given))
    assert {(number >> 14) & 255 for number in given} == {7}


def test_numbers_go_on_above_the_last_one_of_their_node(clock: SettableClock) -> None:
    last = [Numbers(clock, node=7).next() for _ in range(3)][-1]
    clock.advance(hours=-1)
    again = Numbers(clock, node=7)
    again.go_on_after(last)
    assert [again.next() for _ in range(2)] == [last + 1, last + 2]
    assert again.reached > clock()


def test_numbers_follow_a_clock_that_is_ahead_of_the_last_one(clock: SettableClock) -> None:
    last = Numbers(clock, node=7).next()
    clock.advance(seconds=1)
    again = Numbers(clock, node=7)
    again.go_on_after(last)
    assert again.next() >= first_at(clock())


def test_numbers_that_are_ahead_already_stay_there(clock: SettableClock) -> None:
    numbers = Numbers(clock, node=7)
    given = [numbers.next() for _ in range(3)]
    numbers.go_on_after(given[0])
    assert numbers.next() == given[-1] + 1


def test_numbers_of_one_instant_follow_each_other_and_keep_rising(clock: SettableClock) -> None:
    numbers = Numbers(clock, node=7)
    begun = clock()
    given = [numbers.next(begun) for _ in range(3)]
    clock.advance(seconds=1)
    given += [numbers.next(), numbers.next(begun), numbers.next(clock())]
    assert given[:3] == [first_at(begun) + (7 << 14) + place for place in range(3)]
    assert given == sorted(set(given))
    assert given[3] >= first_at(clock())
