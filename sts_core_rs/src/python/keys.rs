//! Keys in Python: opaque handles.

use super::arguments::{Whole, decoder_key_name, key_bytes, meter_key, refuse_copy};
use super::ring::management;
use super::tokens::{IssuedToken, issued};
use crate::attributes::{Algorithm, Derivation};
use crate::error::StsError;
use crate::key_change::{self, NewKey, SetSize};
use crate::{keys, token};
use pyo3::prelude::*;

/// A vending key outside any ring: for tests and tools that derive single decoder keys.
#[pyclass(frozen, module = "sts_core")]
pub(super) struct VendingKey {
    key: keys::VendingKey,
}

#[pymethods]
impl VendingKey {
    #[new]
    #[pyo3(signature = (*, dkga, key))]
    fn new(dkga: &str, key: &Bound<'_, PyAny>) -> PyResult<Self> {
        let bytes = key_bytes(key)?;
        Ok(Self { key: keys::VendingKey::new(Derivation::from_code(dkga)?, &bytes)? })
    }

    #[getter]
    fn dkga(&self) -> &'static str {
        self.key.derivation().code()
    }

    #[getter]
    fn kcv(&self) -> String {
        self.key.check_value().to_string()
    }

    #[pyo3(signature = (*, meter, ea, sgc, krn, ti, base_date, key_type = Whole(2)))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn decoder_key(
        &self,
        meter: &str,
        ea: Whole,
        sgc: &str,
        krn: Whole,
        ti: Whole,
        base_date: &str,
        key_type: Whole,
    ) -> PyResult<DecoderKey> {
        let to = meter_key(meter, ea, sgc, krn, ti)?;
        let name = decoder_key_name(&to, key_type, base_date)?;
        Ok(DecoderKey { key: self.key.decoder_key(&name)? })
    }

    fn __repr__(&self) -> String {
        format!("VendingKey(dkga={}, kcv={})", self.dkga(), self.kcv())
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        refuse_copy(&self.__repr__())
    }
}

/// One meter's key.
#[pyclass(frozen, module = "sts_core")]
pub(super) struct DecoderKey {
    pub(super) key: keys::DecoderKey,
}

#[pymethods]
impl DecoderKey {
    /// A key given as bytes, as test vectors do.
    #[staticmethod]
    #[pyo3(signature = (*, ea, key))]
    fn for_test(ea: Whole, key: &Bound<'_, PyAny>) -> PyResult<Self> {
        let algorithm = Algorithm::from_code(ea.unsigned())?;
        Ok(Self { key: keys::DecoderKey::from_bytes(algorithm, &key_bytes(key)?)? })
    }

    #[getter]
    fn ea(&self) -> u8 {
        self.key.algorithm().code()
    }

    #[getter]
    fn kcv(&self) -> String {
        self.key.check_value().to_string()
    }

    /// Whether these bytes are the key.
    #[pyo3(name = "is_key")]
    fn is_key(&self, key: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.key.is(&key_bytes(key)?))
    }

    #[pyo3(signature = (*, subclass, amount, tid, rnd))]
    fn credit(
        &self,
        subclass: Whole,
        amount: Whole,
        tid: Whole,
        rnd: Whole,
    ) -> PyResult<IssuedToken> {
        let tid = tid.tid()?;
        let made =
            token::credit(&self.key, subclass.subclass()?, amount.tenths()?, tid, rnd.rnd()?)?;
        Ok(issued(made.token, made.encoded.into(), Some(tid)))
    }

    #[pyo3(signature = (*, subclass, amount, tid))]
    fn currency(&self, subclass: Whole, amount: Whole, tid: Whole) -> PyResult<IssuedToken> {
        let tid = tid.tid()?;
        let made = token::currency(&self.key, subclass.subclass()?, amount.0, tid)?;
        Ok(issued(made.token, made.encoded, Some(tid)))
    }

    #[pyo3(signature = (*, token_class, subclass, rnd, tid, value))]
    fn register_token(
        &self,
        token_class: Whole,
        subclass: Whole,
        rnd: Whole,
        tid: Whole,
        value: Whole,
    ) -> PyResult<IssuedToken> {
        let (tid, value) = (tid.tid()?, value.field16()?);
        let class = class_of(token_class)?;
        let made = token::register(&self.key, class, subclass.subclass()?, rnd.rnd()?, tid, value)?;
        Ok(issued(made, value.into(), Some(tid)))
    }

    #[pyo3(signature = (*, token_class, subclass, content))]
    fn content_token(
        &self,
        token_class: Whole,
        subclass: Whole,
        content: Whole,
    ) -> PyResult<IssuedToken> {
        let class = class_of(token_class)?;
        let made = token::encrypted(&self.key, class, subclass.subclass()?, content.unsigned())?;
        Ok(issued(made, 0, None))
    }

    #[pyo3(signature = (*, kind, tid, rnd, value = Whole(0), index = None))]
    fn management(
        &self,
        kind: &str,
        tid: Whole,
        rnd: Whole,
        value: Whole,
        index: Option<Whole>,
    ) -> PyResult<IssuedToken> {
        let order = management(kind, value, index)?;
        let tid = tid.tid()?;
        let made = token::management(&self.key, &order, tid, rnd.rnd()?)?;
        Ok(issued(made, order.carried()?.into(), Some(tid)))
    }

    #[pyo3(signature = (new_key, *, sgc, krn, ti, key_type, ken, rollover, tokens))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn key_change(
        &self,
        new_key: &Self,
        sgc: &str,
        krn: Whole,
        ti: Whole,
        key_type: Whole,
        ken: Whole,
        rollover: bool,
        tokens: Whole,
    ) -> PyResult<Vec<String>> {
        let named = NewKey {
            sgc: crate::SupplyGroup::parse(sgc)?,
            krn: crate::KeyRevision::new(krn.unsigned())?,
            ti: crate::TariffIndex::new(ti.unsigned())?,
            key_type: crate::KeyType::of_vending_key(key_type.unsigned())?,
            ken: ken.ken()?,
        };
        let size = SetSize::from_count(tokens.unsigned())?;
        let set = key_change::key_change(&self.key, &new_key.key, &named, rollover, size)?;
        Ok(set.tokens().iter().map(ToString::to_string).collect())
    }

    fn __repr__(&self) -> String {
        format!("DecoderKey(ea={}, kcv={})", self.ea(), self.kcv())
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        refuse_copy(&self.__repr__())
    }
}

fn class_of(class: Whole) -> Result<u8, StsError> {
    u8::try_from(class.0).map_err(|_| StsError::ClassReserved)
}
