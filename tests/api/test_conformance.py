"""An independent tester plays the operator by the published description of the callbacks."""

import asyncio
import re
import sys
from pathlib import Path

import pytest

from tests.api.conftest import SECRET, Serve
from vending.operators import mpesa
from vending.postgres.pool import Connection

DESCRIPTION = Path(__file__).parent.parent.parent / "docs" / "reference" / "callbacks.json"

CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_schema_conformance,unsupported_method,{more}"
)


@pytest.mark.parametrize(
    ("mode", "more"),
    [
        # A wrong member of a validation is answered 200 with the operator's own refusal.
        ("positive", "positive_data_acceptance"),
        ("negative", "missing_required_header"),
    ],
)
async def test_the_callbacks_are_as_described(
    serve: Serve, db: Connection, tmp_path: Path, mode: str, more: str
) -> None:
    async with serve() as api:
        tester = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "schemathesis"), "run", str(DESCRIPTION),
            "--url", f"{api.url}/op/saf/{SECRET}",
            "--checks", CHECKS.format(more=more),
            "--phases", "examples,fuzzing", "--mode", mode, "--max-examples", "25",
            "--generation-deterministic", "--no-color", "--warnings", "off",
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        told, _ = await tester.communicate()
    assert tester.returncode == 0, told.decode()
    counted = re.search(r"(\d+) generated", told.decode())
    assert counted is not None, told.decode()
    assert int(counted[1]) > 50
    if mode == "positive":
        for row in await db.fetch("select raw, transaction_id from payment"):
            assert mpesa.notice(row["raw"]).transaction_id == row["transaction_id"]
        assert await db.fetchval("select count(*) from payment") > 10
        assert await db.fetchval(
            "select count(*) from quarantine where reason <> 'notice_conflicts'"
        ) == 0  # fmt: skip
