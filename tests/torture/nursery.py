"""Starts servers quickly: a process that has imported everything, and forks one for each start.

A start then costs what the server itself does, and not the import of its libraries, which is most
of a second of both processors' time. What is forked runs the same `main` as `python -m vending`.

Usage: python -m tests.torture.nursery SETTINGS LOG. Each line on standard input is a fault of
`tests.torture.entry`; each answer is the new server's process number. Its servers are asked to
stop when standard input ends, so that a harness which dies in any way leaves none behind.
"""

import os
import signal
import sys
from pathlib import Path

import uvloop

from tests.torture import entry
from vending import server

_ = uvloop, server  # imported here so that the forked need not


def main() -> None:
    """Fork a server a line, until there are no more lines."""
    settings, log = sys.argv[1:]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the dead are nobody's zombies
    started = []
    for line in sys.stdin:
        number = os.fork()
        if number == 0:
            _serve(line.strip(), settings, Path(log))
        started.append(number)
        print(number, flush=True)
    for number in started:
        if _ours(number):
            os.kill(number, signal.SIGTERM)


def _serve(fault: str, settings: str, log: Path) -> None:
    """Become a server; never returns."""
    status = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        nothing = os.open(os.devnull, os.O_RDONLY)
        written = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        for source, target in ((nothing, 0), (written, 1), (written, 2)):
            os.dup2(source, target)
        entry.start([fault, "serve", "--config", settings])
        status = 0
    except SystemExit as asked:
        status = asked.code if isinstance(asked.code, int) else 0
    finally:
        os._exit(status)


def _ours(number: int) -> bool:
    """Whether a process is alive and still our child: numbers are given out again."""
    try:
        stat = Path(f"/proc/{number}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    state, parent = stat.rpartition(")")[2].split()[:2]
    return state not in "ZX" and int(parent) == os.getpid()


if __name__ == "__main__":
    main()
