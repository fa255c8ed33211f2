//! Nodes that are frozen and thawed all the time: they say, write and ask what they would have anyway.

mod common;

use common::*;
use leyden_core::address::NetAddr;
use leyden_core::amount::{Msat, Sat};
use leyden_core::ids::{BlockHeight, NodeId, PaymentHash, PaymentSecret};
use leyden_core::node::{Node, ThawError};
use leyden_core::request::channel::{ChannelClosed, ChannelName, Close};
use leyden_core::request::invoice::WaitAnyInvoice;
use leyden_core::request::node::WaitBlockHeight;
use leyden_core::request::payment::{ListForwards, ListPays, RouteHop, SendPay, WaitSendPay};
use leyden_core::request::peer::{Connect, Ping};
use leyden_core::request::wallet::{AddressKind, FundPsbt, SignPsbt, Withdraw};
use leyden_core::request::{AmountOrAll, FeerateChoice, Request, Response};
use leyden_sim::{CrashPlan, CrashPoint, World};

/// Tells a story in a world of so many nodes: never thawed, before every turn, and before every seventh.
fn same_with_snapshots(seed: u64, count: usize, story: impl Fn(&mut World)) {
    let digest = |thaw_every: Option<u64>| {
        let mut world = World::new(seed, count, |_, _| {});
        if let Some(turns) = thaw_every {
            world.thaw_every(turns);
        }
        world.run_until_quiet();
        story(&mut world);
        world.run_until_quiet();
        world.digest()
    };
    let original = digest(None);
    for turns in [1, 7] {
        assert_eq!(digest(Some(turns)), original, "thawed before every turn of {turns}");
    }
}

/// Channels of a million satoshi between neighbours.
fn join(world: &mut World, count: usize) {
    for node in 0..count - 1 {
        world.faucet(node, Sat(3_000_000));
        connect(world, node, node + 1);
        open(world, node, node + 1, Sat(1_000_000), Msat(300_000_000));
    }
}

fn close(world: &World, peer: usize, unilateral_timeout_s: Option<u64>) -> Request {
    let channel = ChannelName::Peer(world.id(peer));
    Request::Close(Box::new(Close { channel, unilateral_timeout_s, destination: None, fee_range: None }))
}

/// All that a client can ask of the past, answered from the store page by page.
fn ask_of_history(world: &mut World) {
    let pays = world.request(0, Request::ListPays(ListPays::default()));
    let all = ListForwards { status: None, in_channel: None, out_channel: None, page: Default::default() };
    let forwards = world.request(1, Request::ListForwards(all));
    let transactions = world.request(0, Request::ListTransactions);
    for id in [pays, forwards, transactions] {
        world.run_until_reply(id).expect("a list");
    }
}

#[test]
fn payments() {
    same_with_snapshots(41, 3, |world| {
        join(world, 3);
        pays(world, 0, 1, Msat(10_000_000), "near");
        pays(world, 0, 2, Msat(10_000_000), "far");
        pays(world, 2, 0, Msat(4_000_001), "back");
        let invoice = invoice_for(world, 2, Some(Msat(1_000)), "old", 10);
        world.run_for_ms(11_000);
        world.call(0, pay(&invoice.bolt11)).expect_err("too late");
        ask_of_history(world);
    });
}

#[test]
fn a_payment_in_parts() {
    same_with_snapshots(42, 2, |world| {
        world.faucet(0, Sat(3_000_000));
        connect(world, 0, 1);
        open(world, 0, 1, Sat(100_000), Msat(0));
        open(world, 0, 1, Sat(100_000), Msat(0));
        pays(world, 0, 1, Msat(130_000_000), "large");
    });
}

#[test]
fn failures_and_waiters() {
    same_with_snapshots(43, 3, |world| {
        join(world, 3);
        let invoice = invoice_for(world, 2, Some(Msat(7_000_000)), "asked", 3600);
        let wrong = PaymentHash([9; 32]);
        for (hash, secret) in [
            (wrong, invoice.payment_secret),
            (invoice.payment_hash, PaymentSecret([1; 32])),
            (invoice.payment_hash, invoice.payment_secret),
        ] {
            let send = sendpay(world, hash, secret);
            let sent = world.request(0, send);
            let wait = WaitSendPay { payment_hash: hash, timeout_s: Some(60), part_id: None, group_id: None };
            world.run_until_reply(sent).expect("it is on its way");
            let waits = world.request(0, Request::WaitSendPay(wait));
            assert_eq!(world.run_until_reply(waits).is_ok(), secret == invoice.payment_secret && hash != wrong);
        }
        ask_of_history(world);
    });
}

fn sendpay(world: &mut World, payment_hash: PaymentHash, secret: PaymentSecret) -> Request {
    let mut hop = |from: usize, to: usize, amount_msat, delay| {
        let peer = world.id(to);
        let channel = channels(world, from).into_iter().find(|channel| channel.peer_id == peer).expect("opened");
        RouteHop { node: peer, channel: channel.short_channel_id.expect("it is deep"), amount_msat, delay }
    };
    let route = vec![hop(0, 1, Msat(7_005_000), 140), hop(1, 2, Msat(7_000_000), 100)];
    Request::SendPay(Box::new(SendPay {
        route,
        payment_hash,
        label: None,
        total_msat: None,
        bolt11: None,
        payment_secret: Some(secret),
        part_id: 0,
        group_id: None,
        payment_metadata: None,
        description: None,
    }))
}

#[test]
fn connections_that_break() {
    same_with_snapshots(44, 3, |world| {
        join(world, 3);
        for (steps, (a, b)) in [(2, (0, 1)), (5, (1, 2)), (9, (0, 1)), (14, (1, 2)), (19, (0, 1))] {
            let invoice = invoice_for(world, 2, Some(Msat(10_000_000)), &format!("after {steps}"), 3600);
            let id = world.request(0, pay(&invoice.bolt11));
            for _ in 0..steps {
                world.advance();
            }
            world.cut(a, b);
            // Whether it arrives is another story.
            let _ = world.run_until_reply(id);
            world.run_for_ms(60_000);
        }
    });
}

#[test]
fn crashes_under_traffic() {
    same_with_snapshots(45, 3, |world| {
        join(world, 3);
        for number in 0..20 {
            let invoice = invoice_for(world, 2, Some(Msat(1_000_000 + number)), &format!("{number}"), 3600);
            world.request(0, pay(&invoice.bolt11));
        }
        for (node, point) in
            [(1, CrashPoint::AfterCommit), (0, CrashPoint::BeforeCommit), (2, CrashPoint::AfterEffects)]
        {
            world.plan_crash(node, CrashPlan { turn: 3, point });
            world.run_for_ms(3_000);
        }
        world.run_for_ms(120_000);
        ask_of_history(world);
    });
}

#[test]
fn closes() {
    same_with_snapshots(46, 3, |world| {
        join(world, 3);
        // One by agreement, with a payment under way; one by force.
        let invoice = invoice_for(world, 1, Some(Msat(20_000_000)), "late", 3600);
        let payment = world.request(0, pay(&invoice.bolt11));
        for _ in 0..3 {
            world.advance();
        }
        let mutual = close(world, 1, None);
        world.call(0, mutual).expect("a mutual close");
        world.run_until_reply(payment).expect("the payment ends before the channel");
        let invoice = invoice_for(world, 2, Some(Msat(20_000_000)), "never", 3600);
        world.request(1, pay(&invoice.bolt11));
        while channels(world, 1).iter().all(|channel| channel.htlcs.is_empty()) {
            world.advance();
        }
        // They find each other again after half a second, and never for long enough.
        let force = close(world, 2, Some(1));
        let id = world.request(1, force);
        let closed = loop {
            world.cut(1, 2);
            world.run_for_ms(100);
            if let Some(closed) = world.reply(id) {
                break closed;
            }
        };
        assert!(matches!(closed, Ok(Response::ChannelClosed(ChannelClosed::Unilateral(_)))), "{}", world.story());
        for _ in 0..160 {
            world.mine(1);
        }
        ask_of_history(world);
        // Nobody but the one who closed by force has to wait for anything.
        for node in [0, 2] {
            assert!(channels(world, node).is_empty(), "{}", world.story());
        }
        assert_eq!(world.refused, []);
    });
}

#[test]
fn clients_that_wait() {
    same_with_snapshots(49, 3, |world| {
        // Somebody who is not there is dialled again and again.
        let nowhere = Connect { peer: NodeId([2; 33]), address: Some(NetAddr::Ip4([10, 9, 9, 9], 9735)) };
        world.call(0, Request::Connect(nowhere)).expect_err("nobody is there");
        join(world, 3);
        invoice_for(world, 2, Some(Msat(1_000_000)), "awaited", 3600);
        let any = WaitAnyInvoice { last_pay_index: 0, timeout_s: Some(30) };
        let never = WaitBlockHeight { height: BlockHeight(1_000_000), timeout_s: 20 };
        let soon = WaitBlockHeight { height: BlockHeight(world.chain.tip().height.0 + 2), timeout_s: 600 };
        let waits = [
            (Request::WaitInvoice { label: "awaited".to_owned() }, false),
            (Request::WaitAnyInvoice(any), true),
            (Request::WaitBlockHeight(never), false),
            (Request::WaitBlockHeight(soon), true),
        ];
        let waits = waits.map(|(request, answered)| (world.request(2, request), answered));
        let ping = Request::Ping(Ping { peer: world.id(1), len: 10, pong_bytes: 20 });
        world.call(2, ping).expect("it answers");
        pays(world, 0, 2, Msat(2_000_000), "paid");
        world.mine(2);
        world.run_for_ms(60_000);
        for (id, answered) in waits {
            let reply = world.reply(id);
            assert_eq!(reply.is_some_and(|reply| reply.is_ok()), answered, "request {id}");
        }
    });
}

#[test]
fn the_wallet() {
    same_with_snapshots(50, 2, |world| {
        world.faucet(0, Sat(3_000_000));
        world.faucet(0, Sat(2_000_000));
        let Ok(Response::Addresses(theirs)) = world.call(1, Request::NewAddr(AddressKind::P2tr)) else {
            panic!("an address")
        };
        let destination = theirs.p2tr.expect("that kind was asked for");
        for confirmed in [false, true] {
            let withdraw = Withdraw {
                destination: destination.clone(),
                amount: AmountOrAll::Amount(Sat(400_000)),
                feerate: None,
                min_confirmations: 0,
                utxos: None,
            };
            world.call(0, Request::Withdraw(Box::new(withdraw))).expect("there is enough");
            if confirmed {
                world.mine(1);
            }
        }
        let fund = FundPsbt {
            amount: AmountOrAll::Amount(Sat(100_000)),
            feerate: FeerateChoice::Normal,
            start_weight: 200,
            min_confirmations: 0,
            reserve_blocks: 3,
            locktime: None,
            min_witness_weight: 0,
            excess_as_change: true,
            opening_anchor_channel: false,
        };
        let Ok(Response::PsbtFunded(funded)) = world.call(0, Request::FundPsbt(fund)) else {
            panic!("there is enough")
        };
        world.mine(1);
        let sign = SignPsbt { psbt: funded.psbt, sign_only: None };
        world.call(0, Request::SignPsbt(sign)).expect("its inputs are ours");
        world.mine(5);
        world.call(0, Request::ListTransactions).expect("a list");
        world.call(0, Request::ListFunds { spent: true }).expect("a list");
    });
}

/// A small world with a payment under way, so that a snapshot has something of everything.
fn busy() -> World {
    let mut world = line(47, 3);
    let invoice = invoice_for(&mut world, 2, Some(Msat(10_000_000)), "far", 3600);
    world.request(0, pay(&invoice.bolt11));
    while channels(&mut world, 1).iter().all(|channel| channel.htlcs.is_empty()) {
        world.advance();
    }
    world
}

#[test]
fn a_damaged_snapshot_is_refused() {
    let mut bytes = busy().snapshot(1);
    assert!(Node::thaw(&bytes).is_ok());
    for len in 0..bytes.len() {
        assert!(Node::thaw(&bytes[..len]).is_err(), "cut after {len} bytes");
    }
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(Node::thaw(&bytes), Err(ThawError::Checksum { .. })), "bit {bit} is flipped");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    bytes.push(0);
    assert!(Node::thaw(&bytes).is_err(), "a byte too many");
}

/// Damage behind a right checksum does not happen by chance; even so it is no reason to fall over.
#[test]
fn a_wrong_snapshot_with_a_right_checksum_does_no_harm() {
    let bytes = busy().snapshot(1);
    let thaw = |mut bytes: Vec<u8>| {
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes[..1]), &bytes[5..]);
        bytes[1..5].copy_from_slice(&checksum.to_le_bytes());
        Node::thaw(&bytes).map(drop)
    };
    assert_eq!(thaw(bytes.clone()), Ok(()));
    let mut newer = bytes.clone();
    newer[0] += 1;
    assert_eq!(thaw(newer), Err(ThawError::UnknownVersion { version: bytes[0] + 1 }));
    for at in (5..bytes.len()).step_by(7) {
        // From 251 on a byte begins a longer number: the largest lengths that can be claimed.
        for value in [0, 252, 253, bytes[at] ^ 1] {
            let mut changed = bytes.clone();
            changed[at] = value;
            // Many of them are nodes, only not the one that was.
            let _ = thaw(changed);
        }
        assert!(thaw(bytes[..at].to_vec()).is_err(), "cut after {at} bytes");
    }
}

#[test]
fn sizes() {
    let mut world = World::new(48, 2, |_, _| {});
    world.faucet(0, Sat(200_000_000));
    connect(&mut world, 0, 1);
    let empty = world.snapshot(0).len();
    open(&mut world, 0, 1, Sat(1_000_000), Msat(300_000_000));
    let one = world.snapshot(0).len();
    for _ in 1..100 {
        open(&mut world, 0, 1, Sat(1_000_000), Msat(300_000_000));
    }
    let hundred = world.snapshot(0).len();
    println!("bytes of a snapshot: {empty} without a channel, {one} with one, {hundred} with a hundred");
    assert!(one - empty < 4_000 && hundred < empty + 100 * 4_000, "{empty} {one} {hundred}");
    assert_eq!(channels(&mut world, 0).len(), 100);
    let Ok(Response::Funds(_)) = world.call(0, Request::ListFunds { spent: false }) else { panic!("a list") };
}
