"""An environment file: lines of NAME=VALUE, so that a secret is on no command line."""

from pathlib import Path

from vending.errors import Rejected

_QUOTES = ("'", '"')


class SecretsUnreadable(Rejected):
    """The file of secrets for a load test cannot be read.

    Give a text file of lines NAME=VALUE; empty lines and those that begin with # do not count.
    """

    code = "secrets_unreadable"


def read(path: Path) -> dict[str, str]:
    """Return the variables of a file. Raises SecretsUnreadable, which shows no value."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise SecretsUnreadable(file=str(path), fault=type(fault).__name__) from None
    found = {}
    for place, line in enumerate(lines, start=1):
        text = line.strip().removeprefix("export ")
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.strip().isidentifier():
            raise SecretsUnreadable(file=str(path), line=place)
        value = value.strip()
        quoted = len(value) > 1 and value[0] in _QUOTES and value[-1] == value[0]
        found[name.strip()] = value[1:-1] if quoted else value
    return found
