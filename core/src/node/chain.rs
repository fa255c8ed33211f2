//! Blocks, feerates and broadcasts, as far as more than one room is concerned; and claims on chain.

use std::collections::BTreeSet;

use bitcoin::{OutPoint, Txid};

use super::{Io, Node};
use crate::chain::{Backend, Feerates, Tip};
use crate::channel::{Phase, Spendable};
use crate::command::{Command, Level, Watch};
use crate::config::Network;
use crate::event::{BroadcastOutcome, Match};
use crate::ids::{BlockHeight, ChannelKey, NodeId};
use crate::mutation::{Mutation, is_active};
use crate::onion::Failure;
use crate::request::Response;
use crate::store::{Key, RowValue, Table};
use crate::tx::Sweep;

/// Blocks whose hashes are kept, so that a reorganisation while we were away can be undone.
const RECENT_BLOCKS: u32 = 144;
/// An incoming part that is held must have this many blocks, or it goes back: we could not claim it on chain in time.
const HELD_PART_MARGIN: u32 = 12;

/// The hash of a recent block. Key: its height.
#[derive(Clone, Copy, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct BlockRow(pub(crate) Tip);

impl RowValue for BlockRow {
    const TABLE: Table = Table::Block;
}

fn block_key(height: BlockHeight) -> Key {
    Key::new().u32(height.0)
}

/// An output on chain that is ours, until its claim is deep.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct ClaimRow {
    pub(crate) channel: ChannelKey,
    pub(crate) spendable: SpendableRow,
    /// The block that holds the spend.
    pub(crate) spent: Option<BlockHeight>,
    /// Where the claim pays to.
    #[bincode(with_serde)]
    pub(crate) script: bitcoin::ScriptBuf,
}

/// A [`Spendable`] in rows.
#[derive(Clone, Debug, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct SpendableRow {
    #[bincode(with_serde)]
    pub(crate) outpoint: OutPoint,
    #[bincode(with_serde)]
    pub(crate) output: bitcoin::TxOut,
    pub(crate) by: crate::channel::SpendBy,
    pub(crate) from_height: BlockHeight,
}

impl RowValue for ClaimRow {
    const TABLE: Table = Table::Claim;
}

fn claim_key(outpoint: OutPoint) -> Key {
    crate::wallet::rows::outpoint_key(outpoint)
}

impl ClaimRow {
    fn spendable(&self) -> Spendable {
        let SpendableRow { outpoint, output, by, from_height } = self.spendable.clone();
        Spendable { outpoint, output, by, from_height }
    }
}

impl Node {
    pub(super) fn on_begin(&mut self, io: &mut Io<'_>, tip: Tip) {
        self.chain.tip = Some(tip);
        self.wallet.begin(tip.height);
        self.recent.insert(tip.height, tip.hash);
        io.put(block_key(tip.height), &BlockRow(tip));
        io.note(Level::Info, "chain", format_args!("this node begins at block {}", tip.height));
    }

    pub(super) fn on_block(&mut self, io: &mut Io<'_>, tip: Tip, matches: &[Match<'_>]) {
        if let Some(before) = self.chain.tip {
            assert_eq!(before.height.0 + 1, tip.height.0, "blocks come one after the other");
        }
        self.chain.tip = Some(tip);
        self.recent.insert(tip.height, tip.hash);
        io.put(block_key(tip.height), &BlockRow(tip));
        if let Some(old) = tip.height.0.checked_sub(RECENT_BLOCKS) {
            io.delete::<BlockRow>(block_key(BlockHeight(old)));
            self.recent.remove(&BlockHeight(old));
        }
        io.note(Level::Debug, "chain", format_args!("block {} with {} matches", tip.height, matches.len()));
        self.wallet.block_connected(tip.height, matches, io.out);
        for found in matches {
            self.on_match(io, tip.height, found);
        }
        self.settle(io);
        let keys: Vec<ChannelKey> = self.channels.keys().copied().collect();
        for key in keys {
            self.with_channel(io, key, |channel, cx| channel.block(cx, tip.height));
        }
        self.give_up_stale_offers(io, tip.height);
        self.replays.forget_expired(io.out, tip.height);
        self.claim_due(io, tip.height);
        let margin = if is_active(Mutation::HeldTooLong) { 0 } else { HELD_PART_MARGIN };
        let late = self.incoming.take_expiring(tip.height.plus(margin));
        self.fail_parts(io, &late, |node, part| Failure::IncorrectOrUnknownPaymentDetails {
            htlc_msat: part.amount,
            height: node.chain.height(),
        });
        self.give_back_overdue(io, tip.height);
        let there = self.block_waiters.iter().filter(|(_, height)| **height <= tip.height);
        for request in there.map(|(request, _)| *request).collect::<Vec<_>>() {
            self.block_waiters.remove(&request);
            self.timers.clear(super::NodeTimer::WaitBlock { request });
            io.reply(request, Ok(Response::BlockHeight(tip.height)));
        }
    }

    /// A peer that does not revoke keeps us from signing what we have added since. Whoever sent that to us waits for an
    /// answer, and would go on chain for it.
    fn give_up_stale_offers(&mut self, io: &mut Io<'_>, height: BlockHeight) {
        let stale = self.channels.values().filter(|channel| channel.has_stale_offer(height));
        let peers: BTreeSet<NodeId> = stale.map(|channel| channel.peer()).collect();
        for peer in peers {
            if let Some((conn, _)) = self.peers.ready(peer) {
                self.cut(io, peer, conn, "it revokes nothing, and an HTLC that waits for that is at its expiry");
            }
        }
    }

    fn on_match(&mut self, io: &mut Io<'_>, height: BlockHeight, found: &Match<'_>) {
        let txid = found.tx.compute_txid();
        for key in self.index.by_funding.get(&txid).cloned().unwrap_or_default() {
            self.with_channel(io, key, |channel, cx| channel.funding_confirmed(cx, found.tx, height, found.index));
        }
        for input in &found.tx.input {
            let spent = input.previous_output;
            if let Some(claim) = self.claims.get_mut(&spent) {
                claim.spent = Some(height);
                let row = claim.clone();
                io.put(claim_key(spent), &row);
            }
            for key in self.index.by_funding.get(&spent.txid).cloned().unwrap_or_default() {
                let funds = self.channels.get(&key).is_some_and(|channel| channel.funding().outpoint == spent);
                if funds {
                    self.with_channel(io, key, |channel, cx| channel.funding_spent(cx, found.tx, height));
                }
            }
        }
    }

    pub(super) fn on_block_gone(&mut self, io: &mut Io<'_>, tip: Tip) {
        if is_active(Mutation::HeightOnlyGrows) {
            return;
        }
        io.note(Level::Warn, "chain", format_args!("block {} is no longer part of the best chain", tip.height));
        self.wallet.block_disconnected(tip.height, io.out);
        io.delete::<BlockRow>(block_key(tip.height));
        self.recent.remove(&tip.height);
        let keys: Vec<ChannelKey> = self.channels.keys().copied().collect();
        for key in keys {
            let Some(channel) = self.channels.get(&key) else { continue };
            if channel.scid().is_some_and(|scid| scid.height() >= tip.height) {
                self.with_channel(io, key, |channel, cx| channel.funding_unconfirmed(cx));
            }
            let spent_here = matches!(
                self.channels.get(&key).map(|channel| channel.phase()),
                Some(Phase::OnChain { spent: Some(spent), .. }) if spent.height >= tip.height
            );
            if spent_here {
                self.claims.retain(|_, claim| claim.channel != key);
                self.with_channel(io, key, |channel, cx| channel.funding_unspent(cx));
            }
        }
        for (outpoint, claim) in &mut self.claims {
            if claim.spent.is_some_and(|height| height >= tip.height) {
                claim.spent = None;
                let row = claim.clone();
                io.put(claim_key(*outpoint), &row);
            }
        }
        let previous = BlockHeight(tip.height.0.saturating_sub(1));
        self.chain.tip = self.recent.get(&previous).map(|hash| Tip { height: previous, hash: *hash });
    }

    pub(super) fn on_synced(&mut self, io: &mut Io<'_>, height: BlockHeight) {
        if !self.chain.synced {
            self.chain.synced = true;
            io.note(Level::Info, "chain", format_args!("in step with the chain at block {height}"));
            // What is broadcast a second time may have gone well the first time.
            self.fresh_fundings.clear();
            self.rebroadcast(io);
        }
    }

    /// Says once more what may have been lost, or refused for a price that has fallen since: closes and the wallet's.
    fn rebroadcast(&mut self, io: &mut Io<'_>) {
        self.wallet.rebroadcast(io.out);
        let keys: Vec<ChannelKey> = self.channels.keys().copied().collect();
        for key in keys {
            self.with_channel(io, key, |channel, cx| channel.rebroadcast(cx));
        }
    }

    pub(super) fn on_feerates(&mut self, io: &mut Io<'_>, feerates: Feerates) {
        // On regtest nobody competes for blocks, and the minimum is all that anybody pays.
        if feerates.is_bare() && self.config.network != Network::Regtest {
            return self.on_no_estimates(io, feerates);
        }
        self.chain.fallback = None;
        let minimum = self.chain.feerates.map(|feerates| feerates.mempool_minimum);
        self.chain.feerates = Some(feerates);
        if minimum.is_some_and(|minimum| minimum > feerates.mempool_minimum) {
            self.rebroadcast(io);
        }
        let keys: Vec<ChannelKey> = self.channels.keys().copied().collect();
        for key in keys {
            self.with_channel(io, key, |channel, cx| channel.follow_feerates(cx));
        }
    }

    /// The backend cannot tell yet what a confirmation costs: its mempool's minimum is all there is.
    fn on_no_estimates(&mut self, io: &mut Io<'_>, bare: Feerates) {
        let minimum = bare.mempool_minimum;
        match &mut self.chain.feerates {
            // Old estimates are better than none.
            Some(known) => *known = known.at_least(minimum),
            None if self.chain.fallback != Some(bare) => {
                self.chain.fallback = Some(bare);
                io.note(
                    Level::Warn,
                    "chain",
                    format_args!(
                        "bitcoind has no fee estimates yet: going by its mempool's minimum of {minimum} sat/kw; what is \
                         urgent may confirm late"
                    ),
                );
            }
            None => {}
        }
    }

    pub(super) fn on_backend(&mut self, io: &mut Io<'_>, backend: Backend) {
        if matches!(backend, Backend::Down { .. }) && is_active(Mutation::BackendTroubleHidden) {
            return;
        }
        if backend != self.chain.backend {
            match &backend {
                Backend::Down { reason } => {
                    io.note(Level::Warn, "chain", format_args!("bitcoind: {reason}; carrying on with what is safe"));
                }
                _ => io.note(Level::Info, "chain", format_args!("the chain's backend answers")),
            }
        }
        if matches!(backend, Backend::Down { .. }) {
            self.chain.synced = false;
        }
        self.chain.backend = backend;
    }

    pub(super) fn on_broadcast(&mut self, io: &mut Io<'_>, txid: Txid, outcome: &BroadcastOutcome) {
        match outcome {
            BroadcastOutcome::Accepted => io.note(Level::Debug, "chain", format_args!("{txid} is in the mempool")),
            BroadcastOutcome::Rejected { code, reason } => {
                io.note(Level::Warn, "chain", format_args!("the chain's backend refuses {txid}: {reason} ({code})"));
            }
            BroadcastOutcome::Unreachable => {
                io.note(Level::Warn, "chain", format_args!("{txid} could not be broadcast; it will be tried again"));
            }
        }
        self.wallet.broadcast_outcome(txid, outcome, io.out);
        self.on_verdict(io, txid, outcome);
    }

    // --- Claims -----------------------------------------------------------------------------------------------------

    /// An output is ours, now or after a delay.
    pub(super) fn add_claim(&mut self, io: &mut Io<'_>, channel: ChannelKey, spendable: Spendable) {
        if self.claims.contains_key(&spendable.outpoint) {
            return;
        }
        let script = self.wallet.next_sweep_script(io.out);
        let Spendable { outpoint, output, by, from_height } = spendable;
        let row =
            ClaimRow { channel, spendable: SpendableRow { outpoint, output, by, from_height }, spent: None, script };
        io.put(claim_key(outpoint), &row);
        io.out.emit(Command::Watch(Watch::Spend(outpoint)));
        self.claims.insert(outpoint, row);
        self.claim_due(io, self.chain.height());
    }

    /// Broadcasts every claim that may be in the next block and is in none yet.
    fn claim_due(&mut self, io: &mut Io<'_>, height: BlockHeight) {
        let feerate = self.chain.feerates().blocks_6;
        let mut done = Vec::new();
        let due: Vec<(OutPoint, ClaimRow)> =
            self.claims.iter().map(|(outpoint, claim)| (*outpoint, claim.clone())).collect();
        for (outpoint, row) in due {
            if let Some(spent) = row.spent {
                if height.since(spent) >= crate::wallet::BURIED_BLOCKS {
                    done.push((outpoint, row.channel));
                }
                continue;
            }
            if row.spendable.from_height > height.plus(1) {
                continue;
            }
            let Some(channel) = self.channels.get(&row.channel) else { continue };
            let keys = channel.row().keys;
            let Some(claim) = channel.claim(io.signer, &row.spendable()) else { continue };
            match Sweep::new(&[claim], row.script.clone(), feerate) {
                Ok(sweep) => {
                    let mut sigs = Vec::new();
                    if let Err(refusal) = io.signer.sign_sweep(keys, &sweep, &mut sigs) {
                        io.note(Level::Error, "chain", format_args!("cannot claim {outpoint}: {refusal}"));
                        continue;
                    }
                    let tx = sweep.signed(&sigs);
                    self.wallet.broadcast(&tx, "claim of a closed channel", io.out);
                }
                Err(error) => io.note(Level::Warn, "chain", format_args!("{outpoint} is not claimed: {error}")),
            }
        }
        for (outpoint, key) in done {
            self.claims.remove(&outpoint);
            io.delete::<ClaimRow>(claim_key(outpoint));
            if !self.claims.values().any(|claim| claim.channel == key) {
                self.with_channel(io, key, |channel, cx| channel.resolved(cx));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, Mono, Wall};
    use crate::command::Sink;
    use crate::config::Config;
    use crate::event::{ChainEvent, Event};
    use crate::node::Boot;
    use crate::signer::KeysSigner;

    /// Warnings that were told.
    #[derive(Default)]
    struct Warnings(Vec<String>);

    impl Sink for Warnings {
        fn emit(&mut self, command: Command<'_>) {
            if let Command::Note(note) = command
                && note.level == Level::Warn
            {
                self.0.push(note.text.to_string());
            }
        }
    }

    #[test]
    fn without_estimates_the_mempool_minimum_counts_and_old_estimates_are_kept() {
        let config = Config::default_for(Network::Mainnet);
        let mut signer = KeysSigner::new([7; 64], config.network.bitcoin(), [8; 32]);
        let clock = Clock { mono: Mono(0), wall: Wall(1_700_000_000_000) };
        let boot = Boot { config, rng_seed: [9; 32], clock };
        let mut node = Node::restore(boot, std::iter::empty(), &mut signer).expect("no rows are sound");
        let mut told = Warnings::default();
        let mut tell = |node: &mut Node, feerates| {
            node.step(clock, Event::Chain(ChainEvent::Feerates(feerates)), &mut signer, &mut told);
            (node.chain.feerates(), told.0.len())
        };
        let bare = |minimum| Feerates::default().at_least(minimum);
        assert_eq!(tell(&mut node, bare(1_000)), (bare(1_000), 1));
        assert_eq!(tell(&mut node, bare(1_000)), (bare(1_000), 1), "once is enough");
        assert_eq!(node.chain.feerates, None, "no channel lowers its fee for that");
        let known =
            Feerates { blocks_2: 9_000, blocks_6: 5_000, blocks_12: 4_000, blocks_100: 1_500, mempool_minimum: 253 };
        assert_eq!(tell(&mut node, known), (known, 1));
        // bitcoind has started anew and its mempool is full: what was known of fees is better than nothing.
        assert_eq!(tell(&mut node, bare(2_000)), (known.at_least(2_000), 1));
        assert_eq!(node.chain.feerates().blocks_2, 9_000);
        assert_eq!(node.chain.feerates().blocks_100, 2_000);
    }
}
