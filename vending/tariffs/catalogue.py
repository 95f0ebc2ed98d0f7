"""Tariff versions: loaded once their own examples come out, and looked up by time of payment.

A version is never changed or replaced: receipts name it, and anyone can recompute them from it
(P5). A correction is a new version with its own beginning.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources

import asyncpg

from vending.errors import Rejected
from vending.postgres.pool import Session
from vending.tariffs.document import parse
from vending.tariffs.example import check
from vending.tariffs.tariff import Tariff, TariffUnknown

INSERT_VERSION = """
insert into tariff_version (code, version, effective_from, source, sha256, loaded_at)
select $1, $2, $3, $4, $5, $6
 where not exists (select from tariff_version where code = $1 and effective_from = $3)
on conflict (code, version) do nothing
returning loaded_at
"""

# Whatever stood in the way of an insert: the same version, or another that begins with it.
SELECT_RIVALS = """
select version, sha256, loaded_at
  from tariff_version
 where code = $1 and (version = $2 or effective_from = $3)
 order by version = $2 desc
"""

# Ordered so that, should two versions ever begin together, the later loaded is the later one.
SELECT_VERSIONS = """
select source
  from tariff_version
 order by code, effective_from, loaded_at, version
"""


COUNT_VERSIONS = "select count(*) as versions from tariff_version"


class TariffVersionConflict(Rejected):
    """Another tariff file has already been loaded under this version or for this beginning.

    Versions are never rewritten, because receipts name them. Give the file a version of its own
    and a beginning of its own, and load it again.
    """

    code = "tariff_version_conflict"


@dataclass(frozen=True, slots=True, kw_only=True)
class TariffVersion:
    """A version that is loaded: its name, its beginning, the digest of its file.

    `loaded_at` is when it was first loaded, which may be before now.
    """

    code: str
    version: str
    effective_from: datetime
    sha256: str
    loaded_at: datetime


class Catalogue:
    """All loaded versions as they were at one moment; a quote needs no database."""

    __slots__ = ("_beginnings", "_versions")

    def __init__(self, tariffs: Iterable[Tariff]) -> None:
        """Hold these versions; of two that begin together, the later given is in force."""
        by_code: dict[str, list[Tariff]] = {}
        for tariff in tariffs:
            by_code.setdefault(tariff.code, []).append(tariff)
        for versions in by_code.values():
            versions.sort(key=_beginning)
        self._versions: Mapping[str, list[Tariff]] = by_code
        self._beginnings = {
            code: [version.effective_from for version in versions]
            for code, versions in by_code.items()
        }

    def codes(self) -> tuple[str, ...]:
        """Return the codes of the tariffs that have a version, in order."""
        return tuple(sorted(self._versions))

    def in_force(self, code: str, at: datetime) -> Tariff:
        """Return the version of a tariff at the time of payment; raises TariffUnknown."""
        beginnings = self._beginnings.get(code)
        if beginnings is not None:
            index = bisect_right(beginnings, at) - 1
            if index >= 0:
                return self._versions[code][index]
        raise TariffUnknown(tariff=code, at=at.isoformat())

    def version(self, code: str, version: str) -> Tariff:
        """Return the version that a receipt names; raises TariffUnknown."""
        for tariff in self._versions.get(code, ()):
            if tariff.version == version:
                return tariff
        raise TariffUnknown(tariff=code, version=version)


async def load(db: asyncpg.Connection, toml_text: str, *, now: datetime) -> TariffVersion:
    """Activate the version that a tariff file describes, once its own examples come out.

    Loading the very same file again does nothing. Raises TariffMalformed, TariffExampleFails, and
    TariffVersionConflict when the version, or the beginning, belongs to another file.
    """
    document = parse(toml_text)
    check(document.tariff, document.examples)
    tariff = document.tariff
    sha256 = hashlib.sha256(toml_text.encode()).hexdigest()
    loaded_at = await db.fetchval(
        INSERT_VERSION,
        tariff.code,
        tariff.version,
        tariff.effective_from,
        toml_text,
        sha256,
        now,
    )
    if loaded_at is None:
        rival = await db.fetchrow(SELECT_RIVALS, tariff.code, tariff.version, tariff.effective_from)
        if rival is None or (rival["version"], rival["sha256"]) != (tariff.version, sha256):
            raise TariffVersionConflict(
                tariff=tariff.code,
                version=tariff.version,
                effective_from=tariff.effective_from.isoformat(),
                loaded=None if rival is None else rival["version"],
            )
        loaded_at = rival["loaded_at"]
    return TariffVersion(
        code=tariff.code,
        version=tariff.version,
        effective_from=tariff.effective_from,
        sha256=sha256,
        loaded_at=loaded_at.astimezone(UTC),
    )


async def count(db: Session) -> int:
    """Return how many versions are loaded; versions are only ever added, so a change shows here."""
    rows = await db.fetch(COUNT_VERSIONS)
    loaded: int = rows[0]["versions"]
    return loaded


async def read(db: Session) -> Catalogue:
    """Return the catalogue of every version loaded so far."""
    rows = await db.fetch(SELECT_VERSIONS)
    return Catalogue(parse(row["source"]).tariff for row in rows)


def shipped() -> dict[str, str]:
    """Return the tariff files that come with the package: name without ending to TOML text."""
    folder = resources.files("vending.tariffs") / "schedules"
    return {
        entry.name.removesuffix(".toml"): entry.read_text(encoding="utf-8")
        for entry in sorted(folder.iterdir(), key=lambda entry: entry.name)
        if entry.name.endswith(".toml")
    }


def _beginning(tariff: Tariff) -> datetime:
    return tariff.effective_from
