//! What holds for every input, tried on random ones.

use proptest::prelude::*;
use sts_core::amount::AMOUNT_MAX;
use sts_core::key_change::{NewKey, SetSize, key_change};
use sts_core::reading::{Meaning, Stamp};
use sts_core::token::{self, Management, TestForm};
use sts_core::virtual_meter::{Make, Outcome};
use sts_core::{
    DecoderKey, KeyRevision, KeyType, MeterPan, SupplyGroup, TariffIndex, Token, VirtualMeter,
    decode, encode_amount, encode_currency, reading,
};

fn key() -> impl Strategy<Value = DecoderKey> {
    prop_oneof![any::<u64>().prop_map(DecoderKey::sta), any::<u128>().prop_map(DecoderKey::misty1),]
}

fn tid() -> impl Strategy<Value = u32> {
    0..=0x00FF_FFFF_u32
}

fn order() -> impl Strategy<Value = Management> {
    prop_oneof![
        (0..=AMOUNT_MAX).prop_map(Management::MaximumPowerLimit),
        prop_oneof![0..8_u16, Just(0xFFFF)].prop_map(Management::ClearCredit),
        any::<u16>().prop_map(Management::TariffRate),
        Just(Management::ClearTamper),
        (0..=AMOUNT_MAX).prop_map(Management::PhasePowerUnbalanceLimit),
        any::<u16>().prop_map(Management::WaterMeterFactor),
        (0..512_u16, any::<bool>()).prop_map(|(number, set)| Management::Flag { number, set }),
        (0..64_u8, 0..1024_u16).prop_map(|(index, value)| Management::Extended { index, value }),
    ]
}

/// A meter that holds this key and counts everything.
fn meter_with(key: DecoderKey) -> Option<VirtualMeter> {
    let make = Make {
        meter: MeterPan::parse("12345678903").ok()?,
        key_type: KeyType::Unique,
        sgc: 123_456,
        krn: 1,
        ti: 1,
        ken: 255,
        accepts: 0xFF,
        made_tid: 0,
        magnetic_card: false,
    };
    Some(VirtualMeter::new(make, key))
}

proptest! {
    #[test]
    fn a_credit_decodes_to_what_was_issued(
        key in key(), subclass in 0..4_u8, asked in 1..=AMOUNT_MAX, tid in tid(), rnd in 0..16_u8,
    ) {
        let made = token::credit(&key, subclass, asked, tid, rnd)?;
        let typed = Token::parse(&made.token.to_string())?;
        let read = decode(typed, &key)?;
        prop_assert_eq!((read.class, read.subclass), (0, subclass));
        let field = encode_amount(asked)?.field;
        let stamp = Stamp { tid, rnd };
        let meaning = Meaning::Credit { stamp, field, tenths: made.encoded };
        prop_assert_eq!(read.meaning, meaning);
        prop_assert!(u64::from(made.encoded) >= asked && u64::from(made.encoded) < asked + 1_000);
    }

    #[test]
    fn money_decodes_to_what_was_issued_and_never_to_less(
        key in key(), subclass in 4..8_u8, tid in tid(), mantissa in any::<i64>(), e in 0..17_u32,
    ) {
        let asked = i128::from(mantissa) * 10_i128.pow(e);
        prop_assume!(asked != 0);
        let made = match token::currency(&key, subclass, asked, tid) {
            Ok(made) => made,
            Err(refusal) => {
                prop_assert_eq!(refusal, sts_core::StsError::AmountTooLarge);
                return Ok(());
            }
        };
        let read = decode(made.token, &key)?;
        prop_assert_eq!((read.class, read.subclass), (0, subclass));
        match read.meaning {
            Meaning::Currency { tid: seen, amount, .. } => {
                prop_assert_eq!((seen, amount), (tid, made.encoded));
            }
            _ => prop_assert!(false, "decodes to something else"),
        }
        prop_assert!(made.encoded >= asked);
        let again = encode_currency(made.encoded)?.encoded;
        prop_assert_eq!(again, made.encoded);
    }

    #[test]
    fn a_management_token_decodes_to_what_was_issued(
        key in key(), order in order(), tid in tid(), rnd in 0..16_u8,
    ) {
        let (subclass, value) = order.fields()?;
        let read = decode(token::management(&key, &order, tid, rnd)?, &key)?;
        prop_assert_eq!((read.class, read.subclass), (2, subclass));
        prop_assert_eq!(read.meaning, Meaning::Register { stamp: Stamp { tid, rnd }, value });
    }

    #[test]
    fn a_meter_test_decodes_to_what_was_issued(
        subclass in 0..3_u8, control in any::<u64>(), code in 0..100_u16,
    ) {
        let form = TestForm::from_subclass(subclass)?;
        let control = control >> (64 - form.control_bits());
        let read = reading::decode_meter_test(token::meter_test(form, control, code.into())?)?;
        prop_assert_eq!(read.subclass, subclass);
        prop_assert_eq!(read.meaning, Meaning::MeterTest { control, manufacturer_code: code });
    }

    #[test]
    fn a_key_change_entered_in_any_order_moves_the_meter(
        (old, new) in prop_oneof![
            any::<(u64, u64)>().prop_map(|(a, b)| (DecoderKey::sta(a), DecoderKey::sta(b))),
            any::<(u128, u128)>()
                .prop_map(|(a, b)| (DecoderKey::misty1(a), DecoderKey::misty1(b))),
        ],
        three in any::<bool>(), sgc in 0..1_000_000_u32, krn in 1..10_u64, ti in 0..100_u64,
        ken in any::<u8>(), rollover in any::<bool>(), order in Just([0, 1, 2, 3]).prop_shuffle(),
    ) {
        let size = match SetSize::smallest(old.algorithm()) {
            SetSize::Two if three => SetSize::Three,
            size => size,
        };
        let named = NewKey {
            sgc: SupplyGroup::from_number(sgc),
            krn: KeyRevision::new(krn)?,
            ti: TariffIndex::new(ti)?,
            key_type: KeyType::Unique,
            ken,
        };
        let set = key_change(&old, &new, &named, rollover, size)?;
        let Some(mut meter) = meter_with(old.clone()) else { return Ok(()) };
        let entered = order.iter().filter_map(|&place: &usize| set.tokens().get(place));
        let answers: Vec<_> =
            entered.map(|token| meter.enter(&token.to_string()).outcome).collect();
        prop_assert_eq!(answers.last(), Some(&Outcome::Accept));
        prop_assert_eq!(answers.iter().filter(|&&answer| answer == Outcome::Accept).count(), 1);
        let attributes = meter.key_attributes();
        let known_sgc = if size == SetSize::Two { 0 } else { sgc };
        prop_assert_eq!((attributes.sgc, attributes.ken), (known_sgc, ken));
        prop_assert_eq!(
            (u64::from(attributes.krn), u64::from(attributes.ti)),
            (krn, ti),
        );
        let probe = token::credit(&new, 0, 10, 5, 0)?.token.to_string();
        prop_assert_eq!(meter.enter(&probe).outcome, Outcome::Accept);
    }

    #[test]
    fn nothing_typed_makes_a_meter_or_the_parsers_panic(text in "\\PC*", digits in "[0-9]{20}") {
        let key = DecoderKey::sta(0x87F3_ECBB_2E46_B48F);
        if let Some(mut meter) = meter_with(key.clone()) {
            let _ = (meter.enter(&text), meter.enter(&digits));
        }
        if let Ok(token) = Token::parse(&digits) {
            let _ = decode(token, &key);
            prop_assert_eq!(token.to_string(), digits);
        }
        let _ = (Token::parse(&text), MeterPan::parse(&text), SupplyGroup::parse(&text));
        let _ = (sts_core::meter::drn_check_digit(&text), sts_core::CheckValue::parse(&text));
    }

    #[test]
    fn no_content_under_its_own_key_makes_a_meter_panic(
        key in key(), tokens in proptest::collection::vec((0..2_u8, 0..16_u8, any::<u64>()), 1..60),
    ) {
        let Some(mut meter) = meter_with(key.clone()) else { return Ok(()) };
        for (half_class, subclass, content) in tokens {
            let token = token::encrypted(&key, half_class * 2, subclass, content >> 20)?;
            let _ = meter.enter(&token.to_string());
            prop_assert!(meter.balance_tenths(0) <= sts_core::virtual_meter::REGISTER_MAX_TENTHS);
        }
        let state = meter.state();
        prop_assert!(meter.restore(&state).is_ok());
    }

    #[test]
    fn no_number_makes_the_encoders_panic(
        amount in any::<u64>(), money in any::<i128>(), tid in any::<u32>(), nibble in any::<u8>(),
        seconds in any::<i64>(), after in any::<Option<u32>>(),
    ) {
        let key = DecoderKey::misty1(7);
        let _ = (encode_amount(amount), encode_currency(money));
        let _ = token::credit(&key, nibble, amount, tid, nibble);
        let _ = token::currency(&key, nibble, money, tid);
        let _ = token::register(&key, nibble, nibble, nibble, tid, 1);
        let _ = token::encrypted(&key, nibble, nibble, amount);
        let base = sts_core::BaseDate::Y2014;
        let _ = sts_core::identifier::token_identifier(seconds, base, after);
        let _ = sts_core::identifier::special_reserved_identifier(seconds, base);
        let form = TestForm::from_subclass(nibble);
        let _ = form.and_then(|form| token::meter_test(form, amount, amount));
    }

    #[test]
    fn no_bytes_make_a_meter_panic_when_restored(state in proptest::collection::vec(any::<u8>(), 0..400)) {
        let Some(mut meter) = meter_with(DecoderKey::sta(1)) else { return Ok(()) };
        prop_assert!(meter.restore(&state).is_err());
        let good = meter.state();
        prop_assert!(meter.restore(&good).is_ok());
    }
}

/// The check has sixteen bits, so one damaged digit passes about once in 65 536 times: with this
/// seed and number of trials, six times are expected and thirty would be a fault.
#[test]
fn one_damaged_digit_is_accepted_at_most_at_the_rate_of_the_check() {
    const TRIALS: u32 = 400_000;
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut accepted = 0;
    for trial in 0..TRIALS {
        let key = if trial % 2 == 0 {
            DecoderKey::sta(next())
        } else {
            DecoderKey::misty1(u128::from(next()) << 64 | u128::from(next()))
        };
        let tid = trial % 0x00FF_FFFF;
        let made = token::credit(&key, 0, u64::from(trial % 5_000 + 1), tid, 5);
        let Ok(made) = made else { continue };
        let mut digits = made.token.digits();
        let place = usize::try_from(next() % 20).unwrap_or(0);
        let step = u8::try_from(next() % 9 + 1).unwrap_or(1);
        for (_, digit) in digits.iter_mut().enumerate().filter(|(at, _)| *at == place) {
            *digit = b'0' + (*digit - b'0' + step) % 10;
        }
        let text = core::str::from_utf8(&digits).unwrap_or_default();
        if Token::parse(text).and_then(|token| decode(token, &key)).is_ok() {
            accepted += 1;
        }
    }
    assert!(accepted <= 30, "{accepted} of {TRIALS} damaged tokens were accepted");
}
