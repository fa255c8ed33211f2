//! Making transactions: which inputs, how much change, what fee.

use std::collections::BTreeSet;

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{OutPoint, Psbt, Script, ScriptBuf, Sequence, Transaction, TxIn, TxOut, VarInt};

use super::select::{Candidate, ChangeTerms, Goal, INPUTS_MAX, Selection, Shortage, fee_ceil, select, settle, usable};
use super::{Coin, Keychain, Wallet, WalletError};
use crate::amount::{MONEY_MAX, Sat};
use crate::command::Sink;
use crate::ids::BlockHeight;
use crate::request::AmountOrAll;
use crate::rng::Rng;

/// Outpoint, empty script and sequence of an input, which count four times.
const INPUT_BASE_WEIGHT: u64 = 4 * (36 + 1 + 4);
/// Count, length and one signature without sighash byte (BIP 341, key path).
const P2TR_WITNESS_WEIGHT: u64 = 1 + 1 + 64;
/// Count, length and signature of at most 72 bytes, length and key. A signature is often a byte shorter.
const P2WPKH_WITNESS_WEIGHT: u64 = 1 + 1 + 72 + 1 + 33;
/// Version and lock time, which count four times, marker and flag, and the count of inputs.
pub const TX_BASE_WEIGHT: u64 = 4 * (4 + 4) + 2 + 4;
/// Amount, length and script of a P2TR output.
pub const P2TR_OUTPUT_WEIGHT: u64 = 4 * (8 + 1 + 34);
/// One in so many transactions has an older lock time, as other wallets do it: one that was delayed does not stand out.
const OLD_LOCK_TIME_ONE_IN: u64 = 10;
/// How much older, in blocks, at most.
const OLD_LOCK_TIME_BLOCKS: u64 = 100;

/// What a transaction shall pay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pay {
    /// Exactly these.
    Outputs(Vec<TxOut>),
    /// All there is, to one script.
    AllTo(ScriptBuf),
}

/// Whence the money comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputChoice<'a> {
    /// The wallet chooses among coins of this depth. Zero allows outputs of our own transactions that are in no block.
    Any {
        /// The depth.
        min_confirmations: u32,
    },
    /// All of these, and no others.
    Exactly(&'a [OutPoint]),
}

/// A transaction to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FundSpec<'a> {
    /// What it pays.
    pub pay: Pay,
    /// Satoshi per 1,000 weight units.
    pub feerate_per_kw: u32,
    /// Whence.
    pub inputs: InputChoice<'a>,
    /// What must remain in the wallet: [`super::anchor_reserve`], or nothing.
    pub emergency_reserve: Sat,
    /// For how many blocks to keep the inputs; zero: not at all.
    pub reserve_blocks: u32,
}

/// What a transaction would be; nothing has happened yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Its inputs.
    pub inputs: Vec<OutPoint>,
    /// What it pays; with [`Pay::AllTo`] the amount is that which is possible.
    pub outputs: Vec<TxOut>,
    /// What comes back.
    pub change: Option<Sat>,
    /// Its fee.
    pub fee: Sat,
    /// Its weight once signed, at most.
    pub weight: u64,
}

/// A transaction that is ready to be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Funded {
    /// The transaction, with what the signer needs.
    pub psbt: Psbt,
    /// Where the outputs asked for stand, in the order in which they were asked for.
    pub outputs_at: Vec<u32>,
    /// Where the change stands.
    pub change_at: Option<u32>,
    /// Its fee.
    pub fee: Sat,
    /// Its weight once signed, at most.
    pub weight: u64,
}

/// What coins alone are to be chosen for: somebody else makes the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CoinsFor<'a> {
    pub(super) amount: AmountOrAll,
    pub(super) feerate_per_kw: u32,
    pub(super) inputs: InputChoice<'a>,
    pub(super) base_weight: u64,
    pub(super) min_witness_weight: u64,
    pub(super) change: Option<ChangeTerms>,
    pub(super) emergency_reserve: Sat,
}

/// Coins that were chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) inputs: Vec<OutPoint>,
    /// What is left for outputs other than change.
    pub(super) amount: Sat,
    pub(super) change: Option<Sat>,
    pub(super) fee: Sat,
    pub(super) weight: u64,
}

/// Weight of outputs, with their count.
fn outputs_weight(outputs: &[TxOut]) -> u64 {
    let count = VarInt(outputs.len() as u64).size() as u64;
    4 * count + outputs.iter().map(|output| output.weight().to_wu()).sum::<u64>()
}

/// The least amount that is relayed to this script.
pub fn dust_limit(script: &Script) -> Sat {
    script.minimal_non_dust().into()
}

/// Change must be relayed, and worth more than it costs to spend.
pub(super) fn change_terms(feerate_per_kw: u32, outputs_before: usize) -> ChangeTerms {
    let longer_count = VarInt(outputs_before as u64 + 1).size() - VarInt(outputs_before as u64).size();
    let spend = fee_ceil(feerate_per_kw, INPUT_BASE_WEIGHT + P2TR_WITNESS_WEIGHT);
    // A P2TR output below 330 satoshi is dust at Bitcoin Core's default of 3 sat/vB.
    ChangeTerms { weight: P2TR_OUTPUT_WEIGHT + 4 * longer_count as u64, minimum: spend.max(Sat(330)) }
}

/// A coin, for the choice.
pub(super) fn candidate(coin: &Coin, min_witness_weight: u64) -> Candidate {
    let witness = if coin.place.keychain.is_p2tr() { P2TR_WITNESS_WEIGHT } else { P2WPKH_WITNESS_WEIGHT };
    Candidate { amount: coin.amount, weight: INPUT_BASE_WEIGHT + witness.max(min_witness_weight) }
}

fn short(Shortage { needed, available }: Shortage) -> WalletError {
    WalletError::CannotAfford { needed, available }
}

fn shuffle<T>(items: &mut [T], rng: &mut Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, rng.below(last as u64 + 1) as usize);
    }
}

impl Wallet {
    /// The coins that may be chosen from.
    pub(super) fn candidates(&self, choice: InputChoice<'_>) -> Result<Vec<(OutPoint, Coin)>, WalletError> {
        let outpoints = match choice {
            InputChoice::Any { min_confirmations } => {
                let usable = self.coins.iter().filter(|(_, coin)| self.is_spendable(coin, min_confirmations));
                return Ok(usable.map(|(outpoint, coin)| (*outpoint, *coin)).collect());
            }
            InputChoice::Exactly(outpoints) => outpoints,
        };
        let distinct: BTreeSet<&OutPoint> = outpoints.iter().collect();
        if outpoints.is_empty() || outpoints.len() > INPUTS_MAX || distinct.len() != outpoints.len() {
            return Err(WalletError::BadInputs);
        }
        let named = |&outpoint: &OutPoint| {
            let coin = *self.coins.get(&outpoint).ok_or(WalletError::UnknownInput(outpoint))?;
            match coin.reserved_to {
                _ if coin.spent.is_some() => Err(WalletError::Spent(outpoint)),
                Some(reserved_to) if reserved_to > self.tip => Err(WalletError::Reserved { outpoint, reserved_to }),
                _ if !self.is_mature(&coin) => Err(WalletError::Immature(outpoint)),
                _ => Ok((outpoint, coin)),
            }
        };
        outpoints.iter().map(named).collect()
    }

    /// What stays spendable when these are spent.
    fn others(&self, spent: &[OutPoint]) -> Sat {
        let free = self.coins.iter().filter(|(_, coin)| self.is_spendable(coin, 0));
        let all: Sat = free.clone().map(|(_, coin)| coin.amount).sum();
        let taken: BTreeSet<&OutPoint> = spent.iter().collect();
        let of_these: Sat = free.filter(|(outpoint, _)| taken.contains(outpoint)).map(|(_, coin)| coin.amount).sum();
        all - of_these
    }

    /// Chooses coins.
    pub(super) fn choose(&self, wanted: &CoinsFor<'_>) -> Result<Chosen, WalletError> {
        let coins = self.candidates(wanted.inputs)?;
        let candidates: Vec<Candidate> =
            coins.iter().map(|(_, coin)| candidate(coin, wanted.min_witness_weight)).collect();
        let goal = |outputs, change| Goal {
            feerate_per_kw: wanted.feerate_per_kw,
            outputs,
            base_weight: wanted.base_weight,
            change,
        };
        let outpoints =
            |selection: &Selection| selection.chosen.iter().map(|&index| coins[index].0).collect::<Vec<OutPoint>>();
        let all: Vec<usize> = (0..coins.len()).collect();
        match wanted.amount {
            AmountOrAll::Amount(amount) => {
                if amount > MONEY_MAX {
                    return Err(WalletError::CannotAfford { needed: amount, available: self.others(&[]) });
                }
                let goal = goal(amount, wanted.change);
                let selection = match wanted.inputs {
                    InputChoice::Any { .. } => select(&candidates, &goal),
                    InputChoice::Exactly(_) => settle(&candidates, all, &goal),
                };
                let Selection { change, fee, weight, .. } = *selection.as_ref().map_err(|error| short(*error))?;
                let inputs = selection.as_ref().map(outpoints).unwrap_or_default();
                let held: Sat = inputs.iter().map(|outpoint| self.coins[outpoint].amount).sum();
                let left = self.others(&inputs) + change.unwrap_or(Sat::ZERO);
                if left < wanted.emergency_reserve {
                    return Err(WalletError::EmergencyReserve { reserve: wanted.emergency_reserve, left });
                }
                Ok(Chosen { inputs, amount: held - fee - change.unwrap_or(Sat::ZERO), change, fee, weight })
            }
            AmountOrAll::All => {
                let chosen = match wanted.inputs {
                    InputChoice::Any { .. } => usable(&candidates, wanted.feerate_per_kw),
                    InputChoice::Exactly(_) => all,
                };
                let inputs: Vec<OutPoint> = chosen.iter().map(|&index| coins[index].0).collect();
                let missing = wanted.emergency_reserve.saturating_sub(self.others(&inputs));
                let terms = change_terms(wanted.feerate_per_kw, 1);
                let kept = (missing > Sat::ZERO).then(|| missing.max(terms.minimum));
                let mut goal = goal(kept.unwrap_or(Sat::ZERO), None);
                goal.base_weight += kept.map_or(0, |_| terms.weight);
                let Selection { fee, weight, .. } = settle(&candidates, chosen, &goal).map_err(short)?;
                let held: Sat = inputs.iter().map(|outpoint| self.coins[outpoint].amount).sum();
                let amount = held - fee - kept.unwrap_or(Sat::ZERO);
                Ok(Chosen { inputs, amount, change: kept, fee, weight })
            }
        }
    }

    /// What a transaction would be, without making it: for instance what "all" comes to.
    pub fn plan(&self, spec: &FundSpec<'_>) -> Result<Plan, WalletError> {
        let (mut outputs, amount) = match &spec.pay {
            Pay::Outputs(outputs) => {
                let sum = outputs.iter().try_fold(Sat::ZERO, |sum, output| sum.checked_add(output.value.into()));
                (outputs.clone(), AmountOrAll::Amount(sum.unwrap_or(Sat(u64::MAX))))
            }
            Pay::AllTo(script) => {
                let output = TxOut { value: bitcoin::Amount::ZERO, script_pubkey: script.clone() };
                (vec![output], AmountOrAll::All)
            }
        };
        if matches!(spec.pay, Pay::Outputs(_)) {
            outputs.iter().try_for_each(check_dust)?;
        }
        let chosen = self.choose(&CoinsFor {
            amount,
            feerate_per_kw: spec.feerate_per_kw,
            inputs: spec.inputs,
            base_weight: TX_BASE_WEIGHT + outputs_weight(&outputs),
            min_witness_weight: 0,
            change: Some(change_terms(spec.feerate_per_kw, outputs.len())),
            emergency_reserve: spec.emergency_reserve,
        })?;
        let Chosen { inputs, amount, change, mut fee, weight } = chosen;
        if let Pay::AllTo(_) = spec.pay {
            outputs[0].value = amount.to_amount();
            check_dust(&outputs[0])?;
        } else {
            // What is too little for change goes to the miners.
            fee = inputs.iter().map(|outpoint| self.coins[outpoint].amount).sum::<Sat>()
                - outputs.iter().map(|output| Sat::from(output.value)).sum::<Sat>()
                - change.unwrap_or(Sat::ZERO);
        }
        Ok(Plan { inputs, outputs, change, fee, weight })
    }

    /// Makes a transaction, ready to be signed.
    pub fn fund(&mut self, spec: &FundSpec<'_>, rng: &mut Rng, out: &mut dyn Sink) -> Result<Funded, WalletError> {
        let Plan { mut inputs, outputs, change, fee, weight } = self.plan(spec)?;
        let change = change.map(|amount| self.change_output(amount, out));
        shuffle(&mut inputs, rng);
        // Outputs in random order; what was asked for keeps its number, change has the last.
        let mut numbered: Vec<(usize, TxOut)> = outputs.into_iter().chain(change).enumerate().collect();
        let count = numbered.len();
        let asked = match &spec.pay {
            Pay::Outputs(outputs) => outputs.len(),
            Pay::AllTo(_) => 1,
        };
        shuffle(&mut numbered, rng);
        let mut places = vec![0; count];
        for (at, (number, _)) in numbered.iter().enumerate() {
            places[*number] = at as u32;
        }
        let change_at = places.get(asked).copied();
        places.truncate(asked);
        let lock_time = self.lock_time(rng);
        let psbt = self.unsigned(&inputs, numbered.into_iter().map(|(_, output)| output).collect(), lock_time);
        self.keep(&inputs, spec.reserve_blocks, out);
        Ok(Funded { psbt, outputs_at: places, change_at, fee, weight })
    }

    /// A fresh output for change.
    pub(super) fn change_output(&mut self, amount: Sat, out: &mut dyn Sink) -> TxOut {
        let place = self.keychains.internal(out);
        debug_assert_eq!(place.keychain, Keychain::P2trChange);
        TxOut { value: amount.to_amount(), script_pubkey: self.keychains.script(place).to_owned() }
    }

    /// A lock time at the tip takes away what a miner gains from mining the last block again.
    pub(super) fn lock_time(&self, rng: &mut Rng) -> LockTime {
        let back = if rng.below(OLD_LOCK_TIME_ONE_IN) == 0 { rng.below(OLD_LOCK_TIME_BLOCKS) } else { 0 };
        let BlockHeight(height) = self.tip;
        LockTime::from_height(height.saturating_sub(back as u32)).expect("no height comes near 500,000,000")
    }

    /// The transaction, with all that the signer needs to know of our inputs and of our outputs.
    pub(super) fn unsigned(&self, inputs: &[OutPoint], outputs: Vec<TxOut>, lock_time: LockTime) -> Psbt {
        let input = |outpoint: &OutPoint| TxIn {
            previous_output: *outpoint,
            script_sig: ScriptBuf::new(),
            // BIP 125: may be replaced; and the lock time counts.
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: bitcoin::Witness::new(),
        };
        let tx = Transaction {
            version: Version::TWO,
            lock_time,
            input: inputs.iter().map(input).collect(),
            output: outputs,
        };
        let mut psbt = Psbt::from_unsigned_tx(tx).expect("no input has a script or a witness");
        self.describe(&mut psbt);
        psbt
    }
}

/// Refuses an output that would not be relayed.
fn check_dust(output: &TxOut) -> Result<(), WalletError> {
    let minimum = dust_limit(&output.script_pubkey);
    let amount = output.value.into();
    if amount < minimum { Err(WalletError::Dust { amount, minimum }) } else { Ok(()) }
}
