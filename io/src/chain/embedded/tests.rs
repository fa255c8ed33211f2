//! Drivers on a chain of this process, with loops as small as can be.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bitcoin::{OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, absolute, transaction};
use leyden_core::amount::Sat;
use leyden_core::chain::Tip;
use leyden_core::clock::Wall;
use leyden_core::command::Watch;
use leyden_core::event::BroadcastOutcome;
use leyden_core::ids::BlockHeight;
use leyden_sim::chain::{Fill, anyone_can_spend, anyones_witness};
use mio::{Events, Poll, Token};

use super::{EmbeddedDriver, MakeError, SharedChain};
use crate::chain::event::{DriverEvent, Start};

const WALL: Wall = Wall(1_800_000_000_000);

/// A loop with nothing but a driver on it. Its time does not pass, so what it hears it hears by the bell.
struct Loop {
    poll: Poll,
    driver: EmbeddedDriver,
}

impl Loop {
    fn new(chain: &SharedChain, start: Start) -> Loop {
        let poll = Poll::new().expect("a poll");
        let mut driver = EmbeddedDriver::new(chain.clone(), start);
        driver.register(poll.registry(), Token(7)).expect("registered");
        let mut looped = Loop { poll, driver };
        looped.driver.tick(0);
        looped
    }

    /// What the driver tells until it rests.
    fn told(&mut self) -> Vec<DriverEvent> {
        let mut events = Events::with_capacity(8);
        self.poll.poll(&mut events, Some(Duration::ZERO)).expect("polled");
        if !events.is_empty() {
            self.driver.ready(0);
        }
        let mut told = Vec::new();
        loop {
            let before = told.len();
            while let Some(event) = self.driver.poll_event() {
                told.push(event);
            }
            if self.driver.next_deadline_ms() == Some(0) {
                self.driver.tick(0);
            } else if told.len() == before {
                return told;
            }
        }
    }

    /// The chain as the driver tells it: heights that come, and heights that go with a minus.
    fn steps(&mut self) -> Vec<i64> {
        let told = self.told();
        told.iter()
            .filter_map(|event| match event {
                DriverEvent::BlockConnected { tip, .. } => Some(i64::from(tip.height.0)),
                DriverEvent::BlockDisconnected { tip } => Some(-i64::from(tip.height.0)),
                _ => None,
            })
            .collect()
    }
}

struct Temp(PathBuf);

impl Temp {
    fn new(name: &str) -> Temp {
        let path = std::env::temp_dir().join(format!("leyden-embedded-{}-{name}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Temp(path)
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn open(path: &Path) -> SharedChain {
    let (chain, warning) = SharedChain::open(path, WALL).expect("the chain opens");
    assert_eq!(warning, None);
    chain
}

/// Spends a coin that is anyone's to a script.
fn spend(previous_output: OutPoint, sat: u64, to: ScriptBuf) -> Transaction {
    let sequence = Sequence::ENABLE_RBF_NO_LOCKTIME;
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn { previous_output, script_sig: ScriptBuf::new(), sequence, witness: anyones_witness() }],
        output: vec![TxOut { value: bitcoin::Amount::from_sat(sat), script_pubkey: to }],
    }
}

fn script(number: u8) -> ScriptBuf {
    let program = bitcoin::WitnessProgram::new(bitcoin::WitnessVersion::V0, &[number; 32]).expect("a program");
    ScriptBuf::new_witness_program(&program)
}

#[test]
fn two_drivers_see_the_same_chain_each_with_its_own_filter() {
    let chain = SharedChain::in_memory(WALL);
    let tip = chain.tip();
    let mut one = Loop::new(&chain, Start::Fresh);
    let mut two = Loop::new(&chain, Start::Fresh);
    for looped in [&mut one, &mut two] {
        let told = looped.told();
        assert!(told.contains(&DriverEvent::Begin { tip }), "{told:?}");
        assert!(told.contains(&DriverEvent::Synced { height: tip.height }), "{told:?}");
        assert!(told.iter().any(|event| matches!(event, DriverEvent::Feerates(_))), "{told:?}");
    }
    two.driver.watch(&Watch::Script(&script(2)));
    let (coin, height) = chain.give(script(2), Sat(70_000), WALL).expect("coins");
    assert_eq!(height, tip.height.plus(1));
    let matches = |told: Vec<DriverEvent>| -> Vec<Txid> {
        let block = told.into_iter().find_map(|event| match event {
            DriverEvent::BlockConnected { tip, previous, time_s, matches } => {
                assert_eq!((tip.height, time_s), (height, 1_800_000_000));
                assert_eq!(previous, chain_tip_before(tip, &chain));
                Some(matches)
            }
            _ => None,
        });
        block.expect("a block").into_iter().map(|(_, tx)| tx.compute_txid()).collect()
    };
    assert_eq!(matches(one.told()), []);
    assert_eq!(matches(two.told()), [coin.txid]);
    // Nothing rang, so nothing is told.
    assert_eq!(one.told(), []);
}

fn chain_tip_before(tip: Tip, chain: &SharedChain) -> bitcoin::BlockHash {
    use crate::chain::rpc::{Answer, Call};
    match chain.answer(&Call::Header(tip.hash)) {
        Ok(Answer::Header(header)) => header.previous.expect("not the first"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_one_broadcasts_is_in_the_block_that_another_sees() {
    let chain = SharedChain::in_memory(WALL);
    let (coin, _) = chain.give(anyone_can_spend(), Sat(100_000), WALL).expect("coins");
    let mut one = Loop::new(&chain, Start::Fresh);
    let mut two = Loop::new(&chain, Start::Fresh);
    one.told();
    two.told();
    two.driver.watch(&Watch::Spend(coin));
    let payment = spend(coin, 99_000, script(1));
    let txid = payment.compute_txid();
    let outcome = |told: Vec<DriverEvent>| {
        told.into_iter().find_map(|event| match event {
            DriverEvent::Broadcast { txid, outcome } => Some((txid, outcome)),
            _ => None,
        })
    };
    one.driver.submit(&payment);
    assert_eq!(outcome(one.told()), Some((txid, BroadcastOutcome::Accepted)));
    // It is known already, which is all that a broadcast is for.
    two.driver.submit(&payment);
    assert_eq!(outcome(two.told()), Some((txid, BroadcastOutcome::Accepted)));
    two.driver.submit(&spend(OutPoint::new(txid, 7), 1_000, script(1)));
    match outcome(two.told()) {
        Some((_, BroadcastOutcome::Rejected { code, reason })) => {
            assert_eq!(code, -25);
            assert!(reason.contains("bad-txns-inputs-missingorspent"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    chain.generate(1, None, WALL).expect("a block");
    let told = two.told();
    let has_it = |event: &DriverEvent| matches!(event, DriverEvent::BlockConnected { matches, .. } if matches.iter().any(|(_, tx)| *tx == payment));
    assert!(told.iter().any(has_it), "{told:?}");
    one.driver.submit(&payment);
    assert!(matches!(outcome(one.told()), Some((_, BroadcastOutcome::Accepted))));
}

#[test]
fn a_reorganisation_disconnects_before_it_connects_and_survives_a_restart() {
    let temp = Temp::new("reorg");
    let chain = open(&temp.0);
    let base = i64::from(chain.tip().height.0);
    let mut looped = Loop::new(&chain, Start::Fresh);
    looped.told();
    chain.generate(3, None, WALL).expect("blocks");
    assert_eq!(looped.steps(), [base + 1, base + 2, base + 3]);
    let lost = chain.tip();
    let tip = chain.reorganise(2, &[Fill::Best, Fill::Best, Fill::Best], WALL).expect("a longer branch");
    assert_eq!(looped.steps(), [-(base + 3), -(base + 2), base + 2, base + 3, base + 4]);
    drop((looped, chain));

    let chain = open(&temp.0);
    assert_eq!(chain.tip(), tip);
    // A node that has seen only the branch that lost finds its way.
    let mut late = Loop::new(&chain, Start::At { tip: lost, recent: Vec::new() });
    assert_eq!(late.steps(), [-(base + 3), -(base + 2), base + 2, base + 3, base + 4]);
    let mut steady = Loop::new(&chain, Start::At { tip, recent: Vec::new() });
    assert_eq!(steady.steps(), [0; 0]);
}

#[test]
fn after_a_restart_coins_and_heights_are_the_same() {
    let temp = Temp::new("restart");
    let chain = open(&temp.0);
    let (coin, _) = chain.give(anyone_can_spend(), Sat(100_000), WALL).expect("coins");
    let tip = *chain.generate(7, Some(script(3)), WALL).expect("blocks").last().expect("seven");
    drop(chain);
    let chain = open(&temp.0);
    assert_eq!(chain.tip(), tip);
    let mut looped = Loop::new(&chain, Start::At { tip, recent: Vec::new() });
    looped.driver.watch(&Watch::Spend(coin));
    let payment = spend(coin, 99_000, script(1));
    looped.driver.submit(&payment);
    looped.told();
    chain.generate(1, None, Wall(0)).expect("a block, even by a clock that is wrong");
    let told = looped.told();
    assert!(
        told.iter().any(|event| matches!(
            event,
            DriverEvent::BlockConnected { matches, .. } if matches.len() == 1 && matches[0].1 == payment
        )),
        "{told:?}"
    );
    chain.give(script(4), Sat(50_000), WALL).expect("the faucet still has coins");
}

#[test]
fn a_damaged_end_is_cut_and_nodes_step_back() {
    let temp = Temp::new("cut");
    let chain = open(&temp.0);
    let first = chain.generate(1, None, WALL).expect("a block")[0];
    let second = chain.generate(1, None, WALL).expect("a block")[0];
    drop(chain);
    let bytes = std::fs::read(&temp.0).expect("ours");
    std::fs::write(&temp.0, &bytes[..bytes.len() - 1]).expect("ours");
    let (chain, warning) = SharedChain::open(&temp.0, WALL).expect("it can be mended");
    assert!(warning.is_some_and(|text| text.contains("cut off")));
    assert_eq!(chain.tip(), first);
    assert!(chain.knows(first.hash) && !chain.knows(second.hash));
    let mut looped = Loop::new(&chain, Start::At { tip: second, recent: vec![first] });
    assert_eq!(looped.steps(), [-i64::from(second.height.0)]);
    chain.generate(1, None, WALL).expect("a block");
    assert_eq!(looped.steps(), [i64::from(second.height.0)]);
}

#[test]
fn more_than_there_is_cannot_be_given() {
    let chain = SharedChain::in_memory(WALL);
    let before = chain.tip();
    for wanted in [21_000_000 * 100_000_000, u64::MAX] {
        assert!(matches!(chain.give(script(1), Sat(wanted), WALL), Err(MakeError::FaucetDry { .. })));
    }
    // Dust is refused as the network would.
    assert!(matches!(chain.give(script(1), Sat(0), WALL), Err(MakeError::Refused(_))));
    assert_eq!(chain.tip(), before);
    chain.give(script(1), Sat(100_000_000_000), WALL).expect("a thousand coins are there from the start");
    let many = chain.generate(200, None, WALL).expect("blocks");
    assert_eq!(many.len(), 200);
    assert_eq!(chain.tip().height, BlockHeight(before.height.0 + 201));
    // Long after the last subsidy the faucet is not dry.
    chain.generate(6_000, None, WALL).expect("blocks");
    chain.give(script(1), Sat(100_000_000_000), WALL).expect("coins");
}
