"""Where a run took place: what anybody must know before comparing two of them."""

import os
import platform
import statistics
import subprocess
import time
from importlib.metadata import version
from pathlib import Path

from benchmarks.cluster import Cluster

_BLOCK = bytes(8192)
_FLUSHES = 200


def facts(cluster: Cluster, directory: Path) -> dict[str, str]:
    """Return the machine, the versions, and how fast the disk flushes."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "processor": _cpu_model(),
        "cores": str(os.cpu_count()),
        "memory": f"{pages / 1e9:.0f} GB",
        "system": f"{platform.system()} {platform.release()}",
        "load before": " ".join(f"{load:.1f}" for load in os.getloadavg()),
        "python": f"{platform.python_version()}, a fixed loop in {loop_millis():.0f} ms",
        "postgresql": f"{cluster.programs.version} ({cluster.programs.origin})",
        "aiohttp": version("aiohttp"),
        "uvloop": version("uvloop"),
        "asyncpg": version("asyncpg"),
        "fdatasync of 8 kB": f"{flush_micros(directory):.0f} us (median)",
        "source": _commit(),
    }


def loop_millis() -> float:
    """Return the best of five times of a loop of dictionaries and texts, in milliseconds.

    Builds of one version of Python differ in it: one made with profile-guided optimization needs a
    fifth to a half less, and all that this server does in Python gains from it.
    """
    took = []
    for _ in range(5):
        began = time.perf_counter()
        found = {f"{number:06d}-{number * 3}": number for number in range(100_000)}
        sum(len(text) + number for text, number in found.items())
        took.append(time.perf_counter() - began)
    return min(took) * 1e3


def flush_micros(directory: Path) -> float:
    """Return the median time of an fdatasync after 8 kB written over old ones, as a log does."""
    path = directory / "flush"
    path.write_bytes(_BLOCK * _FLUSHES)
    took = []
    with path.open("r+b", buffering=0) as file:
        os.fsync(file.fileno())
        for _ in range(_FLUSHES):
            file.write(_BLOCK)
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - began)
    path.unlink()
    return statistics.median(took) * 1e6


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def _commit() -> str:
    """Return the commit that was measured, with a plus when files differ from it."""
    root = Path(__file__).parents[1]
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"], cwd=root, capture_output=True,
            text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said.stdout.strip()
