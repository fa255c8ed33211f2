//! Each limit, from the side that must keep it and from the side that must not be fooled.

use super::pair::{ALL_FEATURES, Pair, preimage};
use crate::amount::{Msat, Sat};
use crate::channel::limits::{Excess, Refusal};
use crate::channel::{ChannelError, Detail, Effect, OpenFeatures, Peeled};
use crate::ids::{HtlcId, PaymentHash, Point};
use crate::limits::ADDS_UNACKED_MAX;
use crate::onion::{self, blinding};
use crate::side::Side;
use crate::wire::{self, Message};

fn open() -> Pair {
    Pair::open(ALL_FEATURES, Msat(400_000_000))
}

const STATIC: OpenFeatures = OpenFeatures { anchors: false, ..ALL_FEATURES };

fn excess(result: Result<HtlcId, Refusal>) -> Excess {
    match result {
        Err(Refusal::Excess(excess)) => excess,
        other => panic!("{other:?}"),
    }
}

/// An add of bob's that his own node would not have made.
fn force(pair: &mut Pair, change: impl FnOnce(&mut wire::UpdateAddHtlc<'_>)) -> Result<(), ChannelError> {
    let onion = [2; crate::onion::ONION_SIZE];
    let mut add = wire::UpdateAddHtlc {
        channel_id: pair.alice.channel().id(),
        id: 0,
        amount_msat: Msat(5_000_000),
        payment_hash: PaymentHash([1; 32]),
        cltv_expiry: 500,
        onion_routing_packet: &onion,
        blinded_path: None,
    };
    change(&mut add);
    pair.alice.receive(&Message::UpdateAddHtlc(add))
}

#[test]
fn what_may_be_sent_is_exactly_what_is_said() {
    for features in [ALL_FEATURES, STATIC] {
        for push in [0, 400_000, 700_000_000, 985_000_000] {
            for by in [Side::Local, Side::Remote] {
                let mut pair = Pair::open(features, Msat(push));
                let (end, other) = match by {
                    Side::Local => (&mut pair.alice, &pair.bob),
                    Side::Remote => (&mut pair.bob, &pair.alice),
                };
                let most = end.channel().spendable_msat(&end.config);
                // What the sender may, the receiver takes.
                assert!(most <= other.channel().receivable_msat(&other.config));
                assert!(end.offer(1, Msat(most.0 + 1)).is_err(), "{push} {most}");
                if most > Msat::ZERO {
                    end.offer(1, most).expect("it said so");
                    pair.drain();
                    pair.assert_agreement();
                    pair.assert_publishable();
                }
            }
        }
    }
}

#[test]
fn the_opener_keeps_reserve_fees_and_more_and_the_other_its_reserve() {
    let mut pair = open();
    let most = pair.alice.channel().spendable_msat(&pair.alice.config);
    // 600,000 less the reserve, both anchors, and the fee of two HTLCs at twice the feerate of 1,000.
    assert_eq!(most, Sat(600_000 - 10_000 - 660 - 2 * (1124 + 2 * 172)).to_msat());
    assert!(matches!(excess(pair.alice.offer(1, Msat(most.0 + 1))), Excess::Balance { .. }));
    let most = pair.bob.channel().spendable_msat(&pair.bob.config);
    assert_eq!(most, Sat(400_000 - 10_000).to_msat());
    assert!(matches!(excess(pair.bob.offer(1, Msat(most.0 + 1))), Excess::Balance { .. }));
    // Alice does not let herself be fooled about bob's reserve.
    let error = force(&mut pair, |add| add.amount_msat = Msat(most.0 + 1)).expect_err("it is too much");
    assert!(matches!(error, ChannelError::Excess(Excess::Balance { .. })));
    force(&mut pair, |add| add.amount_msat = most).expect("it is all he has");
}

#[test]
fn simple_bounds() {
    let mut pair = open();
    assert_eq!(excess(pair.alice.offer(1, Msat(0))), Excess::ZeroAmount);
    let late = pair.alice.offer_until(1, Msat(5_000_000), 500_000_000);
    assert_eq!(excess(late), Excess::Expiry { actual: 500_000_000 });
    let error = force(&mut pair, |add| add.amount_msat = Msat(0)).expect_err("nothing is no HTLC");
    assert_eq!(error, ChannelError::Excess(Excess::ZeroAmount));
    let error = force(&mut pair, |add| add.cltv_expiry = 500_000_000).expect_err("it is no height");
    assert_eq!(error, ChannelError::Excess(Excess::Expiry { actual: 500_000_000 }));
    let error = force(&mut pair, |add| add.id = 1).expect_err("ids have no gaps");
    assert_eq!(error, ChannelError::WrongId { expected: HtlcId(0), actual: HtlcId(1) });
    let error = force(&mut pair, |add| add.amount_msat = Msat(u64::MAX)).expect_err("nobody has that");
    assert!(matches!(error, ChannelError::Excess(Excess::InFlight { .. })));
    let (unknown, preimage) = (HtlcId(7), preimage(1));
    let refused = pair.alice.act(|channel, cx| channel.fulfill_htlc(cx, unknown, preimage));
    assert_eq!(refused, Err(Refusal::NoSuchHtlc));
}

#[test]
fn counts_values_and_minimums_are_the_receivers() {
    let (mut alice, mut bob) = Pair::strangers();
    bob.config.max_accepted_htlcs = 2;
    bob.config.htlc_minimum_msat = Msat(2_000);
    bob.config.max_in_flight_permille = 100;
    let request = super::pair::request(&bob, ALL_FEATURES);
    super::pair::begin(&mut alice, &mut bob, request);
    let mut pair = Pair::fund(alice, bob);
    pair.confirm();
    pair.drain();
    let below = excess(pair.alice.offer(1, Msat(1_999)));
    assert_eq!(below, Excess::BelowMinimum { minimum: Msat(2_000), actual: Msat(1_999) });
    let over = excess(pair.alice.offer(1, Msat(100_000_001)));
    assert_eq!(over, Excess::InFlight { maximum: Msat(100_000_000), actual: Msat(100_000_001) });
    pair.alice.offer(1, Msat(60_000_000)).expect("there is room");
    let over = excess(pair.alice.offer(2, Msat(40_000_001)));
    assert_eq!(over, Excess::InFlight { maximum: Msat(100_000_000), actual: Msat(100_000_001) });
    pair.alice.offer(2, Msat(2_000)).expect("there is room");
    assert_eq!(excess(pair.alice.offer(3, Msat(2_000))), Excess::Count { maximum: 2 });
    pair.bob.offer(3, Msat(1)).expect("alice's limits are others");
    pair.drain();
    // A removal that is only half done frees nothing yet.
    let (id, _) = pair.bob.waiting()[0];
    pair.bob.act(|channel, cx| channel.fail_htlc(cx, id, b"no")).expect("it waits");
    pair.bob.flush();
    pair.deliver(Side::Local);
    assert_eq!(excess(pair.alice.offer(4, Msat(2_000))), Excess::Count { maximum: 2 });
    pair.drain();
    pair.alice.offer(4, Msat(2_000)).expect("there is room");
}

#[test]
fn more_adds_than_one_retransmission_holds_wait() {
    let mut pair = open();
    let most = ADDS_UNACKED_MAX as u64;
    for part in 0..most {
        pair.alice.offer(part, Msat(1_000_000)).expect("there is room");
    }
    assert_eq!(excess(pair.alice.offer(most, Msat(1_000_000))), Excess::Unacked { maximum: ADDS_UNACKED_MAX });
    pair.drain();
    assert!(pair.alice.effects.iter().any(|effect| matches!(effect, Effect::Room { .. })));
    pair.alice.offer(most, Msat(1_000_000)).expect("there is room again");
    pair.drain();
    pair.assert_publishable();
}

#[test]
fn dust_is_bounded_where_we_decide_and_failed_where_we_cannot() {
    let mut pair = open();
    pair.each(|end| end.config.max_dust_exposure_msat = Msat(1_000_000));
    for part in 0..3 {
        pair.alice.offer(part, Msat(300_000)).expect("there is room");
    }
    let over = excess(pair.alice.offer(3, Msat(300_000)));
    assert!(matches!(over, Excess::Dust { maximum: Msat(1_000_000), actual: Msat(1_200_000), .. }));
    pair.alice.offer(3, Msat(400_000)).expect("it has an output");
    // Bob's node sees no harm in what alice's does not bear.
    pair.bob.config.max_dust_exposure_msat = Msat(10_000_000);
    pair.drain();
    pair.bob.offer(4, Msat(300_000)).expect("there is room");
    pair.drain();
    let told = pair.alice.effects.iter().any(|effect| matches!(effect, Effect::Incoming { dust_excess: true, .. }));
    assert!(told, "alice must fail it");
    pair.assert_agreement();
}

/// 1 sat below, at, and above the threshold, on both commitments: both ends trim the same.
#[test]
fn trimming_agrees_at_the_edge() {
    for features in [ALL_FEATURES, STATIC] {
        let mut pair = Pair::open(features, Msat(400_000_000));
        let feerate = u64::from(pair.alice.channel().ledger().newest_feerate());
        let fees = if features.anchors { [0, 0] } else { [feerate * 663 / 1000, feerate * 703 / 1000] };
        let mut part = 0;
        for fee in fees {
            for amount in [354_000 + fee * 1000 - 1, 354_000 + fee * 1000, 354_999 + fee * 1000, 355_000 + fee * 1000] {
                pair.alice.offer(part, Msat(amount)).expect("there is room");
                pair.bob.offer(part + 1, Msat(amount)).expect("there is room");
                part += 2;
            }
        }
        pair.drain();
        pair.assert_agreement();
        pair.assert_publishable();
    }
}

#[test]
fn only_an_opener_that_can_pay_sets_fees() {
    let mut pair = Pair::open(ALL_FEATURES, Msat(980_000_000));
    assert_eq!(pair.bob.act(|channel, cx| channel.update_fee(cx, 2_000)), Err(Refusal::NotOpener));
    let too_much = pair.alice.act(|channel, cx| channel.update_fee(cx, 20_000));
    assert!(matches!(too_much, Err(Refusal::Excess(Excess::OpenerFee { .. }))));
    let too_low = pair.alice.act(|channel, cx| channel.update_fee(cx, 252));
    assert!(matches!(too_low, Err(Refusal::Excess(Excess::Feerate { minimum: 253, .. }))));
    pair.alice.act(|channel, cx| channel.update_fee(cx, 3_000)).expect("she can pay");
    pair.alice.act(|channel, cx| channel.update_fee(cx, 4_000)).expect("the later one counts");
    pair.drain();
    assert_eq!(pair.bob.channel().ledger().newest_feerate(), 4_000);
    pair.assert_publishable();
    let fee =
        |feerate_per_kw| Message::UpdateFee(wire::UpdateFee { channel_id: crate::ids::ChannelId::ALL, feerate_per_kw });
    assert_eq!(pair.alice.receive(&fee(3_000)), Err(ChannelError::NotOpener));
    let error = pair.bob.receive(&fee(20_000)).expect_err("she cannot pay");
    assert!(matches!(error, ChannelError::Excess(Excess::OpenerFee { .. })));
    assert!(matches!(pair.bob.receive(&fee(10)), Err(ChannelError::Excess(Excess::Feerate { .. }))));
}

/// The other side must leave the opener able to pay for what it is offered, or the channel would be stuck.
#[test]
fn the_other_side_does_not_push_the_opener_below_its_fees() {
    let mut pair = Pair::open(ALL_FEATURES, Msat(988_100_000));
    let refused = excess(pair.bob.offer(1, Msat(5_000_000)));
    assert!(matches!(refused, Excess::OpenerFee { .. }), "{refused:?}");
    // What has no output costs nothing: value can still go to the opener.
    pair.bob.offer(1, Msat(300_000)).expect("it is dust");
    pair.drain();
    let (id, _) = pair.alice.waiting()[0];
    pair.alice.act(|channel, cx| channel.fulfill_htlc(cx, id, preimage(1))).expect("it waits");
    pair.drain();
    assert_eq!(pair.alice.channel().ledger().base().local, Msat(12_200_000));
}

#[test]
fn the_opener_follows_the_chain_within_bounds() {
    let mut pair = open();
    pair.alice.act(|channel, cx| channel.follow_feerates(cx));
    assert_eq!(pair.alice.channel().ledger().newest_feerate(), 1_000, "nothing has moved");
    let mut feerates = pair.alice.chain.feerates();
    feerates.blocks_6 = 90_000;
    pair.alice.chain.feerates = Some(feerates);
    pair.alice.act(|channel, cx| channel.follow_feerates(cx));
    assert_eq!(pair.alice.channel().ledger().newest_feerate(), 2_500, "with anchors it need not pay for haste");
    pair.drain();
    pair.assert_agreement();
}

#[test]
fn inside_a_blinded_route_one_code_tells_nothing() {
    let code = |blinded: bool| {
        let mut pair = open();
        let path_key = pair.bob.config.node_id.0;
        force(&mut pair, |add| add.blinded_path = blinded.then_some(crate::ids::Point(path_key)))
            .expect("within limits");
        match &pair.alice.channel().received(HtlcId(0)).expect("it was taken in").detail {
            Detail::Received { onion: Peeled::Malformed { code, .. }, .. } => *code,
            other => panic!("{other:?}"),
        }
    };
    // The onion of `force` has no known version.
    assert_eq!(code(false), 0xc004);
    assert_eq!(code(true), 0xc018);
}

#[test]
fn an_onion_behind_a_path_key_is_opened_with_the_blinded_key() {
    let mut pair = open();
    let alice = pair.alice.config.node_id.parse().expect("a node's key");
    let path = blinding::blind(&[7; 32], [(alice, b"for alice")].into_iter()).expect("a good key");
    let payment_hash = PaymentHash([1; 32]);
    let hops = [(path.hops[0].blinded_node_id, [9; 20])];
    let built = onion::build(&[8; 32], hops.into_iter(), &payment_hash.0).expect("it fits");
    let path_key = Some(path.first_path_key.into());
    force(&mut pair, |add| {
        add.onion_routing_packet = Box::leak(Box::new(built.packet));
        add.blinded_path = path_key;
    })
    .expect("within limits");
    let received = pair.alice.channel().received(HtlcId(0)).expect("it was taken in").detail.clone();
    let Detail::Received { onion: Peeled::Blinded { shared_secret, path_secret, payload, forward, .. }, .. } = received
    else {
        panic!("{received:?}")
    };
    assert_eq!((&payload[..], forward), (&[9; 20][..], false));
    assert_eq!(shared_secret, built.shared_secrets[0]);
    let mut encrypted = path.hops[0].encrypted_recipient_data.clone();
    assert_eq!(blinding::open(&path_secret, &mut encrypted), Some(&b"for alice"[..]));

    // The same onion without the path key, with another, or with one that is no point.
    let code = |path_key: Option<Point>| {
        let mut pair = open();
        force(&mut pair, |add| {
            add.onion_routing_packet = Box::leak(Box::new(built.packet));
            add.blinded_path = path_key;
        })
        .expect("within limits");
        match &pair.alice.channel().received(HtlcId(0)).expect("it was taken in").detail {
            Detail::Received { onion: Peeled::Malformed { code, .. }, .. } => *code,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code(None), 0xc005);
    assert_eq!(code(Some(alice.into())), 0xc018);
    assert_eq!(code(Some(Point([5; 33]))), 0xc018);
}
