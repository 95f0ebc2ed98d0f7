//! EA07, the standard transfer algorithm (clause 6.5): sixteen rounds of a substitution that one
//! key bit a nibble selects, and a fixed permutation of the bits.
//!
//! Substitution and permutation of one byte are a single look-up: for each of the eight bytes and
//! each of the four choices of the two nibbles' tables, 256 words that hold the byte's bits in
//! their final places. The words of the eight bytes combine by exclusive or. The compiler expands
//! these from the small tables of the standard.
//!
//! Table look-ups by secret values leave a trace in the cache: this belongs on a trusted host.

use super::tables;

const ROUNDS: usize = 16;

/// One byte position: four choices of substitution, 256 values each.
type ByteWords = [u64; 1024];

/// The cipher under one set of substitution and permutation tables.
pub struct Sta {
    /// Substitution, then permutation.
    forward: [ByteWords; 8],
    /// Inverse substitution, then inverse permutation.
    backward: [ByteWords; 8],
    /// Inverse permutation alone.
    unpermute: [[u64; 256]; 8],
    /// Inverse substitution alone, a byte at a time.
    unsubstitute: [[u8; 256]; 4],
}

/// The cipher that meters use.
pub static STANDARD: Sta = Sta::new(&tables::STA_S1, &tables::STA_S2, &tables::STA_P);

/// The cipher of the printed standard's worked example; no meter uses it.
pub static SAMPLE: Sta = Sta::new(&tables::SAMPLE_S1, &tables::SAMPLE_S2, &tables::SAMPLE_P);

impl Sta {
    const fn new(first: &[u8; 16], second: &[u8; 16], places: &[u8; 64]) -> Self {
        let (unfirst, unsecond) = (inverse(first), inverse(second));
        let unplaces = inverse(places);
        let plain = identity();
        Self {
            forward: words(first, second, places),
            // A key bit of zero selects the inverse of the second table when decrypting.
            backward: words(&unsecond, &unfirst, &unplaces),
            unpermute: single(&words(&plain, &plain, &unplaces)),
            unsubstitute: bytes(&unsecond, &unfirst),
        }
    }

    /// Encrypts one block under a decoder key.
    #[inline]
    pub fn encrypt(&self, decoder_key: u64, block: u64) -> u64 {
        let mut register = (!decoder_key).rotate_right(12);
        let mut state = block;
        for _ in 0..ROUNDS {
            // The selecting bit is the highest of each nibble.
            state = round(&self.forward, state, pairs(register >> 3));
            register = register.rotate_left(1);
        }
        state
    }

    /// Decrypts one block under a decoder key.
    #[inline]
    pub fn decrypt(&self, decoder_key: u64, block: u64) -> u64 {
        let mut register = decoder_key;
        let mut state = self.unpermuted(block);
        for _ in 1..ROUNDS {
            // The selecting bit is the lowest of each nibble.
            state = round(&self.backward, state, pairs(register));
            register = register.rotate_right(1);
        }
        self.unsubstituted(state, pairs(register))
    }

    #[expect(clippy::indexing_slicing, reason = "a byte indexes 256 entries")]
    fn unpermuted(&self, state: u64) -> u64 {
        let mut result = 0;
        for (words, byte) in self.unpermute.iter().zip(state.to_le_bytes()) {
            result ^= words[usize::from(byte)];
        }
        result
    }

    #[expect(clippy::indexing_slicing, reason = "a byte indexes 256 entries, two bits four")]
    fn unsubstituted(&self, state: u64, pairs: u64) -> u64 {
        let mut bytes = state.to_le_bytes();
        for (byte, pair) in bytes.iter_mut().zip(pairs.to_le_bytes()) {
            *byte = self.unsubstitute[usize::from(pair & 3)][usize::from(*byte)];
        }
        u64::from_le_bytes(bytes)
    }
}

/// The two selecting bits of each byte, gathered from the lowest bit of each nibble.
#[inline]
fn pairs(selector: u64) -> u64 {
    let low = selector & 0x1111_1111_1111_1111;
    (low | low >> 3) & 0x0303_0303_0303_0303
}

/// One round: each index is a byte of the state under its two selecting bits, made for four bytes
/// at once in lanes of sixteen bits.
#[inline]
#[expect(clippy::indexing_slicing, reason = "ten bits index 1024 entries")]
fn round(tables: &[ByteWords; 8], state: u64, pairs: u64) -> u64 {
    const LANES: u64 = 0x00FF_00FF_00FF_00FF;
    let even = state & LANES | (pairs & LANES) << 8;
    let odd = state >> 8 & LANES | pairs & !LANES;
    let [t0, t1, t2, t3, t4, t5, t6, t7] = tables;
    let index = |lanes: u64, lane: u32| usize::try_from(lanes >> (16 * lane) & 0x3FF).unwrap_or(0);
    t0[index(even, 0)]
        ^ t1[index(odd, 0)]
        ^ t2[index(even, 1)]
        ^ t3[index(odd, 1)]
        ^ t4[index(even, 2)]
        ^ t5[index(odd, 2)]
        ^ t6[index(even, 3)]
        ^ t7[index(odd, 3)]
}

#[expect(clippy::indexing_slicing, reason = "compile time, over permutations")]
#[expect(clippy::cast_possible_truncation, reason = "places are below 64")]
const fn inverse<const N: usize>(table: &[u8; N]) -> [u8; N] {
    let mut result = [0; N];
    let mut place = 0;
    while place < N {
        result[table[place] as usize] = place as u8;
        place += 1;
    }
    result
}

#[expect(clippy::indexing_slicing, reason = "compile time, place is below 16")]
#[expect(clippy::cast_possible_truncation, reason = "place is below 16")]
const fn identity() -> [u8; 16] {
    let mut result = [0; 16];
    let mut place = 0;
    while place < 16 {
        result[place] = place as u8;
        place += 1;
    }
    result
}

/// Both nibbles of each byte value, substituted; bit 0 of the pair chooses for the low nibble.
#[expect(clippy::indexing_slicing, reason = "compile time, nibbles and bytes")]
const fn bytes(zero: &[u8; 16], one: &[u8; 16]) -> [[u8; 256]; 4] {
    let mut result = [[0; 256]; 4];
    let mut pair = 0;
    while pair < 4 {
        let low = if pair & 1 == 0 { zero } else { one };
        let high = if pair & 2 == 0 { zero } else { one };
        let mut value = 0;
        while value < 256 {
            result[pair][value] = high[value >> 4] << 4 | low[value & 15];
            value += 1;
        }
        pair += 1;
    }
    result
}

#[expect(clippy::indexing_slicing, reason = "compile time, over the table's own bounds")]
#[expect(clippy::large_stack_arrays, reason = "on the stack of the compiler, not ours")]
const fn words(zero: &[u8; 16], one: &[u8; 16], places: &[u8; 64]) -> [ByteWords; 8] {
    let substituted = bytes(zero, one);
    let mut result = [[0; 1024]; 8];
    let mut position = 0;
    while position < 8 {
        let mut pair = 0;
        while pair < 4 {
            let mut value = 0;
            while value < 256 {
                let byte = substituted[pair][value];
                let mut bit = 0;
                while bit < 8 {
                    let moved = (byte as u64 >> bit & 1) << places[position * 8 + bit];
                    result[position][pair * 256 + value] |= moved;
                    bit += 1;
                }
                value += 1;
            }
            pair += 1;
        }
        position += 1;
    }
    result
}

#[expect(clippy::indexing_slicing, reason = "compile time, position is below 8")]
const fn single(all: &[ByteWords; 8]) -> [[u64; 256]; 8] {
    let mut result = [[0; 256]; 8];
    let mut position = 0;
    while position < 8 {
        let mut value = 0;
        while value < 256 {
            result[position][value] = all[position][value];
            value += 1;
        }
        position += 1;
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worked_example_of_the_standard_is_reproduced_with_its_sample_tables() {
        let (key, clear, secret) =
            (0x0ABC_12DE_F345_6789, 0x0B19_EB23_0100_C207, 0xC45E_D161_9406_DF95);
        assert_eq!(SAMPLE.encrypt(key, clear), secret);
        assert_eq!(SAMPLE.decrypt(key, secret), clear);
    }

    #[test]
    fn the_first_compliance_token_is_reproduced_with_the_production_tables() {
        let (key, clear, secret) =
            (0x87F3_ECBB_2E46_B48F, 0x0501_4EEC_0001_3188, 0xD431_F4B0_9E0E_9F62);
        assert_eq!(STANDARD.encrypt(key, clear), secret);
        assert_eq!(STANDARD.decrypt(key, secret), clear);
    }
}
