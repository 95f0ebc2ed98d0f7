//! Every refusal of this crate, one variant a broken rule, each with a stable code.
//!
//! Messages carry the facts of the refusal (numbers the caller supplied) and never key material or
//! token digits.

use core::fmt;

/// Result of everything in this crate that may refuse.
pub type Result<T> = core::result::Result<T, StsError>;

macro_rules! refusals {
    ($( $(#[$doc:meta])* $name:ident $( { $($fact:ident : $type:ty),* } )? = $code:literal, $text:literal; )*) => {
        /// A rule of the standard, or of safe vending, that the request breaks.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum StsError {
            $( $(#[$doc])* $name $( { $(#[doc = "The offending value."] $fact: $type),* } )?, )*
        }

        impl StsError {
            /// The stable code of this refusal: lower case words joined by underscores.
            pub fn code(&self) -> &'static str {
                match self { $( Self::$name { .. } => $code, )* }
            }

            /// The codes of all refusals, in the order of their declaration.
            pub const CODES: &'static [&'static str] = &[$($code),*];
        }

        impl fmt::Display for StsError {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $( Self::$name $( { $($fact),* } )? => write!(formatter, $text), )*
                }
            }
        }
    };
}

refusals! {
    /// The text is not exactly twenty decimal digits.
    TokenMalformed = "token_malformed", "a token is exactly twenty decimal digits";
    /// Twenty digits whose value needs more than 66 bits.
    TokenOutOfRange = "token_out_of_range", "twenty digits above 73786976294838206463 are no token";
    /// The checksum does not match: damaged digits, or another meter's key.
    CrcMismatch = "crc_mismatch", "the token does not decode under this key";
    /// A token of class 3, which the standard reserves.
    ClassReserved = "class_reserved", "token class 3 is reserved";

    /// A meter number that has neither 11, 13 nor 18 digits.
    MeterLength { length: usize } = "meter_length",
        "a meter number has 11 or 13 digits, a meter PAN 18; this has {length} characters";
    /// A meter number with something other than digits in it.
    MeterNotDigits = "meter_not_digits", "a meter number holds only digits";
    /// The last digit of the meter number does not agree with the others.
    DrnCheckDigit { expected: u8 } = "drn_check_digit",
        "the meter number's last digit should be {expected}";
    /// The last digit of the 18-digit meter PAN does not agree with the others.
    PanCheckDigit { expected: u8 } = "pan_check_digit",
        "the meter PAN's last digit should be {expected}";

    /// A supply group code that is not six digits.
    SupplyGroupMalformed = "supply_group_malformed", "a supply group code is six digits";
    /// A key revision number outside 1 to 9.
    KeyRevisionInvalid { krn: u64 } = "key_revision_invalid",
        "a key revision number is 1 to 9, not {krn}";
    /// A tariff index outside 0 to 99.
    TariffIndexInvalid { ti: u64 } = "tariff_index_invalid", "a tariff index is 0 to 99, not {ti}";
    /// A key type this library cannot hold a vending key for.
    KeyTypeInvalid { key_type: u64 } = "key_type_invalid",
        "a vending key is of type 1, 2 or 3, not {key_type}";
    /// A base date other than 93, 14 or 35.
    BaseDateUnknown = "base_date_unknown", "a base date is 93, 14 or 35";
    /// A key expiry number above 255.
    KeyExpiryInvalid { ken: u64 } = "key_expiry_invalid",
        "a key expiry number is 0 to 255, not {ken}";
    /// An encryption algorithm code that does not exist.
    AlgorithmUnknown { ea: u64 } = "algorithm_unknown", "encryption algorithm {ea} does not exist";
    /// Encryption algorithm 09, withdrawn by the standard.
    AlgorithmWithdrawn = "algorithm_withdrawn", "encryption algorithm 09 is withdrawn";
    /// Algorithm 11 needs a 128-bit decoder key, which only DKGA04 makes.
    AlgorithmNeedsDkga04 = "algorithm_needs_dkga04",
        "algorithm 11 needs a decoder key made by DKGA04";

    /// A key generation algorithm code that does not exist.
    DerivationUnknown = "derivation_unknown", "the key generation algorithm is 02 or 04";
    /// DKGA01, whose formula is disputed.
    Dkga01Unsupported = "dkga01_unsupported", "DKGA01 is not supported";
    /// DKGA03, deprecated by the standard.
    Dkga03Unsupported = "dkga03_unsupported", "DKGA03 is deprecated and not supported";
    /// The meter belongs to the ranges whose keys are made by DKGA01.
    Dkga01Meter = "dkga01_meter",
        "this meter's key is made by DKGA01: any other key would make tokens it rejects";
    /// A common key (type 3) under DKGA04, which no published rule decides.
    CommonKeyDkga04 = "common_key_dkga04", "key type 3 is not defined under DKGA04";

    /// A vending key of a length its DKGA does not use.
    KeyLength { expected: usize } = "key_length", "this vending key is {expected} bytes long";
    /// A DES vending key with a byte of even parity.
    KeyParity = "key_parity", "every byte of a DES vending key has odd parity";
    /// The check value computed at loading is not the expected one.
    KcvMismatch = "kcv_mismatch", "the key's check value is not the expected one";
    /// A check value that is not six hexadecimal digits.
    KcvMalformed = "kcv_malformed", "a check value is six hexadecimal digits";
    /// The ring holds no key for this supply group, revision and type.
    KeyUnknown = "key_unknown", "no vending key is loaded for this supply group and revision";
    /// The ring already holds another key under this name.
    KeyConflict = "key_conflict", "another key is already loaded under this name";
    /// The token identifier lies past the key's expiry number.
    KeyExpired { ken: u8 } = "key_expired", "the vending key expired (key expiry number {ken})";
    /// Credit under a default key: meters refuse it.
    DefaultKeyCredit = "default_key_credit", "no credit is vended under a default key";

    /// An amount of zero.
    AmountZero = "amount_zero", "an amount of zero is not vended";
    /// An amount below zero where only a credit makes sense.
    AmountNegative = "amount_negative", "the amount is negative";
    /// An amount above the largest that the token can carry.
    AmountTooLarge = "amount_too_large", "the amount is above the largest a token carries";

    /// A token identifier of more than 24 bits.
    IdentifierOutOfRange = "identifier_out_of_range", "a token identifier has 24 bits";
    /// No identifier is left under this base date.
    IdentifierExhausted = "identifier_exhausted", "no token identifier is left under this base date";
    /// An instant before the base date.
    BeforeBaseDate = "before_base_date", "the instant lies before the base date";

    /// A subclass that this kind of token does not have.
    SubclassInvalid { subclass: u64 } = "subclass_invalid",
        "subclass {subclass} is not one of this kind of token";
    /// A random nibble above 15.
    RandomInvalid { rnd: u64 } = "random_invalid", "the random number is 0 to 15, not {rnd}";
    /// A value wider than its field.
    FieldOutOfRange { limit: u64 } = "field_out_of_range", "the value is above its limit, {limit}";
    /// A register that `ClearCredit` does not know.
    RegisterUnknown { register: u64 } = "register_unknown",
        "register {register} is not one of 0 to 7 or 65535";
    /// A manufacturer code outside the digits the meter's form allows.
    ManufacturerCodeInvalid { code: u64 } = "manufacturer_code_invalid",
        "manufacturer code {code} does not fit";
    /// A meter test number that its control field has no bit for.
    TestInvalid { number: u64 } = "test_invalid", "meter test {number} does not exist";

    /// A change between key types that the standard forbids.
    KeyChangeForbidden { from: u8, to: u8 } = "key_change_forbidden",
        "a key of type {from} is not changed to one of type {to}";
    /// Three tokens asked for a 128-bit key, which always takes four.
    KeyChangeCount = "key_change_count", "this key change has no set of that many tokens";

    /// A saved meter state that is damaged or not of this version.
    StateMalformed = "state_malformed", "the saved meter state cannot be read";
    /// A saved meter state that belongs to another meter or key.
    StateMismatch = "state_mismatch", "the saved state is of another meter or another key";
}

impl core::error::Error for StsError {}
