"""The embedded PostgreSQL's life: made, started, joined, killed, taken over, stopped."""

import asyncio
import dataclasses
import os
import signal
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from tests.processes import family, tell_family
from vending.postgres import cluster, postmaster
from vending.postgres.cluster import PostgresDidNotStart
from vending.postgres.embedded import EmbeddedSettings, application_dsn, running

ROOT = Path(__file__).parents[2]


async def ask(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def ask_until_answered(dsn: str, statement: str) -> object:
    while True:
        try:
            return await ask(dsn, statement)
        except (OSError, asyncpg.PostgresError):
            await asyncio.sleep(0.05)


async def write_rows(dsn: str) -> None:
    await ask(dsn, "create table receipt as select generate_series(1, 20000) as number")


def pid_of(settings: EmbeddedSettings) -> int:
    found = postmaster.running(settings.data_dir.resolve())
    assert found is not None
    return found.pid


@asynccontextmanager
async def holder(
    settings: EmbeddedSettings, **options: object
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the embedded PostgreSQL in a process of its own, until killed or told to end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.postgres.holder", settings.data_dir, settings.system_home),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
        **options,  # type: ignore[arg-type]
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await process.stdout.readline()).decode().strip()


async def test_a_new_directory_becomes_a_durable_private_database(
    settings: EmbeddedSettings,
) -> None:
    async with running(settings) as dsn:
        for setting in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
            assert await ask(dsn, f"show {setting}") == "on"
        assert await ask(dsn, "show shared_buffers") == "32MB"
        assert await ask(dsn, "show listen_addresses") == ""
        assert await ask(dsn, "show jit") == "off"
        assert await ask(dsn, "select current_database()::text") == "stima"
        socket_dir = Path(str(await ask(dsn, "show unix_socket_directories")).strip('"'))
        for private in (socket_dir, settings.data_dir):
            assert stat.S_IMODE(private.stat().st_mode) == 0o700


async def test_options_cannot_turn_durability_off(settings: EmbeddedSettings) -> None:
    wanted = dataclasses.replace(settings, options={"fsync": "off", "work_mem": "5MB"})
    async with running(wanted) as dsn:
        assert await ask(dsn, "show fsync") == "on"
        assert await ask(dsn, "show work_mem") == "5MB"


async def test_leaving_stops_it_and_leaves_no_process_behind(settings: EmbeddedSettings) -> None:
    async with running(settings):
        pid = pid_of(settings)
    assert family(pid) == []


async def test_a_second_start_keeps_the_rows_and_tells_what_the_log_says(
    settings: EmbeddedSettings,
) -> None:
    async with running(settings) as dsn:
        await write_rows(dsn)
    lines: list[str] = []
    async with running(settings, on_line=lines.append) as dsn:
        assert await ask(dsn, "select count(*) from receipt") == 20_000
    assert any("ready to accept connections" in line for line in lines)


@pytest.mark.parametrize("victims", ["the postmaster", "all of it"])
async def test_a_killed_postgresql_comes_back_with_its_rows(
    settings: EmbeddedSettings, victims: str
) -> None:
    lines: list[str] = []
    async with running(settings, on_line=lines.append) as dsn:
        await write_rows(dsn)
        killed = pid_of(settings)
        if victims == "the postmaster":
            os.kill(killed, signal.SIGKILL)
        else:
            tell_family(killed, signal.SIGKILL)
        assert await ask_until_answered(dsn, "select count(*) from receipt") == 20_000
        assert pid_of(settings) != killed
    assert any("automatic recovery in progress" in line for line in lines)


async def test_a_second_user_joins_and_the_last_one_out_stops_it(
    settings: EmbeddedSettings,
) -> None:
    first = running(settings)
    dsn = await first.__aenter__()
    pid = pid_of(settings)
    async with running(settings) as second_dsn:
        assert second_dsn == dsn
        assert pid_of(settings) == pid
        await first.__aexit__(None, None, None)
        assert await ask(second_dsn, "select 1") == 1
    assert family(pid) == []


async def test_two_first_starts_at_once_end_with_one_postgresql(
    settings: EmbeddedSettings,
) -> None:
    async with holder(settings) as one, holder(settings) as other:
        assert await line_of(one) == await line_of(other) != ""
        pid = pid_of(settings)
        for process in (one, other):
            assert process.stdin is not None
            process.stdin.close()
            assert await process.wait() == 0
    assert family(pid) == []


async def test_a_postgresql_that_outlived_its_server_is_taken_over(
    settings: EmbeddedSettings,
) -> None:
    async with holder(settings) as process:
        dsn = await line_of(process)
        await write_rows(dsn)
        process.kill()
        await process.wait()
    orphan = pid_of(settings)
    async with running(settings) as dsn:
        assert pid_of(settings) == orphan
        assert await ask(dsn, "select count(*) from receipt") == 20_000
        tell_family(orphan, signal.SIGKILL)
        assert await ask_until_answered(dsn, "select count(*) from receipt") == 20_000
        successor = pid_of(settings)
    assert family(orphan) == family(successor) == []


async def test_an_orphan_is_stopped_by_whoever_took_it_over(settings: EmbeddedSettings) -> None:
    async with holder(settings) as process:
        await line_of(process)
        process.kill()
        await process.wait()
    orphan = pid_of(settings)
    async with running(settings):
        pass
    assert family(orphan) == []


async def test_ctrl_c_reaches_us_and_not_postgresql_which_we_then_stop(
    settings: EmbeddedSettings,
) -> None:
    async with holder(settings) as process:
        await line_of(process)
        pid = pid_of(settings)
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdin is not None
        process.stdin.close()
        assert await line_of(process) == "still there: 1"
        await process.wait()
    assert family(pid) == []


async def test_a_pid_file_whose_number_belongs_to_another_program_is_cleared(
    settings: EmbeddedSettings,
) -> None:
    async with running(settings) as dsn:
        await write_rows(dsn)
        claim = (settings.data_dir / "postmaster.pid").read_text().splitlines()
        owner = settings.data_dir.stat()
    lines: list[str] = []
    stranger = subprocess.Popen(
        ["/bin/sleep", "100"],
        user=owner.st_uid if os.geteuid() == 0 else None,
    )
    try:
        stale = settings.data_dir / "postmaster.pid"
        stale.write_text("\n".join([str(stranger.pid), *claim[1:]]) + "\n")
        os.chown(stale, owner.st_uid, owner.st_gid)
        async with running(settings, on_line=lines.append) as dsn:
            assert await ask(dsn, "select count(*) from receipt") == 20_000
    finally:
        stranger.kill()
        stranger.wait()
    assert "another program" in lines[0]


async def test_a_socket_that_a_killed_postgresql_still_holds_is_waited_for(
    settings: EmbeddedSettings,
) -> None:
    async with running(settings):
        claim = (settings.data_dir / "postmaster.pid").read_text().splitlines()
        owner = settings.data_dir.stat()
    leaving = subprocess.Popen(
        ["/bin/sleep", "100"],
        user=owner.st_uid if os.geteuid() == 0 else None,
    )
    lock = Path(claim[4]) / ".s.PGSQL.5432.lock"
    lock.write_text("\n".join([str(leaving.pid), *claim[1:5]]) + "\n")
    os.chown(lock, owner.st_uid, owner.st_gid)
    lines: list[str] = []

    def told(line: str) -> None:
        lines.append(line)
        if "already exists" in line:
            leaving.kill()
            leaving.wait()

    try:
        async with running(settings, on_line=told) as dsn:
            assert await ask(dsn, "select 1") == 1
    finally:
        leaving.kill()
        leaving.wait()
    assert any('.lock" already exists' in line for line in lines)


async def test_a_socket_that_is_another_s_for_good_is_not_waited_for_for_ever(
    settings: EmbeddedSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(settings):
        claim = (settings.data_dir / "postmaster.pid").read_text().splitlines()
        owner = settings.data_dir.stat()
    monkeypatch.setattr(cluster, "LAUNCHES_MAX", 3)
    another = subprocess.Popen(
        ["/bin/sleep", "100"],
        user=owner.st_uid if os.geteuid() == 0 else None,
    )
    lock = Path(claim[4]) / ".s.PGSQL.5432.lock"
    lock.write_text("\n".join([str(another.pid), *claim[1:5]]) + "\n")
    os.chown(lock, owner.st_uid, owner.st_gid)
    lines: list[str] = []
    try:
        with pytest.raises(PostgresDidNotStart, match="already exists"):
            async with running(settings, on_line=lines.append):
                pass
    finally:
        another.kill()
        another.wait()
    assert sum('.lock" already exists' in line for line in lines) == 3


async def test_a_pid_file_of_a_dead_process_is_no_hindrance(settings: EmbeddedSettings) -> None:
    async with running(settings):
        claim = (settings.data_dir / "postmaster.pid").read_text()
        owner = settings.data_dir.stat()
    stale = settings.data_dir / "postmaster.pid"
    stale.write_text(claim)
    os.chown(stale, owner.st_uid, owner.st_gid)
    async with running(settings) as dsn:
        assert await ask(dsn, "select 1") == 1


async def test_an_interrupted_initialisation_is_begun_again(settings: EmbeddedSettings) -> None:
    half = settings.data_dir.with_name("data.new")
    half.mkdir()
    (half / "PG_VERSION").write_text("18\n")
    async with running(settings) as dsn:
        assert await ask(dsn, "select 1") == 1
    assert not half.exists()


async def test_a_frozen_postgresql_is_stopped_by_harder_means(settings: EmbeddedSettings) -> None:
    lines: list[str] = []
    hasty = dataclasses.replace(settings, stop_seconds_max=0.1)
    async with running(hasty, on_line=lines.append):
        pid = pid_of(hasty)
        os.kill(pid, signal.SIGSTOP)
    assert family(pid) == []
    assert any("SIGQUIT" in line for line in lines)


@pytest.mark.parametrize(
    ("owner", "application"),
    [
        (
            "postgresql://stima@/stima?host=/run/stima&port=5432",
            "postgresql://stima_app@/stima?host=/run/stima&port=5432",
        ),
        ("postgresql://stima:s%40t@db1:5432/stima", "postgresql://stima_app:s%40t@db1:5432/stima"),
        ("postgresql:///stima?host=/run/stima", "postgresql://stima_app@/stima?host=/run/stima"),
    ],
)
def test_the_application_connects_as_a_role_of_its_own(owner: str, application: str) -> None:
    assert application_dsn(owner) == application
