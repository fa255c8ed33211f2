//! What to ask the backend next, and what its answers mean.
//!
//! ```text
//!            ┌─────────── lost ────────────────────────────────────────────────┐
//!            ▼                                                                 │
//! Greet ── right chain ──► Look ── our tip has a next block ──► Fetch ── connected ─► Look …
//!   │                       │ └──── our tip is the best ───────► Rest ── another best ─► Look
//!   └ fresh: Begin ► Rest   └────── our tip is not in the best chain ──► Confirm ── disconnected ─► Look
//! ```
//!
//! One call is in flight at a time. The next block is asked for only once the events of the one before were taken out,
//! so whatever the core wants watched because of a block is in the filter before the next one is looked through.

mod fees;
mod tips;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{BlockHash, Transaction, Txid};
use leyden_core::chain::Tip;
use leyden_core::command::Watch;
use leyden_core::config::Network;
use leyden_core::event::BroadcastOutcome;
use leyden_core::ids::BlockHeight;

use super::block;
use super::event::{DriverEvent, Start, Trouble};
use super::filter::Filter;
use super::rpc::{Answer, Call, ChainInfo, HeaderInfo, RpcError, code};
use fees::Round;
use tips::Tips;

/// How often estimates are asked for.
const FEES_INTERVAL_MS: u64 = 60_000;

/// When to look again after the backend was behind, on another chain, or had a block pruned.
const TROUBLE_RETRY_MS: u64 = 2_000;

/// When to ask again while the backend is starting.
const STARTING_RETRY_MS: u64 = 250;

/// How many transactions may wait to be broadcast. The core broadcasts again with every block, so one that finds the
/// queue full is not lost.
const BROADCASTS_MAX: usize = 512;

/// Decides what to ask. Pure: the time is an argument, and answers are handed in.
#[derive(Debug)]
pub struct Follower {
    network: Network,
    poll_ms: u64,
    filter: Filter,
    /// `None` until a fresh start has found the backend's tip.
    tips: Option<Tips>,
    step: Step,
    /// Nothing but broadcasts and estimates before this time.
    step_not_before_ms: u64,
    fees: Option<Round>,
    fees_at_ms: u64,
    version: String,
    health: Health,
    /// Whether `Synced` was told since the tip changed or the backend came up.
    is_synced_told: bool,
    broadcasts: VecDeque<Outgoing>,
    /// Whether the first of them was handed out and is not answered.
    is_sending: bool,
    events: VecDeque<DriverEvent>,
}

/// A transaction that waits to be broadcast.
#[derive(Clone, Debug)]
struct Outgoing {
    txid: Txid,
    hex: String,
    /// Whether it was asked for before, and the connection broke instead of an answer: the backend may have it, and
    /// may have passed it on.
    is_unsure: bool,
}

/// What the chain needs next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Ask who the backend is.
    Greet,
    /// Ask which chain it is on, and how far.
    Chain,
    /// Ask where our tip stands in the backend's chain.
    Look,
    /// Ask for the block behind our tip.
    Fetch(BlockHash),
    /// Our tip seems not to be in the best chain: ask how the backend is before believing that. `before` is the block
    /// before our tip.
    Confirm { before: BlockHash },
    /// Ask for the best block from time to time.
    Rest,
}

/// What was last told of the backend.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Health {
    Unknown,
    Up,
    Down(Trouble),
}

impl Follower {
    /// Begins at `start`.
    pub fn new(network: Network, poll_ms: u64, start: Start) -> Follower {
        let tips = match &start {
            Start::Fresh => None,
            Start::At { tip, recent } => Some(Tips::new(*tip, recent)),
        };
        Follower {
            network,
            poll_ms,
            filter: Filter::default(),
            tips,
            step: Step::Greet,
            step_not_before_ms: 0,
            fees: None,
            fees_at_ms: 0,
            version: String::new(),
            health: Health::Unknown,
            is_synced_told: false,
            broadcasts: VecDeque::new(),
            is_sending: false,
            events: VecDeque::new(),
        }
    }

    /// Watches, or stops to.
    pub fn watch(&mut self, watch: &Watch<'_>) {
        self.filter.apply(watch);
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<DriverEvent> {
        self.events.pop_front()
    }

    /// Broadcasts a transaction as soon as possible. There is always an answer, at once if the backend is away.
    pub fn submit(&mut self, tx: &Transaction) {
        let txid = tx.compute_txid();
        if self.broadcasts.iter().any(|waiting| waiting.txid == txid) {
            return;
        }
        let is_away = matches!(
            self.health,
            Health::Down(
                Trouble::Unreachable { .. }
                    | Trouble::Slow { .. }
                    | Trouble::Busy { .. }
                    | Trouble::Unauthorized { .. }
                    | Trouble::Starting { .. }
                    | Trouble::WrongChain { .. }
                    | Trouble::Behind { .. }
            )
        );
        match is_away || self.broadcasts.len() >= BROADCASTS_MAX {
            true => self.events.push_back(DriverEvent::Broadcast { txid, outcome: BroadcastOutcome::Unreachable }),
            false => self.broadcasts.push_back(Outgoing { txid, hex: serialize_hex(tx), is_unsure: false }),
        }
    }

    /// What to ask now, if anything. Asking twice without an answer in between yields the same call.
    pub fn next_call(&mut self, now_ms: u64) -> Option<Call> {
        if matches!(self.step, Step::Greet | Step::Chain) {
            return self.step_call(now_ms);
        }
        if let Some(Outgoing { hex, .. }) = self.broadcasts.front() {
            self.is_sending = true;
            return Some(Call::Send(hex.clone()));
        }
        if let Some(call) = self.step_call(now_ms) {
            return Some(call);
        }
        if self.fees.is_none() && now_ms >= self.fees_at_ms {
            self.fees = Some(Round::default());
        }
        self.fees.as_ref().map(Round::call)
    }

    fn step_call(&self, now_ms: u64) -> Option<Call> {
        if now_ms < self.step_not_before_ms || self.awaits_core() {
            return None;
        }
        let tip = self.tips.as_ref().map(Tips::tip);
        Some(match self.step {
            Step::Greet => Call::NetworkInfo,
            Step::Chain | Step::Confirm { .. } => Call::ChainInfo,
            Step::Look => Call::Header(tip.expect("there is a tip to look for").hash),
            Step::Fetch(hash) => Call::Block(hash),
            Step::Rest => Call::BestBlock,
        })
    }

    /// Whether events of a block wait to be taken out.
    fn awaits_core(&self) -> bool {
        self.events
            .iter()
            .any(|event| matches!(event, DriverEvent::BlockConnected { .. } | DriverEvent::BlockDisconnected { .. }))
    }

    /// When [`next_call`](Follower::next_call) has something to ask; `None` while it waits for its events to be taken
    /// out.
    pub fn next_call_at_ms(&self) -> Option<u64> {
        let is_greeting = matches!(self.step, Step::Greet | Step::Chain);
        if !is_greeting && (!self.broadcasts.is_empty() || self.fees.is_some()) {
            return Some(0);
        }
        let step = (!self.awaits_core()).then_some(self.step_not_before_ms);
        let fees = (!is_greeting).then_some(self.fees_at_ms);
        step.into_iter().chain(fees).min()
    }

    /// The backend has something new: it is asked at once, not when the next look is due.
    pub fn nudge(&mut self) {
        if self.step == Step::Rest {
            self.step_not_before_ms = 0;
        }
    }

    /// The connection is gone: what was asked will not be answered. Told to nobody; see [`down`](Follower::down).
    pub fn lost(&mut self) {
        if std::mem::take(&mut self.is_sending)
            && let Some(outgoing) = self.broadcasts.front_mut()
        {
            outgoing.is_unsure = true;
        }
        self.step = Step::Greet;
        self.step_not_before_ms = 0;
        self.fees = None;
    }

    /// The backend is of no use.
    pub fn down(&mut self, trouble: Trouble) {
        self.lost();
        self.tell_down(trouble);
        for Outgoing { txid, .. } in self.broadcasts.drain(..) {
            self.events.push_back(DriverEvent::Broadcast { txid, outcome: BroadcastOutcome::Unreachable });
        }
    }

    /// Takes in the answer to `call`, the last one that [`next_call`](Follower::next_call) yielded.
    pub fn answered(&mut self, call: &Call, answer: Result<Answer<'_>, RpcError>, now_ms: u64) {
        match answer {
            Ok(answer) => self.accept(call, answer, now_ms),
            Err(error) if error.code == code::WARMING_UP => {
                self.down(Trouble::Starting { reason: error.message });
                self.step_not_before_ms = now_ms + STARTING_RETRY_MS;
            }
            Err(error) => self.refused(call, error, now_ms),
        }
    }

    fn accept(&mut self, call: &Call, answer: Answer<'_>, now_ms: u64) {
        match answer {
            Answer::NetworkInfo(info) => {
                self.version = info.subversion;
                self.step = Step::Chain;
            }
            Answer::ChainInfo(info) => match self.step {
                Step::Confirm { before } => self.confirm(before, &info, now_ms),
                _ => self.greeted(&info, now_ms),
            },
            Answer::BestBlock(best) => self.best(best, now_ms),
            Answer::Header(header) => self.looked(&header, now_ms),
            Answer::Block(hex) => {
                let Call::Block(hash) = call else { unreachable!("only this call is answered so") };
                self.fetched(*hash, &hex, now_ms);
            }
            Answer::Fee(per_kw) => {
                if let Some(round) = &mut self.fees {
                    round.estimate(per_kw);
                }
            }
            Answer::MempoolMinimum(per_kw) => self.end_fees(per_kw, now_ms),
            Answer::Sent => self.sent(BroadcastOutcome::Accepted),
        }
    }

    fn refused(&mut self, call: &Call, error: RpcError, now_ms: u64) {
        match call {
            Call::Send(_) => self.sent(match is_known_already(&error) {
                true => BroadcastOutcome::Accepted,
                false => BroadcastOutcome::Rejected { code: error.code, reason: error.message },
            }),
            Call::EstimateFee(_) => {
                if let Some(round) = &mut self.fees {
                    round.estimate(None);
                }
            }
            Call::MempoolInfo => self.end_fees(None, now_ms),
            Call::Header(_) if error.code == code::NOT_FOUND => self.look_failed(now_ms),
            Call::Block(_) if error.code == code::MISC && error.message.contains("pruned") => {
                let height = self.tips.as_ref().map_or(0, |tips| tips.tip().height.0 + 1);
                self.tell_down(Trouble::Pruned { height });
                self.rest(now_ms + TROUBLE_RETRY_MS, Step::Look);
            }
            // Reorganised away, or not yet on disk: look again.
            Call::Block(_) => self.rest(now_ms + self.poll_ms, Step::Look),
            call => {
                let reason = format!("{} (code {})", error.message, error.code);
                self.tell_down(Trouble::Nonsense { method: call.method(), reason });
                self.rest(now_ms + TROUBLE_RETRY_MS, Step::Greet);
            }
        }
    }

    fn greeted(&mut self, info: &ChainInfo, now_ms: u64) {
        let expected = chain_name(self.network);
        if info.chain != expected {
            let wrong = Trouble::WrongChain { expected: expected.to_owned(), actual: info.chain.clone() };
            self.down(wrong);
            self.step_not_before_ms = now_ms + TROUBLE_RETRY_MS;
            return;
        }
        match &self.tips {
            Some(tips) if info.blocks < tips.tip().height.0 && is_catching_up(info) => {
                let ours = Some(tips.tip().height.0);
                self.behind(info, ours, Step::Chain, now_ms);
            }
            Some(_) => {
                self.tell_up();
                self.best(info.best, now_ms);
            }
            // A regtest chain whose last block is old says that it downloads for ever.
            None if info.is_downloading && self.network != Network::Regtest => {
                self.behind(info, None, Step::Chain, now_ms);
            }
            None => {
                let tip = Tip { height: BlockHeight(info.blocks), hash: info.best };
                self.tips = Some(Tips::new(tip, &[]));
                self.tell_up();
                self.events.push_back(DriverEvent::Begin { tip });
                self.best(info.best, now_ms);
            }
        }
    }

    fn behind(&mut self, info: &ChainInfo, ours: Option<u32>, then: Step, now_ms: u64) {
        self.down(Trouble::Behind { blocks: info.blocks, headers: info.headers, ours });
        self.rest(now_ms + TROUBLE_RETRY_MS, then);
    }

    /// The backend's tip is `best`.
    fn best(&mut self, best: BlockHash, now_ms: u64) {
        let tip = self.tips.as_ref().expect("greeted").tip();
        if best != tip.hash {
            self.rest(now_ms, Step::Look);
            return;
        }
        self.tell_up();
        if !self.is_synced_told {
            self.is_synced_told = true;
            self.events.push_back(DriverEvent::Synced { height: tip.height });
        }
        self.rest(now_ms + self.poll_ms, Step::Rest);
    }

    /// Where our tip stands in the backend's chain.
    fn looked(&mut self, header: &HeaderInfo, now_ms: u64) {
        let tips = self.tips.as_ref().expect("greeted");
        let step = match (header.confirmations, header.next, tips.before().or(header.previous)) {
            (1.., Some(next), _) => Step::Fetch(next),
            (1.., None, _) => return self.best(tips.tip().hash, now_ms),
            (_, _, Some(before)) => Step::Confirm { before },
            (_, _, None) => {
                let reason = "the chain's first block has no confirmations".to_owned();
                self.tell_down(Trouble::Nonsense { method: "getblockheader", reason });
                return self.rest(now_ms + TROUBLE_RETRY_MS, Step::Look);
            }
        };
        self.rest(now_ms, step);
    }

    /// The backend does not know our tip at all.
    fn look_failed(&mut self, now_ms: u64) {
        let tips = self.tips.as_ref().expect("greeted");
        match tips.before() {
            Some(before) => self.rest(now_ms, Step::Confirm { before }),
            None => {
                let Tip { height, hash } = tips.tip();
                self.tell_down(Trouble::UnknownTip { height: height.0, hash });
                self.rest(now_ms + TROUBLE_RETRY_MS, Step::Look);
            }
        }
    }

    /// Our tip is not in the backend's best chain. That is a reorganisation, unless the backend has merely not come so
    /// far yet: while it verifies its blocks anew, every block above seems to be gone.
    fn confirm(&mut self, before: BlockHash, info: &ChainInfo, now_ms: u64) {
        let tips = self.tips.as_mut().expect("greeted");
        let ours = tips.tip().height.0;
        if info.blocks < ours && is_catching_up(info) {
            return self.behind(info, Some(ours), Step::Look, now_ms);
        }
        let tip = tips.pop(before);
        self.is_synced_told = false;
        self.events.push_back(DriverEvent::BlockDisconnected { tip });
        self.rest(now_ms, Step::Look);
    }

    fn fetched(&mut self, hash: BlockHash, hex: &str, now_ms: u64) {
        let tips = self.tips.as_mut().expect("greeted");
        let scanned = match block::scan(hex, hash, &self.filter) {
            Ok(scanned) => scanned,
            Err(error) => {
                self.tell_down(Trouble::Nonsense { method: "getblock", reason: error.to_string() });
                return self.rest(now_ms + TROUBLE_RETRY_MS, Step::Look);
            }
        };
        let previous = tips.tip().hash;
        if scanned.header.prev_blockhash != previous {
            return self.rest(now_ms, Step::Look);
        }
        let tip = tips.push(hash);
        self.is_synced_told = false;
        self.tell_up();
        let (time_s, matches) = (scanned.header.time, scanned.matches);
        self.events.push_back(DriverEvent::BlockConnected { tip, previous, time_s, matches });
        self.rest(now_ms, Step::Look);
    }

    fn rest(&mut self, until_ms: u64, then: Step) {
        self.step = then;
        self.step_not_before_ms = until_ms;
    }

    fn end_fees(&mut self, mempool_minimum: Option<u64>, now_ms: u64) {
        self.fees_at_ms = now_ms + FEES_INTERVAL_MS;
        let rates = self.fees.take().map(|round| round.end(mempool_minimum));
        self.events.extend(rates.map(DriverEvent::Feerates));
    }

    fn sent(&mut self, outcome: BroadcastOutcome) {
        self.is_sending = false;
        if let Some(Outgoing { txid, is_unsure, .. }) = self.broadcasts.pop_front() {
            // A refusal speaks of this attempt alone: that of the one before is not known, and will not be.
            if is_unsure && matches!(outcome, BroadcastOutcome::Rejected { .. }) {
                self.events.push_back(DriverEvent::Broadcast { txid, outcome: BroadcastOutcome::Unreachable });
            }
            self.events.push_back(DriverEvent::Broadcast { txid, outcome });
        }
    }

    fn tell_up(&mut self) {
        if self.health != Health::Up {
            self.health = Health::Up;
            self.events.push_back(DriverEvent::Up { version: self.version.clone() });
        }
    }

    /// Trouble of the same kind is told once, whatever its numbers do meanwhile.
    fn tell_down(&mut self, trouble: Trouble) {
        let is_told = match &self.health {
            Health::Down(told) => std::mem::discriminant(told) == std::mem::discriminant(&trouble),
            Health::Unknown | Health::Up => false,
        };
        self.health = Health::Down(trouble.clone());
        self.is_synced_told = false;
        if !is_told {
            self.events.push_back(DriverEvent::Down(trouble));
        }
    }
}

/// Whether blocks are on their way that the backend knows of but has not verified.
fn is_catching_up(info: &ChainInfo) -> bool {
    info.is_downloading || info.headers > info.blocks
}

/// The transaction is in the mempool or in a block already, which is all that a broadcast is for.
fn is_known_already(error: &RpcError) -> bool {
    error.code == code::ALREADY_IN_CHAIN
        || ["txn-already-in-mempool", "txn-already-known"].iter().any(|reason| error.message.contains(reason))
}

/// The network's name in bitcoind's answers.
fn chain_name(network: Network) -> &'static str {
    match network {
        Network::Mainnet => "main",
        Network::Testnet4 => "testnet4",
        Network::Signet => "signet",
        Network::Regtest => "regtest",
    }
}
