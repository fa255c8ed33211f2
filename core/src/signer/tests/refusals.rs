//! Each way to lose money that the signer closes.

use super::super::{Refusal, Signer, SignerState};
use super::*;
use crate::ids::{BlockHeight, CommitmentSecret, HtlcId, PaymentHash, Sig};

const FORMAT: CommitFormat = CommitFormat::AnchorsZeroFeeHtlc;

/// The commitment `number` of the first end, as it sees it, and as the other end sees it.
fn commitment(pair: &mut Pair, number: u64) -> BothViews {
    let htlc = CommitmentHtlc {
        offered_by: Side::Local,
        id: HtlcId(0),
        amount: Msat(10_000_000),
        payment_hash: PaymentHash([1; 32]),
        cltv_expiry: BlockHeight(500),
    };
    let funding = pair.funding;
    let basepoints = pair.basepoints;
    let input = CommitmentInput { funding: &funding, ..pair.input(FORMAT, number) };
    both_views(&mut pair.a, &mut pair.b, &basepoints, &input, &[htlc])
}

fn sign_remote(pair: &mut Pair, number: u64) -> Result<Sig, Refusal> {
    let views = commitment(pair, number);
    pair.b.sign_remote_commitment(KEYS, &views.counterparty, &mut Vec::new())
}

#[test]
fn nothing_is_done_for_an_untracked_channel() {
    let mut pair = Pair::new();
    let views = commitment(&mut pair, 0);
    let refused = Refusal::Untracked(KEYS);
    assert_eq!(sign_remote(&mut pair, 0), Err(refused));
    assert_eq!(pair.a.sign_local_commitment(KEYS, &views.owner), Err(refused));
    assert_eq!(pair.a.release_secret(KEYS, 0), Err(refused));
    assert_eq!(pair.a.local_signed(KEYS, 0), Err(refused));
    assert_eq!(pair.a.remote_revoked(KEYS, 0), Err(refused));
    let htlc_tx = views.owner.htlc_tx(0);
    assert_eq!(pair.a.sign_htlc(KEYS, &views.owner, 0, &htlc_tx, 0), Err(refused));
    assert_eq!(pair.a.state(KEYS), None);
    pair.a.track(KEYS, SignerState::default());
    assert_eq!(pair.a.state(KEYS), Some(SignerState::default()));
    pair.a.forget(KEYS);
    assert_eq!(pair.a.release_secret(KEYS, 0), Err(refused), "a forgotten channel is untracked again");
}

#[test]
fn the_peer_has_at_most_two_valid_commitments() {
    let mut pair = Pair::new();
    pair.b.track(KEYS, SignerState::default());
    assert_eq!(sign_remote(&mut pair, 1), Err(Refusal::Gap { expected: 0, actual: 1 }));
    assert!(sign_remote(&mut pair, 0).is_ok());
    assert!(sign_remote(&mut pair, 1).is_ok());
    assert!(sign_remote(&mut pair, 1).is_ok(), "again, after a reconnection or for a splice");
    assert_eq!(sign_remote(&mut pair, 2), Err(Refusal::RemoteNotRevoked { number: 2, oldest: 0 }));
    assert_eq!(pair.b.remote_revoked(KEYS, 1), Err(Refusal::Gap { expected: 0, actual: 1 }), "0 comes first");
    pair.b.remote_revoked(KEYS, 0).expect("it was signed");
    assert!(sign_remote(&mut pair, 2).is_ok());
    assert_eq!(sign_remote(&mut pair, 0), Err(Refusal::RemoteAlreadyRevoked { number: 0, oldest: 1 }));
    pair.b.remote_revoked(KEYS, 0).expect("hearing it twice is harmless");
    pair.b.remote_revoked(KEYS, 1).expect("it was signed");
    pair.b.remote_revoked(KEYS, 2).expect("it was signed");
    assert_eq!(pair.b.remote_revoked(KEYS, 3), Err(Refusal::Gap { expected: 3, actual: 3 }), "it was never signed");
}

#[test]
fn only_a_commitment_of_the_right_side_and_channel() {
    let mut pair = Pair::new();
    pair.a.track(KEYS, SignerState { local_signed: 1, ..SignerState::default() });
    let views = commitment(&mut pair, 0);
    let wrong = Err(Refusal::WrongOwner { number: 0 });
    assert_eq!(pair.a.sign_remote_commitment(KEYS, &views.owner, &mut Vec::new()), wrong);
    assert_eq!(pair.a.sign_local_commitment(KEYS, &views.counterparty), wrong);
    let mut other = views.owner.clone();
    other.funding = flip_funding(&other.funding);
    assert_eq!(pair.a.sign_local_commitment(KEYS, &other), Err(Refusal::NotOurFunding));
    let theirs = views.counterparty.clone();
    assert_eq!(pair.a.sign_remote_commitment(KEYS, &theirs, &mut Vec::new()), Err(Refusal::NotOurFunding));

    let (funding, output) = (flip_funding(&pair.funding), script::p2wpkh(&pair.basepoints.local.payment));
    let closing = ClosingInput {
        funding: &funding,
        balance: PerSide { local: Msat(1_000_000), remote: Msat(1_000_000) },
        scripts: PerSide { local: output.as_script(), remote: output.as_script() },
        payer: Side::Local,
        fee: Sat(100),
    };
    let closing = closing.legacy(Sat(354)).expect("it can be paid");
    assert_eq!(pair.a.sign_closing(KEYS, &closing), Err(Refusal::NotOurFunding));
    assert_eq!(pair.b.sign_closing(KEYS, &closing), Err(Refusal::Untracked(KEYS)));
}

#[test]
fn the_newest_commitment_stays_valid() {
    let mut pair = Pair::new();
    pair.a.track(KEYS, SignerState::default());
    assert_eq!(pair.a.release_secret(KEYS, 0), Err(Refusal::SecretOfNewest { number: 0, next: 0 }));
    assert_eq!(pair.a.local_signed(KEYS, 1), Err(Refusal::Gap { expected: 0, actual: 1 }));
    pair.a.local_signed(KEYS, 0).expect("the first");
    assert_eq!(pair.a.release_secret(KEYS, 0), Err(Refusal::SecretOfNewest { number: 0, next: 1 }));
    pair.a.local_signed(KEYS, 1).expect("the second");
    pair.a.local_signed(KEYS, 1).expect("again, for a splice");
    assert_eq!(pair.a.release_secret(KEYS, 1), Err(Refusal::Gap { expected: 0, actual: 1 }));
    let secret = pair.a.release_secret(KEYS, 0).expect("1 is in its place");
    let secret = secp256k1::SecretKey::from_slice(&secret.0).expect("a key");
    assert_eq!(secret.public_key(secp256k1::SECP256K1), pair.a.per_commitment_point(KEYS, 0));
    assert!(pair.a.release_secret(KEYS, 0).is_ok(), "again, after a reconnection");
    assert_eq!(pair.a.release_secret(KEYS, 1), Err(Refusal::SecretOfNewest { number: 1, next: 2 }));
    assert_eq!(pair.a.local_signed(KEYS, 0), Err(Refusal::Gap { expected: 2, actual: 0 }));
    assert_eq!(pair.a.release_secret(KEYS, u64::MAX), Err(Refusal::Gap { expected: 1, actual: u64::MAX }));
}

#[test]
fn a_revoked_commitment_is_never_signed_and_a_signed_one_never_revoked() {
    let mut pair = Pair::new();
    pair.a.track(KEYS, SignerState { local_signed: 1, ..SignerState::default() });
    let (first, second) = (commitment(&mut pair, 0), commitment(&mut pair, 1));
    let unsigned = Refusal::LocalNotSigned { number: 1, next: 1 };
    assert_eq!(pair.a.sign_local_commitment(KEYS, &second.owner), Err(unsigned));
    pair.a.local_signed(KEYS, 1).expect("the next");
    pair.a.release_secret(KEYS, 0).expect("1 is in its place");
    let revoked = Refusal::LocalRevoked { number: 0, oldest: 1 };
    assert_eq!(pair.a.sign_local_commitment(KEYS, &first.owner), Err(revoked));
    let htlc_tx = first.owner.htlc_tx(0);
    assert_eq!(pair.a.sign_htlc(KEYS, &first.owner, 0, &htlc_tx, 0), Err(revoked));

    assert!(pair.a.sign_local_commitment(KEYS, &second.owner).is_ok());
    pair.a.local_signed(KEYS, 2).expect("the next");
    let published = Refusal::Published { number: 1, published: 1 };
    assert_eq!(pair.a.release_secret(KEYS, 1), Err(published));
    // A restart must not make it forget.
    let state = pair.a.state(KEYS).expect("it is tracked");
    pair.a.forget(KEYS);
    pair.a.track(KEYS, state);
    assert_eq!(pair.a.release_secret(KEYS, 1), Err(published));
}

#[test]
fn only_the_input_in_question_and_a_secret_that_is_one() {
    let mut pair = Pair::new();
    pair.a.track(KEYS, SignerState { local_signed: 1, ..SignerState::default() });
    let views = commitment(&mut pair, 0);
    let htlc_tx = views.owner.htlc_tx(0);
    let missing = Err(Refusal::WrongInput { input: 1 });
    assert_eq!(pair.a.sign_htlc(KEYS, &views.owner, 0, &htlc_tx, 1), missing);
    let mut other = htlc_tx.clone();
    other.input[0].previous_output.vout += 1;
    assert_eq!(pair.a.sign_htlc(KEYS, &views.owner, 0, &other, 0), Err(Refusal::WrongInput { input: 0 }));

    let outpoint = views.owner.outpoint(0);
    let secret = CommitmentSecret([0; 32]);
    let claim = Claim::revoked_delayed(outpoint, Sat(100_000), &views.owner.keys, 144, secret);
    let to = script::p2wpkh(&pair.basepoints.local.payment).to_script_buf();
    let sweep = Sweep::new(&[claim], to, 253).expect("it is worth it");
    assert_eq!(pair.a.sign_sweep(KEYS, &sweep, &mut Vec::new()), Err(Refusal::InvalidSecret));
}

#[test]
fn nothing_secret_is_printed_and_nothing_drawn_twice() {
    let mut first = signer(1);
    let printed = format!("{first:?}");
    assert_eq!(printed, format!("KeysSigner {{ node_id: {}, .. }}", first.node_id()));
    let mut again = signer(1);
    let drawn: Vec<[u8; 32]> = (0..50).map(|_| first.draw()).collect();
    assert!(drawn.iter().all(|bytes| *bytes == again.draw()), "the seed decides");
    let mut unique = drawn.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), drawn.len());
    assert_ne!(signer(2).draw(), drawn[0]);
}
