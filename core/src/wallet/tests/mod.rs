//! The wallet on a chain of its own, with its rows kept and read back.

mod carrying;
mod funding;
mod selection;
mod stories;
mod tapes;

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::absolute::LockTime;
use bitcoin::consensus::encode::serialize;
use bitcoin::hashes::Hash;
use bitcoin::transaction::Version;
use bitcoin::{Network, OutPoint, ScriptBuf, Transaction, TxIn, TxOut, Txid, Witness};

use super::*;
use crate::command::Command;
use crate::event::Match;
use crate::request::AmountOrAll;
use crate::request::wallet::{FundPsbt, PsbtBytes, ReserveInputs, SendPsbt, SignPsbt, UnreserveInputs, Withdraw};
use crate::rng::Rng;
use crate::signer::{KeysSigner, Signer};

/// Takes commands: rows are kept, transactions wait to be mined.
#[derive(Default)]
struct World {
    rows: BTreeMap<(Table, Vec<u8>), Vec<u8>>,
    broadcasts: Vec<Transaction>,
    scripts: BTreeSet<ScriptBuf>,
    spends: BTreeSet<OutPoint>,
    writes: usize,
}

impl Sink for World {
    fn emit(&mut self, command: Command<'_>) {
        match command {
            Command::Put { table, key, value } => {
                let mut bytes = Vec::new();
                value.write(&mut bytes);
                self.writes += 1;
                self.rows.insert((table, key.to_vec()), bytes);
            }
            Command::Delete { table, key } => {
                self.writes += 1;
                self.rows.remove(&(table, key.to_vec()));
            }
            Command::Broadcast { tx, .. } => self.broadcasts.push(tx.clone()),
            Command::Watch(Watch::Script(script)) => {
                self.scripts.insert(script.to_owned());
            }
            Command::Watch(Watch::Spend(outpoint)) => {
                self.spends.insert(outpoint);
            }
            Command::Watch(Watch::Unspend(outpoint)) => {
                self.spends.remove(&outpoint);
            }
            _ => panic!("a wallet has no business with this"),
        }
    }
}

/// Alice, her wallet and her chain.
struct Alice {
    wallet: Wallet,
    signer: KeysSigner,
    rng: Rng,
    world: World,
    height: u32,
    strangers: u8,
    /// How many writes there were when the rows were last read back: deriving scripts takes time.
    read_back_at: usize,
}

const FEERATE: u32 = 1_000;

impl Alice {
    fn new() -> Alice {
        let signer = KeysSigner::new([7; 64], Network::Regtest, [7; 32]);
        let mut wallet = Wallet::new(&signer.wallet_accounts(), Network::Regtest);
        wallet.finish(BlockHeight(500)).expect("no rows");
        let mut world = World::default();
        wallet.watch(&mut world);
        Alice { wallet, signer, rng: Rng::new([3; 32]), world, height: 500, strangers: 0, read_back_at: 0 }
    }

    fn address(&mut self, kind: AddressKind) -> ScriptBuf {
        let addresses = self.wallet.new_addresses(kind, &mut self.world);
        addresses.p2tr.or(addresses.p2wpkh).expect("one was asked for")
    }

    /// A payment by somebody else.
    fn pay(&mut self, script: &ScriptBuf, amount: u64) -> Transaction {
        self.strangers += 1;
        let from = OutPoint::new(Txid::from_byte_array([self.strangers; 32]), 7);
        spend(&[from], &[(amount, script.clone())])
    }

    /// Mines a block; only what is watched comes through, as from a filter. An output that pays a watched script is
    /// watched from there on, so that its spending in the same block comes through as well.
    fn mine(&mut self, txs: &[Transaction]) {
        self.height += 1;
        let mut spends = self.world.spends.clone();
        let mut matches = Vec::new();
        for (tx, index) in txs.iter().zip(1..) {
            let mut found = tx.input.iter().any(|input| spends.contains(&input.previous_output));
            for (output, vout) in tx.output.iter().zip(0..) {
                if self.world.scripts.contains(&output.script_pubkey) {
                    spends.insert(OutPoint::new(tx.compute_txid(), vout));
                    found = true;
                }
            }
            matches.extend(found.then_some(Match { index, tx }));
        }
        self.wallet.block_connected(BlockHeight(self.height), &matches, &mut self.world);
        self.audit();
    }

    fn mine_empty(&mut self, blocks: u32) {
        (0..blocks).for_each(|_| self.mine(&[]));
    }

    fn unmine(&mut self) {
        self.wallet.block_disconnected(BlockHeight(self.height), &mut self.world);
        self.height -= 1;
        self.audit();
    }

    /// A wallet with one confirmed coin of each amount.
    fn funded(amounts: &[u64]) -> Alice {
        let mut alice = Alice::new();
        for (at, amount) in amounts.iter().enumerate() {
            let kind = if at % 2 == 0 { AddressKind::P2tr } else { AddressKind::P2wpkh };
            let script = alice.address(kind);
            let tx = alice.pay(&script, *amount);
            alice.mine(&[tx]);
        }
        alice
    }

    /// Invariants hold, coins are watched, and the rows say the same as memory.
    fn audit(&mut self) {
        self.wallet.check();
        assert!(self.wallet.coins.keys().all(|outpoint| self.world.spends.contains(outpoint)));
        if std::mem::replace(&mut self.read_back_at, self.world.writes) == self.world.writes {
            return;
        }
        let restored = self.restored();
        restored.check();
        assert_eq!(restored.coins, self.wallet.coins);
        assert!(restored.txs.keys().eq(self.wallet.txs.keys()));
        assert!(restored.txs.values().all(|known| known.order < restored.next_order));
    }

    fn restored(&self) -> Wallet {
        let mut wallet = Wallet::new(&self.signer.wallet_accounts(), Network::Regtest);
        for ((table, key), value) in &self.world.rows {
            wallet.take(&Row { table: *table, key, value }).expect("rows that we wrote");
        }
        wallet.finish(BlockHeight(self.height)).expect("rows that we wrote");
        wallet
    }

    fn withdraw(&mut self, amount: AmountOrAll, utxos: Option<Vec<OutPoint>>) -> Result<Transaction, WalletError> {
        let request = Withdraw { destination: foreign(), amount, feerate: None, min_confirmations: 1, utxos };
        let Alice { wallet, signer, rng, world, .. } = self;
        let withdrawn = wallet.withdraw(&request, FEERATE, Sat::ZERO, signer, rng, world)?;
        self.audit();
        Ok(withdrawn.tx)
    }

    fn fund(&mut self, spec: &FundSpec<'_>) -> Result<Funded, WalletError> {
        let funded = self.wallet.fund(spec, &mut self.rng, &mut self.world)?;
        self.audit();
        Ok(funded)
    }

    fn balance(&self) -> (u64, u64, u64) {
        let Balance { confirmed, unconfirmed, immature } = self.wallet.balance();
        (confirmed.0, unconfirmed.0, immature.0)
    }
}

/// A script of nobody here.
fn foreign() -> ScriptBuf {
    ScriptBuf::new_p2wsh(&bitcoin::WScriptHash::from_byte_array([9; 32]))
}

fn spend(inputs: &[OutPoint], outputs: &[(u64, ScriptBuf)]) -> Transaction {
    let output = |(amount, script_pubkey): &(u64, ScriptBuf)| TxOut {
        value: Sat(*amount).to_amount(),
        script_pubkey: script_pubkey.clone(),
    };
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: inputs.iter().map(|from| TxIn { previous_output: *from, ..Default::default() }).collect(),
        output: outputs.iter().map(output).collect(),
    }
}

fn pays(amount: u64) -> Pay {
    Pay::Outputs(vec![TxOut { value: Sat(amount).to_amount(), script_pubkey: foreign() }])
}

fn spec(pay: Pay) -> FundSpec<'static> {
    FundSpec {
        pay,
        feerate_per_kw: FEERATE,
        inputs: InputChoice::Any { min_confirmations: 1 },
        emergency_reserve: Sat::ZERO,
        reserve_blocks: 0,
    }
}

/// Bitcoin's own opinion of every input.
fn verify(tx: &Transaction, spent: &[TxOut]) {
    let bytes = serialize(tx);
    let utxos: Vec<bitcoinconsensus::Utxo> = spent
        .iter()
        .map(|output| bitcoinconsensus::Utxo {
            script_pubkey: output.script_pubkey.as_bytes().as_ptr(),
            script_pubkey_len: output.script_pubkey.len() as u32,
            value: output.value.to_sat() as i64,
        })
        .collect();
    for (index, output) in spent.iter().enumerate() {
        let script = output.script_pubkey.as_bytes();
        let verdict = bitcoinconsensus::verify(script, output.value.to_sat(), &bytes, Some(&utxos), index);
        assert_eq!(verdict, Ok(()), "input {index}");
    }
    assert_ne!(tx.input[0].witness, Witness::new());
}
