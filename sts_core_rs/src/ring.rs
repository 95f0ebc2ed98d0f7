//! The vending keys a vendor holds, and the rules about using them.
//!
//! A key is named by its supply group, revision and type. Keys go in and check values come out;
//! nothing gives a key back.

use crate::attributes::{
    Algorithm, BaseDate, DecoderKeyName, Derivation, KeyRevision, KeyType, SupplyGroup, TariffIndex,
};
use crate::derivation;
use crate::digits::Token;
use crate::error::{Result, StsError};
use crate::identifier::{IDENTIFIER_MAX, is_expired};
use crate::key_change::{self, KeyChangeSet, NewKey, SetSize};
use crate::keys::{CheckValue, DecoderKey, VendingKey};
use crate::meter::MeterPan;
use crate::token::{self, CurrencyCredit, Management};

/// What is known of a loaded key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyEntry {
    /// Supply group.
    pub sgc: SupplyGroup,
    /// Revision.
    pub krn: KeyRevision,
    /// Kind of key.
    pub key_type: KeyType,
    /// How decoder keys are made from it.
    pub derivation: Derivation,
    /// From when its identifiers count.
    pub base_date: BaseDate,
    /// Expiry number, 255 for never.
    pub ken: u8,
}

struct Held {
    entry: KeyEntry,
    key: VendingKey,
    kcv: CheckValue,
}

/// A vendor's keys.
#[derive(Default)]
pub struct KeyRing {
    /// Sorted by name, so that a look-up is a short binary search.
    held: Vec<(KeyName, Held)>,
}

/// Supply group, revision and type.
type KeyName = (u32, u8, KeyType);

/// Whose key a token is made under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeterKey {
    /// The meter.
    pub meter: MeterPan,
    /// Its algorithm.
    pub algorithm: Algorithm,
    /// Its supply group.
    pub sgc: SupplyGroup,
    /// Revision of the supply group's key.
    pub krn: KeyRevision,
    /// Its tariff index.
    pub ti: TariffIndex,
}

/// One credit to make: electricity, water, gas or time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreditOrder {
    /// The meter and its key.
    pub to: MeterKey,
    /// 0 electricity, 1 water, 2 gas, 3 time.
    pub subclass: u8,
    /// Tenths of a kilowatt hour, cubic metre or minute.
    pub tenths: u64,
    /// Token identifier.
    pub tid: u32,
    /// Random number, 0 to 15.
    pub rnd: u8,
}

/// A credit made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuedToken {
    /// The token.
    pub token: Token,
    /// Tenths it really carries.
    pub encoded: u32,
    /// Its identifier.
    pub tid: u32,
}

/// A move of one meter to another key of the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyChangeOrder {
    /// The meter and the key it has.
    pub from: MeterKey,
    /// Type of the key it has.
    pub from_type: KeyType,
    /// New supply group.
    pub sgc: SupplyGroup,
    /// New revision.
    pub krn: KeyRevision,
    /// New tariff index.
    pub ti: TariffIndex,
    /// New type.
    pub key_type: KeyType,
    /// How many tokens.
    pub size: SetSize,
    /// Instant of issue in Unix seconds, by which the new key must not have expired.
    pub unix_seconds: i64,
}

/// A key change made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IssuedKeyChange {
    /// The tokens.
    pub set: KeyChangeSet,
    /// Whether identifiers start again from the new key's base date.
    pub rollover: bool,
    /// The new key.
    pub new: KeyEntry,
}

impl KeyRing {
    /// An empty ring.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a key in and returns its check value. Loading the same key again changes nothing.
    ///
    /// # Errors
    /// [`StsError::KeyLength`], [`StsError::KeyParity`], [`StsError::CommonKeyDkga04`],
    /// [`StsError::KcvMismatch`], or [`StsError::KeyConflict`] when the name is taken by a key
    /// with other attributes or another check value.
    pub fn load(
        &mut self,
        entry: KeyEntry,
        key: &[u8],
        expected: Option<CheckValue>,
    ) -> Result<CheckValue> {
        if entry.derivation == Derivation::Dkga04 && entry.key_type == KeyType::Common {
            return Err(StsError::CommonKeyDkga04);
        }
        let key = VendingKey::new(entry.derivation, key)?;
        let kcv = key.check_value();
        if expected.is_some_and(|expected| expected != kcv) {
            return Err(StsError::KcvMismatch);
        }
        let name = name_of(entry.sgc, entry.krn, entry.key_type);
        match self.held.binary_search_by_key(&name, |(name, _)| *name) {
            Ok(place) => match self.held.get(place) {
                Some((_, held)) if held.entry == entry && held.kcv == kcv => Ok(kcv),
                _ => Err(StsError::KeyConflict),
            },
            Err(place) => {
                self.held.insert(place, (name, Held { entry, key, kcv }));
                Ok(kcv)
            }
        }
    }

    /// Wipes a key and forgets it.
    ///
    /// # Errors
    /// [`StsError::KeyUnknown`].
    pub fn remove(&mut self, sgc: SupplyGroup, krn: KeyRevision, key_type: KeyType) -> Result<()> {
        let name = name_of(sgc, krn, key_type);
        let place = self
            .held
            .binary_search_by_key(&name, |(name, _)| *name)
            .map_err(|_| StsError::KeyUnknown)?;
        drop(self.held.remove(place));
        Ok(())
    }

    /// The loaded keys and their check values.
    pub fn keys(&self) -> impl Iterator<Item = (KeyEntry, CheckValue)> + '_ {
        self.held.iter().map(|(_, held)| (held.entry, held.kcv))
    }

    fn held(&self, sgc: SupplyGroup, krn: KeyRevision, key_type: KeyType) -> Result<&Held> {
        let name = name_of(sgc, krn, key_type);
        let place = self
            .held
            .binary_search_by_key(&name, |(name, _)| *name)
            .map_err(|_| StsError::KeyUnknown)?;
        self.held.get(place).map(|(_, held)| held).ok_or(StsError::KeyUnknown)
    }

    /// The key a token is made under when its type is not named: the unique one, else the common
    /// one, else the default one.
    fn usual(&self, sgc: SupplyGroup, krn: KeyRevision) -> Result<&Held> {
        self.held(sgc, krn, KeyType::Unique)
            .or_else(|_| self.held(sgc, krn, KeyType::Common))
            .or_else(|_| self.held(sgc, krn, KeyType::Default))
    }

    fn named(&self, to: &MeterKey, key_type: Option<KeyType>) -> Result<&Held> {
        match key_type {
            Some(key_type) => self.held(to.sgc, to.krn, key_type),
            None => self.usual(to.sgc, to.krn),
        }
    }

    /// Makes a meter's decoder key, for a series of tokens or a virtual meter.
    ///
    /// # Errors
    /// [`StsError::KeyUnknown`], [`StsError::Dkga01Meter`], and those of
    /// [`VendingKey::decoder_key`].
    pub fn decoder_key(&self, to: &MeterKey, key_type: Option<KeyType>) -> Result<DecoderKey> {
        derive(self.named(to, key_type)?, to)
    }

    /// Makes one credit token.
    ///
    /// # Errors
    /// [`StsError::KeyUnknown`], [`StsError::DefaultKeyCredit`], [`StsError::KeyExpired`], those
    /// of [`KeyRing::decoder_key`] and of [`token::credit`].
    #[inline]
    pub fn issue_credit(&self, order: &CreditOrder) -> Result<IssuedToken> {
        let held = self.usual(order.to.sgc, order.to.krn)?;
        check_credit(held, order.tid)?;
        let key = derive(held, &order.to)?;
        issue_with_key(&key, order.subclass, order.tenths, order.tid, order.rnd)
    }

    /// Makes a batch of credit tokens, one result for each order.
    pub fn issue_credits(&self, orders: &[CreditOrder]) -> Vec<Result<IssuedToken>> {
        orders.iter().map(|order| self.issue_credit(order)).collect()
    }

    /// Makes one currency credit token, in 0.00001 of the currency's unit.
    ///
    /// # Errors
    /// As [`KeyRing::issue_credit`].
    pub fn issue_currency(
        &self,
        to: &MeterKey,
        subclass: u8,
        amount: i128,
        tid: u32,
    ) -> Result<CurrencyCredit> {
        let held = self.usual(to.sgc, to.krn)?;
        check_credit(held, tid)?;
        token::currency(&derive(held, to)?, subclass, amount, tid)
    }

    /// Makes one management token; unlike credit, a default key will do.
    ///
    /// # Errors
    /// [`StsError::KeyUnknown`], [`StsError::KeyExpired`], those of [`KeyRing::decoder_key`] and
    /// of [`token::management`].
    pub fn issue_management(
        &self,
        to: &MeterKey,
        key_type: Option<KeyType>,
        order: &Management,
        tid: u32,
        rnd: u8,
    ) -> Result<Token> {
        let held = self.named(to, key_type)?;
        check_expiry(held, tid)?;
        token::management(&derive(held, to)?, order, tid, rnd)
    }

    /// Makes the set that moves a meter to another key.
    ///
    /// The old key may have expired; the new one may not.
    ///
    /// # Errors
    /// [`StsError::KeyUnknown`], [`StsError::KeyChangeForbidden`], [`StsError::KeyExpired`],
    /// [`StsError::BeforeBaseDate`], those of [`KeyRing::decoder_key`] and of
    /// [`key_change::key_change`].
    pub fn issue_key_change(&self, order: &KeyChangeOrder) -> Result<IssuedKeyChange> {
        key_change::check_types(order.from_type, order.key_type)?;
        let old = self.held(order.from.sgc, order.from.krn, order.from_type)?;
        let new = self.held(order.sgc, order.krn, order.key_type)?;
        let entry = new.entry;
        let now = crate::identifier::token_identifier(order.unix_seconds, entry.base_date, None)?;
        check_expiry(new, now)?;
        let to = MeterKey { sgc: order.sgc, krn: order.krn, ti: order.ti, ..order.from };
        let rollover = key_change::rolls_over(old.entry.base_date, entry.base_date);
        let named = NewKey {
            sgc: order.sgc,
            krn: order.krn,
            ti: order.ti,
            key_type: order.key_type,
            ken: entry.ken,
        };
        let (old, new) = (derive(old, &order.from)?, derive(new, &to)?);
        let set = key_change::key_change(&old, &new, &named, rollover, order.size)?;
        Ok(IssuedKeyChange { set, rollover, new: entry })
    }
}

/// Makes one credit token under a key already derived.
///
/// # Errors
/// As [`token::credit`].
#[inline]
pub fn issue_with_key(
    key: &DecoderKey,
    subclass: u8,
    tenths: u64,
    tid: u32,
    rnd: u8,
) -> Result<IssuedToken> {
    let credit = token::credit(key, subclass, tenths, tid, rnd)?;
    Ok(IssuedToken { token: credit.token, encoded: credit.encoded, tid })
}

fn name_of(sgc: SupplyGroup, krn: KeyRevision, key_type: KeyType) -> KeyName {
    (sgc.number(), krn.number(), key_type)
}

fn check_credit(held: &Held, tid: u32) -> Result<()> {
    if held.entry.key_type == KeyType::Default {
        return Err(StsError::DefaultKeyCredit);
    }
    check_expiry(held, tid)
}

fn check_expiry(held: &Held, tid: u32) -> Result<()> {
    if tid > IDENTIFIER_MAX {
        Err(StsError::IdentifierOutOfRange)
    } else if is_expired(tid, held.entry.ken) {
        Err(StsError::KeyExpired { ken: held.entry.ken })
    } else {
        Ok(())
    }
}

#[inline]
fn derive(held: &Held, to: &MeterKey) -> Result<DecoderKey> {
    let name = DecoderKeyName {
        meter: to.meter,
        algorithm: to.algorithm,
        sgc: to.sgc,
        krn: to.krn,
        ti: to.ti,
        key_type: held.entry.key_type,
        base_date: held.entry.base_date,
    };
    if held.entry.derivation == Derivation::Dkga02 && derivation::belongs_to_dkga01(&name) {
        return Err(StsError::Dkga01Meter);
    }
    held.key.decoder_key(&name)
}

impl core::fmt::Debug for KeyRing {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "KeyRing({} keys)", self.held.len())
    }
}
