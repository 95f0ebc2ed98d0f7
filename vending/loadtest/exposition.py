"""Reads Prometheus' text format, and what operators ask of it: sums, rates, percentiles.

A metric that is missing is None and never an error: targets are older or newer than this kit.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping

Samples = Mapping[str, float]
"""Values by series, spelled as the target did: name{label="value",...}."""

_LINE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{.*\})?)\s+(\S+)(?:\s+-?[0-9]+)?\s*")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


def parse(text: str) -> dict[str, float]:
    """Return the values of a page of metrics; lines that are none are passed over."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        read = _LINE.fullmatch(line)
        if read is None:
            continue
        try:
            found[read[1]] = float(read[2])
        except ValueError:
            continue
    return found


def labels(series: str) -> dict[str, str]:
    """Return the labels of a series."""
    _, _, inside = series.partition("{")
    return {
        name: re.sub(r"\\(.)", lambda one: "\n" if one[1] == "n" else one[1], value)
        for name, value in _LABEL.findall(inside)
    }


def total(samples: Samples, name: str, **wanted: str) -> float | None:
    """Return the sum of a metric's series that have the wanted labels; None when there is none."""
    found = [
        value
        for series, value in samples.items()
        if series.partition("{")[0] == name
        and (not wanted or wanted.items() <= labels(series).items())
    ]
    return sum(found) if found else None


def by(samples: Samples, name: str, *label_names: str) -> dict[str, float]:
    """Return sums of a metric by the values of labels, joined by a space; empty ones left out."""
    sums: Counter[str] = Counter()
    for series, value in samples.items():
        if series.partition("{")[0] == name:
            told = labels(series)
            key = " ".join(part for one in label_names if (part := told.get(one, "")))
            sums[key] += value  # type: ignore[assignment]  # a Counter of floats adds as well
    return dict(sums)


def rise(before: Samples, after: Samples, name: str, **wanted: str) -> float | None:
    """Return by how much a counter rose; after a restart of the target it began at nothing."""
    end = total(after, name, **wanted)
    if end is None:
        return None
    begin = total(before, name, **wanted) or 0.0
    return end - begin if end >= begin else end


def rises(before: Samples, after: Samples, name: str, *label_names: str) -> dict[str, float]:
    """Return by how much a counter rose, by the values of labels; what did not is left out."""
    begin = by(before, name, *label_names)
    risen = {
        key: value - begin.get(key, 0.0) if value >= begin.get(key, 0.0) else value
        for key, value in by(after, name, *label_names).items()
    }
    return {key: value for key, value in risen.items() if value}


def quantile(
    before: Samples, after: Samples, name: str, share: float, **wanted: str
) -> float | None:
    """Return a histogram's percentile over what was observed between two looks.

    Within a bucket values are taken to lie evenly, as Prometheus does; beyond the last finite
    bound, that bound is returned. None when nothing was observed.
    """
    counts = _rises_of_buckets(before, after, f"{name}_bucket", wanted)
    if not counts or counts[-1][1] <= 0:
        return None
    rank = counts[-1][1] * share
    low, under = 0.0, 0.0
    for bound, upto in counts:
        if upto >= rank:
            if math.isinf(bound):
                return low
            return low + (bound - low) * ((rank - under) / (upto - under) if upto > under else 1)
        low, under = bound, upto
    return low


def _rises_of_buckets(
    before: Samples, after: Samples, name: str, wanted: Mapping[str, str]
) -> list[tuple[float, float]]:
    sums: Counter[float] = Counter()
    for series, value in after.items():
        if series.partition("{")[0] != name:
            continue
        told = labels(series)
        if wanted.items() <= told.items() and "le" in told:
            begin = before.get(series, 0.0)
            risen = value - begin if value >= begin else value
            sums[float(told["le"])] += risen  # type: ignore[assignment]  # as above
    return sorted(sums.items())
