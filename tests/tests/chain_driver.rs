//! The chain driver against a real bitcoind: blocks, reorganisations, broadcasts, restarts, credentials.

use std::time::{Duration, Instant};

use bitcoin::opcodes::OP_TRUE;
use bitcoin::opcodes::all::{OP_ENDIF, OP_IF, OP_PUSHBYTES_0};
use bitcoin::script::PushBytes;
use bitcoin::taproot::{LeafVersion, TaprootBuilder};
use bitcoin::{
    Address, Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness, absolute, script,
    transaction,
};
use leyden_core::chain::Tip;
use leyden_core::command::Watch;
use leyden_core::config::Network;
use leyden_core::event::BroadcastOutcome;
use leyden_core::ids::BlockHeight;
use leyden_io::chain::{Driver, DriverEvent, Start, Trouble};
use leyden_io::config::{Auth, Bitcoind as Config};
use leyden_tests::bitcoind::Bitcoind;
use leyden_tests::daemon::PATIENCE;
use mio::{Events, Poll, Token};
use secp256k1::{PublicKey, SECP256K1, SecretKey};

/// A loop with nothing but a driver on it.
struct Loop {
    poll: Poll,
    events: Events,
    driver: Driver,
    started: Instant,
    /// Everything that was told and not yet looked at.
    told: Vec<DriverEvent>,
}

impl Loop {
    fn new(config: Config, network: Network, start: Start) -> Loop {
        let poll = Poll::new().unwrap();
        let mut driver = Driver::bitcoind(config, network, start);
        driver.register(poll.registry(), Token(7)).unwrap();
        Loop { poll, events: Events::with_capacity(8), driver, started: Instant::now(), told: Vec::new() }
    }

    fn fresh(bitcoind: &Bitcoind) -> Loop {
        let mut looped = Loop::new(config(bitcoind), Network::Regtest, Start::Fresh);
        looped.until_synced(bitcoind.height());
        looped
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap()
    }

    /// One turn, as the reactor has them.
    fn turn(&mut self) {
        let now_ms = self.now_ms();
        let wait_ms = self.driver.next_deadline_ms().map_or(1000, |at_ms| at_ms.saturating_sub(now_ms));
        self.poll.poll(&mut self.events, Some(Duration::from_millis(wait_ms))).unwrap();
        let now_ms = self.now_ms();
        if self.events.iter().any(|event| event.token() == Token(7)) {
            self.driver.ready(now_ms);
        }
        if self.driver.next_deadline_ms().is_some_and(|at_ms| at_ms <= now_ms) {
            self.driver.tick(now_ms);
        }
        while let Some(event) = self.driver.poll_event() {
            self.told.push(event);
        }
    }

    /// Turns until something was told that fits, and takes it and all before it.
    fn until(&mut self, what: &str, mut fits: impl FnMut(&DriverEvent) -> bool) -> Vec<DriverEvent> {
        let started = Instant::now();
        loop {
            if let Some(last) = self.told.iter().position(&mut fits) {
                return self.told.drain(..=last).collect();
            }
            assert!(started.elapsed() < PATIENCE, "waited in vain for {what}; told: {:?}", self.told);
            self.turn();
        }
    }

    fn until_synced(&mut self, height: u32) -> Vec<DriverEvent> {
        let synced = DriverEvent::Synced { height: BlockHeight(height) };
        self.until(&format!("{synced:?}"), |event| *event == synced)
    }

    fn until_down(&mut self) -> Trouble {
        match self.until("trouble", |event| matches!(event, DriverEvent::Down(_))).pop() {
            Some(DriverEvent::Down(trouble)) => trouble,
            other => panic!("{other:?}"),
        }
    }

    fn broadcast(&mut self, tx: &Transaction) -> BroadcastOutcome {
        self.driver.submit(tx);
        let ours = tx.compute_txid();
        let fits = |event: &DriverEvent| matches!(event, DriverEvent::Broadcast { txid, .. } if *txid == ours);
        match self.until("the outcome of a broadcast", fits).pop() {
            Some(DriverEvent::Broadcast { outcome, .. }) => outcome,
            other => panic!("{other:?}"),
        }
    }
}

fn config(bitcoind: &Bitcoind) -> Config {
    Config { address: bitcoind.address(), auth: Auth::Cookie(bitcoind.cookie_path()), poll_ms: 20 }
}

fn tip(bitcoind: &Bitcoind, height: u32) -> Tip {
    Tip { height: BlockHeight(height), hash: bitcoind.block_hash(height) }
}

/// The blocks that come and go, as signed heights.
fn moves(events: &[DriverEvent]) -> Vec<i64> {
    let height = |tip: &Tip| i64::from(tip.height.0);
    let moves = events.iter().filter_map(|event| match event {
        DriverEvent::BlockConnected { tip, .. } => Some(height(tip)),
        DriverEvent::BlockDisconnected { tip } => Some(-height(tip)),
        _ => None,
    });
    moves.collect()
}

/// The transactions that matched, with their block's height.
fn matches(events: &[DriverEvent]) -> Vec<(u32, Txid)> {
    let mut matched = Vec::new();
    for event in events {
        if let DriverEvent::BlockConnected { tip, matches, .. } = event {
            matched.extend(matches.iter().map(|(_, tx)| (tip.height.0, tx.compute_txid())));
        }
    }
    matched
}

#[test]
fn follows_blocks_and_finds_what_is_watched() {
    let bitcoind = Bitcoind::start();
    bitcoind.mine_funds();
    let mut looped = Loop::new(config(&bitcoind), Network::Regtest, Start::Fresh);
    let events = looped.until_synced(130);
    assert!(matches!(&events[0], DriverEvent::Up { version } if version.contains("Satoshi")), "{events:?}");
    assert!(events.contains(&DriverEvent::Begin { tip: tip(&bitcoind, 130) }));
    assert!(moves(&events).is_empty());
    let rates = looped.until("feerates", |event| matches!(event, DriverEvent::Feerates(_)));
    let Some(DriverEvent::Feerates(rates)) = rates.last() else { panic!("{rates:?}") };
    assert!(rates.blocks_2 >= rates.mempool_minimum && rates.mempool_minimum >= 253);

    // A payment to a watched script, and something else before it.
    let ours = bitcoind.new_address();
    looped.driver.watch(&Watch::Script(&ours.script_pubkey()));
    let funding = bitcoind.prepare(&ours, Amount::from_sat(1_000_000));
    let other = bitcoind.prepare(&bitcoind.new_address(), Amount::from_sat(2_000_000));
    bitcoind.mine_block_with(&[&other, &funding]);
    let events = looped.until_synced(131);
    assert_eq!(matches(&events), [(131, funding.compute_txid())]);
    let connected = events.iter().find_map(|event| match event {
        DriverEvent::BlockConnected { tip, previous, matches, .. } => Some((*tip, *previous, matches[0].0)),
        _ => None,
    });
    assert_eq!(connected, Some((tip(&bitcoind, 131), bitcoind.block_hash(130), 2)));

    // A spend of a watched output.
    looped.driver.watch(&Watch::Spend(OutPoint { txid: other.compute_txid(), vout: spending_output(&other) }));
    bitcoind.call("sendall", serde_json::json!([[bitcoind.new_address().to_string()]]));
    bitcoind.mine(1);
    assert_eq!(matches(&looped.until_synced(132)).len(), 1);
}

/// The output with the two million satoshi.
fn spending_output(tx: &Transaction) -> u32 {
    let index = tx.output.iter().position(|output| output.value == Amount::from_sat(2_000_000));
    u32::try_from(index.expect("the payment is there")).unwrap()
}

#[test]
fn takes_up_where_it_was_and_follows_a_reorganisation() {
    let bitcoind = Bitcoind::start();
    bitcoind.mine(20);
    let recent = (5..10).map(|height| tip(&bitcoind, height)).collect();
    let start = Start::At { tip: tip(&bitcoind, 10), recent };
    let mut looped = Loop::new(config(&bitcoind), Network::Regtest, start);
    assert_eq!(moves(&looped.until_synced(20)), (11..=20).collect::<Vec<_>>());

    let stale = bitcoind.block_hash(18);
    bitcoind.invalidate(&stale);
    bitcoind.mine(5);
    assert_eq!(moves(&looped.until_synced(22)), [-20, -19, -18, 18, 19, 20, 21, 22]);

    // Back again: the old branch is taken up once it is the longer one.
    let newer = bitcoind.block_hash(18);
    bitcoind.invalidate(&newer);
    bitcoind.reconsider(&stale);
    assert_eq!(bitcoind.block_hash(18), stale);
    bitcoind.mine(1);
    let events = looped.until_synced(21);
    let moves = moves(&events);
    assert_eq!(moves.iter().filter(|height| **height < 0).count(), 5, "{moves:?}");
    assert_eq!(moves[moves.len() - 4..], [18, 19, 20, 21]);

    // A node that was away meanwhile, on a branch that only the backend remembers.
    let away = Tip { height: BlockHeight(18), hash: newer };
    let mut looped = Loop::new(config(&bitcoind), Network::Regtest, Start::At { tip: away, recent: Vec::new() });
    assert_eq!(self::moves(&looped.until_synced(21)), [-18, 18, 19, 20, 21]);
}

#[test]
fn broadcasts_and_tells_how_it_went() {
    let bitcoind = Bitcoind::start();
    bitcoind.mine_funds();
    let mut looped = Loop::fresh(&bitcoind);
    let tx = bitcoind.prepare(&bitcoind.new_address(), Amount::from_sat(500_000));
    assert_eq!(looped.broadcast(&tx), BroadcastOutcome::Accepted);
    assert_eq!(bitcoind.mempool(), [tx.compute_txid()]);
    assert_eq!(looped.broadcast(&tx), BroadcastOutcome::Accepted, "in the mempool already");
    bitcoind.mine(1);
    assert_eq!(looped.broadcast(&tx), BroadcastOutcome::Accepted, "in a block already");

    let mut unsigned = bitcoind.prepare(&bitcoind.new_address(), Amount::from_sat(500_000));
    for input in &mut unsigned.input {
        input.witness.clear();
        input.script_sig = ScriptBuf::new();
    }
    let outcome = looped.broadcast(&unsigned);
    assert!(matches!(&outcome, BroadcastOutcome::Rejected { code: -26, reason } if !reason.is_empty()), "{outcome:?}");
}

#[test]
fn survives_a_restart_of_the_backend_with_another_cookie() {
    let mut bitcoind = Bitcoind::start();
    bitcoind.mine_funds();
    let mut looped = Loop::fresh(&bitcoind);
    let tx = bitcoind.prepare(&bitcoind.new_address(), Amount::from_sat(500_000));
    let cookie = std::fs::read(bitcoind.cookie_path()).unwrap();
    bitcoind.stop();
    let trouble = looped.until_down();
    assert!(matches!(trouble, Trouble::Unreachable { .. }), "{trouble}");
    assert_eq!(looped.broadcast(&tx), BroadcastOutcome::Unreachable);

    bitcoind.start_again();
    bitcoind.mine(3);
    assert_ne!(std::fs::read(bitcoind.cookie_path()).unwrap(), cookie);
    let events = looped.until_synced(133);
    assert!(events.iter().any(|event| matches!(event, DriverEvent::Up { .. })), "{events:?}");
    assert_eq!(moves(&events), [131, 132, 133]);
    assert_eq!(looped.broadcast(&tx), BroadcastOutcome::Accepted);
}

#[test]
fn is_let_in_by_password_and_says_when_it_is_not() {
    let bitcoind = Bitcoind::start_with(&["-rpcuser=alice", "-rpcpassword=secret"]);
    let with = |password: &str| {
        let auth = Auth::Password { user: "alice".to_owned(), password: password.to_owned() };
        Loop::new(Config { auth, ..config(&bitcoind) }, Network::Regtest, Start::Fresh)
    };
    with("secret").until_synced(0);
    let trouble = with("guess").until_down();
    assert!(matches!(trouble, Trouble::Unauthorized { .. }), "{trouble}");
}

#[test]
fn refuses_a_backend_on_another_network() {
    let bitcoind = Bitcoind::start();
    let trouble = Loop::new(config(&bitcoind), Network::Signet, Start::Fresh).until_down();
    let (expected, actual) = ("signet".to_owned(), "regtest".to_owned());
    assert_eq!(trouble, Trouble::WrongChain { expected, actual });
}

#[test]
fn says_which_block_is_pruned_and_broadcasts_all_the_same() {
    let bitcoind = Bitcoind::start_with(&["-prune=1", "-fastprune", "-txindex=0"]);
    bitcoind.mine(700);
    bitcoind.call("pruneblockchain", serde_json::json!([400]));
    let start = Start::At { tip: tip(&bitcoind, 10), recent: Vec::new() };
    let mut looped = Loop::new(config(&bitcoind), Network::Regtest, start);
    let trouble = looped.until_down();
    assert_eq!(trouble, Trouble::Pruned { height: 11 });
    let tx = bitcoind.prepare(&bitcoind.new_address(), Amount::from_sat(500_000));
    assert_eq!(looped.broadcast(&tx), BroadcastOutcome::Accepted);
}

#[test]
fn a_connection_that_bitcoind_closes_for_quiet_is_no_trouble() {
    let bitcoind = Bitcoind::start_with(&["-rpcservertimeout=3"]);
    // It never polls while the test lasts, so that only a new connection can bring the block to light.
    let config = Config { poll_ms: 3_600_000, ..config(&bitcoind) };
    let mut looped = Loop::new(config, Network::Regtest, Start::Fresh);
    looped.until_synced(0);
    looped.until("feerates", |event| matches!(event, DriverEvent::Feerates(_)));
    bitcoind.mine(1);
    let events = looped.until_synced(1);
    assert_eq!(moves(&events), [1]);
    let is_trouble = |event: &DriverEvent| matches!(event, DriverEvent::Down(_) | DriverEvent::Up { .. });
    assert!(!events.iter().any(is_trouble), "{events:?}");
}

/// A script that does nothing, at length: pushes that are never reached.
fn long_script(pushes: usize) -> ScriptBuf {
    let push: &PushBytes = (&[0xab; 520][..]).try_into().expect("it is shorter than 4 GiB");
    let mut script = script::Builder::new().push_opcode(OP_PUSHBYTES_0).push_opcode(OP_IF);
    for _ in 0..pushes {
        script = script.push_slice(push);
    }
    script.push_opcode(OP_ENDIF).push_opcode(OP_TRUE).into_script()
}

#[test]
fn takes_in_a_block_as_large_as_they_come() {
    let bitcoind = Bitcoind::start_with(&["-blockmaxweight=4000000"]);
    bitcoind.mine_funds();
    // A spend of a taproot output that reveals a script of 3.9 MB.
    let script = long_script(7_450);
    let key = some_key().x_only_public_key().0;
    let tree = TaprootBuilder::new().add_leaf(0, script.clone()).unwrap();
    let spend = tree.finalize(SECP256K1, key).unwrap();
    let control = spend.control_block(&(script.clone(), LeafVersion::TapScript)).unwrap();
    let payee = Address::p2tr_tweaked(spend.output_key(), bitcoin::Network::Regtest);
    let payment = bitcoind.transaction(&bitcoind.send(&payee, Amount::from_sat(1_000_000)));
    let vout = payment.output.iter().position(|output| output.script_pubkey == payee.script_pubkey()).unwrap();
    bitcoind.mine(1);
    let mut looped = Loop::fresh(&bitcoind);
    let outpoint = OutPoint { txid: payment.compute_txid(), vout: u32::try_from(vout).unwrap() };
    looped.driver.watch(&Watch::Spend(outpoint));

    let large = Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: vec![TxIn {
            previous_output: outpoint,
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[script.into_bytes(), control.serialize()]),
        }],
        output: vec![TxOut { value: Amount::from_sat(1_000), script_pubkey: bitcoind.new_address().script_pubkey() }],
    };
    bitcoind.mine_block_with(&[&large]);
    let events = looped.until_synced(132);
    let block = events.iter().find_map(|event| match event {
        DriverEvent::BlockConnected { matches, .. } => Some(matches),
        _ => None,
    });
    assert!(block == Some(&vec![(1, large)]), "the large transaction comes back whole");
}

/// Some key; nothing is signed with it.
fn some_key() -> PublicKey {
    PublicKey::from_secret_key(SECP256K1, &SecretKey::from_slice(&[7; 32]).unwrap())
}
