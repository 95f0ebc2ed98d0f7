"""`vending payments`, run as a person runs it beside a running server."""

import asyncio
from pathlib import Path

from tests.builders import a_meter_number
from tests.commands import offices
from tests.commands.demo_process import ran, served
from tests.commands.offices import PASSPHRASE, m_pesa, on, settings_file, url_of
from tests.database import Database

ANSWER_SECONDS = 60


class Desk:
    """Whoever answers the help line, with the server's settings."""

    def __init__(self, settings: Path) -> None:
        self._settings = settings

    async def __call__(self, *arguments: str) -> tuple[int, str]:
        code, told = await ran(
            "payments", *arguments, "--config", self._settings, environment={"COLUMNS": "120"}
        )
        assert "Traceback" not in told
        return code, told

    async def shown(self, receipt: str, containing: str) -> str:
        """Ask for a payment until its answer holds certain words."""
        async with asyncio.timeout(ANSWER_SECONDS):
            while containing not in (told := (await self("show", receipt))[1]):
                pass
        return told


async def test_money_for_the_wrong_meter_finds_the_right_one(
    database: Database, tmp_path: Path
) -> None:
    settings = settings_file(tmp_path, database=on(database))
    await offices.seal_key(settings)
    await offices.load_tariff(settings)
    meter = await offices.import_a_meter(settings)
    desk = Desk(settings)
    async with served(settings, PASSPHRASE) as running:
        async with m_pesa(await url_of(running), tmp_path) as operator:
            sale = await operator.pay(a_meter_number(), 50_000)
            receipt = sale.payment.transaction_id
            told = await desk.shown(receipt, "refund_due")
            assert "meter_unknown" in told
            assert receipt in (await desk("due"))[1]

            await operator.other_facts(sale.payment, amount_minor=90_000)
            await operator.malformed(sale.payment)
        waiting = (await desk("quarantine"))[1]
        assert "notice_conflicts" in waiting
        assert "notice_malformed" in waiting

        asked = ("reassign", receipt, meter, "--by", "amina", "--note", "read over the phone")
        code, told = await desk(*asked)
        assert (code, told) == (0, "token_issued\n")
        told = await desk.shown(receipt, "token_issued")
        for shown in (meter, "kWh", "DC1", "energy", "500.00"):
            assert shown in told
        assert receipt not in (await desk("due"))[1]
        code, told = await desk(*asked)
        assert (code, "nothing_to_reassign" in told) == (1, True)
        code, left = await running.interrupt()
    assert (code, left) == (0, [])


async def test_a_receipt_nobody_knows_and_a_meter_that_is_none_are_said_so(
    database: Database, tmp_path: Path
) -> None:
    desk = Desk(settings_file(tmp_path, database=on(database)))
    assert await desk("due") == (0, "no refund is due\n")
    assert await desk("quarantine") == (0, "nothing is in quarantine\n")
    assert "payment_unknown" in (await desk("show", "QK00000000"))[1]
    assert "payment_unknown" in (await desk("release", "QK00000000", "--by", "amina"))[1]
    moved = await desk("reassign", "QK00000000", "12345", "--by", "amina", "--note", "")
    assert (moved[0], "meter_number_malformed" in moved[1]) == (1, True)
