"""`vending vendors` and `vending audit log`, run as a person runs them."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.database import Database
from tests.vendors.signers import a_key, public
from vending.commands.vendor_money import BandMalformed, SumMalformed, band_of, sum_of
from vending.postgres.pool import Connection
from vending.vendors.commission import Band
from vending.vendors.credentials import parse_key

ROOT = Path(__file__).parents[2]
SECRET = "thirty-two characters, or a few more"


class Desk:
    """A person at the command line of a utility."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def types(self, line: str, *more: str) -> tuple[int, str, str]:
        """Type a command; return its exit code, its output and its errors."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([*line.split(), *more]).encode() + b"\n")
        answer = await self._process.stdout.readline()
        code, out, errors = json.loads(answer)
        return code, out, errors

    async def done(self, line: str, *more: str) -> str:
        """Type a command that succeeds; return its output."""
        code, out, errors = await self.types(line, *more)
        assert code == 0, errors
        return out

    async def refused(self, line: str, *more: str) -> str:
        """Type a command that is refused; return the error's code."""
        code, _, errors = await self.types(line, *more)
        assert code == 1, errors
        found = re.search(r"\[([a-z_]+)[:\]]", errors)
        assert found, errors
        return found[1]


@asynccontextmanager
async def a_desk(database: Database, *, secret: str = SECRET) -> AsyncIterator[Desk]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.commands.typist", cwd=ROOT, limit=2**20,
        env={"STIMA_DATABASE__DSN": database.dsn, "STIMA_VENDORS__SECRET": secret,
             "COLUMNS": "240"},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    yield Desk(process)
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()


@pytest.fixture
async def desk(database: Database) -> AsyncIterator[Desk]:
    async with a_desk(database) as desk:
        await desk.done("vendors add acme --by Jane --name", "Acme [Airtime]")
        yield desk


async def test_a_vendor_is_taken_on_suspended_and_resumed(desk: Desk) -> None:
    assert await desk.done("vendors suspend acme --by Jane --note fraud") == "acme is suspended\n"
    listed = await desk.done("vendors list")
    for shown in ("acme", "Acme [Airtime]", "suspended", "0.00"):
        assert shown in listed
    assert await desk.done("vendors resume acme --by Jane --note settled") == "acme may sell\n"
    told = await desk.done("vendors addresses acme 10.0.0.0/8 192.0.2.1 --by Jane")
    assert told == "acme may call from 10.0.0.0/8, 192.0.2.1\n"
    shown = await desk.done("vendors show acme")
    for fact in ("10.0.0.0/8, 192.0.2.1", "active", "vendor suspended", '"note":"fraud"'):
        assert fact in shown
    assert await desk.refused("vendors add acme --by Jane --name Acme") == "vendor_exists"
    assert await desk.refused("vendors show nobody") == "vendor_unknown"
    assert await desk.refused("vendors addresses acme here --by J") == "address_malformed"


async def test_a_key_is_printed_once_alone_and_never_again(desk: Desk, db: Connection) -> None:
    code, key, beside = await desk.types("vendors keys issue acme --by Jane --label till --days 9")
    prefix, secret, _ = parse_key(key.strip()) or ("", "", None)
    assert (code, len(key.splitlines()), prefix != "") == (0, 1, True)
    assert "never shown again" in beside
    assert secret not in beside
    listed = await desk.done("vendors keys list acme")
    assert prefix in listed
    assert secret not in listed
    assert f"{prefix} is revoked\n" == await desk.done(f"vendors keys revoke acme {prefix} --by J")
    assert "revoked 20" in await desk.done("vendors keys list acme")
    assert await desk.refused(f"vendors keys revoke acme {prefix} --by J") == "credential_unknown"
    facts = await db.fetch("select facts from act")
    assert not [row for row in facts if secret in row["facts"]]


async def test_a_client_has_a_secret_or_public_keys(desk: Desk, tmp_path: Path) -> None:
    code, secret, beside = await desk.types("vendors keys client acme --by Jane --test")
    assert (code, len(secret.strip())) == (0, 52)
    assert "sandbox" in beside
    keys = tmp_path / "keys.json"
    keys.write_text(public(a_key()))
    code, out, beside = await desk.types("vendors keys client acme --by J --public-keys", str(keys))
    assert (code, out) == (0, "")
    assert "client acme." in beside
    keys.write_bytes(b"\xff")
    for path, fault in ((keys, "key_file_unreadable"), (tmp_path / "none", "key_file_unreadable")):
        refused = await desk.refused("vendors keys client acme --by J --public-keys", str(path))
        assert refused == fault
    assert await desk.refused("vendors keys issue acme --by J --scope all") == "scope_unknown"


async def test_without_the_secret_nothing_is_sealed(desk: Desk, database: Database) -> None:
    async with a_desk(database, secret="") as closed:
        assert await closed.refused("vendors keys issue acme --by Jane") == "vendors_closed"
    assert await desk.done("vendors keys list acme") == "acme has no keys\n"


async def test_a_deposit_is_proposed_confirmed_and_on_the_statement(desk: Desk) -> None:
    told = await desk.done("vendors deposit propose acme kcb FT1 250000.50 --by Jane")
    number = re.search(r"deposit (\d+) is proposed", told)
    assert number
    assert "FT1" in await desk.done("vendors deposit list")
    confirm = f"vendors deposit confirm {number[1]} --by"
    assert await desk.refused(confirm, "jane") == "checker_is_maker"
    told = await desk.done(confirm, "Otieno")
    assert told == "250000.50 is in the float of acme, which is 250000.50 now\n"
    again = "vendors deposit propose acme kcb ft1 1 --by Jane"
    assert await desk.refused(again) == "deposit_repeated"
    assert await desk.done("vendors deposit list") == "no deposit waits\n"
    assert "confirmed" in await desk.done("vendors deposit list acme")
    stated = await desk.done("vendors statement acme")
    assert re.search(r"deposit .* kcb FT1 .* 250000\.50", stated)
    assert stated.endswith("float 250000.50, credit limit 0.00, available 250000.50\n")


async def test_a_rejected_deposit_counts_for_nothing(desk: Desk) -> None:
    told = await desk.done("vendors deposit propose acme kcb FT1 1000 --by Jane")
    number = told.split()[1]
    told = await desk.done(f"vendors deposit reject {number} --by Jane --note typo")
    assert told == f"deposit {number} is rejected\n"
    assert await desk.refused(f"vendors deposit confirm {number} --by Al") == "deposit_settled"
    assert await desk.refused("vendors deposit confirm 1 --by Al") == "deposit_unknown"
    assert "rejected" in await desk.done("vendors deposit list acme")


async def test_credit_and_commission_are_set_and_shown(desk: Desk) -> None:
    told = await desk.done("vendors limit acme 5000 --by Jane --note bank-guarantee")
    assert told == "acme can sell for 5000.00 now\n"
    told = await desk.done("vendors warning acme 1000 --by Jane --note asked-for")
    assert told == "acme is told below 1000.00; it can sell for 5000.00 now\n"
    assert re.search(r"warning below .* 1000\.00 ", await desk.done("vendors show acme"))
    told = await desk.done("vendors warning acme 0 --by Jane --note enough")
    assert told == "acme is not told; it can sell for 5000.00 now\n"
    assert re.search(r"warning below .* never ", await desk.done("vendors show acme"))
    told = await desk.done(
        "vendors commission set acme 0:2 1000:1.5+5.00 --by J --since 2099-01-01"
    )
    assert told == "acme earns by these rates from 2099-01-01 00:00 EAT on\n"
    listed = await desk.done("vendors commission list acme")
    assert re.search(r"2098-12-31 21:00 .* 1000\.00 .* 1\.5 .* 5\.00", listed)
    await desk.done("vendors commission set acme 0:1 --by J")
    for line, fault in (
        ("vendors commission set acme 0:2 --by J --since 2020-01-01", "commission_backdated"),
        ("vendors commission set acme 0:2 --by J --since tomorrow", "day_malformed"),
        ("vendors commission set acme 7:2 --by J", "commission_malformed"),
        ("vendors limit acme 1,000 --by J --note x", "sum_malformed"),
        ("vendors warning acme 1000000000000.01 --by J --note x", "warning_malformed"),
        ("vendors warning nobody 1 --by J --note x", "vendor_unknown"),
    ):
        assert await desk.refused(line) == fault


async def test_the_log_of_acts_is_walked_and_a_broken_link_named(
    desk: Desk, db: Connection
) -> None:
    await desk.done("vendors suspend acme --by Jane --note x")
    told = await desk.done("audit log verify")
    noted = re.fullmatch(r"2 acts, unbroken; the last is (2:[0-9a-f]{64})\n", told)
    assert noted
    assert await desk.done("audit log verify --noted", noted[1]) == told
    assert "vendor suspended" in await desk.done("audit log show vendor:acme")
    assert await desk.refused("audit log verify --noted 2:x") == "noted_malformed"
    await db.execute("update act set who = 'Mallory' where number = 1")
    code, _, errors = await desk.types("audit log verify")
    assert code == 1
    assert "[chain_broken: number=1, fault=it was altered]" in errors


async def test_with_no_vendors_the_list_says_so(database: Database) -> None:
    async with a_desk(database) as desk:
        assert await desk.done("vendors list") == "there are no vendors\n"


@pytest.mark.parametrize(
    ("text", "minor"), [("0", 0), ("1500", 150_000), ("1500.05", 150_005), ("0.99", 99)]
)
def test_a_sum_is_read_to_the_cent(text: str, minor: int) -> None:
    assert sum_of(text) == minor


@pytest.mark.parametrize("text", ["", "-1", "1.5", "1.", ".50", "1,000", "1e3", "²", "1" * 14])
def test_what_is_no_sum_is_refused(text: str) -> None:
    with pytest.raises(SumMalformed):
        sum_of(text)


def test_a_band_is_read_to_the_millionth() -> None:
    assert band_of("0:2") == Band(rate_ppm=20_000)
    assert band_of("1000.00:1.5+5.00") == Band(from_minor=100_000, rate_ppm=15_000, fixed_minor=500)
    assert band_of("0:0.0001") == Band(rate_ppm=1)
    for text in ("", "2", "0:", ":2", "0:2%", "0:-1", "0:1.00001", "0:2+", "x:1"):
        with pytest.raises(BandMalformed):
            band_of(text)


async def test_disputes_are_listed_and_settled_once(desk: Desk, db: Connection) -> None:
    assert "no dispute waits" in await desk.done("vendors disputes list")
    await db.execute(
        "insert into payment (payment_id, operator, transaction_id, short_code, product,"
        " account_reference, amount_minor, paid_at, received_at, payer, payer_kind, raw)"
        " values (5, 'vendor:acme', 'till-7:17', 'Kisumu', 'prepaid', '01000000008', 50000,"
        " '2026-11-22', '2026-11-22', '', 'absent', '')"
    )
    await db.execute(
        "insert into dispute (dispute_id, payment_id, vendor_id, reason, opened_by, opened_at)"
        " values (9, 5, 'acme', 'wrong meter', 'till', '2026-11-22')"
    )
    told = await desk.done("vendors disputes list")
    for word in ("acme", "till-7:17", "01000000008", "500.00", "wrong meter"):
        assert word in told
    settle = "vendors disputes settle 9 --by Otieno --resolution"
    assert "till-7:17" in await desk.done(settle, "token not loaded")
    assert "no dispute waits" in await desk.done("vendors disputes list")
    assert await desk.refused(settle, "again") == "dispute_unknown"
    act = await db.fetchrow("select who, what, subject from act order by number desc limit 1")
    assert act is not None
    assert tuple(act) == ("Otieno", "dispute settled", "vendor:acme")
