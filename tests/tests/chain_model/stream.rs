//! Transactions of all kinds at random, most of them with something wrong.

use std::collections::BTreeMap;

use bitcoin::hashes::Hash;
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut, Txid, Witness};
use leyden_sim::chain::Fill;

use crate::pair::Pair;
use crate::wallet::{Coin, Draft, Lock, PLAIN};

/// Feerates are in thousandths of a satoshi per vbyte.
const FINE: u64 = 2_000;

pub(crate) struct Stream {
    pub(crate) pair: Pair,
    pub(crate) random: u64,
    coins: BTreeMap<OutPoint, Coin>,
    /// What was sent and taken, with what it spent.
    sent: Vec<(Draft, Transaction)>,
    steps: u32,
}

impl Stream {
    pub(crate) fn new(pair: Pair, seed: u64) -> Stream {
        let mut stream = Stream { pair, random: seed, coins: BTreeMap::new(), sent: Vec::new(), steps: 0 };
        for (outpoint, coin) in stream.pair.model.coins_of(&Lock::Anyone.script()) {
            let value_sat = coin.output.value.to_sat();
            stream.coins.insert(outpoint, Coin { outpoint, value_sat, lock: Lock::Anyone });
        }
        for _ in 0..20 {
            stream.fan_out();
        }
        stream.pair.mine(&Fill::Best);
        stream
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % bound
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize]
    }

    /// Coins that nothing spends; those of blocks alone, or those that wait too.
    pub(crate) fn free(&self, confirmed: bool) -> Vec<Coin> {
        let model = &self.pair.model;
        let next = model.tip().height.0 + 1;
        let is_free = |coin: &&Coin| {
            let is_there = match model.coin(&coin.outpoint) {
                Some(known) => !known.is_coinbase || next - known.height >= 100,
                None => !confirmed && model.is_waiting(&coin.outpoint.txid),
            };
            is_there && model.spender(coin.outpoint).is_none()
        };
        self.coins.values().filter(is_free).copied().collect()
    }

    fn coin(&mut self, confirmed: bool) -> Coin {
        let plain: Vec<Coin> =
            self.free(confirmed).into_iter().filter(|coin| is_plain(coin) && coin.value_sat > 100_000).collect();
        self.pick(&plain)
    }

    fn plain_output(&mut self) -> TxOut {
        let lock = self.pick(&PLAIN);
        lock.output(20_000)
    }

    /// Sends it and remembers its coins if it was taken.
    fn send(&mut self, what: &str, draft: &Draft, tx: &Transaction) -> bool {
        let is_taken = self.pair.send(what, tx);
        if is_taken {
            self.remember(draft, tx);
        }
        is_taken
    }

    fn remember(&mut self, draft: &Draft, tx: &Transaction) {
        let locks = PLAIN.into_iter().chain([Lock::Anchor, Lock::FutureWitness]);
        let locks = locks.chain((1..6).map(Lock::Csv)).chain((200..600).step_by(20).map(Lock::Cltv));
        let known: BTreeMap<ScriptBuf, Lock> = locks.map(|lock| (lock.script(), lock)).collect();
        let txid = tx.compute_txid();
        for (vout, output) in (0..).zip(&tx.output) {
            if let Some(&lock) = known.get(&output.script_pubkey) {
                let outpoint = OutPoint::new(txid, vout);
                self.coins.insert(outpoint, Coin { outpoint, value_sat: output.value.to_sat(), lock });
            }
        }
        self.sent.push((draft.clone(), tx.clone()));
    }

    fn fan_out(&mut self) {
        let mut coins = self.free(true);
        coins.retain(|coin| coin.value_sat > 1_000_000_000 && coin.lock == Lock::Anyone);
        let mut draft = Draft::new(vec![self.pick(&coins)]);
        draft.outputs.push(Lock::Anyone.output(0));
        for _ in 0..30 {
            let value_sat = 1_000_000 + self.below(50_000_000);
            let lock = match self.below(10) {
                0 => Lock::Csv(1 + self.below(5) as u16),
                1 => Lock::Cltv(200 + 20 * self.below(20) as u32),
                2 => Lock::FutureWitness,
                _ => self.pick(&PLAIN),
            };
            draft.outputs.push(lock.output(value_sat));
        }
        let tx = draft.clone().with_rate(FINE);
        self.send("fan out", &draft, &tx);
    }

    /// A spend of one to three coins with one to four outputs.
    fn draft(&mut self, confirmed: bool) -> Draft {
        let mut draft = Draft::new(Vec::new());
        for _ in 0..=self.below(3) {
            let coin = self.coin(confirmed);
            if draft.coins.iter().all(|known| known.outpoint != coin.outpoint) {
                draft.coins.push(coin);
            }
        }
        for _ in 0..=self.below(4) {
            let output = self.plain_output();
            draft.outputs.push(output);
        }
        draft
    }

    pub(crate) fn step(&mut self) {
        self.steps += 1;
        match self.below(24) {
            0..=3 => {
                let draft = self.draft(false);
                let per_kvb = FINE + self.below(30_000);
                let tx = draft.clone().with_rate(per_kvb);
                self.send("spend", &draft, &tx);
            }
            4 => {
                let draft = self.draft(true);
                let per_kvb = self.below(1_100);
                let tx = draft.clone().with_rate(per_kvb);
                self.send("cheap", &draft, &tx);
            }
            5..=7 => self.replace(),
            8 => self.dust(),
            9 | 10 => self.restricted(),
            11 => self.locked(),
            12 => self.bad_script(),
            13 => self.spent_or_missing(),
            14 => self.unusual_outputs(),
            15 => self.malformed(),
            16 => self.chain(),
            17..=19 => self.package(),
            20 => self.replacing_package(),
            21 => self.again(),
            22 => self.unusual_inputs(),
            _ => self.block(),
        }
        if self.steps.is_multiple_of(40) {
            self.pair.compare_entries();
            self.fan_out();
        }
    }

    /// Spends what something that waits spends, and sometimes more.
    fn replace(&mut self) {
        let waiting: Vec<(Draft, Txid)> = self
            .sent
            .iter()
            .map(|(draft, tx)| (draft.clone(), tx.compute_txid()))
            .filter(|(_, txid)| self.pair.model.is_waiting(txid))
            .collect();
        if waiting.is_empty() {
            return;
        }
        let (old, txid) = &waiting[self.below(waiting.len() as u64) as usize];
        let (fee, vsize) = self.pair.model.fee_and_vsize(txid).expect("it waits");
        let coin = self.pick(&old.coins);
        let mut draft = Draft::new(vec![coin]);
        draft.version = old.version;
        match self.below(4) {
            0 => draft.coins.push(self.coin(true)),
            1 => draft.coins.push(self.coin(false)),
            _ => {}
        }
        for _ in 0..=self.below(3) {
            let output = self.plain_output();
            draft.outputs.push(output);
        }
        let per_kvb = fee.0 * 1_000 / vsize;
        let tx = match self.below(4) {
            0 => draft.clone().with_fee(fee.0 + self.below(300)),
            1 => draft.clone().with_rate(per_kvb + self.below(3)),
            _ => {
                let more = self.below(3 * per_kvb + 1);
                draft.clone().with_rate(per_kvb / 2 + more)
            }
        };
        if draft.outputs.iter().skip(1).map(|output| output.value.to_sat()).sum::<u64>() < draft.in_sat() {
            self.send("replacement", &draft, &tx);
        }
    }

    fn dust(&mut self) {
        let mut draft = self.draft(true);
        for _ in 0..=self.below(2) {
            let lock = self.pick(&[Lock::Anchor, Lock::WitnessKey, Lock::KeyHash, Lock::Taproot, Lock::Anyone]);
            let value_sat = match lock {
                // Near the limit on both sides.
                Lock::Anchor => 238 + self.below(4),
                Lock::WitnessKey => 292 + self.below(4),
                Lock::KeyHash => 544 + self.below(4),
                _ => 328 + self.below(4),
            };
            draft.outputs.push(lock.output(value_sat));
        }
        let tx = if self.below(4) == 0 { draft.clone().with_fee(0) } else { draft.clone().with_rate(FINE) };
        self.send("dust", &draft, &tx);
    }

    /// Version 3, and what it may be related to.
    fn restricted(&mut self) {
        let mut draft = self.draft(self.steps.is_multiple_of(2));
        draft.version = 3;
        let tx = draft.clone().with_rate(FINE);
        if !self.send("version 3", &draft, &tx) {
            return;
        }
        let lock_of = |output: &TxOut| PLAIN.into_iter().find(|lock| lock.script() == output.script_pubkey);
        let lock = lock_of(&tx.output[0]).expect("all outputs are plain");
        let coin = Coin { outpoint: OutPoint::new(tx.compute_txid(), 0), value_sat: tx.output[0].value.to_sat(), lock };
        let mut child = Draft::new(vec![coin]);
        child.version = self.pick(&[2, 3, 3, 3]);
        for _ in 0..=self.pick(&[0, 1, 40]) {
            let output = self.plain_output();
            child.outputs.push(output);
        }
        if self.below(4) == 0 {
            child.coins.push(self.coin(false));
        }
        let tx = child.clone().with_rate(FINE);
        let is_taken = self.send("child of version 3", &child, &tx);
        // A second child evicts the first one if it pays for it.
        let siblings: Vec<Coin> = self
            .free(false)
            .into_iter()
            .filter(|other| other.outpoint.txid == coin.outpoint.txid && is_plain(other))
            .collect();
        if is_taken && !siblings.is_empty() {
            let mut sibling = Draft::new(vec![self.pick(&siblings)]);
            sibling.version = 3;
            sibling.outputs.push(Lock::Anyone.output(0));
            let fee_sat = 50 + self.below(5_000);
            if sibling.in_sat() > fee_sat + 1_000 {
                let tx = sibling.clone().with_fee(fee_sat);
                self.send("sibling", &sibling, &tx);
            }
        }
    }

    fn locked(&mut self) {
        let height = self.pair.model.tip().height.0;
        let median = self.pair.model.median_time_s();
        let mut draft = self.draft(true);
        match self.below(4) {
            0 => draft.lock_time = height - 1 + self.below(4) as u32,
            1 => draft.lock_time = median - 2 + self.below(4) as u32,
            2 => draft.sequence = self.below(8) as u32,
            _ => draft.sequence = (1 << 22) | self.below(12) as u32,
        }
        let tx = draft.clone().with_rate(FINE);
        self.send("locked", &draft, &tx);
        let mut scripts = self.free(false);
        scripts.retain(|coin| matches!(coin.lock, Lock::Csv(_) | Lock::Cltv(_)));
        if !scripts.is_empty() {
            let coin = self.pick(&scripts);
            let mut draft = Draft::new(vec![coin]);
            draft.outputs.push(Lock::Anyone.output(0));
            match coin.lock {
                Lock::Csv(blocks) => {
                    draft.sequence = self.pick(&[0xffff_fffd, u32::from(blocks) - 1, u32::from(blocks) + 1])
                }
                _ => draft.lock_time = self.pick(&[height, height + 1, height - 20]),
            }
            let tx = draft.clone().with_rate(FINE);
            self.send("locked by script", &draft, &tx);
        }
    }

    fn bad_script(&mut self) {
        let draft = self.draft(true);
        let mut tx = draft.clone().with_rate(FINE);
        match self.below(3) {
            0 => tx.output[0].value -= Amount::from_sat(1),
            1 => tx.input[0].witness = Witness::from_slice(&[[1].as_slice(), &[2; 33]]),
            _ => {
                let mut items = tx.input[0].witness.to_vec();
                if let Some(byte) = items.first_mut().and_then(|item| item.get_mut(20)) {
                    *byte ^= 1;
                }
                tx.input[0].witness = Witness::from_slice(&items);
            }
        }
        self.send("bad script", &draft, &tx);
    }

    fn spent_or_missing(&mut self) {
        let mut draft = self.draft(true);
        let model = &self.pair.model;
        let next = model.tip().height.0 + 1;
        let is_spent = |coin: &&Coin| model.coin(&coin.outpoint).is_none() && !model.is_waiting(&coin.outpoint.txid);
        let is_young = |coin: &&Coin| {
            model.coin(&coin.outpoint).is_some_and(|known| known.is_coinbase && next - known.height < 100)
        };
        let spent: Vec<Coin> = self.coins.values().filter(is_spent).copied().collect();
        let young: Vec<Coin> = self.coins.values().filter(is_young).copied().collect();
        let coin = match self.below(3) {
            0 if !spent.is_empty() => self.pick(&spent),
            1 if !young.is_empty() => self.pick(&young),
            _ => {
                let txid = Txid::from_byte_array([self.below(256) as u8; 32]);
                Coin { outpoint: OutPoint::new(txid, 0), value_sat: 100_000, lock: Lock::Anyone }
            }
        };
        draft.coins.push(coin);
        let tx = draft.clone().with_rate(FINE);
        self.send("spent or missing", &draft, &tx);
    }

    /// Bare keys and multisig are not among them: the installed program refuses those even with Bitcoin Core's policy.
    fn unusual_outputs(&mut self) {
        let mut draft = self.draft(true);
        let data = |length: u8| {
            let mut script = vec![0x6a];
            if length > 75 {
                script.push(0x4c);
            }
            script.push(length);
            script.resize(script.len() + usize::from(length), 1);
            TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::from_bytes(script) }
        };
        let raw = |bytes: &[u8]| TxOut {
            value: Amount::from_sat(10_000),
            script_pubkey: ScriptBuf::from_bytes(bytes.to_vec()),
        };
        match self.below(7) {
            0 => draft.outputs.push(data(80)),
            1 => draft.outputs.push(data(81)),
            2 => draft.outputs.extend([data(10), data(10)]),
            3 => draft.outputs.push(raw(&[0x51])),
            4 => draft.outputs.push(Lock::FutureWitness.output(10_000)),
            5 => draft.outputs.push(raw(&[&[0x00, 0x15], [1; 21].as_slice()].concat())),
            _ => draft.outputs.push(TxOut { value: Amount::ZERO, ..raw(&[0x6a, 0xff]) }),
        }
        let tx = draft.clone().with_rate(FINE);
        self.send("unusual output", &draft, &tx);
    }

    fn unusual_inputs(&mut self) {
        let mut draft = self.draft(true);
        let future: Vec<Coin> = self.free(true).into_iter().filter(|coin| coin.lock == Lock::FutureWitness).collect();
        if !future.is_empty() && self.below(3) == 0 {
            draft.coins.push(self.pick(&future));
        }
        let mut tx = draft.clone().with_rate(FINE);
        let has_script_sig = !tx.input[0].script_sig.is_empty();
        match self.below(3) {
            0 if has_script_sig => tx.input[0].script_sig.push_opcode(bitcoin::opcodes::all::OP_NOP),
            1 => tx.input[0].script_sig = ScriptBuf::from_bytes(vec![1; 1_651]),
            _ => {
                let mut items = tx.input[0].witness.to_vec();
                items.insert(0, vec![1; 81]);
                tx.input[0].witness = Witness::from_slice(&items);
            }
        }
        self.send("unusual input", &draft, &tx);
    }

    fn malformed(&mut self) {
        let mut draft = self.draft(true);
        match self.below(7) {
            0 => draft.coins.push(draft.coins[0]),
            1 => draft.version = self.pick(&[0, 4, -1]),
            2 => draft.outputs.extend(std::iter::repeat_n(Lock::Taproot.output(1_000), 2_400)),
            3 => {
                draft.outputs[0].value = Amount::from_sat(draft.in_sat() + 1);
                let tx = draft.sign();
                self.send("inflation", &draft, &tx);
                return;
            }
            4 => {
                draft.coins.truncate(1);
                draft.outputs = vec![TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::from_bytes(vec![0x6a]) }];
                let tx = draft.sign();
                self.send("small", &draft, &tx);
                return;
            }
            5 => {
                draft.outputs[0].value = Amount::MAX_MONEY + Amount::from_sat(1);
                let tx = draft.sign();
                self.send("too much money", &draft, &tx);
                return;
            }
            _ => draft.version = 1,
        }
        let tx = draft.clone().with_rate(FINE);
        self.send("malformed", &draft, &tx);
    }

    /// Children upon children, up to the limit, and one more.
    fn chain(&mut self) {
        let mut coin = self.coin(true);
        let mut links = self.pick(&[3, 5, 27]);
        let is_wide = self.below(2) == 0;
        while links > 0 && coin.value_sat > 100_000 {
            links -= 1;
            let mut draft = Draft::new(vec![coin]);
            draft.outputs.push(Lock::Anyone.output(0));
            if is_wide {
                draft.outputs.extend(std::iter::repeat_n(Lock::Taproot.output(1_000), 150));
                draft.coins.push(self.coin(true));
            }
            let tx = draft.clone().with_rate(FINE);
            if !self.send("chain", &draft, &tx) {
                // The first one may still get a child of its own.
                break;
            }
            let outpoint = OutPoint::new(tx.compute_txid(), 0);
            coin = Coin { outpoint, value_sat: tx.output[0].value.to_sat(), lock: Lock::Anyone };
        }
    }

    /// A parent that pays too little, with a child that pays for both or does not.
    fn package(&mut self) {
        let confirmed = self.below(4) > 0;
        let mut parent = self.draft(confirmed);
        parent.coins.truncate(1);
        parent.version = self.pick(&[2, 3, 3, 3]);
        parent.outputs.truncate(1);
        parent.outputs[0] = Lock::WitnessKey.output(0);
        let anchor_sat = self.pick(&[0, 0, 239, 240, 330]);
        let has_anchor = self.below(2) == 0;
        if has_anchor {
            parent.outputs.push(Lock::Anchor.output(anchor_sat));
        }
        let rate = self.pick(&[0, 0, 500, 1_000, 3_000]);
        let parent_tx = parent.clone().with_rate(rate);
        let txid = parent_tx.compute_txid();
        let value_sat = parent_tx.output[0].value.to_sat();
        let coin = Coin { outpoint: OutPoint::new(txid, 0), value_sat, lock: Lock::WitnessKey };
        let anchor = Coin { outpoint: OutPoint::new(txid, 1), value_sat: anchor_sat, lock: Lock::Anchor };
        let mut child = Draft::new(vec![coin]);
        child.version = if self.below(8) == 0 { 5 - parent.version } else { parent.version };
        if has_anchor && self.below(4) > 0 {
            child.coins.push(anchor);
        }
        if self.below(4) == 0 {
            child.coins.push(self.coin(true));
        }
        child.outputs.push(Lock::Taproot.output(0));
        let rate = self.pick(&[0, 1_000, 3_000, 9_000]);
        let child_tx = child.clone().with_rate(rate);
        let mut package = vec![parent_tx.clone(), child_tx.clone()];
        match self.below(12) {
            0 => package.reverse(),
            1 => package.truncate(1),
            2 => {
                let other = self.draft(true);
                let other_tx = other.clone().with_rate(FINE);
                package.insert(0, other_tx);
            }
            _ => {}
        }
        self.pair.send_package("package", &package);
        for (draft, tx) in [(&parent, &parent_tx), (&child, &child_tx)] {
            if self.pair.model.is_waiting(&tx.compute_txid()) {
                self.remember(draft, tx);
            }
        }
    }

    /// A package whose parent conflicts with something that waits.
    fn replacing_package(&mut self) {
        let coin = self.coin(true);
        let mut old = Draft::new(vec![coin]);
        old.outputs.push(Lock::Anyone.output(0));
        old.version = self.pick(&[2, 3]);
        let rate = 1_000 + self.below(4_000);
        let old_tx = old.clone().with_rate(rate);
        self.send("to be replaced", &old, &old_tx);
        if self.below(2) == 0 {
            let outpoint = OutPoint::new(old_tx.compute_txid(), 0);
            let value_sat = old_tx.output[0].value.to_sat();
            let mut child = Draft::new(vec![Coin { outpoint, value_sat, lock: Lock::Anyone }]);
            child.version = old.version;
            child.outputs.push(Lock::Anyone.output(0));
            let rate = 1_000 + self.below(9_000);
            let tx = child.clone().with_rate(rate);
            self.send("child to be replaced", &child, &tx);
        }
        let mut parent = Draft::new(vec![coin]);
        parent.version = old.version;
        parent.outputs.push(Lock::Anyone.output(0));
        let rate = 1_000 * self.below(2) + self.below(1_000);
        let parent_tx = parent.clone().with_rate(rate);
        let outpoint = OutPoint::new(parent_tx.compute_txid(), 0);
        let value_sat = parent_tx.output[0].value.to_sat();
        let mut child = Draft::new(vec![Coin { outpoint, value_sat, lock: Lock::Anyone }]);
        child.version = old.version;
        child.outputs.push(Lock::Taproot.output(0));
        let rate = 1_000 + self.below(15_000);
        let child_tx = child.clone().with_rate(rate);
        self.pair.send_package("replacing package", &[parent_tx.clone(), child_tx.clone()]);
        for (draft, tx) in [(&parent, &parent_tx), (&child, &child_tx)] {
            if self.pair.model.is_waiting(&tx.compute_txid()) {
                self.remember(draft, tx);
            }
        }
    }

    /// Nearly as large as may be, at any feerate.
    pub(crate) fn large(&mut self) {
        let mut draft = Draft::new(vec![self.rich_coin()]);
        draft.outputs.extend(std::iter::repeat_n(Lock::Taproot.output(330), 2_200));
        let per_kvb = 1_000 + self.below(20_000);
        let tx = draft.clone().with_rate(per_kvb);
        self.send("large", &draft, &tx);
    }

    fn rich_coin(&mut self) -> Coin {
        let mut rich = self.free(true);
        rich.retain(|coin| coin.value_sat > 10_000_000 && is_plain(coin));
        self.pick(&rich)
    }

    /// Something that was sent before.
    fn again(&mut self) {
        let at = self.below(self.sent.len() as u64) as usize;
        let (draft, tx) = self.sent[at].clone();
        self.send("again", &draft, &tx);
    }

    fn block(&mut self) {
        let waiting: Vec<Txid> = self.pair.model.mempool().map(|tx| tx.compute_txid()).collect();
        let some: Vec<Txid> = waiting.iter().copied().filter(|_| self.below(3) == 0).collect();
        match self.below(7) {
            0 => self.pair.mine(&Fill::Empty),
            1 => self.pair.mine(&Fill::Only(some)),
            2 => self.pair.mine(&Fill::Without(some)),
            3 => {
                // What waits is spent by a transaction that pays nothing, which only a miner would take.
                let free = self.free(true);
                let mut draft = Draft::new(free.into_iter().filter(is_plain).take(1).collect());
                let conflicting = self.sent.iter().rev().find(|(draft, tx)| {
                    self.pair.model.is_waiting(&tx.compute_txid())
                        && draft.coins.iter().all(|coin| self.pair.model.coin(&coin.outpoint).is_some())
                });
                draft.coins.extend(conflicting.iter().flat_map(|(draft, _)| &draft.coins));
                draft.coins.retain(is_plain);
                draft.outputs.push(Lock::Anyone.output(0));
                let tx = draft.clone().with_fee(0);
                self.remember(&draft, &tx);
                self.pair.mine(&Fill::Exactly(vec![tx]));
            }
            4 => {
                let depth = 1 + self.below(4) as u32;
                let fill = self.pick(&[0, 1]);
                let mut fills = vec![if fill == 0 { Fill::Best } else { Fill::Empty }; depth as usize];
                fills.push(Fill::Best);
                self.pair.reorg(depth, &fills);
            }
            _ => self.pair.mine(&Fill::Best),
        }
    }
}

fn is_plain(coin: &Coin) -> bool {
    PLAIN.contains(&coin.lock)
}
