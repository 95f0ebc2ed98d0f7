"""Counts of durations in buckets that are narrow everywhere, so that percentiles can be merged.

A bucket is a 32nd of a doubling of microseconds: 2.2 % wide from one microsecond to a minute. Two
histograms, or one of each second, add up bucket by bucket; averages of percentiles would be wrong.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping

STEPS = 32
"""Buckets in a doubling."""

_MICROSECONDS = 1_000_000
_log2 = math.log2


def bucket_of(seconds: float) -> int:
    """Return the bucket of a duration; all below a microsecond are in bucket 0."""
    microseconds = seconds * _MICROSECONDS
    return int(_log2(microseconds) * STEPS) if microseconds > 1 else 0


def upper_seconds(bucket: int) -> float:
    """Return the duration at the upper end of a bucket: a percentile never looks too good."""
    return float(2 ** ((bucket + 1) / STEPS)) / _MICROSECONDS


def percentile(counts: Mapping[int, int], share: float) -> float | None:
    """Return the duration in seconds that a share (0.99) of all stays under; None of nothing."""
    total = sum(counts.values())
    if not total:
        return None
    rank = max(1, math.ceil(total * share))
    seen = 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= rank:
            return upper_seconds(bucket)
    raise AssertionError(rank)


def merged(parts: Iterable[Mapping[int, int]]) -> Counter[int]:
    """Return the sum of histograms."""
    total: Counter[int] = Counter()
    for part in parts:
        for bucket, count in part.items():
            total[bucket] += count
    return total
