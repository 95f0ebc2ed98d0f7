"""Processor time is read from /proc as the kernel writes it."""

import os
import time
from pathlib import Path

import pytest

from benchmarks import processors
from benchmarks.processors import Process, Reading

STAT = (
    "4242 (postgres: (x) y) S 17 4242 4242 0 -1 4194304 900 1 0 0 "
    "250 50 30 20 20 0 1 0 12345 230000000 5120 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0"
)


def test_a_line_of_stat_is_read_though_its_name_has_brackets_and_spaces() -> None:
    one = processors.parse(STAT)
    assert one == Process(
        pid=4242, parent=17, own_ticks=300, collected_ticks=50, resident_pages=5120
    )
    assert one.ticks == 350


def test_a_busy_machine_is_user_nice_and_system_and_nothing_else() -> None:
    assert processors.busy_ticks("cpu  100 20 3 9999 88 7 6 5 0 0\ncpu0 1 1 1 1\n") == 123


def a_process(pid: int, parent: int) -> Process:
    return Process(pid=pid, parent=parent, own_ticks=1, collected_ticks=0, resident_pages=0)


def test_a_tree_is_a_process_with_all_its_descendants_and_nobody_else() -> None:
    among = {one.pid: one for one in (a_process(1, 0), a_process(2, 1), a_process(3, 2),
                                      a_process(4, 3), a_process(9, 1))}  # fmt: skip
    assert sorted(one.pid for one in processors.tree(2, among)) == [2, 3, 4]


def test_a_tree_whose_root_has_ended_is_empty() -> None:
    assert processors.tree(2, {3: a_process(3, 2)}) == []


def test_processes_that_end_while_they_are_counted_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "4242").mkdir()
    (tmp_path / "4242" / "stat").write_text(STAT)
    (tmp_path / "4243").mkdir()
    (tmp_path / "self").mkdir()
    assert list(processors.processes(tmp_path)) == [4242]


def test_what_strangers_took_is_what_the_machine_took_without_us() -> None:
    before = Reading(at=10.0, trees={"server": 1.0}, ours=5.0, machine=100.0)
    after = Reading(at=12.0, trees={"server": 2.5}, ours=7.0, machine=103.0)
    spent = processors.between(before, after)
    assert spent.trees["server"] == pytest.approx(1.5)
    assert spent.strange_cores == pytest.approx(0.5)


def test_rounding_of_ticks_never_makes_strangers_negative() -> None:
    before = Reading(at=0.0, trees={}, ours=5.0, machine=100.0)
    after = Reading(at=1.0, trees={}, ours=6.02, machine=101.0)
    assert processors.between(before, after).strangers == 0


def test_our_own_work_is_seen_on_the_real_machine() -> None:
    before = processors.read({"us": os.getpid()})
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    spent = processors.between(before, processors.read({"us": os.getpid()}))
    assert spent.trees["us"] > 0
    assert processors.resident_mb(os.getpid()) > 1
