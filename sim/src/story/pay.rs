//! Payments of a story: which request begins one, and along which way.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use leyden_core::amount::Msat;
use leyden_core::ids::{PaymentHash, PaymentSecret};
use leyden_core::request::Request;
use leyden_core::request::invoice::{DelInvoice, InvoiceCreated, InvoiceStatus};
use leyden_core::request::payment::{FeeLimit, Pay, RouteHop, SendPay};

use super::PayKind;
use super::run::{Payment, Telling};
use super::setup::{Edge, channels_of};
use crate::draw::{Domain, Draw};
use crate::net::NodeIndex;

/// How long invoices of payments can be paid.
const INVOICE_EXPIRY_S: u64 = 3_600;
/// Blocks that a final hop gets, and each hop beside its own delta.
const FINAL_DELTA: u32 = 40;

/// What the last hop needs of a payment over a route.
struct Proof {
    hash: PaymentHash,
    secret: PaymentSecret,
}

impl Telling<'_> {
    pub(super) fn pay(&mut self, name: &str, from: NodeIndex, to: NodeIndex, amount: Msat, kind: PayKind) {
        if self.world.is_off(from) {
            return;
        }
        if matches!(kind, PayKind::Route | PayKind::ProbeRoute) {
            let proof = match kind {
                PayKind::ProbeRoute => Some(self.invented()),
                _ => self.proof(to, amount),
            };
            self.look_for_places();
            if let (Some(proof), Some(way)) = (proof, self.shortest(from, to)) {
                self.pay_along(name, (from, to), amount, kind, &way, &proof);
            }
            return;
        }
        let Some((invoice, label)) = self.invoice(to, amount, INVOICE_EXPIRY_S) else { return };
        if kind == PayKind::Probe {
            let delete = DelInvoice { label, status: InvoiceStatus::Unpaid, description_only: false };
            if self.ask(to, Request::DelInvoice(delete)).is_none() {
                return;
            }
        }
        if self.world.is_off(from) {
            return;
        }
        let partial_msat = (kind == PayKind::Half).then_some(Msat(amount.0 / 2));
        let id = self.world.request(from, pay_request(&invoice, partial_msat));
        let (hash, request) = (invoice.payment_hash, Some((id, self.world.life(from))));
        self.payments.push(Payment { name: name.to_owned(), from, to, amount, kind, hash, request });
    }

    pub(super) fn pay_invoice(&mut self, name: &str, from: NodeIndex, part: Option<Msat>) {
        let found = self.invoices.iter().find(|(known, ..)| known == name).cloned();
        let Some((name, to, amount, invoice)) = found else { return };
        if self.world.is_off(from) {
            return;
        }
        let id = self.world.request(from, pay_request(&invoice, part));
        let amount = part.unwrap_or(amount);
        let request = Some((id, self.world.life(from)));
        let hash = invoice.payment_hash;
        self.payments.push(Payment { name, from, to, amount, kind: PayKind::Invoice, hash, request });
    }

    /// A node pays itself, over these and back: what it has moves from one of its channels to another.
    pub(super) fn circle(&mut self, name: &str, node: NodeIndex, amount: Msat, over: &[NodeIndex]) {
        if self.world.is_off(node) {
            return;
        }
        self.look_for_places();
        let Some(way) = self.round(node, over) else { return };
        if let Some(proof) = self.proof(node, amount) {
            self.pay_along(name, (node, node), amount, PayKind::Route, &way, &proof);
        }
    }

    fn pay_along(
        &mut self,
        name: &str,
        (from, to): (NodeIndex, NodeIndex),
        amount: Msat,
        kind: PayKind,
        way: &[Edge],
        proof: &Proof,
    ) {
        if self.world.is_off(from) {
            return;
        }
        let send = SendPay {
            route: self.priced(way, amount),
            payment_hash: proof.hash,
            label: None,
            total_msat: None,
            bolt11: None,
            payment_secret: Some(proof.secret),
            part_id: 0,
            group_id: None,
            payment_metadata: None,
            description: None,
        };
        self.world.tell(from, Request::SendPay(Box::new(send)));
        let hash = proof.hash;
        self.payments.push(Payment { name: name.to_owned(), from, to, amount, kind, hash, request: None });
    }

    /// A new invoice's.
    fn proof(&mut self, to: NodeIndex, amount: Msat) -> Option<Proof> {
        let (invoice, _) = self.invoice(to, amount, INVOICE_EXPIRY_S)?;
        Some(Proof { hash: invoice.payment_hash, secret: invoice.payment_secret })
    }

    /// One that nobody can know.
    fn invented(&mut self) -> Proof {
        self.labels += 1;
        let draw = Draw::new(self.story.seed);
        let bytes = |count| draw.bytes(Domain::Traffic, u64::MAX, self.labels * 2 + count);
        Proof { hash: PaymentHash(bytes(0)), secret: PaymentSecret(bytes(1)) }
    }

    /// After a reorganisation routes name channels by their new places, once all have one again.
    fn look_for_places(&mut self) {
        if !std::mem::take(&mut self.are_places_old) {
            return;
        }
        for node in 0..self.story.names.len() {
            if self.world.is_off(node) {
                self.are_places_old = true;
                continue;
            }
            let channels = channels_of(&mut self.world, node);
            for edge in self.edges.iter_mut().filter(|edge| edge.from == node) {
                let channel = channels.iter().find(|channel| channel.channel_id == edge.channel);
                match channel.map(|channel| channel.short_channel_id) {
                    Some(Some(scid)) => edge.scid = scid,
                    Some(None) => self.are_places_old = true,
                    // It is closed.
                    None => {}
                }
            }
        }
    }

    /// The shortest way along the story's channels.
    fn shortest(&self, from: NodeIndex, to: NodeIndex) -> Option<Vec<Edge>> {
        let mut came: BTreeMap<NodeIndex, Edge> = BTreeMap::new();
        let mut queue = VecDeque::from([from]);
        while let Some(node) = queue.pop_front().filter(|node| *node != to) {
            for edge in self.edges.iter().filter(|edge| edge.from == node) {
                if edge.to != from && !came.contains_key(&edge.to) {
                    came.insert(edge.to, *edge);
                    queue.push_back(edge.to);
                }
            }
        }
        let mut way = Vec::new();
        let mut node = to;
        while node != from {
            let edge = came.get(&node)?;
            way.push(*edge);
            node = edge.from;
        }
        way.reverse();
        Some(way)
    }

    /// The way over these nodes and back, if they have the channels. Each channel is used once.
    fn round(&self, node: NodeIndex, over: &[NodeIndex]) -> Option<Vec<Edge>> {
        let mut used = BTreeSet::new();
        let mut way = Vec::new();
        let mut at = node;
        for next in over.iter().chain([&node]) {
            let mut edges = self.edges.iter().filter(|edge| edge.from == at && edge.to == *next);
            let edge = edges.find(|edge| used.insert(edge.channel))?;
            way.push(*edge);
            at = *next;
        }
        Some(way)
    }

    /// The hops of a way, with what its nodes ask by their configuration.
    fn priced(&self, way: &[Edge], amount: Msat) -> Vec<RouteHop> {
        let (mut amount_msat, mut delay) = (amount, FINAL_DELTA);
        let mut hops = Vec::with_capacity(way.len());
        for edge in way.iter().rev() {
            hops.push(RouteHop { node: self.world.id(edge.to), channel: edge.scid, amount_msat, delay });
            // What the hop before this one asks for forwarding.
            let policy = &self.world.config(edge.from).channel;
            let fee = u64::from(policy.fee_base_msat)
                + amount_msat.0 * u64::from(policy.fee_proportional_millionths) / 1_000_000;
            amount_msat = Msat(amount_msat.0 + fee);
            delay += u32::from(policy.cltv_expiry_delta);
        }
        hops.reverse();
        hops
    }
}

fn pay_request(invoice: &InvoiceCreated, partial_msat: Option<Msat>) -> Request {
    Request::Pay(Box::new(Pay {
        invoice: invoice.bolt11.clone(),
        amount_msat: None,
        label: None,
        fee_limit: FeeLimit::Default,
        retry_for_s: 60,
        max_delay_blocks: None,
        exclude: Vec::new(),
        description: None,
        partial_msat,
    }))
}
