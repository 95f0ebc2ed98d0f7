//! The sixteen-bit check of a token (clause 6.3): reflected 0x8005, preset FFFF,
//! known elsewhere as CRC-16/MODBUS, stored low byte first.

const TABLE: [u16; 256] = table();

const fn table() -> [u16; 256] {
    let mut entries = [0_u16; 256];
    let mut byte = 0_u16;
    while byte < 256 {
        let mut register = byte;
        let mut bit = 0;
        while bit < 8 {
            register = if register & 1 == 1 { register >> 1 ^ 0xA001 } else { register >> 1 };
            bit += 1;
        }
        #[expect(clippy::indexing_slicing, reason = "byte runs over the table's own length")]
        {
            entries[byte as usize] = register;
        }
        byte += 1;
    }
    entries
}

#[expect(clippy::indexing_slicing, reason = "a byte indexes 256 entries")]
#[expect(clippy::cast_possible_truncation, reason = "the low byte is meant")]
const fn step(register: u16, byte: u8) -> u16 {
    register >> 8 ^ TABLE[(register as u8 ^ byte) as usize]
}

/// The check field of any bytes, already in the byte order in which a token carries it.
///
/// ```
/// assert_eq!(sts_core::crc::crc(&[0x00, 0x0b, 0x19, 0xeb, 0x23, 0x01, 0x00]), 0xC207);
/// ```
pub fn crc(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0xFFFF, |register, &byte| step(register, byte)).swap_bytes()
}

/// `CRC_C`, the check of currency credit (clause 6.3.22): one byte `01` follows the data, so that a
/// meter without currency sees a damaged token rather than energy.
pub fn crc_c(bytes: &[u8]) -> u16 {
    step(crc(bytes).swap_bytes(), 0x01).swap_bytes()
}

/// What each of the seven bytes adds to a token's check, by its place: the check is linear, so the
/// bytes can be looked up independently and combined by exclusive or.
static PLACES: [[u16; 256]; 7] = places();

/// What the preset alone leaves after seven bytes.
const PRESET: u16 = {
    let mut register = 0xFFFF;
    let mut byte = 0;
    while byte < 7 {
        register = step(register, 0);
        byte += 1;
    }
    register
};

#[expect(clippy::indexing_slicing, reason = "compile time, over the tables' own bounds")]
const fn places() -> [[u16; 256]; 7] {
    let mut result = [[0; 256]; 7];
    result[6] = TABLE;
    let mut place = 6;
    while place > 0 {
        let mut value = 0;
        while value < 256 {
            result[place - 1][value] = step(result[place][value], 0);
            value += 1;
        }
        place -= 1;
    }
    result
}

/// The check over the fifty bits that a token protects: class, subclass and content, padded to
/// seven bytes. `fifty_bits` holds them in its low end.
#[inline]
#[expect(clippy::indexing_slicing, reason = "a byte indexes 256 entries")]
pub fn of_token(fifty_bits: u64, currency: bool) -> u16 {
    let [_, bytes @ ..] = fifty_bits.to_be_bytes();
    let mut register = PRESET;
    for (table, byte) in PLACES.iter().zip(bytes) {
        register ^= table[usize::from(byte)];
    }
    if currency { step(register, 0x01).swap_bytes() } else { register.swap_bytes() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_catalogue_is_reproduced() {
        assert_eq!(crc(b"123456789").swap_bytes(), 0x4B37);
    }

    #[test]
    fn a_token_is_checked_over_seven_bytes() {
        for (bits, bytes) in [
            (0x0000_0501_4EEC_0001, [0, 5, 1, 0x4E, 0xEC, 0, 1]),
            (0x0003_64F2_A781_DD77, [3, 0x64, 0xF2, 0xA7, 0x81, 0xDD, 0x77]),
        ] {
            assert_eq!(of_token(bits, false), crc(&bytes));
            assert_eq!(of_token(bits, true), crc_c(&bytes));
        }
        assert_eq!(of_token(0x0000_0501_4EEC_0001, false), 0x3188);
    }
}
