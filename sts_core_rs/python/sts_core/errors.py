"""Every refusal of the library: one class a broken rule, each with a stable ``code``.

All are :class:`StsError`, which is a :class:`ValueError`. Messages carry the facts of the refusal
and never key material or token digits.
"""

from typing import ClassVar

__all__ = [
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
    "DefaultKeyCredit",
    "DerivationUnknown",
    "Dkga01Meter",
    "Dkga01Unsupported",
    "Dkga03Unsupported",
    "DrnCheckDigit",
    "FieldOutOfRange",
    "IdentifierExhausted",
    "IdentifierOutOfRange",
    "KcvMalformed",
    "KcvMismatch",
    "KeyChangeCount",
    "KeyChangeForbidden",
    "KeyConflict",
    "KeyExpired",
    "KeyExpiryInvalid",
    "KeyLength",
    "KeyParity",
    "KeyRevisionInvalid",
    "KeyTypeInvalid",
    "KeyUnknown",
    "ManufacturerCodeInvalid",
    "MeterLength",
    "MeterNotDigits",
    "PanCheckDigit",
    "RandomInvalid",
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
]


class StsError(ValueError):
    """A rule of the standard, or of safe vending, that the request breaks."""

    code: ClassVar[str] = "sts"


class TokenMalformed(StsError):
    """The text is not exactly twenty decimal digits."""

    code = "token_malformed"


class TokenOutOfRange(StsError):
    """Twenty digits whose value needs more than 66 bits."""

    code = "token_out_of_range"


class CrcMismatch(StsError):
    """The checksum does not match: damaged digits, or another meter's key."""

    code = "crc_mismatch"


class ClassReserved(StsError):
    """A token of class 3, which the standard reserves."""

    code = "class_reserved"


class MeterLength(StsError):
    """A meter number that has neither 11, 13 nor 18 digits."""

    code = "meter_length"


class MeterNotDigits(StsError):
    """A meter number with something other than digits in it."""

    code = "meter_not_digits"


class DrnCheckDigit(StsError):
    """The last digit of the meter number does not agree with the others."""

    code = "drn_check_digit"


class PanCheckDigit(StsError):
    """The last digit of the 18-digit meter PAN does not agree with the others."""

    code = "pan_check_digit"


class SupplyGroupMalformed(StsError):
    """A supply group code that is not six digits."""

    code = "supply_group_malformed"


class KeyRevisionInvalid(StsError):
    """A key revision number outside 1 to 9."""

    code = "key_revision_invalid"


class TariffIndexInvalid(StsError):
    """A tariff index outside 0 to 99."""

    code = "tariff_index_invalid"


class KeyTypeInvalid(StsError):
    """A key type this library cannot hold a vending key for."""

    code = "key_type_invalid"


class BaseDateUnknown(StsError):
    """A base date other than 93, 14 or 35."""

    code = "base_date_unknown"


class KeyExpiryInvalid(StsError):
    """A key expiry number above 255."""

    code = "key_expiry_invalid"


class AlgorithmUnknown(StsError):
    """An encryption algorithm code that does not exist."""

    code = "algorithm_unknown"


class AlgorithmWithdrawn(StsError):
    """Encryption algorithm 09, withdrawn by the standard."""

    code = "algorithm_withdrawn"


class AlgorithmNeedsDkga04(StsError):
    """Algorithm 11 needs a 128-bit decoder key, which only DKGA04 makes."""

    code = "algorithm_needs_dkga04"


class DerivationUnknown(StsError):
    """A key generation algorithm code that does not exist."""

    code = "derivation_unknown"


class Dkga01Unsupported(StsError):
    """DKGA01, whose formula is disputed."""

    code = "dkga01_unsupported"


class Dkga03Unsupported(StsError):
    """DKGA03, deprecated by the standard."""

    code = "dkga03_unsupported"


class Dkga01Meter(StsError):
    """The meter belongs to the ranges whose keys are made by DKGA01."""

    code = "dkga01_meter"


class CommonKeyDkga04(StsError):
    """A common key (type 3) under DKGA04, which no published rule decides."""

    code = "common_key_dkga04"


class KeyLength(StsError):
    """A vending key of a length its DKGA does not use."""

    code = "key_length"


class KeyParity(StsError):
    """A DES vending key with a byte of even parity."""

    code = "key_parity"


class KcvMismatch(StsError):
    """The check value computed at loading is not the expected one."""

    code = "kcv_mismatch"


class KcvMalformed(StsError):
    """A check value that is not six hexadecimal digits."""

    code = "kcv_malformed"


class KeyUnknown(StsError):
    """The ring holds no key for this supply group, revision and type."""

    code = "key_unknown"


class KeyConflict(StsError):
    """The ring already holds another key under this name."""

    code = "key_conflict"


class KeyExpired(StsError):
    """The token identifier lies past the key's expiry number."""

    code = "key_expired"


class DefaultKeyCredit(StsError):
    """Credit under a default key: meters refuse it."""

    code = "default_key_credit"


class AmountZero(StsError):
    """An amount of zero."""

    code = "amount_zero"


class AmountNegative(StsError):
    """An amount below zero where only a credit makes sense."""

    code = "amount_negative"


class AmountTooLarge(StsError):
    """An amount above the largest that the token can carry."""

    code = "amount_too_large"


class IdentifierOutOfRange(StsError):
    """A token identifier of more than 24 bits."""

    code = "identifier_out_of_range"


class IdentifierExhausted(StsError):
    """No identifier is left under this base date."""

    code = "identifier_exhausted"


class BeforeBaseDate(StsError):
    """An instant before the base date."""

    code = "before_base_date"


class SubclassInvalid(StsError):
    """A subclass that this kind of token does not have."""

    code = "subclass_invalid"


class RandomInvalid(StsError):
    """A random nibble above 15."""

    code = "random_invalid"


class FieldOutOfRange(StsError):
    """A value wider than its field."""

    code = "field_out_of_range"


class RegisterUnknown(StsError):
    """A register that ClearCredit does not know."""

    code = "register_unknown"


class ManufacturerCodeInvalid(StsError):
    """A manufacturer code outside the digits the meter's form allows."""

    code = "manufacturer_code_invalid"


class TestInvalid(StsError):
    """A meter test number that its control field has no bit for."""

    code = "test_invalid"


class KeyChangeForbidden(StsError):
    """A change between key types that the standard forbids."""

    code = "key_change_forbidden"


class KeyChangeCount(StsError):
    """Three tokens asked for a 128-bit key, which always takes four."""

    code = "key_change_count"


class StateMalformed(StsError):
    """A saved meter state that is damaged or not of this version."""

    code = "state_malformed"


class StateMismatch(StsError):
    """A saved meter state that belongs to another meter or key."""

    code = "state_mismatch"


REFUSALS: tuple[type[StsError], ...] = (
    TokenMalformed,
    TokenOutOfRange,
    CrcMismatch,
    ClassReserved,
    MeterLength,
    MeterNotDigits,
    DrnCheckDigit,
    PanCheckDigit,
    SupplyGroupMalformed,
    KeyRevisionInvalid,
    TariffIndexInvalid,
    KeyTypeInvalid,
    BaseDateUnknown,
    KeyExpiryInvalid,
    AlgorithmUnknown,
    AlgorithmWithdrawn,
    AlgorithmNeedsDkga04,
    DerivationUnknown,
    Dkga01Unsupported,
    Dkga03Unsupported,
    Dkga01Meter,
    CommonKeyDkga04,
    KeyLength,
    KeyParity,
    KcvMismatch,
    KcvMalformed,
    KeyUnknown,
    KeyConflict,
    KeyExpired,
    DefaultKeyCredit,
    AmountZero,
    AmountNegative,
    AmountTooLarge,
    IdentifierOutOfRange,
    IdentifierExhausted,
    BeforeBaseDate,
    SubclassInvalid,
    RandomInvalid,
    FieldOutOfRange,
    RegisterUnknown,
    ManufacturerCodeInvalid,
    TestInvalid,
    KeyChangeForbidden,
    KeyChangeCount,
    StateMalformed,
    StateMismatch,
)
"""Every class above, in the order in which the core declares them."""
