//! What the stories share: networks, invoices, sums.

// Each story is a crate of its own and uses its part of this.
#![allow(dead_code)]

use leyden_core::amount::{Msat, Sat};
use leyden_core::ids::PaymentHash;
use leyden_core::request::channel::{FundChannel, ListPeerChannels, PeerChannel};
use leyden_core::request::invoice::{CreateInvoice, ExposePrivate, InvoiceCreated, WantedProof};
use leyden_core::request::payment::{FeeLimit, Pay};
use leyden_core::request::peer::Connect;
use leyden_core::request::{AmountOrAll, Request, Response};
use leyden_sim::World;

pub(crate) fn connect(world: &mut World, from: usize, to: usize) {
    let connect = Connect { peer: world.id(to), address: Some(World::address(to)) };
    world.call(from, Request::Connect(connect)).expect("they connect");
}

pub(crate) fn open(world: &mut World, from: usize, to: usize, amount: Sat, push_msat: Msat) {
    let fund = FundChannel {
        peer: world.id(to),
        amount: AmountOrAll::Amount(amount),
        feerate: None,
        announce: false,
        min_confirmations: 1,
        push_msat,
        close_to: None,
        utxos: None,
        mindepth: None,
        reserve_sat: None,
        channel_type: None,
    };
    if let Err(error) = world.call(from, Request::FundChannel(Box::new(fund))) {
        panic!("{error:?}\n{}", world.story());
    }
    world.mine(6);
    world.run_until_quiet();
}

/// Nodes 0, 1, … in a row, a channel of a million satoshi between neighbours, opened by the left one.
pub(crate) fn line(seed: u64, count: usize) -> World {
    let mut world = World::new(seed, count, |_, _| {});
    world.run_until_quiet();
    for node in 0..count - 1 {
        world.faucet(node, Sat(3_000_000));
        connect(&mut world, node, node + 1);
        open(&mut world, node, node + 1, Sat(1_000_000), Msat(300_000_000));
    }
    world
}

pub(crate) fn channels(world: &mut World, node: usize) -> Vec<PeerChannel> {
    match world.call(node, Request::ListPeerChannels(ListPeerChannels::default())) {
        Ok(Response::PeerChannels(channels)) => channels,
        other => panic!("{other:?}"),
    }
}

/// What the node has in channels.
pub(crate) fn in_channels(world: &mut World, node: usize) -> u64 {
    channels(world, node).iter().map(|channel| channel.to_us_msat.0).sum()
}

pub(crate) fn invoice_for(
    world: &mut World,
    node: usize,
    amount: Option<Msat>,
    label: &str,
    expiry_s: u64,
) -> InvoiceCreated {
    let create = CreateInvoice {
        amount_msat: amount,
        label: label.to_owned(),
        description: "a story".to_owned(),
        expiry_s,
        fallbacks: Vec::new(),
        proof: WantedProof::Fresh,
        expose: ExposePrivate::Auto,
        cltv: None,
        description_hash_only: false,
    };
    match world.call(node, Request::Invoice(Box::new(create))) {
        Ok(Response::InvoiceCreated(created)) => *created,
        other => panic!("{other:?}\n{}", world.story()),
    }
}

pub(crate) fn pay(invoice: &str) -> Request {
    Request::Pay(Box::new(Pay {
        invoice: invoice.to_owned(),
        amount_msat: None,
        label: None,
        fee_limit: FeeLimit::Default,
        retry_for_s: 60,
        max_delay_blocks: None,
        exclude: Vec::new(),
        description: None,
        partial_msat: None,
    }))
}

/// Pays and expects success; gives the hash.
pub(crate) fn pays(world: &mut World, from: usize, to: usize, amount: Msat, label: &str) -> PaymentHash {
    let invoice = invoice_for(world, to, Some(amount), label, 3600);
    match world.call(from, pay(&invoice.bolt11)) {
        Ok(Response::Paid(paid)) => {
            assert_eq!(paid.payment_hash, invoice.payment_hash);
            assert_eq!(paid.amount_msat, amount);
        }
        other => panic!("{other:?}\n{}", world.story()),
    }
    world.run_until_quiet();
    invoice.payment_hash
}
