//! Node key and wallet: what the signer answers outside of channels.

use bitcoin::bip32::{ChildNumber, DerivationPath, Xpriv};
use bitcoin::consensus::encode::serialize;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::key::TapTweak;
use bitcoin::{Amount, Network, OutPoint, Psbt, PublicKey, ScriptBuf, Transaction, TxIn, TxOut, Witness};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, SECP256K1, SecretKey};

use super::super::{Refusal, Signer, WalletAccounts};
use super::*;

fn normal(index: u32) -> ChildNumber {
    ChildNumber::Normal { index }
}

/// An input of the wallet: what a watch-only wallet writes into a PSBT.
fn fill(psbt: &mut Psbt, index: usize, accounts: &WalletAccounts, taproot: bool, origin: [u32; 2]) -> TxOut {
    let (account, purpose) = if taproot { (&accounts.p2tr, 86) } else { (&accounts.p2wpkh, 84) };
    let address = origin.map(normal);
    let key = account.derive_pub(SECP256K1, &address).expect("a normal path").public_key;
    let path: DerivationPath = format!("m/{purpose}'/1'/0'/{}/{}", origin[0], origin[1]).parse().expect("a path");
    let source = (accounts.fingerprint, path);
    let input = &mut psbt.inputs[index];
    let script_pubkey = if taproot {
        let key = key.x_only_public_key().0;
        input.tap_internal_key = Some(key);
        input.tap_key_origins.insert(key, (Vec::new(), source));
        ScriptBuf::new_p2tr(SECP256K1, key, None)
    } else {
        input.bip32_derivation.insert(key, source);
        ScriptBuf::new_p2wpkh(&PublicKey::new(key).wpubkey_hash().expect("compressed"))
    };
    let output = TxOut { value: Amount::from_sat(50_000), script_pubkey };
    input.witness_utxo = Some(output.clone());
    output
}

fn psbt(inputs: u32) -> Psbt {
    let input = |vout| TxIn { previous_output: OutPoint { vout, ..OutPoint::null() }, ..Default::default() };
    let tx = Transaction {
        version: bitcoin::transaction::Version::TWO,
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: (0..inputs).map(input).collect(),
        output: vec![TxOut { value: Amount::from_sat(90_000), script_pubkey: ScriptBuf::new() }],
    };
    Psbt::from_unsigned_tx(tx).expect("nothing is signed")
}

#[test]
fn wallet_inputs_are_signed() {
    let mut signer = signer(1);
    let accounts = signer.wallet_accounts();
    let mut psbt = psbt(3);
    let outputs = [
        fill(&mut psbt, 0, &accounts, false, [0, 3]),
        fill(&mut psbt, 1, &accounts, true, [1, 7]),
        // Not ours: the other party's input of a shared transaction.
        TxOut { value: Amount::from_sat(1), script_pubkey: ScriptBuf::new() },
    ];
    psbt.inputs[2].witness_utxo = Some(outputs[2].clone());
    assert_eq!(signer.sign_psbt(&mut psbt), Ok(2));

    let (key, sig) = psbt.inputs[0].partial_sigs.first_key_value().expect("a signature");
    let first = Witness::p2wpkh(sig, &key.inner);
    let second = Witness::p2tr_key_spend(&psbt.inputs[1].tap_key_sig.expect("a signature"));
    let mut tx = psbt.unsigned_tx.clone();
    tx.input[0].witness = first;
    tx.input[1].witness = second;
    let bytes = serialize(&tx);
    let utxos = outputs.each_ref().map(|output| bitcoinconsensus::Utxo {
        script_pubkey: output.script_pubkey.as_bytes().as_ptr(),
        script_pubkey_len: output.script_pubkey.len() as u32,
        value: output.value.to_sat() as i64,
    });
    for (index, output) in outputs.iter().take(2).enumerate() {
        let script = output.script_pubkey.as_bytes();
        let result = bitcoinconsensus::verify(script, output.value.to_sat(), &bytes, Some(&utxos), index);
        assert_eq!(result, Ok(()), "input {index}");
    }
}

#[test]
fn only_wallet_paths_are_signed() {
    let mut signer = signer(1);
    let accounts = signer.wallet_accounts();
    let mut foreign = psbt(1);
    fill(&mut foreign, 0, &accounts, false, [0, 0]);
    let (key, (_, path)) = foreign.inputs[0].bip32_derivation.pop_first().expect("an origin");
    for (fingerprint, path) in [
        ([0; 4].into(), path.clone()),
        (accounts.fingerprint, "m/9735'/1'/0'".parse().expect("a path")),
        (accounts.fingerprint, "m/84'/1'/0'/0/1".parse().expect("a path")),
        (accounts.fingerprint, "m/84'/1'/1'/0/0".parse().expect("a path")),
        (accounts.fingerprint, "m/84'/1'/0'/0'/0".parse().expect("a path")),
    ] {
        foreign.inputs[0].bip32_derivation.insert(key, (fingerprint, path));
        assert_eq!(signer.sign_psbt(&mut foreign), Ok(0));
    }
    foreign.inputs[0].bip32_derivation.insert(key, (accounts.fingerprint, path));
    assert_eq!(signer.sign_psbt(&mut foreign), Ok(1));

    // Keys of the account, but on a chain of addresses that no wallet scans.
    for taproot in [false, true] {
        let mut elsewhere = psbt(1);
        fill(&mut elsewhere, 0, &accounts, taproot, [2, 0]);
        assert_eq!(signer.sign_psbt(&mut elsewhere), Ok(0));
    }
}

#[test]
fn an_amount_that_is_missing_or_lies_is_refused() {
    let mut signer = signer(1);
    let accounts = signer.wallet_accounts();
    let mut missing = psbt(1);
    let output = fill(&mut missing, 0, &accounts, false, [0, 0]);
    missing.inputs[0].witness_utxo = None;
    assert_eq!(signer.sign_psbt(&mut missing), Err(Refusal::Psbt { input: 0 }));

    let previous = Transaction { output: vec![output.clone()], ..psbt(1).unsigned_tx };
    let mut spend = Psbt::from_unsigned_tx(Transaction {
        input: vec![TxIn { previous_output: OutPoint::new(previous.compute_txid(), 0), ..Default::default() }],
        ..psbt(1).unsigned_tx
    })
    .expect("nothing is signed");
    fill(&mut spend, 0, &accounts, false, [0, 0]);
    spend.inputs[0].non_witness_utxo = Some(previous);
    assert_eq!(signer.sign_psbt(&mut spend), Ok(1));
    spend.inputs[0].witness_utxo = Some(TxOut { value: Amount::from_sat(1), ..output });
    assert_eq!(signer.sign_psbt(&mut spend), Err(Refusal::Psbt { input: 0 }));

    // Taproot signs every amount, so one that is missing elsewhere is missing here.
    let mut taproot = psbt(2);
    fill(&mut taproot, 0, &accounts, true, [0, 0]);
    assert_eq!(signer.sign_psbt(&mut taproot), Err(Refusal::Psbt { input: 0 }));
}

#[test]
fn accounts_are_those_of_bip_84_and_86() {
    // The words "abandon ... about", as both proposals have them.
    let seed = "5eb00bbddcf069084889a8ab9155568165f5c453ccb85e70811aaed6f6da5fc1\
                9a5ac40b389cd370d086206dec8aa6c43daea6690f20ad3d8d48b2d2ce9e38e4";
    let seed: [u8; 64] = crate::ids::hex_array(seed).expect("64 bytes");
    let accounts = KeysSigner::new(seed, Network::Bitcoin, [0; 32]).wallet_accounts();
    let receive = [normal(0), normal(0)];
    let first = accounts.p2wpkh.derive_pub(SECP256K1, &receive).expect("a normal path").public_key;
    assert_eq!(first.to_string(), "0330d54fd0dd420a6e5f8d3624f5f3482cae350f79d5f0753bf5beef9c2d91af3c");
    let internal = accounts.p2tr.derive_pub(SECP256K1, &receive).expect("a normal path").public_key;
    let (output, _) = internal.x_only_public_key().0.tap_tweak(SECP256K1, None);
    let expected = "a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c";
    assert_eq!(output.to_x_only_public_key().to_string(), expected);
    assert_eq!(accounts.fingerprint.to_string(), "73c5da0a");
}

#[test]
fn keys_are_one_node_s_and_one_channel_s() {
    let mut one = signer(1);
    let one: &mut dyn Signer = &mut one;
    let mut other = signer(2);
    let digest = Message::from_digest([9; 32]);
    let node = one.node_id().parse().expect("a point");
    let sig = one.sign_node(&digest).parse().expect("a low-S signature");
    assert_eq!(SECP256K1.verify_ecdsa(&digest, &sig, &node), Ok(()));
    let (bytes, id) = one.sign_recoverable(&digest);
    let id = RecoveryId::from_i32(i32::from(id)).expect("0 to 3");
    let recovered = RecoverableSignature::from_compact(&bytes, id).expect("a signature").recover(&digest);
    assert_eq!(recovered, Ok(node));
    let sig = one.sign_announcement(KEYS, &digest).parse().expect("a low-S signature");
    let funding = one.channel_basepoints(KEYS).funding_pubkey;
    assert_eq!(SECP256K1.verify_ecdsa(&digest, &sig, &funding), Ok(()));

    let other_node = other.node_id().parse().expect("a point");
    assert_eq!(one.ecdh(&other_node), other.ecdh(&node));
    let scalar = SecretKey::from_slice(&[5; 32]).expect("a key");
    let shared = node.mul_tweak(SECP256K1, &scalar.into()).expect("not zero");
    assert_eq!(one.ecdh(&scalar.public_key(SECP256K1)), sha256::Hash::hash(&shared.serialize()).to_byte_array());

    let here = one.channel_basepoints(KEYS);
    assert_ne!(here, one.channel_basepoints(KeysIndex(KEYS.0 + 1)));
    assert_ne!(here, one.channel_basepoints(KeysIndex(KEYS.0 + (1 << 31))));
    assert_ne!(one.per_commitment_point(KEYS, 0), one.per_commitment_point(KEYS, 4));
    let again = signer(1).channel_basepoints(KEYS);
    assert_eq!(here, again, "the seed decides");
    let mainnet = KeysSigner::new([1; 64], Network::Bitcoin, [1; 32]);
    assert_ne!(mainnet.node_id(), one.node_id(), "one seed serves several networks");
    assert_ne!(Xpriv::new_master(Network::Regtest, &[1; 64]).expect("a key").private_key.public_key(SECP256K1), node);
}
