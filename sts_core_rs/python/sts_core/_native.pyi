"""Types of the compiled core."""
# ruff: noqa: PYI021 - the module is compiled, so its documentation lives here

from collections.abc import Sequence
from datetime import datetime
from typing import final

from sts_core.errors import StsError

__all__ = [
    "Acceptance",
    "DecoderKey",
    "IssuedKeyChange",
    "IssuedToken",
    "KeyEntry",
    "KeyRing",
    "MeterPan",
    "Reading",
    "VendingKey",
    "VirtualMeter",
    "amount_field",
    "amount_of_field",
    "clear_block",
    "control_block",
    "crc",
    "crc_c",
    "currency_field",
    "currency_of_field",
    "decode",
    "decode_batch",
    "drn_check_digit",
    "drn_is_valid",
    "issue_with_keys",
    "kdf_data",
    "meter_test",
    "meter_test_control",
    "misty1",
    "pan_block",
    "parse_meter",
    "refusal",
    "refusal_codes",
    "special_reserved_identifier",
    "sta",
    "token_identifier",
]

@final
class IssuedToken:
    """A token made. Its digits are left out of its representation."""

    @property
    def digits(self) -> str:
        """Twenty decimal digits."""
    @property
    def amount(self) -> int:
        """What the token really carries: tenths, watts, 0.00001 of currency, or the raw value."""
    @property
    def tid(self) -> int | None:
        """Token identifier; meter tests have none."""
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]

@final
class Reading:
    """What a token says; sections of a key change show neither block nor content."""

    @property
    def token_class(self) -> int:
        """0 credit, 1 meter test, 2 management."""
    @property
    def subclass(self) -> int:
        """0 to 15."""
    @property
    def block(self) -> int | None:
        """The clear 64 bits."""
    @property
    def content(self) -> int | None:
        """The 44 bits between subclass and check."""
    @property
    def tid(self) -> int | None:
        """Token identifier."""
    @property
    def rnd(self) -> int | None:
        """Random number."""
    @property
    def s_and_e(self) -> int | None:
        """Sign and high exponent bits of currency."""
    @property
    def field16(self) -> int | None:
        """The raw sixteen bits of value."""
    @property
    def amount(self) -> int | None:
        """Tenths, or 0.00001 of currency."""
    @property
    def control(self) -> int | None:
        """Control field of a meter test."""
    @property
    def manufacturer_code(self) -> int | None:
        """Make that a meter test addresses, 0 for any."""
    @property
    def section(self) -> int | None:
        """1 to 4, of a key change."""

@final
class MeterPan:
    """A meter's number, both check digits verified."""

    @property
    def pan(self) -> str:
        """Eighteen digits."""
    @property
    def drn(self) -> str:
        """Eleven or thirteen digits."""
    @property
    def iin(self) -> str:
        """Issuer, six digits or ``0000``."""
    @property
    def manufacturer_code(self) -> int:
        """First two digits of eleven, four of thirteen."""
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    def __hash__(self, /) -> int: ...

@final
class KeyEntry:
    """What is known of a loaded key."""

    @property
    def sgc(self) -> str:
        """Supply group code."""
    @property
    def krn(self) -> int:
        """Key revision number."""
    @property
    def key_type(self) -> int:
        """1 default, 2 unique, 3 common."""
    @property
    def dkga(self) -> str:
        """``02`` or ``04``."""
    @property
    def base_date(self) -> str:
        """``93``, ``14`` or ``35``."""
    @property
    def ken(self) -> int:
        """Key expiry number."""
    @property
    def kcv(self) -> str:
        """Check value, six hexadecimal digits."""
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...
    __hash__: None  # type: ignore[assignment]

@final
class DecoderKey:
    """One meter's key. It is neither shown, copied nor pickled."""

    @staticmethod
    def for_test(*, ea: int, key: bytes | bytearray) -> DecoderKey:
        """Take a key given as bytes; a bytearray is wiped."""
    @property
    def ea(self) -> int:
        """7 or 11."""
    @property
    def kcv(self) -> str:
        """Check value of this key: six hexadecimal digits."""
    def is_key(self, key: bytes | bytearray) -> bool:
        """Whether these bytes are the key, in time that does not tell where they differ."""
    def credit(self, *, subclass: int, amount: int, tid: int, rnd: int) -> IssuedToken:
        """Make credit of subclass 0 to 3, in tenths."""
    def currency(self, *, subclass: int, amount: int, tid: int) -> IssuedToken:
        """Make credit of subclass 4 to 7, in 0.00001 of the unit."""
    def register_token(
        self, *, token_class: int, subclass: int, rnd: int, tid: int, value: int
    ) -> IssuedToken:
        """Make a token of the register family from its raw fields."""
    def content_token(self, *, token_class: int, subclass: int, content: int) -> IssuedToken:
        """Make a token of class 0 or 2 from its raw 44 bits."""
    def management(
        self, *, kind: str, tid: int, rnd: int, value: int = ..., index: int | None = None
    ) -> IssuedToken:
        """Make a management token; the kinds are those of :meth:`KeyRing.issue_management`."""
    def key_change(
        self,
        new_key: DecoderKey,
        *,
        sgc: str,
        krn: int,
        ti: int,
        key_type: int,
        ken: int,
        rollover: bool,
        tokens: int,
    ) -> list[str]:
        """Make the set that moves a meter from this key to the new one."""
    def __reduce_ex__(self, protocol: object, /) -> None: ...  # type: ignore[override]

@final
class VendingKey:
    """A vending key outside any ring. It is neither shown, copied nor pickled."""

    def __new__(cls, *, dkga: str, key: bytes | bytearray) -> VendingKey: ...
    @property
    def dkga(self) -> str:
        """``02`` or ``04``."""
    @property
    def kcv(self) -> str:
        """Check value, six hexadecimal digits."""
    def decoder_key(
        self,
        *,
        meter: str,
        ea: int,
        sgc: str,
        krn: int,
        ti: int,
        base_date: str,
        key_type: int = ...,
    ) -> DecoderKey:
        """Derive one meter's key, by arithmetic alone."""
    def __reduce_ex__(self, protocol: object, /) -> None: ...  # type: ignore[override]

@final
class IssuedKeyChange:
    """A key change made, and what the meter's record becomes once it is entered."""

    @property
    def tokens(self) -> list[str]:
        """Two, three or four times twenty digits, enterable in any order."""
    @property
    def rollover(self) -> bool:
        """Whether identifiers start again from a new base date."""
    @property
    def sgc(self) -> str:
        """New supply group code."""
    @property
    def krn(self) -> int:
        """New key revision number."""
    @property
    def ti(self) -> int:
        """New tariff index."""
    @property
    def key_type(self) -> int:
        """New key type."""
    @property
    def base_date(self) -> str:
        """New base date."""
    @property
    def ken(self) -> int:
        """New key expiry number."""

@final
class KeyRing:
    """A vendor's keys, held where Python cannot read them."""

    def __new__(cls) -> KeyRing: ...
    def load(
        self,
        *,
        sgc: str,
        krn: int,
        key_type: int,
        dkga: str,
        base_date: str,
        ken: int,
        key: bytearray | bytes,
        kcv: str | None = None,
    ) -> str:
        """Take a key in, wipe the bytearray, return the check value."""
    def remove(self, *, sgc: str, krn: int, key_type: int) -> None:
        """Wipe a key and forget it."""
    def keys(self) -> list[KeyEntry]:
        """Describe the loaded keys."""
    def decoder_key(
        self,
        *,
        meter: str,
        ea: int,
        sgc: str,
        krn: int,
        ti: int,
        key_type: int | None = None,
    ) -> DecoderKey:
        """Derive one meter's key, to decode with or for a series of tokens."""
    def issue_credit(
        self, order: tuple[str, int, str, int, int, int, int, int, int]
    ) -> IssuedToken:
        """Make one credit token."""
    def issue_credits(
        self, orders: Sequence[tuple[str, int, str, int, int, int, int, int, int]]
    ) -> list[IssuedToken | StsError]:
        """Make many, without the interpreter's lock: a token or a refusal for each order."""
    def issue_currency_credit(
        self,
        *,
        meter: str,
        ea: int,
        sgc: str,
        krn: int,
        ti: int,
        subclass: int,
        amount: int,
        tid: int,
    ) -> IssuedToken:
        """Make one currency credit token, subclass 4 to 7, in 0.00001 of the unit."""
    def issue_management(
        self,
        *,
        meter: str,
        ea: int,
        sgc: str,
        krn: int,
        ti: int,
        tid: int,
        rnd: int,
        kind: str,
        value: int = ...,
        index: int | None = None,
        key_type: int | None = None,
    ) -> IssuedToken:
        """Make one management token.

        ``kind`` is maximum_power_limit (watts), clear_credit (register, 65535 for all),
        tariff_rate, clear_tamper, phase_power_unbalance_limit (watts), water_meter_factor,
        flag (``index`` its number, value 0 or 1) or extended (``index`` 0 to 63).
        """
    def issue_key_change(
        self,
        *,
        meter: str,
        ea: int,
        sgc: str,
        krn: int,
        ti: int,
        new_sgc: str,
        new_krn: int,
        new_ti: int,
        at: datetime,
        key_type: int = ...,
        new_key_type: int = ...,
        tokens: int | None = None,
    ) -> IssuedKeyChange:
        """Make the set that moves a meter to another key of this ring; ``tokens`` 2, 3 or 4."""
    def __len__(self, /) -> int: ...
    def __reduce_ex__(self, protocol: object, /) -> None: ...  # type: ignore[override]

@final
class Acceptance:
    """A meter's answer to twenty digits."""

    @property
    def result(self) -> str:
        """``Accept`` or the standard's word for what is wrong."""
    @property
    def accepted(self) -> bool:
        """Whether the token was obeyed."""
    @property
    def token_class(self) -> int | None:
        """Class, if the token could be read."""
    @property
    def subclass(self) -> int | None:
        """Subclass, if the token could be read."""
    @property
    def tid(self) -> int | None:
        """Token identifier, if it has one."""
    @property
    def amount(self) -> int | None:
        """Tenths of a credit token."""
    @property
    def amount_currency(self) -> int | None:
        """Amount of a currency credit token, in 0.00001 of the unit."""
    @property
    def value(self) -> int | None:
        """Raw value of a management token."""
    @property
    def shown(self) -> list[tuple[int, str]]:
        """What an accepted meter test shows: number of the test and text."""

@final
class VirtualMeter:
    """A meter in software that knows its own key and the rules of acceptance."""

    @staticmethod
    def commission(
        ring: KeyRing,
        *,
        meter: str,
        ea: int,
        sgc: str,
        krn: int,
        ti: int,
        key_type: int = ...,
        ken: int = ...,
        manufactured_at: datetime | None = None,
        accepts: Sequence[int] = ...,
        magnetic_card: bool = False,
    ) -> VirtualMeter:
        """Make a meter as the factory does: afterwards it has only its own decoder key."""
    def enter(self, digits: str) -> Acceptance:
        """Type twenty digits."""
    @property
    def drn(self) -> str:
        """The meter's number."""
    @property
    def balance_tenths(self) -> int:
        """Credit left in the first register that it counts."""
    def balance(self, subclass: int) -> int:
        """Credit left in one register: tenths for 0 to 3, 0.00001 of currency for 4 to 7."""
    def consume(self, tenths: int) -> int:
        """Use up credit and return how much there was to use."""
    def tamper(self) -> None:
        """Open the lid."""
    def forget_key_change(self) -> None:
        """Drop a half-entered key change, as meters do after some minutes."""
    @property
    def sgc(self) -> str:
        """Supply group code; 000000 after a key change of two tokens."""
    @property
    def krn(self) -> int:
        """Key revision number."""
    @property
    def ti(self) -> int:
        """Tariff index."""
    @property
    def key_type(self) -> int:
        """Key type."""
    @property
    def ken(self) -> int:
        """Key expiry number."""
    @property
    def maximum_power_watts(self) -> int:
        """Maximum power limit."""
    @property
    def phase_unbalance_watts(self) -> int:
        """Maximum unbalance between phases."""
    @property
    def tariff_rate(self) -> int:
        """Tariff rate, raw."""
    @property
    def water_factor(self) -> int:
        """Water meter factor, raw."""
    @property
    def tampered(self) -> bool:
        """Whether a tamper was seen and not cleared."""
    @property
    def flags(self) -> int:
        """Flags of the extended token set, one bit each."""
    def state(self) -> bytes:
        """Save registers, settings and remembered identifiers; never the key."""
    def restore(self, state: bytes) -> None:
        """Put a saved state back into the same meter with the same key."""
    def __reduce_ex__(self, protocol: object, /) -> None: ...  # type: ignore[override]

def decode(digits: str, key: DecoderKey | None = None) -> Reading:
    """Decode a token; without a key only a meter test can be read."""

def decode_batch(items: Sequence[tuple[DecoderKey, str]]) -> list[Reading | StsError]:
    """Decode many tokens, each with its meter's key: a reading or a refusal for each."""

def issue_with_keys(
    orders: Sequence[tuple[DecoderKey, int, int, int, int]],
) -> list[IssuedToken | StsError]:
    """Make credit under keys already derived: key, subclass, tenths, identifier, random number."""

def meter_test(*, control: int, manufacturer_code: int = ..., subclass: int = ...) -> IssuedToken:
    """Make a meter test or display token, for any meter of the make."""

def meter_test_control(number: int, *, subclass: int = ...) -> int:
    """Find the control field of one test, 0 for all."""

def token_identifier(at: datetime, *, base_date: str, after: int | None = None) -> int:
    """Return the identifier of an aware instant: above its meter's last, never 00:01."""

def special_reserved_identifier(at: datetime, *, base_date: str) -> int:
    """Return the reserved identifier, 00:01, of the day of an instant."""

def parse_meter(text: str) -> MeterPan:
    """Read a DRN of 11 or 13 digits or a PAN of 18."""

def drn_is_valid(text: str) -> bool:
    """Whether the text is a DRN with the right last digit."""

def drn_check_digit(digits: str) -> int:
    """Return the digit that completes ten or twelve digits to a DRN."""

def refusal_codes() -> list[str]:
    """List the stable codes of all refusals of the core."""

def refusal() -> StsError:
    """Return one refusal as an exception, to test the table of classes."""

def crc(data: bytes) -> int:
    """Check of any bytes, in the order in which a token carries it."""

def crc_c(data: bytes) -> int:
    """Check of currency credit."""

def amount_field(amount: int) -> tuple[int, int]:
    """Sixteen bits of an amount, and the amount that they really carry."""

def amount_of_field(field: int) -> int:
    """Amount that sixteen bits carry."""

def currency_field(amount: int) -> tuple[int, int, int]:
    """Sign and exponent, sixteen bits, and the amount that they really carry."""

def currency_of_field(s_and_e: int, field: int) -> int:
    """Currency amount of sign and exponent and sixteen bits."""

def sta(*, key: bytes, block: bytes, decrypt: bool = False, sample: bool = False) -> bytes:
    """EA07 on one block; the sample tables are those printed in the standard."""

def misty1(*, key: bytes, block: bytes, decrypt: bool = False) -> bytes:
    """EA11 on one block."""

def clear_block(*, token_class: int, subclass: int, content: int) -> int:
    """Append the check to a clear block."""

def pan_block(
    *,
    meter: str,
    ea: int,
    sgc: str,
    krn: int,
    ti: int,
    base_date: str,
    key_type: int = ...,
) -> bytes:
    """PANBlock of DKGA02."""

def control_block(
    *,
    meter: str,
    ea: int,
    sgc: str,
    krn: int,
    ti: int,
    base_date: str,
    key_type: int = ...,
) -> bytes:
    """CONTROLBlock of DKGA02."""

def kdf_data(
    *,
    meter: str,
    ea: int,
    sgc: str,
    krn: int,
    ti: int,
    base_date: str,
    key_type: int = ...,
) -> bytes:
    """Return the data that DKGA04 authenticates."""
