//! A set of key-change sections, entered in any order.

use super::KeyAttributes;
use crate::attributes::Algorithm;
use crate::keys::DecoderKey;
use crate::reading::Section;
use zeroize::Zeroize;

/// The sections in so far; one entered again replaces the earlier.
#[derive(Default)]
pub(super) struct KeyEntrySet {
    sections: [Option<Section>; 4],
}

impl Drop for KeyEntrySet {
    fn drop(&mut self) {
        for section in self.sections.iter_mut().flatten() {
            match section {
                Section::First { quarter, .. } | Section::Second { quarter, .. } => {
                    quarter.zeroize();
                }
                Section::Third { content } | Section::Fourth { content } => content.zeroize(),
            }
        }
    }
}

pub(super) enum Progress {
    Waiting,
    Complete(Change),
}

pub(super) struct Change {
    pub(super) key: DecoderKey,
    pub(super) attributes: KeyAttributes,
    pub(super) rollover: bool,
}

impl KeyEntrySet {
    pub(super) fn enter(&mut self, section: Section, algorithm: Algorithm) -> Progress {
        if let Some(place) = self.sections.get_mut(usize::from(section.number() - 1)) {
            *place = Some(section);
        }
        match self.change(algorithm) {
            Some(change) => Progress::Complete(change),
            None => Progress::Waiting,
        }
    }

    fn change(&self, algorithm: Algorithm) -> Option<Change> {
        let [first, second, third, fourth] = self.sections;
        let Section::First { ken_high, krn, rollover, three, key_type, quarter: highest } = first?
        else {
            return None;
        };
        let Section::Second { ken_low, ti, quarter: lowest } = second? else {
            return None;
        };
        let content = |section: Option<Section>| match section {
            Some(Section::Third { content } | Section::Fourth { content }) => Some(content),
            _ => None,
        };
        let (key, sgc) = match algorithm {
            Algorithm::Sta => {
                let sgc = if three { content(third)? >> 20 } else { 0 };
                let key = u64::from(highest) << 32 | u64::from(lowest);
                (DecoderKey::sta(key), sgc)
            }
            Algorithm::Misty1 => {
                let (third, fourth) = (content(third)?, content(fourth)?);
                let quarter = |content: u64| u128::from(content & 0xFFFF_FFFF);
                let key = u128::from(highest) << 96
                    | quarter(third) << 64
                    | quarter(fourth) << 32
                    | u128::from(lowest);
                (DecoderKey::misty1(key), fourth >> 32 << 12 | third >> 32)
            }
        };
        let ken = ken_high << 4 | ken_low;
        let sgc = u32::try_from(sgc).unwrap_or_default();
        Some(Change { key, attributes: KeyAttributes { sgc, krn, ti, key_type, ken }, rollover })
    }
}
