//! Each rule about keys and tokens refuses with its own error.

#![expect(clippy::unwrap_used, reason = "a test that stops is a test that fails")]

use sts_core::key_change::SetSize;
use sts_core::ring::{KeyChangeOrder, KeyEntry, MeterKey};
use sts_core::token::{self, Management, TestForm};
use sts_core::{
    Algorithm, BaseDate, CheckValue, CreditOrder, DecoderKey, Derivation, KeyRevision, KeyRing,
    KeyType, MeterPan, StsError, SupplyGroup, TariffIndex,
};

const KEY_160: [u8; 20] = [0xAB; 20];
const KEY_64: [u8; 8] = [0xAB; 8];
const NOON_2024: i64 = 1_711_627_200;

fn entry(krn: u64, key_type: KeyType, derivation: Derivation, ken: u8) -> KeyEntry {
    KeyEntry {
        sgc: SupplyGroup::parse("201457").unwrap(),
        krn: KeyRevision::new(krn).unwrap(),
        key_type,
        derivation,
        base_date: BaseDate::Y2014,
        ken,
    }
}

/// Revision 1: 160 bits, unique. 2: default. 3: 64 bits. 4: expired. 5: base date 2035.
fn ring() -> KeyRing {
    let mut ring = KeyRing::new();
    let keys = [
        entry(1, KeyType::Unique, Derivation::Dkga04, 255),
        entry(2, KeyType::Default, Derivation::Dkga04, 255),
        entry(4, KeyType::Unique, Derivation::Dkga04, 2),
        KeyEntry {
            base_date: BaseDate::Y2035,
            ..entry(5, KeyType::Unique, Derivation::Dkga04, 255)
        },
    ];
    for key in keys {
        ring.load(key, &KEY_160, None).unwrap();
    }
    ring.load(entry(3, KeyType::Unique, Derivation::Dkga02, 255), &KEY_64, None).unwrap();
    ring
}

fn order(krn: u64) -> CreditOrder {
    CreditOrder {
        to: MeterKey {
            meter: MeterPan::parse("12345678903").unwrap(),
            algorithm: Algorithm::Sta,
            sgc: SupplyGroup::parse("201457").unwrap(),
            krn: KeyRevision::new(krn).unwrap(),
            ti: TariffIndex::new(1).unwrap(),
        },
        subclass: 0,
        tenths: 10,
        tid: 5_384_701,
        rnd: 5,
    }
}

fn refusal(order: &CreditOrder) -> StsError {
    ring().issue_credit(order).unwrap_err()
}

fn change(from: u64, to: u64) -> KeyChangeOrder {
    KeyChangeOrder {
        from: order(from).to,
        from_type: KeyType::Unique,
        sgc: SupplyGroup::parse("201457").unwrap(),
        krn: KeyRevision::new(to).unwrap(),
        ti: TariffIndex::new(1).unwrap(),
        key_type: KeyType::Unique,
        size: SetSize::Two,
        unix_seconds: NOON_2024,
    }
}

#[test]
fn credit_is_refused_under_a_default_an_expired_or_an_unknown_key() {
    assert_eq!(refusal(&order(2)), StsError::DefaultKeyCredit);
    assert_eq!(refusal(&order(4)), StsError::KeyExpired { ken: 2 });
    assert_eq!(refusal(&order(9)), StsError::KeyUnknown);
}

#[test]
fn an_amount_of_nothing_or_too_much_is_refused() {
    assert_eq!(refusal(&CreditOrder { tenths: 0, ..order(1) }), StsError::AmountZero);
    assert_eq!(refusal(&CreditOrder { tenths: 18_201_625, ..order(1) }), StsError::AmountTooLarge);
    let key = DecoderKey::sta(1);
    assert_eq!(token::currency(&key, 4, 0, 1), Err(StsError::AmountZero));
    assert_eq!(token::currency(&key, 4, i128::MAX, 1), Err(StsError::AmountTooLarge));
}

#[test]
fn values_wider_than_their_fields_are_refused() {
    let wide = CreditOrder { tid: 0x0100_0000, ..order(1) };
    assert_eq!(refusal(&wide), StsError::IdentifierOutOfRange);
    assert_eq!(refusal(&CreditOrder { rnd: 16, ..order(1) }), StsError::RandomInvalid { rnd: 16 });
    assert_eq!(
        refusal(&CreditOrder { subclass: 4, ..order(1) }),
        StsError::SubclassInvalid { subclass: 4 },
    );
    for (wide, limit) in [
        (Management::Flag { number: 512, set: true }, 511),
        (Management::Extended { index: 64, value: 0 }, 63),
        (Management::Extended { index: 1, value: 1024 }, 1023),
    ] {
        assert_eq!(wide.fields(), Err(StsError::FieldOutOfRange { limit }));
    }
    let unknown = Management::ClearCredit(8).fields();
    assert_eq!(unknown, Err(StsError::RegisterUnknown { register: 8 }));
    let wide = token::meter_test(TestForm::FourDigit, 1 << 28, 0);
    assert_eq!(wide, Err(StsError::FieldOutOfRange { limit: (1 << 28) - 1 }));
    let code = token::meter_test(TestForm::TwoDigit, 1, 100);
    assert_eq!(code, Err(StsError::ManufacturerCodeInvalid { code: 100 }));
    let test = TestForm::FourDigit.control_of(29);
    assert_eq!(test, Err(StsError::TestInvalid { number: 29 }));
    assert_eq!(TestForm::from_subclass(3), Err(StsError::SubclassInvalid { subclass: 3 }),);
    let class = token::register(&DecoderKey::sta(1), 3, 0, 0, 0, 0);
    assert_eq!(class, Err(StsError::ClassReserved));
}

#[test]
fn withdrawn_and_disputed_algorithms_are_refused() {
    assert_eq!(Algorithm::from_code(9), Err(StsError::AlgorithmWithdrawn));
    assert_eq!(Algorithm::from_code(8), Err(StsError::AlgorithmUnknown { ea: 8 }));
    assert_eq!(Derivation::from_code("01"), Err(StsError::Dkga01Unsupported));
    assert_eq!(Derivation::from_code("03"), Err(StsError::Dkga03Unsupported));
    assert_eq!(Derivation::from_code("05"), Err(StsError::DerivationUnknown));
    let mut wide = order(3);
    wide.to.algorithm = Algorithm::Misty1;
    assert_eq!(refusal(&wide), StsError::AlgorithmNeedsDkga04);
}

#[test]
fn a_meter_whose_key_dkga01_makes_is_refused_only_under_a_64_bit_key_of_revision_1() {
    let mut ring = ring();
    let old_meter = |krn| {
        let mut order = order(krn);
        order.to.meter = MeterPan::parse("10900000000").unwrap();
        order
    };
    ring.remove(order(1).to.sgc, order(1).to.krn, KeyType::Unique).unwrap();
    ring.load(entry(1, KeyType::Unique, Derivation::Dkga02, 255), &KEY_64, None).unwrap();
    assert_eq!(ring.issue_credit(&old_meter(1)).unwrap_err(), StsError::Dkga01Meter);
    assert!(ring.issue_credit(&old_meter(3)).is_ok());
    assert!(ring.issue_credit(&order(1)).is_ok());
}

#[test]
fn a_key_with_the_wrong_length_parity_check_value_or_type_is_not_loaded() {
    let mut ring = ring();
    let entry_of = |derivation| entry(6, KeyType::Unique, derivation, 255);
    let even = [0xAA, 0xAB, 0xAB, 0xAB, 0xAB, 0xAB, 0xAB, 0xAB];
    let (old, new) = (entry_of(Derivation::Dkga02), entry_of(Derivation::Dkga04));
    assert_eq!(ring.load(old, &even, None), Err(StsError::KeyParity));
    assert_eq!(ring.load(old, &KEY_160, None), Err(StsError::KeyLength { expected: 8 }));
    assert_eq!(ring.load(new, &KEY_64, None), Err(StsError::KeyLength { expected: 20 }));
    let common = entry(6, KeyType::Common, Derivation::Dkga04, 255);
    assert_eq!(ring.load(common, &KEY_160, None), Err(StsError::CommonKeyDkga04));
    let other = Some(CheckValue([1, 2, 3]));
    assert_eq!(ring.load(new, &KEY_160, other), Err(StsError::KcvMismatch));
    assert_eq!(KeyType::of_vending_key(0), Err(StsError::KeyTypeInvalid { key_type: 0 }));
    assert_eq!(CheckValue::parse("12345g"), Err(StsError::KcvMalformed));
    let kcv = ring.load(new, &KEY_160, None).unwrap();
    assert_eq!(ring.load(new, &KEY_160, Some(kcv)), Ok(kcv));
    assert_eq!(ring.load(new, &[0xCD; 20], None), Err(StsError::KeyConflict));
    assert_eq!(CheckValue::parse(&kcv.to_string()), Ok(kcv));
}

#[test]
fn a_key_change_leaves_an_expired_key_but_does_not_enter_one() {
    let ring = ring();
    assert!(ring.issue_key_change(&change(4, 1)).is_ok());
    let to_expired = ring.issue_key_change(&change(1, 4)).unwrap_err();
    assert_eq!(to_expired, StsError::KeyExpired { ken: 2 });
    let early = ring.issue_key_change(&change(1, 5)).unwrap_err();
    assert_eq!(early, StsError::BeforeBaseDate);
    let later = KeyChangeOrder { unix_seconds: 2_100_000_000, ..change(1, 5) };
    assert!(ring.issue_key_change(&later).unwrap().rollover);
    let four = KeyChangeOrder { size: SetSize::Four, ..change(1, 3) };
    assert_eq!(ring.issue_key_change(&four).unwrap_err(), StsError::KeyChangeCount);
    let forbidden = KeyChangeOrder { key_type: KeyType::Common, ..change(1, 3) };
    assert_eq!(
        ring.issue_key_change(&forbidden).unwrap_err(),
        StsError::KeyChangeForbidden { from: 2, to: 3 },
    );
    assert_eq!(SetSize::from_count(5), Err(StsError::KeyChangeCount));
}

#[test]
fn attributes_outside_their_ranges_are_refused() {
    assert_eq!(KeyRevision::new(0), Err(StsError::KeyRevisionInvalid { krn: 0 }));
    assert_eq!(KeyRevision::new(10), Err(StsError::KeyRevisionInvalid { krn: 10 }));
    assert_eq!(TariffIndex::new(100), Err(StsError::TariffIndexInvalid { ti: 100 }));
    assert_eq!(SupplyGroup::parse("12345"), Err(StsError::SupplyGroupMalformed));
    assert_eq!(BaseDate::from_code("2014"), Err(StsError::BaseDateUnknown));
}

#[test]
fn nothing_secret_is_shown_by_debug() {
    let ring = ring();
    let key = ring.decoder_key(&order(1).to, None).unwrap();
    assert_eq!(
        (format!("{key:?}"), format!("{ring:?}")),
        ("DecoderKey(..)".to_owned(), "KeyRing(5 keys)".to_owned(),)
    );
    assert!(!format!("{:?}", ring.issue_credit(&order(1))).contains("000"));
}

#[test]
fn every_code_is_stable_and_occurs_once() {
    let mut codes = StsError::CODES.to_vec();
    assert!(codes.iter().all(|code| {
        code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    }));
    codes.sort_unstable();
    codes.dedup();
    assert_eq!(codes.len(), StsError::CODES.len());
    assert_eq!(StsError::AmountZero.code(), "amount_zero");
}

#[test]
fn the_check_value_of_a_160_bit_key_is_an_hmac_of_eight_zeros() {
    use hmac::{Hmac, KeyInit, Mac};
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&KEY_160).unwrap();
    mac.update(&[0; 8]);
    let wanted: [u8; 3] = *mac.finalize().into_bytes().first_chunk().unwrap();
    let mut ring = KeyRing::new();
    let kcv = ring.load(entry(1, KeyType::Unique, Derivation::Dkga04, 255), &KEY_160, None);
    assert_eq!(kcv, Ok(CheckValue(wanted)));
}
