//! The 66 bits of a token and the twenty digits people type (clause 6.4).

use crate::error::{Result, StsError};

/// A token: two bits of class woven into a block of 64, below 2^66. Its `Debug` shows no digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(u128);

/// Where the class bits displace two bits of the block.
const CLASS_PLACE: u32 = 27;
const BLOCK_BITS: u32 = 64;

/// `10^10`, by which twenty digits fall into two halves that fit a machine word.
const HALF: u64 = 10_000_000_000;
/// `2^64` in those halves.
const WORD_HIGH: u64 = 1_844_674_407;
const WORD_LOW: u64 = 3_709_551_616;

impl Token {
    /// Inserts the class and transposes the two bits it displaces to the front.
    #[inline]
    pub fn new(class: u8, block: u64) -> Self {
        let displaced = u128::from(block >> CLASS_PLACE & 3);
        let cleared = u128::from(block & !(3 << CLASS_PLACE));
        Self(displaced << BLOCK_BITS | cleared | u128::from(class & 3) << CLASS_PLACE)
    }

    /// Reads twenty digits; spaces and hyphens are ignored.
    ///
    /// # Errors
    /// [`StsError::TokenMalformed`] unless there are exactly twenty digits,
    /// [`StsError::TokenOutOfRange`] when they need more than 66 bits.
    pub fn parse(text: &str) -> Result<Self> {
        let mut value = 0_u128;
        let mut length = 0;
        for byte in text.bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
            if !byte.is_ascii_digit() || length == 20 {
                return Err(StsError::TokenMalformed);
            }
            value = value * 10 + u128::from(byte & 15);
            length += 1;
        }
        if length != 20 {
            Err(StsError::TokenMalformed)
        } else if value >> (BLOCK_BITS + 2) != 0 {
            Err(StsError::TokenOutOfRange)
        } else {
            Ok(Self(value))
        }
    }

    /// The class, 0 to 3.
    pub fn class(self) -> u8 {
        u8::try_from(self.0 >> CLASS_PLACE & 3).unwrap_or(0)
    }

    /// The block with its displaced bits back in place, still encrypted if its class is.
    pub fn block(self) -> u64 {
        let front = u64::try_from(self.0 >> BLOCK_BITS & 3).unwrap_or(0);
        let rest = u64::try_from(self.0 & u128::from(u64::MAX)).unwrap_or(0);
        rest & !(3 << CLASS_PLACE) | front << CLASS_PLACE
    }

    /// All 66 bits.
    pub fn bits(self) -> u128 {
        self.0
    }

    /// Twenty ASCII digits.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the two parts of a 66-bit number")]
    pub fn digits(self) -> [u8; 20] {
        let (front, rest) = ((self.0 >> BLOCK_BITS) as u64, self.0 as u64);
        let low = rest % HALF + front * WORD_LOW;
        let high = rest / HALF + front * WORD_HIGH + low / HALF;
        let mut digits = [b'0'; 20];
        let (first, second) = digits.split_at_mut(10);
        write_digits(first, high);
        write_digits(second, low % HALF);
        digits
    }
}

/// Writes `value`, below `10^10`, into ten places.
#[inline]
fn write_digits(places: &mut [u8], value: u64) {
    const EIGHT: u64 = 100_000_000;
    if let [tens, ones, rest @ ..] = places {
        let [two, ..] = (value / EIGHT).to_le_bytes();
        *tens = b'0' + two / 10;
        *ones = b'0' + two % 10;
        rest.copy_from_slice(&eight_digits(value % EIGHT));
    }
}

/// The eight digits of a number below `10^8`, all at once: it is halved into lanes of four, two and
/// one digits, and a division by 100 or 10 in a lane is a multiplication and a shift.
#[inline]
fn eight_digits(value: u64) -> [u8; 8] {
    let fours = (value / 10_000) | ((value % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007F_0000_007F;
    let twos = ((fours - 100 * hundreds) << 16) | hundreds;
    let tens = ((twos * 103) >> 10) & 0x000F_000F_000F_000F;
    let ones = ((twos - 10 * tens) << 8) | tens;
    (ones | 0x3030_3030_3030_3030).to_le_bytes()
}

impl core::fmt::Display for Token {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str(core::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl core::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_is_woven_in_and_out_again() {
        let token = Token::new(0, 0xD431_F4B0_9E0E_9F62);
        assert_eq!(token.bits(), 0x3_D431_F4B0_860E_9F62);
        assert_eq!(token.to_string(), "70630503470028726114");
        assert_eq!((token.class(), token.block()), (0, 0xD431_F4B0_9E0E_9F62));
    }

    #[test]
    fn the_largest_token_is_read_and_the_next_number_refused() {
        let largest = Token::parse("7378 6976-29483820 6463");
        assert_eq!(largest.map(|token| token.to_string()), Ok("73786976294838206463".into()));
        assert_eq!(Token::parse("73786976294838206464"), Err(StsError::TokenOutOfRange));
        for text in ["", "7378697629483820646", "737869762948382064631", "7378697629483820646x"] {
            assert_eq!(Token::parse(text), Err(StsError::TokenMalformed));
        }
    }

    #[test]
    fn every_lane_writes_its_own_digit() {
        for value in (0..10_000).chain((0..10_000).map(|value| value * 10_000 + 9_999)) {
            let text = format!("{value:08}");
            assert_eq!(core::str::from_utf8(&eight_digits(value)), Ok(text.as_str()));
        }
    }

    #[test]
    fn debug_shows_no_digits() {
        assert_eq!(format!("{:?}", Token::new(0, 1)), "Token(..)");
    }
}
