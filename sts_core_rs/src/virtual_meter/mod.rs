//! A meter in software: it knows its own decoder key and the standard's rules of acceptance
//! (clause 7), and nothing of how tokens are made.

mod acceptance;
mod key_entry;
mod meter_test;
mod state;
mod tid_store;

pub use acceptance::{Acceptance, Outcome};
pub use tid_store::TID_STORE_LENGTH;

use crate::attributes::KeyType;
use crate::digits::Token;
use crate::keys::DecoderKey;
use crate::meter::MeterPan;
use crate::reading::{self, Meaning, Section, Stamp};
use key_entry::{KeyEntrySet, Progress};
use tid_store::{Seen, TidStore};

/// The largest total a register of energy, volume or time holds: eight digits and a tenth.
pub const REGISTER_MAX_TENTHS: u64 = 999_999_999;
/// The largest total a register of money holds, in 0.00001 of the unit.
pub const REGISTER_MAX_CURRENCY: i128 = i128::MAX / 4;

/// What the factory decides about a meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Make {
    /// The meter's number.
    pub meter: MeterPan,
    /// Kind of the key it leaves the factory with.
    pub key_type: KeyType,
    /// Supply group of that key, as the meter displays it.
    pub sgc: u32,
    /// Revision of that key.
    pub krn: u8,
    /// Tariff index of that key.
    pub ti: u8,
    /// Expiry number of that key.
    pub ken: u8,
    /// Credit subclasses it counts, one bit each.
    pub accepts: u8,
    /// Identifier of the day it was made, below which no token is taken.
    pub made_tid: u32,
    /// Only magnetic-card meters may hold a common key.
    pub magnetic_card: bool,
}

/// What the meter tells about itself on its display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Largest power in watts.
    pub maximum_power_watts: u32,
    /// Largest unbalance between phases in watts.
    pub phase_unbalance_watts: u32,
    /// Rate, raw.
    pub tariff_rate: u16,
    /// Water factor, raw.
    pub water_factor: u16,
    /// A tamper was seen and not cleared.
    pub tampered: bool,
    /// Flags of the extended set, one bit each.
    pub flags: u16,
}

/// What the meter knows of its key, beside the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyAttributes {
    /// Supply group; 0 after a set of two tokens, which does not carry it.
    pub sgc: u32,
    /// Revision.
    pub krn: u8,
    /// Tariff index.
    pub ti: u8,
    /// Kind of key.
    pub key_type: KeyType,
    /// Expiry number.
    pub ken: u8,
}

/// A prepayment meter.
pub struct VirtualMeter {
    make: Make,
    key: DecoderKey,
    attributes: KeyAttributes,
    seen: TidStore,
    pending: KeyEntrySet,
    tenths: [u64; 4],
    currency: [i128; 4],
    settings: Settings,
}

/// Flags that STS 202-5 names: 0 to 11.
const FLAGS: u16 = 12;
impl VirtualMeter {
    /// A meter as it leaves the factory, with the decoder key put in there.
    pub fn new(make: Make, key: DecoderKey) -> Self {
        Self {
            make,
            key,
            attributes: KeyAttributes {
                sgc: make.sgc,
                krn: make.krn,
                ti: make.ti,
                key_type: make.key_type,
                ken: make.ken,
            },
            seen: TidStore::filled_with(make.made_tid),
            pending: KeyEntrySet::default(),
            tenths: [0; 4],
            currency: [0; 4],
            settings: Settings {
                maximum_power_watts: u32::MAX,
                phase_unbalance_watts: u32::MAX,
                tariff_rate: 0,
                water_factor: 0,
                tampered: false,
                flags: 0,
            },
        }
    }

    /// The meter's number.
    pub fn meter(&self) -> &MeterPan {
        &self.make.meter
    }

    /// What it knows of its key.
    pub fn key_attributes(&self) -> KeyAttributes {
        self.attributes
    }

    /// What tokens have set.
    pub fn settings(&self) -> Settings {
        self.settings
    }

    /// Credit left in the register of one subclass, 0 to 3, in tenths.
    pub fn balance_tenths(&self, subclass: u8) -> u64 {
        self.tenths.get(usize::from(subclass)).copied().unwrap_or_default()
    }

    /// Money left in the register of one subclass, 4 to 7, in 0.00001 of the unit.
    pub fn balance_currency(&self, subclass: u8) -> i128 {
        let place = usize::from(subclass).wrapping_sub(4);
        self.currency.get(place).copied().unwrap_or_default()
    }

    /// Uses up credit, as far as there is any, and returns how much was used.
    pub fn consume(&mut self, subclass: u8, tenths: u64) -> u64 {
        match self.tenths.get_mut(usize::from(subclass)) {
            Some(balance) => {
                let used = tenths.min(*balance);
                *balance -= used;
                used
            }
            None => 0,
        }
    }

    /// Somebody opened the lid.
    pub fn tamper(&mut self) {
        self.settings.tampered = true;
    }

    /// Drops a half-entered key change, as meters do after some minutes.
    pub fn forget_key_change(&mut self) {
        self.pending = KeyEntrySet::default();
    }

    /// Enters twenty digits on the keypad.
    pub fn enter(&mut self, digits: &str) -> Acceptance {
        let Ok(token) = Token::parse(digits) else {
            return Acceptance::refused(Outcome::FormatError);
        };
        if token.class() == crate::block::RESERVED {
            return Acceptance::refused(Outcome::FormatError);
        }
        let Ok(reading) = reading::decode(token, &self.key) else {
            return Acceptance::refused(Outcome::CrcError);
        };
        let acceptance = Acceptance::of(&reading);
        let outcome = match reading.meaning {
            Meaning::MeterTest { control, manufacturer_code } => {
                self.test(reading.subclass, control, manufacturer_code)
            }
            Meaning::Credit { stamp, tenths, .. } => {
                self.credit(stamp.tid, reading.subclass, tenths)
            }
            Meaning::Currency { tid, amount, .. } => self.money(tid, reading.subclass, amount),
            Meaning::Register { stamp, value } => self.manage(stamp, reading.subclass, value),
            Meaning::KeyChange(section) => self.key_section(section),
            Meaning::Other { .. } => Outcome::FunctionError,
        };
        acceptance.with(outcome)
    }

    /// The first credit subclass that the meter counts.
    pub fn counted_subclass(&self) -> u8 {
        (0..8).find(|bit| self.make.accepts >> bit & 1 == 1).unwrap_or(0)
    }

    fn counts(&self, subclass: u8) -> bool {
        subclass < 8 && self.make.accepts >> subclass & 1 == 1
    }

    /// The checks that every token with an identifier must pass.
    fn check_identifier(&self, tid: u32) -> Result<(), Outcome> {
        if crate::identifier::is_expired(tid, self.attributes.ken) {
            return Err(Outcome::KeyExpiredError);
        }
        match self.seen.look_up(tid) {
            Seen::Older => Err(Outcome::OldError),
            Seen::Before => Err(Outcome::UsedError),
            Seen::Never => Ok(()),
        }
    }

    fn check_credit(&self, tid: u32, subclass: u8) -> Result<(), Outcome> {
        if self.attributes.key_type == KeyType::Default {
            return Err(Outcome::DdtkError);
        }
        self.check_identifier(tid)?;
        if self.counts(subclass) { Ok(()) } else { Err(Outcome::FunctionError) }
    }

    fn credit(&mut self, tid: u32, subclass: u8, tenths: u32) -> Outcome {
        if let Err(refusal) = self.check_credit(tid, subclass) {
            return refusal;
        }
        let Some(balance) = self.tenths.get_mut(usize::from(subclass)) else {
            return Outcome::FunctionError;
        };
        let total = *balance + u64::from(tenths);
        if total > REGISTER_MAX_TENTHS {
            return Outcome::OverflowError;
        }
        *balance = total;
        self.seen.remember(tid);
        Outcome::Accept
    }

    fn money(&mut self, tid: u32, subclass: u8, amount: i128) -> Outcome {
        if let Err(refusal) = self.check_credit(tid, subclass) {
            return refusal;
        }
        let Some(balance) = self.currency.get_mut(usize::from(subclass).wrapping_sub(4)) else {
            return Outcome::FunctionError;
        };
        match balance.checked_add(amount) {
            Some(total) if total.abs() <= REGISTER_MAX_CURRENCY => {
                *balance = total;
                self.seen.remember(tid);
                Outcome::Accept
            }
            _ => Outcome::OverflowError,
        }
    }

    fn manage(&mut self, stamp: Stamp, subclass: u8, value: u16) -> Outcome {
        if let Err(refusal) = self.check_identifier(stamp.tid) {
            return refusal;
        }
        let outcome = self.obey(subclass, value);
        if outcome == Outcome::Accept {
            self.seen.remember(stamp.tid);
        }
        outcome
    }

    fn obey(&mut self, subclass: u8, value: u16) -> Outcome {
        match subclass {
            0 => self.settings.maximum_power_watts = crate::decode_amount(value),
            1 => return self.clear(value),
            2 => self.settings.tariff_rate = value,
            5 => self.settings.tampered = false,
            6 => self.settings.phase_unbalance_watts = crate::decode_amount(value),
            7 => self.settings.water_factor = value,
            10 if value >> 10 == 63 => {
                let number = value >> 1 & 0x1FF;
                if number >= FLAGS {
                    return Outcome::RangeError;
                }
                let flag = 1 << number;
                let others = self.settings.flags & !flag;
                self.settings.flags = if value & 1 == 1 { others | flag } else { others };
            }
            _ => return Outcome::FunctionError,
        }
        Outcome::Accept
    }

    fn clear(&mut self, register: u16) -> Outcome {
        match (register, u8::try_from(register)) {
            (0xFFFF, _) => {
                self.tenths = [0; 4];
                self.currency = [0; 4];
            }
            (_, Ok(number)) if self.counts(number) => {
                if let Some(balance) = self.tenths.get_mut(usize::from(number)) {
                    *balance = 0;
                } else if let Some(balance) =
                    self.currency.get_mut(usize::from(number).wrapping_sub(4))
                {
                    *balance = 0;
                }
            }
            _ => return Outcome::RangeError,
        }
        Outcome::Accept
    }

    fn key_section(&mut self, section: Section) -> Outcome {
        if let Section::First { key_type, .. } = section {
            if !self.may_become(key_type) {
                return Outcome::KeyTypeError;
            }
        }
        if matches!(section, Section::Second { ti, .. } if ti > 99) {
            return Outcome::RangeError;
        }
        match self.pending.enter(section, self.key.algorithm()) {
            Progress::Waiting => Outcome::section(section.number()),
            Progress::Complete(change) => {
                self.key = change.key;
                self.attributes = change.attributes;
                if change.rollover {
                    self.seen = TidStore::filled_with(0);
                }
                self.pending = KeyEntrySet::default();
                Outcome::Accept
            }
        }
    }

    /// Changes of key type that a meter obeys, old to new.
    fn may_become(&self, new: KeyType) -> bool {
        use KeyType::{Common, Default, Initialisation, Unique};
        let known = match self.attributes.key_type {
            Initialisation => true,
            Default => matches!(new, Default | Unique | Common),
            Unique => matches!(new, Unique | Default),
            Common => matches!(new, Common | Default),
        };
        known && (new != Common || self.make.magnetic_card)
    }
}

impl core::fmt::Debug for VirtualMeter {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(formatter, "VirtualMeter({})", self.make.meter.drn())
    }
}
