"""Frozen values that are cheap to make: the nouns that a batch makes thousands of.

A frozen dataclass sets each field through a guarded call; msgspec's structs are as frozen, checked
by the same type checker, and made several times faster. `replace` gives a changed copy.
"""

from typing import ClassVar

import msgspec
from msgspec.structs import replace

__all__ = ["Value", "replace"]


class Value(msgspec.Struct, frozen=True, gc=False):
    """A frozen value; the fields named in `hidden` never show in its representation."""

    hidden: ClassVar[frozenset[str]] = frozenset()

    def __repr__(self) -> str:
        shown = (
            f"{name}={getattr(self, name)!r}"
            for name in self.__struct_fields__
            if name not in self.hidden
        )
        return f"{type(self).__name__}({', '.join(shown)})"
