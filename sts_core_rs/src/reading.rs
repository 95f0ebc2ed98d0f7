//! Reading tokens: what a meter, a verifier or a helpdesk sees in twenty digits.
//!
//! Nothing here is used when tokens are made.

use crate::amount::{decode_amount, decode_currency};
use crate::attributes::KeyType;
use crate::block::{self, CREDIT, MANAGEMENT, METER_TEST};
use crate::digits::Token;
use crate::error::{Result, StsError};
use crate::keys::DecoderKey;

/// A token whose check holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Class, 0 to 2.
    pub class: u8,
    /// Subclass, 0 to 15.
    pub subclass: u8,
    /// The clear block, check included.
    pub block: u64,
    /// What the content means.
    pub meaning: Meaning,
}

/// The content of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Credit in tenths of a unit.
    Credit {
        /// Identifier and random number.
        stamp: Stamp,
        /// The sixteen bits of amount.
        field: u16,
        /// Tenths of a unit.
        tenths: u32,
    },
    /// Credit in currency.
    Currency {
        /// Token identifier.
        tid: u32,
        /// Sign and high exponent bits.
        s_and_e: u8,
        /// The sixteen bits of amount.
        field: u16,
        /// In 0.00001 of the unit.
        amount: i128,
    },
    /// A meter test or display.
    MeterTest {
        /// One bit a test.
        control: u64,
        /// The make addressed, 0 for any.
        manufacturer_code: u16,
    },
    /// A register of the meter is set or cleared.
    Register {
        /// Identifier and random number.
        stamp: Stamp,
        /// The sixteen bits of value.
        value: u16,
    },
    /// One section of a key change.
    KeyChange(Section),
    /// A subclass that the standard reserves or leaves to manufacturers.
    Other {
        /// Its 44 bits.
        content: u64,
    },
}

/// What makes a token unique and unpredictable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Token identifier.
    pub tid: u32,
    /// Random number.
    pub rnd: u8,
}

/// A section of a key change; quarters of the new key are not shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Section {
    /// High half of the expiry number, revision, rollover, size, type, first quarter.
    First {
        /// High four bits of the expiry number.
        ken_high: u8,
        /// Revision, as four raw bits.
        krn: u8,
        /// Identifiers start again.
        rollover: bool,
        /// The set has a third token with the supply group.
        three: bool,
        /// Kind of the new key.
        key_type: KeyType,
        /// Most significant 32 bits of the key.
        quarter: u32,
    },
    /// Low half of the expiry number, tariff index, last quarter.
    Second {
        /// Low four bits of the expiry number.
        ken_low: u8,
        /// Tariff index, as eight raw bits.
        ti: u8,
        /// Least significant 32 bits of the key.
        quarter: u32,
    },
    /// Supply group alone, or its low half and a quarter.
    Third {
        /// All 44 bits.
        content: u64,
    },
    /// High half of the supply group and a quarter.
    Fourth {
        /// All 44 bits.
        content: u64,
    },
}

impl Section {
    /// 1 to 4.
    pub fn number(&self) -> u8 {
        match self {
            Self::First { .. } => 1,
            Self::Second { .. } => 2,
            Self::Third { .. } => 3,
            Self::Fourth { .. } => 4,
        }
    }
}

impl core::fmt::Debug for Section {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "Section({})", self.number())
    }
}

/// Decodes a token with the key of the meter it is meant for; meter tests need no key, but are
/// checked all the same.
///
/// # Errors
/// [`StsError::CrcMismatch`], or [`StsError::ClassReserved`] for class 3 with a check that holds.
///
/// ```
/// use sts_core::{DecoderKey, Token, decode, reading::Meaning};
/// let key = DecoderKey::sta(0x87f3_ecbb_2e46_b48f);
/// let reading = decode(Token::parse("7063 0503 4700 2872 6114")?, &key)?;
/// assert!(matches!(reading.meaning, Meaning::Credit { tenths: 1, .. }));
/// # Ok::<(), sts_core::StsError>(())
/// ```
#[inline]
pub fn decode(token: Token, key: &DecoderKey) -> Result<Reading> {
    let class = token.class();
    match class {
        CREDIT | MANAGEMENT => read(class, key.decrypt(token.block())),
        _ => read(class, token.block()),
    }
}

/// Reads a token that is encrypted under no key.
///
/// # Errors
/// [`StsError::CrcMismatch`]; [`StsError::SubclassInvalid`] when the token is not of class 1.
pub fn decode_meter_test(token: Token) -> Result<Reading> {
    if token.class() == METER_TEST {
        read(METER_TEST, token.block())
    } else {
        Err(StsError::SubclassInvalid { subclass: token.class().into() })
    }
}

fn read(class: u8, clear: u64) -> Result<Reading> {
    if !block::check_holds(class, clear) {
        return Err(StsError::CrcMismatch);
    }
    let (subclass, content) = (block::subclass(clear), block::content(clear));
    let meaning = match class {
        CREDIT => credit(subclass, content),
        METER_TEST => meter_test(subclass, content),
        MANAGEMENT => management(subclass, content),
        _ => return Err(StsError::ClassReserved),
    };
    Ok(Reading { class, subclass, block: clear, meaning })
}

/// Nibble, identifier and value of the register family.
fn register_fields(content: u64) -> (u8, u32, u16) {
    let [_, _, nibble, a, b, c, high, low] = content.to_be_bytes();
    (nibble, u32::from_be_bytes([0, a, b, c]), u16::from_be_bytes([high, low]))
}

fn credit(subclass: u8, content: u64) -> Meaning {
    let (nibble, tid, field) = register_fields(content);
    match subclass {
        0..=3 => Meaning::Credit {
            stamp: Stamp { tid, rnd: nibble },
            field,
            tenths: decode_amount(field),
        },
        4..=7 => Meaning::Currency {
            tid,
            s_and_e: nibble,
            field,
            amount: decode_currency(nibble, field),
        },
        _ => Meaning::Other { content },
    }
}

fn meter_test(subclass: u8, content: u64) -> Meaning {
    let [.., high, low] = content.to_be_bytes();
    match subclass {
        0 | 2 => Meaning::MeterTest { control: content >> 8, manufacturer_code: low.into() },
        1 => Meaning::MeterTest {
            control: content >> 16,
            manufacturer_code: u16::from_be_bytes([high, low]),
        },
        _ => Meaning::Other { content },
    }
}

fn management(subclass: u8, content: u64) -> Meaning {
    let [_, _, nibble, flags, a, b, c, d] = content.to_be_bytes();
    let quarter = u32::from_be_bytes([a, b, c, d]);
    match subclass {
        3 => Meaning::KeyChange(Section::First {
            ken_high: nibble,
            krn: flags >> 4,
            rollover: flags & 8 != 0,
            three: flags & 4 != 0,
            key_type: KeyType::from_bits(flags),
            quarter,
        }),
        4 => Meaning::KeyChange(Section::Second { ken_low: nibble, ti: flags, quarter }),
        8 => Meaning::KeyChange(Section::Third { content }),
        9 => Meaning::KeyChange(Section::Fourth { content }),
        0..=2 | 5..=7 | 10 => {
            let (rnd, tid, value) = register_fields(content);
            Meaning::Register { stamp: Stamp { tid, rnd }, value }
        }
        _ => Meaning::Other { content },
    }
}
