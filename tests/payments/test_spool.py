"""The spool on a real disk: what is acknowledged comes back, and what is damaged is never used."""

import asyncio
import os
import random
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from vending.payments import segment, spool
from vending.payments.segment import SUFFIX, Damage
from vending.payments.spool import Spool, SpoolBusy, SpoolUnavailable, SpoolUnusable

MEGABYTE = 1_000_000


HOLDER = """
import asyncio, sys; from pathlib import Path; from vending.payments import spool
async def main():
    async with spool.opened(Path(sys.argv[1]), bytes_max=1, patience=0):
        print("held", flush=True)
        sys.stdin.read()
asyncio.run(main())
"""


@asynccontextmanager
async def a_spool(
    directory: Path, *, bytes_max: int = MEGABYTE, segment_bytes: int = MEGABYTE
) -> AsyncIterator[Spool]:
    async with spool.opened(
        directory, bytes_max=bytes_max, segment_bytes=segment_bytes, patience=0
    ) as opened:
        yield opened


async def drained(kept: Spool) -> list[bytes | Damage]:
    found: list[bytes | Damage] = []
    while (oldest := await kept.oldest()) is not None:
        found += oldest.entries
        await kept.discard(oldest)
    return found


def payloads(count: int) -> list[bytes]:
    chance = random.Random(count)
    return [b"%d:" % n + chance.randbytes(chance.randrange(300)) for n in range(count)]


async def test_what_is_appended_comes_back_in_order_and_then_is_gone(tmp_path: Path) -> None:
    sent = payloads(50)
    async with a_spool(tmp_path) as kept:
        await asyncio.gather(*map(kept.append, sent))
        assert kept.size == sum(len(segment.frame(one)) for one in sent)
        assert kept.count == len(sent)
        assert await drained(kept) == sent
        assert kept.empty
        assert kept.size == 0
        await kept.close()
    assert list(tmp_path.glob(f"*{SUFFIX}")) == []


async def test_callers_share_a_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs: list[int] = []
    sync = os.fdatasync

    def counted(descriptor: int) -> None:
        syncs.append(descriptor)
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", counted)
    async with a_spool(tmp_path) as kept:
        await asyncio.gather(*map(kept.append, payloads(500)))
        await kept.close()
    assert len(syncs) <= 2


async def test_what_a_dead_process_left_comes_back_before_what_is_new(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as kept:
        await kept.append(b"before")
    # Nothing was closed: a killed process closes nothing either.
    async with a_spool(tmp_path) as kept:
        await kept.append(b"after")
        assert await drained(kept) == [b"before", b"after"]
        await kept.close()


async def test_a_large_backlog_is_many_segments(tmp_path: Path) -> None:
    sent = payloads(40)
    async with a_spool(tmp_path, segment_bytes=1_000) as kept:
        for one in sent:
            await kept.append(one)
        assert len(list(tmp_path.glob(f"*{SUFFIX}"))) > 3
        assert await drained(kept) == sent
        await kept.close()


async def test_what_a_dead_process_left_is_counted_by_its_size_until_it_is_read(
    tmp_path: Path,
) -> None:
    sent = [bytes(2 * spool.USUAL_BYTES)] * 5
    async with a_spool(tmp_path) as kept:
        await asyncio.gather(*map(kept.append, sent))
        await kept.close()
    async with a_spool(tmp_path) as again:
        assert 2 * len(sent) <= again.count <= 2 * len(sent) + 1
        oldest = await again.oldest()
        assert again.count == len(sent)
        assert oldest is not None
        await again.discard(oldest)
        assert again.count == 0


async def test_a_spool_is_one_process_own(tmp_path: Path) -> None:
    async with a_spool(tmp_path):
        with pytest.raises(SpoolBusy):
            async with a_spool(tmp_path):
                pass
        other = subprocess.run(
            [sys.executable, "-c", HOLDER, str(tmp_path)],
            input=b"", capture_output=True, check=False,
        )  # fmt: skip
    assert b"SpoolBusy" in other.stderr


async def test_a_starting_process_waits_for_a_killed_one_to_be_gone(tmp_path: Path) -> None:
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, str(tmp_path),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"

    async def start() -> None:
        async with spool.opened(tmp_path, bytes_max=MEGABYTE, patience=60) as kept:
            await kept.append(b"new")
            await kept.close()

    starting = asyncio.create_task(start())
    await asyncio.sleep(0)  # it has tried once by now
    assert not starting.done()
    holder.kill()
    await starting
    await holder.wait()


async def test_a_directory_that_cannot_be_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    with pytest.raises(SpoolUnusable):
        async with a_spool(tmp_path / "file" / "spool"):
            pass
    (tmp_path / f"name{SUFFIX}").write_text("not a number")
    with pytest.raises(SpoolUnusable):
        async with a_spool(tmp_path):
            pass


async def test_a_full_spool_refuses_and_takes_again_when_it_is_emptied(tmp_path: Path) -> None:
    async with a_spool(tmp_path, bytes_max=1_000) as kept:
        results = await asyncio.gather(
            *(kept.append(b"x" * 84) for _ in range(15)), return_exceptions=True
        )
        refused = [one for one in results if one is not None]
        assert len(refused) == 5
        assert all(isinstance(one, SpoolUnavailable) for one in refused)
        assert len(await drained(kept)) == 10
        await kept.append(b"again")
        await kept.close()


async def test_a_full_disk_refuses_and_what_was_acknowledged_stays(tmp_path: Path) -> None:
    """A limit on the size of files makes the kernel refuse in the middle of a write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with a_spool(tmp_path) as kept:
        await kept.append(b"acknowledged")
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
        try:
            with pytest.raises(SpoolUnavailable) as refused:
                await kept.append(b"x" * 5_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert refused.value.facts["why"] == "full"
        await kept.append(b"later")
        assert await drained(kept) == [b"acknowledged", b"later"]
        await kept.close()


async def test_a_disk_that_does_not_sync_acknowledges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    async with a_spool(tmp_path) as kept:
        await kept.append(b"acknowledged")
        with monkeypatch.context() as patched:
            patched.setattr(os, "fdatasync", broken)
            results = await asyncio.gather(
                *(kept.append(b"lost") for _ in range(3)), return_exceptions=True
            )
        assert all(isinstance(one, SpoolUnavailable) for one in results)
        assert {one.facts["why"] for one in results if isinstance(one, SpoolUnavailable)} == {
            "disk"
        }
        await kept.append(b"later")
        assert await drained(kept) == [b"acknowledged", b"later"]
        await kept.close()


async def test_a_closed_spool_takes_nothing(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as kept:
        await kept.append(b"kept")
        await kept.close()
        with pytest.raises(SpoolUnavailable):
            await kept.append(b"too late")
    async with a_spool(tmp_path) as kept:
        assert await drained(kept) == [b"kept"]
        await kept.close()


async def test_a_caller_that_goes_away_leaves_its_payload(tmp_path: Path) -> None:
    async with a_spool(tmp_path) as kept:
        gone = asyncio.create_task(kept.append(b"gone"))
        await asyncio.sleep(0)
        gone.cancel()
        await kept.append(b"stays")
        assert await drained(kept) == [b"gone", b"stays"]
        await kept.close()


async def test_an_unreadable_segment_stays_and_the_next_is_read(tmp_path: Path) -> None:
    (tmp_path / f"{1:020d}{SUFFIX}").mkdir()  # reading it fails, as on a broken disk
    async with a_spool(tmp_path) as kept:
        await kept.append(b"next")
        assert await drained(kept) == [b"next"]
        await kept.close()
    assert (tmp_path / f"{1:020d}{SUFFIX}").exists()


def test_a_file_cut_anywhere_gives_whole_frames_and_a_torn_end() -> None:
    sent = payloads(4)
    written = b"".join(map(segment.frame, sent))
    ends = [0]
    for one in sent:
        ends.append(ends[-1] + len(segment.frame(one)))
    for cut in range(len(written)):
        found = list(segment.frames(written[:cut]))
        whole = sum(end <= cut for end in ends) - 1
        assert found[:whole] == sent[:whole]
        rest = found[whole:]
        assert len(rest) == (cut not in ends)
        assert all(isinstance(one, Damage) and one.torn for one in rest)


def test_space_that_was_never_written_is_a_torn_end() -> None:
    found = list(segment.frames(segment.frame(b"one") + bytes(4096)))
    assert found[0] == b"one"
    assert isinstance(found[1], Damage)
    assert found[1].torn


def test_a_flipped_bit_anywhere_is_found_and_costs_one_frame() -> None:
    sent = payloads(3)
    written = b"".join(map(segment.frame, sent))
    for bit in range(len(written) * 8):
        flipped = bytearray(written)
        flipped[bit // 8] ^= 1 << bit % 8
        found = list(segment.frames(bytes(flipped)))
        damage = [one for one in found if isinstance(one, Damage)]
        assert len(damage) == 1, bit
        assert not damage[0].torn, bit
        good = [one for one in found if not isinstance(one, Damage)]
        assert len(good) == 2
        assert set(good) < set(sent)


def test_a_frame_inside_a_damaged_payload_is_not_believed() -> None:
    written = bytearray(segment.frame(b"outer" + segment.frame(b"forged")) + segment.frame(b"next"))
    written[17] ^= 1
    damage, following = segment.frames(bytes(written))
    assert isinstance(damage, Damage)
    assert following == b"next"
