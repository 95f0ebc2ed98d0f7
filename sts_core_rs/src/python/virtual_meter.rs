//! The virtual meter in Python.

use super::arguments::{Whole, meter_key, refuse_copy, unix_seconds};
use super::ring::KeyRing;
use crate::attributes::KeyType;
use crate::error::StsError;
use crate::identifier;
use crate::reading::Meaning;
use crate::virtual_meter::{self, Make};
use pyo3::prelude::*;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A meter's answer to twenty digits.
#[pyclass(frozen, get_all, module = "sts_core")]
pub(super) struct Acceptance {
    result: &'static str,
    token_class: Option<u8>,
    subclass: Option<u8>,
    tid: Option<u32>,
    amount: Option<u32>,
    amount_currency: Option<i128>,
    value: Option<u16>,
    shown: Vec<(u8, String)>,
}

#[pymethods]
impl Acceptance {
    #[getter]
    fn accepted(&self) -> bool {
        self.result == "Accept"
    }

    fn __repr__(&self) -> String {
        format!("Acceptance(result='{}')", self.result)
    }
}

/// A meter in software.
#[pyclass(frozen, module = "sts_core")]
pub(super) struct VirtualMeter {
    meter: Mutex<virtual_meter::VirtualMeter>,
}

impl VirtualMeter {
    fn lock(&self) -> MutexGuard<'_, virtual_meter::VirtualMeter> {
        self.meter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl VirtualMeter {
    #[staticmethod]
    #[pyo3(signature = (
        ring, *, meter, ea, sgc, krn, ti, key_type = Whole(2), ken = Whole(255),
        manufactured_at = None, accepts = vec![Whole(0)], magnetic_card = false
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn commission(
        ring: &KeyRing,
        meter: &str,
        ea: Whole,
        sgc: &str,
        krn: Whole,
        ti: Whole,
        key_type: Whole,
        ken: Whole,
        manufactured_at: Option<&Bound<'_, PyAny>>,
        accepts: Vec<Whole>,
        magnetic_card: bool,
    ) -> PyResult<Self> {
        let to = meter_key(meter, ea, sgc, krn, ti)?;
        let key_type = KeyType::of_vending_key(key_type.unsigned())?;
        let ring = ring.read();
        let key = ring.decoder_key(&to, Some(key_type))?;
        let base = ring
            .keys()
            .find(|(entry, _)| (entry.sgc, entry.krn, entry.key_type) == (to.sgc, to.krn, key_type))
            .map(|(entry, _)| entry.base_date)
            .ok_or(StsError::KeyUnknown)?;
        let made_tid = match manufactured_at {
            Some(at) => identifier::token_identifier(unix_seconds(at)?, base, None)?,
            None => 0,
        };
        let mut counted = 0;
        for subclass in accepts {
            match subclass.subclass()? {
                bit @ 0..=7 => counted |= 1 << bit,
                other => {
                    return Err(StsError::SubclassInvalid { subclass: other.into() }.into());
                }
            }
        }
        let make = Make {
            meter: to.meter,
            key_type,
            sgc: to.sgc.number(),
            krn: to.krn.number(),
            ti: to.ti.number(),
            ken: ken.ken()?,
            accepts: counted,
            made_tid,
            magnetic_card,
        };
        Ok(Self { meter: Mutex::new(virtual_meter::VirtualMeter::new(make, key)) })
    }

    fn enter(&self, digits: &str) -> Acceptance {
        let mut meter = self.lock();
        let answer = meter.enter(digits);
        let mut acceptance = Acceptance {
            result: answer.outcome.text(),
            token_class: answer.reading.map(|reading| reading.class),
            subclass: answer.reading.map(|reading| reading.subclass),
            tid: answer.tid(),
            amount: None,
            amount_currency: None,
            value: None,
            shown: Vec::new(),
        };
        if let Some(reading) = answer.reading {
            match reading.meaning {
                Meaning::Credit { tenths, .. } => acceptance.amount = Some(tenths),
                Meaning::Currency { amount, .. } => acceptance.amount_currency = Some(amount),
                Meaning::Register { value, .. } => acceptance.value = Some(value),
                Meaning::MeterTest { control, .. } if acceptance.accepted() => {
                    acceptance.shown = meter.shown(control, reading.subclass);
                }
                _ => {}
            }
        }
        acceptance
    }

    #[getter]
    fn drn(&self) -> String {
        self.lock().meter().drn().to_owned()
    }

    #[getter]
    fn balance_tenths(&self) -> u64 {
        let meter = self.lock();
        meter.balance_tenths(meter.counted_subclass())
    }

    #[pyo3(signature = (subclass))]
    fn balance(&self, subclass: Whole) -> PyResult<i128> {
        let meter = self.lock();
        match subclass.subclass()? {
            subclass @ 0..=3 => Ok(meter.balance_tenths(subclass).into()),
            subclass @ 4..=7 => Ok(meter.balance_currency(subclass)),
            other => Err(StsError::SubclassInvalid { subclass: other.into() }.into()),
        }
    }

    fn consume(&self, tenths: Whole) -> PyResult<u64> {
        let tenths = tenths.tenths()?;
        let mut meter = self.lock();
        let subclass = meter.counted_subclass();
        Ok(meter.consume(subclass, tenths))
    }

    fn tamper(&self) {
        self.lock().tamper();
    }

    fn forget_key_change(&self) {
        self.lock().forget_key_change();
    }

    #[getter]
    fn sgc(&self) -> String {
        format!("{:06}", self.lock().key_attributes().sgc)
    }

    #[getter]
    fn krn(&self) -> u8 {
        self.lock().key_attributes().krn
    }

    #[getter]
    fn ti(&self) -> u8 {
        self.lock().key_attributes().ti
    }

    #[getter]
    fn key_type(&self) -> u8 {
        self.lock().key_attributes().key_type.code()
    }

    #[getter]
    fn ken(&self) -> u8 {
        self.lock().key_attributes().ken
    }

    #[getter]
    fn maximum_power_watts(&self) -> u32 {
        self.lock().settings().maximum_power_watts
    }

    #[getter]
    fn phase_unbalance_watts(&self) -> u32 {
        self.lock().settings().phase_unbalance_watts
    }

    #[getter]
    fn tariff_rate(&self) -> u16 {
        self.lock().settings().tariff_rate
    }

    #[getter]
    fn water_factor(&self) -> u16 {
        self.lock().settings().water_factor
    }

    #[getter]
    fn tampered(&self) -> bool {
        self.lock().settings().tampered
    }

    #[getter]
    fn flags(&self) -> u16 {
        self.lock().settings().flags
    }

    fn state<'py>(&self, py: Python<'py>) -> Bound<'py, pyo3::types::PyBytes> {
        pyo3::types::PyBytes::new(py, &self.lock().state())
    }

    fn restore(&self, state: &[u8]) -> PyResult<()> {
        Ok(self.lock().restore(state)?)
    }

    fn __repr__(&self) -> String {
        format!("VirtualMeter(drn='{}')", self.lock().meter().drn())
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        refuse_copy(&self.__repr__())
    }
}
