"""How the tests break a rule of the audit."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """How to break a rule; `shown` is what its finding names, filled in from the books."""

    rule: str
    statements: tuple[str, ...]
    shown: str
