//! On-chain addresses in an invoice (BOLT 11, field `f`).

use bitcoin::hashes::Hash;
use bitcoin::{Address, PubkeyHash, Script, ScriptBuf, ScriptHash, WitnessProgram, WitnessVersion};

use crate::config::Network;

/// Where to pay on chain if no route is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Version 17: pay to public key hash.
    PubkeyHash([u8; 20]),
    /// Version 18: pay to script hash.
    ScriptHash([u8; 20]),
    /// Versions 0 to 16: a witness program.
    Witness(WitnessProgram),
}

impl Fallback {
    /// `None` for a version or length that is not known: BOLT 11 has readers skip the field.
    pub(super) fn from_parts(version: u8, program: &[u8]) -> Option<Fallback> {
        match version {
            17 => program.try_into().ok().map(Fallback::PubkeyHash),
            18 => program.try_into().ok().map(Fallback::ScriptHash),
            _ => {
                let version = WitnessVersion::try_from(version).ok()?;
                WitnessProgram::new(version, program).ok().map(Fallback::Witness)
            }
        }
    }

    /// Version and program.
    pub(super) fn parts(&self) -> (u8, &[u8]) {
        match self {
            Fallback::PubkeyHash(hash) => (17, hash),
            Fallback::ScriptHash(hash) => (18, hash),
            Fallback::Witness(program) => (program.version().to_num(), program.program().as_bytes()),
        }
    }

    /// From the script of an address; `None` if it has no address form.
    pub fn from_script(script: &Script) -> Option<Fallback> {
        let bytes = script.as_bytes();
        if script.is_p2pkh() {
            Fallback::from_parts(17, &bytes[3..23])
        } else if script.is_p2sh() {
            Fallback::from_parts(18, &bytes[2..22])
        } else {
            Fallback::from_parts(script.witness_version()?.to_num(), &bytes[2..])
        }
    }

    /// The output script to pay.
    pub fn script(&self) -> ScriptBuf {
        match self {
            Fallback::PubkeyHash(hash) => ScriptBuf::new_p2pkh(&PubkeyHash::from_byte_array(*hash)),
            Fallback::ScriptHash(hash) => ScriptBuf::new_p2sh(&ScriptHash::from_byte_array(*hash)),
            Fallback::Witness(program) => ScriptBuf::new_witness_program(program),
        }
    }

    /// The address, as people write it.
    pub fn address(&self, network: Network) -> Address {
        Address::from_script(&self.script(), network.bitcoin()).expect("all three kinds have addresses")
    }
}
