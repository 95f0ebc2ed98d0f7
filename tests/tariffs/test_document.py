"""What a tariff file may say, and how it is told what it may not."""

from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tariffs.books import TEXTS
from vending.tariffs.charge import TariffMalformed
from vending.tariffs.document import TEXT_MAX, parse
from vending.tariffs.example import TariffExampleFails, check

THREE_STEP = TEXTS["three-step"]
KENYA = TEXTS["kenya-2024"]


def altered(old: str, new: str, text: str = THREE_STEP) -> str:
    assert old in text
    return text.replace(old, new, 1)


MISTAKES = {
    "a rate as a float": (altered('rate = "10.00"', "rate = 10.00"), "class[0].band[0].block[0]"),
    "a float that is no rate": (altered('version = "2026-01"', "version = 2026.1"), "version"),
    "not a number": (altered('rate = "10.00"', 'rate = "ten"'), "band 'HOUSE'"),
    "a number in exponents": (altered('rate = "10.00"', 'rate = "1e1"'), "band 'HOUSE'"),
    "a truth value for a number": (altered('rate = "10.00"', "rate = true"), "class[0].band[0]"),
    "an unknown key": (altered("[tender]", "[tender]\nmaximun = 1"), "tender"),
    "an unknown table": (THREE_STEP + "\n[extras]\n", "file"),
    "an unknown kind": (altered('kind = "tax"', 'kind = "toll"'), "line[2].kind"),
    "an unknown tax mode": (altered('taxes = "added"', 'taxes = "none"'), "taxes"),
    "an unknown time zone": (altered("Africa/Nairobi", "Africa/Atlantis"), "time_zone"),
    "a path for a time zone": (altered("Africa/Nairobi", "../zone"), "time_zone"),
    "a beginning without an offset": (
        altered("2026-01-01T00:00:00+03:00", "2026-01-01T00:00:00"),
        "effective_from",
    ),
    "a sum finer than cents": (altered('minimum = "10.00"', 'minimum = "10.001"'), "tender"),
    "no example": (THREE_STEP.split("# 1.21")[0], "file"),
    "an empty list of examples": (
        "example = []\n" + THREE_STEP.split("# 1.21", maxsplit=1)[0],
        "example",
    ),
    "a line without a value": (altered('value = "5"\n', ""), "line 'levy'"),
    "an energy line with a value": (
        altered('kind = "energy"', 'kind = "energy"\nvalue = "1"'),
        "line 'energy'",
    ),
    "a rate and blocks": (
        altered('code = "HOUSE"\n\n[[class.band.block]]',
                'code = "HOUSE"\nrate = "1"\n\n[[class.band.block]]'),
        "band 'HOUSE'",
    ),
    "a value beside dated rates": (
        altered('account = "levy:ferfa"', 'account = "levy:ferfa"\nvalue = "1"', KENYA),
        "line 'ferfa'",
    ),
    "dated rates that overlap": (
        altered("from = 2024-10-01T00:00:00+03:00", "from = 2024-09-01T00:00:00+03:00", KENYA),
        "line 'fec'",
    ),
    "a dated rate from before the version": (
        altered('\n[[line.rate]]\nvalue = "3.59"',
                '\n[[line.rate]]\nfrom = 2024-06-01T00:00:00+03:00\nvalue = "3.59"', KENYA),
        "line 'fec'",
    ),
    "a beginning before there was electricity": (
        altered("2026-01-01T00:00:00+03:00", "0001-01-01T00:00:00+03:00"),
        "effective_from",
    ),
    "an example at the end of time": (
        altered("at = 2026-03-02T09:00:00+03:00", "at = 9999-12-31T23:59:59-03:00"),
        "example",
    ),
    "no TOML": ("code = ", "file"),
    "nesting without end": ("code = " + "[" * 100_000, "file"),
    "a number without end": ("code = " + "9" * 10_000, "file"),
    "a file without end": ("#" * (TEXT_MAX + 1), "file"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_tariff_file_is_refused_with_its_place(mistake: str) -> None:
    text, where = MISTAKES[mistake]

    with pytest.raises(TariffMalformed) as refusal:
        parse(text)

    assert str(refusal.value.facts["where"]).startswith(where)


def test_a_float_is_refused_with_the_way_to_write_it() -> None:
    with pytest.raises(TariffMalformed, match=r'write it as text, "10\.5"'):
        parse(altered('rate = "10.00"', "rate = 10.5"))


def test_whole_numbers_need_no_quotes() -> None:
    written_plainly = parse(altered('rate = "10.00"', "rate = 10"))

    assert written_plainly == parse(THREE_STEP)


def test_rates_are_exact() -> None:
    charges = {charge.code: charge for charge in parse(KENYA).tariff.charges}

    assert [rate.value for rate in charges["wra"].rates] == [
        Fraction(183, 100),
        Fraction(139, 100),
    ]


@given(junk=st.text(max_size=200))
def test_no_text_is_anything_but_a_tariff_or_refused(junk: str) -> None:
    with pytest.raises(TariffMalformed):
        parse(junk)


@given(
    cut=st.tuples(st.integers(0, len(THREE_STEP)), st.integers(0, 40)),
    junk=st.sampled_from(["", "1", "-1", "true", '"x"', "[]", "{}", "[[", "1.5", '"-3"', "9" * 30])
    | st.text(max_size=10),
)
def test_a_damaged_file_is_refused_or_still_a_tariff(cut: tuple[int, int], junk: str) -> None:
    start, length = cut
    damaged = THREE_STEP[:start] + junk + THREE_STEP[start + length :]

    with suppress(TariffMalformed, TariffExampleFails):
        document = parse(damaged)
        check(document.tariff, document.examples)


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ('energy = "3307.00"', 'energy = "3307.01"', "lines"),
        ('energy_kwh = "176.9"', 'energy_kwh = "177.0"', "energy_wh"),
        ('exact_kwh = "176.86"', 'exact_kwh = "176.85"', "exact_kwh"),
        ('tender = "4000.00"', 'tender = "4100.00"', "energy_wh"),
        ('tender = "4000.00"', 'tender = "0.01"', "outcome"),
        ('rate = "30.00"', 'rate = "30.01"', "lines"),
    ],
)
def test_an_example_that_does_not_come_out_is_named_with_both_figures(
    old: str, new: str, what: str
) -> None:
    document = parse(altered(old, new))

    with pytest.raises(TariffExampleFails) as failure:
        check(document.tariff, document.examples)

    facts = failure.value.facts
    assert (failure.value.code, facts["what"]) == ("tariff_example_fails", what)
    assert facts["example"] == "through all three blocks"
    assert facts["expected"] != facts["got"]


def test_an_example_expects_its_band_and_its_cost() -> None:
    kenya = parse(KENYA.replace('band = "DC2"', 'band = "DC1"'))
    may_2021 = parse(TEXTS["kenya-2021"].replace('tender = "24.00"', 'tender = "25.00"'))

    with pytest.raises(TariffExampleFails, match="what=band, expected=DC1, got=DC2"):
        check(kenya.tariff, kenya.examples)
    with pytest.raises(TariffExampleFails, match="what=tender, expected=2500, got=2400"):
        check(may_2021.tariff, may_2021.examples)
