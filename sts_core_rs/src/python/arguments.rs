//! Reading arguments: whole numbers of any size, instants, keys.

use crate::attributes::{
    Algorithm, BaseDate, DecoderKeyName, KeyRevision, KeyType, SupplyGroup, TariffIndex,
};
use crate::error::{Result, StsError};
use crate::meter;
use crate::ring::MeterKey;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes};
use zeroize::Zeroizing;

/// A Python integer, held at the ends of 128 bits when it is wider: every limit of the standard
/// lies inside, so a wider number is refused by the rule that it breaks.
#[derive(Clone, Copy)]
pub(super) struct Whole(pub(super) i128);

impl<'py> FromPyObject<'_, 'py> for Whole {
    type Error = PyErr;

    fn extract(value: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        match value.extract::<i64>() {
            Ok(number) => Ok(Self(number.into())),
            Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => {
                match value.extract::<i128>() {
                    Ok(number) => Ok(Self(number)),
                    Err(_) if value.lt(0)? => Ok(Self(i128::MIN)),
                    Err(_) => Ok(Self(i128::MAX)),
                }
            }
            Err(error) => Err(error),
        }
    }
}

impl Whole {
    /// As an unsigned number; a negative one becomes the largest, which no rule allows.
    pub(super) fn unsigned(self) -> u64 {
        u64::try_from(self.0).unwrap_or(u64::MAX)
    }

    pub(super) fn tenths(self) -> Result<u64> {
        if self.0 < 0 { Err(StsError::AmountNegative) } else { Ok(self.unsigned()) }
    }

    pub(super) fn tid(self) -> Result<u32> {
        u32::try_from(self.0).map_err(|_| StsError::IdentifierOutOfRange)
    }

    pub(super) fn rnd(self) -> Result<u8> {
        u8::try_from(self.0).map_err(|_| StsError::RandomInvalid { rnd: self.unsigned() })
    }

    pub(super) fn subclass(self) -> Result<u8> {
        u8::try_from(self.0).map_err(|_| StsError::SubclassInvalid { subclass: self.unsigned() })
    }

    pub(super) fn ken(self) -> Result<u8> {
        u8::try_from(self.0).map_err(|_| StsError::KeyExpiryInvalid { ken: self.unsigned() })
    }

    pub(super) fn field16(self) -> Result<u16> {
        u16::try_from(self.0).map_err(|_| StsError::FieldOutOfRange { limit: u16::MAX.into() })
    }
}

/// A meter and its key, from the six facts that callers pass.
pub(super) fn meter_key(
    number: &str,
    ea: Whole,
    sgc: &str,
    krn: Whole,
    ti: Whole,
) -> Result<MeterKey> {
    Ok(MeterKey {
        meter: meter::MeterPan::parse(number)?,
        algorithm: Algorithm::from_code(ea.unsigned())?,
        sgc: SupplyGroup::parse(sgc)?,
        krn: KeyRevision::new(krn.unsigned())?,
        ti: TariffIndex::new(ti.unsigned())?,
    })
}

/// The full name of a decoder key.
pub(super) fn decoder_key_name(
    to: &MeterKey,
    key_type: Whole,
    base_date: &str,
) -> Result<DecoderKeyName> {
    Ok(DecoderKeyName {
        meter: to.meter,
        algorithm: to.algorithm,
        sgc: to.sgc,
        krn: to.krn,
        ti: to.ti,
        key_type: KeyType::of_vending_key(key_type.unsigned())?,
        base_date: BaseDate::from_code(base_date)?,
    })
}

pub(super) fn optional_key_type(key_type: Option<Whole>) -> Result<Option<KeyType>> {
    key_type.map(|key_type| KeyType::of_vending_key(key_type.unsigned())).transpose()
}

/// The bytes of a key. A bytearray is filled with zeros once it has been read.
pub(super) fn key_bytes(key: &Bound<'_, PyAny>) -> PyResult<Zeroizing<Vec<u8>>> {
    if let Ok(bytes) = key.cast::<PyByteArray>() {
        let copy = Zeroizing::new(bytes.to_vec());
        for place in 0..bytes.len() {
            key.set_item(place, 0)?;
        }
        Ok(copy)
    } else if let Ok(bytes) = key.cast::<PyBytes>() {
        Ok(Zeroizing::new(bytes.as_bytes().to_vec()))
    } else {
        Err(PyTypeError::new_err("a key is bytes or a bytearray"))
    }
}

static TIMEGM: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// An aware datetime in Unix seconds, by whole numbers.
pub(super) fn unix_seconds(at: &Bound<'_, PyAny>) -> PyResult<i64> {
    if at.call_method0("utcoffset")?.is_none() {
        return Err(PyValueError::new_err("an instant is a datetime with a time zone"));
    }
    let timegm = TIMEGM.get_or_try_init(at.py(), || {
        at.py().import("calendar")?.getattr("timegm").map(Bound::unbind)
    })?;
    timegm.call1(at.py(), (at.call_method0("utctimetuple")?,))?.extract(at.py())
}

/// What pickling and copying a holder of keys raises.
pub(super) fn refuse_copy<T>(what: &str) -> PyResult<T> {
    Err(PyTypeError::new_err(format!("{what} is neither copied nor pickled")))
}
