//! The Python module `sts_core._native`: a thin skin over the crate, and the only place that knows
//! Python.

mod arguments;
mod arithmetic;
mod errors;
mod keys;
mod ring;
mod tokens;
mod virtual_meter;

use pyo3::prelude::*;

/// Everything that the package re-exports.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::arithmetic::{
        amount_field, amount_of_field, clear_block, control_block, crc, crc_c, currency_field,
        currency_of_field, kdf_data, misty1, pan_block, sta,
    };
    #[pymodule_export]
    use super::errors::{refusal, refusal_codes};
    #[pymodule_export]
    use super::keys::{DecoderKey, VendingKey};
    #[pymodule_export]
    use super::ring::{IssuedKeyChange, KeyEntry, KeyRing};
    #[pymodule_export]
    use super::tokens::{
        IssuedToken, MeterPan, Reading, decode, decode_batch, drn_check_digit, drn_is_valid,
        issue_with_keys, meter_test, meter_test_control, parse_meter, special_reserved_identifier,
        token_identifier,
    };
    #[pymodule_export]
    use super::virtual_meter::{Acceptance, VirtualMeter};
}
