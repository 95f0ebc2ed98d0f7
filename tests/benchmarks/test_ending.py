"""A run that is told to end leaves nothing behind."""

import asyncio
import os
import signal

import pytest

from benchmarks.__main__ import heeding_terminate
from benchmarks.goals import Result


async def test_a_run_that_is_terminated_still_clears_up() -> None:
    cleared = []

    async def run() -> Result:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()
            raise AssertionError
        finally:
            cleared.append("servers and directories")

    with pytest.raises(SystemExit) as end:
        await heeding_terminate(run())
    assert end.value.code == 128 + signal.SIGTERM
    assert cleared == ["servers and directories"]


async def test_a_run_that_is_left_alone_gives_its_result() -> None:
    async def run() -> Result:
        return Result(made_at="2026-11-22T08:00:00+00:00", command="python -m benchmarks")

    assert (await heeding_terminate(run())).command == "python -m benchmarks"
