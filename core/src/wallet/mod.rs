//! The on-chain wallet. It watches and plans; the signer alone has keys.
//!
//! What it knows is a set of facts: transactions, the blocks that hold them, and which of them we made. Which outputs are
//! ours and which of them are spent is computed from those facts whenever they change, so that a block that goes away
//! needs no undoing. A transaction that is buried deep is settled: its outputs stay, the rest leaves memory and remains a
//! row of history.
//!
//! Invariants:
//! - every coin pays a script of the keychains;
//! - a coin that is spent is spent by a transaction in memory;
//! - a coin that is not confirmed was made by a transaction in memory.

pub mod carry;
pub mod error;
pub mod fund;
pub mod history;
pub mod keychain;
mod ledger;
mod psbt;
pub mod rows;
pub mod select;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bitcoin::{Network, OutPoint, Script, ScriptBuf, Transaction, Txid};

pub use carry::{Carry, Parent};
pub use error::WalletError;
pub use fund::{FundSpec, Funded, InputChoice, Pay, Plan};
pub use history::TransactionsQuery;
pub use keychain::{Keychain, Place};
pub use psbt::{extract, finalize};
pub use rows::{Coin, Origin};

use crate::amount::Sat;
use crate::command::{Command, Sink, Watch};
use crate::encoding::encode_fields;
use crate::ids::BlockHeight;
use crate::request::wallet::{AddressKind, Addresses, FundsOutput, OutputStatus};
use crate::signer::WalletAccounts;
use crate::store::{Row, RowError, Table};
use keychain::Keychains;
use rows::TransactionRow;

/// After so many blocks nothing is taken back any more, and what is spent is forgotten.
pub const BURIED_BLOCKS: u32 = 144;
/// A miner's reward can be spent by a transaction in the hundredth block after its own (consensus).
pub const COINBASE_MATURITY: u32 = 100;
/// For how long inputs are kept for somebody, unless he says otherwise: half a day, as Core Lightning does.
pub const RESERVE_BLOCKS: u32 = 72;
/// What is kept back for each channel with anchors: enough to bump a commitment at a moderate feerate.
pub const ANCHOR_RESERVE_PER_CHANNEL: Sat = Sat(25_000);
/// However many channels there are, they will not all close in one fee spike.
pub const ANCHOR_RESERVE_MAX: Sat = Sat(250_000);

/// What must stay in the wallet so that commitments of `channels` channels with anchors can be bumped.
pub fn anchor_reserve(channels: usize) -> Sat {
    let wanted = ANCHOR_RESERVE_PER_CHANNEL.0.saturating_mul(channels as u64);
    Sat(wanted.min(ANCHOR_RESERVE_MAX.0))
}

/// A transaction in memory.
#[derive(Clone, Debug, bincode::Encode, bincode::Decode)]
struct Known {
    #[bincode(with_serde)]
    tx: Transaction,
    confirmed: Option<(BlockHeight, u32)>,
    order: u64,
    since: BlockHeight,
    origin: Origin,
}

impl Known {
    fn is_ours(&self) -> bool {
        matches!(self.origin, Origin::Ours { .. })
    }
}

/// What the wallet holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// In blocks, and ours to spend.
    pub confirmed: Sat,
    /// In no block.
    pub unconfirmed: Sat,
    /// In blocks, and not to be spent yet.
    pub immature: Sat,
}

/// The wallet.
#[derive(Debug)]
pub struct Wallet {
    keychains: Keychains,
    coins: BTreeMap<OutPoint, Coin>,
    txs: BTreeMap<Txid, Known>,
    tip: BlockHeight,
    next_order: u64,
}

encode_fields!(Wallet { keychains, coins as foreign_keys, txs as foreign_keys, tip, next_order });

impl Wallet {
    /// An empty wallet over the signer's accounts; [`Wallet::take`] its rows, then [`Wallet::finish`].
    pub fn new(accounts: &WalletAccounts, network: Network) -> Wallet {
        Wallet {
            keychains: Keychains::new(accounts, network),
            coins: BTreeMap::new(),
            txs: BTreeMap::new(),
            tip: BlockHeight(0),
            next_order: 0,
        }
    }

    /// Takes in one row, in the order of the keys; those of other tables are passed over.
    pub fn take(&mut self, row: &Row<'_>) -> Result<(), RowError> {
        match row.table {
            Table::Address => self.keychains.take(row)?,
            Table::Utxo => {
                self.coins.insert(rows::parse_outpoint_key(row)?, row.decode()?);
            }
            Table::Transaction => {
                let value: TransactionRow = row.decode()?;
                let tx = value.tx()?;
                self.next_order = self.next_order.max(value.order + 1);
                let TransactionRow { confirmed, order, since, origin, .. } = value;
                self.txs.insert(tx.compute_txid(), Known { tx, confirmed, order, since, origin });
            }
            _ => {}
        }
        Ok(())
    }

    /// After the rows: the wallet as it was when the chain stood at `tip`.
    pub fn finish(&mut self, tip: BlockHeight) -> Result<(), RowError> {
        self.tip = tip;
        self.keychains.finish();
        if !self.coins.values().all(|coin| self.keychains.contains(coin.place)) {
            return Err(RowError::BadKey { table: Table::Address });
        }
        self.txs.retain(|_, known| !ledger::is_buried(known, tip));
        Ok(())
    }

    /// A fresh node begins at this block.
    pub fn begin(&mut self, tip: BlockHeight) {
        self.tip = tip;
    }

    /// Watches all that is ours: once after start.
    pub fn watch(&self, out: &mut dyn Sink) {
        self.keychains.watch(out);
        for outpoint in self.coins.keys() {
            out.emit(Command::Watch(Watch::Spend(*outpoint)));
        }
    }

    /// Fresh addresses to give to others.
    pub fn new_addresses(&mut self, kind: AddressKind, out: &mut dyn Sink) -> Addresses {
        let mut fresh = |wanted: bool, keychain| {
            wanted.then(|| {
                let place = self.keychains.fresh(keychain, out);
                self.keychains.script(place).to_owned()
            })
        };
        let p2tr = fresh(kind != AddressKind::P2wpkh, Keychain::P2trReceive);
        let p2wpkh = fresh(kind != AddressKind::P2tr, Keychain::P2wpkhReceive);
        Addresses { p2tr, p2wpkh }
    }

    /// A script for our own money from elsewhere: sweeps of closed channels, closings by agreement. P2TR.
    pub fn next_sweep_script(&mut self, out: &mut dyn Sink) -> ScriptBuf {
        let place = self.keychains.internal(out);
        self.keychains.script(place).to_owned()
    }

    /// Is this script ours?
    pub fn owns(&self, script: &Script) -> bool {
        self.keychains.place(script).is_some()
    }

    /// The chain as the wallet has taken it in.
    pub fn tip(&self) -> BlockHeight {
        self.tip
    }

    /// The coins, spent ones among them while their spending is not buried.
    pub fn coins(&self) -> impl Iterator<Item = (OutPoint, &Coin)> {
        self.coins.iter().map(|(outpoint, coin)| (*outpoint, coin))
    }

    fn is_reserved(&self, coin: &Coin) -> bool {
        coin.reserved_to.is_some_and(|until| until > self.tip)
    }

    /// Could the next block hold a transaction that spends it?
    fn is_mature(&self, coin: &Coin) -> bool {
        !coin.coinbase || coin.confirmed.is_some_and(|height| self.confirmations(height) >= COINBASE_MATURITY)
    }

    fn confirmations(&self, height: BlockHeight) -> u32 {
        if height > self.tip { 0 } else { self.tip.since(height) + 1 }
    }

    /// May it be spent in a transaction that asks for inputs of this depth?
    fn is_spendable(&self, coin: &Coin, min_confirmations: u32) -> bool {
        let deep = match coin.confirmed {
            Some(height) => self.confirmations(height) >= min_confirmations,
            // Somebody else's transaction may never be mined; ours we can bump.
            None => min_confirmations == 0 && coin.ours,
        };
        deep && coin.spent.is_none() && !self.is_reserved(coin) && self.is_mature(coin)
    }

    /// What the wallet holds, kept inputs included.
    pub fn balance(&self) -> Balance {
        let mut balance = Balance::default();
        for coin in self.coins.values().filter(|coin| coin.spent.is_none()) {
            let part = match coin.confirmed {
                None => &mut balance.unconfirmed,
                Some(_) if self.is_mature(coin) => &mut balance.confirmed,
                Some(_) => &mut balance.immature,
            };
            *part += coin.amount;
        }
        balance
    }

    /// The outputs as clients see them; with `spent`, also those whose spending is not buried.
    pub fn list_funds(&self, spent: bool) -> Vec<FundsOutput> {
        let shown = |coin: &&Coin| spent || coin.spent.is_none();
        let output = |(outpoint, coin): (&OutPoint, &Coin)| FundsOutput {
            outpoint: *outpoint,
            amount_sat: coin.amount,
            script: self.keychains.script(coin.place).to_owned(),
            status: match coin.confirmed {
                confirmed if coin.spent.is_some() => OutputStatus::Spent(confirmed),
                None => OutputStatus::Unconfirmed,
                Some(height) if self.is_mature(coin) => OutputStatus::Confirmed(height),
                Some(height) => OutputStatus::Immature(height),
            },
            reserved_to: coin.reserved_to.filter(|_| self.is_reserved(coin)),
        };
        self.coins.iter().filter(|(_, coin)| shown(coin)).map(output).collect()
    }

    /// The invariants above.
    pub fn check(&self) {
        for (outpoint, coin) in &self.coins {
            assert!(self.keychains.contains(coin.place), "coin {outpoint} pays a script that was never derived");
            if let Some(spent) = coin.spent {
                assert!(self.txs.contains_key(&spent.txid), "coin {outpoint} is spent by nothing");
            }
            assert!(coin.confirmed.is_some() || self.txs.contains_key(&outpoint.txid), "coin {outpoint} has no origin");
        }
    }
}
