//! The single steps of the arithmetic, for whoever checks this library against a table.

use super::arguments::{Whole, decoder_key_name, meter_key};
use crate::cipher::{misty1::Misty1, sta as sta_cipher};
use crate::error::StsError;
use crate::{amount, block, crc as check, derivation};
use pyo3::prelude::*;

/// The check of any bytes, in the order in which a token carries it.
#[pyfunction]
pub(super) fn crc(data: &[u8]) -> u16 {
    check::crc(data)
}

/// The check of currency credit.
#[pyfunction]
pub(super) fn crc_c(data: &[u8]) -> u16 {
    check::crc_c(data)
}

/// The sixteen bits of an amount and the amount they really carry.
#[pyfunction]
pub(super) fn amount_field(amount: Whole) -> PyResult<(u16, u32)> {
    let made = amount::encode_amount(amount.tenths()?)?;
    Ok((made.field, made.encoded))
}

/// The amount that sixteen bits carry.
#[pyfunction]
pub(super) fn amount_of_field(field: u16) -> u32 {
    amount::decode_amount(field)
}

/// Sign and exponent, sixteen bits, and the currency amount that they really carry.
#[pyfunction]
pub(super) fn currency_field(amount: Whole) -> PyResult<(u8, u16, i128)> {
    let made = amount::encode_currency(amount.0)?;
    Ok((made.s_and_e, made.field, made.encoded))
}

/// The currency amount of sign and exponent and sixteen bits.
#[pyfunction]
pub(super) fn currency_of_field(s_and_e: u8, field: u16) -> i128 {
    amount::decode_currency(s_and_e, field)
}

/// EA07 on one block; the sample tables are those printed in the standard.
#[pyfunction]
#[pyo3(signature = (*, key, block, decrypt = false, sample = false))]
pub(super) fn sta(key: [u8; 8], block: [u8; 8], decrypt: bool, sample: bool) -> [u8; 8] {
    let (key, block) = (u64::from_be_bytes(key), u64::from_be_bytes(block));
    let tables = if sample { &sta_cipher::SAMPLE } else { &sta_cipher::STANDARD };
    let result = if decrypt { tables.decrypt(key, block) } else { tables.encrypt(key, block) };
    result.to_be_bytes()
}

/// EA11 on one block.
#[pyfunction]
#[pyo3(signature = (*, key, block, decrypt = false))]
pub(super) fn misty1(key: [u8; 16], block: [u8; 8], decrypt: bool) -> [u8; 8] {
    let cipher = Misty1::new(u128::from_be_bytes(key));
    let block = u64::from_be_bytes(block);
    let result = if decrypt { cipher.decrypt(block) } else { cipher.encrypt(block) };
    result.to_be_bytes()
}

/// The clear block with its check appended.
#[pyfunction]
#[pyo3(signature = (*, token_class, subclass, content))]
pub(super) fn clear_block(token_class: u8, subclass: u8, content: u64) -> PyResult<u64> {
    if token_class > 3 || subclass > 15 {
        return Err(StsError::SubclassInvalid { subclass: subclass.into() }.into());
    }
    if content > block::CONTENT_MAX {
        return Err(StsError::FieldOutOfRange { limit: block::CONTENT_MAX }.into());
    }
    Ok(block::with_check(token_class, subclass, content))
}

macro_rules! data_block {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[pyfunction]
        #[pyo3(signature = (*, meter, ea, sgc, krn, ti, base_date, key_type = Whole(2)))]
        pub(super) fn $name(
            meter: &str,
            ea: Whole,
            sgc: &str,
            krn: Whole,
            ti: Whole,
            base_date: &str,
            key_type: Whole,
        ) -> PyResult<Vec<u8>> {
            let to = meter_key(meter, ea, sgc, krn, ti)?;
            let name = decoder_key_name(&to, key_type, base_date)?;
            Ok(data_of::$name(&name))
        }
    };
}

data_block! {
    /// `PANBlock` of DKGA02.
    pan_block
}
data_block! {
    /// `CONTROLBlock` of DKGA02.
    control_block
}
data_block! {
    /// The data that DKGA04 authenticates.
    kdf_data
}

mod data_of {
    use super::derivation;
    use crate::attributes::DecoderKeyName;

    pub(super) fn pan_block(name: &DecoderKeyName) -> Vec<u8> {
        derivation::pan_block(name).to_be_bytes().to_vec()
    }

    pub(super) fn control_block(name: &DecoderKeyName) -> Vec<u8> {
        derivation::control_block(name).to_be_bytes().to_vec()
    }

    pub(super) fn kdf_data(name: &DecoderKeyName) -> Vec<u8> {
        derivation::kdf_data(name).to_vec()
    }
}
