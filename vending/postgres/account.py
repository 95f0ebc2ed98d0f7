"""Who PostgreSQL runs as: ourselves, or an unprivileged account when we are root.

PostgreSQL refuses to run as root. Starting as root we drop its processes, never ourselves, to an
account that the machine already has; no account is made and no directory of anyone else is opened
up. Whether that account can reach a path is found by trying, so that access lists count too.
"""

import os
import pwd
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vending.errors import VendingError

CANDIDATES = ("stima", "postgres", "nobody")
"""Accounts to drop to, best first: our own if an operator made one, then the customary ones."""

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
"""All that PostgreSQL's programs are told: no PG* variable of a shell reaches them."""

_OTHERS = 0o077


class NoUnprivilegedAccount(VendingError):
    """No unprivileged account was found to run PostgreSQL under.

    PostgreSQL refuses to run as root. Create an account named `stima`, or start as another user.
    """

    code = "no_unprivileged_account"


@dataclass(frozen=True, slots=True)
class Account:
    """An account on this machine; `name` is for messages only."""

    name: str
    uid: int
    gid: int


def account_for(data_dir: Path, candidates: Sequence[str] = CANDIDATES) -> Account:
    """Return the account PostgreSQL runs as: ours, or when we are root an unprivileged one.

    A data directory that exists keeps its owner. Raises NoUnprivilegedAccount.
    """
    if os.geteuid() != 0:
        return _known(os.geteuid(), os.getegid())
    if data_dir.exists() and (owner := data_dir.stat()).st_uid != 0:
        return _known(owner.st_uid, owner.st_gid)
    for name in candidates:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise NoUnprivilegedAccount(looked_for=", ".join(candidates))


def _known(uid: int, gid: int) -> Account:
    try:
        return Account(pwd.getpwuid(uid).pw_name, uid, gid)
    except KeyError:
        return Account(str(uid), uid, gid)


def run_as(account: Account, argv: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """Run a program to its end as `account`; standard error is folded into standard output.

    Raises OSError when the account may not run the program at all.
    """
    user, group, groups = credentials(account)
    return subprocess.run(  # noqa: S603 - programs we found, arguments we made
        argv,
        user=user,
        group=group,
        extra_groups=groups,
        cwd="/",
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )


def credentials(account: Account) -> tuple[int | None, int | None, list[int] | None]:
    """Return Popen's user, group and extra_groups: all None when `account` is who we are."""
    if account.uid == os.geteuid():
        return None, None, None
    return account.uid, account.gid, []


def reaches(account: Account, directory: Path) -> bool:
    """Return whether `account` can enter a directory and therefore everything it owns below it."""
    return run_as(account, ["/bin/sh", "-c", 'cd -- "$1"', "sh", directory]).returncode == 0


def make_directory(directory: Path) -> None:
    """Create a directory and its missing parents, open to enter, whatever the umask.

    Only directories made here get that mode; one that exists is left as it is.
    """
    if directory.exists():
        return
    make_directory(directory.parent)
    directory.mkdir(exist_ok=True)
    directory.chmod(0o755)


def make_private(directory: Path, account: Account) -> None:
    """Create a directory that only `account` may enter (0700); an existing one must be exactly so.

    Raises FileExistsError for a directory of anyone else, a symbolic link or a wider mode.
    """
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        found = directory.lstat()
        ours = found.st_uid == account.uid and stat.S_ISDIR(found.st_mode)
        if ours and not stat.S_IMODE(found.st_mode) & _OTHERS:
            return
        raise
    os.chown(directory, account.uid, account.gid)
