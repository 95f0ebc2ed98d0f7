//! The clear 64-bit block: subclass, content, check (clause 6.2).

use crate::crc;

/// Class of credit tokens.
pub const CREDIT: u8 = 0;
/// Class of meter tests and displays, never encrypted.
pub const METER_TEST: u8 = 1;
/// Class of management tokens of one meter.
pub const MANAGEMENT: u8 = 2;
/// The class that the standard keeps for later.
pub const RESERVED: u8 = 3;

/// The 44 bits between subclass and check.
pub const CONTENT_MAX: u64 = (1 << 44) - 1;

/// Whether a token counts money, whose check is `CRC_C`.
#[inline]
pub fn is_currency(class: u8, subclass: u8) -> bool {
    class == CREDIT && (4..=7).contains(&subclass)
}

/// Joins subclass and content and appends the check.
#[inline]
pub fn with_check(class: u8, subclass: u8, content: u64) -> u64 {
    let protected =
        u64::from(class & 3) << 48 | u64::from(subclass & 15) << 44 | content & CONTENT_MAX;
    protected << 16 | u64::from(crc::of_token(protected, is_currency(class, subclass)))
}

/// Whether the check of a clear block holds for a token of this class.
#[inline]
pub fn check_holds(class: u8, block: u64) -> bool {
    with_check(class, subclass(block), content(block)) == block
}

/// The four bits of subclass.
pub fn subclass(block: u64) -> u8 {
    u8::try_from(block >> 60).unwrap_or_default()
}

/// The 44 bits of content.
pub fn content(block: u64) -> u64 {
    block >> 16 & CONTENT_MAX
}

/// The content of the register family: nibble (random number, or sign and exponent), identifier
/// and value.
#[inline]
pub fn register_content(nibble: u8, identifier: u32, value: u16) -> u64 {
    u64::from(nibble & 15) << 40 | u64::from(identifier & 0x00FF_FFFF) << 16 | u64::from(value)
}
