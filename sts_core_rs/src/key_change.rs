//! Sets of tokens that move a meter to another key (clauses 6.2 and 6.5.2).
//!
//! Every section describes the new key and is encrypted with the old one. They carry no token
//! identifier, so a lost set can be made again.

use crate::attributes::{Algorithm, BaseDate, KeyRevision, KeyType, SupplyGroup, TariffIndex};
use crate::block::MANAGEMENT;
use crate::digits::Token;
use crate::error::{Result, StsError};
use crate::keys::DecoderKey;
use crate::token;

/// Subclasses of the four sections, in the order in which they are printed.
pub const SECTION_SUBCLASSES: [u8; 4] = [3, 4, 8, 9];

/// What the meter learns about its new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewKey {
    /// Supply group; a set of two tokens does not carry it.
    pub sgc: SupplyGroup,
    /// Revision number.
    pub krn: KeyRevision,
    /// Tariff index.
    pub ti: TariffIndex,
    /// Kind of key.
    pub key_type: KeyType,
    /// Expiry number.
    pub ken: u8,
}

/// How many tokens make up a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetSize {
    /// A 64-bit key without its supply group.
    Two,
    /// A 64-bit key with its supply group, for meters that say they support it.
    Three,
    /// A 128-bit key.
    Four,
}

impl SetSize {
    /// # Errors
    /// [`StsError::KeyChangeCount`] unless 2, 3 or 4.
    pub fn from_count(count: u64) -> Result<Self> {
        match count {
            2 => Ok(Self::Two),
            3 => Ok(Self::Three),
            4 => Ok(Self::Four),
            _ => Err(StsError::KeyChangeCount),
        }
    }

    /// The number of tokens.
    pub fn count(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Three => 3,
            Self::Four => 4,
        }
    }

    /// The smallest set for an algorithm.
    pub fn smallest(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sta => Self::Two,
            Algorithm::Misty1 => Self::Four,
        }
    }
}

/// The tokens of one set, in the order in which they are printed; any order of entry will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyChangeSet {
    tokens: [Token; 4],
    size: SetSize,
}

impl KeyChangeSet {
    /// The tokens.
    pub fn tokens(&self) -> &[Token] {
        self.tokens.get(..self.size.count()).unwrap_or_default()
    }
}

/// Whether identifiers start again from a new base date (RO): the meter then forgets those it saw.
pub fn rolls_over(old: BaseDate, new: BaseDate) -> bool {
    old != new
}

/// Changes that the standard allows a vendor to make, old type to new. The manufacturer's own
/// changes, from a key of type 0, are not a vendor's.
pub const ALLOWED_TYPES: [(KeyType, KeyType); 7] = [
    (KeyType::Default, KeyType::Default),
    (KeyType::Default, KeyType::Unique),
    (KeyType::Default, KeyType::Common),
    (KeyType::Unique, KeyType::Unique),
    (KeyType::Unique, KeyType::Default),
    (KeyType::Common, KeyType::Common),
    (KeyType::Common, KeyType::Default),
];

/// # Errors
/// [`StsError::KeyChangeForbidden`] unless [`ALLOWED_TYPES`] has the pair.
pub fn check_types(old: KeyType, new: KeyType) -> Result<()> {
    if ALLOWED_TYPES.contains(&(old, new)) {
        Ok(())
    } else {
        Err(StsError::KeyChangeForbidden { from: old.code(), to: new.code() })
    }
}

/// Makes the set that moves a meter from `old` to `new`.
///
/// # Errors
/// [`StsError::KeyChangeCount`] when the size does not fit the algorithm, or the two keys are for
/// different algorithms, which a meter cannot change.
pub fn key_change(
    old: &DecoderKey,
    new: &DecoderKey,
    named: &NewKey,
    rollover: bool,
    size: SetSize,
) -> Result<KeyChangeSet> {
    let wide = old.algorithm() == Algorithm::Misty1;
    if old.algorithm() != new.algorithm() || wide != (size == SetSize::Four) {
        return Err(StsError::KeyChangeCount);
    }
    let contents = contents(new, named, rollover, size);
    let mut tokens = [Token::new(MANAGEMENT, 0); 4];
    for ((token, subclass), content) in tokens.iter_mut().zip(SECTION_SUBCLASSES).zip(contents) {
        *token = token::encrypted(old, MANAGEMENT, subclass, content)?;
    }
    Ok(KeyChangeSet { tokens, size })
}

/// The 44 bits of each section.
fn contents(new: &DecoderKey, named: &NewKey, rollover: bool, size: SetSize) -> [u64; 4] {
    let key = new.left_aligned();
    let quarter = |place: u32| u64::try_from(*key >> (96 - 32 * place) & 0xFFFF_FFFF);
    let quarters = [0, 1, 2, 3].map(|place| quarter(place).unwrap_or_default());
    let ken = u64::from(named.ken);
    let first_flags = (ken >> 4) << 40
        | u64::from(named.krn.number()) << 36
        | u64::from(rollover) << 35
        | u64::from(size == SetSize::Three) << 34
        | u64::from(named.key_type.code()) << 32;
    let second_flags = (ken & 15) << 40 | u64::from(named.ti.number()) << 32;
    let group = u64::from(named.sgc.number());
    let [highest, second, third, lowest] = quarters;
    match size {
        // A 64-bit key is left-aligned: its low half is the second quarter.
        SetSize::Two => [first_flags | highest, second_flags | second, 0, 0],
        SetSize::Three => [first_flags | highest, second_flags | second, group << 20, 0],
        SetSize::Four => [
            first_flags | highest,
            second_flags | lowest,
            (group & 0xFFF) << 32 | second,
            (group >> 12) << 32 | third,
        ],
    }
}
