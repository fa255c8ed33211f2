//! What is relayed among what would be valid: bitcoind's standardness.

use std::collections::BTreeMap;

use bitcoin::blockdata::opcodes::all::OP_CHECKMULTISIG;
use bitcoin::script::{Instruction, PushBytes};
use bitcoin::{Script, ScriptBuf, Transaction, TxOut, Witness};

use super::policy::Policy;
use super::pool::fee_at;
use super::refused::Refused;

const MAX_VERSION: i32 = 3;
const MAX_SCRIPT_SIG: usize = 1_650;
const MIN_SIZE: usize = 65;
/// How many outputs may be dust, if the rules of ephemeral dust are kept.
const MAX_DUST_OUTPUTS: usize = 1;
const MAX_P2SH_SIGOPS: usize = 15;
const MAX_SIGOPS_COST: u64 = 16_000;
/// A signature operation counts as so many bytes.
const BYTES_PER_SIGOP: u64 = 20;
const MAX_WITNESS_SCRIPT: usize = 3_600;
const MAX_WITNESS_ITEMS: usize = 100;
const MAX_WITNESS_ITEM: usize = 80;
const TAPROOT_ANNEX: u8 = 0x50;
const TAPROOT_LEAF_MASK: u8 = 0xfe;
const TAPSCRIPT: u8 = 0xc0;

/// Kinds of output scripts, as far as policy tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    PubkeyOrHash,
    ScriptHash,
    Multisig,
    Data,
    Anchor,
    WitnessV0,
    Taproot,
    UnknownWitness,
    NonStandard,
}

fn kind(script: &Script) -> Kind {
    if script.is_p2sh() {
        Kind::ScriptHash
    } else if is_anchor(script) {
        Kind::Anchor
    } else if script.is_p2wpkh() || script.is_p2wsh() {
        Kind::WitnessV0
    } else if script.is_p2tr() {
        Kind::Taproot
    } else if let Some(version) = script.witness_version() {
        // Version 0 has two lengths that mean something; all others are errors when they are spent.
        if version.to_num() == 0 { Kind::NonStandard } else { Kind::UnknownWitness }
    } else if script.is_op_return() {
        if pushes_only(&script.as_bytes()[1..]) { Kind::Data } else { Kind::NonStandard }
    } else if script.is_p2pkh() || script.is_p2pk() {
        Kind::PubkeyOrHash
    } else if is_small_multisig(script) {
        Kind::Multisig
    } else {
        Kind::NonStandard
    }
}

/// An output that anyone can spend without a witness (pay to anchor).
pub(super) fn is_anchor(script: &Script) -> bool {
    script.as_bytes() == [0x51, 0x02, 0x4e, 0x73]
}

fn pushes_only(script: &[u8]) -> bool {
    Script::from_bytes(script).is_push_only()
}

/// At most three keys, as policy wants it.
fn is_small_multisig(script: &Script) -> bool {
    let bytes = script.as_bytes();
    let (Some(first), Some([count, last])) = (bytes.first(), bytes.last_chunk::<2>()) else {
        return false;
    };
    let number = |opcode: u8| usize::from(opcode.wrapping_sub(0x50));
    let keys = bytes.get(1..bytes.len() - 2).unwrap_or(&[]);
    let keys: Result<Vec<Instruction<'_>>, _> = Script::from_bytes(keys).instructions().collect();
    let is_key = |key: &PushBytes| matches!((key.len(), key.as_bytes().first()), (33, Some(2 | 3)) | (65, Some(4)));
    *last == OP_CHECKMULTISIG.to_u8()
        && (1..=3).contains(&number(*count))
        && (1..=number(*count)).contains(&number(*first))
        && keys.is_ok_and(|keys| {
            keys.len() == number(*count) && keys.iter().all(|key| key.push_bytes().is_some_and(is_key))
        })
}

/// Below this value an output costs more to spend than it is worth.
pub fn dust_limit_sat(script: &Script, per_kvb: u64) -> u64 {
    if script.is_op_return() || script.len() > 10_000 {
        return 0;
    }
    // An input's outpoint, sequence and length, with a signature and a key; witnesses count a quarter.
    let spending = if script.is_witness_program() { 32 + 4 + 1 + 107 / 4 + 4 } else { 32 + 4 + 1 + 107 + 4 };
    let output = 8 + bitcoin::VarInt::from(script.len()).size() as u64 + script.len() as u64;
    fee_at(per_kvb, output + spending)
}

/// Is this output dust?
pub(super) fn is_dust(output: &TxOut, policy: &Policy) -> bool {
    output.value.to_sat() < dust_limit_sat(&output.script_pubkey, policy.dust_per_kvb)
}

/// Which outputs are dust.
pub(super) fn dust_outputs(tx: &Transaction, policy: &Policy) -> impl Iterator<Item = u32> {
    (0..).zip(&tx.output).filter(|(_, output)| is_dust(output, policy)).map(|(vout, _)| vout)
}

/// What can be said about a transaction alone.
pub(super) fn check_alone(tx: &Transaction, policy: &Policy) -> Result<(), Refused> {
    if !(1..=MAX_VERSION).contains(&tx.version.0) {
        return Err(Refused::Version(tx.version.0));
    }
    let weight = tx.weight().to_wu();
    if weight > policy.max_weight {
        return Err(Refused::Weight { weight, limit: policy.max_weight });
    }
    for (input, txin) in tx.input.iter().enumerate() {
        let size = txin.script_sig.len();
        if size > MAX_SCRIPT_SIG {
            return Err(Refused::ScriptSigSize { input, size });
        }
        if !txin.script_sig.is_push_only() {
            return Err(Refused::ScriptSigNotPushOnly { input });
        }
    }
    let mut data = 0;
    for (vout, output) in tx.output.iter().enumerate() {
        match kind(&output.script_pubkey) {
            Kind::NonStandard => return Err(Refused::OutputScript { vout }),
            Kind::Data if output.script_pubkey.len() > policy.max_data_script => {
                return Err(Refused::OutputScript { vout });
            }
            Kind::Data => data += 1,
            Kind::Multisig if !policy.permit_bare_multisig => return Err(Refused::BareMultisig { vout }),
            _ => {}
        }
    }
    let outputs = dust_outputs(tx, policy).count();
    if outputs > MAX_DUST_OUTPUTS {
        return Err(Refused::Dust { outputs, limit: MAX_DUST_OUTPUTS });
    }
    if data > 1 {
        return Err(Refused::MultiOpReturn { count: data });
    }
    Ok(())
}

/// It could be mistaken for a node of the merkle tree (CVE-2017-12842).
pub(super) fn check_size(tx: &Transaction) -> Result<(), Refused> {
    let size = tx.base_size();
    if size < MIN_SIZE { Err(Refused::TooSmall { size }) } else { Ok(()) }
}

/// What can be said once it is known what it spends.
pub(super) fn check_inputs(tx: &Transaction, spent: &[TxOut]) -> Result<(), Refused> {
    for (input, (txin, output)) in tx.input.iter().zip(spent).enumerate() {
        let is_fine = match kind(&output.script_pubkey) {
            Kind::NonStandard | Kind::UnknownWitness => false,
            Kind::ScriptHash => {
                last_push(&txin.script_sig).is_some_and(|redeem| redeem.count_sigops() <= MAX_P2SH_SIGOPS)
            }
            _ => true,
        };
        if !is_fine {
            return Err(Refused::InputNonStandard { input });
        }
    }
    for (input, (txin, output)) in tx.input.iter().zip(spent).enumerate() {
        if !txin.witness.is_empty() && !is_standard_witness(&txin.script_sig, &txin.witness, &output.script_pubkey) {
            return Err(Refused::WitnessNonStandard { input });
        }
    }
    Ok(())
}

/// What a `scriptSig` pushes last: the redeem script, where the output asks for one.
fn last_push(script_sig: &Script) -> Option<ScriptBuf> {
    match script_sig.instructions().last()?.ok()? {
        Instruction::PushBytes(bytes) => Some(ScriptBuf::from_bytes(bytes.as_bytes().to_vec())),
        Instruction::Op(_) => Some(ScriptBuf::new()),
    }
}

fn is_standard_witness(script_sig: &Script, witness: &Witness, script: &Script) -> bool {
    if is_anchor(script) {
        return false;
    }
    let redeem = if script.is_p2sh() { last_push(script_sig) } else { Some(script.to_owned()) };
    let Some(program) = redeem else {
        return false;
    };
    let items = witness.len();
    let is_small = |item: &[u8]| item.len() <= MAX_WITNESS_ITEM;
    if program.is_p2wsh() {
        witness.last().is_some_and(|script| script.len() <= MAX_WITNESS_SCRIPT)
            && items - 1 <= MAX_WITNESS_ITEMS
            && witness.iter().take(items - 1).all(is_small)
    } else if program.is_p2tr() && !script.is_p2sh() {
        let last = witness.last().unwrap_or(&[]);
        if items >= 2 && last.first() == Some(&TAPROOT_ANNEX) {
            return false;
        }
        // A path through the script tree ends with the script and the control block.
        let is_tapscript = last.first().is_some_and(|first| first & TAPROOT_LEAF_MASK == TAPSCRIPT);
        match items {
            1 => true,
            _ if last.is_empty() => false,
            _ if is_tapscript => witness.iter().take(items - 2).all(is_small),
            _ => true,
        }
    } else {
        program.is_witness_program()
    }
}

/// What its signature operations cost, and its size as policy counts it: many of them make it larger.
pub(super) fn vsize(tx: &Transaction, spent: &[TxOut]) -> Result<u64, Refused> {
    let outputs: BTreeMap<_, _> = tx.input.iter().map(|input| input.previous_output).zip(spent).collect();
    let output = |outpoint: &bitcoin::OutPoint| outputs.get(outpoint).map(|output| TxOut::clone(output));
    let cost = tx.total_sigop_cost(output) as u64;
    if cost > MAX_SIGOPS_COST {
        return Err(Refused::SigOps { cost, limit: MAX_SIGOPS_COST });
    }
    Ok(tx.weight().to_wu().max(cost * BYTES_PER_SIGOP).div_ceil(4))
}

/// The feerate that relaying this size costs at least.
pub(super) fn relay_fee(policy: &Policy, vsize: u64) -> u64 {
    fee_at(policy.min_relay_per_kvb, vsize)
}
