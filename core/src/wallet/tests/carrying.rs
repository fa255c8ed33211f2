//! Commitments and HTLC transactions that the wallet pays for.

use super::*;

/// A script that anybody can satisfy, in the place of a channel's.
fn anyone() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51])
}

/// An input of 164 weight units and its witness: count, length and the script.
const ANYONE_WEIGHT: u64 = 164 + 1 + 1 + 1;

fn channel_output(amount: u64) -> TxOut {
    TxOut { value: Sat(amount).to_amount(), script_pubkey: anyone().to_p2wsh() }
}

/// The caller's part, then the wallet's.
fn finish(alice: &mut Alice, mut psbt: bitcoin::Psbt, theirs: usize) -> Transaction {
    for input in &mut psbt.inputs[..theirs] {
        let mut witness = Witness::new();
        witness.push(anyone().as_bytes());
        input.final_script_witness = Some(witness);
    }
    alice.wallet.sign(&mut psbt, None, &mut alice.signer).expect("ours");
    let tx = extract(&psbt).expect("all is signed");
    let spent: Vec<TxOut> = psbt.inputs.iter().map(|input| input.witness_utxo.clone().expect("known")).collect();
    verify(&tx, &spent);
    tx
}

#[test]
fn a_commitment_is_bumped_through_its_anchor() {
    let mut alice = Alice::funded(&[20_000, 30_000]);
    let anchor = spend(&[OutPoint::new(Txid::from_byte_array([8; 32]), 0)], &[]);
    let (spent, parent) = ([channel_output(330)], Parent { weight: 1_124, fee: Sat(300) });
    let carry =
        Carry { tx: &anchor, spent: &spent, inputs_weight: ANYONE_WEIGHT, parent: Some(parent), feerate_per_kw: 5_000 };
    let Funded { psbt, fee, weight, change_at, .. } = alice.wallet.carry(&carry, &mut alice.world).expect("enough");
    alice.audit();
    assert_eq!(change_at, Some(0));
    assert_eq!(psbt.unsigned_tx.input.len(), 2, "one coin is enough, the larger");
    assert_eq!(psbt.unsigned_tx.input[0], anchor.input[0]);
    assert_eq!(fee.0 + parent.fee.0, (5_000 * (weight + parent.weight)).div_ceil(1000));
    assert_eq!(psbt.unsigned_tx.output[0].value.to_sat(), 330 + 30_000 - fee.0);
    let tx = finish(&mut alice, psbt, 1);
    assert!(tx.weight().to_wu() <= weight && tx.weight().to_wu() + 1 >= weight);
    alice.wallet.broadcast(&tx, "bump", &mut alice.world);
    alice.audit();

    // The next block did not have it: more, with the same coin.
    alice.wallet.abandon(tx.compute_txid(), &mut alice.world);
    let again = Carry { feerate_per_kw: 6_000, ..carry };
    let Funded { psbt, fee: more, .. } = alice.wallet.carry(&again, &mut alice.world).expect("enough");
    assert!(more > fee);
    let replacement = finish(&mut alice, psbt, 1);
    assert_eq!(replacement.input[1].previous_output, tx.input[1].previous_output);
    alice.wallet.broadcast(&replacement, "bump", &mut alice.world);
    // The first one is mined after all.
    alice.mine(&[tx]);
    let (confirmed, unconfirmed, _) = alice.balance();
    assert_eq!((confirmed, unconfirmed), (20_000 + 30_330 - fee.0, 0));
}

#[test]
fn an_htlc_transaction_keeps_its_place_and_its_lock_time() {
    let mut alice = Alice::funded(&[20_000]);
    let mut htlc = spend(&[OutPoint::new(Txid::from_byte_array([8; 32]), 3)], &[(40_000, foreign())]);
    htlc.lock_time = LockTime::from_consensus(480);
    let spent = [channel_output(40_000)];
    let carry = Carry { tx: &htlc, spent: &spent, inputs_weight: ANYONE_WEIGHT, parent: None, feerate_per_kw: 2_000 };
    let Funded { psbt, fee, weight, outputs_at, change_at } =
        alice.wallet.carry(&carry, &mut alice.world).expect("enough");
    assert_eq!((outputs_at, change_at), (vec![0], Some(1)));
    assert_eq!(fee.0, (2_000 * weight).div_ceil(1000));
    assert_eq!((psbt.unsigned_tx.lock_time, &psbt.unsigned_tx.output[0]), (htlc.lock_time, &htlc.output[0]));
    assert_eq!(psbt.unsigned_tx.input[0], htlc.input[0]);
    finish(&mut alice, psbt, 1);

    let dear = Carry { feerate_per_kw: 50_000, ..carry };
    let refused = alice.wallet.carry(&dear, &mut alice.world);
    assert!(matches!(refused, Err(WalletError::CannotAfford { needed, available: Sat(60_000) }) if needed.0 > 60_000));
}

#[test]
fn what_pays_for_itself_needs_no_coin() {
    let mut alice = Alice::new();
    let close = spend(&[OutPoint::new(Txid::from_byte_array([8; 32]), 3)], &[(30_000, foreign())]);
    let spent = [channel_output(30_500)];
    let carry = Carry { tx: &close, spent: &spent, inputs_weight: ANYONE_WEIGHT, parent: None, feerate_per_kw: 500 };
    let funded = alice.wallet.carry(&carry, &mut alice.world).expect("it pays itself");
    assert_eq!((funded.psbt.unsigned_tx.input.len(), funded.change_at, funded.fee), (1, None, Sat(500)));
    // A child without outputs needs change even so.
    let child = Transaction { output: Vec::new(), ..close.clone() };
    let poor = Carry { tx: &child, spent: &[channel_output(330)], ..carry };
    assert!(matches!(alice.wallet.carry(&poor, &mut alice.world), Err(WalletError::CannotAfford { .. })));
}
