"""What the embedded PostgreSQL refuses, and that each refusal says what to do."""

import asyncio
import contextlib
import dataclasses
import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres.test_embedded import ROOT, ask, ask_until_answered, pid_of, write_rows
from tests.processes import family, tell_family
from vending.postgres import account, binaries
from vending.postgres.account import NoUnprivilegedAccount, account_for
from vending.postgres.binaries import PostgresNotFound
from vending.postgres.cluster import (
    DataDirectoryForbidden,
    DataDirectoryForeign,
    DiskFull,
    PostgresDidNotStart,
)
from vending.postgres.embedded import EmbeddedSettings, SocketPathTooLong, running
from vending.postgres.occupancy import DataDirectoryBusy

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop to another account")


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def pretended_programs(directory: Path, version: str, postgres: str) -> Path:
    """Make programs that answer --version and otherwise behave as badly as asked."""
    bin_dir = directory / "bin"
    bin_dir.mkdir()
    answer = f'[ "$1" = --version ] && echo "postgres (PostgreSQL) {version}" && exit'
    program(bin_dir / "initdb", f"{answer}\nexit 1")
    program(bin_dir / "postgres", f"{answer}\n{postgres}")
    return bin_dir


def pretended_data(settings: EmbeddedSettings, version: str = "18") -> None:
    settings.data_dir.mkdir(mode=0o700)
    (settings.data_dir / "PG_VERSION").write_text(f"{version}\n")
    who = account_for(settings.data_dir)
    os.chown(settings.data_dir, who.uid, who.gid)


@contextlib.contextmanager
def small_disk(directory: Path, megabytes: int) -> Iterator[Path]:
    """Mount a file system of a few megabytes, or skip where mounting is not allowed."""
    disk = directory / "disk"
    disk.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", disk],
        capture_output=True,
        check=False,
    )
    if made.returncode != 0:
        pytest.skip("a small file system cannot be mounted here (needs root and CAP_SYS_ADMIN)")
    try:
        yield disk
    finally:
        subprocess.run(["umount", disk], check=True)


def fill(disk: Path) -> Path:
    """Leave no free byte on a file system; return the file to delete to free it again."""
    balloon = disk / "balloon"
    with contextlib.suppress(OSError), balloon.open("wb", buffering=0) as opened:
        while True:
            opened.write(bytes(65536))
    with contextlib.suppress(OSError), balloon.open("ab", buffering=0) as opened:
        while True:
            opened.write(bytes(1))
    return balloon


async def test_another_major_version_is_refused_with_the_way_to_dump_and_restore(
    settings: EmbeddedSettings,
) -> None:
    async with running(settings):
        pass
    (settings.data_dir / "PG_VERSION").write_text("16\n")
    with pytest.raises(DataDirectoryForeign) as refusal:
        async with running(settings):
            pass
    assert "pg_dumpall" in str(refusal.value)
    assert "psql" in str(refusal.value)
    assert refusal.value.facts["written_by"] == "16"


async def test_missing_programs_are_named(settings: EmbeddedSettings, directory: Path) -> None:
    with pytest.raises(PostgresNotFound, match=r"nowhere \(cannot be run\)"):
        async with running(dataclasses.replace(settings, bin_dir=directory / "nowhere")):
            pass


async def test_programs_older_than_supported_are_passed_over(
    settings: EmbeddedSettings, directory: Path
) -> None:
    old = pretended_programs(directory, "13.2", "exit 1")
    with pytest.raises(PostgresNotFound, match=r"13\.2"):
        async with running(dataclasses.replace(settings, bin_dir=old)):
            pass


async def test_programs_that_answer_nonsense_are_passed_over(
    settings: EmbeddedSettings, directory: Path
) -> None:
    odd = pretended_programs(directory, "of some kind", "exit 1")
    with pytest.raises(PostgresNotFound):
        async with running(dataclasses.replace(settings, bin_dir=odd)):
            pass


async def test_a_directory_with_other_files_is_left_alone(settings: EmbeddedSettings) -> None:
    settings.data_dir.mkdir()
    (settings.data_dir / "letter.txt").write_text("keep me")
    with pytest.raises(DataDirectoryForbidden, match="not empty"):
        async with running(settings):
            pass
    assert (settings.data_dir / "letter.txt").read_text() == "keep me"


async def test_a_path_through_a_file_is_refused(settings: EmbeddedSettings) -> None:
    settings.data_dir.write_text("a file")
    wrong = dataclasses.replace(settings, data_dir=settings.data_dir / "data")
    with pytest.raises(DataDirectoryForbidden):
        async with running(wrong):
            pass


async def test_a_broken_initialisation_gives_its_words(
    settings: EmbeddedSettings, directory: Path
) -> None:
    bin_dir = pretended_programs(directory, "18.1", "exit 1")
    program(
        bin_dir / "initdb",
        '[ "$1" = --version ] && echo "initdb (PostgreSQL) 18.1" && exit\necho no luck; exit 1',
    )
    with pytest.raises(PostgresDidNotStart, match="no luck"):
        async with running(dataclasses.replace(settings, bin_dir=bin_dir)):
            pass
    assert not settings.data_dir.exists()


async def test_a_postgresql_that_ends_at_once_gives_its_last_words(
    settings: EmbeddedSettings,
) -> None:
    with pytest.raises(PostgresDidNotStart, match="work_mem"):
        async with running(dataclasses.replace(settings, options={"work_mem": "plenty"})):
            pass


async def test_a_postgresql_that_is_never_ready_is_given_up_and_ended_by_force(
    settings: EmbeddedSettings, directory: Path
) -> None:
    deaf = pretended_programs(
        directory, "18.1", f"trap '' INT QUIT; echo $$ > {directory}/data/deaf; exec sleep 100"
    )
    pretended_data(settings)
    impatient = dataclasses.replace(
        settings, bin_dir=deaf, start_seconds_max=1, stop_seconds_max=0.1, quit_seconds_max=0.1
    )
    lines: list[str] = []
    with pytest.raises(PostgresDidNotStart, match="seconds=1"):
        async with running(impatient, on_line=lines.append):
            pass
    assert family(int((settings.data_dir / "deaf").read_text())) == []
    assert "SIGKILL" in lines[-1]


async def test_a_configured_socket_directory_that_is_too_long_is_refused(
    settings: EmbeddedSettings, directory: Path
) -> None:
    long = directory / ("s" * 100)
    with pytest.raises(SocketPathTooLong):
        async with running(dataclasses.replace(settings, socket_dir=long)):
            pass


async def test_a_data_directory_with_a_long_path_gets_a_socket_elsewhere(
    settings: EmbeddedSettings, directory: Path
) -> None:
    deep = directory / ("d" * 100) / "data, with odd 'signs'"
    async with running(dataclasses.replace(settings, data_dir=deep)) as dsn:
        assert await ask(dsn, "select 1") == 1
        socket_dir = Path(str(await ask(dsn, "show unix_socket_directories")).strip('"'))
    assert not socket_dir.is_relative_to(directory)
    assert stat.S_IMODE(socket_dir.stat().st_mode) == 0o700
    socket_dir.rmdir()


async def test_a_socket_directory_open_to_others_is_refused(
    settings: EmbeddedSettings, directory: Path
) -> None:
    open_to_all = directory / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(DataDirectoryForbidden):
        async with running(dataclasses.replace(settings, socket_dir=open_to_all)):
            pass


async def test_a_start_that_others_hold_up_too_long_is_given_up(
    settings: EmbeddedSettings,
) -> None:
    lock = settings.data_dir.with_name("data.start")
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DataDirectoryBusy):
            async with running(dataclasses.replace(settings, start_seconds_max=0.1)):
                pass


async def test_a_postgresql_of_someone_elses_without_a_socket_is_left_running(
    settings: EmbeddedSettings,
) -> None:
    async with running(settings):
        pass
    who = account_for(settings.data_dir)
    found = binaries.find(None, who, settings.system_home)
    user, group, groups = account.credentials(who)
    other = subprocess.Popen(
        [
            *(found.bin_dir / "postgres", "-D", settings.data_dir),
            *("-c", "listen_addresses=127.0.0.1", "-c", "port=54329"),
            *("-c", "unix_socket_directories="),
        ],
        user=user,
        group=group,
        extra_groups=groups,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not (settings.data_dir / "postmaster.pid").exists():
            await asyncio.sleep(0.02)
        with pytest.raises(DataDirectoryBusy, match="no socket"):
            async with running(settings):
                pass
        assert other.poll() is None
    finally:
        other.send_signal(signal.SIGINT)
        other.wait()


async def test_a_full_disk_is_said_to_be_full_and_nothing_stays_of_the_attempt(
    settings: EmbeddedSettings, directory: Path
) -> None:
    with small_disk(directory, 20) as disk:
        with pytest.raises(DiskFull):
            async with running(dataclasses.replace(settings, data_dir=disk / "data")):
                pass
        assert not (disk / "data").exists()
        assert not (disk / "data.new").exists()


async def test_a_disk_that_filled_up_is_said_to_be_full_until_freed_and_keeps_the_rows(
    settings: EmbeddedSettings, directory: Path
) -> None:
    lines: list[str] = []
    with small_disk(directory, 120) as disk:
        filling = dataclasses.replace(settings, data_dir=disk / "data")
        async with running(filling, on_line=lines.append) as dsn:
            await write_rows(dsn)
            balloon = fill(disk)
            tell_family(pid_of(filling), signal.SIGKILL)
            while not any("disk_full" in line for line in lines):
                await asyncio.sleep(0.05)
            balloon.unlink()
            assert await ask_until_answered(dsn, "select count(*) from receipt") == 20_000


@as_root
def test_root_without_an_unprivileged_account_is_told_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(NoUnprivilegedAccount, match="no-such-account"):
        account_for(tmp_path / "data", ["no-such-account"])


@as_root
async def test_data_below_a_private_home_is_kept_where_postgresql_can_reach_it(
    settings: EmbeddedSettings, directory: Path
) -> None:
    home = directory / "private"
    home.mkdir(mode=0o700)
    private = dataclasses.replace(settings, data_dir=home / "data")
    async with running(private) as dsn:
        await write_rows(dsn)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert private.data_dir.readlink().is_relative_to(settings.system_home)
    async with running(private) as dsn:
        assert await ask(dsn, "select count(*) from receipt") == 20_000


@as_root
async def test_data_that_became_unreachable_is_refused(
    settings: EmbeddedSettings, directory: Path
) -> None:
    home = directory / "home-of-data"
    private = dataclasses.replace(settings, data_dir=home / "data")
    async with running(private):
        pass
    home.chmod(0o700)
    with pytest.raises(DataDirectoryForbidden, match="cannot enter"):
        async with running(private):
            pass


@as_root
async def test_programs_in_a_private_home_are_copied_once(
    settings: EmbeddedSettings, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = next(binaries._places()).package
    assert installed is not None
    home = directory / "private"
    home.mkdir(mode=0o700)
    for folder in (installed, installed.with_name(f"{installed.name}.libs")):
        shutil.copytree(folder, home / folder.name, symlinks=True)
    monkeypatch.syspath_prepend(str(home))
    who = account_for(directory / "none")
    found = binaries.find(None, who, settings.system_home)
    assert found.bin_dir.is_relative_to(settings.system_home)
    made = found.bin_dir.stat().st_ino
    assert binaries.find(None, who, settings.system_home).bin_dir.stat().st_ino == made
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


@as_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed")
async def test_an_ordinary_user_runs_it_as_themselves(
    settings: EmbeddedSettings, directory: Path
) -> None:
    """Read permission is left to the user, because the interpreter may be in root's own home."""
    who = account_for(settings.data_dir)
    theirs = directory / "theirs"
    theirs.mkdir()
    os.chown(theirs, who.uid, who.gid)
    process = await asyncio.create_subprocess_exec(
        *("setpriv", "--reuid", str(who.uid), "--regid", str(who.gid), "--clear-groups"),
        *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
        *(sys.executable, "-m", "tests.postgres.holder", theirs / "data", theirs / "home"),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert (await process.stdout.readline()).startswith(b"postgresql://")
    assert (theirs / "data").stat().st_uid == who.uid
    pid = pid_of(dataclasses.replace(settings, data_dir=theirs / "data"))
    process.stdin.close()
    assert await process.wait() == 0
    assert family(pid) == []
