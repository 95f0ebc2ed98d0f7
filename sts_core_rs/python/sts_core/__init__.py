"""Prepayment meter tokens of IEC 62055-41 (STS): issue, decode, keys, key changes, virtual meter.

Amounts are whole tenths of a kilowatt hour, cubic metre or minute, or whole 0.00001 of a currency's
unit. Instants are aware datetimes and chance is an argument: nothing here reads a clock.
Every refusal is a subclass of :class:`StsError` in :mod:`sts_core.errors` with a stable ``code``.
"""

from typing import NamedTuple

from sts_core import errors
from sts_core._native import (
    Acceptance,
    DecoderKey,
    IssuedKeyChange,
    IssuedToken,
    KeyEntry,
    KeyRing,
    MeterPan,
    Reading,
    VendingKey,
    VirtualMeter,
    decode,
    decode_batch,
    drn_check_digit,
    drn_is_valid,
    issue_with_keys,
    meter_test,
    meter_test_control,
    parse_meter,
    special_reserved_identifier,
    token_identifier,
)
from sts_core.errors import (
    AlgorithmNeedsDkga04,
    AlgorithmUnknown,
    AlgorithmWithdrawn,
    AmountNegative,
    AmountTooLarge,
    AmountZero,
    BaseDateUnknown,
    BeforeBaseDate,
    ClassReserved,
    CommonKeyDkga04,
    CrcMismatch,
    DefaultKeyCredit,
    DerivationUnknown,
    Dkga01Meter,
    Dkga01Unsupported,
    Dkga03Unsupported,
    DrnCheckDigit,
    FieldOutOfRange,
    IdentifierExhausted,
    IdentifierOutOfRange,
    KcvMalformed,
    KcvMismatch,
    KeyChangeCount,
    KeyChangeForbidden,
    KeyConflict,
    KeyExpired,
    KeyExpiryInvalid,
    KeyLength,
    KeyParity,
    KeyRevisionInvalid,
    KeyTypeInvalid,
    KeyUnknown,
    ManufacturerCodeInvalid,
    MeterLength,
    MeterNotDigits,
    PanCheckDigit,
    RandomInvalid,
    RegisterUnknown,
    StateMalformed,
    StateMismatch,
    StsError,
    SubclassInvalid,
    SupplyGroupMalformed,
    TariffIndexInvalid,
    TestInvalid,
    TokenMalformed,
    TokenOutOfRange,
)

AMOUNT_MAX_TENTHS = 18_201_624
"""The largest credit of one token: 1 820 162.4 units."""

IDENTIFIER_MAX = 0xFF_FFFF
"""The last token identifier under any base date."""


class CreditOrder(NamedTuple):
    """One credit to make. A plain tuple of the same nine parts will do as well."""

    meter: str
    """DRN of 11 or 13 digits, or meter PAN of 18."""
    ea: int
    """Encryption algorithm, 7 or 11."""
    sgc: str
    """Supply group code, six digits."""
    krn: int
    """Key revision number, 1 to 9."""
    ti: int
    """Tariff index, 0 to 99."""
    subclass: int
    """0 electricity, 1 water, 2 gas, 3 time."""
    amount: int
    """Tenths of a kilowatt hour, cubic metre or minute."""
    tid: int
    """Token identifier, 24 bits."""
    rnd: int
    """Random number, 0 to 15."""


__all__ = [
    "AMOUNT_MAX_TENTHS",
    "IDENTIFIER_MAX",
    "Acceptance",
    "AlgorithmNeedsDkga04",
    "AlgorithmUnknown",
    "AlgorithmWithdrawn",
    "AmountNegative",
    "AmountTooLarge",
    "AmountZero",
    "BaseDateUnknown",
    "BeforeBaseDate",
    "ClassReserved",
    "CommonKeyDkga04",
    "CrcMismatch",
    "CreditOrder",
    "DecoderKey",
    "DefaultKeyCredit",
    "DerivationUnknown",
    "Dkga01Meter",
    "Dkga01Unsupported",
    "Dkga03Unsupported",
    "DrnCheckDigit",
    "FieldOutOfRange",
    "IdentifierExhausted",
    "IdentifierOutOfRange",
    "IssuedKeyChange",
    "IssuedToken",
    "KcvMalformed",
    "KcvMismatch",
    "KeyChangeCount",
    "KeyChangeForbidden",
    "KeyConflict",
    "KeyEntry",
    "KeyExpired",
    "KeyExpiryInvalid",
    "KeyLength",
    "KeyParity",
    "KeyRevisionInvalid",
    "KeyRing",
    "KeyTypeInvalid",
    "KeyUnknown",
    "ManufacturerCodeInvalid",
    "MeterLength",
    "MeterNotDigits",
    "MeterPan",
    "PanCheckDigit",
    "RandomInvalid",
    "Reading",
    "RegisterUnknown",
    "StateMalformed",
    "StateMismatch",
    "StsError",
    "SubclassInvalid",
    "SupplyGroupMalformed",
    "TariffIndexInvalid",
    "TestInvalid",
    "TokenMalformed",
    "TokenOutOfRange",
    "VendingKey",
    "VirtualMeter",
    "decode",
    "decode_batch",
    "drn_check_digit",
    "drn_is_valid",
    "errors",
    "issue_with_keys",
    "meter_test",
    "meter_test_control",
    "parse_meter",
    "special_reserved_identifier",
    "token_identifier",
]
