//! What clients do with PSBTs: keep inputs, fund, sign, send. And `withdraw`, which does all of it at once.

use bitcoin::absolute::LockTime;
use bitcoin::psbt::Input;
use bitcoin::{OutPoint, Psbt, Transaction, TxOut, Witness};

use super::fund::{Chosen, CoinsFor, FundSpec, Funded, InputChoice, Pay, change_terms};
use super::{Wallet, WalletError};
use crate::amount::Sat;
use crate::command::Sink;
use crate::ids::BlockHeight;
use crate::request::AmountOrAll;
use crate::request::wallet::{
    FundPsbt, PsbtBytes, PsbtFunded, PsbtSent, Reservation, ReserveInputs, SendPsbt, SignPsbt, UnreserveInputs,
    Withdraw, Withdrawn,
};
use crate::rng::Rng;
use crate::signer::Signer;

/// 10,000 sat/vB: nobody has ever paid that on purpose.
const FEERATE_ABSURD_PER_KW: u64 = 2_500_000;

fn parse(psbt: &PsbtBytes) -> Result<Psbt, WalletError> {
    psbt.parse().map_err(|error| WalletError::BadPsbt(error.to_string()))
}

fn inputs_of(psbt: &Psbt) -> Vec<OutPoint> {
    psbt.unsigned_tx.input.iter().map(|input| input.previous_output).collect()
}

/// The witness of one input, if it is there or its signature is.
fn witness(input: &Input) -> Option<Witness> {
    if let Some(witness) = &input.final_script_witness {
        return Some(witness.clone());
    }
    if let Some(signature) = &input.tap_key_sig {
        return Some(Witness::p2tr_key_spend(signature));
    }
    let (key, signature) = input.partial_sigs.first_key_value()?;
    let p2wpkh = input.witness_utxo.as_ref().is_some_and(|output| output.script_pubkey.is_p2wpkh());
    (p2wpkh && input.partial_sigs.len() == 1).then(|| Witness::p2wpkh(signature, &key.inner))
}

/// Turns signatures into witnesses.
pub fn finalize(psbt: &mut Psbt) {
    for input in &mut psbt.inputs {
        let Some(witness) = witness(input) else { continue };
        // BIP 174, finalizer: what was needed to sign goes, what was spent stays.
        *input = Input {
            witness_utxo: input.witness_utxo.take(),
            non_witness_utxo: input.non_witness_utxo.take(),
            final_script_sig: input.final_script_sig.take(),
            final_script_witness: Some(witness),
            unknown: std::mem::take(&mut input.unknown),
            ..Input::default()
        };
    }
}

/// What an input spends, as far as the PSBT says.
fn spent_output(psbt: &Psbt, index: usize) -> Option<&TxOut> {
    let input = &psbt.inputs[index];
    let vout = psbt.unsigned_tx.input[index].previous_output.vout as usize;
    input.witness_utxo.as_ref().or_else(|| input.non_witness_utxo.as_ref()?.output.get(vout))
}

/// The complete transaction of a PSBT.
pub fn extract(psbt: &Psbt) -> Result<Transaction, WalletError> {
    let mut psbt = psbt.clone();
    finalize(&mut psbt);
    let unfinished = |input: &Input| input.final_script_witness.is_none() && input.final_script_sig.is_none();
    if let Some(index) = psbt.inputs.iter().position(unfinished) {
        return Err(WalletError::Unfinished(index as u32));
    }
    let spent: Option<u64> = (0..psbt.inputs.len())
        .map(|index| spent_output(&psbt, index).map(|output| output.value.to_sat()))
        .try_fold(0_u64, |sum, amount| sum.checked_add(amount?));
    let mut tx = psbt.unsigned_tx;
    for (txin, input) in tx.input.iter_mut().zip(psbt.inputs) {
        txin.script_sig = input.final_script_sig.unwrap_or_default();
        txin.witness = input.final_script_witness.unwrap_or_default();
    }
    let paid = tx.output.iter().try_fold(0_u64, |sum, output| sum.checked_add(output.value.to_sat()));
    if let Some(fee) = spent.zip(paid).and_then(|(spent, paid)| spent.checked_sub(paid)) {
        let weight = tx.weight().to_wu();
        if fee > weight * FEERATE_ABSURD_PER_KW / 1000 {
            return Err(WalletError::AbsurdFee { fee: Sat(fee), weight });
        }
    }
    Ok(tx)
}

impl Wallet {
    /// Writes into a PSBT what we know of our inputs and outputs. What we know stands over what others claim: an amount
    /// that lies would be paid as a fee.
    pub(super) fn describe(&self, psbt: &mut Psbt) {
        for (txin, input) in psbt.unsigned_tx.input.iter().zip(&mut psbt.inputs) {
            let Some(coin) = self.coins.get(&txin.previous_output) else { continue };
            if input.final_script_witness.is_some() {
                continue;
            }
            let script_pubkey = self.keychains.script(coin.place).to_owned();
            input.witness_utxo = Some(TxOut { value: coin.amount.to_amount(), script_pubkey });
            let (key, source) = self.keychains.origin(coin.place);
            if coin.place.keychain.is_p2tr() {
                let key = key.x_only_public_key().0;
                input.tap_internal_key = Some(key);
                input.tap_key_origins.insert(key, (Vec::new(), source));
            } else {
                input.bip32_derivation.insert(key, source);
            }
        }
        for (txout, output) in psbt.unsigned_tx.output.iter().zip(&mut psbt.outputs) {
            let Some(place) = self.keychains.place(&txout.script_pubkey) else { continue };
            let (key, source) = self.keychains.origin(place);
            if place.keychain.is_p2tr() {
                let key = key.x_only_public_key().0;
                output.tap_internal_key = Some(key);
                output.tap_key_origins.insert(key, (Vec::new(), source));
            } else {
                output.bip32_derivation.insert(key, source);
            }
        }
    }

    /// Keeps inputs for somebody for `blocks` more blocks; those that are not ours are passed over.
    pub fn keep(&mut self, inputs: &[OutPoint], blocks: u32, out: &mut dyn Sink) -> Vec<Reservation> {
        if blocks == 0 {
            return Vec::new();
        }
        let tip = self.tip;
        let mut reservations = Vec::new();
        for &outpoint in inputs {
            let Some(coin) = self.coins.get_mut(&outpoint) else { continue };
            let before = coin.reserved_to.filter(|until| *until > tip);
            let until = before.unwrap_or(tip).plus(blocks);
            coin.reserved_to = Some(until);
            reservations.push(Reservation { outpoint, was_reserved: before.is_some(), reserved_to: Some(until) });
            self.put_coin(outpoint, out);
        }
        reservations
    }

    /// Shortens by `blocks` for how long inputs are kept.
    pub fn release(&mut self, inputs: &[OutPoint], blocks: u32, out: &mut dyn Sink) -> Vec<Reservation> {
        let tip = self.tip;
        let mut reservations = Vec::new();
        for &outpoint in inputs {
            let Some(coin) = self.coins.get_mut(&outpoint) else { continue };
            let before = coin.reserved_to.filter(|until| *until > tip);
            let after = before.map(|until| BlockHeight(until.0.saturating_sub(blocks))).filter(|until| *until > tip);
            let changed = coin.reserved_to != after;
            coin.reserved_to = after;
            reservations.push(Reservation { outpoint, was_reserved: before.is_some(), reserved_to: after });
            if changed {
                self.put_coin(outpoint, out);
            }
        }
        reservations
    }

    /// `reserveinputs`.
    pub fn reserve_inputs(
        &mut self,
        request: &ReserveInputs,
        out: &mut dyn Sink,
    ) -> Result<Vec<Reservation>, WalletError> {
        let inputs = inputs_of(&parse(&request.psbt)?);
        for &outpoint in &inputs {
            let Some(coin) = self.coins.get(&outpoint) else { continue };
            if coin.spent.is_some() {
                return Err(WalletError::Spent(outpoint));
            }
            if let Some(reserved_to) = coin.reserved_to.filter(|until| request.exclusive && *until > self.tip) {
                return Err(WalletError::Reserved { outpoint, reserved_to });
            }
        }
        Ok(self.keep(&inputs, request.blocks, out))
    }

    /// `unreserveinputs`.
    pub fn unreserve_inputs(
        &mut self,
        request: &UnreserveInputs,
        out: &mut dyn Sink,
    ) -> Result<Vec<Reservation>, WalletError> {
        let inputs = inputs_of(&parse(&request.psbt)?);
        Ok(self.release(&inputs, request.blocks, out))
    }

    /// `fundpsbt`: a PSBT with inputs of ours, to which the client adds what it wants to pay.
    pub fn fund_psbt(
        &mut self,
        request: &FundPsbt,
        feerate_per_kw: u32,
        emergency_reserve: Sat,
        rng: &mut Rng,
        out: &mut dyn Sink,
    ) -> Result<PsbtFunded, WalletError> {
        let emergency_reserve = if request.opening_anchor_channel { emergency_reserve } else { Sat::ZERO };
        let chosen = self.choose(&CoinsFor {
            amount: request.amount,
            feerate_per_kw,
            inputs: InputChoice::Any { min_confirmations: request.min_confirmations },
            base_weight: u64::from(request.start_weight),
            min_witness_weight: u64::from(request.min_witness_weight),
            change: request.excess_as_change.then(|| change_terms(feerate_per_kw, 1)),
            emergency_reserve,
        })?;
        let Chosen { inputs, amount, change, weight, .. } = chosen;
        let excess = match request.amount {
            AmountOrAll::Amount(wanted) => amount.saturating_sub(wanted),
            AmountOrAll::All => amount,
        };
        let outputs: Vec<TxOut> = change.map(|amount| self.change_output(amount, out)).into_iter().collect();
        let change_output = change.map(|_| 0);
        let lock_time = match request.locktime {
            Some(lock_time) => LockTime::from_consensus(lock_time),
            None => self.lock_time(rng),
        };
        let psbt = self.unsigned(&inputs, outputs, lock_time);
        let reservations = self.keep(&inputs, request.reserve_blocks, out);
        Ok(PsbtFunded {
            psbt: PsbtBytes::from(&psbt),
            feerate_per_kw,
            estimated_final_weight: u32::try_from(weight).unwrap_or(u32::MAX),
            excess_msat: excess.to_msat(),
            change_output,
            reservations,
        })
    }

    /// Signs our inputs, or those of them that are named, and tells how many those are.
    pub fn sign(
        &self,
        psbt: &mut Psbt,
        sign_only: Option<&[u32]>,
        signer: &mut dyn Signer,
    ) -> Result<usize, WalletError> {
        if let Some(&index) = sign_only.and_then(|only| only.iter().find(|index| **index as usize >= psbt.inputs.len()))
        {
            return Err(WalletError::NoSuchInput(index));
        }
        self.describe(psbt);
        let mut signed = psbt.clone();
        let mut count = signer.sign_psbt(&mut signed)?;
        if let Some(only) = sign_only {
            for (index, (new, old)) in signed.inputs.iter_mut().zip(&psbt.inputs).enumerate() {
                if !only.contains(&(index as u32)) && new != old {
                    *new = old.clone();
                    count -= 1;
                }
            }
        }
        *psbt = signed;
        Ok(count)
    }

    /// `signpsbt`.
    pub fn sign_psbt(&self, request: &SignPsbt, signer: &mut dyn Signer) -> Result<PsbtBytes, WalletError> {
        let mut psbt = parse(&request.psbt)?;
        if self.sign(&mut psbt, request.sign_only.as_deref(), signer)? == 0 {
            return Err(WalletError::NothingToSign);
        }
        finalize(&mut psbt);
        Ok(PsbtBytes::from(&psbt))
    }

    /// `sendpsbt`: the transaction is on its way when this returns; how the backend takes it comes later, by its txid.
    pub fn send_psbt(&mut self, request: &SendPsbt, out: &mut dyn Sink) -> Result<PsbtSent, WalletError> {
        let psbt = parse(&request.psbt)?;
        let tx = extract(&psbt)?;
        self.keep(&inputs_of(&psbt), request.reserve_blocks, out);
        self.broadcast(&tx, "sendpsbt", out);
        Ok(PsbtSent { tx })
    }

    /// `withdraw`: the transaction is on its way when this returns; how the backend takes it comes later, by its txid.
    pub fn withdraw(
        &mut self,
        request: &Withdraw,
        feerate_per_kw: u32,
        emergency_reserve: Sat,
        signer: &mut dyn Signer,
        rng: &mut Rng,
        out: &mut dyn Sink,
    ) -> Result<Withdrawn, WalletError> {
        let script_pubkey = request.destination.clone();
        let spec = FundSpec {
            pay: match request.amount {
                AmountOrAll::Amount(amount) => Pay::Outputs(vec![TxOut { value: amount.to_amount(), script_pubkey }]),
                AmountOrAll::All => Pay::AllTo(script_pubkey),
            },
            feerate_per_kw,
            inputs: match &request.utxos {
                Some(utxos) => InputChoice::Exactly(utxos),
                None => InputChoice::Any { min_confirmations: request.min_confirmations },
            },
            emergency_reserve,
            reserve_blocks: 0,
        };
        let Funded { mut psbt, .. } = self.fund(&spec, rng, out)?;
        self.sign(&mut psbt, None, signer)?;
        finalize(&mut psbt);
        let tx = extract(&psbt)?;
        self.broadcast(&tx, "withdraw", out);
        Ok(Withdrawn { tx, psbt: PsbtBytes::from(&psbt) })
    }
}
