//! Appendices A, B, D, E and G of BOLT 3 (C and F are signed, and so stand with the signer).

use bitcoin::consensus::encode::{deserialize, serialize};
use bitcoin::hashes::Hash;
use bitcoin::sighash::SighashCache;
use bitcoin::{
    Amount, EcdsaSighashType, OutPoint, Script, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
};
use secp256k1::{Message, SECP256K1};

use super::{bytes, bytes32, cases, number, point, secret, text};
use crate::amount::{Msat, Sat};
use crate::ids::CommitmentSecret;
use crate::side::{PerSide, Side};
use crate::tx::secrets::{NUMBER_MAX, commitment_secret};
use crate::tx::*;
use crate::vectors;

#[test]
fn funding_transaction() {
    let file = vectors::file("bolt03/funding-tx");
    let case = &cases(&file)[0];
    let (local, remote) = (point(case, "local_funding_pubkey"), point(case, "remote_funding_pubkey"));
    let outpoint = OutPoint { txid: Txid::all_zeros(), vout: 0 };
    let funding = Funding::new(outpoint, Sat(10_000_000), PerSide { local, remote });
    assert_eq!(funding.script.as_bytes(), bytes(case, "funding_witness_script"));
    assert_eq!(script::funding(&remote, &local), funding.script, "the order of the keys is theirs, not ours");

    let expected: Transaction = deserialize(&bytes(case, "funding_tx")).expect("a transaction");
    let key = secret(case, "coinbase_privkey");
    let public = bitcoin::PublicKey::new(key.public_key(SECP256K1));
    let mut tx = Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint {
                txid: text(case, "input_txid").parse().expect("a txid"),
                vout: number(case, "input_index") as u32,
            },
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![
            TxOut {
                value: Amount::from_sat(number(case, "funding_satoshis")),
                script_pubkey: funding.script_pubkey().to_script_buf(),
            },
            TxOut {
                value: Amount::from_sat(number(case, "change_satoshis")),
                script_pubkey: script::p2wpkh(&public.inner).to_script_buf(),
            },
        ],
    };
    let spent = ScriptBuf::new_p2pkh(&public.pubkey_hash());
    let digest = SighashCache::new(&tx).legacy_signature_hash(0, &spent, 1).expect("input 0 exists");
    let signature = SECP256K1.sign_ecdsa(&Message::from_digest(digest.to_byte_array()), &key);
    let signature = bitcoin::ecdsa::Signature { signature, sighash_type: EcdsaSighashType::All };
    tx.input[0].script_sig =
        bitcoin::script::Builder::new().push_slice(signature.serialize()).push_key(&public).into_script();
    assert_eq!(serialize(&tx), serialize(&expected));
    assert_eq!(tx.compute_txid().to_string(), text(case, "funding_txid"));
}

/// What of appendix G does not need interactive-tx: the funding script, and the id and weight of the result. The order
/// of inputs and outputs by serial id, the shares of the fee and `tx_signatures` belong to that protocol.
#[test]
fn dual_funded_output() {
    let file = vectors::file("bolt03/dual-funding");
    let case = &cases(&file)[0];
    let (a, b) = (point(case, "funding_pubkey_1"), point(case, "funding_pubkey_2"));
    assert_eq!(script::funding(&a, &b).as_bytes(), bytes(case, "funding_witness_script"));
    assert_eq!(script::funding(&b, &a).to_p2wsh().as_bytes(), bytes(case, "funding_script_pubkey"));
    let tx: Transaction = deserialize(&bytes(case, "signed_tx")).expect("a transaction");
    assert_eq!(tx.compute_txid().to_string(), text(case, "funding_txid"));
    let unsigned: Transaction = deserialize(&bytes(case, "unsigned_tx")).expect("a transaction");
    assert_eq!(unsigned.compute_txid(), tx.compute_txid());

    // Appendix A's weight of such a transaction: outputs beside the funding output, inputs, their witnesses.
    let others: Vec<&TxOut> = tx
        .output
        .iter()
        .filter(|output| output.script_pubkey.as_bytes() != bytes(case, "funding_script_pubkey"))
        .collect();
    let scripts: usize = others.iter().map(|output| output.script_pubkey.len()).sum();
    let witnesses: usize = tx.input.iter().map(|input| input.witness.size()).sum();
    let weight = 4 * (43 + tx.input.len() * 41 + others.len() * 9 + scripts + 10) + 2 + witnesses;
    assert_eq!(tx.weight().to_wu(), weight as u64);
}

#[test]
fn key_derivation() {
    let file = vectors::file("bolt03/key-derivation");
    let params = &file["params"];
    let (base_secret, commitment) = (secret(params, "base_secret"), secret(params, "per_commitment_secret"));
    let (base, per_commitment) = (point(params, "base_point"), point(params, "per_commitment_point"));
    assert_eq!(base_secret.public_key(SECP256K1), base);
    assert_eq!(commitment.public_key(SECP256K1), per_commitment);
    let [public, private, revocation, revocation_private] = cases(&file) else { panic!("four cases") };
    assert_eq!(keys::derive_pubkey(&base, &per_commitment), point(public, "localpubkey"));
    assert_eq!(keys::derive_seckey(&base_secret, &base, &per_commitment), secret(private, "localprivkey"));
    assert_eq!(keys::revocation_pubkey(&base, &per_commitment), point(revocation, "revocationpubkey"));
    let key = keys::revocation_seckey(&base_secret, &commitment);
    assert_eq!(key, secret(revocation_private, "revocationprivkey"));
}

#[test]
fn per_commitment_secrets() {
    for case in cases(&vectors::file("bolt03/per-commitment-secrets")) {
        let id = text(case, "id");
        if text(case, "op") == "generate" {
            let made = commitment_secret(&bytes32(case, "seed"), NUMBER_MAX - number(case, "index"));
            assert_eq!(made.0, bytes32(case, "output"), "{id}");
            continue;
        }
        let mut store = SecretStore::new();
        let inserts = case["inserts"].as_array().expect("inserts");
        for insert in inserts {
            let at = NUMBER_MAX - number(insert, "index");
            let result = store.insert(at, CommitmentSecret(bytes32(insert, "secret")));
            assert_eq!(result.is_ok(), insert["ok"].as_bool().expect("ok is a bool"), "{id} {at}: {result:?}");
        }
        for insert in inserts.iter().filter(|insert| insert["ok"] == true) {
            let known = store.get(NUMBER_MAX - number(insert, "index"));
            assert_eq!(known, Some(CommitmentSecret(bytes32(insert, "secret"))), "{id}");
        }
    }
}

#[test]
fn weights_fees_and_dust() {
    let file = vectors::file("bolt03/weights-fees-dust");
    for case in cases(&file) {
        let id = text(case, "id");
        match id {
            "bolt03/weights/static_remotekey" => check_weights(case, CommitFormat::StaticRemoteKey),
            "bolt03/weights/anchors" => check_weights(case, CommitFormat::AnchorsZeroFeeHtlc),
            "bolt03/fees/example" => check_example(case),
            // The v2 funding formula is checked with the transaction of appendix G, the penalties with claims.
            "bolt03/weights/funding-v2" => {}
            _ if id.starts_with("bolt05/penalty/") => check_penalty(case),
            _ => check_dust(case),
        }
    }
}

fn check_weights(case: &serde_json::Value, format: CommitFormat) {
    let base = number(case, "commitment_base_weight");
    let per_htlc = number(case, "weight_per_untrimmed_htlc");
    for htlcs in [0, 1, 483, 966] {
        assert_eq!(format.commitment_weight(htlcs), base + per_htlc * htlcs as u64);
    }
    for (kind, name) in [(HtlcTxKind::Timeout, "timeout"), (HtlcTxKind::Success, "success")] {
        assert_eq!(format.htlc_tx_weight(kind), number(case, &format!("htlc_{name}_weight")));
        let fee_weight = number(case, &format!("htlc_{name}_fee_weight"));
        assert_eq!(format.htlc_tx_fee(kind, 5000), Sat(5000 * fee_weight / 1000));
    }
    let anchor = case["anchor_output_satoshi"].as_u64();
    assert_eq!(format.anchors_cost(), Sat(2 * anchor.unwrap_or(0)));
    assert_eq!(format.has_anchors(), anchor.is_some());
}

fn check_example(case: &serde_json::Value) {
    let expect = &case["expect"];
    let feerate_per_kw = number(case, "feerate_per_kw") as u32;
    let format = CommitFormat::StaticRemoteKey;
    let dust_limit = Sat(number(case, "dust_limit_satoshi"));
    let rule = TrimRule { format, owner: Side::Local, dust_limit, feerate_per_kw };
    assert_eq!(format.htlc_tx_fee(HtlcTxKind::Timeout, feerate_per_kw), Sat(number(expect, "htlc_timeout_fee")));
    assert_eq!(format.htlc_tx_fee(HtlcTxKind::Success, feerate_per_kw), Sat(number(expect, "htlc_success_fee")));
    let amounts = |value: &serde_json::Value| -> Vec<Msat> {
        value.as_array().expect("amounts").iter().map(|amount| Msat(amount.as_u64().expect("msat"))).collect()
    };
    let mut all = Vec::new();
    for (side, given, kept) in [
        (Side::Local, "offered_htlcs_msat", "untrimmed_offered"),
        (Side::Remote, "received_htlcs_msat", "untrimmed_received"),
    ] {
        let mut amounts_of_side = amounts(&case[given]);
        all.extend(amounts_of_side.iter().map(|&amount| (side, amount)));
        amounts_of_side.retain(|&amount| !rule.is_trimmed(side, amount));
        assert_eq!(amounts_of_side, amounts(&expect[kept]));
    }
    let untrimmed = rule.untrimmed(all.iter().copied());
    assert_eq!(format.commitment_weight(untrimmed), number(expect, "weight"));
    let base = commitment_fee(format, feerate_per_kw, untrimmed);
    assert_eq!(base, Sat(number(expect, "base_fee_satoshi")));
    let trimmed: Msat = all.iter().filter(|(side, amount)| rule.is_trimmed(*side, *amount)).map(|all| all.1).sum();
    assert_eq!(base + trimmed.sat_floor(), Sat(number(expect, "actual_fee_satoshi")));
}

fn check_dust(case: &serde_json::Value) {
    // "76a914{20}88ac" is a script with 20 bytes of anything in the braces; the two forms in words stand here.
    let form = text(case, "script_form");
    let forms: Vec<String> = match text(case, "script_type") {
        "unknown-segwit" => vec![format!("5120{}", "11".repeat(32)), format!("6002{}", "11".repeat(2))],
        "op_return" => vec!["6a06111111111111".into()],
        _ => match form.split_once('{') {
            None => vec![form.into()],
            Some((head, tail)) => {
                let (len, tail) = tail.split_once('}').expect("the brace closes");
                vec![format!("{head}{}{tail}", "11".repeat(len.parse().expect("a length")))]
            }
        },
    };
    for form in forms {
        let script = ScriptBuf::from_hex(&form).expect("hex");
        assert_eq!(dust_threshold(&script), Sat(number(case, "dust_threshold_satoshi")), "{form}");
    }
}

/// BOLT 5 counts a delay of eight bytes and HTLC scripts without anchors, a byte less than BOLT 3 for received ones;
/// and a signature of 73 bytes with its sighash byte, where low-S makes 72 the most.
fn check_penalty(case: &serde_json::Value) {
    if text(case, "id") == "bolt05/penalty/max-htlcs" {
        assert_eq!(number(case, "value"), 2 * number(case, "per_direction"));
        return;
    }
    let file = vectors::file("bolt03/key-derivation");
    let key = point(&file["params"], "base_point");
    let htlc = HtlcKeys { owner: key, counterparty: key };
    let keys = CommitmentKeys {
        per_commitment_point: key,
        revocation: key,
        delayed: key,
        counterparty_payment: key,
        htlc: Some(htlc),
    };
    let scripts = script::HtlcScripts::new(CommitFormat::StaticRemoteKey, &key, &htlc);
    let (outpoint, secret) = (OutPoint::null(), CommitmentSecret([1; 32]));
    let hash = crate::ids::PaymentHash([2; 32]);
    let claim = match text(case, "id") {
        "bolt05/penalty/to_local" => Claim::revoked_delayed(outpoint, Sat(1000), &keys, 144, secret),
        "bolt05/penalty/offered_htlc" => {
            Claim::revoked_htlc(outpoint, Sat(1000), &keys, scripts.offered(&hash), secret)
        }
        _ => {
            let script = scripts.received(&hash, crate::ids::BlockHeight(500_000));
            Claim::revoked_htlc(outpoint, Sat(1000), &keys, script, secret)
        }
    };
    let expected = number(case, "input_weight");
    let difference = expected.abs_diff(claim.input_weight());
    assert!(difference <= 6, "{}: {} is near {expected}", text(case, "id"), claim.input_weight());
}

#[test]
fn shutdown_scripts() {
    let allowed = |hex: &str, anysegwit, simple_close| {
        let bytes = ScriptBuf::from_hex(hex).expect("hex");
        ShutdownRules { anysegwit, simple_close }.allow(Script::from_bytes(bytes.as_bytes()))
    };
    let many = |head: &str, bytes: usize| format!("{head}{}", "11".repeat(bytes));
    for hex in [many("0014", 20), many("0020", 32)] {
        assert!(allowed(&hex, false, false), "{hex} is always allowed");
    }
    for hex in [many("5120", 32), many("6002", 2), many("5128", 40)] {
        assert!(allowed(&hex, true, false) && !allowed(&hex, false, true), "{hex} needs anysegwit");
    }
    for hex in [many("6a06", 6), many("6a4b", 75), many("6a4c4c", 76), many("6a4c50", 80)] {
        assert!(allowed(&hex, false, true) && !allowed(&hex, true, false), "{hex} needs simple_close");
    }
    let refused = [
        many("76a914", 20) + "88ac",
        many("a914", 20) + "87",
        many("5101", 1),
        many("5129", 41),
        many("0015", 21),
        many("6a05", 5),
        many("6a4c4b", 75),
        many("6a4c51", 81),
        many("6a06", 7),
        many("6a06", 5),
        "6a".into(),
        String::new(),
    ];
    for hex in refused {
        assert!(!allowed(&hex, true, true), "{hex} is never allowed");
    }
}
