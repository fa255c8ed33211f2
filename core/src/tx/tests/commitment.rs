//! Which outputs a commitment has.

use bitcoin::OutPoint;
use secp256k1::{PublicKey, SECP256K1, SecretKey};

use crate::amount::{Msat, Sat};
use crate::ids::{BlockHeight, HtlcId, PaymentHash};
use crate::side::{PerSide, Side};
use crate::tx::*;

fn key(byte: u8) -> PublicKey {
    SecretKey::from_slice(&[byte; 32]).expect("a key").public_key(SECP256K1)
}

fn basepoints(byte: u8) -> Basepoints {
    Basepoints {
        funding_pubkey: key(byte),
        revocation: key(byte + 1),
        payment: key(byte + 2),
        delayed_payment: key(byte + 3),
        htlc: key(byte + 4),
    }
}

/// The kinds of outputs, sorted, of our commitment with anchors, paid for by the peer.
fn kinds(local_sat: u64, htlc_sat: Option<u64>) -> Vec<OutputKind> {
    let (local, remote) = (basepoints(1), basepoints(11));
    let keys = PerSide { local: local.funding_pubkey, remote: remote.funding_pubkey };
    let funding = Funding::new(OutPoint::null(), Sat(100_000), keys);
    let keys = CommitmentKeys::derive(&local, &remote, key(30), KeyScope::BalancesAndHtlcs);
    let held = htlc_sat.unwrap_or(0);
    let input = CommitmentInput {
        format: CommitFormat::AnchorsZeroFeeHtlc,
        number: 1,
        obscure: ObscureFactor::new(&remote.payment, &local.payment),
        owner: Side::Local,
        opener: Side::Remote,
        dust_limit: Sat(1000),
        to_self_delay: 144,
        feerate_per_kw: 1000,
        balance: PerSide { local: Sat(local_sat).to_msat(), remote: Sat(100_000 - local_sat - held).to_msat() },
        funding: &funding,
    };
    let htlc = htlc_sat.map(|sat| CommitmentHtlc {
        offered_by: Side::Local,
        id: HtlcId(0),
        amount: Msat(sat * 1000 + 999),
        payment_hash: PaymentHash([7; 32]),
        cltv_expiry: BlockHeight(500),
    });
    let tx = CommitmentTx::new(&input, &keys, htlc.into_iter());
    let mut kinds: Vec<OutputKind> = tx.outputs.iter().map(|output| output.kind).collect();
    kinds.sort_unstable();
    kinds
}

#[test]
fn an_anchor_stands_for_something_at_stake() {
    use OutputKind::{Anchor, Htlc, ToLocal, ToRemote};
    use Side::{Local, Remote};
    // The peer pays 1124 for the commitment and 660 for the anchors, so it has an output from 2784 on.
    let cases = [
        (50_000, None, vec![ToLocal, ToRemote, Anchor(Local), Anchor(Remote)]),
        (1000, None, vec![ToLocal, ToRemote, Anchor(Local), Anchor(Remote)]),
        (999, None, vec![ToRemote, Anchor(Remote)]),
        (100_000 - 2784, None, vec![ToLocal, ToRemote, Anchor(Local), Anchor(Remote)]),
        (100_000 - 2783, None, vec![ToLocal, Anchor(Local)]),
        (100_000, None, vec![ToLocal, Anchor(Local)]),
        // An HTLC with an output gives both sides an anchor, a trimmed one does not.
        (0, Some(1000), vec![ToRemote, Anchor(Local), Anchor(Remote), Htlc(0)]),
        (0, Some(999), vec![ToRemote, Anchor(Remote)]),
        (0, Some(100_000), vec![Anchor(Local), Anchor(Remote), Htlc(0)]),
        (99_000, Some(1000), vec![ToLocal, Anchor(Local), Anchor(Remote), Htlc(0)]),
    ];
    for (local_sat, htlc_sat, expected) in cases {
        assert_eq!(kinds(local_sat, htlc_sat), expected, "{local_sat} {htlc_sat:?}");
    }
}

#[test]
fn an_absurd_dust_limit_trims_everything() {
    let rule = TrimRule {
        format: CommitFormat::StaticRemoteKey,
        owner: Side::Local,
        dust_limit: Sat(u64::MAX),
        feerate_per_kw: u32::MAX,
    };
    for side in [Side::Local, Side::Remote] {
        assert!(rule.is_trimmed(side, Msat(u64::MAX)));
    }
    assert_eq!(opener_remainder(rule.format, u32::MAX, 966, Msat(1)), None);
}
