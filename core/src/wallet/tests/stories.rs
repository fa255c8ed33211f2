//! Money comes, goes, and is taken back by the chain.

use super::*;
use crate::event::BroadcastOutcome;

#[test]
fn money_comes_in_by_both_kinds_of_address() {
    let mut alice = Alice::new();
    let (taproot, segwit) = (alice.address(AddressKind::P2tr), alice.address(AddressKind::P2wpkh));
    assert!(taproot.is_p2tr() && segwit.is_p2wpkh());
    let txs = [alice.pay(&taproot, 50_000), alice.pay(&segwit, 20_000), alice.pay(&foreign(), 1)];
    alice.mine(&txs);
    assert_eq!(alice.balance(), (70_000, 0, 0));
    let funds = alice.wallet.list_funds(false);
    assert_eq!(funds.len(), 2);
    assert!(funds.iter().all(|output| output.status == OutputStatus::Confirmed(BlockHeight(501))));
    assert_ne!(alice.address(AddressKind::P2tr), taproot, "a new address each time");
}

#[test]
fn a_spend_is_seen_at_once_and_its_change_can_be_spent_without_a_block() {
    let mut alice = Alice::funded(&[100_000]);
    let tx = alice.withdraw(AmountOrAll::Amount(Sat(30_000)), None).expect("enough");
    assert_eq!(alice.world.broadcasts, std::slice::from_ref(&tx));
    let (confirmed, unconfirmed, _) = alice.balance();
    assert_eq!(confirmed, 0);
    assert!(unconfirmed > 69_000 && unconfirmed < 70_000);
    // Change is in no block: only who asks for depth zero gets it.
    let refused = alice.fund(&spec(pays(10_000)));
    assert!(matches!(refused, Err(WalletError::CannotAfford { available: Sat(0), .. })), "{refused:?}");
    let at_once = FundSpec { inputs: InputChoice::Any { min_confirmations: 0 }, ..spec(pays(10_000)) };
    let child = alice.fund(&at_once).expect("the change");
    assert_eq!(child.psbt.unsigned_tx.input[0].previous_output.txid, tx.compute_txid());
    alice.mine(&[tx]);
    assert_eq!(alice.balance(), (unconfirmed, 0, 0));
}

#[test]
fn a_rejected_transaction_frees_its_inputs() {
    let mut alice = Alice::funded(&[100_000]);
    let tx = alice.withdraw(AmountOrAll::Amount(Sat(30_000)), None).expect("enough");
    let rejected = BroadcastOutcome::Rejected { code: -26, reason: "min relay fee not met".to_owned() };
    alice.wallet.broadcast_outcome(tx.compute_txid(), &BroadcastOutcome::Unreachable, &mut alice.world);
    assert_eq!(alice.balance().0, 0, "nobody knows whether it arrived");
    alice.wallet.broadcast_outcome(tx.compute_txid(), &rejected, &mut alice.world);
    alice.audit();
    assert_eq!(alice.balance(), (100_000, 0, 0));
    let row = (Table::Transaction, tx.compute_txid().to_byte_array().to_vec());
    assert!(!alice.world.rows.contains_key(&row));

    // One that was taken once is not given up: mempools forget.
    let tx = alice.withdraw(AmountOrAll::Amount(Sat(30_000)), None).expect("enough");
    alice.wallet.broadcast_outcome(tx.compute_txid(), &BroadcastOutcome::Accepted, &mut alice.world);
    alice.wallet.broadcast_outcome(tx.compute_txid(), &rejected, &mut alice.world);
    alice.audit();
    assert_eq!(alice.balance().0, 0);
    alice.world.broadcasts.clear();
    alice.wallet.rebroadcast(&mut alice.world);
    assert_eq!(alice.world.broadcasts, std::slice::from_ref(&tx));
    alice.wallet.abandon(tx.compute_txid(), &mut alice.world);
    alice.audit();
    assert_eq!(alice.balance(), (100_000, 0, 0));
}

#[test]
fn a_double_spend_takes_everything_behind_it_along() {
    let mut alice = Alice::funded(&[100_000]);
    let coin = *alice.wallet.coins.keys().next().expect("a coin");
    let tx = alice.withdraw(AmountOrAll::Amount(Sat(30_000)), None).expect("enough");
    let at_once = FundSpec { inputs: InputChoice::Any { min_confirmations: 0 }, ..spec(pays(10_000)) };
    let Funded { mut psbt, .. } = alice.fund(&at_once).expect("the change");
    alice.wallet.sign(&mut psbt, None, &mut alice.signer).expect("ours");
    let child = extract(&psbt).expect("signed");
    alice.wallet.broadcast(&child, "child", &mut alice.world);
    alice.audit();
    assert_eq!(alice.wallet.txs.len(), 3);

    // Another copy of the seed spends the same coin.
    let rival = spend(&[coin], &[(99_000, foreign())]);
    alice.mine(&[rival]);
    assert_eq!(alice.balance(), (0, 0, 0));
    alice.world.broadcasts.clear();
    alice.wallet.rebroadcast(&mut alice.world);
    assert!(alice.world.broadcasts.is_empty(), "neither can ever be mined now");

    // The block goes away, and with it the reason.
    alice.unmine();
    alice.wallet.rebroadcast(&mut alice.world);
    assert!(alice.wallet.txs.contains_key(&tx.compute_txid()));
    // Of two unconfirmed ones the later stands; the operator decides for ours.
    alice.mine(&[tx, child]);
    let (confirmed, unconfirmed, _) = alice.balance();
    assert!(confirmed > 58_000 && confirmed < 59_000 && unconfirmed == 0);
    alice.mine_empty(BURIED_BLOCKS);
    assert_eq!(alice.balance(), (confirmed, 0, 0));
    assert!(alice.wallet.txs.is_empty(), "all is settled");
    assert_eq!(alice.wallet.coins.len(), 1, "spent coins are history");
}

#[test]
fn a_reorganisation_moves_a_payment_to_another_block() {
    let mut alice = Alice::new();
    let script = alice.address(AddressKind::P2tr);
    let tx = alice.pay(&script, 50_000);
    alice.mine(std::slice::from_ref(&tx));
    alice.mine(&[]);
    let spent = alice.withdraw(AmountOrAll::All, None).expect("enough");
    alice.mine(std::slice::from_ref(&spent));
    assert_eq!(alice.balance(), (0, 0, 0));

    alice.unmine();
    alice.unmine();
    alice.unmine();
    assert_eq!(alice.height, 500);
    assert_eq!(alice.balance(), (0, 0, 0), "unconfirmed, and spent by an unconfirmed one");
    alice.mine(&[]);
    alice.mine(&[tx, spent]);
    assert_eq!(alice.balance(), (0, 0, 0));
    let funds = alice.wallet.list_funds(true);
    assert_eq!(funds.len(), 1);
    assert_eq!(funds[0].status, OutputStatus::Spent(Some(BlockHeight(502))));
}

#[test]
fn a_payment_that_only_a_lost_block_held_is_not_spent() {
    let mut alice = Alice::funded(&[50_000]);
    alice.unmine();
    assert_eq!(alice.balance(), (0, 50_000, 0));
    let any = FundSpec { inputs: InputChoice::Any { min_confirmations: 0 }, ..spec(pays(10_000)) };
    assert!(matches!(alice.fund(&any), Err(WalletError::CannotAfford { .. })), "a stranger's promise is no money");
}

#[test]
fn a_reward_rests_for_a_hundred_blocks_and_dies_with_its_block() {
    let mut alice = Alice::new();
    let script = alice.address(AddressKind::P2tr);
    let reward = spend(&[OutPoint::null()], &[(5_000_000_000, script)]);
    alice.mine(std::slice::from_ref(&reward));
    assert_eq!(alice.balance(), (0, 0, 5_000_000_000));
    assert!(alice.withdraw(AmountOrAll::Amount(Sat(1_000)), None).is_err());
    let coin = OutPoint::new(reward.compute_txid(), 0);
    let named = alice.withdraw(AmountOrAll::Amount(Sat(1_000)), Some(vec![coin]));
    assert_eq!(named, Err(WalletError::Immature(coin)));
    alice.mine_empty(99);
    assert_eq!(alice.balance(), (5_000_000_000, 0, 0), "the next block is the hundredth after");

    let mut alice = Alice::new();
    let script = alice.address(AddressKind::P2tr);
    alice.mine(&[spend(&[OutPoint::null()], &[(5_000_000_000, script)])]);
    alice.unmine();
    assert_eq!(alice.balance(), (0, 0, 0));
    assert!(alice.wallet.txs.is_empty());
}

#[test]
fn a_wallet_that_has_only_its_seed_finds_what_was_paid_ahead() {
    let mut alice = Alice::new();
    let scripts: Vec<ScriptBuf> = (0..keychain::LOOKAHEAD).map(|_| alice.address(AddressKind::P2wpkh)).collect();
    let mut fresh = Alice::new();
    let tx = fresh.pay(&scripts[keychain::LOOKAHEAD as usize - 1], 10_000);
    fresh.mine(&[tx]);
    assert_eq!(fresh.balance(), (10_000, 0, 0));
    assert!(!scripts.contains(&fresh.address(AddressKind::P2wpkh)), "what was paid is not given out again");
}

#[test]
fn change_that_is_never_used_stays_within_reach_of_a_search() {
    let mut alice = Alice::new();
    let scripts: BTreeSet<ScriptBuf> =
        (0..2 * keychain::CHANGE_LOOKAHEAD).map(|_| alice.wallet.next_sweep_script(&mut alice.world)).collect();
    assert_eq!(scripts.len(), keychain::CHANGE_LOOKAHEAD as usize);
    let last = scripts.iter().max_by_key(|script| alice.wallet.keychains.place(script)).cloned().expect("some");
    let tx = alice.pay(&last, 10_000);
    alice.mine(&[tx]);
    assert!(!scripts.contains(&alice.wallet.next_sweep_script(&mut alice.world)), "the search now goes further");
    alice.audit();
}

#[test]
fn money_that_comes_and_goes_in_one_block_is_gone() {
    let mut alice = Alice::new();
    let script = alice.address(AddressKind::P2wpkh);
    let tx = alice.pay(&script, 50_000);
    let child = spend(&[OutPoint::new(tx.compute_txid(), 0)], &[(49_000, foreign())]);
    alice.mine(&[tx, child]);
    assert_eq!(alice.balance(), (0, 0, 0));
    alice.unmine();
    assert_eq!(alice.balance(), (0, 0, 0));
    alice.mine_empty(2 * BURIED_BLOCKS);
    assert_eq!(alice.wallet.txs.len(), 2, "they may still be mined");
}

#[test]
fn blocks_without_us_write_nothing() {
    let mut alice = Alice::funded(&[100_000, 50_000]);
    let before = alice.world.writes;
    alice.mine_empty(10);
    assert_eq!(alice.world.writes, before);
}

#[test]
fn history_is_read_back_page_by_page() {
    use crate::ids::QueryId;
    use crate::limits::HISTORY_PAGE_ROWS;

    struct Ignore;
    impl Sink for Ignore {
        fn emit(&mut self, _: Command<'_>) {}
    }
    let mut alice = Alice::new();
    let script = alice.address(AddressKind::P2tr);
    for count in 0..600_u32 {
        let from = OutPoint::new(Txid::from_byte_array([5; 32]), count);
        let tx = spend(&[from], &[(10_000, script.clone())]);
        let height = BlockHeight(501 + count);
        alice.wallet.block_connected(height, &[Match { index: 1, tx: &tx }], &mut alice.world);
    }
    let rows: Vec<Row<'_>> = alice
        .world
        .rows
        .iter()
        .filter(|((table, _), _)| *table == Table::Transaction)
        .map(|((table, key), value)| Row { table: *table, key, value })
        .collect();
    let mut query = TransactionsQuery::start(QueryId(1), &mut Ignore);
    let more = query.loaded(QueryId(1), &rows[..HISTORY_PAGE_ROWS], &mut Ignore).expect("our rows");
    assert_eq!(more, None);
    let all = query.loaded(QueryId(1), &rows[HISTORY_PAGE_ROWS..], &mut Ignore).expect("our rows").expect("the end");
    assert_eq!(all.len(), 600);
    assert!(all.iter().enumerate().all(|(at, entry)| entry.tx.input[0].previous_output.vout == at as u32));
}
