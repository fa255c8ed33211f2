//! BIP 143 digests by hand: the parts that are the same for hundreds of inputs are hashed once.

use bitcoin::hashes::{Hash, HashEngine, sha256d};
use bitcoin::{EcdsaSighashType, OutPoint, Sequence, Transaction, Txid};
use secp256k1::Message;

use crate::amount::Sat;

/// The version of every transaction of a channel.
pub(crate) const VERSION: i32 = 2;

/// One input as BIP 143 commits to it.
pub(crate) struct Input<'a> {
    pub(crate) outpoint: OutPoint,
    pub(crate) sequence: Sequence,
    pub(crate) script_code: &'a [u8],
    pub(crate) amount: Sat,
}

fn outpoint(engine: &mut impl HashEngine, outpoint: &OutPoint) {
    engine.input(outpoint.txid.as_byte_array());
    engine.input(&outpoint.vout.to_le_bytes());
}

/// The digest of the only input of a version 2 transaction whose outputs serialise to `outputs`. With `SINGLE` the
/// caller passes the one output of the same index.
pub(crate) fn single_input(input: &Input<'_>, outputs: &[u8], lock_time: u32, sighash: EcdsaSighashType) -> Message {
    let (mut prevouts, mut sequences) = ([0; 32], [0; 32]);
    if sighash == EcdsaSighashType::All {
        let mut engine = sha256d::Hash::engine();
        outpoint(&mut engine, &input.outpoint);
        prevouts = sha256d::Hash::from_engine(engine).to_byte_array();
        sequences = sha256d::Hash::hash(&input.sequence.0.to_le_bytes()).to_byte_array();
    }
    let outputs = sha256d::Hash::hash(outputs).to_byte_array();
    digest(VERSION, &prevouts, &sequences, input, &outputs, lock_time, sighash)
}

fn digest(
    version: i32,
    prevouts: &[u8; 32],
    sequences: &[u8; 32],
    input: &Input<'_>,
    outputs: &[u8; 32],
    lock_time: u32,
    sighash: EcdsaSighashType,
) -> Message {
    let len = u8::try_from(input.script_code.len()).expect("no script of BOLT 3 is longer");
    assert!(len < 0xfd, "the length is one byte");
    let mut engine = sha256d::Hash::engine();
    engine.input(&version.to_le_bytes());
    engine.input(prevouts);
    engine.input(sequences);
    outpoint(&mut engine, &input.outpoint);
    engine.input(&[len]);
    engine.input(input.script_code);
    engine.input(&input.amount.0.to_le_bytes());
    engine.input(&input.sequence.0.to_le_bytes());
    engine.input(outputs);
    engine.input(&lock_time.to_le_bytes());
    engine.input(&sighash.to_u32().to_le_bytes());
    Message::from_digest(sha256d::Hash::from_engine(engine).to_byte_array())
}

/// The `SIGHASH_ALL` digest of one input of any transaction.
pub(crate) fn all(tx: &Transaction, index: usize, script_code: &[u8], amount: Sat) -> Message {
    let (mut prevouts, mut sequences, mut outputs) =
        (sha256d::Hash::engine(), sha256d::Hash::engine(), sha256d::Hash::engine());
    for input in &tx.input {
        outpoint(&mut prevouts, &input.previous_output);
        sequences.input(&input.sequence.0.to_le_bytes());
    }
    for output in &tx.output {
        let mut bytes = Vec::with_capacity(8 + 9 + output.script_pubkey.len());
        push_output(&mut bytes, Sat(output.value.to_sat()), output.script_pubkey.as_bytes());
        outputs.input(&bytes);
    }
    let input = &tx.input[index];
    digest(
        tx.version.0,
        &sha256d::Hash::from_engine(prevouts).to_byte_array(),
        &sha256d::Hash::from_engine(sequences).to_byte_array(),
        &Input { outpoint: input.previous_output, sequence: input.sequence, script_code, amount },
        &sha256d::Hash::from_engine(outputs).to_byte_array(),
        tx.lock_time.to_consensus_u32(),
        EcdsaSighashType::All,
    )
}

/// Appends a Bitcoin CompactSize.
pub(crate) fn push_compact_size(bytes: &mut Vec<u8>, size: usize) {
    match u16::try_from(size) {
        Ok(small) if small < 0xfd => bytes.push(small as u8),
        Ok(medium) => {
            bytes.push(0xfd);
            bytes.extend_from_slice(&medium.to_le_bytes());
        }
        Err(_) => panic!("a transaction of a channel has fewer than 65536 outputs, a script fewer bytes"),
    }
}

/// Appends an output as a transaction serialises it.
pub(crate) fn push_output(bytes: &mut Vec<u8>, value: Sat, script: &[u8]) {
    bytes.extend_from_slice(&value.0.to_le_bytes());
    push_compact_size(bytes, script.len());
    bytes.extend_from_slice(script);
}

/// The txid of a version 2 transaction with one input without a script; `counted_outputs` begins with their number.
pub(crate) fn single_input_txid(
    previous: &OutPoint,
    sequence: Sequence,
    counted_outputs: &[u8],
    lock_time: u32,
) -> Txid {
    let mut engine = sha256d::Hash::engine();
    engine.input(&VERSION.to_le_bytes());
    engine.input(&[1]);
    outpoint(&mut engine, previous);
    engine.input(&[0]);
    engine.input(&sequence.0.to_le_bytes());
    engine.input(counted_outputs);
    engine.input(&lock_time.to_le_bytes());
    Txid::from_raw_hash(sha256d::Hash::from_engine(engine))
}

/// P2WPKH: the script code is that of the P2PKH with the same hash (BIP 143).
pub(crate) fn p2wpkh_script_code(pubkey_hash: &[u8]) -> [u8; 25] {
    let mut code = [0; 25];
    code[..3].copy_from_slice(&[0x76, 0xa9, 0x14]);
    code[3..23].copy_from_slice(pubkey_hash);
    code[23..].copy_from_slice(&[0x88, 0xac]);
    code
}
