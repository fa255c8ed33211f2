use std::collections::BTreeMap;

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Amount, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut};
use leyden_core::amount::Sat;
use leyden_core::chain::FEERATE_FLOOR_PER_KW;
use leyden_core::ids::BlockHeight;
use quickcheck::quickcheck;

use super::block::subsidy_sat;
use super::ledger::Ledger;
use super::pool::Pool;
use super::*;

const COIN_SAT: u64 = 100_000_000;

/// Spends outputs that anyone can spend to outputs that anyone can spend.
fn spend(from: &[OutPoint], values_sat: &[u64]) -> Transaction {
    let input = from.iter().map(|outpoint| TxIn {
        previous_output: *outpoint,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: anyones_witness(),
    });
    let output = values_sat
        .iter()
        .map(|value_sat| TxOut { value: Amount::from_sat(*value_sat), script_pubkey: anyone_can_spend() });
    Transaction { version: Version::TWO, lock_time: LockTime::ZERO, input: input.collect(), output: output.collect() }
}

fn outpoint(tx: &Transaction, vout: u32) -> OutPoint {
    OutPoint::new(tx.compute_txid(), vout)
}

/// A chain with so many confirmed outputs of one coin that anyone can spend.
fn funded(count: u64) -> (Chain, Vec<OutPoint>) {
    let mut chain = Chain::default();
    let outpoints = (0..count).map(|_| chain.gift(anyone_can_spend(), Sat(COIN_SAT))).collect();
    chain.mine();
    (chain, outpoints)
}

fn anchor() -> TxOut {
    TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::from_bytes(vec![0x51, 0x02, 0x4e, 0x73]) }
}

#[test]
fn the_first_blocks_are_always_the_same_and_valid() {
    let chain = Chain::default();
    assert_eq!(chain.tip(), Chain::new(Params::default()).tip());
    let genesis = bitcoin::constants::genesis_block(Network::Regtest);
    assert_eq!(chain.block(BlockHeight(0)).map(Block::to_bitcoin), Some(genesis.clone()));
    let mut previous = genesis.block_hash();
    for height in 1..=chain.tip().height.0 {
        let known = chain.block(BlockHeight(height)).expect("it was mined");
        let block = known.to_bitcoin();
        assert_eq!(block.header.prev_blockhash, previous);
        assert!(block.check_merkle_root() && block.check_witness_commitment());
        // Lower heights are encoded in a way that the function does not know.
        assert!(height <= 16 || block.bip34_block_height() == Ok(u64::from(height)));
        assert_eq!(block.weight(), known.weight());
        assert!(block.header.validate_pow(block.header.target()).is_ok());
        previous = block.block_hash();
        assert_eq!(chain.block_by_hash(&previous).map(|block| block.tip.height.0), Some(height));
    }
    assert_eq!(chain.tip().hash, previous);
    let mined_sat: u64 = (1..=chain.tip().height.0).map(subsidy_sat).sum();
    assert_eq!(chain.balance(&anyone_can_spend()), Sat(mined_sat));
}

#[test]
fn a_miner_earns_the_fees_and_everything_is_found() {
    let (mut chain, from) = funded(1);
    let tx = spend(&from, &[COIN_SAT - 5_000]);
    chain.broadcast(&tx).expect("it is valid");
    assert_eq!(chain.spender(from[0]), Some(tx.compute_txid()));
    assert_eq!(chain.confirmations(&tx.compute_txid()), 0);
    let block = chain.mine().clone();
    assert_eq!(block.coinbase().output[0].value.to_sat(), subsidy_sat(block.tip.height.0) + 5_000);
    chain.mine();
    assert_eq!(chain.place(&tx.compute_txid()), Some(Place { height: block.tip.height, index: 1 }));
    assert_eq!(chain.confirmations(&tx.compute_txid()), 2);
    assert_eq!(chain.tx(&tx.compute_txid()).map(|known| Transaction::clone(known)), Some(tx.clone()));
    assert_eq!(chain.broadcast(&tx), Ok(()), "it is known");
    assert!(chain.coin(&from[0]).is_none());
}

#[test]
fn a_replacement_pays_for_what_it_replaces_and_for_its_relay() {
    let (mut chain, from) = funded(1);
    let first = spend(&from, &[COIN_SAT - 1_000]);
    chain.broadcast(&first).expect("it is valid");
    let child = spend(&[outpoint(&first, 0)], &[COIN_SAT - 2_000]);
    chain.broadcast(&child).expect("it is valid");
    let replacement = |fee_sat| spend(&from, &[COIN_SAT - fee_sat]);
    let vsize = replacement(0).vsize() as u64;
    let refused = |rule, fee_sat, required_sat| Err(Refused::InsufficientFee { rule, fee_sat, required_sat });
    assert_eq!(chain.broadcast(&replacement(900)), refused(ReplaceRule::Feerate, 900, 1_001));
    assert_eq!(chain.broadcast(&replacement(1_900)), refused(ReplaceRule::TotalFee, 1_900, 2_000));
    assert_eq!(chain.broadcast(&replacement(2_001)), refused(ReplaceRule::RelayFee, 2_001, 2_000 + vsize));
    assert_eq!(chain.broadcast(&replacement(2_000 + vsize)), Ok(()));
    assert!(!chain.is_waiting(&first.compute_txid()) && !chain.is_waiting(&child.compute_txid()));
    assert_eq!(chain.mempool_len(), 1);
    chain.policy_mut().replace = false;
    assert_eq!(chain.broadcast(&replacement(9_000)), Err(Refused::Conflict(from[0])));
}

#[test]
fn a_parent_without_a_fee_comes_with_a_child_that_spends_its_anchor() {
    let (mut chain, from) = funded(2);
    let mut parent = spend(&from[..1], &[COIN_SAT]);
    parent.version = Version(3);
    parent.output.push(anchor());
    assert!(matches!(chain.broadcast(&parent), Err(Refused::MinRelayFee { fee_sat: 0, .. })));
    let mut child = spend(&[from[1], outpoint(&parent, 1)], &[COIN_SAT - 1_000]);
    child.version = Version(3);
    child.input[1].witness.clear();
    let mut careless = spend(&[from[1], outpoint(&parent, 0)], &[2 * COIN_SAT - 1_000]);
    careless.version = Version(3);
    let unspent = Refused::EphemeralUnspent { parent: parent.compute_txid() };
    assert_eq!(
        chain.submit_package(&[parent.clone(), careless.clone()]),
        Err(PackageRefused::Transaction(careless.compute_txid(), unspent))
    );
    assert_eq!(chain.submit_package(&[parent.clone(), child.clone()]), Ok(()));
    let block = chain.mine();
    let txids: Vec<Txid> = block.txs[1..].iter().map(|tx| tx.compute_txid()).collect();
    assert_eq!(txids, [parent.compute_txid(), child.compute_txid()]);
}

#[test]
fn what_pays_less_than_others_waits() {
    let (mut chain, from) = funded(2);
    let cheap = spend(&from[..1], &[COIN_SAT - 300]);
    let dear = spend(&from[1..], &[COIN_SAT - 3_000]);
    chain.broadcast(&cheap).expect("it is valid");
    chain.broadcast(&dear).expect("it is valid");
    chain.set_fee_floor(2_000);
    assert_eq!(chain.feerate_for(6), 2_000);
    assert_eq!(chain.mine().txs.len(), 2);
    assert!(chain.is_waiting(&cheap.compute_txid()));
    // A child that pays for both.
    chain.broadcast(&spend(&[outpoint(&cheap, 0)], &[COIN_SAT - 9_000])).expect("it is valid");
    assert_eq!(chain.mine().txs.len(), 3);
    assert_eq!(chain.mempool_len(), 0);

    chain.set_mempool_minimum(1_000);
    let low = spend(&[outpoint(&dear, 0)], &[COIN_SAT - 3_200]);
    let required_sat = low.vsize() as u64 * 4;
    assert_eq!(chain.broadcast(&low), Err(Refused::MempoolMinFee { fee_sat: 200, required_sat }));
    assert_eq!(chain.feerates().mempool_minimum, 1_000);
}

#[test]
fn a_full_mempool_throws_out_the_cheapest_and_becomes_dear_until_blocks_come() {
    let (mut chain, from) = funded(10);
    for (at, outpoint) in (0..).zip(&from) {
        chain.broadcast(&spend(&[*outpoint], &[COIN_SAT - 1_000 - at * 100])).expect("it is valid");
    }
    chain.policy_mut().max_mempool_bytes = chain.mempool_bytes() * 9 / 10;
    let cheapest = chain.mempool().next().expect("there are ten").compute_txid();
    let (fee, vsize) = chain.fee_and_vsize(&cheapest).expect("it waits");
    let before = chain.mempool_minimum_per_kvb();
    let late = spend(&[chain.gift(anyone_can_spend(), Sat(COIN_SAT))], &[COIN_SAT - 5_000]);
    chain.broadcast(&late).expect("it is valid");
    assert!(!chain.is_waiting(&cheapest));
    assert_eq!(before, 0);
    let price = chain.mempool_minimum_per_kvb();
    assert!(price >= fee.0 * 1_000 / vsize + chain.policy().incremental_per_kvb);
    chain.set_time_s(chain.time_s() + 24 * 3_600);
    assert_eq!(chain.mempool_minimum_per_kvb(), price, "no block has come");
    chain.mine();
    chain.set_time_s(chain.time_s() + 24 * 3_600);
    assert_eq!(chain.mempool_minimum_per_kvb(), price / 4);
    assert_eq!(chain.feerate_for(1), FEERATE_FLOOR_PER_KW.max((price / 4).div_ceil(4) as u32));
}

#[test]
fn what_waits_too_long_is_forgotten() {
    let (mut chain, from) = funded(2);
    let old = spend(&from[..1], &[COIN_SAT - 1_000]);
    chain.broadcast(&old).expect("it is valid");
    chain.broadcast(&spend(&[outpoint(&old, 0)], &[COIN_SAT - 2_000])).expect("it is valid");
    chain.set_time_s(chain.time_s() + chain.policy().expiry_s + 1);
    chain.broadcast(&spend(&from[1..], &[COIN_SAT - 1_000])).expect("it is valid");
    assert_eq!(chain.mempool_len(), 1);
}

#[test]
fn a_block_takes_what_pays_best_for_its_room() {
    let (mut chain, from) = funded(6);
    for (at, outpoint) in (0..).zip(&from) {
        chain.broadcast(&spend(&[*outpoint], &[COIN_SAT - 1_000 - at * 100])).expect("it is valid");
    }
    let weight = chain.mempool().next().expect("there are six").weight().to_wu();
    chain.policy_mut().block_weight = chain.policy().block_reserved_weight + 2 * weight;
    let outbid = chain.feerate_for(1);
    assert!(outbid > chain.feerate_for(3));
    let txs = chain.mine().txs.clone();
    let spent: Vec<OutPoint> = txs[1..].iter().map(|tx| tx.input[0].previous_output).collect();
    assert_eq!(spent, [from[5], from[4]]);
}

#[test]
fn blocks_are_filled_as_wanted() {
    let (mut chain, from) = funded(3);
    let txs: Vec<Transaction> = from.iter().map(|from| spend(&[*from], &[COIN_SAT - 1_000])).collect();
    for tx in &txs {
        chain.broadcast(tx).expect("it is valid");
    }
    let child = spend(&[outpoint(&txs[0], 0)], &[COIN_SAT - 5_000]);
    chain.broadcast(&child).expect("it is valid");
    let txids: Vec<Txid> = txs.iter().map(Transaction::compute_txid).collect();
    assert_eq!(chain.mine_block(&Fill::Empty).map(|block| block.txs.len()), Ok(1));
    assert_eq!(chain.mine_block(&Fill::Without(txids[..2].to_vec())).map(|block| block.txs.len()), Ok(2));
    assert!(chain.place(&txids[2]).is_some());
    assert_eq!(chain.mine_with(&txids[2..]).err(), Some(Refused::Unknown(txids[2])));
    // A child brings its parent along.
    assert_eq!(chain.mine_with(&[child.compute_txid()]).map(|block| block.txs.len()), Ok(3));
    // A miner takes what pays nothing and conflicts with what waits.
    let instead = spend(&from[1..2], &[COIN_SAT]);
    assert_eq!(chain.mine_exactly(&[instead]).map(|block| block.txs.len()), Ok(2));
    assert_eq!(chain.mempool_len(), 0);
    assert_eq!(chain.mine_exactly(&[child]).err(), Some(Refused::AlreadyKnown));
    let again = spend(&from[1..2], &[COIN_SAT - 7]);
    assert_eq!(chain.mine_exactly(&[again]).err(), Some(Refused::MissingInput(from[1])));
}

#[test]
fn a_payment_is_undone_by_a_longer_branch() {
    let (mut chain, from) = funded(1);
    let victim = spend(&from, &[COIN_SAT - 1_000]);
    chain.broadcast(&victim).expect("it is valid");
    chain.mine();
    let child = spend(&[outpoint(&victim, 0)], &[COIN_SAT - 2_000]);
    chain.broadcast(&child).expect("it is valid");
    chain.mine();
    let instead = spend(&from, &[COIN_SAT - 3_000]);
    let old_tip = chain.tip();
    let reorg = chain.double_spend(&victim.compute_txid(), &instead).expect("the branch is valid");
    assert_eq!((reorg.disconnected.len(), reorg.connected.len()), (2, 3));
    let dropped: Vec<Txid> = reorg.dropped.iter().map(|(txid, _)| *txid).collect();
    assert!(dropped.contains(&victim.compute_txid()) && dropped.contains(&child.compute_txid()));
    assert_eq!(chain.confirmations(&instead.compute_txid()), 3);
    assert!(!chain.is_active(&old_tip.hash) && chain.is_active(&chain.tip().hash));
    assert!(chain.block_by_hash(&old_tip.hash).is_some(), "whoever followed the old branch can still ask for it");
}

#[test]
fn a_branch_that_cannot_be_mined_changes_nothing() {
    let (mut chain, from) = funded(1);
    chain.broadcast(&spend(&from, &[COIN_SAT - 1_000])).expect("it is valid");
    chain.mine();
    let waiting = chain.gift(anyone_can_spend(), Sat(1_000));
    let (tip, coins) = (chain.tip(), chain.coins().count());
    let forged = spend(&from, &[COIN_SAT + 1]);
    let refused = chain.reorg(2, &[Fill::Empty, Fill::Exactly(vec![forged])]).err();
    assert_eq!(refused, Some(Refused::MissingInput(from[0])), "the gift that it spends is not in its branch");
    assert_eq!((chain.tip(), chain.coins().count()), (tip, coins));
    assert!(chain.is_waiting(&waiting.txid));
}

#[test]
fn the_faucet_pays_out_of_coinbases() {
    let mut chain = Chain::default();
    let script = ScriptBuf::from_bytes([&[0x00, 0x14], [3; 20].as_slice()].concat());
    // Only the first coinbase is ripe.
    assert_eq!(chain.faucet(script.clone(), Sat(51 * COIN_SAT)), Err(Refused::FaucetDry { wanted_sat: 51 * COIN_SAT }));
    let paid = chain.faucet(script.clone(), Sat(20 * COIN_SAT)).expect("there is one coinbase");
    chain.mine();
    assert_eq!(chain.coin(&paid).map(|coin| coin.output.value.to_sat()), Some(20 * COIN_SAT));
    assert_eq!(chain.balance(&script), Sat(20 * COIN_SAT));
    chain.faucet(script.clone(), Sat(25 * COIN_SAT)).expect("the change is large enough");
    chain.mine();
    assert_eq!(chain.balance(&script), Sat(45 * COIN_SAT));
}

#[test]
fn bare_multisig_is_a_matter_of_policy() {
    let (mut chain, from) = funded(1);
    let mut tx = spend(&from, &[COIN_SAT - 2_000]);
    let key = [&[0x21, 2], [5; 32].as_slice()].concat();
    let script = [&[0x51], key.as_slice(), key.as_slice(), &[0x52, 0xae]].concat();
    tx.output[0].script_pubkey = ScriptBuf::from_bytes(script);
    assert!(chain.test_accept(&tx).is_ok());
    chain.policy_mut().permit_bare_multisig = false;
    assert_eq!(chain.test_accept(&tx), Err(Refused::BareMultisig { vout: 0 }));
}

/// The same blocks, connected anew.
fn replay(chain: &Chain) -> Ledger {
    let mut ledger = Ledger::new();
    for height in 1..=chain.tip().height.0 {
        ledger.connect(Arc::clone(chain.ledger.block(height).expect("it is of the chain")));
    }
    ledger
}

/// The same transactions, taken in anew.
fn refill(pool: &Pool) -> Pool {
    let mut fresh = Pool::default();
    for entry in pool.iter() {
        fresh.insert(pool::Entry::new(Arc::clone(&entry.tx), entry.fee_sat, entry.vsize, entry.time_s));
    }
    fresh
}

/// Spends what is free at random, mines, and reorganises.
fn act(chain: &mut Chain, act: u8, at: u16) {
    let script = anyone_can_spend();
    let confirmed = chain
        .coins_of(&script)
        .filter(|(_, coin)| !coin.is_coinbase)
        .map(|(outpoint, coin)| (outpoint, coin.output.value.to_sat()));
    let mut free: BTreeMap<OutPoint, u64> = confirmed.collect();
    for tx in chain.mempool() {
        let outputs = (0..).zip(&tx.output).map(|(vout, output)| (outpoint(tx, vout), output.value.to_sat()));
        free.extend(outputs);
    }
    // Most spend what nothing spends; some are replacements.
    free.retain(|outpoint, _| at.is_multiple_of(5) || chain.spender(*outpoint).is_none());
    match act % 8 {
        0 => drop(chain.mine()),
        1 => {
            let depth = u32::from(at % 6);
            let mut fills = vec![if at.is_multiple_of(2) { Fill::Best } else { Fill::Empty }; depth as usize];
            fills.push(Fill::Best);
            let reorg = chain.reorg(depth, &fills).expect("the branch is valid");
            assert_eq!(reorg.disconnected.len(), depth as usize);
        }
        2 => drop(chain.gift(script, Sat(1_000_000 + u64::from(at)))),
        _ if free.is_empty() => {}
        kind => {
            let mut from: Vec<(OutPoint, u64)> = free.into_iter().collect();
            let first = usize::from(at) % from.len();
            from.rotate_left(first);
            from.truncate(1 + usize::from(kind % 3));
            let in_sat: u64 = from.iter().map(|(_, sat)| sat).sum();
            let rest_sat = in_sat.saturating_sub(300 + u64::from(at));
            let outpoints: Vec<OutPoint> = from.iter().map(|(outpoint, _)| *outpoint).collect();
            // It may well be refused; then it changes nothing.
            let _ = chain.broadcast(&spend(&outpoints, &[rest_sat / 2, rest_sat / 2]));
        }
    }
}

quickcheck! {
    fn reorganisations_leave_what_a_replay_leaves(acts: Vec<(u8, u16)>) -> bool {
        let (mut chain, _) = funded(5);
        for (what, at) in acts {
            act(&mut chain, what, at);
        }
        let fresh = replay(&chain);
        let script = anyone_can_spend();
        assert_eq!(chain.ledger.unspent(), fresh.unspent());
        assert_eq!(chain.ledger.balance_sat(&script), fresh.balance_sat(&script));
        assert!(chain.coins_of(&script).eq(fresh.coins_of(&script)));
        assert_eq!(chain.median_time_s(), fresh.mtp_s(fresh.height()));
        for outpoint in fresh.unspent().keys() {
            assert_eq!(chain.place(&outpoint.txid), fresh.place(&outpoint.txid));
            assert_eq!(chain.ledger.spender(outpoint), None);
        }
        let anew = refill(&chain.pool);
        for entry in chain.pool.iter() {
            let txid = entry.tx.compute_txid();
            assert_eq!((entry.up, entry.down), (anew.entry(&txid).up, anew.entry(&txid).down));
            for input in &entry.tx.input {
                assert_eq!(chain.spender(input.previous_output), Some(txid));
            }
        }
        assert_eq!(chain.pool.bytes(), anew.bytes());
        chain.pool.best_first().count() == chain.pool.len() && chain.pool.worst() == anew.worst()
    }
}
