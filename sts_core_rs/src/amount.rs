//! The amount code of clause 6.3: two bits of exponent, fourteen of mantissa, and its wider
//! currency form (STS 202-1) with five bits of exponent and a sign.
//!
//! A value is `m * 10^e` plus the sum of all smaller ranges. Rounding is always in the customer's
//! favour: up for a credit, towards zero for a debit. So a token may carry more than was asked
//! for, and the encoder returns what it really carries.

use crate::error::{Result, StsError};

/// Largest value of the sixteen-bit code: 1 820 162.4 units of account, or as many watts.
pub const AMOUNT_MAX: u64 = 18_201_624;

const MANTISSA_MAX: u32 = 0x3FFF;

/// First value and step of each exponent of the sixteen-bit code.
const RANGES: [(u32, u32, u16); 4] =
    [(0, 1, 0x0000), (16_384, 10, 0x4000), (180_224, 100, 0x8000), (1_818_624, 1000, 0xC000)];

/// A sixteen-bit amount field and the value it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AmountField {
    /// The bits of the token.
    pub field: u16,
    /// The value those bits carry: at least what was asked for.
    pub encoded: u32,
}

/// Encodes a value (tenths of a unit, or watts), rounding up.
///
/// # Errors
/// [`StsError::AmountTooLarge`] above [`AMOUNT_MAX`].
///
/// ```
/// let amount = sts_core::encode_amount(16_385)?;
/// assert_eq!((amount.field, amount.encoded), (0x4001, 16_394));
/// # Ok::<(), sts_core::StsError>(())
/// ```
pub fn encode_amount(value: u64) -> Result<AmountField> {
    let value = u32::try_from(value).map_err(|_| StsError::AmountTooLarge)?;
    for (first, step, exponent_bits) in RANGES {
        if value <= first + MANTISSA_MAX * step {
            // A value between two ranges takes the first of the next one.
            let mantissa = value.saturating_sub(first).div_ceil(step);
            let encoded = first + mantissa * step;
            let mantissa = u16::try_from(mantissa).map_err(|_| StsError::AmountTooLarge)?;
            return Ok(AmountField { field: exponent_bits | mantissa, encoded });
        }
    }
    Err(StsError::AmountTooLarge)
}

/// The value that a sixteen-bit amount field carries.
pub fn decode_amount(field: u16) -> u32 {
    let [high, _] = field.to_be_bytes();
    let (first, step, _) = match high >> 6 {
        0 => RANGES[0],
        1 => RANGES[1],
        2 => RANGES[2],
        _ => RANGES[3],
    };
    first + u32::from(field & 0x3FFF) * step
}

/// A currency amount as a token carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CurrencyField {
    /// Sign and the three high exponent bits, in the place of the random number.
    pub s_and_e: u8,
    /// The two low exponent bits and the mantissa.
    pub field: u16,
    /// The amount those bits carry, in 0.00001 of the currency's unit.
    pub encoded: i128,
}

const CURRENCY_EXPONENT_MAX: u32 = 31;

/// `10^exponent`; every exponent of a token fits.
const fn power(exponent: u32) -> u128 {
    10_u128.pow(exponent)
}

/// First value of an exponent's range: the sum of all smaller ranges.
const fn first_of(exponent: u32) -> u128 {
    16_384 * (power(exponent) - 1) / 9
}

const fn last_of(exponent: u32) -> u128 {
    first_of(exponent) + MANTISSA_MAX as u128 * power(exponent)
}

/// Encodes a currency amount, given in 0.00001 of the unit, rounding towards plus infinity.
///
/// # Errors
/// [`StsError::AmountTooLarge`] when the magnitude is above the largest code.
pub fn encode_currency(amount: i128) -> Result<CurrencyField> {
    let magnitude = amount.unsigned_abs();
    if magnitude > last_of(CURRENCY_EXPONENT_MAX) {
        return Err(StsError::AmountTooLarge);
    }
    let negative = amount < 0;
    let mut exponent = 0;
    let mantissa = if negative {
        while exponent < CURRENCY_EXPONENT_MAX && first_of(exponent + 1) <= magnitude {
            exponent += 1;
        }
        ((magnitude - first_of(exponent)) / power(exponent)).min(u128::from(MANTISSA_MAX))
    } else {
        while last_of(exponent) < magnitude {
            exponent += 1;
        }
        magnitude.saturating_sub(first_of(exponent)).div_ceil(power(exponent))
    };
    let carried = i128::try_from(first_of(exponent) + mantissa * power(exponent))
        .map_err(|_| StsError::AmountTooLarge)?;
    let mantissa = u16::try_from(mantissa).map_err(|_| StsError::AmountTooLarge)?;
    let exponent = u8::try_from(exponent).map_err(|_| StsError::AmountTooLarge)?;
    Ok(CurrencyField {
        s_and_e: u8::from(negative) << 3 | exponent >> 2,
        field: u16::from(exponent & 3) << 14 | mantissa,
        encoded: if negative { -carried } else { carried },
    })
}

/// The currency amount, in 0.00001 of the unit, that the two fields carry.
pub fn decode_currency(s_and_e: u8, field: u16) -> i128 {
    let exponent = u32::from(s_and_e & 7) << 2 | u32::from(field >> 14);
    let magnitude = first_of(exponent) + u128::from(field & 0x3FFF) * power(exponent);
    let amount = i128::try_from(magnitude).unwrap_or(i128::MAX);
    if s_and_e & 8 == 8 { -amount } else { amount }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_between_two_ranges_go_up_to_the_next() {
        for (value, field) in [
            (16_383, 0x3FFF),
            (16_384, 0x4000),
            (16_385, 0x4001),
            (180_223, 0x8000),
            (180_224, 0x8000),
            (180_225, 0x8001),
            (1_818_623, 0xC000),
            (AMOUNT_MAX, 0xFFFF),
        ] {
            assert_eq!(encode_amount(value).map(|amount| amount.field), Ok(field));
        }
        assert_eq!(encode_amount(AMOUNT_MAX + 1), Err(StsError::AmountTooLarge));
    }

    #[test]
    fn every_field_decodes_to_a_value_that_encodes_to_itself() {
        for field in 0..=u16::MAX {
            let again = encode_amount(decode_amount(field).into()).map(|amount| amount.field);
            assert_eq!(again, Ok(field));
        }
    }

    #[test]
    fn money_is_rounded_towards_plus_infinity() {
        let credit = encode_currency(100_000).map(|money| (money.s_and_e, money.field));
        let debit = encode_currency(-100_000).map(|money| (money.s_and_e, money.field));
        assert_eq!((credit, debit), (Ok((0, 0x60AA)), Ok((8, 0x60A9))));
    }

    #[test]
    fn the_largest_money_is_encoded_and_one_more_refused() {
        let largest = i128::try_from(last_of(31)).unwrap_or(0);
        assert_eq!(encode_currency(largest).map(|money| money.encoded), Ok(largest));
        assert_eq!(encode_currency(largest + 1), Err(StsError::AmountTooLarge));
        assert_eq!(encode_currency(-largest - 1), Err(StsError::AmountTooLarge));
        assert_eq!(encode_currency(i128::MIN), Err(StsError::AmountTooLarge));
    }
}
