//! EA11, MISTY1 of RFC 2994: eight rounds of a 64-bit block under a 128-bit key.
//!
//! Names are the RFC's: `fi`, `fo`, `fl`, and EK for the key's words with their FI images.
//! Table look-ups by secret values leave a trace in the cache: this belongs on a trusted host.

use super::tables::{MISTY1_S7, MISTY1_S9};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// An expanded key: the eight words of the key and their eight images under FI.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Misty1 {
    words: [u16; 8],
    images: [u16; 8],
}

#[inline]
#[expect(clippy::indexing_slicing, reason = "nine bits index 512 entries")]
fn s9(value: u32) -> u32 {
    u32::from(MISTY1_S9[(value & 0x1FF) as usize])
}

#[inline]
#[expect(clippy::indexing_slicing, reason = "seven bits index 128 entries")]
fn s7(value: u32) -> u32 {
    u32::from(MISTY1_S7[(value & 0x7F) as usize])
}

#[inline]
fn fi(value: u32, key: u32) -> u32 {
    let nine = s9(value >> 7) ^ (value & 0x7F);
    let seven = s7(value) ^ (nine & 0x7F) ^ (key >> 9);
    let nine = s9(nine ^ key) ^ seven;
    seven << 9 | nine
}

/// The two words of sixteen bits.
#[inline]
fn halves(word: u32) -> (u32, u32) {
    (word >> 16, word & 0xFFFF)
}

#[inline]
fn joined(left: u32, right: u32) -> u32 {
    left << 16 | right
}

impl Misty1 {
    /// Expands a key, given most significant word first.
    pub fn new(key: u128) -> Self {
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(key.to_be_bytes().chunks_exact(2)) {
            *word = bytes.iter().fold(0, |word, &byte| word << 8 | u16::from(byte));
        }
        let mut next = words;
        next.rotate_left(1);
        let mut images = [0; 8];
        for ((image, word), next) in images.iter_mut().zip(words).zip(next) {
            let [_, _, high, low] = fi(word.into(), next.into()).to_be_bytes();
            *image = u16::from_be_bytes([high, low]);
        }
        Self { words, images }
    }

    /// The key itself, for the sections of a key change.
    pub(crate) fn key(&self) -> u128 {
        self.words.iter().fold(0, |key, &word| key << 16 | u128::from(word))
    }

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo eight")]
    fn word(&self, index: usize) -> u32 {
        self.words[index & 7].into()
    }

    #[inline]
    #[expect(clippy::indexing_slicing, reason = "the index is taken modulo eight")]
    fn image(&self, index: usize) -> u32 {
        self.images[index & 7].into()
    }

    #[inline]
    fn fo(&self, value: u32, round: usize) -> u32 {
        let (left, right) = halves(value);
        let left = fi(left ^ self.word(round), self.image(round + 5)) ^ right;
        let right = fi(right ^ self.word(round + 2), self.image(round + 1)) ^ left;
        let left = fi(left ^ self.word(round + 7), self.image(round + 3)) ^ right;
        joined(right ^ self.word(round + 4), left)
    }

    /// The two key words of FL number `layer`: the one for AND, the one for OR.
    #[inline]
    fn fl_keys(&self, layer: usize) -> (u32, u32) {
        let half = layer / 2;
        if layer % 2 == 0 {
            (self.word(half), self.image(half + 6))
        } else {
            (self.image(half + 2), self.word(half + 4))
        }
    }

    #[inline]
    fn fl(&self, value: u32, layer: usize) -> u32 {
        let (and, or) = self.fl_keys(layer);
        let (left, right) = halves(value);
        let right = right ^ (left & and);
        joined(left ^ (right | or), right)
    }

    #[inline]
    fn fl_inverse(&self, value: u32, layer: usize) -> u32 {
        let (and, or) = self.fl_keys(layer);
        let (left, right) = halves(value);
        let left = left ^ (right | or);
        joined(left, right ^ (left & and))
    }

    /// Encrypts one block, most significant byte first.
    ///
    /// ```
    /// use sts_core::cipher::misty1::Misty1;
    /// let cipher = Misty1::new(0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
    /// assert_eq!(cipher.encrypt(0x0123_4567_89ab_cdef), 0x8b1d_a5f5_6ab3_d07c);
    /// ```
    #[inline]
    pub fn encrypt(&self, block: u64) -> u64 {
        let (mut left, mut right) = split(block);
        for round in [0, 2, 4, 6] {
            left = self.fl(left, round);
            right = self.fl(right, round + 1);
            right ^= self.fo(left, round);
            left ^= self.fo(right, round + 1);
        }
        left = self.fl(left, 8);
        right = self.fl(right, 9);
        u64::from(right) << 32 | u64::from(left)
    }

    /// Decrypts one block.
    #[inline]
    pub fn decrypt(&self, block: u64) -> u64 {
        let (mut right, mut left) = split(block);
        left = self.fl_inverse(left, 8);
        right = self.fl_inverse(right, 9);
        for round in [6, 4, 2, 0] {
            left ^= self.fo(right, round + 1);
            right ^= self.fo(left, round);
            right = self.fl_inverse(right, round + 1);
            left = self.fl_inverse(left, round);
        }
        u64::from(left) << 32 | u64::from(right)
    }
}

#[inline]
fn split(block: u64) -> (u32, u32) {
    let word = |half: u64| u32::try_from(half).unwrap_or_default();
    (word(block >> 32), word(block & 0xFFFF_FFFF))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_rfc_are_reproduced_both_ways() {
        let cipher = Misty1::new(0x0011_2233_4455_6677_8899_AABB_CCDD_EEFF);
        for (clear, secret) in [
            (0x0123_4567_89AB_CDEF, 0x8B1D_A5F5_6AB3_D07C),
            (0xFEDC_BA98_7654_3210, 0x04B6_8240_B13B_E95D),
        ] {
            assert_eq!(cipher.encrypt(clear), secret);
            assert_eq!(cipher.decrypt(secret), clear);
        }
    }

    #[test]
    fn an_expanded_key_gives_the_key_back() {
        let key = 0x929B_D3A4_15C9_420A_05EC_5EE9_F3CE_91C3;
        assert_eq!(Misty1::new(key).key(), key);
    }
}
