//! What nodes learn of the chain, and when.

use leyden_core::amount::Sat;
use leyden_core::chain::Tip;
use leyden_core::ids::BlockHeight;
use leyden_core::request::{Request, Response};

use super::World;
use super::node::{Backend, Happening};
use crate::chain::Fill;
use crate::net::NodeIndex;

/// What a node hears where its backend is silent.
pub(super) const SILENT: &str = "the backend does not answer";
/// What it hears where its backend has a block no more.
const LACKING: &str = "Block not available (pruned data)";

/// What the blocks hold that take the place of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refill {
    /// What waits, and with it all that was in the others.
    Full,
    /// Nothing: all that was in the others waits for the next block.
    Empty,
}

impl World {
    /// Mines blocks; each is taken in by everybody before the next.
    pub fn mine(&mut self, count: u32) {
        for _ in 0..count {
            self.mine_now(1);
            self.run_for_ms(self.latency_ms * 20);
        }
    }

    /// Mines blocks at this very moment; nodes learn of them as their backends tell them.
    pub fn mine_now(&mut self, count: u32) {
        for _ in 0..count {
            self.chain.mine();
        }
        self.tell_chain();
    }

    /// Mines a block that is nearly all one transaction's witness.
    pub fn mine_giant(&mut self) {
        self.chain.mine_giant();
        self.tell_chain();
    }

    /// The last blocks are replaced by others, one more than they were.
    pub fn reorg(&mut self, depth: u32, refill: Refill) {
        let fill = match refill {
            Refill::Full => Fill::Best,
            Refill::Empty => Fill::Empty,
        };
        self.counts.reorgs += 1;
        let blocks = vec![fill; depth as usize + 1];
        let reorg = self.chain.reorg(depth, &blocks);
        reorg.expect("the best of what waits always makes a block, and so does nothing");
        self.tell_chain();
    }

    /// Gives coins to a node's wallet, in a block of their own.
    pub fn faucet(&mut self, node: NodeIndex, amount: Sat) {
        self.gift(node, amount);
        self.mine(1);
    }

    /// Gives coins to a node's wallet with the next block.
    pub fn gift(&mut self, node: NodeIndex, amount: Sat) {
        let kind = leyden_core::request::wallet::AddressKind::P2wpkh;
        let Ok(Response::Addresses(addresses)) = self.call(node, Request::NewAddr(kind)) else {
            panic!("newaddr gives an address\n{}", self.story());
        };
        self.chain.gift(addresses.p2wpkh.expect("that kind was asked for"), amount);
    }

    /// Everybody will learn of what is new on the chain.
    pub(super) fn tell_chain(&mut self) {
        for node in 0..self.nodes.len() {
            if !self.nodes[node].is_off {
                self.catch_up(node);
            }
        }
    }

    /// What a backend tells a node that has just started.
    pub(super) fn begin_chain(&mut self, node: NodeIndex) {
        let newest = self.chain.tip();
        let own = &mut self.nodes[node];
        own.view = own.node.tip();
        let feerates = own.feerates;
        if own.backend == Backend::Silent {
            return self.push_chain(node, Happening::Down(SILENT));
        }
        let is_first = own.view.is_none();
        own.view.get_or_insert(newest);
        self.push_chain(node, Happening::Up);
        if is_first {
            self.push_chain(node, Happening::Begin(newest));
        }
        self.push_chain(node, Happening::Feerates(feerates));
        self.catch_up(node);
    }

    /// A backend that answers again.
    pub(super) fn tell_all_of_chain(&mut self, node: NodeIndex) {
        if self.nodes[node].is_off {
            return;
        }
        self.push_chain(node, Happening::Up);
        let feerates = self.nodes[node].feerates;
        self.push_chain(node, Happening::Feerates(feerates));
        self.catch_up(node);
    }

    /// Tells a node the way from the block that it stands at to the best one, as far as its backend knows it.
    fn catch_up(&mut self, node: NodeIndex) {
        let backend = self.nodes[node].backend;
        if backend == Backend::Silent {
            return;
        }
        let mut view = self.nodes[node].view.expect("a running node stands somewhere");
        while self.chain.block(view.height).is_none_or(|block| block.tip != view) {
            self.push_chain(node, Happening::Unblock(view));
            view = self.parent(view).expect("two chains meet at the first block");
        }
        for height in view.height.0 + 1..=self.chain.tip().height.0 {
            if matches!(backend, Backend::Lacks(from) if height >= from) {
                self.nodes[node].view = Some(view);
                return self.push_chain(node, Happening::Down(LACKING));
            }
            view = self.chain.block(BlockHeight(height)).expect("the chain has no holes").tip;
            self.push_chain(node, Happening::Block(view));
        }
        self.nodes[node].view = Some(view);
        self.push_chain(node, Happening::Synced);
    }

    /// The block before this one, on whatever branch.
    pub(super) fn parent(&self, tip: Tip) -> Option<Tip> {
        let hash = self.chain.block_by_hash(&tip.hash)?.header.prev_blockhash;
        Some(Tip { height: BlockHeight(tip.height.0.checked_sub(1)?), hash })
    }

    /// What a backend says arrives late where it lags, and always in order.
    pub(super) fn push_chain(&mut self, node: NodeIndex, what: Happening) {
        let own = &mut self.nodes[node];
        let at_ms = (self.now_ms + own.chain_lag_ms).max(own.chain_ready_ms);
        own.chain_ready_ms = at_ms;
        self.push_at(node, at_ms, what);
    }
}
