//! The attributes that name a decoder key: who supplies (SGC, KRN), on what tariff (TI), what kind
//! of key (KT, EA, DKGA) and from when minutes are counted (BDT). Clause 6.1.

use crate::error::{Result, StsError};
use crate::meter::MeterPan;

/// Encryption algorithm of a meter (EA).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// EA07, the standard transfer algorithm: a 64-bit key.
    Sta,
    /// EA11, MISTY1: a 128-bit key.
    Misty1,
}

impl Algorithm {
    /// # Errors
    /// [`StsError::AlgorithmWithdrawn`] for 9, [`StsError::AlgorithmUnknown`] for any other.
    pub fn from_code(ea: u64) -> Result<Self> {
        match ea {
            7 => Ok(Self::Sta),
            9 => Err(StsError::AlgorithmWithdrawn),
            11 => Ok(Self::Misty1),
            _ => Err(StsError::AlgorithmUnknown { ea }),
        }
    }

    /// The code as the standard writes it: 7 or 11.
    pub fn code(self) -> u8 {
        match self {
            Self::Sta => 7,
            Self::Misty1 => 11,
        }
    }

    /// Two ASCII digits.
    pub(crate) fn ascii(self) -> [u8; 2] {
        match self {
            Self::Sta => *b"07",
            Self::Misty1 => *b"11",
        }
    }

    /// Length of this algorithm's decoder key in bits.
    pub fn key_bits(self) -> u32 {
        match self {
            Self::Sta => 64,
            Self::Misty1 => 128,
        }
    }
}

/// Decoder key generation algorithm of a vending key (DKGA).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Derivation {
    /// DKGA02: a 64-bit vending key and single DES.
    Dkga02,
    /// DKGA04: a 160-bit vending key and HMAC-SHA-256.
    Dkga04,
}

impl Derivation {
    /// Reads "02" or "04".
    ///
    /// # Errors
    /// [`StsError::Dkga01Unsupported`], [`StsError::Dkga03Unsupported`] or
    /// [`StsError::DerivationUnknown`].
    pub fn from_code(code: &str) -> Result<Self> {
        match code {
            "02" => Ok(Self::Dkga02),
            "04" => Ok(Self::Dkga04),
            "01" => Err(StsError::Dkga01Unsupported),
            "03" => Err(StsError::Dkga03Unsupported),
            _ => Err(StsError::DerivationUnknown),
        }
    }

    /// The code as written in key files.
    pub fn code(self) -> &'static str {
        match self {
            Self::Dkga02 => "02",
            Self::Dkga04 => "04",
        }
    }
}

/// Kind of a key (KT).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum KeyType {
    /// 0, DITK: the manufacturer's own key, never held by a vendor.
    Initialisation,
    /// 1, DDTK: meters that have no owner yet.
    Default,
    /// 2, DUTK: the ordinary key of one meter in one supply group.
    Unique,
    /// 3, DCTK: one key for all magnetic-card meters of a supply group.
    Common,
}

impl KeyType {
    /// # Errors
    /// [`StsError::KeyTypeInvalid`] unless the code is 1, 2 or 3: a vendor holds no key of type 0.
    pub fn of_vending_key(key_type: u64) -> Result<Self> {
        match key_type {
            1 => Ok(Self::Default),
            2 => Ok(Self::Unique),
            3 => Ok(Self::Common),
            _ => Err(StsError::KeyTypeInvalid { key_type }),
        }
    }

    /// The two bits of a key-change token.
    pub fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Initialisation,
            1 => Self::Default,
            2 => Self::Unique,
            _ => Self::Common,
        }
    }

    /// The code, 0 to 3.
    pub fn code(self) -> u8 {
        match self {
            Self::Initialisation => 0,
            Self::Default => 1,
            Self::Unique => 2,
            Self::Common => 3,
        }
    }
}

/// The midnight from which a key's token identifiers count minutes (BDT), always UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BaseDate {
    /// 1 January 1993; its last minute was 2024-11-24 20:15.
    Y1993,
    /// 1 January 2014; its last minute is 2045-11-24 20:15.
    Y2014,
    /// 1 January 2035; its last minute is 2066-11-24 20:15.
    Y2035,
}

impl BaseDate {
    /// Reads "93", "14" or "35".
    ///
    /// # Errors
    /// [`StsError::BaseDateUnknown`].
    pub fn from_code(code: &str) -> Result<Self> {
        match code {
            "93" => Ok(Self::Y1993),
            "14" => Ok(Self::Y2014),
            "35" => Ok(Self::Y2035),
            _ => Err(StsError::BaseDateUnknown),
        }
    }

    /// The two digits of the year.
    pub fn code(self) -> &'static str {
        match self {
            Self::Y1993 => "93",
            Self::Y2014 => "14",
            Self::Y2035 => "35",
        }
    }

    pub(crate) fn ascii(self) -> [u8; 2] {
        match self {
            Self::Y1993 => *b"93",
            Self::Y2014 => *b"14",
            Self::Y2035 => *b"35",
        }
    }

    /// The base date in Unix seconds.
    pub fn unix_seconds(self) -> i64 {
        match self {
            Self::Y1993 => 725_846_400,
            Self::Y2014 => 1_388_534_400,
            Self::Y2035 => 2_051_222_400,
        }
    }
}

/// Supply group code (SGC): six digits, kept as they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SupplyGroup([u8; 6]);

impl SupplyGroup {
    /// # Errors
    /// [`StsError::SupplyGroupMalformed`] unless the text is six digits.
    pub fn parse(text: &str) -> Result<Self> {
        let digits: [u8; 6] =
            text.as_bytes().try_into().map_err(|_| StsError::SupplyGroupMalformed)?;
        if digits.iter().all(u8::is_ascii_digit) {
            Ok(Self(digits))
        } else {
            Err(StsError::SupplyGroupMalformed)
        }
    }

    pub(crate) fn ascii(self) -> [u8; 6] {
        self.0
    }

    /// The code as a number, as key-change tokens carry it.
    pub fn number(self) -> u32 {
        self.0.iter().fold(0, |number, digit| number * 10 + u32::from(digit & 15))
    }

    /// The supply group of a number; only six digits of it are looked at.
    pub fn from_number(number: u32) -> Self {
        let mut rest = number;
        let mut digits = [b'0'; 6];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        Self(digits)
    }
}

impl core::fmt::Display for SupplyGroup {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|&digit| write!(formatter, "{}", char::from(digit)))
    }
}

/// Key revision number (KRN), 1 to 9.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyRevision(u8);

impl KeyRevision {
    /// # Errors
    /// [`StsError::KeyRevisionInvalid`] outside 1 to 9.
    pub fn new(krn: u64) -> Result<Self> {
        match u8::try_from(krn) {
            Ok(number @ 1..=9) => Ok(Self(number)),
            _ => Err(StsError::KeyRevisionInvalid { krn }),
        }
    }

    /// The number itself.
    pub fn number(self) -> u8 {
        self.0
    }
}

/// Tariff index (TI), 0 to 99.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TariffIndex(u8);

impl TariffIndex {
    /// # Errors
    /// [`StsError::TariffIndexInvalid`] above 99.
    pub fn new(ti: u64) -> Result<Self> {
        match u8::try_from(ti) {
            Ok(number @ 0..=99) => Ok(Self(number)),
            _ => Err(StsError::TariffIndexInvalid { ti }),
        }
    }

    /// The index itself.
    pub fn number(self) -> u8 {
        self.0
    }

    pub(crate) fn ascii(self) -> [u8; 2] {
        [b'0' + self.0 / 10, b'0' + self.0 % 10]
    }
}

/// Everything that, with a vending key, decides one decoder key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecoderKeyName {
    /// The meter.
    pub meter: MeterPan,
    /// The meter's encryption algorithm.
    pub algorithm: Algorithm,
    /// The supply group.
    pub sgc: SupplyGroup,
    /// The revision of the supply group's key.
    pub krn: KeyRevision,
    /// The tariff index.
    pub ti: TariffIndex,
    /// The kind of key.
    pub key_type: KeyType,
    /// The base date of the vending key.
    pub base_date: BaseDate,
}
