//! The number of a meter: DRN and meter PAN with their two check digits (clause 6.1).

use crate::error::{Result, StsError};

/// The Luhn check digit (ISO/IEC 7812) that follows these ASCII digits.
fn luhn(digits: &[u8]) -> u8 {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let value = u32::from(digit & 15);
            if place % 2 == 1 {
                value
            } else if value < 5 {
                value * 2
            } else {
                value * 2 - 9
            }
        })
        .sum();
    u8::try_from((10 - sum % 10) % 10).unwrap_or(0)
}

/// The check digit that completes a DRN of ten or twelve digits.
///
/// # Errors
/// [`StsError::MeterLength`] or [`StsError::MeterNotDigits`].
pub fn drn_check_digit(digits: &str) -> Result<u8> {
    let digits = digits.as_bytes();
    if !matches!(digits.len(), 10 | 12) {
        return Err(StsError::MeterLength { length: digits.len() });
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(StsError::MeterNotDigits);
    }
    Ok(luhn(digits))
}

/// Whether the text is a DRN of eleven or thirteen digits with the right last digit.
pub fn drn_is_valid(text: &str) -> bool {
    matches!(text.len(), 11 | 13) && MeterPan::parse(text).is_ok()
}

/// A meter's 18-digit PAN, from which its DRN can be read; both check digits hold.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MeterPan {
    digits: [u8; 18],
}

impl MeterPan {
    /// Reads a DRN of 11 or 13 digits or a PAN of 18; spaces and hyphens are ignored.
    ///
    /// # Errors
    /// [`StsError::MeterNotDigits`], [`StsError::MeterLength`], [`StsError::DrnCheckDigit`] or
    /// [`StsError::PanCheckDigit`].
    ///
    /// ```
    /// let meter = sts_core::MeterPan::parse("12345678903")?;
    /// assert_eq!(meter.pan(), "600727123456789030");
    /// # Ok::<(), sts_core::StsError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self> {
        let mut typed = [0_u8; 18];
        let mut length = 0;
        for byte in text.bytes().filter(|byte| !matches!(byte, b' ' | b'-')) {
            if !byte.is_ascii_digit() {
                return Err(StsError::MeterNotDigits);
            }
            if let Some(place) = typed.get_mut(length) {
                *place = byte;
            }
            length += 1;
        }
        match length {
            11 | 13 => {
                let drn = typed.get(..length).unwrap_or_default();
                check(drn).map_err(|expected| StsError::DrnCheckDigit { expected })?;
                Ok(Self::complete(if length == 11 { b"600727" } else { b"0000" }, drn))
            }
            18 => {
                let meter = Self { digits: typed };
                check(&typed).map_err(|expected| StsError::PanCheckDigit { expected })?;
                check(meter.drn().as_bytes())
                    .map_err(|expected| StsError::DrnCheckDigit { expected })?;
                Ok(meter)
            }
            _ => Err(StsError::MeterLength { length }),
        }
    }

    /// `issuer` and `account` are seventeen digits together.
    fn complete(issuer: &[u8], account: &[u8]) -> Self {
        let mut digits = [b'0'; 18];
        for (place, digit) in digits.iter_mut().zip(issuer.iter().chain(account)) {
            *place = *digit;
        }
        let [front @ .., last] = &mut digits;
        *last = b'0' + luhn(front);
        Self { digits }
    }

    /// All eighteen digits.
    pub fn pan(&self) -> &str {
        core::str::from_utf8(&self.digits).unwrap_or_default()
    }

    /// The meter's own number: thirteen digits after issuer 0000, else eleven after six.
    pub fn drn(&self) -> &str {
        let first = if self.digits.starts_with(b"0000") { 4 } else { 6 };
        self.pan().get(first..17).unwrap_or_default()
    }

    /// The issuer identification number: `600727`, `0000`, or a private scheme's six digits.
    pub fn iin(&self) -> &str {
        let length = if self.digits.starts_with(b"0000") { 4 } else { 6 };
        self.pan().get(..length).unwrap_or_default()
    }

    /// The manufacturer code inside the DRN: two digits of eleven, four of thirteen.
    pub fn manufacturer_code(&self) -> u16 {
        let drn = self.drn();
        let length = if drn.len() == 13 { 4 } else { 2 };
        drn.bytes().take(length).fold(0, |code, digit| code * 10 + u16::from(digit & 15))
    }

    pub(crate) fn ascii(&self) -> [u8; 18] {
        self.digits
    }
}

fn check(digits: &[u8]) -> core::result::Result<(), u8> {
    match digits {
        [front @ .., last] if luhn(front) != last & 15 => Err(luhn(front)),
        _ => Ok(()),
    }
}

impl core::fmt::Debug for MeterPan {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "MeterPan({})", self.pan())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_check_digits_of_a_pan_are_verified() {
        for good in ["600727000000000009", "600727111111111153", "000001000000000082"] {
            assert_eq!(MeterPan::parse(good).map(|meter| meter.pan().to_owned()), Ok(good.into()));
        }
        assert_eq!(
            MeterPan::parse("600727000000000008"),
            Err(StsError::PanCheckDigit { expected: 9 }),
        );
        assert_eq!(
            MeterPan::parse("600727123456789048"),
            Err(StsError::DrnCheckDigit { expected: 3 }),
        );
    }

    #[test]
    fn a_drn_of_either_length_finds_its_pan() {
        assert_eq!(MeterPan::parse("0100000000008").map(|meter| meter.drn().len()), Ok(13));
        assert_eq!(
            MeterPan::parse("1111 1111-115").map(|meter| meter.pan().to_owned()),
            Ok("600727111111111153".into()),
        );
        assert_eq!(MeterPan::parse("12345678904"), Err(StsError::DrnCheckDigit { expected: 3 }));
        assert_eq!(MeterPan::parse("123"), Err(StsError::MeterLength { length: 3 }));
        assert_eq!(MeterPan::parse("1234567890x"), Err(StsError::MeterNotDigits));
    }
}
