//! Appendices C and F of BOLT 3, byte for byte with all signatures.

use bitcoin::consensus::encode::serialize;
use bitcoin::{OutPoint, Txid};
use secp256k1::{PublicKey, SecretKey};
use serde_json::Value;

use super::super::SignerState;
use super::super::channel::{ChannelKeys, ChannelSecrets};
use super::{KEYS, flip_funding, flip_htlc};
use crate::amount::{Msat, Sat};
use crate::ids::{BlockHeight, HtlcId, Preimage, Sig, hex_array};
use crate::side::{PerSide, Side};
use crate::tx::tests::{bytes, bytes32, cases, number, point, secret, text};
use crate::tx::*;
use crate::vectors;

struct Setup {
    local: ChannelKeys,
    remote: ChannelKeys,
    keys: CommitmentKeys,
    funding: Funding,
    obscure: ObscureFactor,
    htlcs: Vec<(CommitmentHtlc, Preimage)>,
}

fn channel(funding: SecretKey, payment_and_htlc: SecretKey, delayed: SecretKey, revocation: SecretKey) -> ChannelKeys {
    let mut channel = ChannelKeys::new(&ChannelSecrets {
        funding,
        revocation,
        payment: payment_and_htlc,
        delayed_payment: delayed,
        htlc: payment_and_htlc,
        seed: [0; 32],
    });
    channel.track(SignerState {
        remote_signed: 42,
        remote_revoked: 42,
        local_signed: 43,
        local_released: 42,
        local_published: None,
    });
    channel
}

fn setup(params: &Value) -> Setup {
    let inputs = &params["derivation_inputs"];
    let any = SecretKey::from_slice(&[0x55; 32]).expect("a key");
    let local = channel(
        secret(params, "local_funding_privkey"),
        secret(inputs, "local_payment_basepoint_secret"),
        secret(inputs, "local_delayed_payment_basepoint_secret"),
        any,
    );
    let remote = channel(
        secret(inputs, "remote_funding_privkey"),
        secret(inputs, "remote_payment_basepoint_secret"),
        any,
        secret(inputs, "remote_revocation_basepoint_secret"),
    );
    assert_eq!(local.basepoints.payment, point(params, "local_payment_basepoint"));
    assert_eq!(remote.basepoints.revocation, point(inputs, "remote_revocation_basepoint"));

    let per_commitment: PublicKey = point(inputs, "local_per_commitment_point");
    let scope = KeyScope::BalancesAndHtlcs;
    let keys = CommitmentKeys::derive(&local.basepoints, &remote.basepoints, per_commitment, scope);
    let htlc = keys.htlc.expect("they were asked for");
    assert_eq!(htlc.owner, point(params, "local_htlcpubkey"));
    assert_eq!(htlc.counterparty, point(params, "remote_htlcpubkey"));
    assert_eq!(keys.delayed, point(params, "local_delayedpubkey"));
    assert_eq!(keys.revocation, point(params, "local_revocation_pubkey"));

    let outpoint = OutPoint {
        txid: text(params, "funding_txid").parse::<Txid>().expect("a txid"),
        vout: number(params, "funding_output_index") as u32,
    };
    let funding_keys = PerSide { local: local.basepoints.funding_pubkey, remote: remote.basepoints.funding_pubkey };
    let funding = Funding::new(outpoint, Sat(number(params, "funding_amount_satoshi")), funding_keys);
    assert_eq!(funding.script.as_bytes(), bytes(params, "funding_witness_script"));
    let obscure = ObscureFactor::new(&local.basepoints.payment, &remote.basepoints.payment);
    assert_eq!(format!("{:012x}", obscure.0), text(params, "obscuring_factor"));

    let htlcs = params["htlcs"].as_array().expect("HTLCs").iter().map(|htlc| {
        let preimage = Preimage(bytes32(htlc, "payment_preimage"));
        let offered_by = if text(htlc, "direction") == "local->remote" { Side::Local } else { Side::Remote };
        let htlc = CommitmentHtlc {
            offered_by,
            id: HtlcId(number(htlc, "index")),
            amount: Msat(number(htlc, "amount_msat")),
            payment_hash: preimage.payment_hash(),
            cltv_expiry: BlockHeight(number(htlc, "expiry") as u32),
        };
        (htlc, preimage)
    });
    Setup { keys, funding, obscure, htlcs: htlcs.collect(), local, remote }
}

fn der(sig: &Sig) -> String {
    let signature = sig.parse().expect("we signed it");
    signature.serialize_der().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check_case(setup: &mut Setup, params: &Value, case: &Value, format: CommitFormat) {
    let id = text(case, "id");
    let used: Vec<u64> =
        case["htlcs_used"].as_array().expect("a list").iter().map(|index| index.as_u64().expect("an index")).collect();
    let htlcs: Vec<CommitmentHtlc> =
        setup.htlcs.iter().map(|htlc| htlc.0).filter(|htlc| used.contains(&htlc.id.0)).collect();
    let anchors = format.has_anchors();
    let input = CommitmentInput {
        format,
        number: number(params, "commitment_number"),
        obscure: setup.obscure,
        owner: Side::Local,
        opener: Side::Local,
        dust_limit: match anchors {
            true => Sat(number(case, "dust_limit_satoshi")),
            false => Sat(number(params, "local_dust_limit_satoshi")),
        },
        to_self_delay: number(params, "to_self_delay") as u16,
        feerate_per_kw: number(case, if anchors { "feerate_per_kw" } else { "local_feerate_per_kw" }) as u32,
        balance: PerSide { local: Msat(number(case, "to_local_msat")), remote: Msat(number(case, "to_remote_msat")) },
        funding: &setup.funding,
    };
    let tx = CommitmentTx::new(&input, &setup.keys, htlcs.iter().copied());
    assert_eq!(tx.txid.to_string(), text(&case["derived"], "txid"), "{id}");
    assert_eq!(tx.transaction().compute_txid(), tx.txid);
    check_fee(&tx, &input, case);

    // The same again in used buffers, as the other side sees it; and that side signs.
    let flipped = CommitmentInput {
        owner: Side::Remote,
        opener: Side::Remote,
        balance: input.balance.flip(),
        funding: &flip_funding(&setup.funding),
        ..input
    };
    let mut theirs = tx.clone();
    theirs.rebuild(&flipped, &setup.keys, htlcs.iter().map(|&htlc| flip_htlc(htlc)));
    assert_eq!(theirs.txid, tx.txid);
    let mut htlc_sigs = Vec::new();
    let remote_sig = setup.remote.sign_remote_commitment(KEYS, &theirs, &mut htlc_sigs).expect("it is the next one");
    assert_eq!(der(&remote_sig), text(case, "remote_signature"), "{id}");
    let expected: Vec<Sig> = case["derived"]["remote_htlc_signatures_compact"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|sig| Sig(hex_array(sig.as_str().expect("hex")).expect("64 bytes")))
        .collect();
    assert_eq!(htlc_sigs, expected, "{id}: in the order of the outputs");
    assert_eq!(tx.check_signatures(&remote_sig, &htlc_sigs), Ok(()), "{id}");

    let local_sig = setup.local.sign_local_commitment(KEYS, &tx).expect("it is valid");
    let signed = tx.signed(PerSide { local: local_sig, remote: remote_sig });
    assert_eq!(serialize(&signed), bytes(case, "commit_tx"), "{id}");

    let htlc_txs = case["htlc_txs"].as_array().expect("a list");
    assert_eq!(htlc_txs.len(), tx.htlcs.len(), "{id}");
    for (index, expected) in htlc_txs.iter().enumerate() {
        assert_eq!(u64::from(tx.htlcs[index].vout), number(expected, "output_index"), "{id}");
        let mut htlc_tx = tx.htlc_tx(index);
        let sig = setup.local.sign_htlc(KEYS, &tx, index, &htlc_tx, 0).expect("it is valid");
        let preimage =
            setup.htlcs.iter().find(|known| known.0.id == tx.htlcs[index].htlc.id).expect("it is one of them").1;
        let preimage = (tx.htlc_tx_kind(index) == HtlcTxKind::Success).then_some(&preimage);
        htlc_tx.input[0].witness = tx.htlc_witness(index, &sig, &htlc_sigs[index], preimage);
        assert_eq!(serialize(&htlc_tx), bytes(expected, "htlc_tx"), "{id} HTLC {index}");
    }
}

fn check_fee(tx: &CommitmentTx, input: &CommitmentInput<'_>, case: &Value) {
    if let Some(base) = case["base_fee_satoshi"].as_u64() {
        assert_eq!(commitment_fee(input.format, input.feerate_per_kw, tx.htlcs.len()), Sat(base));
        assert_eq!(tx.fee(), Sat(number(case, "actual_fee_satoshi")));
        let left = opener_remainder(input.format, input.feerate_per_kw, tx.htlcs.len(), input.balance.local);
        assert_eq!(left.is_none(), text(case, "id").ends_with("fee-greater-than-funder-amount"));
    }
}

#[test]
fn static_remotekey() {
    let file = vectors::file("bolt03/commitment-static-remotekey");
    let params = &file["params"];
    let mut setup = setup(params);
    for case in cases(&file) {
        check_case(&mut setup, params, case, CommitFormat::StaticRemoteKey);
    }
    assert_eq!(cases(&file).len(), 16);
}

#[test]
fn anchors() {
    let file = vectors::file("bolt03/commitment-anchors");
    let params = &file["params"];
    let mut setup = setup(params);
    for case in cases(&file) {
        check_case(&mut setup, params, case, CommitFormat::AnchorsZeroFeeHtlc);
    }
    assert_eq!(cases(&file).len(), 9);
}
