//! What makes a transaction valid, whoever relays it.

use bitcoin::absolute::LockTime;
use bitcoin::relative::LockTime as RelativeLock;
use bitcoin::script::Instruction;
use bitcoin::{Amount, Transaction, TxOut};

use super::refused::Refused;

/// Blocks that a coinbase must be deep.
pub(super) const COINBASE_MATURITY: u32 = 100;
const MAX_BLOCK_WEIGHT: u64 = 4_000_000;
/// BIP 68: times count in units of so many seconds.
const LOCK_GRANULARITY_S: u32 = 512;

/// What can be said about a transaction alone.
pub(super) fn check_alone(tx: &Transaction) -> Result<(), Refused> {
    if tx.input.is_empty() {
        return Err(Refused::NoInputs);
    }
    if tx.output.is_empty() {
        return Err(Refused::NoOutputs);
    }
    let weight = 4 * tx.base_size() as u64;
    if weight > MAX_BLOCK_WEIGHT {
        return Err(Refused::Oversize { weight });
    }
    let mut total = Amount::ZERO;
    for (vout, output) in tx.output.iter().enumerate() {
        if output.value > Amount::MAX_MONEY {
            return Err(Refused::OutputTooLarge { vout, value_sat: output.value.to_sat() });
        }
        total = total
            .checked_add(output.value)
            .filter(|total| *total <= Amount::MAX_MONEY)
            .ok_or(Refused::TotalTooLarge)?;
    }
    let mut outpoints: Vec<_> = tx.input.iter().map(|input| input.previous_output).collect();
    outpoints.sort_unstable();
    if let Some(twice) = outpoints.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(Refused::DuplicateInput(twice[0]));
    }
    if tx.is_coinbase() {
        return Err(Refused::Coinbase);
    }
    if tx.input.iter().any(|input| input.previous_output.is_null()) {
        return Err(Refused::NullInput);
    }
    Ok(())
}

/// The block that a transaction would go into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Next {
    pub(super) height: u32,
    /// BIP 113: the median time of the blocks before it.
    pub(super) mtp_s: u32,
}

/// Has its lock time come?
pub(super) fn check_final(tx: &Transaction, next: Next) -> Result<(), Refused> {
    let is_past = match tx.lock_time {
        LockTime::Blocks(height) => height.to_consensus_u32() < next.height,
        LockTime::Seconds(time) => time.to_consensus_u32() < next.mtp_s,
    };
    if is_past || tx.input.iter().all(|input| input.sequence.is_final()) {
        return Ok(());
    }
    let lock_time = tx.lock_time.to_consensus_u32();
    Err(Refused::NonFinal { lock_time, height: next.height, mtp_s: next.mtp_s })
}

/// An output that is to be spent, and what is known of its block.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) output: TxOut,
    /// The height of its block; that of the next one if it waits itself.
    pub(super) height: u32,
    /// BIP 68: the median time of the block before that.
    pub(super) mtp_s: u32,
    pub(super) is_coinbase: bool,
}

/// Have the relative lock times come (BIP 68)?
pub(super) fn check_relative(tx: &Transaction, sources: &[Source], next: Next) -> Result<(), Refused> {
    // The version is compared without its sign, as consensus does.
    if (tx.version.0 as u32) < 2 {
        return Ok(());
    }
    for (input, (txin, source)) in tx.input.iter().zip(sources).enumerate() {
        let has_come = match txin.sequence.to_relative_lock_time() {
            None => true,
            Some(RelativeLock::Blocks(blocks)) => source.height + u32::from(blocks.value()) <= next.height,
            Some(RelativeLock::Time(time)) => source.mtp_s + u32::from(time.value()) * LOCK_GRANULARITY_S <= next.mtp_s,
        };
        if !has_come {
            return Err(Refused::NonBip68Final { input });
        }
    }
    Ok(())
}

/// Coinbases are old enough and no money is made. The answer is the fee.
pub(super) fn check_amounts(tx: &Transaction, sources: &[Source], next: Next) -> Result<u64, Refused> {
    for (input, source) in sources.iter().enumerate() {
        let depth = next.height - source.height;
        if source.is_coinbase && depth < COINBASE_MATURITY {
            return Err(Refused::Immature { input, depth });
        }
    }
    let in_sat: u64 = sources.iter().map(|source| source.output.value.to_sat()).sum();
    let out_sat: u64 = tx.output.iter().map(|output| output.value.to_sat()).sum();
    in_sat.checked_sub(out_sat).ok_or(Refused::Inflation { in_sat, out_sat })
}

/// Runs the scripts of all inputs, as the network would.
pub(super) fn check_scripts(tx: &Transaction, spent: &[TxOut]) -> Result<(), Refused> {
    use bitcoinconsensus::{Utxo, VERIFY_ALL_PRE_TAPROOT, VERIFY_TAPROOT};
    let bytes = bitcoin::consensus::serialize(tx);
    let utxos: Vec<Utxo> = spent
        .iter()
        .map(|output| Utxo {
            script_pubkey: output.script_pubkey.as_bytes().as_ptr(),
            script_pubkey_len: output.script_pubkey.len() as u32,
            value: output.value.to_sat() as i64,
        })
        .collect();
    for (input, output) in spent.iter().enumerate() {
        let script = output.script_pubkey.as_bytes();
        let flags = VERIFY_ALL_PRE_TAPROOT | VERIFY_TAPROOT;
        bitcoinconsensus::verify_with_flags(script, output.value.to_sat(), &bytes, Some(&utxos), input, flags)
            .map_err(|error| Refused::Script { input, detail: format!("{error:?}") })?;
    }
    Ok(())
}

/// The part of the relay rules for scripts that can be seen without running them: the `s` of a signature is low.
/// Of the others (minimal pushes and conditions, no failing signatures, clean stacks, unknown opcodes) nothing is
/// checked; no script that Lightning defines breaks them.
pub(super) fn check_signature_forms(tx: &Transaction) -> Result<(), Refused> {
    for (input, txin) in tx.input.iter().enumerate() {
        let pushes = txin.script_sig.instructions().filter_map(|part| match part {
            Ok(Instruction::PushBytes(bytes)) => Some(bytes.as_bytes()),
            _ => None,
        });
        for item in txin.witness.iter().chain(pushes) {
            if let Some((_, der)) = item.split_last()
                && let Ok(signature) = bitcoin::secp256k1::ecdsa::Signature::from_der(der)
            {
                let mut low = signature;
                low.normalize_s();
                if low != signature {
                    return Err(Refused::ScriptPolicy {
                        input,
                        rule: "Non-canonical signature: S value is unnecessarily high",
                    });
                }
            }
        }
    }
    Ok(())
}
