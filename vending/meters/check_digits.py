"""The Luhn check digit of meter numbers (ISO/IEC 7812-1, annex B): of one, or of a whole column."""

from collections.abc import Sequence

LENGTHS = frozenset({11, 13})
"""Digits of a decoder reference number: two or four of them name the manufacturer."""

_PLAIN = bytes.maketrans(b"0123456789", bytes(range(10)))
_DOUBLED = bytes.maketrans(b"0123456789", bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)))
_REMAINDER = bytes(value % 10 for value in range(256))


def luhn_holds(digits: bytes) -> bool:
    """Whether ASCII digits end in their check digit."""
    return (
        sum(digits[-1::-2].translate(_PLAIN)) + sum(digits[-2::-2].translate(_DOUBLED))
    ) % 10 == 0


def luhn_digit(digits: str) -> str:
    """Return the check digit to put behind ASCII digits."""
    body = digits.encode("ascii")
    total = sum(body[-1::-2].translate(_DOUBLED)) + sum(body[-2::-2].translate(_PLAIN))
    return str(-total % 10)


def suspects(numbers: Sequence[str]) -> list[int]:
    """Return the positions of texts that are not a meter number of 11 or 13 plain digits.

    Numbers of one length are checked together: each digit place of all of them is one big integer
    of one byte a number, and a sum of at most 13 digits never carries into the next byte.
    """
    lengths = set(map(len, numbers))
    found: list[int] = []
    for length in lengths:
        positions: Sequence[int] = range(len(numbers))
        if len(lengths) > 1:
            positions = [at for at, number in enumerate(numbers) if len(number) == length]
        if length not in LENGTHS:
            found += positions
            continue
        same = [numbers[at] for at in positions] if len(lengths) > 1 else numbers
        text = "".join(same)
        if not (text.isascii() and text.isdigit()):
            strange = [not (number.isascii() and number.isdigit()) for number in same]
            found += [at for at, is_strange in zip(positions, strange, strict=True) if is_strange]
            blank = "0" * length
            text = "".join(
                blank if is_strange else number
                for number, is_strange in zip(same, strange, strict=True)
            )
        remainders = _remainders(text.encode("ascii"), length)
        if remainders.strip(b"\0"):
            found += [at for at, rest in zip(positions, remainders, strict=True) if rest]
    return found


def _remainders(digits: bytes, length: int) -> bytes:
    """Return the Luhn sum modulo ten of each number of `length` digits, a byte each."""
    total = 0
    for place in range(length):
        table = _DOUBLED if (length - place) % 2 == 0 else _PLAIN
        total += int.from_bytes(digits[place::length].translate(table), "little")
    return total.to_bytes(len(digits) // length, "little").translate(_REMAINDER)
