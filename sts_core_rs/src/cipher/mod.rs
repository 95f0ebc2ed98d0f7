//! The two block ciphers of a token's 64 bits.

pub mod misty1;
pub mod sta;
pub mod tables;
