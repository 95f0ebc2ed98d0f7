//! Making single tokens under a decoder key: credit, currency credit, management, meter tests.
//!
//! These functions know the rules of the token alone. The rules about keys (expiry, default keys,
//! withdrawn algorithms) are the ring's, see [`crate::ring`].

use crate::amount::{decode_amount, encode_amount, encode_currency};
use crate::block::{self, CREDIT, MANAGEMENT, METER_TEST};
use crate::digits::Token;
use crate::error::{Result, StsError};
use crate::identifier::IDENTIFIER_MAX;
use crate::keys::DecoderKey;

/// A credit token and the amount it really carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credit {
    /// The token.
    pub token: Token,
    /// Tenths of a unit, at least what was asked for.
    pub encoded: u32,
}

/// A currency credit token and the amount it really carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrencyCredit {
    /// The token.
    pub token: Token,
    /// In 0.00001 of the currency's unit, rounded in the customer's favour.
    pub encoded: i128,
}

/// Credit of electricity (subclass 0), water (1), gas (2) or time (3), in tenths of a kilowatt
/// hour, cubic metre or minute.
///
/// # Errors
/// [`StsError::SubclassInvalid`], [`StsError::AmountZero`], [`StsError::AmountTooLarge`],
/// [`StsError::IdentifierOutOfRange`], [`StsError::RandomInvalid`].
#[inline]
pub fn credit(key: &DecoderKey, subclass: u8, tenths: u64, tid: u32, rnd: u8) -> Result<Credit> {
    if subclass > 3 {
        return Err(StsError::SubclassInvalid { subclass: subclass.into() });
    }
    if tenths == 0 {
        return Err(StsError::AmountZero);
    }
    let amount = encode_amount(tenths)?;
    let token = register(key, CREDIT, subclass, rnd, tid, amount.field)?;
    Ok(Credit { token, encoded: amount.encoded })
}

/// Credit in currency for electricity (subclass 4), water (5), gas (6) or time (7), in 0.00001 of
/// the currency's unit; a negative amount is a debit.
///
/// # Errors
/// As [`credit`].
pub fn currency(key: &DecoderKey, subclass: u8, amount: i128, tid: u32) -> Result<CurrencyCredit> {
    if !(4..=7).contains(&subclass) {
        return Err(StsError::SubclassInvalid { subclass: subclass.into() });
    }
    if amount == 0 {
        return Err(StsError::AmountZero);
    }
    let money = encode_currency(amount)?;
    let token = register(key, CREDIT, subclass, money.s_and_e, tid, money.field)?;
    Ok(CurrencyCredit { token, encoded: money.encoded })
}

/// What a management token of the register family tells the meter (class 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Management {
    /// `SetMaximumPowerLimit`, in watts; rounded up to the next code.
    MaximumPowerLimit(u64),
    /// `ClearCredit` of one register, 0 to 7, or of all, FFFF.
    ClearCredit(u16),
    /// `SetTariffRate`; the association keeps the coding to itself.
    TariffRate(u16),
    /// `ClearTamperCondition`.
    ClearTamper,
    /// `SetMaximumPhasePowerUnbalanceLimit`, in watts; rounded up to the next code.
    PhasePowerUnbalanceLimit(u64),
    /// `SetWaterMeterFactor`; the coding is reserved.
    WaterMeterFactor(u16),
    /// A flag of the extended token set (STS 202-5): its number, below 512, and its value.
    Flag {
        /// Number of the flag.
        number: u16,
        /// On or off.
        set: bool,
    },
    /// Any other entry of the extended token set: index below 64, value below 1024.
    Extended {
        /// The entry.
        index: u8,
        /// Its ten bits.
        value: u16,
    },
}

/// Index of the extended token set under which flags live.
const FLAG_INDEX: u8 = 63;

impl Management {
    /// Subclass and the sixteen bits of value.
    ///
    /// # Errors
    /// [`StsError::AmountTooLarge`], [`StsError::RegisterUnknown`], [`StsError::FieldOutOfRange`].
    pub fn fields(&self) -> Result<(u8, u16)> {
        Ok(match *self {
            Self::MaximumPowerLimit(watts) => (0, encode_amount(watts)?.field),
            Self::ClearCredit(register) => match register {
                0..=7 | 0xFFFF => (1, register),
                _ => {
                    return Err(StsError::RegisterUnknown { register: register.into() });
                }
            },
            Self::TariffRate(rate) => (2, rate),
            Self::ClearTamper => (5, 0),
            Self::PhasePowerUnbalanceLimit(watts) => (6, encode_amount(watts)?.field),
            Self::WaterMeterFactor(factor) => (7, factor),
            Self::Flag { number, .. } if number > 511 => {
                return Err(StsError::FieldOutOfRange { limit: 511 });
            }
            Self::Flag { number, set } => {
                (10, u16::from(FLAG_INDEX) << 10 | number << 1 | u16::from(set))
            }
            Self::Extended { index, .. } if index > 63 => {
                return Err(StsError::FieldOutOfRange { limit: 63 });
            }
            Self::Extended { value, .. } if value > 1023 => {
                return Err(StsError::FieldOutOfRange { limit: 1023 });
            }
            Self::Extended { index, value } => (10, u16::from(index) << 10 | value),
        })
    }
}

impl Management {
    /// What the token really carries: the watts of a limit after rounding up, else the raw value.
    ///
    /// # Errors
    /// As [`Management::fields`].
    pub fn carried(&self) -> Result<u32> {
        let (_, field) = self.fields()?;
        Ok(match self {
            Self::MaximumPowerLimit(_) | Self::PhasePowerUnbalanceLimit(_) => decode_amount(field),
            _ => field.into(),
        })
    }
}

/// A management token of the register family.
///
/// # Errors
/// As [`Management::fields`], [`StsError::IdentifierOutOfRange`], [`StsError::RandomInvalid`].
pub fn management(key: &DecoderKey, order: &Management, tid: u32, rnd: u8) -> Result<Token> {
    let (subclass, value) = order.fields()?;
    register(key, MANAGEMENT, subclass, rnd, tid, value)
}

/// A token of the register family from its raw fields; `nibble` is the random number, or sign and
/// exponent of currency.
///
/// # Errors
/// [`StsError::SubclassInvalid`] above 15 or outside classes 0 and 2,
/// [`StsError::IdentifierOutOfRange`], [`StsError::RandomInvalid`].
#[inline]
pub fn register(
    key: &DecoderKey,
    class: u8,
    subclass: u8,
    nibble: u8,
    tid: u32,
    value: u16,
) -> Result<Token> {
    if tid > IDENTIFIER_MAX {
        return Err(StsError::IdentifierOutOfRange);
    }
    if nibble > 15 {
        return Err(StsError::RandomInvalid { rnd: nibble.into() });
    }
    encrypted(key, class, subclass, block::register_content(nibble, tid, value))
}

/// An encrypted token of class 0 or 2 from its 44 bits of content.
///
/// # Errors
/// [`StsError::ClassReserved`] for another class, [`StsError::SubclassInvalid`],
/// [`StsError::FieldOutOfRange`].
#[inline]
pub fn encrypted(key: &DecoderKey, class: u8, subclass: u8, content: u64) -> Result<Token> {
    if !matches!(class, CREDIT | MANAGEMENT) {
        return Err(StsError::ClassReserved);
    }
    if subclass > 15 {
        return Err(StsError::SubclassInvalid { subclass: subclass.into() });
    }
    if content > block::CONTENT_MAX {
        return Err(StsError::FieldOutOfRange { limit: block::CONTENT_MAX });
    }
    Ok(Token::new(class, key.encrypt(block::with_check(class, subclass, content))))
}

/// Form of a meter test token: how wide its control field and manufacturer code are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestForm {
    /// Subclass 0: 36 bits of control, manufacturer code of two digits.
    TwoDigit,
    /// Subclass 1: 28 bits of control, manufacturer code of four digits.
    FourDigit,
    /// Subclass 2, extended read (STS 202-5): 36 bits of control, eight bits that should be zero.
    ExtendedRead,
}

impl TestForm {
    /// # Errors
    /// [`StsError::SubclassInvalid`] above 2.
    pub fn from_subclass(subclass: u8) -> Result<Self> {
        match subclass {
            0 => Ok(Self::TwoDigit),
            1 => Ok(Self::FourDigit),
            2 => Ok(Self::ExtendedRead),
            _ => Err(StsError::SubclassInvalid { subclass: subclass.into() }),
        }
    }

    /// The subclass of class 1.
    pub fn subclass(self) -> u8 {
        match self {
            Self::TwoDigit => 0,
            Self::FourDigit => 1,
            Self::ExtendedRead => 2,
        }
    }

    fn code_bits(self) -> u32 {
        if self == Self::FourDigit { 16 } else { 8 }
    }

    fn code_max(self) -> u64 {
        match self {
            Self::TwoDigit => 99,
            Self::FourDigit => 9999,
            Self::ExtendedRead => 255,
        }
    }

    /// Bits of the control field, one a test.
    pub fn control_bits(self) -> u32 {
        44 - self.code_bits()
    }

    /// The control field for one test: bit n-1, or all bits for test 0, which runs them all.
    ///
    /// # Errors
    /// [`StsError::TestInvalid`] when the field has no such bit.
    pub fn control_of(self, number: u64) -> Result<u64> {
        let bits = self.control_bits();
        match u32::try_from(number) {
            Ok(0) => Ok((1 << bits) - 1),
            Ok(number) if number <= bits => Ok(1 << (number - 1)),
            _ => Err(StsError::TestInvalid { number }),
        }
    }
}

/// `InitiateMeterTest/Display` (class 1): encrypted under no key, so any meter of the make obeys.
///
/// # Errors
/// [`StsError::FieldOutOfRange`], [`StsError::ManufacturerCodeInvalid`].
///
/// ```
/// use sts_core::token::{TestForm, meter_test};
/// let all = TestForm::TwoDigit.control_of(0)?;
/// assert_eq!(meter_test(TestForm::TwoDigit, all, 0)?.to_string(), "56493153725450313471");
/// # Ok::<(), sts_core::StsError>(())
/// ```
pub fn meter_test(form: TestForm, control: u64, manufacturer_code: u64) -> Result<Token> {
    let limit = (1 << form.control_bits()) - 1;
    if control > limit {
        return Err(StsError::FieldOutOfRange { limit });
    }
    if manufacturer_code > form.code_max() {
        return Err(StsError::ManufacturerCodeInvalid { code: manufacturer_code });
    }
    let content = control << form.code_bits() | manufacturer_code;
    Ok(Token::new(METER_TEST, block::with_check(METER_TEST, form.subclass(), content)))
}
