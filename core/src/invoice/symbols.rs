//! Symbols of 5 bits, and the bech32 string around them without its limit of 90 characters (BOLT 11, encoding).

use bech32::primitives::checksum::Engine;
use bech32::{Bech32, Checksum, Fe32, Hrp};

/// Symbols of a checksum.
const CHECKSUM_SYMBOLS: usize = Bech32::CHECKSUM_LENGTH;

/// Appends bytes as symbols; the last one is padded with zero bits.
pub(super) fn push_bytes(symbols: &mut Vec<u8>, bytes: &[u8]) {
    let mut held = 0_u16;
    let mut bits = 0;
    for byte in bytes {
        held = held << 8 | u16::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            symbols.push((held >> bits & 31) as u8);
        }
    }
    if bits > 0 {
        symbols.push((held << (5 - bits) & 31) as u8);
    }
}

/// Appends a number in a fixed number of symbols, most significant first.
pub(super) fn push_number(symbols: &mut Vec<u8>, value: u64, len: usize) {
    symbols.extend((0..len).rev().map(|index| (value.checked_shr(5 * index as u32).unwrap_or(0) & 31) as u8));
}

/// How many symbols a number takes.
pub(super) fn number_len(value: u64) -> usize {
    (64 - value.leading_zeros() as usize).div_ceil(5)
}

/// The whole bytes in symbols; the bits left over are padding.
pub(super) fn to_bytes(symbols: &[u8]) -> Vec<u8> {
    let mut bytes = to_padded_bytes(symbols);
    bytes.truncate(symbols.len() * 5 / 8);
    bytes
}

/// The bytes in symbols, the last one padded with zero bits: this is what an invoice's signature covers.
pub(super) fn to_padded_bytes(symbols: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(symbols.len() * 5 / 8 + 1);
    let mut held = 0_u16;
    let mut bits = 0;
    for symbol in symbols {
        held = held << 5 | u16::from(*symbol);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits) as u8);
        }
    }
    if bits > 0 {
        bytes.push((held << (8 - bits)) as u8);
    }
    bytes
}

/// A number in symbols; `None` past 64 bits.
pub(super) fn to_number(symbols: &[u8]) -> Option<u64> {
    symbols.iter().try_fold(0_u64, |value, symbol| (value >> 59 == 0).then_some(value << 5 | u64::from(*symbol)))
}

/// The value of a character of bech32, either case.
pub(super) fn from_char(character: char) -> Option<u8> {
    Fe32::from_char(character).ok().map(Fe32::to_u8)
}

/// Feeds the checksum, which the crate's own reader would only check up to its limit.
fn engine(prefix: Hrp, symbols: &[u8]) -> Engine<Bech32> {
    let mut engine = Engine::new();
    engine.input_hrp(prefix);
    symbols.iter().for_each(|symbol| engine.input_fe(fe32(*symbol)));
    engine
}

fn fe32(symbol: u8) -> Fe32 {
    Fe32::try_from(symbol).expect("symbols have 5 bits")
}

/// Takes the checksum off, if it is that of prefix and symbols.
pub(super) fn strip_checksum<'a>(prefix: &str, symbols: &'a [u8]) -> Option<&'a [u8]> {
    let prefix = Hrp::parse(prefix).ok()?;
    let data = symbols.len().checked_sub(CHECKSUM_SYMBOLS)?;
    (*engine(prefix, symbols).residue() == Bech32::TARGET_RESIDUE).then_some(&symbols[..data])
}

/// The whole string.
pub(super) fn to_string(prefix: &str, symbols: &[u8]) -> String {
    let hrp = Hrp::parse(prefix).expect("a currency and a number are a valid prefix");
    let mut engine = engine(hrp, symbols);
    engine.input_target_residue();
    let residue = *engine.residue();
    let checksum = (0..CHECKSUM_SYMBOLS).rev().map(|index| (residue >> (5 * index) & 31) as u8);
    let mut text = String::with_capacity(prefix.len() + 1 + symbols.len() + CHECKSUM_SYMBOLS);
    text.push_str(prefix);
    text.push('1');
    text.extend(symbols.iter().copied().chain(checksum).map(|symbol| fe32(symbol).to_char()));
    text
}
