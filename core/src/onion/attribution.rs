//! Who spoilt or delayed an answer (BOLT 4, attribution data): each node on the way adds how long it held the HTLC,
//! and authenticates that with all that it got from the node behind it.
//!
//! No node knows how far it is from the end of the route, so it makes one code for each possible distance; the sender
//! knows, and checks that one. The data are 20 hold times, own first, and 20 blocks of codes: own codes for 19, 18 … 0
//! hops behind, then those of the next node, of which one fewer can matter, and so on.

use bitcoin::hashes::Hash;
use bitcoin::hashes::cmp::fixed_time_eq;

use super::crypto::{Purpose, mac};
use super::returned::rewrap;

/// The length of a route, at most.
const HOPS_MAX: usize = 20;

/// A hold time, and a truncated code.
const WORD: usize = 4;

/// All hold times.
const TIMES_SIZE: usize = HOPS_MAX * WORD;

/// All that `attribution_data` holds.
pub const ATTRIBUTION_SIZE: usize = TIMES_SIZE + HOPS_MAX * (HOPS_MAX + 1) / 2 * WORD;

/// What goes with an answer, be it a failure or a preimage.
pub type Attribution = [u8; ATTRIBUTION_SIZE];

/// Where the codes of the node `behind` begin.
fn block(behind: usize) -> usize {
    TIMES_SIZE + (behind * HOPS_MAX - behind * behind.saturating_sub(1) / 2) * WORD
}

/// The code that a node makes which has `distance` hops behind it. Of each of those it covers the one code that is
/// right at the same length of the route.
fn code(um: &[u8; 32], answer: &[u8], data: &Attribution, distance: usize) -> [u8; WORD] {
    let at = (HOPS_MAX - 1 - distance) * WORD;
    let mut codes = [0; TIMES_SIZE];
    for (behind, word) in (1..=distance).zip(codes.chunks_exact_mut(WORD)) {
        let from = block(behind) + at;
        word.copy_from_slice(&data[from..from + WORD]);
    }
    let code = mac(um, &[answer, &data[..(distance + 1) * WORD], &codes[..distance * WORD]]);
    *code.as_byte_array().first_chunk().expect("a hash is longer")
}

/// What a node sends along. `answer` is the `reason` before this node hides it: as it came from the node behind, or,
/// at the failing node, `rewrap` of what `wrap` made. It is empty with a preimage. `behind` are the data that came
/// from the node behind, if any did. BOLT 4 counts hold times in 100 ms.
pub fn attribute(
    shared_secret: &[u8; 32],
    answer: &[u8],
    behind: Option<&Attribution>,
    hold_time_100ms: u32,
) -> Box<Attribution> {
    let mut data = Box::new(behind.copied().unwrap_or([0; ATTRIBUTION_SIZE]));
    data.copy_within(..TIMES_SIZE - WORD, WORD);
    data[..WORD].copy_from_slice(&hold_time_100ms.to_be_bytes());
    // Every node moves one away from us, and its code for the greatest distance cannot be right any more.
    for from in (0..HOPS_MAX - 1).rev() {
        data.copy_within(block(from) + WORD..block(from + 1), block(from + 1));
    }
    let um = Purpose::Um.key(shared_secret);
    for distance in 0..HOPS_MAX {
        let at = block(0) + (HOPS_MAX - 1 - distance) * WORD;
        let code = code(&um, answer, &data, distance);
        data[at..at + WORD].copy_from_slice(&code);
    }
    Purpose::AmmagExt.apply(shared_secret, &mut *data);
    data
}

/// The hold times that the sender finds, first hop first, up to the first whose code is wrong: if they end before the
/// failing (or last) hop, then the last of them or the one behind it lies. `answer` is the `reason` that came, or
/// empty with a preimage. Hops behind a failing one have no code that is right.
pub fn hold_times(shared_secrets: &[[u8; 32]], answer: &[u8], data: &Attribution) -> Vec<u32> {
    let mut times = Vec::new();
    let (mut answer, mut data) = (answer.to_vec(), Box::new(*data));
    for (hop, secret) in shared_secrets.iter().enumerate() {
        let distance = shared_secrets.len() - 1 - hop;
        if distance >= HOPS_MAX {
            break;
        }
        answer = rewrap(secret, &answer);
        Purpose::AmmagExt.apply(secret, &mut *data);
        let expected = code(&Purpose::Um.key(secret), &answer, &data, distance);
        let at = block(0) + (HOPS_MAX - 1 - distance) * WORD;
        if !fixed_time_eq(&expected, &data[at..at + WORD]) {
            break;
        }
        times.push(u32::from_be_bytes(*data.first_chunk().expect("there are hold times")));
        // What the node behind sent: our step back.
        data.copy_within(WORD..TIMES_SIZE, 0);
        data[TIMES_SIZE - WORD..TIMES_SIZE].fill(0);
        for to in 0..HOPS_MAX - 1 {
            data.copy_within(block(to + 1)..block(to + 2), block(to) + WORD);
            data[block(to)..block(to) + WORD].fill(0);
        }
        data[block(HOPS_MAX - 1)..].fill(0);
    }
    times
}
