//! What a meter answers to twenty digits.

use crate::reading::{Meaning, Reading};

macro_rules! outcomes {
    ($( $(#[$doc:meta])* $name:ident = $text:literal; )*) => {
        /// The meter's answer, in the words of the standard.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Outcome { $( $(#[$doc])* $name, )* }

        impl Outcome {
            /// The word that the standard uses.
            pub fn text(self) -> &'static str {
                match self { $( Self::$name => $text, )* }
            }
        }
    };
}

outcomes! {
    /// Obeyed.
    Accept = "Accept";
    /// A first section is in; others are missing.
    FirstSection = "1stKCT";
    /// A second section is in; others are missing.
    SecondSection = "2ndKCT";
    /// A third section is in; others are missing.
    ThirdSection = "3rdKCT";
    /// A fourth section is in; others are missing.
    FourthSection = "4thKCT";
    /// Not twenty digits, above 66 bits, or of the reserved class.
    FormatError = "FormatError";
    /// Damaged, or made for another key.
    CrcError = "CRCError";
    /// A test for another make.
    MfrCodeError = "MfrCodeError";
    /// Credit while the meter has a default key.
    DdtkError = "DDTKError";
    /// Made after the key expired.
    KeyExpiredError = "KeyExpiredError";
    /// Older than everything the meter remembers.
    OldError = "OldError";
    /// Entered before.
    UsedError = "UsedError";
    /// The register has no room; the token may be entered again later.
    OverflowError = "OverflowError";
    /// A value that this meter does not have.
    RangeError = "RangeError";
    /// A function that this meter does not have.
    FunctionError = "FunctionError";
    /// A key of a forbidden kind.
    KeyTypeError = "KeyTypeError";
}

impl Outcome {
    pub(super) fn section(number: u8) -> Self {
        match number {
            1 => Self::FirstSection,
            2 => Self::SecondSection,
            3 => Self::ThirdSection,
            _ => Self::FourthSection,
        }
    }
}

/// The meter's answer and what it read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acceptance {
    /// The answer.
    pub outcome: Outcome,
    /// What the token said, if it could be read.
    pub reading: Option<Reading>,
}

impl Acceptance {
    pub(super) fn refused(outcome: Outcome) -> Self {
        Self { outcome, reading: None }
    }

    pub(super) fn of(reading: &Reading) -> Self {
        Self { outcome: Outcome::Accept, reading: Some(*reading) }
    }

    pub(super) fn with(self, outcome: Outcome) -> Self {
        Self { outcome, ..self }
    }

    /// The token's identifier, if it has one.
    pub fn tid(&self) -> Option<u32> {
        match self.reading?.meaning {
            Meaning::Credit { stamp, .. } | Meaning::Register { stamp, .. } => Some(stamp.tid),
            Meaning::Currency { tid, .. } => Some(tid),
            _ => None,
        }
    }
}
