"""`vending meters change-keys`, run as a person runs it."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.builders import SGC, VENDING_KEY, a_meter
from tests.conftest import SettableClock
from tests.database import Database
from vending.commands import key_changes
from vending.commands.key_changes import KeyChangeListMalformed
from vending.meters import directory
from vending.meters.meter import MeterNumberMalformed
from vending.postgres.pool import Connection
from vending.tokens.keys import Description, KeyStore

WHO = ("--by", "Jane", "--note", "another index")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    path = tmp_path / "keys.json"
    described = Description(sgc=SGC, krn=1, key_type=2, dkga="04", base_date="14", ken=255)
    KeyStore(path).add(described, bytearray.fromhex(VENDING_KEY), passphrase="from the safe")
    return path


async def meters(database: Database, store: Path, *arguments: str) -> tuple[int, str, str]:
    """Run one command; return its exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "vending", "meters", *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env={
            "STIMA_DATABASE__DSN": database.dsn, "STIMA_KEYS__STORE": str(store), "COLUMNS": "60",
        },
    )  # fmt: skip
    out, errors = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), errors.decode()


async def test_a_list_is_ordered_shown_and_taken_back(
    database: Database, db: Connection, store: Path, tmp_path: Path, clock: SettableClock
) -> None:
    known, removed = a_meter(), a_meter(status="removed")
    for meter in (known, removed):
        await directory.register(db, meter, now=clock())
    file = tmp_path / "list.csv"
    file.write_text(f"meter_number,ti\n{known.meter_number},7\n{removed.meter_number},\n")
    code, out, errors = await meters(
        database, store, "change-keys", "--file", str(file), "--ti", "8", *WHO
    )
    assert code == 0, errors
    assert out.startswith("1 meters change their key with their next sale, 1 refused")
    refused = (tmp_path / "list.csv.refused.csv").read_text()
    assert refused.split() == ["meter_number,reason", f"{removed.meter_number},meter_removed"]
    shown = (await meters(database, store, "key-changes"))[1]
    (row,) = [line for line in shown.splitlines() if known.meter_number in line]
    assert f"{SGC} krn 1 ti 07" in row
    withdrawn = await meters(database, store, "withdraw-key-changes", known.meter_number, *WHO)
    assert withdrawn[1] == f"{known.meter_number}: withdrawn\n"
    assert (await meters(database, store, "key-changes"))[1] == "no key change waits\n"
    acts = [row["what"] for row in await db.fetch("select what from act order by number")]
    assert acts == ["key changes ordered", "key changes withdrawn"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("meter,ti\n01000000008,1\n", "line=1, fault=header"),
        ("meter_number,ti\n01000000009,1\n", "line=2, fault=meter_number"),
        ("meter_number,ti\n01000000008,x\n", "line=2, fault=krn or ti"),
        ("meter_number,ti\n01000000008,100\n", "line=2, fault=ti"),
        ("meter_number,ti\n01000000008,1,1\n", "line=2, fault=columns"),
        (None, "line=0, fault=FileNotFoundError"),
    ],
)
def test_a_list_that_cannot_be_read_says_where_and_orders_nothing(
    tmp_path: Path, text: str | None, fault: str
) -> None:
    file = tmp_path / "list.csv"
    if text is not None:
        file.write_text(text)
    with pytest.raises(KeyChangeListMalformed) as refused:
        key_changes.change_keys(file=file, by="Jane", note="another index")
    assert fault in str(refused.value)


def test_a_number_that_is_none_is_refused_before_anything_is_read() -> None:
    with pytest.raises(MeterNumberMalformed):
        key_changes.change_keys("01000000009", ti=2, by="Jane", note="another index")
