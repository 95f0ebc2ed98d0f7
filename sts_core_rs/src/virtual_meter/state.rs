//! Saving a meter's registers and memory between runs, without its key.
//!
//! The saved form names the key only by its check value, so it can be put back only into a meter
//! that already has that key.

use super::tid_store::{TID_STORE_LENGTH, TidStore};
use super::{KeyAttributes, Settings, VirtualMeter};
use crate::attributes::KeyType;
use crate::error::{Result, StsError};

const MARK: &[u8; 8] = b"STSVM\0\0\x01";

impl VirtualMeter {
    /// Registers, settings and remembered identifiers; no key.
    pub fn state(&self) -> Vec<u8> {
        let mut state = Vec::with_capacity(400);
        state.extend(MARK);
        state.extend(self.make.meter.ascii());
        state.extend(self.key.check_value().0);
        let key = self.attributes;
        state.extend(key.sgc.to_be_bytes());
        state.extend([key.krn, key.ti, key.key_type.code(), key.ken]);
        state.extend(self.tenths.iter().flat_map(|tenths| tenths.to_be_bytes()));
        state.extend(self.currency.iter().flat_map(|amount| amount.to_be_bytes()));
        let settings = self.settings;
        state.extend(settings.maximum_power_watts.to_be_bytes());
        state.extend(settings.phase_unbalance_watts.to_be_bytes());
        state.extend(settings.tariff_rate.to_be_bytes());
        state.extend(settings.water_factor.to_be_bytes());
        state.extend(settings.flags.to_be_bytes());
        state.push(u8::from(settings.tampered));
        state.extend(self.seen.identifiers().iter().flat_map(|tid| tid.to_be_bytes()));
        state
    }

    /// Puts a saved state back. A half-entered key change is forgotten.
    ///
    /// # Errors
    /// [`StsError::StateMalformed`]; [`StsError::StateMismatch`] when it was saved by another
    /// meter or under another key. The meter is then unchanged.
    pub fn restore(&mut self, state: &[u8]) -> Result<()> {
        let mut rest = state;
        if take::<8>(&mut rest)? != *MARK {
            return Err(StsError::StateMalformed);
        }
        if take::<18>(&mut rest)? != self.make.meter.ascii()
            || take::<3>(&mut rest)? != self.key.check_value().0
        {
            return Err(StsError::StateMismatch);
        }
        let sgc = u32::from_be_bytes(take(&mut rest)?);
        let [krn, ti, key_type, ken] = take(&mut rest)?;
        let attributes =
            KeyAttributes { sgc, krn, ti, key_type: KeyType::from_bits(key_type), ken };
        let mut tenths = [0; 4];
        for register in &mut tenths {
            *register = u64::from_be_bytes(take(&mut rest)?);
        }
        let mut currency = [0; 4];
        for register in &mut currency {
            *register = i128::from_be_bytes(take(&mut rest)?);
        }
        let settings = Settings {
            maximum_power_watts: u32::from_be_bytes(take(&mut rest)?),
            phase_unbalance_watts: u32::from_be_bytes(take(&mut rest)?),
            tariff_rate: u16::from_be_bytes(take(&mut rest)?),
            water_factor: u16::from_be_bytes(take(&mut rest)?),
            flags: u16::from_be_bytes(take(&mut rest)?),
            tampered: take::<1>(&mut rest)? == [1],
        };
        let mut identifiers = [0; TID_STORE_LENGTH];
        for identifier in &mut identifiers {
            *identifier = u32::from_be_bytes(take(&mut rest)?);
        }
        let sane = tenths.iter().all(|&tenths| tenths <= super::REGISTER_MAX_TENTHS)
            && currency.iter().all(|amount| {
                amount.checked_abs().is_some_and(|size| size <= super::REGISTER_MAX_CURRENCY)
            });
        if !rest.is_empty() || !sane {
            return Err(StsError::StateMalformed);
        }
        self.attributes = attributes;
        self.tenths = tenths;
        self.currency = currency;
        self.settings = settings;
        self.seen = TidStore::from_identifiers(identifiers);
        self.forget_key_change();
        Ok(())
    }
}

fn take<const LENGTH: usize>(rest: &mut &[u8]) -> Result<[u8; LENGTH]> {
    let (taken, after) = rest.split_first_chunk().ok_or(StsError::StateMalformed)?;
    *rest = after;
    Ok(*taken)
}
