//! Payments to us: parts are held until their sum is there, then all are claimed in one turn, or none is.
//!
//! Nothing of this is in rows. A part that is held is an HTLC of its channel, and a restart hands every such HTLC in
//! again; a claim is written with each HTLC's removal, so it is known for all parts or for none. Only that the payment
//! of a hold invoice was whole is a row of that invoice: from then on its parts stand and fall together, and no part
//! of it is judged again.

use std::collections::BTreeMap;

use crate::amount::Msat;
use crate::clock::Mono;
use crate::ids::{BlockHeight, ChannelKey, HtlcId, PaymentHash};
use crate::limits::FULFILLED_DEADLINE_BLOCKS;
use crate::timer::Timers;

/// One HTLC that is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct HeldPart {
    /// On which channel.
    pub channel: ChannelKey,
    /// Which.
    pub id: HtlcId,
    /// What it carries.
    pub amount: Msat,
    /// When it times out.
    pub cltv_expiry: u32,
}

/// The parts of one payment so far.
#[derive(Clone, Debug, bincode::Encode, bincode::Decode)]
struct Set {
    total: Msat,
    parts: Vec<HeldPart>,
}

impl Set {
    fn received(&self) -> Msat {
        self.parts.iter().map(|part| part.amount).sum()
    }
}

/// At this height parts that are held whole go back: with fewer blocks left a claim could not be carried through.
pub fn settle_before(parts: &[HeldPart]) -> Option<BlockHeight> {
    let first = parts.iter().map(|part| part.cltv_expiry).min()?;
    Some(BlockHeight(first.saturating_sub(FULFILLED_DEADLINE_BLOCKS)))
}

/// All payments to us that are not complete, and those that wait for a client's word.
#[derive(Debug, Default, bincode::Encode, bincode::Decode)]
pub struct Incoming {
    sets: BTreeMap<PaymentHash, Set>,
    /// Whole payments of hold invoices.
    accepted: BTreeMap<PaymentHash, Vec<HeldPart>>,
    timers: Timers<PaymentHash>,
}

/// What the onion of a part says, as far as it concerns the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartTerms {
    /// BOLT 4 `amt_to_forward`.
    pub amt_to_forward: Msat,
    /// BOLT 4 `outgoing_cltv_value`.
    pub outgoing_cltv_value: u32,
    /// BOLT 4 `total_msat`.
    pub total: Msat,
}

/// What the invoice asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvoiceTerms {
    /// Its amount, if it names one.
    pub amount: Option<Msat>,
    /// Its `min_final_cltv_expiry_delta`.
    pub final_cltv_delta: u32,
}

/// Why a part is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// BOLT 4 `final_incorrect_htlc_amount`: the last forwarder kept money back.
    Amount,
    /// BOLT 4 `final_incorrect_cltv_expiry`: the last forwarder kept time back.
    Expiry,
    /// BOLT 4 `incorrect_or_unknown_payment_details`: whatever else. One answer for all, so that nobody can probe.
    Details,
}

/// What becomes of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// More is to come, or the part is one of a payment that waits for a client's word.
    Hold,
    /// This part is all of it: the same as [`Verdict::Claim`] with it alone.
    Whole,
    /// The sum is there: claim all of these, or [`Incoming::accept`] them.
    Claim {
        /// Every part.
        parts: Vec<HeldPart>,
        /// Their sum.
        received: Msat,
    },
    /// Not this one.
    Refuse(Refused),
}

/// BOLT 4, payload format and basic multi-part payments: may this part be accepted at all?
fn check(part: &HeldPart, terms: &PartTerms, invoice: &InvoiceTerms, height: BlockHeight) -> Result<(), Refused> {
    if part.amount < terms.amt_to_forward {
        return Err(Refused::Amount);
    }
    if part.cltv_expiry < terms.outgoing_cltv_value {
        return Err(Refused::Expiry);
    }
    // The next block may come while the claim is under way, so the delta counts from the present tip.
    if part.cltv_expiry < height.0.saturating_add(invoice.final_cltv_delta) {
        return Err(Refused::Details);
    }
    if let Some(amount) = invoice.amount {
        let too_much = amount.0.saturating_mul(2);
        if terms.total < amount || terms.total.0 > too_much {
            return Err(Refused::Details);
        }
    }
    Ok(())
}

impl Incoming {
    /// A part for an invoice of ours that is open, with the right secret.
    pub fn part(
        &mut self,
        payment_hash: PaymentHash,
        part: HeldPart,
        terms: PartTerms,
        invoice: InvoiceTerms,
        height: BlockHeight,
        deadline: Mono,
    ) -> Verdict {
        if let Some(parts) = self.accepted.get(&payment_hash) {
            let is_known = parts.iter().any(|held| (held.channel, held.id) == (part.channel, part.id));
            return if is_known { Verdict::Hold } else { Verdict::Refuse(Refused::Details) };
        }
        if let Err(refused) = check(&part, &terms, &invoice, height) {
            return Verdict::Refuse(refused);
        }
        if part.amount >= terms.total && !self.sets.contains_key(&payment_hash) {
            return Verdict::Whole;
        }
        let set = self.sets.entry(payment_hash).or_insert_with(|| Set { total: terms.total, parts: Vec::new() });
        // BOLT 4: total_msat must be the same in every part.
        if set.total != terms.total {
            return Verdict::Refuse(Refused::Details);
        }
        if set.parts.is_empty() {
            self.timers.set(payment_hash, deadline);
        }
        // A restart or a reconnection may hand a part in twice.
        if !set.parts.iter().any(|held| (held.channel, held.id) == (part.channel, part.id)) {
            set.parts.push(part);
        }
        if set.received() < set.total {
            return Verdict::Hold;
        }
        let set = self.sets.remove(&payment_hash).expect("it was just there");
        self.timers.clear(payment_hash);
        Verdict::Claim { received: set.received(), parts: set.parts }
    }

    /// These parts are a whole payment, which waits for a client's word.
    pub fn accept(&mut self, payment_hash: PaymentHash, parts: Vec<HeldPart>) {
        self.accepted.insert(payment_hash, parts);
    }

    /// The parts of a payment that waits for a client's word.
    pub fn accepted(&self, payment_hash: PaymentHash) -> Option<&[HeldPart]> {
        self.accepted.get(&payment_hash).map(Vec::as_slice)
    }

    /// The payments that wait for a client's word and cannot any longer at this height.
    pub fn overdue(&self, height: BlockHeight) -> Vec<PaymentHash> {
        let late = |parts: &[HeldPart]| settle_before(parts).is_none_or(|before| before <= height);
        self.accepted.iter().filter(|(_, parts)| late(parts)).map(|(payment_hash, _)| *payment_hash).collect()
    }

    /// The payments that wait for a client's word and have a part on this channel.
    pub fn accepted_on(&self, channel: ChannelKey) -> Vec<PaymentHash> {
        let on = |parts: &[HeldPart]| parts.iter().any(|part| part.channel == channel);
        self.accepted.iter().filter(|(_, parts)| on(parts)).map(|(payment_hash, _)| *payment_hash).collect()
    }

    /// Takes all parts of the payments that wait for more of them and have one on this channel.
    pub fn take_with(&mut self, channel: ChannelKey) -> Vec<HeldPart> {
        let on = |set: &Set| set.parts.iter().any(|part| part.channel == channel);
        let hashes: Vec<PaymentHash> =
            self.sets.iter().filter(|(_, set)| on(set)).map(|(payment_hash, _)| *payment_hash).collect();
        hashes.into_iter().flat_map(|payment_hash| self.take(payment_hash)).collect()
    }

    /// How many payments wait, for more parts or for a client's word.
    pub fn len(&self) -> usize {
        self.sets.len() + self.accepted.len()
    }

    /// Is none of them waiting?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes one payment whose parts have not come in time (BOLT 4 `mpp_timeout`).
    pub fn pop_late(&mut self, now: Mono) -> Option<Vec<HeldPart>> {
        let payment_hash = self.timers.pop_due(now)?;
        self.sets.remove(&payment_hash).map(|set| set.parts)
    }

    /// Takes the parts that are held for a hash, such as when its invoice expires or is deleted, is settled or
    /// cancelled.
    pub fn take(&mut self, payment_hash: PaymentHash) -> Vec<HeldPart> {
        if let Some(parts) = self.accepted.remove(&payment_hash) {
            return parts;
        }
        self.timers.clear(payment_hash);
        self.sets.remove(&payment_hash).map(|set| set.parts).unwrap_or_default()
    }

    /// Takes single parts that time out before `height`: too near to their end to be held on.
    pub fn take_expiring(&mut self, height: BlockHeight) -> Vec<HeldPart> {
        let mut taken = Vec::new();
        let timers = &mut self.timers;
        self.sets.retain(|payment_hash, set| {
            set.parts.retain(|part| {
                let near = part.cltv_expiry <= height.0;
                if near {
                    taken.push(*part);
                }
                !near
            });
            if set.parts.is_empty() {
                timers.clear(*payment_hash);
            }
            !set.parts.is_empty()
        });
        taken
    }

    /// When the next payment is too late.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.timers.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: PaymentHash = PaymentHash([7; 32]);
    const INVOICE: InvoiceTerms = InvoiceTerms { amount: Some(Msat(1_000)), final_cltv_delta: 18 };

    fn part(id: u64, amount: u64) -> HeldPart {
        HeldPart { channel: ChannelKey(1), id: HtlcId(id), amount: Msat(amount), cltv_expiry: 150 }
    }

    fn terms(amount: u64, total: u64) -> PartTerms {
        PartTerms { amt_to_forward: Msat(amount), outgoing_cltv_value: 150, total: Msat(total) }
    }

    fn offer(incoming: &mut Incoming, id: u64, amount: u64, total: u64) -> Verdict {
        incoming.part(HASH, part(id, amount), terms(amount, total), INVOICE, BlockHeight(100), Mono(60_000))
    }

    #[test]
    fn parts_are_held_until_the_sum_is_there() {
        let mut incoming = Incoming::default();
        assert_eq!(offer(&mut incoming, 7, 1_000, 1_000), Verdict::Whole);
        assert_eq!(offer(&mut incoming, 0, 400, 1_000), Verdict::Hold);
        assert_eq!(offer(&mut incoming, 0, 400, 1_000), Verdict::Hold, "handed in twice, it counts once");
        assert_eq!(incoming.next_deadline(), Some(Mono(60_000)));
        let all = vec![part(0, 400), part(1, 600)];
        assert_eq!(offer(&mut incoming, 1, 600, 1_000), Verdict::Claim { parts: all, received: Msat(1_000) });
        assert_eq!(incoming.next_deadline(), None);
    }

    #[test]
    fn a_payment_that_waits_for_a_word_takes_no_more_and_judges_nothing_again() {
        let mut incoming = Incoming::default();
        assert_eq!(offer(&mut incoming, 0, 1_000, 1_000), Verdict::Whole);
        incoming.accept(HASH, vec![part(0, 1_000)]);
        let again = |incoming: &mut Incoming, height| {
            incoming.part(HASH, part(0, 1_000), terms(1_000, 1_000), INVOICE, BlockHeight(height), Mono(1))
        };
        assert_eq!(again(&mut incoming, 149), Verdict::Hold, "after a restart, though little time is left");
        assert_eq!(offer(&mut incoming, 1, 1_000, 1_000), Verdict::Refuse(Refused::Details), "paid twice");
        assert_eq!((incoming.len(), incoming.next_deadline()), (1, None), "patience has no end");
        assert_eq!(incoming.take_expiring(BlockHeight(150)), vec![], "its parts go together");
        assert_eq!(incoming.accepted_on(ChannelKey(1)), vec![HASH]);
        assert_eq!(incoming.accepted_on(ChannelKey(2)), vec![]);
        assert_eq!(incoming.overdue(BlockHeight(131)), vec![]);
        assert_eq!(incoming.overdue(BlockHeight(132)), vec![HASH]);
        assert_eq!(incoming.take(HASH), vec![part(0, 1_000)]);
        assert!(incoming.is_empty());
    }

    #[test]
    fn an_incomplete_payment_goes_back_with_any_of_its_channels() {
        let mut incoming = Incoming::default();
        offer(&mut incoming, 0, 400, 1_000);
        let other = HeldPart { channel: ChannelKey(2), ..part(0, 300) };
        let verdict = incoming.part(HASH, other, terms(300, 1_000), INVOICE, BlockHeight(100), Mono(60_000));
        assert_eq!(verdict, Verdict::Hold);
        assert_eq!(incoming.take_with(ChannelKey(3)), vec![]);
        assert_eq!(incoming.take_with(ChannelKey(2)), vec![part(0, 400), other]);
        assert_eq!((incoming.len(), incoming.next_deadline()), (0, None));
    }

    #[test]
    fn an_incomplete_payment_goes_back_whole() {
        let mut incoming = Incoming::default();
        offer(&mut incoming, 0, 400, 1_000);
        offer(&mut incoming, 1, 500, 1_000);
        assert_eq!(incoming.pop_late(Mono(59_999)), None);
        assert_eq!(incoming.pop_late(Mono(60_000)), Some(vec![part(0, 400), part(1, 500)]));
        assert_eq!(incoming.pop_late(Mono(70_000)), None);
    }

    #[test]
    fn what_does_not_fit_the_invoice_is_refused() {
        let mut incoming = Incoming::default();
        let details = Verdict::Refuse(Refused::Details);
        assert_eq!(offer(&mut incoming, 0, 999, 999), details, "too little");
        assert_eq!(offer(&mut incoming, 0, 2_001, 2_001), details, "more than twice as much");
        let mut late = part(0, 1_000);
        late.cltv_expiry = 117;
        let terms_late = PartTerms { outgoing_cltv_value: 117, ..terms(1_000, 1_000) };
        let verdict = incoming.part(HASH, late, terms_late, INVOICE, BlockHeight(100), Mono(1));
        assert_eq!(verdict, details, "too near to its end");
        let verdict = incoming.part(HASH, part(0, 900), terms(1_000, 1_000), INVOICE, BlockHeight(100), Mono(1));
        assert_eq!(verdict, Verdict::Refuse(Refused::Amount), "the forwarder kept something");
        assert_eq!(offer(&mut incoming, 0, 400, 1_000), Verdict::Hold);
        assert_eq!(offer(&mut incoming, 1, 600, 1_001), details, "another total than the first part's");
    }

    #[test]
    fn a_part_near_its_end_goes_back_alone() {
        let mut incoming = Incoming::default();
        offer(&mut incoming, 0, 400, 1_000);
        assert_eq!(incoming.take_expiring(BlockHeight(149)), vec![]);
        assert_eq!(incoming.take_expiring(BlockHeight(150)), vec![part(0, 400)]);
        assert_eq!(incoming.next_deadline(), None);
    }
}
