//! Decoder key generation (clause 6.5.3): the data blocks of DKGA02 and DKGA04, and the meters
//! whose keys come from the disputed DKGA01. The secret half is in [`crate::keys`].

use crate::attributes::{Algorithm, DecoderKeyName, KeyType};

/// `PANBlock`: digits 2 to 17 of the meter PAN, packed two a byte; a common key has no meter in it.
pub fn pan_block(name: &DecoderKeyName) -> u64 {
    let digits = name.meter.ascii();
    let issuer_ends = name.meter.iin().len();
    digits.iter().enumerate().skip(1).take(16).fold(0, |block, (place, digit)| {
        let common = name.key_type == KeyType::Common && place >= issuer_ends;
        block << 4 | if common { 0 } else { u64::from(digit & 15) }
    })
}

/// `CONTROLBlock`: KT, SGC, TI and KRN as hexadecimal digits, then FFFFFF.
pub fn control_block(name: &DecoderKeyName) -> u64 {
    let sgc = name.sgc.ascii().iter().fold(0, |block, digit| block << 4 | u64::from(digit & 15));
    let ti = name.ti.ascii().iter().fold(0, |block, digit| block << 4 | u64::from(digit & 15));
    u64::from(name.key_type.code()) << 60
        | sgc << 36
        | ti << 28
        | u64::from(name.krn.number()) << 24
        | 0x00FF_FFFF
}

/// Length of the data that DKGA04 authenticates.
pub const KDF_DATA_LENGTH: usize = 49;

/// The data block of DKGA04 (NIST SP 800-108 in feedback mode): four labelled fields, a zero,
/// four fields of context, and the length of the key in bits.
#[inline]
pub fn kdf_data(name: &DecoderKeyName) -> [u8; KDF_DATA_LENGTH] {
    let [bdt_tens, bdt_ones] = name.base_date.ascii();
    let [ea_tens, ea_ones] = name.algorithm.ascii();
    let [ti_tens, ti_ones] = name.ti.ascii();
    let key_type = b'0' + name.key_type.code();
    let krn = b'0' + name.krn.number();
    let mut data = [0; KDF_DATA_LENGTH];
    let (head, rest) = data.split_at_mut(15);
    head.copy_from_slice(&[
        4, 2, b'0', b'4', 2, bdt_tens, bdt_ones, 2, ea_tens, ea_ones, 2, ti_tens, ti_ones, 0, 4,
    ]);
    let (group, rest) = rest.split_at_mut(7);
    let [group_length, group_digits @ ..] = group else {
        return data;
    };
    *group_length = 6;
    group_digits.copy_from_slice(&name.sgc.ascii());
    let (kinds, rest) = rest.split_at_mut(5);
    kinds.copy_from_slice(&[1, key_type, 1, krn, 18]);
    let (pan, bits) = rest.split_at_mut(18);
    pan.copy_from_slice(&name.meter.ascii());
    bits.copy_from_slice(&name.algorithm.key_bits().to_be_bytes());
    data
}

/// DRNs, without their check digit, whose keys of revision 1 are made by DKGA01.
const DKGA01_METERS: [(u64, u64); 9] = [
    (1_000_000_000, 1_004_999_999),
    (1_090_000_000, 1_090_004_999),
    (3_000_000_000, 3_114_000_009),
    (4_000_000_000, 4_059_999_999),
    (6_010_000_000, 6_039_999_999),
    (6_400_000_000, 6_419_999_999),
    (6_660_000_000, 6_699_999_999),
    (6_990_000_010, 6_990_009_999),
    (7_000_000_000, 7_020_999_999),
];

/// Whether a meter under a 64-bit vending key belongs to DKGA01, which nobody can vend for.
pub fn belongs_to_dkga01(name: &DecoderKeyName) -> bool {
    if name.meter.iin() != "600727" || name.krn.number() != 1 || name.algorithm != Algorithm::Sta {
        return false;
    }
    if name.key_type == KeyType::Common {
        return matches!(name.sgc.number(), 100_702 | 990_400..=990_405);
    }
    let serial = name.meter.drn().bytes().take(10).fold(0, |n, d| n * 10 + u64::from(d & 15));
    DKGA01_METERS.iter().any(|&(first, last)| (first..=last).contains(&serial))
}
