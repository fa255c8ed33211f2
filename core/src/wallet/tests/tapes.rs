//! Random lives of a wallet on a chain that reorganises, against what the chain itself says.

use super::*;

/// The chain as it is, and transactions that might be mined.
struct Chain {
    alice: Alice,
    blocks: Vec<Vec<Transaction>>,
    pool: Vec<Transaction>,
    scripts: Vec<ScriptBuf>,
}

impl Chain {
    fn new() -> Chain {
        let mut alice = Alice::new();
        let kinds = [AddressKind::P2tr, AddressKind::P2wpkh, AddressKind::P2tr, AddressKind::P2wpkh];
        let scripts = kinds.map(|kind| alice.address(kind)).to_vec();
        Chain { alice, blocks: Vec::new(), pool: Vec::new(), scripts }
    }

    /// Outputs that the chain holds and has not spent.
    fn unspent(&self) -> BTreeMap<OutPoint, TxOut> {
        let mut unspent = BTreeMap::new();
        for tx in self.blocks.iter().flatten() {
            for input in &tx.input {
                unspent.remove(&input.previous_output);
            }
            for (output, vout) in tx.output.iter().zip(0..) {
                unspent.insert(OutPoint::new(tx.compute_txid(), vout), output.clone());
            }
        }
        unspent
    }

    /// Mines those of the pool that the choice admits and that can be mined.
    fn mine(&mut self, choice: u8) {
        let mut unspent = self.unspent();
        let mut used: BTreeSet<OutPoint> =
            self.blocks.iter().flatten().flat_map(|tx| tx.input.iter().map(|input| input.previous_output)).collect();
        let mut block = Vec::new();
        for (at, tx) in std::mem::take(&mut self.pool).into_iter().enumerate() {
            // Outputs of strangers are on nobody's list: there is one of each.
            let exists = |outpoint: &OutPoint| outpoint.vout == 7 || unspent.contains_key(outpoint);
            let possible =
                tx.input.iter().all(|input| exists(&input.previous_output) && !used.contains(&input.previous_output));
            if !possible || choice >> (at % 8) & 1 == 0 {
                self.pool.push(tx);
                continue;
            }
            for input in &tx.input {
                used.insert(input.previous_output);
                unspent.remove(&input.previous_output);
            }
            for (output, vout) in tx.output.iter().zip(0..) {
                unspent.insert(OutPoint::new(tx.compute_txid(), vout), output.clone());
            }
            block.push(tx);
        }
        self.alice.mine(&block);
        self.blocks.push(block);
    }

    fn unmine(&mut self) {
        if let Some(block) = self.blocks.pop() {
            self.alice.unmine();
            self.pool.splice(0..0, block);
        }
    }

    /// In an order that is nobody's: a child before its parent waits for the next block.
    fn collect_broadcasts(&mut self) {
        self.pool.append(&mut self.alice.world.broadcasts);
        self.pool.sort_by_key(|tx| tx.compute_txid());
        self.pool.dedup();
    }

    fn step(&mut self, what: u8, which: u8) {
        match what % 8 {
            0 | 1 => {
                let script = self.scripts[usize::from(which) % self.scripts.len()].clone();
                if self.alice.strangers < 250 {
                    let tx = self.alice.pay(&script, 10_000 + 1_000 * u64::from(which));
                    self.pool.push(tx);
                }
            }
            2 | 3 => self.mine(which),
            4 => (0..=which % 4).for_each(|_| self.unmine()),
            5 => {
                // Refused if there is too little.
                let _ = self.alice.withdraw(AmountOrAll::Amount(Sat(1_000 + 500 * u64::from(which))), None);
            }
            6 => {
                // Another copy of the seed spends a coin of ours.
                let ours = self.alice.wallet.coins.keys().nth(usize::from(which) % 16).copied();
                self.pool.extend(ours.map(|coin| spend(&[coin], &[(1_000, foreign())])));
            }
            _ => self.alice.wallet = self.alice.restored(),
        }
        self.collect_broadcasts();
    }

    /// What the wallet takes for confirmed is what the chain holds.
    fn compare(&self) {
        let wallet = &self.alice.wallet;
        let ours: BTreeMap<OutPoint, u64> = self
            .unspent()
            .into_iter()
            .filter(|(_, output)| wallet.owns(&output.script_pubkey))
            .map(|(outpoint, output)| (outpoint, output.value.to_sat()))
            .collect();
        let held: BTreeMap<OutPoint, u64> = wallet
            .coins()
            .filter(|(_, coin)| coin.confirmed.is_some() && coin.spent.is_none_or(|spent| spent.height.is_none()))
            .map(|(outpoint, coin)| (outpoint, coin.amount.0))
            .collect();
        assert_eq!(held, ours);
    }
}

#[test]
fn the_wallet_and_the_chain_agree_through_reorganisations() {
    fn prop(tape: Vec<(u8, u8)>) -> bool {
        let mut chain = Chain::new();
        for (what, which) in tape {
            chain.step(what, which);
            chain.compare();
        }
        // At last all settles.
        for _ in 0..4 {
            chain.mine(0xff);
        }
        chain.compare();
        true
    }
    quickcheck::QuickCheck::new().rng(quickcheck::Gen::new(80)).tests(25).quickcheck(prop as fn(Vec<(u8, u8)>) -> bool);
}
