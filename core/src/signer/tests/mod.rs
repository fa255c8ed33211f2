//! The signer against the specification, against Bitcoin's own script interpreter, and against requests it must refuse.

mod ahead;
mod chain;
mod refusals;
mod vectors;
mod wallet;

use bitcoin::Network;

use super::{CommitmentOf, KeysSigner, Signer};
use crate::amount::{Msat, Sat};
use crate::ids::KeysIndex;
use crate::side::{PerSide, Side};
use crate::tx::*;

/// The channel of these tests.
const KEYS: KeysIndex = KeysIndex(5);

/// A node's signer, different for each byte.
fn signer(byte: u8) -> KeysSigner {
    KeysSigner::new([byte; 64], Network::Regtest, [byte; 32])
}

/// A channel between two signers, as the first one sees it.
struct Pair {
    a: KeysSigner,
    b: KeysSigner,
    basepoints: PerSide<Basepoints>,
    funding: Funding,
}

/// Turns what one end sees into what the other sees.
fn flip_funding(funding: &Funding) -> Funding {
    Funding::new(funding.outpoint, funding.amount, funding.keys.flip())
}

fn flip_htlc(htlc: CommitmentHtlc) -> CommitmentHtlc {
    CommitmentHtlc { offered_by: !htlc.offered_by, ..htlc }
}

impl Pair {
    fn new() -> Pair {
        let (mut a, mut b) = (signer(1), signer(2));
        let basepoints = PerSide { local: a.channel_basepoints(KEYS), remote: b.channel_basepoints(KEYS) };
        let outpoint = bitcoin::OutPoint { txid: "11".repeat(32).parse().expect("a txid"), vout: 1 };
        let keys = PerSide { local: basepoints.local.funding_pubkey, remote: basepoints.remote.funding_pubkey };
        Pair { a, b, basepoints, funding: Funding::new(outpoint, Sat(100_000_000), keys) }
    }

    fn input(&self, format: CommitFormat, number: u64) -> CommitmentInput<'_> {
        let obscure = ObscureFactor::new(&self.basepoints.local.payment, &self.basepoints.remote.payment);
        CommitmentInput {
            format,
            number,
            obscure,
            owner: Side::Local,
            opener: Side::Local,
            dust_limit: Sat(354),
            to_self_delay: 144,
            feerate_per_kw: 1000,
            balance: PerSide { local: Msat(60_000_000_000), remote: Msat(40_000_000_000) },
            funding: &self.funding,
        }
    }
}

/// One commitment as its owner and the other side build it.
struct BothViews {
    owner: CommitmentTx,
    counterparty: CommitmentTx,
}

/// Builds the first end's own commitment at both ends, each with its own secrets.
fn both_views(
    a: &mut KeysSigner,
    b: &mut KeysSigner,
    basepoints: &PerSide<Basepoints>,
    input: &CommitmentInput<'_>,
    htlcs: &[CommitmentHtlc],
) -> BothViews {
    let untrimmed = input.trim_rule().untrimmed(htlcs.iter().map(|htlc| (htlc.offered_by, htlc.amount)));
    let scope = KeyScope::for_htlcs(untrimmed);
    let point = a.per_commitment_point(KEYS, input.number);
    let keys = a.commitment_keys(KEYS, CommitmentOf::Local(input.number), &basepoints.remote, scope);
    let counterparty_keys = b.commitment_keys(KEYS, CommitmentOf::Remote(point), &basepoints.local, scope);
    assert_eq!(keys, counterparty_keys, "both ends derive the same keys");
    let plain = CommitmentKeys::derive(&basepoints.local, &basepoints.remote, point, scope);
    assert_eq!(keys, plain, "secrets only shorten the way");

    let owner = CommitmentTx::new(input, &keys, htlcs.iter().copied());
    let flipped = CommitmentInput {
        owner: !input.owner,
        opener: !input.opener,
        balance: input.balance.flip(),
        funding: &flip_funding(input.funding),
        ..*input
    };
    let counterparty = CommitmentTx::new(&flipped, &keys, htlcs.iter().map(|&htlc| flip_htlc(htlc)));
    assert_eq!(owner.txid, counterparty.txid, "both ends build the same transaction");
    assert_eq!(owner.sighash, counterparty.sighash);
    BothViews { owner, counterparty }
}
