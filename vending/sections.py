"""What every section of settings is: frozen, closed, described, and silent about secrets."""

import msgspec
from msgspec import Meta

SECRET_SETTINGS = frozenset(
    {"secret", "previous_secret", "passphrase", "api_key", "callback_secret", "dsn", "owner_dsn"}
)


class Section(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A section of settings, frozen; its secrets are not shown.

    Defaults are left out when settings are handed on: "nothing was set" may be one of them.
    """

    def __repr__(self) -> str:
        shown = (
            f"{name}={'...' if name in SECRET_SETTINGS else repr(getattr(self, name))}"
            for name in self.__struct_fields__
        )
        return f"{type(self).__name__}({', '.join(shown)})"


def say(text: str) -> Meta:
    """Return what a setting is for, as its page says it."""
    return Meta(description=text)
