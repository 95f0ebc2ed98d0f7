//! The meter's rules of acceptance, in the order in which a meter applies them.

#![expect(clippy::unwrap_used, reason = "a test that stops is a test that fails")]

use sts_core::key_change::{NewKey, SetSize, key_change};
use sts_core::token::{self, Management, TestForm};
use sts_core::virtual_meter::{Make, Outcome, REGISTER_MAX_TENTHS};
use sts_core::{
    DecoderKey, KeyRevision, KeyType, MeterPan, StsError, SupplyGroup, TariffIndex, VirtualMeter,
};

const MADE_TID: u32 = 1_000;

fn key() -> DecoderKey {
    DecoderKey::sta(0x87F3_ECBB_2E46_B48F)
}

fn make() -> Make {
    Make {
        meter: MeterPan::parse("12345678903").unwrap(),
        key_type: KeyType::Unique,
        sgc: 123_456,
        krn: 1,
        ti: 1,
        ken: 255,
        accepts: 0b0001_0001,
        made_tid: MADE_TID,
        magnetic_card: false,
    }
}

fn meter() -> VirtualMeter {
    VirtualMeter::new(make(), key())
}

fn credit(tid: u32, tenths: u64) -> String {
    token::credit(&key(), 0, tenths, tid, 5).unwrap().token.to_string()
}

fn manage(order: Management, tid: u32) -> String {
    token::management(&key(), &order, tid, 5).unwrap().to_string()
}

fn change_to(key_type: KeyType, rollover: bool, size: SetSize) -> Vec<String> {
    let named = NewKey {
        sgc: SupplyGroup::parse("654321").unwrap(),
        krn: KeyRevision::new(2).unwrap(),
        ti: TariffIndex::new(7).unwrap(),
        key_type,
        ken: 255,
    };
    let set = key_change(&key(), &DecoderKey::sta(42), &named, rollover, size).unwrap();
    set.tokens().iter().map(ToString::to_string).collect()
}

#[test]
fn a_token_is_accepted_once() {
    let mut meter = meter();
    let digits = credit(2_000, 100);
    assert_eq!(meter.enter(&digits).outcome, Outcome::Accept);
    assert_eq!(meter.enter(&digits).outcome, Outcome::UsedError);
    assert_eq!(meter.balance_tenths(0), 100);
}

#[test]
fn digits_that_are_no_token_or_another_meters_are_told_apart() {
    let mut meter = meter();
    for text in ["", "123", "99999999999999999999", "abcdefghijklmnopqrst"] {
        assert_eq!(meter.enter(text).outcome, Outcome::FormatError);
    }
    let foreign = token::credit(&DecoderKey::sta(1), 0, 10, 2_000, 5).unwrap().token;
    assert_eq!(meter.enter(&foreign.to_string()).outcome, Outcome::CrcError);
}

#[test]
fn a_token_older_than_the_meter_or_than_fifty_newer_ones_is_refused() {
    let mut meter = meter();
    assert_eq!(meter.enter(&credit(MADE_TID - 1, 1)).outcome, Outcome::OldError);
    for tid in 2_000..2_050 {
        assert_eq!(meter.enter(&credit(tid, 1)).outcome, Outcome::Accept);
    }
    assert_eq!(meter.enter(&credit(1_999, 1)).outcome, Outcome::OldError);
    assert_eq!(meter.enter(&credit(2_049, 1)).outcome, Outcome::UsedError);
}

#[test]
fn a_token_that_was_late_but_is_still_remembered_as_new_is_accepted() {
    let mut meter = meter();
    assert_eq!(meter.enter(&credit(3_000, 1)).outcome, Outcome::Accept);
    assert_eq!(meter.enter(&credit(2_000, 1)).outcome, Outcome::Accept);
}

#[test]
fn a_full_register_leaves_the_token_unused() {
    let mut meter = meter();
    let most = sts_core::amount::AMOUNT_MAX;
    let mut tid = 2_000;
    while meter.balance_tenths(0) + most <= REGISTER_MAX_TENTHS {
        assert_eq!(meter.enter(&credit(tid, most)).outcome, Outcome::Accept);
        tid += 1;
    }
    let last = credit(tid, most);
    assert_eq!(meter.enter(&last).outcome, Outcome::OverflowError);
    assert_eq!(meter.consume(0, most), most);
    assert_eq!(meter.enter(&last).outcome, Outcome::Accept);
}

#[test]
fn credit_of_another_kind_or_under_a_default_or_expired_key_is_refused() {
    let water = token::credit(&key(), 1, 10, 2_000, 5).unwrap().token.to_string();
    assert_eq!(meter().enter(&water).outcome, Outcome::FunctionError);
    let mut unowned = VirtualMeter::new(Make { key_type: KeyType::Default, ..make() }, key());
    assert_eq!(unowned.enter(&credit(2_000, 1)).outcome, Outcome::DdtkError);
    let mut expired = VirtualMeter::new(Make { ken: 1, ..make() }, key());
    assert_eq!(expired.enter(&credit(0x2_0000, 1)).outcome, Outcome::KeyExpiredError);
}

#[test]
fn money_is_counted_in_its_own_register() {
    let mut meter = meter();
    let made = token::currency(&key(), 4, 1_000_000, 2_000).unwrap();
    assert_eq!(meter.enter(&made.token.to_string()).outcome, Outcome::Accept);
    assert_eq!(meter.balance_currency(4), made.encoded);
    let debit = token::currency(&key(), 4, -500_000, 2_001).unwrap();
    assert_eq!(meter.enter(&debit.token.to_string()).outcome, Outcome::Accept);
    assert_eq!(meter.balance_currency(4), made.encoded + debit.encoded);
}

#[test]
fn management_tokens_are_obeyed_once() {
    let mut meter = meter();
    meter.tamper();
    meter.enter(&credit(2_000, 100));
    let limit = manage(Management::MaximumPowerLimit(20_000), 2_001);
    assert_eq!(meter.enter(&limit).outcome, Outcome::Accept);
    assert_eq!(meter.enter(&limit).outcome, Outcome::UsedError);
    for (order, tid) in [
        (Management::ClearTamper, 2_002),
        (Management::PhasePowerUnbalanceLimit(500), 2_003),
        (Management::TariffRate(9), 2_004),
        (Management::WaterMeterFactor(8), 2_005),
        (Management::Flag { number: 3, set: true }, 2_006),
        (Management::Flag { number: 0, set: false }, 2_007),
        (Management::ClearCredit(0), 2_008),
        (Management::ClearCredit(4), 2_009),
    ] {
        assert_eq!(meter.enter(&manage(order, tid)).outcome, Outcome::Accept);
    }
    let settings = meter.settings();
    assert_eq!((settings.maximum_power_watts, settings.phase_unbalance_watts), (20_004, 500));
    assert_eq!((settings.tariff_rate, settings.water_factor, settings.flags), (9, 8, 8));
    assert_eq!((settings.tampered, meter.balance_tenths(0)), (false, 0));
    for (order, outcome) in [
        (Management::ClearCredit(2), Outcome::RangeError),
        (Management::Flag { number: 12, set: true }, Outcome::RangeError),
        (Management::Extended { index: 5, value: 1 }, Outcome::FunctionError),
    ] {
        assert_eq!(meter.enter(&manage(order, 2_010)).outcome, outcome);
    }
    assert_eq!(
        meter.enter(&manage(Management::ClearCredit(0xFFFF), 2_010)).outcome,
        Outcome::Accept
    );
}

#[test]
fn a_key_change_moves_the_meter_and_a_rollover_clears_its_memory() {
    let mut meter = meter();
    meter.enter(&credit(2_000, 100));
    let tokens = change_to(KeyType::Unique, true, SetSize::Three);
    let answers: Vec<_> = tokens.iter().rev().map(|token| meter.enter(token).outcome).collect();
    assert_eq!(answers, [Outcome::ThirdSection, Outcome::SecondSection, Outcome::Accept]);
    let attributes = meter.key_attributes();
    assert_eq!((attributes.sgc, attributes.krn, attributes.ti), (654_321, 2, 7));
    assert_eq!(meter.enter(&credit(2_001, 1)).outcome, Outcome::CrcError);
    let early = token::credit(&DecoderKey::sta(42), 0, 5, 10, 5).unwrap().token.to_string();
    assert_eq!(meter.enter(&early).outcome, Outcome::Accept);
    assert_eq!(meter.balance_tenths(0), 105);
}

#[test]
fn a_set_without_rollover_keeps_the_memory_and_a_forgotten_half_must_be_entered_again() {
    let mut meter = meter();
    let tokens = change_to(KeyType::Unique, false, SetSize::Two);
    assert_eq!(meter.enter(tokens.first().unwrap()).outcome, Outcome::FirstSection);
    meter.forget_key_change();
    assert_eq!(meter.enter(tokens.last().unwrap()).outcome, Outcome::SecondSection);
    assert_eq!(meter.enter(tokens.first().unwrap()).outcome, Outcome::Accept);
    assert_eq!(meter.key_attributes().sgc, 0);
    let old = token::credit(&DecoderKey::sta(42), 0, 5, MADE_TID - 1, 5).unwrap().token;
    assert_eq!(meter.enter(&old.to_string()).outcome, Outcome::OldError);
}

#[test]
fn a_change_to_a_forbidden_kind_of_key_is_refused() {
    let tokens = change_to(KeyType::Common, false, SetSize::Two);
    assert_eq!(meter().enter(tokens.first().unwrap()).outcome, Outcome::KeyTypeError);
    let unowned = Make { key_type: KeyType::Default, ..make() };
    let mut keypad = VirtualMeter::new(unowned, key());
    assert_eq!(keypad.enter(tokens.first().unwrap()).outcome, Outcome::KeyTypeError);
    let mut card = VirtualMeter::new(Make { magnetic_card: true, ..unowned }, key());
    assert_eq!(card.enter(tokens.first().unwrap()).outcome, Outcome::FirstSection);
}

#[test]
fn a_meter_test_is_shown_again_and_again_to_its_own_make_only() {
    let mut meter = meter();
    let all = TestForm::TwoDigit.control_of(0).unwrap();
    let test = |code| token::meter_test(TestForm::TwoDigit, all, code).unwrap().to_string();
    for code in [0, 12, 0] {
        assert_eq!(meter.enter(&test(code)).outcome, Outcome::Accept);
    }
    assert_eq!(meter.enter(&test(13)).outcome, Outcome::MfrCodeError);
    let reserved = token::meter_test(TestForm::FourDigit, 1 << 20, 0).unwrap().to_string();
    assert_eq!(meter.enter(&reserved).outcome, Outcome::RangeError);
    assert_eq!(meter.shown(all, 0).len(), 16);
    assert_eq!(meter.shown(1 << 15, 0), [(16, "123456".to_owned())]);
}

#[test]
fn a_saved_meter_goes_on_where_it_was() {
    let mut before = meter();
    before.enter(&credit(2_000, 100));
    before.enter(&manage(Management::MaximumPowerLimit(100), 2_001));
    let state = before.state();
    let mut after = meter();
    assert_eq!(after.restore(&state), Ok(()));
    assert_eq!(after.state(), state);
    assert_eq!(after.enter(&credit(2_000, 100)).outcome, Outcome::UsedError);
    assert_eq!((after.balance_tenths(0), after.settings().maximum_power_watts), (100, 100));
    let mut other = VirtualMeter::new(make(), DecoderKey::sta(1));
    assert_eq!(other.restore(&state), Err(StsError::StateMismatch));
    assert_eq!(after.restore(state.get(1..).unwrap()), Err(StsError::StateMalformed));
    let mut long = state.clone();
    long.push(0);
    assert_eq!(after.restore(&long), Err(StsError::StateMalformed));
}
