//! Vending keys and decoder keys: wiped when dropped, shown by nothing.

use crate::attributes::{Algorithm, DecoderKeyName, Derivation, KeyType};
use crate::cipher::{misty1::Misty1, sta};
use crate::derivation;
use crate::error::{Result, StsError};
use core::fmt;
use des::Des;
use des::cipher::{Block, BlockCipherEncrypt, KeyInit};
use sha2::block_api::compress256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Three bytes that tell keys apart without giving them away (KCV).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckValue(pub [u8; 3]);

impl CheckValue {
    /// Reads six hexadecimal digits.
    ///
    /// # Errors
    /// [`StsError::KcvMalformed`].
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() != 6 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(StsError::KcvMalformed);
        }
        let value = u32::from_str_radix(text, 16).map_err(|_| StsError::KcvMalformed)?;
        let [_, kcv @ ..] = value.to_be_bytes();
        Ok(Self(kcv))
    }
}

impl fmt::Display for CheckValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// A key from which decoder keys are made.
///
/// A 160-bit key is kept only as the two states of SHA-256 that HMAC starts from, so that a
/// decoder key costs two compressions instead of four.
pub struct VendingKey {
    secret: Secret,
}

enum Secret {
    Dkga02(DesKey),
    Dkga04(HmacKey),
}

struct DesKey {
    cipher: Des,
    key: Zeroizing<u64>,
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct HmacKey {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl VendingKey {
    /// Takes a key for DKGA02 (8 bytes, each of odd parity) or DKGA04 (20 bytes).
    ///
    /// # Errors
    /// [`StsError::KeyLength`] or [`StsError::KeyParity`].
    pub fn new(derivation: Derivation, key: &[u8]) -> Result<Self> {
        let secret = match derivation {
            Derivation::Dkga02 => {
                let bytes: [u8; 8] =
                    key.try_into().map_err(|_| StsError::KeyLength { expected: 8 })?;
                let bytes = Zeroizing::new(bytes);
                // The parity bits take part in the final exclusive or of DKGA02, and key centres
                // write odd ones: an even byte is a damaged or misread key.
                if bytes.iter().any(|byte| byte.count_ones() % 2 == 0) {
                    return Err(StsError::KeyParity);
                }
                Secret::Dkga02(DesKey {
                    cipher: Des::new(&(*bytes).into()),
                    key: Zeroizing::new(u64::from_be_bytes(*bytes)),
                })
            }
            Derivation::Dkga04 => {
                let bytes: [u8; 20] =
                    key.try_into().map_err(|_| StsError::KeyLength { expected: 20 })?;
                Secret::Dkga04(HmacKey::new(&Zeroizing::new(bytes)))
            }
        };
        Ok(Self { secret })
    }

    /// Which algorithm makes decoder keys from this key.
    pub fn derivation(&self) -> Derivation {
        match self.secret {
            Secret::Dkga02(_) => Derivation::Dkga02,
            Secret::Dkga04(_) => Derivation::Dkga04,
        }
    }

    /// The check value: the first three bytes of the key's image of eight zero bytes, under DES
    /// for a 64-bit key and under HMAC-SHA-256 for a 160-bit key.
    pub fn check_value(&self) -> CheckValue {
        let [a, b, c, ..] = match &self.secret {
            Secret::Dkga02(key) => key.encrypt(0).to_be_bytes(),
            Secret::Dkga04(key) => {
                let [first, second, ..] = key.authenticate(&[0; 8]);
                (u64::from(first) << 32 | u64::from(second)).to_be_bytes()
            }
        };
        CheckValue([a, b, c])
    }

    /// Makes the decoder key of one meter (clause 6.5.3).
    ///
    /// This is the arithmetic alone; whether the meter is one of DKGA01's is asked by the ring.
    ///
    /// # Errors
    /// [`StsError::AlgorithmNeedsDkga04`], [`StsError::CommonKeyDkga04`], or
    /// [`StsError::KeyTypeInvalid`] for type 0.
    #[inline]
    pub fn decoder_key(&self, name: &DecoderKeyName) -> Result<DecoderKey> {
        if name.key_type == KeyType::Initialisation {
            return Err(StsError::KeyTypeInvalid { key_type: 0 });
        }
        match &self.secret {
            Secret::Dkga02(key) => {
                if name.algorithm != Algorithm::Sta {
                    return Err(StsError::AlgorithmNeedsDkga04);
                }
                let data = derivation::pan_block(name) ^ derivation::control_block(name);
                Ok(DecoderKey::sta(key.encrypt(data) ^ data ^ *key.key))
            }
            Secret::Dkga04(key) => {
                if name.key_type == KeyType::Common {
                    return Err(StsError::CommonKeyDkga04);
                }
                let mut mac = key.authenticate(&derivation::kdf_data(name));
                let [a, b, c, d, ..] = mac.map(u128::from);
                mac.zeroize();
                let left = a << 96 | b << 64 | c << 32 | d;
                Ok(match name.algorithm {
                    Algorithm::Sta => {
                        DecoderKey::sta(u64::try_from(left >> 64).unwrap_or_default())
                    }
                    Algorithm::Misty1 => DecoderKey::misty1(left),
                })
            }
        }
    }
}

impl fmt::Debug for VendingKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("VendingKey(..)")
    }
}

impl DesKey {
    fn encrypt(&self, block: u64) -> u64 {
        let mut bytes = Block::<Des>::from(block.to_be_bytes());
        self.cipher.encrypt_block(&mut bytes);
        u64::from_be_bytes(bytes.into())
    }
}

/// Initial state of SHA-256 (FIPS 180-4, 5.3.3).
const SHA256_START: [u32; 8] = [
    0x6A09_E667,
    0xBB67_AE85,
    0x3C6E_F372,
    0xA54F_F53A,
    0x510E_527F,
    0x9B05_688C,
    0x1F83_D9AB,
    0x5BE0_CD19,
];

impl HmacKey {
    fn new(key: &[u8; 20]) -> Self {
        let absorbed = |pad: u8| {
            let mut block = Zeroizing::new([pad; 64]);
            for (place, byte) in block.iter_mut().zip(key) {
                *place ^= byte;
            }
            let mut state = SHA256_START;
            compress256(&mut state, core::slice::from_ref(&*block));
            state
        };
        Self { inner: absorbed(0x36), outer: absorbed(0x5C) }
    }

    /// HMAC-SHA-256 of a message short enough to share a block with its padding.
    #[inline]
    fn authenticate<const LENGTH: usize>(&self, message: &[u8; LENGTH]) -> [u32; 8] {
        let mut digest = self.inner;
        compress256(&mut digest, &[padded(message)]);
        let mut bytes = [0_u8; 32];
        for (place, word) in bytes.chunks_exact_mut(4).zip(digest) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        let mut mac = self.outer;
        compress256(&mut mac, &[padded(&bytes)]);
        mac
    }
}

/// The second and last block of a hash whose first was a key pad.
#[inline]
fn padded<const LENGTH: usize>(message: &[u8; LENGTH]) -> [u8; 64] {
    const { assert!(LENGTH <= 55, "the message must leave room for its padding") };
    let mut block = [0; 64];
    for (place, byte) in block.iter_mut().zip(message.iter().chain(&[0x80])) {
        *place = *byte;
    }
    let [.., high, low] = &mut block;
    // 64 bytes of pad and at most 55 of message: the length in bits needs two bytes.
    [*high, *low] = u16::try_from((64 + LENGTH) * 8).unwrap_or_default().to_be_bytes();
    block
}

/// The key that one meter holds, ready to encrypt and decrypt its tokens.
#[derive(Clone)]
pub struct DecoderKey {
    cipher: Cipher,
}

#[derive(Clone)]
enum Cipher {
    Sta(Zeroizing<u64>),
    Misty1(Misty1),
}

impl DecoderKey {
    /// A 64-bit key for EA07, most significant byte first.
    #[inline]
    pub fn sta(key: u64) -> Self {
        Self { cipher: Cipher::Sta(Zeroizing::new(key)) }
    }

    /// A 128-bit key for EA11, most significant byte first.
    #[inline]
    pub fn misty1(key: u128) -> Self {
        Self { cipher: Cipher::Misty1(Misty1::new(key)) }
    }

    /// A key given as bytes, as test vectors and meters' factories do.
    ///
    /// # Errors
    /// [`StsError::KeyLength`].
    pub fn from_bytes(algorithm: Algorithm, key: &[u8]) -> Result<Self> {
        match algorithm {
            Algorithm::Sta => key
                .try_into()
                .map(|bytes| Self::sta(u64::from_be_bytes(bytes)))
                .map_err(|_| StsError::KeyLength { expected: 8 }),
            Algorithm::Misty1 => key
                .try_into()
                .map(|bytes| Self::misty1(u128::from_be_bytes(bytes)))
                .map_err(|_| StsError::KeyLength { expected: 16 }),
        }
    }

    /// The algorithm this key is for.
    pub fn algorithm(&self) -> Algorithm {
        match self.cipher {
            Cipher::Sta(_) => Algorithm::Sta,
            Cipher::Misty1(_) => Algorithm::Misty1,
        }
    }

    /// Encrypts one block.
    #[inline]
    pub(crate) fn encrypt(&self, block: u64) -> u64 {
        match &self.cipher {
            Cipher::Sta(key) => sta::STANDARD.encrypt(**key, block),
            Cipher::Misty1(cipher) => cipher.encrypt(block),
        }
    }

    /// Decrypts one block.
    #[inline]
    pub(crate) fn decrypt(&self, block: u64) -> u64 {
        match &self.cipher {
            Cipher::Sta(key) => sta::STANDARD.decrypt(**key, block),
            Cipher::Misty1(cipher) => cipher.decrypt(block),
        }
    }

    /// The key left-aligned in 128 bits, for the sections of a key change.
    pub(crate) fn left_aligned(&self) -> Zeroizing<u128> {
        Zeroizing::new(match &self.cipher {
            Cipher::Sta(key) => u128::from(**key) << 64,
            Cipher::Misty1(cipher) => cipher.key(),
        })
    }

    /// Whether the bytes are this key; takes the same time wherever they differ.
    pub fn is(&self, key: &[u8]) -> bool {
        let held = Zeroizing::new(self.left_aligned().to_be_bytes());
        let length = if self.algorithm() == Algorithm::Sta { 8 } else { 16 };
        key.len() == length
            && held.iter().zip(key).fold(0, |difference, (left, right)| difference | left ^ right)
                == 0
    }

    /// The check value: the first three bytes of the image of a zero block.
    pub fn check_value(&self) -> CheckValue {
        let [a, b, c, ..] = self.encrypt(0).to_be_bytes();
        CheckValue([a, b, c])
    }
}

impl fmt::Debug for DecoderKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("DecoderKey(..)")
    }
}
