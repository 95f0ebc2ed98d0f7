#![doc = include_str!("../README.md")]

pub mod amount;
pub mod attributes;
pub mod block;
pub mod cipher;
pub mod crc;
pub mod derivation;
pub mod digits;
pub mod error;
pub mod identifier;
pub mod key_change;
pub mod keys;
pub mod meter;
#[cfg(feature = "python")]
mod python;
pub mod reading;
pub mod ring;
pub mod token;
pub mod virtual_meter;

pub use amount::{decode_amount, decode_currency, encode_amount, encode_currency};
pub use attributes::{
    Algorithm, BaseDate, DecoderKeyName, Derivation, KeyRevision, KeyType, SupplyGroup, TariffIndex,
};
pub use digits::Token;
pub use error::{Result, StsError};
pub use keys::{CheckValue, DecoderKey, VendingKey};
pub use meter::MeterPan;
pub use reading::{Reading, decode};
pub use ring::{CreditOrder, IssuedToken, KeyRing};
pub use virtual_meter::VirtualMeter;
