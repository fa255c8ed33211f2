//! Channels from their opening to their end.

use bitcoin::{OutPoint, ScriptBuf, Transaction};

use super::pair::{ALL_FEATURES, End, Pair, close_script, funding_tx, preimage, request, verify};
use crate::amount::{Msat, Sat};
use crate::chain::Tip;
use crate::channel::{
    ChannelError, ChannelType, CloseReason, CloseTerms, Cx, Detail, Effect, HtlcKey, OpenFeatures, OpenRequest,
    Opening, Peeled, Phase, SpendBy, Spendable, Spender,
};
use crate::clock::Clock;
use crate::ids::{BlockHeight, ChannelKey, ConnId, KeysIndex, Sig};
use crate::side::{PerSide, Side};
use crate::signer::{KeysSigner, Signer, SignerState};
use crate::store::Table;
use crate::tx::{CommitFormat, Sweep};
use crate::wire::{self, Message};

fn open() -> Pair {
    Pair::open(ALL_FEATURES, Msat(400_000_000))
}

const ANY_FEE: CloseTerms = CloseTerms { feerate_range_per_kw: None };

fn has(end: &End, wanted: impl Fn(&Effect) -> bool) -> bool {
    end.effects.iter().any(wanted)
}

fn at_height(end: &mut End, height: u32) {
    end.chain.tip = Some(Tip { height: BlockHeight(height), ..end.chain.tip.expect("it has one") });
    end.act(|channel, cx| channel.block(cx, BlockHeight(height)));
}

#[test]
fn an_opened_channel_is_written_down_watched_and_known_by_its_aliases() {
    let mut pair = Pair::unconfirmed(ALL_FEATURES, Msat(400_000_000));
    assert!(has(&pair.alice, |effect| matches!(effect, Effect::FundingSafe { .. })));
    pair.each(|end| {
        for table in [Table::Channel, Table::Commitment, Table::Signature] {
            assert_eq!(end.world.rows.keys().filter(|(at, _)| *at == table).count(), 1);
        }
        assert_eq!(*end.channel().phase(), Phase::AwaitingFunding);
        assert!(end.offer(1, Msat(10_000_000)).is_err());
    });
    pair.assert_agreement();
    pair.assert_publishable();
    let mut pair = open();
    pair.each(|end| {
        assert!(has(end, |effect| matches!(effect, Effect::Ready { .. })));
        assert!(has(end, |effect| matches!(effect, Effect::AliasKnown { .. })));
        assert!(end.channel().row().scid_alias, "it is not to be announced, so only aliases are told");
        assert_eq!(end.channel().scid().map(|scid| scid.to_string()).as_deref(), Some("90x5x1"));
    });
    assert_eq!(pair.alice.channel().row().alias.local, pair.bob.channel().row().alias.remote);
    // A small commitment row is what each step costs.
    let sizes = pair.alice.world.rows.iter().filter(|((table, _), _)| *table == Table::Commitment);
    assert!(sizes.map(|(_, value)| value.len()).max() <= Some(200));
}

#[test]
fn both_ends_sign_the_announcement_once_the_funding_is_deep() {
    let (mut alice, mut bob) = Pair::strangers();
    let mut pair = {
        let request = OpenRequest { announce: true, ..request(&bob, ALL_FEATURES) };
        super::pair::begin(&mut alice, &mut bob, request);
        Pair::fund(alice, bob)
    };
    pair.confirm();
    pair.drain();
    pair.each(|end| {
        let announced = end.effects.iter().filter(|effect| matches!(effect, Effect::Announced { .. })).count();
        assert_eq!(announced, 1);
        assert!(!end.channel().row().scid_alias);
    });
    // Neither repeats it for ever.
    pair.reconnect();
    pair.drain();
    // A reorganisation moves the funding: the old announcement is void, and the channel goes on.
    pair.each(|end| end.act(|channel, cx| channel.funding_unconfirmed(cx)));
    let funding = pair.funding.clone();
    pair.each(|end| end.act(|channel, cx| channel.funding_confirmed(cx, &funding, BlockHeight(91), 2)));
    pair.drain();
    pair.each(|end| {
        assert!(end.channel().row().announcement.remote.is_some());
        assert_eq!(end.channel().scid().map(|scid| scid.to_string()).as_deref(), Some("91x2x1"));
    });
}

#[test]
fn each_end_learns_what_the_other_asks() {
    let mut pair = open();
    pair.each(|end| {
        assert!(has(end, |effect| matches!(effect, Effect::UpdateDue { .. })));
        end.act(|channel, cx| channel.send_update(cx, 1_000));
    });
    let Some(Message::ChannelUpdate(mut forged)) = pair.bob.world.sent.front().cloned() else { panic!("it was sent") };
    pair.drain();
    pair.each(|end| {
        let theirs = end.channel().peer_policy().expect("the other told it");
        assert_eq!(theirs.policy.fee_base_msat, 1_000);
        assert_eq!(theirs.policy.htlc_maximum_msat, Msat(1_000_000_000));
        assert!(!theirs.disabled);
    });
    forged.fee_base_msat = 0;
    forged.timestamp = 2_000;
    let forged = Message::ChannelUpdate(forged);
    assert_eq!(pair.alice.receive(&forged), Err(ChannelError::BadAnnouncement));
    // Older news changes nothing.
    let policy = crate::channel::Policy { fee_base_msat: 7, ..pair.bob.channel().row().policy };
    pair.bob.act(|channel, cx| channel.set_policy(cx, policy));
    for (timestamp, fee) in [(999, 1_000), (1_001, 7)] {
        pair.bob.act(|channel, cx| channel.send_update(cx, timestamp));
        pair.drain();
        assert_eq!(pair.alice.channel().peer_policy().map(|theirs| theirs.policy.fee_base_msat), Some(fee));
    }
}

/// A peer that says it funded a channel and did not would otherwise be paid for nothing.
#[test]
fn a_funding_that_is_not_what_was_agreed_ends_the_channel() {
    let lies: [fn(&mut Transaction); 3] = [
        |tx| tx.output[1].value = bitcoin::Amount::from_sat(999_999),
        |tx| tx.output[1].script_pubkey = close_script(1),
        |tx| tx.output.truncate(1),
    ];
    for lie in lies {
        let (mut alice, mut bob) = Pair::strangers();
        let open = request(&bob, ALL_FEATURES);
        super::pair::begin(&mut alice, &mut bob, open);
        let mut pair = Pair::fund_with(alice, bob, lie);
        let funding = pair.funding.clone();
        pair.bob.act(|channel, cx| channel.funding_confirmed(cx, &funding, BlockHeight(90), 5));
        assert_eq!(*pair.bob.channel().phase(), Phase::Closed);
        assert!(has(&pair.bob, |effect| matches!(effect, Effect::Closed { .. })));
        assert!(pair.bob.world.rows.is_empty());
        assert!(!pair.bob.channel().row().ready.local);
    }
}

#[test]
fn a_channel_that_nobody_funds_is_forgotten_by_the_side_that_waits() {
    let mut pair = Pair::unconfirmed(ALL_FEATURES, Msat(0));
    pair.each(|end| at_height(end, 100 + 2015));
    assert_eq!(*pair.bob.channel().phase(), Phase::AwaitingFunding);
    pair.each(|end| at_height(end, 100 + 2016));
    assert_eq!(*pair.bob.channel().phase(), Phase::Closed);
    assert_eq!(*pair.alice.channel().phase(), Phase::AwaitingFunding, "her coins may still confirm");
}

/// A fake channel costs its maker nothing, so none may stay for ever: not even one that its maker closes again.
#[test]
fn a_fake_channel_that_is_closed_again_is_forgotten_too() {
    let mut pair = Pair::unconfirmed(ALL_FEATURES, Msat(400_000_000));
    pair.alice.act(|channel, cx| channel.shutdown(cx, None, ANY_FEE)).expect("it may close");
    pair.drain();
    assert!(matches!(pair.bob.channel().phase(), Phase::OnChain { .. }));
    at_height(&mut pair.bob, 100 + 2016);
    assert_eq!(*pair.bob.channel().phase(), Phase::Closed);
    assert!(pair.bob.world.rows.is_empty());

    let mut pair = Pair::unconfirmed(ALL_FEATURES, Msat(400_000_000));
    assert!(pair.alice.act(|channel, cx| channel.abandon(cx, "its inputs are spent elsewhere")));
    assert!(pair.alice.world.rows.is_empty());
    let mut pair = open();
    assert!(!pair.alice.act(|channel, cx| channel.abandon(cx, "by mistake")));
}

#[test]
fn channel_types_travel_and_return() {
    for format in [CommitFormat::StaticRemoteKey, CommitFormat::AnchorsZeroFeeHtlc] {
        for scid_alias in [false, true] {
            let of = ChannelType { format, scid_alias };
            assert_eq!(ChannelType::parse(&of.to_bytes()), Some(of));
        }
    }
    let anchors = ChannelType { format: CommitFormat::AnchorsZeroFeeHtlc, scid_alias: false };
    assert_eq!(anchors.to_bytes(), [0x40, 0x10, 0x00]);
    // Zero confirmations (bit 50), and nothing at all.
    assert_eq!(ChannelType::parse(&[4, 0, 0, 0, 0x40, 0x10, 0]), None);
    assert_eq!(ChannelType::parse(&[]), None);
}

/// Alice's offer as bob gets it, with one thing changed.
fn refused(change: impl FnOnce(&mut wire::OpenChannel<'static>)) -> ChannelError {
    refused_with(ALL_FEATURES, change)
}

fn refused_with(features: OpenFeatures, change: impl FnOnce(&mut wire::OpenChannel<'static>)) -> ChannelError {
    let (mut alice, mut bob) = Pair::strangers();
    let mut open = super::pair::offer(&mut alice, &bob);
    change(&mut open);
    let conn = ConnId { slot: 0, generation: 0 };
    let (names, peer) = ((ChannelKey(1), KeysIndex(1)), alice.config.node_id);
    let result =
        super::pair::with_cx!(&mut bob, cx, Opening::accept(cx, conn, names, peer, features, close_script(2), &open));
    assert!(bob.world.sent.is_empty() && bob.world.puts == 0, "nothing is sent or written for a refused offer");
    result.err().expect("it is refused")
}

#[test]
fn offers_that_would_hurt_are_refused() {
    let field = |error: ChannelError| match error {
        ChannelError::Parameter { field, .. } | ChannelError::TooMuch { field, .. } => field,
        other => panic!("{other}"),
    };
    assert_eq!(field(refused(|open| open.dust_limit_satoshis = Sat(353))), "dust_limit_satoshis");
    assert_eq!(field(refused(|open| open.dust_limit_satoshis = Sat(100_000))), "dust_limit_satoshis");
    assert_eq!(field(refused(|open| open.channel_reserve_satoshis = Sat(353))), "channel_reserve_satoshis");
    assert_eq!(field(refused(|open| open.channel_reserve_satoshis = Sat(900_000))), "channel_reserve_satoshis");
    assert_eq!(field(refused(|open| open.max_accepted_htlcs = 484)), "max_accepted_htlcs");
    assert_eq!(field(refused(|open| open.max_accepted_htlcs = 0)), "max_accepted_htlcs");
    assert_eq!(field(refused(|open| open.to_self_delay = 2017)), "to_self_delay");
    assert_eq!(field(refused(|open| open.htlc_minimum_msat = Msat(900_000_000))), "htlc_minimum_msat");
    assert_eq!(field(refused(|open| open.max_htlc_value_in_flight_msat = Msat(0))), "max_htlc_value_in_flight_msat");
    assert_eq!(field(refused(|open| open.push_msat = Msat(1_000_000_001))), "push_msat");
    assert_eq!(field(refused(|open| open.push_msat = Msat(1_000_000_000))), "push_msat");
    assert_eq!(field(refused(|open| open.feerate_per_kw = 252)), "feerate_per_kw");
    assert_eq!(field(refused(|open| open.feerate_per_kw = u32::MAX)), "feerate_per_kw");
    assert_eq!(field(refused(|open| open.funding_satoshis = Sat(1_000))), "funding_satoshis");
    assert_eq!(field(refused(|open| open.funding_satoshis = Sat(u64::MAX))), "funding_satoshis");
    let small = OpenFeatures { large: false, ..ALL_FEATURES };
    assert_eq!(field(refused_with(small, |open| open.funding_satoshis = Sat(1 << 24))), "funding_satoshis");
    assert_eq!(refused(|open| open.chain_hash.0[0] ^= 1), ChannelError::ChainHash);
    assert_eq!(refused(|open| open.channel_type = None), ChannelError::ChannelType);
    assert_eq!(refused(|open| open.channel_type = Some(wire::Rest(&[1]))), ChannelError::ChannelType);
    // Aliases only, and announced.
    assert_eq!(refused(|open| open.channel_flags = 1), ChannelError::ChannelType);
    assert_eq!(
        refused(|open| open.upfront_shutdown_script = Some(wire::Rest(&[0x6a]))),
        ChannelError::BadShutdownScript
    );
    let point = refused(|open| open.htlc_basepoint.0 = [5; 33]);
    assert_eq!(point, ChannelError::BadPoint { field: "htlc_basepoint" });
}

#[test]
fn a_false_signature_on_the_first_commitment_ends_the_opening() {
    let (mut alice, mut bob) = Pair::strangers();
    let open = request(&bob, ALL_FEATURES);
    super::pair::begin(&mut alice, &mut bob, open);
    super::pair::build_funding(&mut alice, |_| {});
    let Some(Message::FundingCreated(mut created)) = alice.world.sent.pop_front() else { panic!("it is next") };
    created.signature = Sig([1; 64]);
    assert_eq!(bob.receive(&Message::FundingCreated(created)), Err(ChannelError::BadSignature));
    assert_eq!(bob.world.puts, 0);
}

#[test]
fn a_channel_without_htlcs_closes_by_agreement() {
    for closer in [Side::Local, Side::Remote] {
        let mut pair = open();
        let end = if closer == Side::Local { &mut pair.alice } else { &mut pair.bob };
        end.act(|channel, cx| channel.shutdown(cx, None, ANY_FEE)).expect("it is open");
        pair.drain();
        let tx = pair.alice.world.broadcast[0].clone();
        assert_eq!(tx, pair.bob.world.broadcast[0]);
        verify(&pair.funding.output[1], &tx, 0);
        let scripts: Vec<ScriptBuf> = tx.output.iter().map(|output| output.script_pubkey.clone()).collect();
        assert!(scripts.contains(&close_script(1)) && scripts.contains(&close_script(2)));
        pair.each(|end| {
            assert!(has(end, |effect| matches!(effect, Effect::MutualClose { output: Some(_), .. })));
            end.act(|channel, cx| channel.funding_spent(cx, &tx, BlockHeight(110)));
            assert!(has(end, |effect| matches!(effect, Effect::Spent { by: Spender::Mutual, .. })));
            at_height(end, 208);
            assert_ne!(*end.channel().phase(), Phase::Closed);
            at_height(end, 209);
            assert_eq!(*end.channel().phase(), Phase::Closed);
            assert!(end.world.rows.is_empty());
        });
    }
}

#[test]
fn both_ends_may_begin_to_close_at_once_and_lose_the_connection_in_between() {
    for lost_after in 0..8 {
        let mut pair = open();
        pair.each(|end| end.act(|channel, cx| channel.shutdown(cx, None, ANY_FEE)).expect("it is open"));
        pair.each(End::flush);
        for _ in 0..lost_after {
            pair.deliver(Side::Local);
            pair.deliver(Side::Remote);
            pair.each(End::flush);
        }
        pair.disconnect();
        pair.alice.restart();
        pair.connect();
        let closed = |end: &End| matches!(end.channel().phase(), Phase::OnChain { .. });
        pair.drain();
        assert!(closed(&pair.alice) && closed(&pair.bob));
        assert_eq!(pair.alice.world.broadcast, pair.bob.world.broadcast);
    }
}

#[test]
fn shutdown_waits_for_htlcs_of_both_directions() {
    let mut pair = open();
    pair.alice.offer(1, Msat(50_000_000)).expect("there is room");
    pair.bob.offer(2, Msat(60_000_000)).expect("there is room");
    pair.drain();
    pair.alice.act(|channel, cx| channel.shutdown(cx, None, ANY_FEE)).expect("it is open");
    pair.drain();
    pair.each(|end| {
        assert_eq!(*end.channel().phase(), Phase::ShuttingDown);
        assert!(end.offer(3, Msat(1_000_000)).is_err(), "no adds after shutdown");
    });
    pair.reconnect();
    pair.drain();
    let (id, _) = pair.bob.waiting()[0];
    pair.bob.act(|channel, cx| channel.fulfill_htlc(cx, id, preimage(1))).expect("it waits");
    pair.drain();
    pair.disconnect();
    pair.alice.restart();
    let (id, _) = pair.alice.waiting()[0];
    // Decided while the peer is away.
    pair.alice.act(|channel, cx| channel.fail_htlc(cx, id, b"no")).expect("it waits");
    pair.connect();
    pair.drain();
    pair.each(|end| assert!(matches!(end.channel().phase(), Phase::OnChain { .. })));
    assert_eq!(pair.alice.world.broadcast, pair.bob.world.broadcast);
    verify(&pair.funding.output[1], &pair.alice.world.broadcast[0], 0);
}

/// Spends an output on our way out, as the chain would see it.
fn sweep(end: &mut End, spendable: &Spendable) {
    let keys = end.channel().row().keys;
    let channel = end.channel.take().expect("it is there");
    let claim = channel.claim(&mut end.signer, spendable).expect("it is ours");
    end.channel = Some(channel);
    assert_eq!(claim.script_pubkey().as_bytes(), spendable.output.script_pubkey.as_bytes());
    let sweep = Sweep::new(&[claim], close_script(4), 300).expect("it is worth it");
    let mut sigs = Vec::new();
    end.signer.sign_sweep(keys, &sweep, &mut sigs).expect("it is ours");
    verify(&spendable.output, &sweep.signed(&sigs), 0);
}

fn spendables(end: &End) -> Vec<Spendable> {
    let found = end.effects.iter().filter_map(|effect| match effect {
        Effect::SpendableOutput { spendable, .. } => Some(spendable.clone()),
        _ => None,
    });
    found.collect()
}

#[test]
fn after_a_forced_close_both_ends_find_their_money() {
    for features in [ALL_FEATURES, OpenFeatures { anchors: false, ..ALL_FEATURES }] {
        let mut pair = Pair::open(features, Msat(400_000_000));
        pair.alice.offer(1, Msat(50_000_000)).expect("there is room");
        pair.drain();
        pair.alice.act(|channel, cx| channel.force_close(cx, CloseReason::Operator));
        let tx = pair.alice.world.broadcast[0].clone();
        verify(&pair.funding.output[1], &tx, 0);
        assert!(has(&pair.alice, |effect| matches!(effect, Effect::ForceClose { reason: CloseReason::Operator, .. })));
        pair.each(|end| end.act(|channel, cx| channel.funding_spent(cx, &tx, BlockHeight(120))));
        let [ours] = &spendables(&pair.alice)[..] else { panic!("to_local") };
        assert!(matches!(ours.by, SpendBy::ToLocal { to_self_delay: 144, .. }));
        assert_eq!(ours.from_height, BlockHeight(264));
        sweep(&mut pair.alice, &ours.clone());
        let [theirs] = &spendables(&pair.bob)[..] else { panic!("to_remote") };
        assert!(matches!(theirs.by, SpendBy::ToRemote { .. }));
        assert_eq!(theirs.output.value.to_sat(), 400_000);
        sweep(&mut pair.bob, &theirs.clone());
        // The peer comes back and hears that it is over; nothing is signed any more.
        pair.alice.act(|channel, cx| channel.funding_unspent(cx));
        assert_eq!(pair.alice.world.broadcast.len(), 2, "a reorganisation makes us say it again");
    }
}

#[test]
fn every_htlc_on_chain_can_be_claimed_by_whom_it_belongs_to() {
    for features in [ALL_FEATURES, OpenFeatures { anchors: false, ..ALL_FEATURES }] {
        let mut pair = Pair::open(features, Msat(400_000_000));
        // Equal in hash and amount: only their ids tell them apart.
        for _ in 0..2 {
            pair.alice.offer(1, Msat(50_000_000)).expect("there is room");
            pair.bob.offer(2, Msat(50_000_000)).expect("there is room");
        }
        pair.drain();
        pair.disconnect();
        let known = |end: &mut End, part| {
            let (id, _) = end.waiting()[1];
            end.act(|channel, cx| channel.fulfill_htlc(cx, id, preimage(part))).expect("it waits");
            end.flush();
            HtlcKey { offered_by: Side::Remote, id }
        };
        let alice_knows = known(&mut pair.alice, 2);
        let bob_knows = known(&mut pair.bob, 1);
        pair.alice.act(|channel, cx| channel.force_close(cx, CloseReason::Operator));
        let commitment = pair.alice.world.broadcast[0].clone();

        // Alice, on her own commitment: both timeouts, and the one preimage that she has.
        let ours = pair.alice.act(|channel, cx| channel.htlcs_on_ours(cx));
        assert_eq!(ours.len(), 4);
        let mut taken = 0;
        for htlc in ours {
            assert_eq!(htlc.tx.is_some(), htlc.key.offered_by == Side::Local || htlc.key == alice_knows);
            let Some(mut tx) = htlc.tx else { continue };
            let witness = pair.alice.act(|channel, cx| channel.htlc_witness(cx, htlc.key, &tx, 0));
            tx.input[0].witness = witness.expect("it has all it takes");
            verify(&commitment.output[htlc.outpoint.vout as usize], &tx, 0);
            taken += 1;
        }
        assert_eq!(taken, 3);

        // Bob, on hers.
        pair.bob.act(|channel, cx| channel.funding_spent(cx, &commitment, BlockHeight(120)));
        let number = pair.bob.effects.iter().find_map(|effect| match effect {
            Effect::Spent { by: Spender::TheirCommitment { number }, .. } => Some(*number),
            _ => None,
        });
        let number = number.expect("it is the latest of hers");
        let keys = pair.bob.channel().row().keys;
        let theirs = pair.bob.act(|channel, cx| channel.htlcs_on_theirs(cx, number));
        assert_eq!(theirs.len(), 4);
        let mut taken = 0;
        for htlc in theirs {
            assert_eq!(htlc.claim.is_some(), htlc.key.offered_by == Side::Local || htlc.key == bob_knows);
            let Some(claim) = htlc.claim else { continue };
            let sweep = Sweep::new(&[claim], close_script(4), 300).expect("it is worth it");
            let mut sigs = Vec::new();
            pair.bob.signer.sign_sweep(keys, &sweep, &mut sigs).expect("it is his");
            verify(&commitment.output[htlc.outpoint.vout as usize], &sweep.signed(&sigs), 0);
            taken += 1;
        }
        assert_eq!(taken, 3);
    }
}

#[test]
fn a_revoked_commitment_on_chain_costs_its_owner_everything() {
    let mut pair = open();
    // Alice keeps a signed copy of her first commitment, behind her signer's back.
    let mut copy = KeysSigner::new([1; 64], bitcoin::Network::Regtest, [1; 32]);
    copy.track(KeysIndex(3), SignerState { local_signed: 1, ..SignerState::default() });
    let old = pair.alice.act(|channel, cx| channel.local_commitment(cx));
    let local = copy.sign_local_commitment(KeysIndex(3), &old).expect("it was valid once");
    let old = old.signed(PerSide { local, remote: pair.alice.channel().peer_signature() });
    for part in 1..4 {
        pair.alice.offer(part, Msat(50_000_000)).expect("there is room");
        pair.drain();
    }
    verify(&pair.funding.output[1], &old, 0);
    pair.bob.act(|channel, cx| channel.funding_spent(cx, &old, BlockHeight(120)));
    assert!(has(&pair.bob, |effect| matches!(effect, Effect::Spent { by: Spender::TheirRevoked { number: 0 }, .. })));
    let found = spendables(&pair.bob);
    assert_eq!(found.len(), 2);
    for spendable in &found {
        sweep(&mut pair.bob, spendable);
    }
    // Alice's own node, brought back, knows what somebody did with its copy.
    pair.alice.act(|channel, cx| channel.funding_spent(cx, &old, BlockHeight(120)));
    assert!(has(&pair.alice, |effect| matches!(effect, Effect::Spent { by: Spender::OurRevoked { number: 0 }, .. })));
    let outputs: u64 = old.output.iter().map(|output| output.value.to_sat()).filter(|value| *value != 330).sum();
    assert_eq!(found.iter().map(|found| found.output.value.to_sat()).sum::<u64>(), outputs);
}

#[test]
fn an_add_that_cannot_be_signed_is_stale_at_its_expiry() {
    let mut pair = open();
    let stale = |pair: &Pair, height| pair.alice.channel().has_stale_offer(BlockHeight(height));
    pair.alice.offer_until(1, Msat(50_000_000), 200).expect("there is room");
    // She signs that one; for the next she waits for a revocation that does not come.
    pair.alice.flush();
    assert!(!stale(&pair, 300), "what is signed is not stale: it has deadlines of its own");
    pair.alice.offer_until(2, Msat(60_000_000), 210).expect("there is room");
    pair.alice.flush();
    assert!(!stale(&pair, 209));
    assert!(stale(&pair, 210));
    pair.disconnect();
    assert!(!stale(&pair, 210));
    assert!(has(&pair.alice, |effect| matches!(effect, Effect::Dropped { id: crate::ids::HtlcId(1), .. })));
}

#[test]
fn an_htlc_past_its_deadline_takes_the_channel_on_chain() {
    let mut pair = open();
    pair.alice.offer_until(1, Msat(50_000_000), 200).expect("there is room");
    pair.drain();
    at_height(&mut pair.alice, 201);
    assert!(pair.alice.channel().is_up());
    at_height(&mut pair.alice, 202);
    let late = |effect: &Effect| {
        matches!(effect, Effect::ForceClose { reason: CloseReason::OfferedDeadline { cltv_expiry: 200, .. }, .. })
    };
    assert!(has(&pair.alice, late));

    let mut pair = open();
    pair.alice.offer_until(1, Msat(50_000_000), 200).expect("there is room");
    pair.drain();
    pair.disconnect();
    // Without the preimage the receiver has nothing to save.
    at_height(&mut pair.bob, 185);
    assert_eq!(*pair.bob.channel().phase(), Phase::Open);
    let (id, _) = pair.bob.waiting()[0];
    pair.bob.act(|channel, cx| channel.fulfill_htlc(cx, id, preimage(1))).expect("it waits");
    // The preimage came after the deadline: the peer gets a block to answer, and not more.
    at_height(&mut pair.bob, 186);
    assert_eq!(*pair.bob.channel().phase(), Phase::Open);
    at_height(&mut pair.bob, 187);
    let late = |effect: &Effect| {
        matches!(effect, Effect::ForceClose { reason: CloseReason::FulfilledDeadline { cltv_expiry: 200, .. }, .. })
    };
    assert!(has(&pair.bob, late));
    // Dust is not worth a transaction.
    let mut pair = open();
    pair.alice.offer_until(1, Msat(50_000), 200).expect("there is room");
    pair.drain();
    at_height(&mut pair.alice, 400);
    assert!(pair.alice.channel().is_up());
}

#[test]
fn many_adds_of_one_turn_are_one_signature() {
    let mut pair = open();
    for part in 0..40 {
        pair.alice.offer(part, Msat(2_000_000)).expect("there is room");
    }
    pair.alice.flush();
    let count = |end: &End, name| end.world.sent.iter().filter(|message| message.name() == name).count();
    assert_eq!(count(&pair.alice, "update_add_htlc"), 40);
    assert_eq!(count(&pair.alice, "commitment_signed"), 1);
    pair.drain();
    assert_eq!(pair.bob.waiting().len(), 40);
}

#[test]
fn an_unknown_spender_is_no_commitment() {
    let mut pair = open();
    let mut stranger = funding_tx(&close_script(9), Sat(1));
    stranger.input[0].previous_output = OutPoint { txid: pair.funding.compute_txid(), vout: 1 };
    pair.alice.act(|channel, cx| channel.funding_spent(cx, &stranger, BlockHeight(120)));
    assert!(has(&pair.alice, |effect| matches!(effect, Effect::Spent { by: Spender::Unknown, .. })));
    assert!(spendables(&pair.alice).is_empty());
}

#[test]
fn an_onion_is_opened_as_it_arrives() {
    let mut pair = Pair::open(ALL_FEATURES, Msat(400_000_000));
    for (part, holds_another) in [(1, true), (2, false)] {
        let id = pair.alice.offer(part, Msat(5_000_000)).expect("there is money");
        pair.drain();
        let ledger = pair.bob.channel().ledger();
        let (_, htlc) = ledger.of_side(Side::Remote).find(|(key, _)| key.id == id).expect("it arrived");
        let Detail::Received { onion: Peeled::Payload { payload, forward, .. }, .. } = &htlc.detail else {
            panic!("{:?}", htlc.detail)
        };
        assert_eq!((&payload[..], *forward), (&[part as u8; 20][..], holds_another));
    }
}
