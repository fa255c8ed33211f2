//! A backend made of blocks in memory, and what the follower makes of its moods.

use bitcoin::block::{Header, Version};
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::hashes::Hash;
use bitcoin::{Block, CompactTarget, TxMerkleNode, absolute, transaction};

use super::super::rpc::NetworkInfo;
use super::*;

const POLL_MS: u64 = 500;

/// The backend: every block it ever knew, and the best chain among them.
struct Backend {
    blocks: Vec<(u32, Block)>,
    best: Vec<BlockHash>,
    headers_ahead: u32,
    is_downloading: bool,
    chain: &'static str,
    pruned_below: u32,
    refusal: Option<RpcError>,
}

impl Backend {
    fn with_blocks(count: u32) -> Backend {
        let mut backend = Backend {
            blocks: Vec::new(),
            best: Vec::new(),
            headers_ahead: 0,
            is_downloading: false,
            chain: "regtest",
            pruned_below: 0,
            refusal: None,
        };
        (0..count).for_each(|_| _ = backend.mine(0));
        backend
    }

    fn mine(&mut self, nonce: u32) -> Tip {
        let height = self.best.len() as u32;
        let header = Header {
            version: Version::TWO,
            prev_blockhash: self.best.last().copied().unwrap_or(BlockHash::all_zeros()),
            merkle_root: TxMerkleNode::all_zeros(),
            time: 1_000 + height,
            bits: CompactTarget::from_consensus(0),
            nonce,
        };
        let hash = header.block_hash();
        self.blocks.push((height, Block { header, txdata: Vec::new() }));
        self.best.push(hash);
        self.tip(height)
    }

    /// Replaces the best chain above `height`.
    fn fork(&mut self, height: u32, length: u32) {
        self.best.truncate(height as usize + 1);
        (0..length).for_each(|_| _ = self.mine(1));
    }

    fn tip(&self, height: u32) -> Tip {
        Tip { height: BlockHeight(height), hash: self.best[height as usize] }
    }

    fn answer(&self, call: &Call) -> Result<Answer<'static>, RpcError> {
        let not_found = || RpcError { code: code::NOT_FOUND, message: "Block not found".to_owned() };
        let find =
            |hash: &BlockHash| self.blocks.iter().find(|(_, block)| block.block_hash() == *hash).ok_or_else(not_found);
        let blocks = self.best.len() as u32 - 1;
        Ok(match call {
            Call::NetworkInfo => Answer::NetworkInfo(NetworkInfo { subversion: "/Satoshi:29/".to_owned() }),
            Call::ChainInfo => Answer::ChainInfo(ChainInfo {
                chain: self.chain.to_owned(),
                blocks,
                headers: blocks + self.headers_ahead,
                best: self.best[blocks as usize],
                is_downloading: self.is_downloading,
            }),
            Call::BestBlock => Answer::BestBlock(self.best[blocks as usize]),
            Call::Header(hash) => {
                let (height, block) = find(hash)?;
                let is_best = self.best.get(*height as usize) == Some(hash);
                Answer::Header(HeaderInfo {
                    confirmations: if is_best { i64::from(blocks - height + 1) } else { -1 },
                    height: *height,
                    previous: height.checked_sub(1).map(|_| block.header.prev_blockhash),
                    next: is_best.then(|| self.best.get(*height as usize + 1).copied()).flatten(),
                })
            }
            Call::Block(hash) => {
                let (height, block) = find(hash)?;
                if *height < self.pruned_below {
                    let message = "Block not available (pruned data)".to_owned();
                    return Err(RpcError { code: code::MISC, message });
                }
                Answer::Block(serialize_hex(block).into())
            }
            Call::EstimateFee(_) => Answer::Fee(None),
            Call::MempoolInfo => Answer::MempoolMinimum(Some(250)),
            Call::Send(_) => match &self.refusal {
                Some(refusal) => return Err(refusal.clone()),
                None => Answer::Sent,
            },
        })
    }
}

/// Asks and answers until the follower waits for a later time, and tells the events but for feerates.
fn run(follower: &mut Follower, backend: &Backend, now_ms: u64) -> Vec<DriverEvent> {
    let mut events = Vec::new();
    for _ in 0..10_000 {
        match follower.next_call(now_ms) {
            Some(call) => {
                assert_eq!(follower.next_call(now_ms).as_ref(), Some(&call));
                assert!(follower.next_call_at_ms().is_some_and(|at| at <= now_ms));
                follower.answered(&call, backend.answer(&call), now_ms);
            }
            None => match follower.poll_event() {
                Some(event) => events.push(event),
                None => {
                    assert!(follower.next_call_at_ms().is_some_and(|at| at > now_ms), "it would never ask again");
                    events.retain(|event| !matches!(event, DriverEvent::Feerates(_)));
                    return events;
                }
            },
        }
    }
    panic!("it never rests");
}

fn up() -> DriverEvent {
    DriverEvent::Up { version: "/Satoshi:29/".to_owned() }
}

fn synced(height: u32) -> DriverEvent {
    DriverEvent::Synced { height: BlockHeight(height) }
}

/// The blocks that come and go, as signed heights; and whether the backend is in sync at the end.
fn moves(events: &[DriverEvent]) -> Vec<i64> {
    events
        .iter()
        .filter_map(|event| match event {
            DriverEvent::BlockConnected { tip, .. } => Some(i64::from(tip.height.0)),
            DriverEvent::BlockDisconnected { tip } => Some(-i64::from(tip.height.0)),
            _ => None,
        })
        .collect()
}

fn at(backend: &Backend, height: u32) -> Follower {
    let recent = (0..height).map(|height| backend.tip(height)).collect();
    Follower::new(Network::Regtest, POLL_MS, Start::At { tip: backend.tip(height), recent })
}

fn transaction() -> Transaction {
    Transaction {
        version: transaction::Version::TWO,
        lock_time: absolute::LockTime::ZERO,
        input: Vec::new(),
        output: Vec::new(),
    }
}

#[test]
fn a_fresh_node_begins_at_the_tip_and_follows() {
    let mut backend = Backend::with_blocks(10);
    let mut follower = Follower::new(Network::Regtest, POLL_MS, Start::Fresh);
    let begin = DriverEvent::Begin { tip: backend.tip(9) };
    assert_eq!(run(&mut follower, &backend, 0), [up(), begin, synced(9)]);
    assert_eq!(run(&mut follower, &backend, POLL_MS), []);

    let previous = backend.tip(9).hash;
    let tip = backend.mine(0);
    assert_eq!(run(&mut follower, &backend, POLL_MS + 1), [], "not before the next poll");
    let connected = DriverEvent::BlockConnected { tip, previous, time_s: 1_010, matches: Vec::new() };
    assert_eq!(run(&mut follower, &backend, 2 * POLL_MS), [connected, synced(10)]);
}

#[test]
fn a_restarted_node_catches_up_one_block_at_a_time() {
    let backend = Backend::with_blocks(500);
    let mut follower = at(&backend, 3);
    let events = run(&mut follower, &backend, 0);
    assert_eq!(moves(&events), (4..500).collect::<Vec<_>>());
    assert_eq!((events.first(), events.last()), (Some(&up()), Some(&synced(499))));
}

#[test]
fn no_block_is_asked_for_while_the_one_before_waits() {
    let backend = Backend::with_blocks(5);
    let mut follower = at(&backend, 1);
    let mut blocks = 0;
    while let Some(call) = follower.next_call(0) {
        blocks += u32::from(matches!(call, Call::Block(_)));
        follower.answered(&call, backend.answer(&call), 0);
    }
    assert_eq!(blocks, 1);
}

#[test]
fn a_reorganisation_disconnects_before_it_connects() {
    let mut backend = Backend::with_blocks(10);
    let mut follower = at(&backend, 9);
    run(&mut follower, &backend, 0);
    backend.fork(6, 4);
    let events = run(&mut follower, &backend, POLL_MS);
    assert_eq!(moves(&events), [-9, -8, -7, 7, 8, 9, 10]);
    assert_eq!(events.last(), Some(&synced(10)));
    // To a chain that is shorter, as an operator may force it.
    backend.fork(8, 0);
    assert_eq!(moves(&run(&mut follower, &backend, 2 * POLL_MS)), [-10, -9]);
}

#[test]
fn a_reorganisation_beyond_what_is_remembered_asks_the_backend() {
    let mut backend = Backend::with_blocks(10);
    let tip = backend.tip(9);
    backend.fork(4, 7);
    let mut follower = Follower::new(Network::Regtest, POLL_MS, Start::At { tip, recent: Vec::new() });
    assert_eq!(moves(&run(&mut follower, &backend, 0)), [-9, -8, -7, -6, -5, 5, 6, 7, 8, 9, 10, 11]);
}

#[test]
fn a_backend_that_never_saw_our_blocks_is_told_by_what_we_remember() {
    let mut ours = Backend::with_blocks(10);
    let mut theirs = Backend::with_blocks(8);
    theirs.fork(7, 4);
    let mut follower = at(&ours, 9);
    assert_eq!(moves(&run(&mut follower, &theirs, 0)), [-9, -8, 8, 9, 10, 11]);

    ours.fork(0, 20);
    let tip = ours.tip(20);
    let mut follower = Follower::new(Network::Regtest, POLL_MS, Start::At { tip, recent: vec![ours.tip(18)] });
    let events = run(&mut follower, &Backend::with_blocks(30), 0);
    let unknown = Trouble::UnknownTip { height: 20, hash: tip.hash };
    assert_eq!(events.last(), Some(&DriverEvent::Down(unknown)));
    // Pointed at the right one, it is up before it is in step.
    assert_eq!(run(&mut follower, &ours, TROUBLE_RETRY_MS), [up(), synced(20)]);
}

#[test]
fn a_backend_that_is_behind_takes_no_block_back() {
    let full = Backend::with_blocks(10);
    let mut follower = at(&full, 9);
    let mut backend = Backend { headers_ahead: 6, ..Backend::with_blocks(4) };
    let behind = Trouble::Behind { blocks: 3, headers: 9, ours: Some(9) };
    assert_eq!(run(&mut follower, &backend, 0), [DriverEvent::Down(behind)]);
    assert_eq!(run(&mut follower, &backend, TROUBLE_RETRY_MS), [], "told once");
    // What is submitted meanwhile is answered at once.
    let txid = transaction().compute_txid();
    follower.submit(&transaction());
    let unreachable = DriverEvent::Broadcast { txid, outcome: BroadcastOutcome::Unreachable };
    assert_eq!(follower.poll_event(), Some(unreachable));
    // While it verifies its blocks anew, it knows all headers, but ours is not in its best chain.
    backend.blocks = Backend::with_blocks(10).blocks;
    assert_eq!(run(&mut follower, &backend, 2 * TROUBLE_RETRY_MS), []);
    assert_eq!(run(&mut follower, &full, 3 * TROUBLE_RETRY_MS), [up(), synced(9)]);
    // The same while it was up all the time.
    backend.best.truncate(4);
    let events = run(&mut follower, &backend, 3 * TROUBLE_RETRY_MS + POLL_MS);
    assert!(matches!(events[..], [DriverEvent::Down(Trouble::Behind { .. })]), "{events:?}");
}

#[test]
fn a_fresh_node_waits_for_the_first_download() {
    let mut backend = Backend { is_downloading: true, chain: "main", ..Backend::with_blocks(4) };
    let mut follower = Follower::new(Network::Mainnet, POLL_MS, Start::Fresh);
    let behind = Trouble::Behind { blocks: 3, headers: 3, ours: None };
    assert_eq!(run(&mut follower, &backend, 0), [DriverEvent::Down(behind)]);
    backend.mine(0);
    backend.is_downloading = false;
    let begin = DriverEvent::Begin { tip: backend.tip(4) };
    assert_eq!(run(&mut follower, &backend, TROUBLE_RETRY_MS), [up(), begin, synced(4)]);
}

#[test]
fn another_network_is_named() {
    let mut follower = Follower::new(Network::Mainnet, POLL_MS, Start::Fresh);
    let events = run(&mut follower, &Backend::with_blocks(4), 0);
    let [DriverEvent::Down(trouble)] = &events[..] else { panic!("{events:?}") };
    assert!(trouble.to_string().contains("is on the network 'regtest' but this node is on 'main'"));
}

#[test]
fn a_pruned_block_is_named_and_waited_for() {
    let mut backend = Backend { pruned_below: 7, ..Backend::with_blocks(10) };
    let mut follower = at(&backend, 4);
    assert_eq!(run(&mut follower, &backend, 0), [up(), DriverEvent::Down(Trouble::Pruned { height: 5 })]);
    assert_eq!(run(&mut follower, &backend, TROUBLE_RETRY_MS), []);
    backend.pruned_below = 0;
    let events = run(&mut follower, &backend, 2 * TROUBLE_RETRY_MS);
    assert_eq!((events.first(), moves(&events)), (Some(&up()), vec![5, 6, 7, 8, 9]));
}

#[test]
fn every_broadcast_is_answered() {
    let mut backend = Backend::with_blocks(4);
    let mut follower = at(&backend, 3);
    let txid = transaction().compute_txid();
    let told = |outcome| DriverEvent::Broadcast { txid, outcome };
    // Before anything is known of the backend it waits.
    follower.submit(&transaction());
    assert_eq!(run(&mut follower, &backend, 0), [up(), synced(3), told(BroadcastOutcome::Accepted)]);

    let mut refuse = |code, message: &str| {
        let message = message.to_owned();
        backend.refusal = Some(RpcError { code, message });
        follower.submit(&transaction());
        follower.submit(&transaction());
        run(&mut follower, &backend, 0)
    };
    let reason = "min relay fee not met".to_owned();
    assert_eq!(
        refuse(-26, "min relay fee not met"),
        [told(BroadcastOutcome::Rejected { code: -26, reason })],
        "submitted twice, asked once"
    );
    assert_eq!(
        refuse(code::ALREADY_IN_CHAIN, "Transaction outputs already in utxo set"),
        [told(BroadcastOutcome::Accepted)]
    );
    assert_eq!(refuse(-26, "txn-already-known"), [told(BroadcastOutcome::Accepted)]);

    // The connection breaks with it in flight: it is asked again, unless the backend stays away.
    follower.submit(&transaction());
    assert!(matches!(follower.next_call(1), Some(Call::Send(_))));
    follower.lost();
    backend.refusal = None;
    assert_eq!(run(&mut follower, &backend, 1), [told(BroadcastOutcome::Accepted)]);
    follower.submit(&transaction());
    assert!(matches!(follower.next_call(1), Some(Call::Send(_))));
    follower.lost();
    let (code, reason) = (-26, "mempool min fee not met".to_owned());
    backend.refusal = Some(RpcError { code, message: reason.clone() });
    assert_eq!(
        run(&mut follower, &backend, 1),
        [told(BroadcastOutcome::Unreachable), told(BroadcastOutcome::Rejected { code, reason })],
        "it may be on its way all the same"
    );
    backend.refusal = None;
    follower.submit(&transaction());
    let gone = Trouble::Unreachable { address: "localhost".to_owned(), reason: "refused".to_owned() };
    follower.down(gone.clone());
    assert_eq!(follower.poll_event(), Some(DriverEvent::Down(gone)));
    assert_eq!(follower.poll_event(), Some(told(BroadcastOutcome::Unreachable)));
    follower.submit(&transaction());
    assert_eq!(follower.poll_event(), Some(told(BroadcastOutcome::Unreachable)));
    assert_eq!(run(&mut follower, &backend, 2), [up(), synced(3)]);
}

#[test]
fn a_starting_backend_is_asked_again() {
    let backend = Backend::with_blocks(4);
    let mut follower = at(&backend, 3);
    let call = follower.next_call(0).expect("it greets");
    let error = RpcError { code: code::WARMING_UP, message: "Loading block index…".to_owned() };
    follower.answered(&call, Err(error), 0);
    let down = follower.poll_event();
    assert!(matches!(down, Some(DriverEvent::Down(Trouble::Starting { .. }))), "{down:?}");
    assert_eq!(follower.next_call(0), None);
    assert_eq!(run(&mut follower, &backend, STARTING_RETRY_MS), [up(), synced(3)]);
}

#[test]
fn feerates_come_once_a_minute() {
    let backend = Backend::with_blocks(4);
    let mut follower = at(&backend, 3);
    let mut feerates = |now_ms| {
        let mut rates = Vec::new();
        loop {
            match follower.next_call(now_ms) {
                Some(call) => follower.answered(&call, backend.answer(&call), now_ms),
                None => match follower.poll_event() {
                    Some(DriverEvent::Feerates(feerates)) => rates.push(feerates),
                    Some(_) => {}
                    None => return rates.len(),
                },
            }
        }
    };
    assert_eq!(feerates(0), 1);
    assert_eq!(feerates(FEES_INTERVAL_MS - 1), 0);
    assert_eq!(feerates(FEES_INTERVAL_MS), 1);
}
