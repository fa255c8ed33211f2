//! Payments of recordings, made again: who pays whom how much, in the order in which it was asked for.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use leyden_core::amount::Msat;
use leyden_core::ids::{ChannelId, NodeId, PaymentHash};
use leyden_core::invoice::{DEFAULT_MIN_FINAL_CLTV_EXPIRY_DELTA, Invoice};
use leyden_core::request::invoice::WantedProof;
use leyden_core::request::payment::RouteHop;
use leyden_core::request::{Request, Response};

use super::life::{Add, Deed, Life};
use crate::net::NodeIndex;
use crate::story::{PayKind, Step};

/// How a payment ended in the recorded run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It is complete.
    Paid,
    /// It has failed.
    Failed,
    /// The recording does not tell.
    Open,
}

/// A payment of the recorded run.
#[derive(Clone, Debug)]
pub struct Paid {
    /// What the story calls it.
    pub name: String,
    /// What it was for.
    pub hash: PaymentHash,
    /// How it ended.
    pub end: End,
}

/// Invoices reach so many channels far by their hints alone.
const HINTS_REACH: usize = 2;

pub(super) struct Pays<'a> {
    pub(super) lives: &'a [Life],
    pub(super) index: &'a BTreeMap<NodeId, NodeIndex>,
    /// How many of the nodes have recorded.
    pub(super) recorded: usize,
    /// Who has channels with whom, now or later.
    pub(super) joined: &'a BTreeSet<(NodeIndex, NodeIndex)>,
    /// What is under way when the story begins.
    pub(super) under_way: BTreeMap<PaymentHash, Vec<(NodeIndex, NodeIndex, Msat)>>,
    pub(super) begins_ms: i64,
}

/// What is wanted of a payment.
struct Wish {
    at_ms: i64,
    from: NodeIndex,
    to: NodeIndex,
    amount: Msat,
    part: Option<Msat>,
    is_route: bool,
    /// Of one that a node makes to itself: over whom.
    over: Vec<NodeIndex>,
    hash: PaymentHash,
    reply: Option<End>,
}

struct Made {
    at_ms: i64,
    by: NodeIndex,
    amount: Option<Msat>,
    expiry_s: u64,
    label: String,
    /// It is held until its maker says what shall become of it; the blocks of its last hop.
    hold: Option<u32>,
    deleted_ms: Option<i64>,
}

impl Pays<'_> {
    fn is_far(&self, from: NodeIndex, to: NodeIndex) -> bool {
        let mut queue = VecDeque::from([(from, 0)]);
        let mut seen = BTreeSet::from([from]);
        while let Some((node, steps)) = queue.pop_front() {
            if node == to {
                return steps > HINTS_REACH;
            }
            for (a, b) in self.joined {
                let next = if *a == node {
                    *b
                } else if *b == node {
                    *a
                } else {
                    continue;
                };
                if seen.insert(next) {
                    queue.push_back((next, steps + 1));
                }
            }
        }
        false
    }

    fn adds(&self) -> impl Iterator<Item = (NodeIndex, &Add)> {
        self.lives.iter().flat_map(|life| life.adds.iter().map(|add| (life.node, add)))
    }

    /// How a payment ended, by the word of its payer, or of whoever saw its HTLCs if the payer has not recorded.
    fn end_of(&self, hash: PaymentHash, from: NodeIndex, reply: Option<End>) -> End {
        // What one node offers and what it is offered have ids of their own, and both ends of a channel tell of them.
        let ids: BTreeSet<(NodeIndex, ChannelId, u64, bool)> = self
            .adds()
            .filter(|(of, add)| add.hash == hash && (*of == from || from >= self.recorded))
            .map(|(of, add)| (of, add.channel, add.id, add.is_sent))
            .collect();
        // The end of an HTLC comes from where it went.
        let has = |wanted: bool| {
            self.lives.iter().any(|life| {
                let mut removed = life.removed.iter();
                removed.any(|(channel, id, is_sent, is_paid)| {
                    *is_paid == wanted && ids.contains(&(life.node, *channel, *id, !is_sent))
                })
            })
        };
        match reply {
            Some(end) => end,
            None if has(true) => End::Paid,
            None if has(false) => End::Failed,
            None => End::Open,
        }
    }

    fn invoices(&self) -> BTreeMap<PaymentHash, Made> {
        let mut made = BTreeMap::new();
        for life in self.lives {
            let mut asked = BTreeMap::new();
            for (at_ms, deed) in &life.deeds {
                match deed {
                    Deed::Request(id, request) => match &**request {
                        Request::Invoice(create) => drop(asked.insert(*id, (*at_ms, create.clone()))),
                        Request::DelInvoice(delete) => {
                            let mut all = made.values_mut();
                            let found: Option<&mut Made> =
                                all.find(|made: &&mut Made| made.by == life.node && made.label == delete.label);
                            if let Some(made) = found {
                                made.deleted_ms = Some(*at_ms);
                            }
                        }
                        _ => {}
                    },
                    Deed::Reply(id, result) => {
                        let (Some((at_ms, create)), Ok(Response::InvoiceCreated(created))) =
                            (asked.remove(id), &**result)
                        else {
                            continue;
                        };
                        let (by, amount, expiry_s, label) =
                            (life.node, create.amount_msat, create.expiry_s, create.label.clone());
                        let hold = matches!(create.proof, WantedProof::Hold(_))
                            .then(|| create.cltv.unwrap_or(DEFAULT_MIN_FINAL_CLTV_EXPIRY_DELTA));
                        made.insert(
                            created.payment_hash,
                            Made { at_ms, by, amount, expiry_s, label, hold, deleted_ms: None },
                        );
                    }
                    _ => {}
                }
            }
        }
        made
    }

    /// What was asked of nodes that have recorded.
    fn asked(&self, notes: &mut BTreeMap<String, u64>) -> Vec<Wish> {
        let mut wishes = Vec::new();
        for life in self.lives {
            let mut answers = BTreeMap::new();
            for (at_ms, deed) in &life.deeds {
                if let Deed::Reply(id, result) = deed {
                    answers.insert(*id, (*at_ms, &**result));
                }
            }
            for (at_ms, deed) in &life.deeds {
                let Deed::Request(id, request) = deed else { continue };
                let reply = match answers.get(id) {
                    Some((_, Ok(Response::Paid(_) | Response::XPaid(_)))) => Some(End::Paid),
                    Some((_, Err(_))) => Some(End::Failed),
                    _ => None,
                };
                let (text, given, part, is_route) = match &**request {
                    Request::Pay(pay) => (Some(&pay.invoice), pay.amount_msat, pay.partial_msat, false),
                    Request::XPay(pay) => (Some(&pay.invoice), pay.amount_msat, pay.partial_msat, false),
                    Request::SendPay(_) => (None, None, None, true),
                    _ => continue,
                };
                let (at_ms, from) = (*at_ms, life.node);
                let wish = match (text, &**request) {
                    (Some(text), _) => Invoice::read(text.trim()).ok().and_then(|invoice| {
                        let amount = given.or(invoice.amount)?;
                        Some((invoice.payment_hash, invoice.payee, amount))
                    }),
                    (None, Request::SendPay(send)) => {
                        send.route.last().map(|hop| (send.payment_hash, hop.node, hop.amount_msat))
                    }
                    _ => None,
                };
                let Some((hash, payee, amount)) = wish else {
                    *notes.entry("payments of what is no invoice, or of no amount".into()).or_default() += 1;
                    continue;
                };
                let to = self.index.get(&payee).copied().or_else(|| {
                    // Whoever was paid is no peer of these nodes: the last that is known of the way stands for it.
                    self.chain(hash).last().map(|(_, to, _)| *to)
                });
                let over = match &**request {
                    Request::SendPay(send) if to == Some(from) => self.over(&send.route),
                    _ => None,
                };
                match to {
                    Some(to) if to != from || over.is_some() => {
                        let over = over.unwrap_or_default();
                        wishes.push(Wish { at_ms, from, to, amount, part, is_route, over, hash, reply });
                    }
                    _ => *notes.entry("payments to nodes that are not in the story".into()).or_default() += 1,
                }
            }
        }
        wishes
    }

    /// Over whom a route leads, if it leads over somebody and all of them are in the story.
    fn over(&self, route: &[RouteHop]) -> Option<Vec<NodeIndex>> {
        let (_, between) = route.split_last().filter(|(_, between)| !between.is_empty())?;
        between.iter().map(|hop| self.index.get(&hop.node).copied()).collect()
    }

    /// The hops that a payment took, first hop first, as far as they are known.
    fn chain(&self, hash: PaymentHash) -> Vec<(NodeIndex, NodeIndex, Msat)> {
        let mut hops: BTreeSet<(NodeIndex, NodeIndex, Msat)> = BTreeSet::new();
        for (of, add) in self.adds().filter(|(_, add)| add.hash == hash) {
            let Some(peer) = self.index.get(&add.peer).copied() else { continue };
            let (from, to) = if add.is_sent { (of, peer) } else { (peer, of) };
            hops.insert((from, to, Msat(add.amount_msat)));
        }
        in_order(hops.into_iter().collect())
    }

    /// Steps for all payments, with their names, by time.
    pub(super) fn steps(&self, notes: &mut BTreeMap<String, u64>) -> (Vec<(i64, Step)>, Vec<Paid>) {
        let invoices = self.invoices();
        let mut wishes = self.asked(notes);
        let asked: BTreeSet<PaymentHash> = wishes.iter().map(|wish| wish.hash).collect();
        wishes.retain(|wish| wish.at_ms >= self.begins_ms);
        // What was under way already.
        for (hash, hops) in &self.under_way {
            let hops = in_order(hops.clone());
            if let (Some(first), Some(last)) = (hops.first(), hops.last()) {
                let (from, to, amount) = (first.0, last.1, last.2);
                let (at_ms, hash) = (self.begins_ms, *hash);
                wishes.push(Wish {
                    at_ms,
                    from,
                    to,
                    amount,
                    part: None,
                    is_route: false,
                    over: Vec::new(),
                    hash,
                    reply: None,
                });
            }
        }
        // What nobody is known to have asked for: it came from nodes that have not recorded, or not then.
        let mut strange: BTreeMap<PaymentHash, i64> = BTreeMap::new();
        for (_, add) in self.adds() {
            let is_known = asked.contains(&add.hash) || self.under_way.contains_key(&add.hash);
            if !add.is_sent && !is_known && add.at_ms >= self.begins_ms {
                strange.entry(add.hash).or_insert(add.at_ms);
            }
        }
        for (hash, at_ms) in strange {
            let hops = self.chain(hash);
            if let (Some(first), Some(last)) = (hops.first(), hops.last()) {
                let (from, to, amount) = (first.0, last.1, last.2);
                wishes.push(Wish {
                    at_ms,
                    from,
                    to,
                    amount,
                    part: None,
                    is_route: false,
                    over: Vec::new(),
                    hash,
                    reply: None,
                });
            }
        }
        wishes.sort_by_key(|wish| wish.at_ms);
        let mut steps = Vec::new();
        let mut paid = Vec::new();
        let mut named: BTreeMap<PaymentHash, String> = BTreeMap::new();
        for wish in &wishes {
            let Wish { at_ms, from, to, amount, part, is_route, hash, reply, .. } = *wish;
            let end = self.end_of(hash, from, reply);
            let made = invoices.get(&hash).filter(|made| made.at_ms >= self.begins_ms && made.by == to);
            let is_deleted = made.is_some_and(|made| made.deleted_ms.is_some_and(|deleted_ms| deleted_ms <= at_ms));
            let left = self.under_way.contains_key(&hash) || self.adds().any(|(_, add)| add.hash == hash);
            let kind = match part {
                _ if is_route && made.is_none() && end == End::Failed && left => PayKind::ProbeRoute,
                _ if is_deleted || (made.is_none() && end == End::Failed && left) => PayKind::Probe,
                Some(_) if made.is_none() => PayKind::Half,
                _ if is_route || self.is_far(from, to) => PayKind::Route,
                _ => PayKind::Invoice,
            };
            let known = named.get(&hash).cloned();
            let name = known.clone().unwrap_or_else(|| format!("p{}", named.len() + 1));
            named.insert(hash, name.clone());
            match made.filter(|_| kind == PayKind::Invoice) {
                _ if from == to => {
                    let (name, over) = (name.clone(), wish.over.clone());
                    steps.push((at_ms, Step::Circle { name, from, amount, over }));
                }
                Some(made) => {
                    if known.is_none() {
                        let (to, amount, expiry_s) = (made.by, made.amount.unwrap_or(amount), made.expiry_s);
                        let name = name.clone();
                        steps.push((
                            made.at_ms,
                            match made.hold {
                                Some(cltv) => Step::HoldInvoice { name, to, amount, expiry_s, cltv },
                                None => Step::Invoice { name, to, amount, expiry_s },
                            },
                        ));
                    }
                    steps.push((at_ms, Step::PayInvoice(name.clone(), from, part)));
                }
                None => steps.push((at_ms, Step::Pay { name: name.clone(), from, to, amount, kind })),
            }
            if known.is_none() {
                paid.push(Paid { name, hash, end });
            }
        }
        // What became of those that were held.
        for life in self.lives {
            for (at_ms, deed) in life.deeds.iter().filter(|(at_ms, _)| *at_ms >= self.begins_ms) {
                let Deed::Request(_, request) = deed else { continue };
                let (hash, step): (_, fn(String) -> Step) = match &**request {
                    Request::SettleHoldInvoice { preimage } => (preimage.payment_hash(), Step::Settle),
                    Request::CancelHoldInvoice { payment_hash } => (*payment_hash, Step::Cancel),
                    _ => continue,
                };
                match named.get(&hash).filter(|_| invoices.contains_key(&hash)) {
                    Some(name) => steps.push((*at_ms, step(name.clone()))),
                    None => *notes.entry("ends of held invoices that are not in the story".into()).or_default() += 1,
                }
            }
        }
        (steps, paid)
    }
}

/// Hops of one payment, from its payer on. Of several parts, one after the other.
fn in_order(hops: Vec<(NodeIndex, NodeIndex, Msat)>) -> Vec<(NodeIndex, NodeIndex, Msat)> {
    let targets: BTreeSet<NodeIndex> = hops.iter().map(|hop| hop.1).collect();
    let Some(first) = hops.iter().find(|hop| !targets.contains(&hop.0)).or(hops.first()).copied() else {
        return hops;
    };
    let (mut rest, mut ordered) = (hops, vec![first]);
    rest.retain(|hop| *hop != first);
    while let Some(at) = rest.iter().position(|hop| Some(hop.0) == ordered.last().map(|last| last.1)) {
        ordered.push(rest.remove(at));
    }
    ordered
}
