"""`vending tokens`, typed by two persons beside a server that is a process of its own."""

import asyncio
import os
import re
import shlex
import signal
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
import sts_core

from tests.builders import SGC
from tests.commands import offices
from tests.commands.demo_process import DemoProcess, ran, served
from tests.commands.offices import PASSPHRASE, on, settings_file
from tests.commands.test_vendors import Desk, a_desk
from tests.database import Database
from tests.offices import a_ring
from vending.audit import auditor
from vending.audit.rule import Terms
from vending.clock import system_clock
from vending.commands.tokens import TokenValueUntold, value_of
from vending.postgres.pool import Connection
from vending.tokens import requests
from vending.tokens.special import SpecialKind

GUIDE = Path(__file__).parents[2] / "docs" / "operating" / "free-tokens.md"
DECISION_SECONDS = 60
WHY = ("--reason", "compensation", "--by", "Jane", "--note", "the [old] meter ran fast")


@pytest.fixture
async def settings(database: Database, tmp_path: Path) -> Path:
    """Furnish an office whose people may have two tokens and 50 kWh a day each."""
    path = settings_file(tmp_path, database=on(database))
    path.write_text(path.read_text() + "[tokens]\nday_tokens = 2\nday_free_kwh = 50\n")
    await offices.seal_key(path)
    await offices.load_tariff(path)
    return path


@pytest.fixture
async def meter(settings: Path) -> str:
    return await offices.import_a_meter(settings)


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    async with a_desk(database) as desk:
        yield desk


async def asked(desk: Desk, *what: str) -> str:
    """Ask for a token; return the request's number."""
    told = await desk.done("tokens request", *what, *WHY)
    found = re.fullmatch(r"request ([0-9]+) waits for another person\n", told)
    assert found, told
    return found[1]


async def issued(desk: Desk, number: str) -> str:
    """Wait until a request has its token, and return the digits."""
    async with asyncio.timeout(DECISION_SECONDS):
        while not (
            found := re.search(r"(\d{4}-){4}\d{4}", await desk.done(f"tokens show {number}"))
        ):
            await asyncio.sleep(0.05)
    return found[0].replace("-", "")


async def vending(running: DemoProcess) -> None:
    await running.line('"listening"')


async def broken(db: Connection) -> list[str]:
    terms = Terms(
        decided_before=system_clock(), paid_at_future=timedelta(minutes=5),
        paid_at_past=timedelta(days=30),
    )  # fmt: skip
    return [one.rule.name async for one in auditor.examine(db, terms) if not one.holds]


async def test_a_token_that_two_persons_stand_behind_is_made_shown_and_taken_by_the_meter(
    settings: Path, meter: str, desk: Desk, db: Connection
) -> None:
    async with served(settings, PASSPHRASE) as running:
        await vending(running)
        number = await asked(desk, meter, "--kind", "free-units", "--units", "30.5")
        shown = await desk.done("tokens pending")
        for fact in (number, meter, "free-units", "30.5 kWh", "the [old] meter ran fast", "Jane"):
            assert fact in shown
        assert await desk.refused(f"tokens approve {number} --by jane") == "approver_is_requester"
        assert await desk.done(f"tokens approve {number} --by Mary") == "token_issued\n"
        assert await desk.refused(f"tokens approve {number} --by Mary") == "token_request_judged"
        digits = await issued(desk, number)
        code, left = await running.interrupt()
    assert (code, left) == (0, [])
    record = await db.fetchrow("select ea, sgc, krn, ti from meter where meter_number = $1", meter)
    assert record is not None
    taken = sts_core.VirtualMeter.commission(
        a_ring(), meter=meter, ea=record["ea"], sgc=SGC, krn=record["krn"], ti=record["ti"]
    ).enter(digits)
    assert (taken.accepted, taken.amount) == (True, 305)
    assert await db.fetchval("select count(*) from special_token") == 1
    assert await desk.done("tokens pending") == "no request waits\n"
    log = "\n".join(running.lines)
    assert digits not in log
    acts = await db.fetch("select what, facts from act order by number")
    assert [act["what"] for act in acts][-2:] == ["token requested", "token approved"]
    assert not any(digits in act["facts"] for act in acts)
    assert await broken(db) == []


async def test_a_kill_between_approval_and_token_loses_nothing_and_makes_one(
    settings: Path, meter: str, desk: Desk, db: Connection
) -> None:
    numbers = [
        await asked(desk, meter, "--kind", "clear-tamper"),
        await asked(desk, "--kind", "meter-test"),
    ]
    for number in numbers:
        await requests.approve(db, int(number), who="Mary", now=system_clock())
    for _ in range(2):
        async with served(settings, PASSPHRASE) as running:
            await vending(running)
            os.killpg(running.process.pid, signal.SIGKILL)
            await running.process.wait()
    async with served(settings, PASSPHRASE) as running:
        await vending(running)
        digits = [await issued(desk, number) for number in numbers]
        await running.interrupt()
    assert len(set(digits)) == 2
    assert await db.fetchval("select count(*) from special_token") == 2
    assert await broken(db) == []


async def test_the_cap_of_a_day_is_each_person_s_own(
    settings: Path, meter: str, desk: Desk
) -> None:
    async with served(settings, PASSPHRASE) as running:
        await vending(running)
        first, second = [
            await asked(desk, meter, "--kind", "free-units", "--units", "30") for _ in range(2)
        ]
        assert await desk.done(f"tokens approve {first} --by Mary") == "token_issued\n"
        assert await desk.done(f"tokens approve {second} --by Mary") == "daily_cap_reached\n"
        assert "daily_cap_reached" in await desk.done(f"tokens show {second}")
        other = await desk.done(
            "tokens request --kind power-limit --value 5000 --reason load_change --by Amina",
            "--note", "new contract", meter,
        )  # fmt: skip
        found = re.search("[0-9]+", other)
        assert found
        told = await desk.done(f"tokens approve {found[0]} --by Jane")
        assert told == "token_issued\n"
        assert "5000 W" in await desk.done(f"tokens show {found[0]}")
        await running.interrupt()


async def test_a_rejected_request_makes_nothing(settings: Path, meter: str, desk: Desk) -> None:
    number = await asked(desk, meter, "--kind", "clear-credit")
    assert "all registers" in await desk.done("tokens pending")
    told = await desk.done(f"tokens reject {number} --by Mary --note", "no work order")
    assert told == f"request {number} is rejected\n"
    assert "rejected" in await desk.done(f"tokens show {number}")
    assert await desk.refused("tokens show 1") == "token_request_unknown"


async def test_the_table_of_what_waits_reads_at_80_columns(
    settings: Path, meter: str, desk: Desk
) -> None:
    number = await asked(desk, meter, "--kind", "phase-unbalance", "--value", "800")
    environment = {"COLUMNS": "80", "FORCE_COLOR": "1", "TERM": "dumb"}
    for words in (("pending",), ("show", number)):
        code, shown = await ran("tokens", *words, "--config", settings, environment=environment)
        assert code == 0, shown
        plain = re.sub(r"\x1b\[[0-9;]*m", "", shown)
        assert max(map(len, plain.splitlines())) <= 80
        assert meter in plain
        assert "…" not in plain
        assert number in plain or words[0] == "show"


@pytest.mark.parametrize(
    ("kind", "units", "value"),
    [
        (SpecialKind.FREE_ISSUE, "", None),
        (SpecialKind.FREE_ISSUE, "30,5", None),
        (SpecialKind.FREE_ISSUE, "30", 1),
        (SpecialKind.POWER_LIMIT, "", None),
        (SpecialKind.CLEAR_TAMPER, "30", None),
    ],
)
def test_a_token_without_its_one_quantity_is_not_asked_for(
    kind: SpecialKind, units: str, value: int | None
) -> None:
    with pytest.raises(TokenValueUntold):
        value_of(kind, units=units, value=value)


async def test_the_guide_s_commands_can_be_typed_in_their_order(
    settings: Path, meter: str, desk: Desk, db: Connection
) -> None:
    blocks = re.findall(r"(?ms)^```console\n(.*?)^```", GUIDE.read_text("utf-8"))
    lines = [line for block in blocks for line in block.replace("\\\n", "").splitlines()]
    typed = [shlex.split(line[2:])[1:] for line in lines if line.startswith("$ vending ")]
    assert len(typed) >= 8
    last = ""
    async with served(settings, PASSPHRASE) as running:
        await vending(running)
        for words in typed:
            here = [{"14834252745": meter, "7412345678901234": last}.get(one, one) for one in words]
            here = [one.replace("7412345678901234", last) for one in here]
            told = await desk.done(" ".join(here[:2]), *here[2:])
            last = told.split()[1] if here[1] == "request" else last
        await running.interrupt()
    assert await db.fetchval("select count(*) from special_token") >= 2
    assert await db.fetchval("select count(*) from special_request where result = 'rejected'") == 1
