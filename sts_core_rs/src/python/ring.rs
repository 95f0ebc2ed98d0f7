//! The key ring in Python.

use super::arguments::{Whole, key_bytes, meter_key, optional_key_type, refuse_copy, unix_seconds};
use super::keys::DecoderKey;
use super::tokens::{IssuedToken, issued, outcomes};
use crate::attributes::{BaseDate, Derivation, KeyRevision, KeyType, SupplyGroup, TariffIndex};
use crate::error::StsError;
use crate::key_change::SetSize;
use crate::keys::CheckValue;
use crate::ring::{self, CreditOrder, KeyChangeOrder};
use crate::token::Management;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What is known of a loaded key.
#[pyclass(frozen, eq, get_all, module = "sts_core")]
#[derive(PartialEq)]
pub(super) struct KeyEntry {
    sgc: String,
    krn: u8,
    key_type: u8,
    dkga: &'static str,
    base_date: &'static str,
    ken: u8,
    kcv: String,
}

#[pymethods]
impl KeyEntry {
    fn __repr__(&self) -> String {
        format!(
            "KeyEntry(sgc='{}', krn={}, key_type={}, dkga='{}', base_date='{}', ken={}, kcv='{}')",
            self.sgc, self.krn, self.key_type, self.dkga, self.base_date, self.ken, self.kcv,
        )
    }
}

/// A key change made: its tokens, and what the meter's record becomes once they are entered.
#[pyclass(frozen, module = "sts_core")]
pub(super) struct IssuedKeyChange {
    issued: ring::IssuedKeyChange,
    ti: TariffIndex,
}

#[pymethods]
impl IssuedKeyChange {
    #[getter]
    fn tokens(&self) -> Vec<String> {
        self.issued.set.tokens().iter().map(ToString::to_string).collect()
    }

    #[getter]
    fn rollover(&self) -> bool {
        self.issued.rollover
    }

    #[getter]
    fn sgc(&self) -> String {
        self.issued.new.sgc.to_string()
    }

    #[getter]
    fn krn(&self) -> u8 {
        self.issued.new.krn.number()
    }

    #[getter]
    fn ti(&self) -> u8 {
        self.ti.number()
    }

    #[getter]
    fn key_type(&self) -> u8 {
        self.issued.new.key_type.code()
    }

    #[getter]
    fn base_date(&self) -> &'static str {
        self.issued.new.base_date.code()
    }

    #[getter]
    fn ken(&self) -> u8 {
        self.issued.new.ken
    }

    fn __repr__(&self) -> String {
        let count = self.issued.set.tokens().len();
        format!("IssuedKeyChange({count} tokens, rollover={})", self.rollover())
    }
}

/// A vendor's keys, held where Python cannot read them.
#[pyclass(frozen, module = "sts_core")]
pub(super) struct KeyRing {
    ring: RwLock<ring::KeyRing>,
}

impl KeyRing {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, ring::KeyRing> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, ring::KeyRing> {
        self.ring.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl KeyRing {
    #[new]
    fn new() -> Self {
        Self { ring: RwLock::default() }
    }

    #[pyo3(signature = (*, sgc, krn, key_type, dkga, base_date, ken, key, kcv = None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn load(
        &self,
        sgc: &str,
        krn: Whole,
        key_type: Whole,
        dkga: &str,
        base_date: &str,
        ken: Whole,
        key: &Bound<'_, PyAny>,
        kcv: Option<&str>,
    ) -> PyResult<String> {
        // Read first: the caller's bytearray is wiped whatever the other arguments are.
        let bytes = key_bytes(key)?;
        let entry = ring::KeyEntry {
            sgc: SupplyGroup::parse(sgc)?,
            krn: KeyRevision::new(krn.unsigned())?,
            key_type: KeyType::of_vending_key(key_type.unsigned())?,
            derivation: Derivation::from_code(dkga)?,
            base_date: BaseDate::from_code(base_date)?,
            ken: ken.ken()?,
        };
        let expected = kcv.map(CheckValue::parse).transpose()?;
        Ok(self.write().load(entry, &bytes, expected)?.to_string())
    }

    #[pyo3(signature = (*, sgc, krn, key_type))]
    fn remove(&self, sgc: &str, krn: Whole, key_type: Whole) -> PyResult<()> {
        let sgc = SupplyGroup::parse(sgc)?;
        let krn = KeyRevision::new(krn.unsigned())?;
        let key_type = KeyType::of_vending_key(key_type.unsigned())?;
        Ok(self.write().remove(sgc, krn, key_type)?)
    }

    fn keys(&self) -> Vec<KeyEntry> {
        let entry = |(entry, kcv): (ring::KeyEntry, CheckValue)| KeyEntry {
            sgc: entry.sgc.to_string(),
            krn: entry.krn.number(),
            key_type: entry.key_type.code(),
            dkga: entry.derivation.code(),
            base_date: entry.base_date.code(),
            ken: entry.ken,
            kcv: kcv.to_string(),
        };
        self.read().keys().map(entry).collect()
    }

    #[pyo3(signature = (*, meter, ea, sgc, krn, ti, key_type = None))]
    fn decoder_key(
        &self,
        meter: &str,
        ea: Whole,
        sgc: &str,
        krn: Whole,
        ti: Whole,
        key_type: Option<Whole>,
    ) -> PyResult<DecoderKey> {
        let to = meter_key(meter, ea, sgc, krn, ti)?;
        Ok(DecoderKey { key: self.read().decoder_key(&to, optional_key_type(key_type)?)? })
    }

    fn issue_credit(&self, order: &Bound<'_, PyAny>) -> PyResult<IssuedToken> {
        let made = self.read().issue_credit(&credit_order(order)??)?;
        Ok(issued(made.token, made.encoded.into(), Some(made.tid)))
    }

    fn issue_credits<'py>(
        &self,
        py: Python<'py>,
        orders: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyList>> {
        let mut jobs = Vec::with_capacity(orders.len().unwrap_or(0));
        for order in orders.try_iter()? {
            jobs.push(credit_order(&order?)?);
        }
        let made: Vec<_> = py.detach(|| {
            let ring = self.read();
            jobs.into_iter().map(|order| ring.issue_credit(&order?)).collect()
        });
        outcomes(py, made, |made| issued(made.token, made.encoded.into(), Some(made.tid)))
    }

    #[pyo3(signature = (*, meter, ea, sgc, krn, ti, subclass, amount, tid))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn issue_currency_credit(
        &self,
        meter: &str,
        ea: Whole,
        sgc: &str,
        krn: Whole,
        ti: Whole,
        subclass: Whole,
        amount: Whole,
        tid: Whole,
    ) -> PyResult<IssuedToken> {
        let to = meter_key(meter, ea, sgc, krn, ti)?;
        let tid = tid.tid()?;
        let made = self.read().issue_currency(&to, subclass.subclass()?, amount.0, tid)?;
        Ok(issued(made.token, made.encoded, Some(tid)))
    }

    #[pyo3(signature = (
        *, meter, ea, sgc, krn, ti, tid, rnd, kind, value = Whole(0), index = None, key_type = None
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn issue_management(
        &self,
        meter: &str,
        ea: Whole,
        sgc: &str,
        krn: Whole,
        ti: Whole,
        tid: Whole,
        rnd: Whole,
        kind: &str,
        value: Whole,
        index: Option<Whole>,
        key_type: Option<Whole>,
    ) -> PyResult<IssuedToken> {
        let to = meter_key(meter, ea, sgc, krn, ti)?;
        let order = management(kind, value, index)?;
        let tid = tid.tid()?;
        let key_type = optional_key_type(key_type)?;
        let made = self.read().issue_management(&to, key_type, &order, tid, rnd.rnd()?)?;
        Ok(issued(made, order.carried()?.into(), Some(tid)))
    }

    #[pyo3(signature = (
        *, meter, ea, sgc, krn, ti, new_sgc, new_krn, new_ti, at, key_type = Whole(2),
        new_key_type = Whole(2), tokens = None
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn issue_key_change(
        &self,
        meter: &str,
        ea: Whole,
        sgc: &str,
        krn: Whole,
        ti: Whole,
        new_sgc: &str,
        new_krn: Whole,
        new_ti: Whole,
        at: &Bound<'_, PyAny>,
        key_type: Whole,
        new_key_type: Whole,
        tokens: Option<Whole>,
    ) -> PyResult<IssuedKeyChange> {
        let from = meter_key(meter, ea, sgc, krn, ti)?;
        let size = match tokens {
            Some(count) => SetSize::from_count(count.unsigned())?,
            None => SetSize::smallest(from.algorithm),
        };
        let order = KeyChangeOrder {
            from,
            from_type: KeyType::of_vending_key(key_type.unsigned())?,
            sgc: SupplyGroup::parse(new_sgc)?,
            krn: KeyRevision::new(new_krn.unsigned())?,
            ti: TariffIndex::new(new_ti.unsigned())?,
            key_type: KeyType::of_vending_key(new_key_type.unsigned())?,
            size,
            unix_seconds: unix_seconds(at)?,
        };
        let issued = self.read().issue_key_change(&order)?;
        Ok(IssuedKeyChange { issued, ti: order.ti })
    }

    fn __len__(&self) -> usize {
        self.read().keys().count()
    }

    fn __repr__(&self) -> String {
        format!("KeyRing({} keys)", self.__len__())
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        refuse_copy(&self.__repr__())
    }
}

/// One order: a tuple whose parts have the right types, or the rule that its values break.
fn credit_order(order: &Bound<'_, PyAny>) -> PyResult<Result<CreditOrder, StsError>> {
    let order = order.cast::<PyTuple>()?;
    if order.len() != 9 {
        return Err(PyTypeError::new_err(
            "a credit order is meter, ea, sgc, krn, ti, subclass, amount, tid and rnd",
        ));
    }
    let number = |place| order.get_borrowed_item(place)?.extract::<Whole>();
    let (meter, sgc) = (order.get_borrowed_item(0)?, order.get_borrowed_item(2)?);
    let (meter, sgc) = (meter.cast::<PyString>()?, sgc.cast::<PyString>()?);
    let (meter, sgc) = (meter.to_str()?, sgc.to_str()?);
    let (ea, krn, ti) = (number(1)?, number(3)?, number(4)?);
    let (subclass, amount, tid, rnd) = (number(5)?, number(6)?, number(7)?, number(8)?);
    let parsed = || {
        Ok(CreditOrder {
            to: meter_key(meter, ea, sgc, krn, ti)?,
            subclass: subclass.subclass()?,
            tenths: amount.tenths()?,
            tid: tid.tid()?,
            rnd: rnd.rnd()?,
        })
    };
    Ok(parsed())
}

/// A management order by the name of its kind.
pub(super) fn management(kind: &str, value: Whole, index: Option<Whole>) -> PyResult<Management> {
    let number = |limit: u16| {
        let index = index.map_or(0, |index| index.0);
        u16::try_from(index)
            .ok()
            .filter(|index| *index <= limit)
            .ok_or(StsError::FieldOutOfRange { limit: limit.into() })
    };
    Ok(match kind {
        "maximum_power_limit" => Management::MaximumPowerLimit(value.tenths()?),
        "clear_credit" => Management::ClearCredit(value.field16()?),
        "tariff_rate" => Management::TariffRate(value.field16()?),
        "clear_tamper" => Management::ClearTamper,
        "phase_power_unbalance_limit" => Management::PhasePowerUnbalanceLimit(value.tenths()?),
        "water_meter_factor" => Management::WaterMeterFactor(value.field16()?),
        "flag" => Management::Flag {
            number: number(511)?,
            set: match value.0 {
                0 => false,
                1 => true,
                _ => return Err(StsError::FieldOutOfRange { limit: 1 }.into()),
            },
        },
        "extended" => {
            Management::Extended { index: u8::try_from(number(63)?)?, value: value.field16()? }
        }
        _ => return Err(PyValueError::new_err("no such kind of management token")),
    })
}
