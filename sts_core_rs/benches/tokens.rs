//! Tokens a second on one core: derive and issue, issue with a ready key, decode; single calls and
//! batches of 4096 meters; EA07 and EA11 under DKGA04. Each figure is the best of several rounds.
//!
//! `cargo bench` prints a table; `cargo bench -- --check` fails when a floor is missed.

#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and may stop"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};
use sts_core::ring::{KeyEntry, MeterKey, issue_with_key};
use sts_core::{
    Algorithm, BaseDate, CreditOrder, DecoderKey, Derivation, KeyRevision, KeyRing, KeyType,
    MeterPan, SupplyGroup, TariffIndex, Token, decode,
};

const BATCH: u32 = 4096;
/// Many short rounds, so that the best of them was not interrupted.
const ROUNDS: u32 = 250;
const ROUND_MIN: Duration = Duration::from_millis(2);

/// Tokens a second below which the core is too slow, in batch.
const DERIVE_FLOOR: f64 = 1.0e6;
const READY_FLOOR: f64 = 2.5e6;

fn ring() -> KeyRing {
    let mut ring = KeyRing::new();
    let entry = KeyEntry {
        sgc: SupplyGroup::parse("201457").unwrap(),
        krn: KeyRevision::new(1).unwrap(),
        key_type: KeyType::Unique,
        derivation: Derivation::Dkga04,
        base_date: BaseDate::Y2014,
        ken: 255,
    };
    ring.load(entry, &[0x5A; 20], None).unwrap();
    ring
}

fn orders(algorithm: Algorithm) -> Vec<CreditOrder> {
    let order = |number: u32| {
        let front = format!("{:010}", 1_234_567_890_u64 + u64::from(number) * 7919);
        let check = sts_core::meter::drn_check_digit(&front).unwrap();
        CreditOrder {
            to: MeterKey {
                meter: MeterPan::parse(&format!("{front}{check}")).unwrap(),
                algorithm,
                sgc: SupplyGroup::parse("201457").unwrap(),
                krn: KeyRevision::new(1).unwrap(),
                ti: TariffIndex::new(1).unwrap(),
            },
            subclass: 0,
            tenths: u64::from(number) * 37 % 90_000 + 1,
            tid: 6_000_000 + number,
            rnd: 5,
        }
    };
    (0..BATCH).map(order).collect()
}

/// Best rate of `work`, which handles `items` each time.
fn rate(items: u32, mut work: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let (start, mut times) = (Instant::now(), 0_u32);
        while start.elapsed() < ROUND_MIN {
            work();
            times += 1;
        }
        best = best.min(start.elapsed().as_secs_f64() / f64::from(times));
    }
    f64::from(items) / best
}

fn main() {
    let check = std::env::args().any(|argument| argument == "--check");
    let mut slow = false;
    let mut row = |name: &str, rate: f64, floor: Option<f64>| {
        let missed = floor.is_some_and(|floor| rate < floor);
        slow |= missed;
        println!("{name:<34}{rate:>12.0} /s{}", if missed { "  below its floor" } else { "" });
    };
    let ring = ring();
    for (name, algorithm) in [("EA07", Algorithm::Sta), ("EA11", Algorithm::Misty1)] {
        let orders = orders(algorithm);
        let keys: Vec<DecoderKey> =
            orders.iter().map(|order| ring.decoder_key(&order.to, None).unwrap()).collect();
        let tokens: Vec<Token> =
            ring.issue_credits(&orders).into_iter().map(|made| made.unwrap().token).collect();

        let mut digits = vec![[0_u8; 20]; orders.len()];
        let derived = rate(BATCH, || {
            for (place, order) in digits.iter_mut().zip(black_box(&orders)) {
                *place = ring.issue_credit(order).unwrap().token.digits();
            }
            black_box(&digits);
        });
        row(&format!("{name} derive and issue, batch"), derived, Some(DERIVE_FLOOR));
        let ready = rate(BATCH, || {
            for ((place, order), key) in digits.iter_mut().zip(black_box(&orders)).zip(&keys) {
                let made = issue_with_key(key, 0, order.tenths, order.tid, order.rnd);
                *place = made.unwrap().token.digits();
            }
            black_box(&digits);
        });
        row(&format!("{name} issue, ready key, batch"), ready, Some(READY_FLOOR));
        let read = rate(BATCH, || {
            for (token, key) in black_box(&tokens).iter().zip(&keys) {
                let _ = black_box(decode(*token, key));
            }
        });
        row(&format!("{name} decode, ready key, batch"), read, None);
        let (order, key, token) = (&orders[0], &keys[0], tokens[0]);
        let single = rate(1, || {
            let _ = black_box(ring.issue_credit(black_box(order)));
        });
        row(&format!("{name} derive and issue, single"), single, None);
        let single = rate(1, || {
            let _ = black_box(decode(black_box(token), key));
        });
        row(&format!("{name} decode, single"), single, None);
    }
    if check && slow {
        std::process::exit(1);
    }
}
