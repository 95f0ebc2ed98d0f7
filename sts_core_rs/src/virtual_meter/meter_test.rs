//! Tests and displays (class 1): what the meter shows of itself.

use super::{Outcome, VirtualMeter};
use crate::attributes::Algorithm;

/// Tests and displays of class 1 that this meter has.
const TESTS: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15, 16, 17, 18];

impl VirtualMeter {
    /// What each test shows: its number and a line of text.
    pub fn shown(&self, control: u64, subclass: u8) -> Vec<(u8, String)> {
        let all = control == all_tests(subclass);
        TESTS
            .iter()
            .filter(|&&test| all || control >> (test - 1) & 1 == 1)
            .map(|&test| (test, self.display(test)))
            .collect()
    }

    fn display(&self, test: u8) -> String {
        let key = self.attributes;
        match test {
            3 => self.balance_tenths(self.counted_subclass()).to_string(),
            4 => key.krn.to_string(),
            5 => format!("{:02}", key.ti),
            7 => self.settings.maximum_power_watts.to_string(),
            8 => String::from(if self.settings.tampered { "tampered" } else { "sound" }),
            11 => self.settings.phase_unbalance_watts.to_string(),
            14 => format!("{:02}", self.key.algorithm().code()),
            15 => String::from(if self.key.algorithm() == Algorithm::Sta { "3" } else { "4" }),
            16 => format!("{:06}", key.sgc),
            17 => key.ken.to_string(),
            18 => String::from(self.make.meter.drn()),
            _ => String::from("good"),
        }
    }

    pub(super) fn test(&self, subclass: u8, control: u64, manufacturer_code: u16) -> Outcome {
        if manufacturer_code != 0 && manufacturer_code != self.make.meter.manufacturer_code() {
            return Outcome::MfrCodeError;
        }
        let known = TESTS.iter().fold(0_u64, |bits, test| bits | 1 << (test - 1));
        // A read of control value 0 or of a flag (subclass 2) shows what the extended set holds.
        if subclass == 2
            || control == all_tests(subclass)
            || (control != 0 && control & !known == 0)
        {
            Outcome::Accept
        } else {
            Outcome::RangeError
        }
    }
}

/// The control field that runs every test.
fn all_tests(subclass: u8) -> u64 {
    if subclass == 1 { (1 << 28) - 1 } else { (1 << 36) - 1 }
}
