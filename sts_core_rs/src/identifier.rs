//! The token identifier (clause 6.3.5): minutes since the base date, in 24 bits.
//!
//! The minute 00:01 of every day is reserved for tokens of special purpose, so ordinary tokens
//! step over it; and no two tokens of one meter share a minute, so a later one takes the next.

use crate::attributes::BaseDate;
use crate::error::{Result, StsError};

/// The last identifier under any base date.
pub const IDENTIFIER_MAX: u32 = 0x00FF_FFFF;

const MINUTES_A_DAY: u32 = 1440;
const RESERVED_MINUTE: u32 = 1;

/// Whether the identifier falls on the reserved minute of its day.
pub fn is_reserved(identifier: u32) -> bool {
    identifier % MINUTES_A_DAY == RESERVED_MINUTE
}

/// The identifier for a token made at `unix_seconds` (UTC), above `after`, the last one given to
/// this meter: the later of the clock and the next free minute, never 00:01.
///
/// # Errors
/// [`StsError::BeforeBaseDate`], or [`StsError::IdentifierExhausted`] past the last minute.
pub fn token_identifier(unix_seconds: i64, base: BaseDate, after: Option<u32>) -> Result<u32> {
    let now = minutes_since(unix_seconds, base)?;
    let next = match after {
        Some(last) => last.checked_add(1).ok_or(StsError::IdentifierExhausted)?,
        None => 0,
    };
    let identifier = now.max(next);
    let identifier = if is_reserved(identifier) { identifier + 1 } else { identifier };
    if identifier > IDENTIFIER_MAX { Err(StsError::IdentifierExhausted) } else { Ok(identifier) }
}

/// The special reserved identifier of the day in which `unix_seconds` lies: its minute 00:01.
///
/// # Errors
/// As [`token_identifier`].
pub fn special_reserved_identifier(unix_seconds: i64, base: BaseDate) -> Result<u32> {
    let now = minutes_since(unix_seconds, base)?;
    let identifier = now - now % MINUTES_A_DAY + RESERVED_MINUTE;
    if identifier > IDENTIFIER_MAX { Err(StsError::IdentifierExhausted) } else { Ok(identifier) }
}

/// The instant, in Unix seconds, that an identifier stands for.
pub fn instant_of(identifier: u32, base: BaseDate) -> i64 {
    base.unix_seconds() + i64::from(identifier) * 60
}

/// Whether a token with this identifier is too late for a key with this expiry number.
pub fn is_expired(identifier: u32, ken: u8) -> bool {
    identifier >> 16 > u32::from(ken)
}

fn minutes_since(unix_seconds: i64, base: BaseDate) -> Result<u32> {
    let seconds = unix_seconds.saturating_sub(base.unix_seconds());
    if seconds < 0 {
        return Err(StsError::BeforeBaseDate);
    }
    let minutes = u32::try_from(seconds / 60).map_err(|_| StsError::IdentifierExhausted)?;
    if minutes > IDENTIFIER_MAX { Err(StsError::IdentifierExhausted) } else { Ok(minutes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW_YEAR_2020: i64 = 1_577_836_800;

    #[test]
    fn a_token_of_the_reserved_minute_counts_as_of_the_next() {
        let midnight = token_identifier(NEW_YEAR_2020, BaseDate::Y2014, None);
        let reserved = token_identifier(NEW_YEAR_2020 + 60, BaseDate::Y2014, None);
        assert_eq!((midnight, reserved), (Ok(3_155_040), Ok(3_155_042)));
        assert_eq!(
            token_identifier(NEW_YEAR_2020, BaseDate::Y2014, Some(3_155_040)),
            Ok(3_155_042),
        );
        assert_eq!(
            special_reserved_identifier(NEW_YEAR_2020 + 4_000, BaseDate::Y2014),
            Ok(3_155_041),
        );
    }

    #[test]
    fn a_clock_that_went_back_does_not_reuse_a_minute() {
        let later = token_identifier(NEW_YEAR_2020, BaseDate::Y1993, Some(16_000_000));
        assert_eq!(later, Ok(16_000_002 - 1));
    }

    #[test]
    fn the_last_minute_is_given_once() {
        let end = instant_of(IDENTIFIER_MAX, BaseDate::Y2014);
        assert_eq!(token_identifier(end, BaseDate::Y2014, None), Ok(IDENTIFIER_MAX));
        assert_eq!(
            token_identifier(end, BaseDate::Y2014, Some(IDENTIFIER_MAX)),
            Err(StsError::IdentifierExhausted),
        );
        assert_eq!(
            token_identifier(end + 60, BaseDate::Y2014, None),
            Err(StsError::IdentifierExhausted),
        );
        assert_eq!(
            token_identifier(i64::MAX, BaseDate::Y2014, Some(u32::MAX)),
            Err(StsError::IdentifierExhausted),
        );
        assert_eq!(token_identifier(0, BaseDate::Y1993, None), Err(StsError::BeforeBaseDate));
    }

    #[test]
    fn a_key_expires_with_the_high_byte_of_the_identifier() {
        assert!(!is_expired(0x2A_FFFF, 0x2A));
        assert!(is_expired(0x2B_0000, 0x2A));
        assert!(!is_expired(IDENTIFIER_MAX, 255));
    }
}
