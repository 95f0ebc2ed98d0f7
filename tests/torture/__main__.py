"""`make torture CYCLES=n SEED=s`: a longer run than the test suite's, a line a cycle."""

import argparse
import sys

import uvloop

from tests.torture import ground, harness, verdict


def main() -> None:
    """Run the cycles asked for; exit code 1 when a promise was broken."""
    options = argparse.ArgumentParser(prog="make torture", description=__doc__)
    options.add_argument("--cycles", type=int, default=50)
    options.add_argument("--seed", type=int, default=None)
    asked = options.parse_args()
    seed = ground.new_seed() if asked.seed is None else asked.seed
    print(f"seed {seed}", flush=True)
    report = uvloop.run(
        harness.run(asked.cycles, seed=seed, say=lambda line: print(line, flush=True))
    )
    for name, count in report.cycles.most_common():
        print(f"{count:>6}  {name}")
    print(
        f"{report.payments:,} payments, {report.acknowledged:,} acknowledged, "
        f"{report.tokens:,} tokens accepted, {len(report.faults)} faults"
    )
    if report.faults:
        print(verdict.shown(report.faults))
        print(f"again: make torture CYCLES={asked.cycles} SEED={seed}")
        sys.exit(1)


if __name__ == "__main__":
    main()
