"""`vending serve` as a process: what it waits for, what keeps it from starting, a full disk."""

import asyncio
import os
import socket
from pathlib import Path

import asyncpg
import pytest

from tests import database as databases
from tests.commands import offices
from tests.commands.demo_process import ran, served
from tests.commands.offices import PASSPHRASE, health, m_pesa, on, settings_file, url_of
from tests.database import Database
from tests.postgres.test_refusals import fill, small_disk
from tests.processes import family
from vending.postgres.account import account_for
from vending.simulation.operator import Operator
from vending.simulation.pay_bill import CustomerPayment

ANSWER_SECONDS = 60
METER = "01000000008"


async def outcome_of(database: Database, receipt: str) -> str:
    """Wait for a payment's outcome."""
    query = "select kind from outcome join payment using (payment_id) where transaction_id = $1"
    connection = await asyncpg.connect(database.owner_dsn)
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            while (kind := await connection.fetchval(query, receipt)) is None:
                await asyncio.sleep(0.1)
    finally:
        await connection.close()
    return str(kind)


async def test_without_keys_money_is_taken_and_vended_once_the_keys_are_there(
    database: Database, tmp_path: Path
) -> None:
    settings = settings_file(tmp_path, database=on(database))
    meter = await offices.import_a_meter(settings)
    async with served(settings, PASSPHRASE) as running:
        url = await url_of(running)
        status, ready = await health(url)
        assert (status, ready["keys"], ready["tariffs"]) == (503, "missing", "missing")
        async with m_pesa(url, tmp_path) as operator:
            sale = await operator.pay(meter, 50_000)
        assert sale.acknowledged
        assert any("key_store_missing" in line for line in running.lines)

        await offices.seal_key(settings)
        await offices.load_tariff(settings)
        assert await outcome_of(database, sale.payment.transaction_id) == "token_issued"
        status, ready = await health(url)
        assert (status, ready["keys"], ready["tariffs"]) == (200, "loaded", "loaded")
        code, left = await running.interrupt()
    assert (code, left) == (0, [])


async def test_front_processes_can_be_asked_for_on_the_command_line(
    database: Database, tmp_path: Path
) -> None:
    settings = settings_file(tmp_path, database=on(database))
    async with served(settings, PASSPHRASE, "--workers", "1") as running:
        url = await url_of(running)
        members = family(running.process.pid)
        assert len(members) == 2
        assert (await health(url))[1]["database"] == "up"
        running.process.terminate()
        assert await running.process.wait() == 0
        assert not any(map(family, members))


async def test_more_front_processes_than_there_may_be_are_refused(tmp_path: Path) -> None:
    settings = settings_file(tmp_path, database="")
    code, told = await ran("serve", "--config", settings, "--workers", "65")
    assert code == 2
    assert "64" in told


async def test_a_busy_port_is_named(database: Database, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = settings_file(tmp_path, database=on(database), port=port)
        code, told = await ran("serve", "--config", settings, environment=PASSPHRASE)
    assert code == 1
    assert "address_unusable" in told
    assert str(port) in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("text", "named"), [(None, "stima.toml"), ("[server\n", "line 1"), ("[sever]\n", "sever")]
)
async def test_settings_that_cannot_be_used_are_named(
    tmp_path: Path, text: str | None, named: str
) -> None:
    path = tmp_path / "stima.toml"
    if text is not None:
        path.write_text(text)
    code, told = await ran("serve", "--config", path)
    assert code == 1
    assert "config_invalid" in told
    assert named in told
    assert "Traceback" not in told


async def test_data_of_another_postgresql_is_left_alone() -> None:
    with databases.cluster_directory() as directory:
        data = directory / "pg"
        data.mkdir(mode=0o700)
        (data / "PG_VERSION").write_text("13\n")
        who = account_for(data)
        os.chown(data, who.uid, who.gid)
        settings = settings_file(directory, database=f'data_dir = "{data}"')
        code, told = await ran("serve", "--config", settings)
        assert [path.name for path in data.iterdir()] == ["PG_VERSION"]
    assert code == 1
    assert "data_directory_foreign" in told
    assert "Traceback" not in told


AWAY = "postgresql://nobody@/none?host={home}"


@pytest.mark.parametrize(
    ("dsn", "commands", "named"),
    [
        (AWAY, ["tariffs list", "migrate"], "database_unavailable"),
        (
            "postgresql://nobody@/stima?host={socket}",
            ["serve", "tariffs list", "migrate"],
            "database_refuses",
        ),
        ("host={home}", ["serve", "tariffs list", "migrate"], "database_refuses"),
    ],
)
async def test_a_database_that_is_away_or_refuses_is_said_so(
    cluster: str, tmp_path: Path, dsn: str, commands: list[str], named: str
) -> None:
    address = dsn.format(home=tmp_path, socket=cluster.partition("host=")[2])
    settings = settings_file(tmp_path, database=f'dsn = "{address}"')
    for command in map(str.split, commands):
        code, told = await ran(*command, "--config", settings)
        assert code == 1
        assert named in told, told
        assert "Traceback" not in told


async def test_a_database_that_was_not_migrated_is_said_so(cluster: str, tmp_path: Path) -> None:
    empty = cluster.replace(databases.TEMPLATE, "postgres")
    settings = settings_file(tmp_path, database=f'dsn = "{empty}"')
    code, told = await ran("serve", "--config", settings)
    assert code == 1
    assert "schema_older" in told
    assert "vending migrate" in told


async def test_on_a_full_disk_nothing_is_acknowledged_and_nothing_acknowledged_is_lost() -> None:
    with databases.cluster_directory() as directory, small_disk(directory, 160) as disk:
        data = f'data_dir = "{disk}/pg"\nshared_buffers_mb = 16\nreaders = 1'
        settings = settings_file(disk, database=data)
        async with served(settings, PASSPHRASE) as running:
            async with m_pesa(await url_of(running), directory) as operator:
                before = await operator.pay(METER, 10_000)
                assert before.acknowledged
                balloon = fill(disk)
                refused = await until_refused(operator)
                balloon.unlink()
                async with asyncio.timeout(ANSWER_SECONDS):
                    while not (await operator.confirm(refused)).ok:
                        await asyncio.sleep(0.2)
                again = await operator.confirm(before.payment)
                assert again.ok
            code, left = await running.interrupt()
    assert (code, left) == (0, [])


async def until_refused(operator: Operator) -> CustomerPayment:
    """Pay until the disk's last free blocks are used up; return the payment that was refused."""
    for _ in range(20_000):
        payment = operator.take(METER, 10_000)
        answer = await operator.confirm(payment)
        if not answer.ok:
            assert answer.status == 503, answer
            return payment
    raise AssertionError("the disk never filled")
