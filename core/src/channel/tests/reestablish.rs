//! What both ends say to each other after a loss.

use super::pair::{ALL_FEATURES, End, Pair, preimage};
use crate::amount::Msat;
use crate::channel::reestablish::{Numbers, Verdict, judge};
use crate::channel::{ChannelError, Consequence, Effect, Link, Phase};
use crate::side::Side;
use crate::wire::Message;

fn open() -> Pair {
    Pair::open(ALL_FEATURES, Msat(400_000_000))
}

fn said(end: &End) -> Vec<&'static str> {
    end.world.sent.iter().map(|message| message.name()).collect()
}

#[test]
fn every_pair_of_numbers_has_one_meaning() {
    let ours = Numbers { signed_remote: 7, revoked_remote: 6, revoked_local: 4 };
    let verdicts = [
        (8, 4, Verdict::InStep),
        (7, 4, Verdict::InStep),
        (7, 3, Verdict::InStep),
        (8, 3, Verdict::InStep),
        (6, 4, Verdict::PeerBehind),
        (8, 2, Verdict::PeerBehind),
        (9, 4, Verdict::Ahead),
        (8, 5, Verdict::ClaimsWeAreBehind),
        (1, u64::MAX, Verdict::ClaimsWeAreBehind),
        (u64::MAX, 4, Verdict::Ahead),
    ];
    for (next_commitment, next_revocation, verdict) in verdicts {
        assert_eq!(judge(&ours, next_commitment, next_revocation), verdict, "{next_commitment} {next_revocation}");
    }
    // What was acknowledged cannot have been lost.
    let ours = Numbers { revoked_remote: 7, ..ours };
    assert_eq!(judge(&ours, 7, 4), Verdict::PeerBehind);
    let fresh = Numbers { signed_remote: 0, revoked_remote: 0, revoked_local: 0 };
    assert_eq!(judge(&fresh, 1, 0), Verdict::InStep);
}

/// The answer to a fulfil is cut in two by a crash: the revocation arrived, the signature did not.
#[test]
fn a_crash_between_revocation_and_signature_loses_nothing() {
    let mut pair = open();
    pair.alice.offer(1, Msat(50_000_000)).expect("there is room");
    pair.drain();
    let (id, _) = pair.bob.waiting()[0];
    pair.bob.act(|channel, cx| channel.fulfill_htlc(cx, id, preimage(1))).expect("it waits");
    pair.bob.flush();
    assert!(pair.deliver(Side::Local), "update_fulfill_htlc");
    assert!(pair.deliver(Side::Local), "commitment_signed");
    pair.alice.flush();
    assert_eq!(said(&pair.alice), ["revoke_and_ack", "commitment_signed"]);
    assert!(pair.deliver(Side::Remote), "revoke_and_ack");
    pair.disconnect();
    pair.bob.restart();
    pair.alice.restart();
    pair.connect();
    pair.deliver(Side::Local);
    pair.deliver(Side::Remote);
    assert_eq!(said(&pair.alice), ["commitment_signed"]);
    pair.drain();
    pair.each(|end| assert!(end.channel().ledger().is_quiet()));
    pair.assert_agreement();
}

/// Both orders of the two messages, both lost: they come again in the order in which they went.
#[test]
fn the_order_of_revocation_and_signature_survives_a_restart() {
    for commit_first in [false, true] {
        let mut pair = open();
        if commit_first {
            pair.bob.offer(2, Msat(3_000_000)).expect("there is room");
            pair.bob.flush();
            pair.alice.offer(1, Msat(50_000_000)).expect("there is room");
            pair.alice.flush();
            pair.deliver(Side::Remote);
            pair.deliver(Side::Remote);
            pair.bob.flush();
            assert_eq!(said(&pair.bob), ["update_add_htlc", "commitment_signed", "revoke_and_ack"]);
        } else {
            pair.alice.offer(1, Msat(50_000_000)).expect("there is room");
            pair.alice.flush();
            pair.deliver(Side::Remote);
            pair.deliver(Side::Remote);
            pair.bob.flush();
            assert_eq!(said(&pair.bob), ["revoke_and_ack", "commitment_signed"]);
        }
        let before = said(&pair.bob);
        pair.disconnect();
        pair.bob.restart();
        pair.connect();
        pair.deliver(Side::Remote);
        assert_eq!(said(&pair.bob)[1..], before);
        pair.drain();
        pair.assert_agreement();
        assert_eq!(pair.bob.waiting().len(), 1);
    }
}

/// Adds that nobody signed never were, on either side; those that were signed come again with their onions.
#[test]
fn undelivered_adds_come_again_and_unsigned_ones_are_dropped() {
    let mut pair = open();
    pair.alice.offer(1, Msat(50_000_000)).expect("there is room");
    pair.alice.flush();
    let unsigned = pair.alice.offer(2, Msat(60_000_000)).expect("there is room");
    pair.disconnect();
    let dropped: Vec<_> = pair
        .alice
        .effects
        .iter()
        .filter(|effect| matches!(effect, Effect::Dropped { id, .. } if *id == unsigned))
        .collect();
    assert_eq!(dropped.len(), 1);
    pair.bob.restart();
    pair.connect();
    pair.drain();
    assert_eq!(pair.bob.waiting().len(), 1);
    assert_eq!(pair.alice.offer(3, Msat(1_000_000)), Ok(unsigned), "its id is free again");
    pair.drain();
    pair.assert_agreement();
}

/// The peer's fulfil was seen, and the connection went before its signature: it comes again and all ends.
#[test]
fn a_fulfil_before_the_loss_is_repeated_after_it() {
    let mut pair = open();
    let sent = pair.alice.offer(1, Msat(50_000_000)).expect("there is room");
    pair.drain();
    let (id, _) = pair.bob.waiting()[0];
    pair.bob.act(|channel, cx| channel.fulfill_htlc(cx, id, preimage(1))).expect("it waits");
    pair.bob.flush();
    assert!(pair.deliver(Side::Local), "update_fulfill_htlc");
    let fulfilled = |end: &End| {
        end.effects.iter().filter(|effect| matches!(effect, Effect::Fulfilled { id, .. } if *id == sent)).count()
    };
    assert_eq!(fulfilled(&pair.alice), 1, "at once");
    pair.reconnect();
    pair.drain();
    assert_eq!(fulfilled(&pair.alice), 2, "and again, which the payment takes for one");
    pair.each(|end| assert!(end.channel().ledger().is_quiet()));
}

#[test]
fn a_decision_made_while_the_peer_is_away_survives_a_restart() {
    let mut pair = open();
    pair.alice.offer(1, Msat(50_000_000)).expect("there is room");
    pair.drain();
    pair.disconnect();
    let (id, _) = pair.bob.waiting()[0];
    pair.bob.act(|channel, cx| channel.fulfill_htlc(cx, id, preimage(1))).expect("it waits");
    pair.bob.flush();
    pair.bob.restart();
    pair.connect();
    pair.drain();
    pair.each(|end| assert!(end.channel().ledger().is_quiet()));
    assert_eq!(pair.bob.channel().ledger().base().local, Msat(450_000_000));
}

#[test]
fn what_comes_too_early_or_twice_harms_nothing() {
    let mut pair = open();
    pair.reconnect();
    let again = pair.bob.world.sent[0].clone();
    // Something before `channel_reestablish` is refused, with a new start of the connection.
    let fee = Message::UpdateFee(crate::wire::UpdateFee { channel_id: pair.bob.channel().id(), feerate_per_kw: 500 });
    let error = pair.bob.receive(&fee).expect_err("it is too early");
    assert_eq!(error.consequence(), Consequence::WarnDisconnect);
    pair.drain();
    pair.alice.receive(&again).expect("a second one says nothing new");
    pair.drain();
    pair.alice.offer(1, Msat(1_000_000)).expect("there is room");
    pair.drain();
    pair.assert_agreement();
}

#[test]
fn channel_ready_comes_again_only_before_the_first_update() {
    let mut pair = open();
    pair.reconnect();
    pair.deliver(Side::Local);
    pair.deliver(Side::Remote);
    assert_eq!(said(&pair.alice), ["channel_ready"]);
    pair.drain();
    pair.alice.offer(1, Msat(1_000_000)).expect("there is room");
    pair.drain();
    pair.reconnect();
    pair.deliver(Side::Local);
    pair.deliver(Side::Remote);
    assert!(said(&pair.alice).is_empty());
}

/// Alice was restored from an old copy. Bob's secret proves it: she never broadcasts.
#[test]
fn a_node_with_old_data_is_told_so_and_broadcasts_nothing() {
    let mut pair = open();
    let old = pair.alice.world.rows.clone();
    for part in 0..3 {
        pair.alice.offer(part, Msat(1_000_000)).expect("there is room");
        pair.drain();
    }
    pair.disconnect();
    pair.alice.world.rows = old;
    pair.alice.restart();
    pair.connect();
    let theirs = pair.bob.world.sent.pop_front().expect("channel_reestablish");
    let error = pair.alice.receive(&theirs).expect_err("she is behind");
    assert!(matches!(error, ChannelError::WeAreBehind { .. }));
    assert_eq!(error.consequence(), Consequence::AskToClose);
    // Not even when she is asked to, and not after a restart.
    pair.alice.restart();
    assert!(pair.alice.channel().row().behind);
    pair.alice.act(|channel, cx| channel.fail(cx, &error));
    pair.alice.act(|channel, cx| channel.receive_error(cx, "close it"));
    assert!(pair.alice.world.broadcast.is_empty());
    // Bob waits for her to come back with her data, and closes when she asks.
    let hers = pair.alice.world.sent.pop_front().expect("channel_reestablish");
    let error = pair.bob.receive(&hers).expect_err("she is behind");
    assert!(matches!(error, ChannelError::PeerBehind { .. }));
    assert_eq!(error.consequence(), Consequence::AskToClose);
    assert_eq!(*pair.bob.channel().phase(), Phase::Open);
    pair.bob.act(|channel, cx| channel.receive_error(cx, "close it"));
    assert_eq!(pair.bob.world.broadcast.len(), 1);
}

#[test]
fn a_false_proof_or_a_zero_ends_the_channel() {
    for lie in 0..3 {
        let mut pair = open();
        pair.alice.offer(1, Msat(1_000_000)).expect("there is room");
        pair.drain();
        pair.reconnect();
        let Some(Message::ChannelReestablish(mut theirs)) = pair.bob.world.sent.pop_front() else {
            panic!("channel_reestablish comes first")
        };
        match lie {
            0 => {
                theirs.next_revocation_number += 5;
                theirs.your_last_per_commitment_secret = [3; 32];
            }
            1 => theirs.next_commitment_number = 0,
            // No commitment has such a number.
            _ => theirs.next_revocation_number = u64::MAX,
        }
        let error = pair.alice.receive(&Message::ChannelReestablish(theirs)).expect_err("it is a lie");
        assert_eq!(error.consequence(), Consequence::Fail);
        assert!(matches!(pair.alice.channel().link(), Link::Reestablishing { .. }));
        pair.alice.act(|channel, cx| channel.fail(cx, &error));
        assert_eq!(pair.alice.world.broadcast.len(), 1);
    }
}

#[test]
fn false_secrets_and_signatures_end_the_channel() {
    let mut pair = open();
    pair.alice.offer(1, Msat(50_000_000)).expect("there is room");
    pair.alice.flush();
    pair.deliver(Side::Remote);
    let Some(Message::CommitmentSigned(good)) = pair.alice.world.sent.pop_front() else { panic!("it is next") };
    let mut bad = good.clone();
    bad.signature.0[40] ^= 1;
    assert_eq!(pair.bob.receive(&Message::CommitmentSigned(bad)), Err(ChannelError::BadSignature));
    let sigs = [good.signature];
    let bad = crate::wire::CommitmentSigned { htlc_signatures: crate::wire::Sigs::Made(&sigs), ..good.clone() };
    let error = pair.bob.receive(&Message::CommitmentSigned(bad)).expect_err("it is another's");
    assert_eq!(error, ChannelError::BadHtlcSignature { index: 0 });
    let bad = crate::wire::CommitmentSigned { htlc_signatures: crate::wire::Sigs::Made(&[]), ..good.clone() };
    let error = pair.bob.receive(&Message::CommitmentSigned(bad)).expect_err("one is missing");
    assert_eq!(error, ChannelError::HtlcSignatureCount { expected: 1, actual: 0 });
    // High S: valid for consensus, not for relay.
    let mut bad = good.clone();
    let s = secp256k1::SecretKey::from_slice(&good.signature.0[32..]).expect("a scalar");
    bad.signature.0[32..].copy_from_slice(&s.negate().secret_bytes());
    assert_eq!(pair.bob.receive(&Message::CommitmentSigned(bad)), Err(ChannelError::BadSignature));
    // None of them left a trace: the good one is taken.
    pair.bob.receive(&Message::CommitmentSigned(good)).expect("it is good");
    let Some(Message::RevokeAndAck(good)) = pair.bob.world.sent.pop_front() else { panic!("it is next") };
    let mut bad = good.clone();
    bad.per_commitment_secret.0[5] ^= 1;
    let error = pair.alice.receive(&Message::RevokeAndAck(bad)).expect_err("it is another's");
    assert_eq!(error, ChannelError::BadSecret { number: 0 });
    pair.alice.receive(&Message::RevokeAndAck(good.clone())).expect("it is good");
    let error = pair.alice.receive(&Message::RevokeAndAck(good)).expect_err("it is not due");
    assert_eq!(error, ChannelError::RevokeNotDue);
    pair.drain();
    pair.assert_agreement();
}
