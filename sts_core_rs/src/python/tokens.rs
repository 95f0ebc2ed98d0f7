//! Tokens, readings and meter numbers in Python.

use super::arguments::{Whole, unix_seconds};
use super::errors::exception;
use super::keys::DecoderKey;
use crate::attributes::BaseDate;
use crate::block;
use crate::digits::Token;
use crate::error::StsError;
use crate::reading::{self, Meaning};
use crate::ring::issue_with_key;
use crate::token::{self, TestForm};
use crate::{identifier, meter};
use pyo3::PyClass;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString, PyTuple};

/// A token made, and what it really carries.
#[pyclass(frozen, eq, module = "sts_core")]
#[derive(PartialEq)]
pub(super) struct IssuedToken {
    token: Token,
    amount: i128,
    tid: Option<u32>,
}

pub(super) fn issued(token: Token, amount: i128, tid: Option<u32>) -> IssuedToken {
    IssuedToken { token, amount, tid }
}

#[pymethods]
impl IssuedToken {
    #[getter]
    fn digits(&self) -> String {
        self.token.to_string()
    }

    #[getter]
    fn amount<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        whole(py, self.amount)
    }

    #[getter]
    fn tid(&self) -> Option<u32> {
        self.tid
    }

    fn __repr__(&self) -> String {
        let tid = self.tid.map_or_else(|| "None".to_owned(), |tid| tid.to_string());
        format!("IssuedToken(amount={}, tid={tid})", self.amount)
    }
}

fn whole(py: Python<'_>, number: i128) -> PyResult<Bound<'_, PyAny>> {
    Ok(match i64::try_from(number) {
        Ok(small) => small.into_pyobject(py)?.into_any(),
        Err(_) => number.into_pyobject(py)?.into_any(),
    })
}

/// What a token says. Sections of a key change show neither block nor content.
#[pyclass(frozen, module = "sts_core")]
pub(super) struct Reading {
    reading: reading::Reading,
}

impl Reading {
    fn shows_content(&self) -> bool {
        !matches!(self.reading.meaning, Meaning::KeyChange(_))
    }
}

#[pymethods]
impl Reading {
    #[getter]
    fn token_class(&self) -> u8 {
        self.reading.class
    }

    #[getter]
    fn subclass(&self) -> u8 {
        self.reading.subclass
    }

    #[getter]
    fn block(&self) -> Option<u64> {
        self.shows_content().then_some(self.reading.block)
    }

    #[getter]
    fn content(&self) -> Option<u64> {
        self.shows_content().then(|| block::content(self.reading.block))
    }

    #[getter]
    fn tid(&self) -> Option<u32> {
        match self.reading.meaning {
            Meaning::Credit { stamp, .. } | Meaning::Register { stamp, .. } => Some(stamp.tid),
            Meaning::Currency { tid, .. } => Some(tid),
            _ => None,
        }
    }

    #[getter]
    fn rnd(&self) -> Option<u8> {
        match self.reading.meaning {
            Meaning::Credit { stamp, .. } | Meaning::Register { stamp, .. } => Some(stamp.rnd),
            _ => None,
        }
    }

    #[getter]
    fn s_and_e(&self) -> Option<u8> {
        match self.reading.meaning {
            Meaning::Currency { s_and_e, .. } => Some(s_and_e),
            _ => None,
        }
    }

    #[getter]
    fn field16(&self) -> Option<u16> {
        match self.reading.meaning {
            Meaning::Credit { field, .. } | Meaning::Currency { field, .. } => Some(field),
            Meaning::Register { value, .. } => Some(value),
            _ => None,
        }
    }

    #[getter]
    fn amount<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.reading.meaning {
            Meaning::Credit { tenths, .. } => whole(py, tenths.into()).map(Some),
            Meaning::Currency { amount, .. } => whole(py, amount).map(Some),
            _ => Ok(None),
        }
    }

    #[getter]
    fn control(&self) -> Option<u64> {
        match self.reading.meaning {
            Meaning::MeterTest { control, .. } => Some(control),
            _ => None,
        }
    }

    #[getter]
    fn manufacturer_code(&self) -> Option<u16> {
        match self.reading.meaning {
            Meaning::MeterTest { manufacturer_code, .. } => Some(manufacturer_code),
            _ => None,
        }
    }

    #[getter]
    fn section(&self) -> Option<u8> {
        match self.reading.meaning {
            Meaning::KeyChange(section) => Some(section.number()),
            _ => None,
        }
    }

    fn __repr__(&self) -> String {
        let reading = &self.reading;
        format!("Reading(token_class={}, subclass={})", reading.class, reading.subclass)
    }
}

/// Decodes a token; without a key only a meter test can be read.
#[pyfunction]
#[pyo3(signature = (digits, key = None))]
pub(super) fn decode(digits: &str, key: Option<&DecoderKey>) -> PyResult<Reading> {
    let token = Token::parse(digits)?;
    let reading = match key {
        Some(key) => reading::decode(token, &key.key)?,
        None => reading::decode_meter_test(token)?,
    };
    Ok(Reading { reading })
}

/// Decodes many tokens, each with its meter's key: a reading or an error for each.
#[pyfunction]
pub(super) fn decode_batch<'py>(
    py: Python<'py>,
    items: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    let mut jobs = Vec::with_capacity(items.len().unwrap_or(0));
    for item in items.try_iter()? {
        let item = item?.cast_into::<PyTuple>()?;
        let key = item.get_borrowed_item(0)?.cast::<DecoderKey>()?.to_owned().unbind();
        let token = Token::parse(item.get_borrowed_item(1)?.cast::<PyString>()?.to_str()?);
        jobs.push((key, token));
    }
    let readings: Vec<_> = py.detach(|| {
        let read = |(key, token): &(Py<DecoderKey>, Result<Token, StsError>)| {
            (*token).and_then(|token| reading::decode(token, &key.get().key))
        };
        jobs.iter().map(read).collect()
    });
    outcomes(py, readings, |reading| Reading { reading })
}

/// Subclass, tenths, identifier and random number.
type Fields = (u8, u64, u32, u8);

/// Makes credit tokens under keys already derived: an issued token or an error for each tuple of
/// key, subclass, tenths, identifier and random number.
#[pyfunction]
pub(super) fn issue_with_keys<'py>(
    py: Python<'py>,
    orders: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyList>> {
    let mut jobs = Vec::with_capacity(orders.len().unwrap_or(0));
    for order in orders.try_iter()? {
        let order = order?.cast_into::<PyTuple>()?;
        if order.len() != 5 {
            return Err(PyTypeError::new_err("an order is key, subclass, amount, tid and rnd"));
        }
        let key = order.get_borrowed_item(0)?.cast::<DecoderKey>()?.to_owned().unbind();
        let [subclass, amount, tid, rnd] = [
            order.get_borrowed_item(1)?.extract::<Whole>()?,
            order.get_borrowed_item(2)?.extract::<Whole>()?,
            order.get_borrowed_item(3)?.extract::<Whole>()?,
            order.get_borrowed_item(4)?.extract::<Whole>()?,
        ];
        let read = || Ok((subclass.subclass()?, amount.tenths()?, tid.tid()?, rnd.rnd()?));
        jobs.push((key, read()));
    }
    let made: Vec<_> = py.detach(|| {
        let make = |(key, order): &(Py<DecoderKey>, Result<Fields, StsError>)| {
            let (subclass, tenths, tid, rnd) = (*order)?;
            issue_with_key(&key.get().key, subclass, tenths, tid, rnd)
        };
        jobs.iter().map(make).collect()
    });
    outcomes(py, made, |made| issued(made.token, made.encoded.into(), Some(made.tid)))
}

/// A list of what each item came to: an object or an exception.
pub(super) fn outcomes<T, O: PyClass + Into<PyClassInitializer<O>>>(
    py: Python<'_>,
    results: Vec<Result<T, StsError>>,
    wrap: impl Fn(T) -> O,
) -> PyResult<Bound<'_, PyList>> {
    let objects = results.into_iter().map(|result| match result {
        Ok(value) => Bound::new(py, wrap(value)).map(Bound::into_any),
        Err(error) => exception(py, error),
    });
    PyList::new(py, objects.collect::<PyResult<Vec<_>>>()?)
}

/// A meter test or display token, for any meter of the make.
#[pyfunction]
#[pyo3(signature = (*, control, manufacturer_code = Whole(0), subclass = Whole(0)))]
pub(super) fn meter_test(
    control: Whole,
    manufacturer_code: Whole,
    subclass: Whole,
) -> PyResult<IssuedToken> {
    let form = TestForm::from_subclass(subclass.subclass()?)?;
    let token = token::meter_test(form, control.unsigned(), manufacturer_code.unsigned())?;
    Ok(issued(token, 0, None))
}

/// The control field for one test number, 0 for all.
#[pyfunction]
#[pyo3(signature = (number, *, subclass = Whole(0)))]
pub(super) fn meter_test_control(number: Whole, subclass: Whole) -> PyResult<u64> {
    let form = TestForm::from_subclass(subclass.subclass()?)?;
    Ok(form.control_of(number.unsigned())?)
}

/// The identifier of a token made at an instant, above the last one of its meter.
#[pyfunction]
#[pyo3(signature = (at, *, base_date, after = None))]
pub(super) fn token_identifier(
    at: &Bound<'_, PyAny>,
    base_date: &str,
    after: Option<Whole>,
) -> PyResult<u32> {
    let base = BaseDate::from_code(base_date)?;
    let after = after.map(Whole::tid).transpose()?;
    Ok(identifier::token_identifier(unix_seconds(at)?, base, after)?)
}

/// The reserved identifier, 00:01, of the day of an instant.
#[pyfunction]
#[pyo3(signature = (at, *, base_date))]
pub(super) fn special_reserved_identifier(at: &Bound<'_, PyAny>, base_date: &str) -> PyResult<u32> {
    let base = BaseDate::from_code(base_date)?;
    Ok(identifier::special_reserved_identifier(unix_seconds(at)?, base)?)
}

/// A meter's number, both check digits verified.
#[pyclass(frozen, eq, hash, module = "sts_core")]
#[derive(PartialEq, Eq, Hash)]
pub(super) struct MeterPan {
    meter: meter::MeterPan,
}

#[pymethods]
impl MeterPan {
    #[getter]
    fn pan(&self) -> &str {
        self.meter.pan()
    }

    #[getter]
    fn drn(&self) -> &str {
        self.meter.drn()
    }

    #[getter]
    fn iin(&self) -> &str {
        self.meter.iin()
    }

    #[getter]
    fn manufacturer_code(&self) -> u16 {
        self.meter.manufacturer_code()
    }

    fn __repr__(&self) -> String {
        format!("MeterPan(pan='{}')", self.meter.pan())
    }
}

/// Reads a DRN of 11 or 13 digits or a PAN of 18.
#[pyfunction]
pub(super) fn parse_meter(text: &str) -> PyResult<MeterPan> {
    Ok(MeterPan { meter: meter::MeterPan::parse(text)? })
}

/// Whether the text is a DRN with the right last digit.
#[pyfunction]
pub(super) fn drn_is_valid(text: &str) -> bool {
    meter::drn_is_valid(text)
}

/// The digit that completes ten or twelve digits to a DRN.
#[pyfunction]
pub(super) fn drn_check_digit(digits: &str) -> PyResult<u8> {
    Ok(meter::drn_check_digit(digits)?)
}
