//! Attribution data (BOLT 4): every hop adds its hold time and HMACs, so that the origin learns who held or damaged what.

use super::SharedSecret;
use super::keys::{derive, hmac, same, xor_stream};

/// Hops that attribution data covers.
pub const ATTRIBUTED_HOPS_MAX: usize = 20;
/// Bytes of a hold time, and of a truncated HMAC.
const UNIT: usize = 4;
/// A hop adds an HMAC for each place it may have in the route; those for places further down drop out on the way:
/// 20 + 19 + … + 1.
const HMACS: usize = ATTRIBUTED_HOPS_MAX * (ATTRIBUTED_HOPS_MAX + 1) / 2;
/// Bytes of all hold times.
const HOLD_TIMES_BYTES: usize = ATTRIBUTED_HOPS_MAX * UNIT;
/// Bytes of attribution data: hold times, then HMACs.
pub const ATTRIBUTION_BYTES: usize = HOLD_TIMES_BYTES + HMACS * UNIT;

/// The `attribution_data` of `update_fail_htlc` and `update_fulfill_htlc`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attribution(pub [u8; ATTRIBUTION_BYTES]);

impl Default for Attribution {
    /// What the last hop begins with, and a hop whose downstream peer sent none.
    fn default() -> Attribution {
        Attribution([0; _])
    }
}

/// Where the HMACs of the `downstream`-th hop begin, in HMACs; it has one fewer than the hop before.
fn block(downstream: usize) -> usize {
    downstream * ATTRIBUTED_HOPS_MAX - downstream * downstream.saturating_sub(1) / 2
}

/// Range of bytes of HMACs `from..to`.
fn hmacs(from: usize, to: usize) -> std::ops::Range<usize> {
    HOLD_TIMES_BYTES + from * UNIT..HOLD_TIMES_BYTES + to * UNIT
}

impl Attribution {
    /// Adds this hop: call it on what came from downstream (or the default), before sending it upstream.
    ///
    /// `message` is the failure packet before this hop's layer (the sealed one at the hop that fails, `reason` as it
    /// came at the others), empty for a fulfilled payment. The hold time counts units of 100 ms.
    pub fn add_hop(&mut self, shared_secret: &SharedSecret, hold_time: u32, message: &[u8]) {
        self.0.copy_within(..HOLD_TIMES_BYTES - UNIT, UNIT);
        self.0[..UNIT].copy_from_slice(&hold_time.to_be_bytes());
        // The HMACs move one block to the right, where there is room for one fewer: each hop's first HMAC, for the place
        // furthest from the end, cannot be needed any more.
        for downstream in (1..ATTRIBUTED_HOPS_MAX).rev() {
            let len = ATTRIBUTED_HOPS_MAX - downstream;
            let from = block(downstream - 1) + 1;
            self.0.copy_within(hmacs(from, from + len), hmacs(block(downstream), 0).start);
        }
        let um = derive("um", shared_secret);
        for hops_after in 0..ATTRIBUTED_HOPS_MAX {
            let hmac = self.hmac(&um, hops_after, message);
            let at = ATTRIBUTED_HOPS_MAX - 1 - hops_after;
            self.0[hmacs(at, at + 1)].copy_from_slice(&hmac);
        }
        self.crypt(shared_secret);
    }

    /// Takes off the layer of the nearest hop, at the origin: its hold time, if its HMAC fits, and `self` becomes what it
    /// had received from the next hop. `hops_after` counts the hops of the route behind it; `message` is the failure packet
    /// with the same layer taken off.
    pub fn take_hop(&mut self, shared_secret: &SharedSecret, hops_after: usize, message: &[u8]) -> Option<u32> {
        let at = ATTRIBUTED_HOPS_MAX.checked_sub(hops_after + 1)?;
        self.crypt(shared_secret);
        let expected = self.hmac(&derive("um", shared_secret), hops_after, message);
        let hold_time = self.0.first_chunk().copied().map(u32::from_be_bytes);
        let hold_time = hold_time.filter(|_| same(&expected, &self.0[hmacs(at, at + 1)]));

        self.0.copy_within(UNIT..HOLD_TIMES_BYTES, 0);
        self.0[HOLD_TIMES_BYTES - UNIT..HOLD_TIMES_BYTES].fill(0);
        for downstream in 1..ATTRIBUTED_HOPS_MAX {
            let len = ATTRIBUTED_HOPS_MAX - downstream;
            let from = block(downstream);
            let to = block(downstream - 1);
            self.0.copy_within(hmacs(from, from + len), hmacs(to + 1, 0).start);
            self.0[hmacs(to, to + 1)].fill(0);
        }
        hold_time
    }

    fn crypt(&mut self, shared_secret: &SharedSecret) {
        xor_stream(&derive("ammagext", shared_secret), 0, &mut self.0);
    }

    /// The HMAC of the nearest hop if so many hops follow it: over the message, the hold times of all these hops, and the
    /// HMACs that those after it would have added in that place.
    fn hmac(&self, um: &[u8; 32], hops_after: usize, message: &[u8]) -> [u8; UNIT] {
        let hold_times = &self.0[..(hops_after + 1) * UNIT];
        let mut downstream_hmacs = [0; (ATTRIBUTED_HOPS_MAX - 1) * UNIT];
        for (index, slot) in downstream_hmacs.chunks_exact_mut(UNIT).take(hops_after).enumerate() {
            // The hop `index + 1` further down has `hops_after - index - 1` hops after it.
            let at = block(index + 1) + ATTRIBUTED_HOPS_MAX - 1 - hops_after;
            slot.copy_from_slice(&self.0[hmacs(at, at + 1)]);
        }
        let full = hmac(um, &[message, hold_times, &downstream_hmacs[..hops_after * UNIT]]);
        [full[0], full[1], full[2], full[3]]
    }
}
