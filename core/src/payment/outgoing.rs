//! Outgoing payments in flight: which parts are on their way, who waits for them, and what to try next.
//!
//! In memory stands only what has not ended; all of it is in rows too, so a restart finds every part again. What drives
//! a `pay` on (its budget, its deadline, its hints) is not in rows: after a restart no new attempt is made, the parts in
//! flight decide how the payment ends.

use std::collections::BTreeMap;

use super::TooMany;
use super::route::FinalData;
use super::rows::{PartRow, PartState, PaymentRow};
use super::waiting::Waiting;
use crate::amount::Msat;
use crate::clock::Mono;
use crate::ids::{ChannelKey, NodeId, PaymentHash, PaymentSecret, Preimage, RequestId, ShortChannelId};
use crate::invoice::RouteHintHop;
use crate::limits::{PAYMENTS_IN_FLIGHT_MAX, WAITERS_MAX};

/// A payment that has not ended.
#[derive(Clone, Debug, bincode::Encode, bincode::Decode)]
pub struct Payment {
    /// As stored.
    pub row: PaymentRow,
    /// Numbers of all its parts, ended or not, by part id.
    pub parts: BTreeMap<u64, u64>,
    /// What drives it on, if it is a `pay` of this run.
    pub drive: Option<Box<Drive>>,
    /// The proof, once any part has brought it.
    pub preimage: Option<Preimage>,
    /// Parts that succeeded, what they brought and what they took.
    pub succeeded: u32,
    /// What successful parts brought to the destination.
    pub received: Msat,
    /// What successful parts took from this node.
    pub sent: Msat,
}

impl Payment {
    fn new(row: PaymentRow, drive: Option<Box<Drive>>) -> Payment {
        let (received, sent) = (Msat::ZERO, Msat::ZERO);
        Payment { row, parts: BTreeMap::new(), drive, preimage: None, succeeded: 0, received, sent }
    }

    /// Counts a part that has succeeded.
    pub fn count(&mut self, row: &PartRow) {
        if let PartState::Complete { preimage, .. } = row.state {
            self.preimage = Some(Preimage(preimage));
            self.succeeded += 1;
            self.received += row.content.amount().unwrap_or(Msat::ZERO);
            self.sent += row.content.first().amount;
        }
    }
}

/// What `pay` and `xpay` may still do for a payment.
#[derive(Clone, Debug, bincode::Encode, bincode::Decode)]
pub struct Drive {
    /// Who is answered at the end, and in which form.
    pub reply: RequestId,
    /// The form.
    pub style: Style,
    /// The node to pay.
    pub destination: NodeId,
    /// What it shall receive from us.
    pub amount: Msat,
    /// What it shall receive in all; more than `amount` where several payers share an invoice.
    pub total: Msat,
    /// The most that may go to forwarding nodes, over all parts in flight or successful.
    pub fee_max: Msat,
    /// The longest total lock time, in blocks.
    pub delay_max: u32,
    /// BOLT 11 `c`.
    pub final_cltv_delta: u32,
    /// BOLT 11 `s`.
    pub payment_secret: PaymentSecret,
    /// BOLT 11 `m`.
    pub metadata: Option<Vec<u8>>,
    /// BOLT 11 `r`.
    pub hints: Vec<Vec<RouteHintHop>>,
    /// May the payment be split?
    pub multi_part: bool,
    /// No new attempt after this.
    pub retry_until: Mono,
    /// Unix seconds: the destination takes nothing any more.
    pub expires_at_s: u64,
    /// Channels that failed or that the caller excludes: our own by their key…
    pub avoid: Vec<ChannelKey>,
    /// … and those of hints by their name.
    pub avoid_hints: Vec<ShortChannelId>,
    /// Nodes that the caller excludes.
    pub avoid_nodes: Vec<NodeId>,
    /// How many attempts so far.
    pub attempts: u32,
    /// How many parts came back.
    pub failed_parts: u32,
    /// The route of the last one that came back.
    pub last_hops: Vec<super::route::Hop>,
    /// The last failure, to tell if nothing succeeds.
    pub last_failure: Option<crate::payment::rows::PartFailure>,
}

/// The form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Style {
    /// As `pay` answers.
    Pay,
    /// As `xpay` answers.
    Xpay,
}

impl Drive {
    /// What the last hop is told.
    pub fn final_data(&self) -> FinalData {
        FinalData { payment_secret: Some(self.payment_secret), total: self.total, metadata: self.metadata.clone() }
    }
}

/// A part that has not ended.
#[derive(Clone, Debug, bincode::Encode, bincode::Decode)]
pub struct Part {
    /// As stored.
    pub row: PartRow,
}

/// Waits for a part or for a whole payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Waiter {
    /// Who.
    pub request: RequestId,
    /// For which hash.
    pub payment_hash: PaymentHash,
    /// For which group; `None`: the latest.
    pub group: Option<u64>,
    /// For which part.
    pub part_id: u64,
    /// Until when.
    pub until: Option<Mono>,
}

/// All outgoing payments in flight.
#[derive(Debug, Default, bincode::Encode, bincode::Decode)]
pub struct Outgoing {
    /// Payments and parts share their numbers: the only part of a payment has the payment's, and needs no row to be found
    /// by it.
    next_number: u64,
    next_update: u64,
    /// The last number of a part that there is, counted from 1: numbers may be drawn in vain.
    last_part: u64,
    payments: BTreeMap<u64, Payment>,
    by_hash: BTreeMap<(PaymentHash, u64), u64>,
    parts: BTreeMap<u64, Part>,
    waiters: Vec<Waiter>,
    /// Payments that wait for room.
    pub waiting: Waiting,
}

/// A part has ended; what became of its payment?
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Other parts are on their way, or may be tried.
    InFlight,
    /// No part is on its way.
    Idle,
}

impl Outgoing {
    /// Numbers go on after the stored ones.
    pub fn restore(next_payment: u64, next_part: u64, next_update: u64) -> Outgoing {
        let next_number = next_payment.max(next_part);
        Outgoing { next_number, next_update, last_part: next_part, ..Outgoing::default() }
    }

    /// Puts a payment back that had not ended.
    pub fn restore_payment(&mut self, index: u64, row: PaymentRow) {
        self.by_hash.insert((row.payment_hash, row.group), index);
        self.payments.insert(index, Payment::new(row, None));
    }

    /// Puts a part back; its payment comes first. Parts of ended payments are of no interest.
    pub fn restore_part(&mut self, number: u64, row: PartRow) {
        let Some(payment) = self.payments.get_mut(&row.payment) else { return };
        payment.parts.insert(row.part_id, number);
        payment.count(&row);
        if matches!(row.state, PartState::Pending { .. }) {
            self.parts.insert(number, Part { row });
        }
    }

    /// The index that the next payment gets.
    pub fn next_index(&self) -> u64 {
        self.next_number
    }

    /// How many payments are in flight.
    pub fn len(&self) -> usize {
        self.payments.len()
    }

    /// Is nothing in flight?
    pub fn is_empty(&self) -> bool {
        self.payments.is_empty()
    }

    /// Registers a payment; the caller stores the row under the index returned.
    pub fn begin(&mut self, row: PaymentRow, drive: Option<Box<Drive>>) -> Result<u64, TooMany> {
        if self.payments.len() >= PAYMENTS_IN_FLIGHT_MAX {
            return Err(TooMany);
        }
        let index = self.next_number;
        self.next_number += 1;
        let before = self.by_hash.insert((row.payment_hash, row.group), index);
        assert!(before.is_none(), "one payment per hash and group is in flight");
        self.payments.insert(index, Payment::new(row, drive));
        Ok(index)
    }

    /// Registers a part that an HTLC has been offered for; the caller stores the row under the number returned.
    pub fn begin_part(&mut self, number: u64, row: PartRow) {
        let payment = self.payments.get_mut(&row.payment).expect("a part belongs to a payment in flight");
        payment.parts.insert(row.part_id, number);
        self.parts.insert(number, Part { row });
        self.last_part = number + 1;
    }

    /// A number for the next change of a part.
    pub fn draw_update(&mut self) -> u64 {
        let number = self.next_update;
        self.next_update += 1;
        number
    }

    /// The last numbers of parts, by creation and by change, as clients count them.
    pub fn last_numbers(&self) -> (u64, u64) {
        (self.last_part, self.next_update)
    }

    /// A number for the next part of a payment in flight. The HTLC is offered with it, before the part is registered.
    /// It is the payment's own, if that was the last one given: numbers tell in which order parts came to be.
    pub fn draw_part_number(&mut self, payment: u64) -> u64 {
        let is_first = self.payments.get(&payment).is_some_and(|payment| payment.parts.is_empty());
        if is_first && self.next_number == payment + 1 {
            return payment;
        }
        let number = self.next_number;
        self.next_number += 1;
        number
    }

    /// The payment in flight with this index.
    pub fn payment(&self, index: u64) -> Option<&Payment> {
        self.payments.get(&index)
    }

    /// The same, to change.
    pub fn payment_mut(&mut self, index: u64) -> Option<&mut Payment> {
        self.payments.get_mut(&index)
    }

    /// Indices of payments in flight for this hash, with their groups.
    pub fn by_hash(&self, payment_hash: PaymentHash) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.by_hash.range((payment_hash, 0)..=(payment_hash, u64::MAX)).map(|(&(_, group), &index)| (group, index))
    }

    /// The part in flight with this number.
    pub fn part(&self, number: u64) -> Option<&Part> {
        self.parts.get(&number)
    }

    /// Numbers of all parts in flight.
    pub fn part_numbers(&self) -> impl Iterator<Item = u64> + '_ {
        self.parts.keys().copied()
    }

    /// Indices of all payments in flight.
    pub fn indices(&self) -> impl Iterator<Item = u64> + '_ {
        self.payments.keys().copied()
    }

    /// Ends a part: it is in flight no more. Returns its row for the caller to store with its new state.
    pub fn end_part(&mut self, number: u64) -> Option<PartRow> {
        self.parts.remove(&number).map(|part| part.row)
    }

    /// Is any part of this payment on its way?
    pub fn standing(&self, index: u64) -> Standing {
        let Some(payment) = self.payments.get(&index) else { return Standing::Idle };
        let any = payment.parts.values().any(|number| self.parts.contains_key(number));
        if any { Standing::InFlight } else { Standing::Idle }
    }

    /// What is on its way for a payment: received by the destination, and leaving this node.
    pub fn in_flight(&self, index: u64) -> (Msat, Msat) {
        let Some(payment) = self.payments.get(&index) else { return (Msat::ZERO, Msat::ZERO) };
        let rows = payment.parts.values().filter_map(|number| self.parts.get(number)).map(|part| &part.row);
        rows.fold((Msat::ZERO, Msat::ZERO), |(received, sent), row| {
            (received + row.content.amount().unwrap_or(Msat::ZERO), sent + row.content.first().amount)
        })
    }

    /// Ends a payment.
    pub fn end(&mut self, index: u64) -> Option<Payment> {
        let payment = self.payments.remove(&index)?;
        self.by_hash.remove(&(payment.row.payment_hash, payment.row.group));
        self.waiting.leave(index);
        Some(payment)
    }

    /// Somebody waits for a part.
    pub fn wait(&mut self, waiter: Waiter) -> Result<(), TooMany> {
        if self.waiters.len() >= WAITERS_MAX {
            return Err(TooMany);
        }
        self.waiters.push(waiter);
        Ok(())
    }

    /// Takes the waiters of a part that has ended.
    pub fn take_waiters(&mut self, payment_hash: PaymentHash, group: u64, part_id: u64) -> Vec<Waiter> {
        let mut taken = Vec::new();
        self.waiters.retain(|waiter| {
            let meant = waiter.payment_hash == payment_hash
                && waiter.part_id == part_id
                && waiter.group.is_none_or(|wanted| wanted == group);
            if meant {
                taken.push(*waiter);
            }
            !meant
        });
        taken
    }

    /// Takes the waiters whose time is up.
    pub fn take_late_waiters(&mut self, now: Mono) -> Vec<Waiter> {
        let mut taken = Vec::new();
        self.waiters.retain(|waiter| {
            let late = waiter.until.is_some_and(|until| until <= now);
            if late {
                taken.push(*waiter);
            }
            !late
        });
        taken
    }

    /// A client has gone: nobody to answer. Its payments go on.
    pub fn forget_request(&mut self, request: RequestId) {
        self.waiters.retain(|waiter| waiter.request != request);
    }

    /// The earliest moment at which a waiter's time is up.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.waiters.iter().filter_map(|waiter| waiter.until).min()
    }
}
