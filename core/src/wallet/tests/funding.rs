//! Transactions that pay what they should, and say why when they do not.

use super::*;
use crate::request::RequestError;

/// What a transaction spends, by the wallet's own knowledge.
fn spent(alice: &Alice, tx: &Transaction) -> Vec<TxOut> {
    let output = |input: &TxIn| {
        let coin = &alice.wallet.coins[&input.previous_output];
        TxOut { value: coin.amount.to_amount(), script_pubkey: alice.wallet.keychains.script(coin.place).to_owned() }
    };
    tx.input.iter().map(output).collect()
}

fn fee(alice: &Alice, tx: &Transaction) -> u64 {
    let sum = |outputs: &[TxOut]| outputs.iter().map(|output| output.value.to_sat()).sum::<u64>();
    sum(&spent(alice, tx)) - sum(&tx.output)
}

#[test]
fn what_is_signed_is_valid_and_pays_the_feerate() {
    let mut alice = Alice::funded(&[40_000, 50_000, 60_000]);
    let tx = alice.withdraw(AmountOrAll::Amount(Sat(120_000)), None).expect("enough");
    let outputs = spent(&alice, &tx);
    assert_eq!(outputs.len(), 3);
    verify(&tx, &outputs);
    assert!(tx.input.iter().all(|input| input.sequence.0 == 0xffff_fffd));
    let height = tx.lock_time.to_consensus_u32();
    assert!(height <= 503 && height > 403);
    let (paid, weight) = (fee(&alice, &tx), tx.weight().to_wu());
    // A P2WPKH signature may be a byte shorter than planned.
    let exact = |weight: u64| (weight * u64::from(FEERATE)).div_ceil(1000);
    assert!(paid >= exact(weight) && paid <= exact(weight + 2), "{paid} for {weight}");
}

#[test]
fn all_leaves_nothing_but_the_reserve_for_anchors() {
    let mut alice = Alice::funded(&[40_000, 50_000, 600]);
    let everything = alice.wallet.plan(&spec(Pay::AllTo(foreign()))).expect("enough");
    assert_eq!(everything.inputs.len(), 3);
    assert_eq!(everything.change, None);
    assert_eq!(everything.outputs[0].value.to_sat() + everything.fee.0, 90_600);

    // At a feerate at which a coin costs more than it is worth, it stays.
    let dear = FundSpec { feerate_per_kw: 5_000, ..spec(Pay::AllTo(foreign())) };
    assert_eq!(alice.wallet.plan(&dear).expect("enough").inputs.len(), 2);

    let reserve = anchor_reserve(2);
    assert_eq!(reserve, Sat(50_000));
    let kept = FundSpec { emergency_reserve: reserve, ..spec(Pay::AllTo(foreign())) };
    let plan = alice.wallet.plan(&kept).expect("enough");
    assert_eq!(plan.change, Some(reserve));
    assert_eq!(plan.outputs[0].value.to_sat() + plan.fee.0 + reserve.0, 90_600);
    let funded = alice.fund(&kept).expect("enough");
    let change_at = funded.change_at.expect("the reserve") as usize;
    assert_eq!(funded.psbt.unsigned_tx.output[change_at].value.to_sat(), reserve.0);

    let too_much = FundSpec { emergency_reserve: reserve, ..spec(pays(60_000)) };
    let refused = alice.fund(&too_much);
    let Err(error @ WalletError::EmergencyReserve { .. }) = refused else { panic!("{refused:?}") };
    let error = RequestError::from(error);
    assert_eq!(error.code, 301);
    assert!(error.message.contains("min-emergency"));
    assert!(alice.fund(&spec(pays(60_000))).is_ok(), "without such channels it may go");
    assert_eq!(anchor_reserve(0), Sat::ZERO);
    assert_eq!(anchor_reserve(1_000), ANCHOR_RESERVE_MAX);
}

#[test]
fn refusals_have_core_lightning_s_codes() {
    let mut alice = Alice::funded(&[40_000]);
    let code = |error: WalletError| RequestError::from(error).code;
    let refused = alice.fund(&spec(pays(39_990))).expect_err("the fee is missing");
    assert!(matches!(refused, WalletError::CannotAfford { needed, available: Sat(40_000) } if needed > Sat(40_000)));
    assert_eq!(code(refused), 301);
    let refused = alice.fund(&spec(pays(329))).expect_err("dust");
    assert_eq!(refused, WalletError::Dust { amount: Sat(329), minimum: Sat(330) });
    assert_eq!(code(refused), 302);
    assert_eq!(code(alice.fund(&spec(pays(u64::MAX / 2))).expect_err("more than there is")), 301);
    let huge = TxOut { value: Sat(u64::MAX).to_amount(), script_pubkey: foreign() };
    assert_eq!(code(alice.fund(&spec(Pay::Outputs(vec![huge.clone(), huge]))).expect_err("overflow")), 301);

    let coin = *alice.wallet.coins.keys().next().expect("a coin");
    let stranger = OutPoint::null();
    fn named(inputs: &[OutPoint]) -> FundSpec<'_> {
        FundSpec { inputs: InputChoice::Exactly(inputs), ..spec(pays(1_000)) }
    }
    assert_eq!(alice.fund(&named(&[stranger])), Err(WalletError::UnknownInput(stranger)));
    assert_eq!(alice.fund(&named(&[coin, coin])), Err(WalletError::BadInputs));
    assert_eq!(alice.fund(&named(&[])), Err(WalletError::BadInputs));
    alice.fund(&FundSpec { reserve_blocks: 10, ..named(&[coin]) }).expect("it is free");
    let reserved_to = BlockHeight(511);
    assert_eq!(alice.fund(&named(&[coin])), Err(WalletError::Reserved { outpoint: coin, reserved_to }));
    assert!(alice.fund(&spec(pays(1_000))).is_err());
    alice.mine_empty(10);
    alice.fund(&named(&[coin])).expect("it is free again");
    alice.withdraw(AmountOrAll::All, Some(vec![coin])).expect("enough");
    assert_eq!(alice.fund(&named(&[coin])), Err(WalletError::Spent(coin)));
}

#[test]
fn the_outputs_asked_for_are_found_whatever_their_order() {
    let mut alice = Alice::funded(&[1_000_000]);
    let output = |amount: u64| TxOut { value: Sat(amount).to_amount(), script_pubkey: foreign() };
    let mut orders = BTreeSet::new();
    for _ in 0..20 {
        let pay = Pay::Outputs(vec![output(10_000), output(20_000), output(30_000)]);
        let funded = alice.fund(&spec(pay)).expect("enough");
        let amount = |at: u32| funded.psbt.unsigned_tx.output[at as usize].value.to_sat();
        let amounts: Vec<u64> = funded.outputs_at.iter().map(|at| amount(*at)).collect();
        assert_eq!(amounts, [10_000, 20_000, 30_000]);
        assert!(amount(funded.change_at.expect("there is change")) > 900_000);
        let change = &funded.psbt.outputs[funded.change_at.expect("there is change") as usize];
        assert!(change.tap_internal_key.is_some(), "a signer can see that it is ours");
        orders.insert(funded.outputs_at);
    }
    assert!(orders.len() > 3, "the order tells nothing");
}

#[test]
fn a_client_funds_signs_and_sends_in_steps() {
    let mut alice = Alice::funded(&[40_000, 50_000]);
    let request = FundPsbt {
        amount: AmountOrAll::Amount(Sat(60_000)),
        feerate: crate::request::FeerateChoice::Normal,
        start_weight: 42 + 172,
        min_confirmations: 1,
        reserve_blocks: RESERVE_BLOCKS,
        locktime: None,
        min_witness_weight: 0,
        excess_as_change: false,
        opening_anchor_channel: false,
    };
    let Alice { wallet, rng, world, .. } = &mut alice;
    let funded = wallet.fund_psbt(&request, FEERATE, Sat::ZERO, rng, world).expect("enough");
    alice.audit();
    assert_eq!(funded.reservations.len(), 2);
    assert_eq!(funded.reservations[0].reserved_to, Some(BlockHeight(574)));
    let weight = u64::from(funded.estimated_final_weight);
    let excess = funded.excess_msat.sat_floor().0;
    assert_eq!(excess + 60_000 + (weight * u64::from(FEERATE)).div_ceil(1000), 90_000);

    // The client adds its output, the excess to the fee.
    let mut psbt = funded.psbt.parse().expect("ours");
    psbt.unsigned_tx.output.push(TxOut { value: Sat(60_000).to_amount(), script_pubkey: foreign() });
    psbt.outputs.push(Default::default());
    let psbt = PsbtBytes::from(&psbt);
    let early = SendPsbt { psbt: psbt.clone(), reserve_blocks: RESERVE_BLOCKS };
    assert_eq!(alice.wallet.send_psbt(&early, &mut alice.world).map(|_| ()), Err(WalletError::Unfinished(0)));
    let half = SignPsbt { psbt: psbt.clone(), sign_only: Some(vec![1]) };
    let half = alice.wallet.sign_psbt(&half, &mut alice.signer).expect("ours");
    let early = SendPsbt { psbt: half.clone(), reserve_blocks: RESERVE_BLOCKS };
    assert_eq!(alice.wallet.send_psbt(&early, &mut alice.world).map(|_| ()), Err(WalletError::Unfinished(0)));
    let whole = SignPsbt { psbt: half, sign_only: Some(vec![0]) };
    let whole = alice.wallet.sign_psbt(&whole, &mut alice.signer).expect("ours");
    let sent = SendPsbt { psbt: whole, reserve_blocks: RESERVE_BLOCKS };
    let tx = alice.wallet.send_psbt(&sent, &mut alice.world).expect("whole").tx;
    alice.audit();
    verify(&tx, &spent(&alice, &tx));
    assert!(tx.weight().to_wu() <= weight && tx.weight().to_wu() + 2 >= weight);
    assert_eq!(alice.world.broadcasts, [tx]);

    let beyond = SignPsbt { psbt: psbt.clone(), sign_only: Some(vec![2]) };
    assert_eq!(alice.wallet.sign_psbt(&beyond, &mut alice.signer), Err(WalletError::NoSuchInput(2)));
    let junk = SignPsbt { psbt: PsbtBytes(vec![1, 2, 3]), sign_only: None };
    assert!(matches!(alice.wallet.sign_psbt(&junk, &mut alice.signer), Err(WalletError::BadPsbt(_))));
}

#[test]
fn inputs_are_kept_and_released_in_steps() {
    let mut alice = Alice::funded(&[40_000]);
    let coin = *alice.wallet.coins.keys().next().expect("a coin");
    let psbt = PsbtBytes::from(&alice.wallet.unsigned(&[coin], Vec::new(), LockTime::ZERO));
    let keep = ReserveInputs { psbt: psbt.clone(), exclusive: true, blocks: RESERVE_BLOCKS };
    let kept = alice.wallet.reserve_inputs(&keep, &mut alice.world).expect("free");
    assert_eq!((kept[0].was_reserved, kept[0].reserved_to), (false, Some(BlockHeight(573))));
    assert!(matches!(alice.wallet.reserve_inputs(&keep, &mut alice.world), Err(WalletError::Reserved { .. })));
    let again = ReserveInputs { exclusive: false, ..keep };
    let kept = alice.wallet.reserve_inputs(&again, &mut alice.world).expect("not exclusive");
    assert_eq!((kept[0].was_reserved, kept[0].reserved_to), (true, Some(BlockHeight(645))));
    assert_eq!(alice.wallet.list_funds(false)[0].reserved_to, Some(BlockHeight(645)));
    alice.audit();
    let release = UnreserveInputs { psbt, blocks: RESERVE_BLOCKS };
    let left = alice.wallet.unreserve_inputs(&release, &mut alice.world).expect("ours");
    assert_eq!((left[0].was_reserved, left[0].reserved_to), (true, Some(BlockHeight(573))));
    let left = alice.wallet.unreserve_inputs(&release, &mut alice.world).expect("ours");
    assert_eq!((left[0].was_reserved, left[0].reserved_to), (true, None));
    assert_eq!(alice.wallet.list_funds(false)[0].reserved_to, None);
    alice.audit();
}

#[test]
fn a_lie_about_an_amount_is_corrected_and_an_absurd_fee_refused() {
    let mut alice = Alice::funded(&[40_000_000]);
    let coin = *alice.wallet.coins.keys().next().expect("a coin");
    let output = TxOut { value: Sat(1_000).to_amount(), script_pubkey: foreign() };
    let mut psbt = alice.wallet.unsigned(&[coin], vec![output], LockTime::ZERO);
    psbt.inputs[0].witness_utxo.as_mut().expect("known").value = Sat(2_000).to_amount();
    assert_eq!(alice.wallet.sign(&mut psbt, None, &mut alice.signer), Ok(1));
    assert_eq!(psbt.inputs[0].witness_utxo.as_ref().expect("known").value.to_sat(), 40_000_000);
    assert!(matches!(extract(&psbt), Err(WalletError::AbsurdFee { fee: Sat(39_999_000), .. })));
}

#[test]
fn the_same_seed_makes_the_same_transactions() {
    let run = || {
        let mut alice = Alice::funded(&[40_000, 50_000, 60_000, 70_000]);
        alice.withdraw(AmountOrAll::Amount(Sat(120_000)), None).expect("enough");
        alice.world.broadcasts
    };
    assert_eq!(run(), run());
}
