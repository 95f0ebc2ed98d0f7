"""The description is whole and true: an independent tester asks by it, as two vendors."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from tests.api.conftest import Serve
from tests.api.v1.conftest import a_vendor, settings
from tests.api.v1.stalls import a_market
from tests.builders import a_meter
from tests.conftest import SettableClock
from tests.database import Database
from tests.vendors.market import PRICE
from vending.api.v1 import description, problems, tokens
from vending.api.v1.receipts import METER
from vending.api.v1.table import OPERATIONS
from vending.meters import directory
from vending.postgres.pool import Connection
from vending.vendors.credentials import Grant, Issued
from vending.vendors.seals import Seals

TESTS = Path(__file__).parent

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance,{more}"
)


@pytest.fixture
def keys(acme_key: Issued, bolt_key: Issued) -> tuple[str, str]:
    return acme_key.secret, bolt_key.secret


@pytest.mark.parametrize(
    ("mode", "more"),
    [
        ("positive", "use_after_free,ensure_resource_availability"),
        ("negative", "negative_data_rejection,missing_required_header"),
    ],
)
async def test_the_api_is_as_described(  # noqa: PLR0917 -- fixtures
    serve: Serve,
    keys: tuple[str, str],
    database: Database,
    db: Connection,
    office: Connection,
    clock: SettableClock,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    mode: str,
    more: str,
) -> None:
    """Run with `--examples 250 --timeout 3600` for more than 20 000 requests."""
    examples: int = request.config.getoption("--examples")
    plenty = settings(database, burst_quota=10**9, day_quota=10**9)
    async with (
        a_market(db, database, office, clock) as market,
        serve(sequencer=market.lane.sequencer, **plenty) as api,
    ):
        await directory.register(db, a_meter(meter_number=METER), now=clock())
        for vendor_id in ("acme", "bolt"):
            await market.deposit(1_000_000 * PRICE, vendor_id)
        for key in keys:
            told = await _tested(
                f"{api.url}/openapi.json", key, tmp_path,
                "--checks", CHECKS.format(more=more), "--mode", mode,
                "--max-examples", str(examples),
            )  # fmt: skip
            counted = re.search(r"(\d+) generated", told)
            assert counted is not None, told
            assert int(counted[1]) > len(OPERATIONS) * examples / 4, told
            print(f"{mode}: {counted[1]} cases")
    if mode == "positive":
        sellers = await db.fetch("select distinct operator from payment")
        assert {row["operator"] for row in sellers} == {"vendor:acme", "vendor:bolt"}
        vendors = await db.fetch("select distinct vendor_id from deposit where status = 'proposed'")
        assert {row["vendor_id"] for row in vendors} == {"acme", "bolt"}
        made = await db.fetchval("select count(*) from webhook_endpoint")
        assert made > 0


async def test_the_sandbox_is_as_described(
    serve: Serve,
    database: Database,
    office: Connection,
    seals: Seals,
    clock: SettableClock,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    """Run with `--examples 250 --timeout 3600` for more."""
    examples: int = request.config.getoption("--examples")
    key = await a_vendor(office, "acme", seals=seals, clock=clock, grant=Grant(sandbox=True))
    plenty = settings(database, burst_quota=10**9, day_quota=10**9)
    async with serve(**plenty) as api:
        told = await _tested(
            f"{api.url}/openapi.json", key.secret, tmp_path,
            "--checks", CHECKS.format(more="negative_data_rejection"), "--include-tag", "sales",
            "--max-examples", str(examples),
        )  # fmt: skip
        page = (await api.get("/metrics")).body.decode()
    counted = re.search(r"(\d+) generated", told)
    assert counted is not None, told
    assert int(counted[1]) > 50, told
    asked = re.search(r'request_seconds_count\{operation="sandbox"\} (\d+)', page)
    assert asked is not None
    assert int(asked[1]) > 50


async def _tested(url: str, key: str, folder: Path, *more: str) -> str:
    tester = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "schemathesis"), "run", url,
        "--header", f"Authorization: Bearer {key}",
        "--phases", "examples,fuzzing,stateful", *more,
        "--request-timeout", "60", "--generation-deterministic", "--no-color", "--warnings", "off",
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    told, _ = await tester.communicate()
    assert tester.returncode == 0, told.decode()
    return told.decode()


def test_every_documented_code_is_given_by_a_test() -> None:
    codes = {kind.code for one in OPERATIONS for kind in problems.possible(one)}
    codes |= {kind.code for kind in tokens.ERRORS}
    written = "".join(path.read_text(encoding="utf-8") for path in TESTS.glob("test_*.py"))
    assert sorted(code for code in codes if f'"{code}"' not in written) == []


def test_every_operation_is_described_with_its_scope_and_its_codes() -> None:
    paths = description.document()["paths"]
    for one in OPERATIONS:
        told = paths[one.path][one.method.lower()]
        assert {"token": [one.scope.value]} in told["security"]
        assert {str(status) for status in one.answers} <= told["responses"].keys()
        for kind in problems.possible(one):
            assert str(int(problems.shape_of(kind).status)) in told["responses"]
