"""What names a meter's key, and the codes that move a meter from one key to another.

The codes of a key change are tokens that carry no units (IEC 62055-41, 6.2 and 6.5.2): each tells a
part of the new key and is made under the old one, so they come before any token under the new key.
"""

from typing import Any, Protocol

from vending.values import Value


class Columns(Protocol):
    """A row, by the names of its columns."""

    def __getitem__(self, name: str, /) -> Any:
        """Return a column."""
        ...


class KeyData(Value, frozen=True, kw_only=True):
    """A meter's key: supply group code, key revision number, tariff index, base date, expiry.

    `tid_base` is the base date of its token identifiers (93, 14 or 35) and `ken` its key expiry
    number; both belong to the vending key, that is, to supply group and revision.
    """

    sgc: str
    krn: int
    ti: int
    tid_base: int
    ken: int

    @property
    def name(self) -> tuple[str, int, int]:
        """What tells one key of a meter from another."""
        return self.sgc, self.krn, self.ti


class KeyChange(Value, frozen=True, kw_only=True):
    """A key change of a meter, by its order: from which key to which.

    `codes` are twenty digits each, in the order they are keyed in; none before they are issued.
    """

    hidden = frozenset({"codes"})

    order_id: int
    old: KeyData
    new: KeyData
    codes: tuple[str, ...] = ()


def change_of(row: Columns, *, codes: tuple[str, ...] = ()) -> KeyChange:
    """Return the key change of a row that has every column of its order."""
    old, new = (
        KeyData(
            sgc=row[f"{side}_sgc"], krn=row[f"{side}_krn"], ti=row[f"{side}_ti"],
            tid_base=row[f"{side}_base"], ken=row[f"{side}_ken"],
        )
        for side in ("from", "to")
    )  # fmt: skip
    return KeyChange(order_id=row["order_id"], old=old, new=new, codes=codes)


def codes_of(change: KeyChange | None) -> tuple[str, ...]:
    """Return the codes to key in before a token; nearly always none."""
    return () if change is None else change.codes
