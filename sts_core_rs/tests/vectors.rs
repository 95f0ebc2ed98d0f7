//! Every known answer of `tests/data/sts_vectors.json`, by the Rust interface.
//!
//! Each expected fact is compared, and each token is decoded again.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that stops is a test that fails"
)]

use serde_json::Value;
use sts_core::cipher::{misty1::Misty1, sta};
use sts_core::key_change::{NewKey, SetSize, key_change, rolls_over};
use sts_core::reading::{self, Meaning};
use sts_core::token::{self, Management, TestForm};
use sts_core::{
    Algorithm, BaseDate, DecoderKey, DecoderKeyName, Derivation, KeyRevision, KeyType, MeterPan,
    StsError, SupplyGroup, TariffIndex, Token, VendingKey, block, crc, derivation, identifier,
};

/// The inputs of one entry.
#[derive(Clone, Copy)]
struct Facts<'a>(&'a Value);

impl<'a> Facts<'a> {
    fn has(self, name: &str) -> bool {
        !self.0[name].is_null()
    }

    fn text(self, name: &str) -> &'a str {
        self.0[name].as_str().unwrap_or_else(|| panic!("needs {name} as text"))
    }

    fn number(self, name: &str) -> u64 {
        match &self.0[name] {
            Value::String(digits) => digits.parse().unwrap(),
            number => number.as_u64().unwrap_or_else(|| panic!("needs {name} as a number")),
        }
    }

    fn hex(self, name: &str) -> u128 {
        u128::from_str_radix(self.text(name).trim_start_matches("0x"), 16).unwrap()
    }

    fn word(self, name: &str) -> u64 {
        self.hex(name).try_into().unwrap()
    }

    fn bytes(self, name: &str) -> Vec<u8> {
        bytes(self.text(name))
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |place: usize| u8::from_str_radix(&hex[place..place + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digit).collect()
}

fn algorithm(facts: Facts) -> Algorithm {
    Algorithm::from_code(facts.number("ea")).unwrap()
}

fn meter(facts: Facts) -> MeterPan {
    let name = if facts.has("meter_pan") { "meter_pan" } else { "iain" };
    MeterPan::parse(facts.text(name)).unwrap()
}

/// The decoder key's name; `side` holds what a key change says of one of its two keys.
fn name(facts: Facts, side: Facts, prefix: &str) -> DecoderKeyName {
    let with = |name: &str| format!("{prefix}{name}");
    DecoderKeyName {
        meter: meter(facts),
        algorithm: algorithm(facts),
        sgc: SupplyGroup::parse(side.text(&with("sgc"))).unwrap(),
        krn: KeyRevision::new(side.number(&with("krn"))).unwrap(),
        ti: TariffIndex::new(side.number(&with("ti"))).unwrap(),
        key_type: KeyType::of_vending_key(side.number(&with("key_type"))).unwrap(),
        base_date: if side.has(&with("base_date")) {
            BaseDate::from_code(side.text(&with("base_date"))).unwrap()
        } else {
            BaseDate::Y2014
        },
    }
}

fn derived(facts: Facts, side: Facts, prefix: &str) -> DecoderKey {
    let name = name(facts, side, prefix);
    if facts.has("pan_block") {
        assert_eq!(u128::from(derivation::pan_block(&name)), facts.hex("pan_block"));
        assert_eq!(u128::from(derivation::control_block(&name)), facts.hex("control_block"));
    }
    if facts.has("kdf_data_block") {
        assert_eq!(derivation::kdf_data(&name).to_vec(), facts.bytes("kdf_data_block"));
    }
    let dkga = Derivation::from_code(facts.text("dkga")).unwrap();
    let vending_key = VendingKey::new(dkga, &side.bytes(&format!("{prefix}vending_key"))).unwrap();
    vending_key.decoder_key(&name).unwrap()
}

fn decoder_key(facts: Facts) -> DecoderKey {
    if !facts.has("vending_key") {
        return DecoderKey::from_bytes(algorithm(facts), &facts.bytes("decoder_key")).unwrap();
    }
    let key = derived(facts, facts, "");
    if facts.has("decoder_key") {
        assert!(key.is(&facts.bytes("decoder_key")), "the given decoder key is not the derived");
    }
    key
}

/// Seconds from 1970 of `YYYY-MM-DD HH:MM`.
fn unix_seconds(text: &str) -> i64 {
    let part = |from: usize, to: usize| text[from..to].parse::<i64>().unwrap();
    let (year, month, day) = (part(0, 4), part(5, 7), part(8, 10));
    // Days of the proleptic Gregorian calendar, counted from a year that begins in March.
    let (year, month) = if month < 3 { (year - 1, month + 9) } else { (year, month - 3) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    (days - 719_468) * 86_400 + part(11, 13) * 3_600 + part(14, 16) * 60
}

fn tid(facts: Facts) -> u32 {
    if facts.has("tid") {
        return facts.number("tid").try_into().unwrap();
    }
    let base = if facts.has("tid_base_date") { "tid_base_date" } else { "base_date" };
    let base = BaseDate::from_code(facts.text(base)).unwrap();
    identifier::token_identifier(unix_seconds(facts.text("issue_time_utc")), base, None).unwrap()
}

/// A decimal number scaled up exactly and rounded towards plus infinity.
fn scaled(text: &str, places: usize) -> i128 {
    let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let kept: String = fraction.chars().chain("0".repeat(places).chars()).take(places).collect();
    let more = fraction.chars().skip(places).any(|digit| digit != '0');
    let number: i128 = format!("{whole}{kept}").parse().unwrap();
    sign * number + i128::from(more && sign == 1)
}

fn money(facts: Facts) -> i128 {
    let name = if facts.has("amount_currency") { "amount_currency" } else { "amount" };
    scaled(facts.text(name), 5)
}

/// The token of an entry of the register family.
fn issued(facts: Facts, key: &DecoderKey) -> Token {
    let class = u8::try_from(facts.number("token_class")).unwrap();
    let subclass = u8::try_from(facts.number("subclass")).unwrap();
    let tid = tid(facts);
    let rnd = || u8::try_from(facts.number("rnd")).unwrap();
    if facts.has("field16") {
        let value = facts.hex("field16").try_into().unwrap();
        return token::register(key, class, subclass, rnd(), tid, value).unwrap();
    }
    if class == 0 && subclass > 3 {
        return token::currency(key, subclass, money(facts), tid).unwrap().token;
    }
    if class == 0 {
        let tenths = facts.number("amount_tenths");
        return token::credit(key, subclass, tenths, tid, rnd()).unwrap().token;
    }
    let value = || facts.number("value");
    let raw = || u16::try_from(value()).unwrap();
    let order = match subclass {
        0 => Management::MaximumPowerLimit(value()),
        1 => Management::ClearCredit(raw()),
        2 => Management::TariffRate(raw()),
        5 => Management::ClearTamper,
        6 => Management::PhasePowerUnbalanceLimit(value()),
        7 => Management::WaterMeterFactor(raw()),
        10 => Management::Extended {
            index: facts.number("index").try_into().unwrap(),
            value: facts.number("value10").try_into().unwrap(),
        },
        other => panic!("no management token of subclass {other}"),
    };
    token::management(key, &order, tid, rnd()).unwrap()
}

fn register_family(facts: Facts, expected: Facts) -> usize {
    let key = decoder_key(facts);
    let token = issued(facts, &key);
    let reading = reading::decode(token, &key).unwrap();
    assert_eq!(u64::from(reading.class), facts.number("token_class"));
    assert_eq!(u64::from(reading.subclass), facts.number("subclass"));
    let (read_tid, nibble, field) = match reading.meaning {
        Meaning::Credit { stamp, field, .. } => (stamp.tid, stamp.rnd, field),
        Meaning::Register { stamp, value } => (stamp.tid, stamp.rnd, value),
        Meaning::Currency { tid, s_and_e, field, .. } => (tid, s_and_e, field),
        other => panic!("decodes to {other:?}"),
    };
    assert_eq!(read_tid, tid(facts));
    let mut seen = token_facts(token, reading.block, expected) + key_fact(&key, expected);
    if expected.has("tid") {
        assert_eq!(u64::from(read_tid), expected.number("tid"));
        seen += 1;
    }
    for name in ["field16", "amount_field"].into_iter().filter(|name| expected.has(name)) {
        assert_eq!(u128::from(field), expected.hex(name));
        seen += 1;
    }
    if expected.has("s_and_e") {
        assert_eq!(u64::from(nibble), expected.number("s_and_e"));
        seen += 1;
    }
    seen
}

/// Compares token, block and check; returns how many of them were expected.
fn token_facts(token: Token, clear: u64, expected: Facts) -> usize {
    let mut seen = 0;
    if expected.has("token") {
        assert_eq!(token.to_string(), expected.text("token"));
        assert_eq!(Token::parse(expected.text("token")), Ok(token));
        seen += 1;
    }
    if expected.has("block") {
        assert_eq!(clear, expected.word("block"));
        seen += 1;
    }
    if expected.has("crc") {
        assert_eq!(clear & 0xFFFF, expected.word("crc"));
        seen += 1;
    }
    seen
}

fn key_fact(key: &DecoderKey, expected: Facts) -> usize {
    if !expected.has("decoder_key") {
        return 0;
    }
    assert!(key.is(&expected.bytes("decoder_key")), "another decoder key");
    1
}

fn meter_test(facts: Facts, expected: Facts) -> usize {
    let subclass = facts.number("subclass").try_into().unwrap();
    let code = ["manufacturer_code_value", "manufacturer_code", "mfr8"];
    let code = code.into_iter().find(|name| facts.has(name)).map(|name| facts.number(name));
    let control = if facts.has("control") { "control" } else { "control36" };
    let control = facts.word(control);
    let form = TestForm::from_subclass(subclass).unwrap();
    let token = token::meter_test(form, control, code.unwrap()).unwrap();
    let reading = reading::decode_meter_test(token).unwrap();
    let meaning =
        Meaning::MeterTest { control, manufacturer_code: code.unwrap().try_into().unwrap() };
    assert_eq!(reading.meaning, meaning);
    token_facts(token, reading.block, expected)
}

fn key_change_set(kind: &str, facts: Facts, expected: Facts) -> usize {
    let nested = facts.has("old");
    let (old, new, prefix) = if nested {
        (Facts(&facts.0["old"]), Facts(&facts.0["new"]), "")
    } else {
        (facts, facts, "new_")
    };
    let (old_name, new_name) = (name(facts, old, ""), name(facts, new, prefix));
    let (old_key, new_key) = (derived(facts, old, ""), derived(facts, new, prefix));
    let rollover = rolls_over(old_name.base_date, new_name.base_date);
    assert_eq!(u64::from(rollover), facts.number("rollover"));
    let size = if facts.has("number_of_tokens") {
        SetSize::from_count(facts.number("number_of_tokens")).unwrap()
    } else if kind == "kct_triplet" {
        SetSize::Three
    } else {
        SetSize::smallest(algorithm(facts))
    };
    let named = NewKey {
        sgc: new_name.sgc,
        krn: new_name.krn,
        ti: new_name.ti,
        key_type: new_name.key_type,
        ken: new.number(&format!("{prefix}ken")).try_into().unwrap(),
    };
    let set = key_change(&old_key, &new_key, &named, rollover, size).unwrap();
    let tokens: Vec<_> = set.tokens().iter().map(ToString::to_string).collect();
    let wanted: Vec<_> =
        expected.0["tokens"].as_array().unwrap().iter().map(|t| t.as_str().unwrap()).collect();
    assert_eq!(tokens, wanted);
    let old_expected = if nested { "old_decoder_key" } else { "decoder_key" };
    assert!(old_key.is(&expected.bytes(old_expected)));
    assert!(new_key.is(&expected.bytes("new_decoder_key")));
    for (token, number) in set.tokens().iter().zip(1_u8..) {
        match reading::decode(*token, &old_key).unwrap().meaning {
            Meaning::KeyChange(section) => assert_eq!(section.number(), number),
            other => panic!("decodes to {other:?}"),
        }
    }
    3
}

fn key_change_section(facts: Facts, expected: Facts) -> usize {
    let key = decoder_key(facts);
    let subclass = facts.number("subclass").try_into().unwrap();
    let content = facts.word("field44");
    let token = token::encrypted(&key, block::MANAGEMENT, subclass, content).unwrap();
    let reading = reading::decode(token, &key).unwrap();
    assert_eq!(block::content(reading.block), content);
    token_facts(token, reading.block, expected)
}

fn cipher_block(kind: &str, facts: Facts, expected: Facts) -> usize {
    let clear = facts.word(if facts.has("block") { "block" } else { "plaintext" });
    let (secret, again) = match kind {
        "ea07_block" | "ea07_sample_tables" => {
            let cipher = if kind == "ea07_block" { &sta::STANDARD } else { &sta::SAMPLE };
            let key = facts.word("key");
            let secret = cipher.encrypt(key, clear);
            (secret, cipher.decrypt(key, secret))
        }
        _ => {
            let cipher = Misty1::new(facts.hex("key"));
            let secret = cipher.encrypt(clear);
            (secret, cipher.decrypt(secret))
        }
    };
    assert_eq!(again, clear);
    if kind != "ea07_sample_tables" {
        assert_eq!(secret, expected.word("ciphertext"));
        return 1;
    }
    let token = Token::new(facts.number("token_class").try_into().unwrap(), secret);
    assert_eq!(secret, expected.word("cipher_block"));
    assert_eq!(token.bits(), expected.hex("token66"));
    assert_eq!(token.to_string(), expected.text("token"));
    3
}

fn check(facts: Facts, expected: Facts) -> usize {
    let data = facts.bytes("bytes");
    assert_eq!(u128::from(crc::crc(&data)), expected.hex("crc"));
    if expected.has("crc_c") {
        assert_eq!(u128::from(crc::crc_c(&data)), expected.hex("crc_c"));
        return 2;
    }
    1
}

fn rejected(facts: Facts, expected: Facts) -> usize {
    let result = Token::parse(facts.text("token"))
        .and_then(|token| reading::decode(token, &decoder_key(facts)));
    let refusal = match expected.text("reject") {
        "format" => StsError::TokenMalformed,
        "out_of_range_66_bits" => StsError::TokenOutOfRange,
        "crc" => StsError::CrcMismatch,
        other => panic!("no refusal called {other}"),
    };
    assert_eq!(result, Err(refusal));
    1
}

/// Checks one entry and returns how many of its expected facts were compared.
fn compared(kind: &str, facts: Facts, expected: Facts) -> usize {
    match kind {
        "key" => key_fact(&derived(facts, facts, ""), expected),
        "credit"
        | "credit_from_decoder_key"
        | "management"
        | "currency"
        | "currency_credit"
        | "mpl"
        | "mppul"
        | "register"
        | "pad"
        | "rate"
        | "wmf"
        | "extended" => register_family(facts, expected),
        "class1" | "class1_sub2" => meter_test(facts, expected),
        "key_change" | "kct" | "kct_triplet" => key_change_set(kind, facts, expected),
        "key_change_section" => key_change_section(facts, expected),
        "ea07_block" | "ea07_sample_tables" | "misty1" | "misty1_block" => {
            cipher_block(kind, facts, expected)
        }
        "crc" => check(facts, expected),
        "amount_field" => {
            let amount = sts_core::encode_amount(facts.number("amount_tenths")).unwrap();
            assert_eq!(u128::from(amount.field), expected.hex("field16"));
            1
        }
        "currency_field" => {
            let amount = sts_core::encode_currency(money(facts)).unwrap();
            assert_eq!(u64::from(amount.s_and_e), expected.number("s_and_e"));
            assert_eq!(u128::from(amount.field), expected.hex("amount_field"));
            2
        }
        "tid" => {
            assert_eq!(u64::from(tid(facts)), expected.number("tid"));
            1
        }
        "drn_luhn" => {
            let valid = sts_core::meter::drn_is_valid(facts.text("drn"));
            assert_eq!(Some(valid), expected.0["valid"].as_bool());
            1
        }
        "decode_reject" => rejected(facts, expected),
        other => panic!("unknown kind {other}"),
    }
}

#[test]
fn every_known_answer_is_reproduced() {
    let vectors: Value = serde_json::from_str(include_str!("data/sts_vectors.json")).unwrap();
    let mut count = 0;
    for list in ["published", "computed"] {
        for entry in vectors[list].as_array().unwrap() {
            let (id, kind) = (entry["id"].as_str().unwrap(), entry["kind"].as_str().unwrap());
            let facts = (Facts(&entry["inputs"]), Facts(&entry["expected"]));
            let seen = std::panic::catch_unwind(|| compared(kind, facts.0, facts.1))
                .unwrap_or_else(|_| panic!("{id} ({kind}) is not reproduced"));
            assert_eq!(seen, entry["expected"].as_object().unwrap().len(), "facts left out: {id}");
            count += 1;
        }
    }
    assert_eq!(count, 617);
}
