//! The amount in the prefix of an invoice (BOLT 11, human-readable part).

use super::InvoiceError;
use crate::amount::{MONEY_MAX, Msat};

/// Letters and what one unit of each is worth, in tenths of a millisatoshi (`p`, a millionth of a millionth of a bitcoin).
const MULTIPLIERS: [(&str, u64); 5] =
    [("", 1_000_000_000_000), ("m", 1_000_000_000), ("u", 1_000_000), ("n", 1_000), ("p", 1)];

/// Reads what stands behind the currency.
pub(super) fn parse(text: &str) -> Result<Option<Msat>, InvoiceError> {
    if text.is_empty() {
        return Ok(None);
    }
    let bad = || InvoiceError::Amount { amount: text.to_owned() };
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let (_, unit) = MULTIPLIERS.into_iter().find(|(letter, _)| *letter == &text[digits.len()..]).ok_or_else(bad)?;
    if digits.is_empty() || digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad());
    }
    let pico =
        digits.parse::<u64>().ok().and_then(|number| u128::from(number).checked_mul(unit.into())).ok_or_else(bad)?;
    // BOLT 11: with `p` the last digit must be 0, for a channel moves no tenths of a millisatoshi.
    if pico % 10 != 0 {
        return Err(InvoiceError::SubMillisatoshi { amount: text.to_owned() });
    }
    let amount = u64::try_from(pico / 10).map(Msat).map_err(|_| bad())?;
    check(amount).map(|()| Some(amount))
}

/// Sums of amounts are ours to make, so none may come from outside that is beyond all money.
pub(super) fn check(amount: Msat) -> Result<(), InvoiceError> {
    if amount > MONEY_MAX.to_msat() { Err(InvoiceError::TooMuch { amount }) } else { Ok(()) }
}

/// Appends the shortest form.
pub(super) fn write(amount: Msat, out: &mut String) {
    let pico = u128::from(amount.0) * 10;
    let (letter, unit) = MULTIPLIERS
        .into_iter()
        .find(|(_, unit)| pico % u128::from(*unit) == 0)
        .expect("the last multiplier is 1, which divides everything");
    out.push_str(&(pico / u128::from(unit)).to_string());
    out.push_str(letter);
}
