//! What the signer is asked, as far as it is told in a recording: enough to say where two runs ask otherwise. All of what
//! a question holds (the transaction to sign) goes into the turn's digest.

use std::cell::Cell;
use std::fmt;

use super::Malformed;
use super::bytes::{Reader, put_u64};
use super::digest::Digester;
use crate::ids::KeysIndex;

/// The kinds of questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[allow(missing_docs, reason = "each is the method of `Signer` of the same name")]
pub enum Ask {
    Ecdh = 0x40,
    ChannelBasepoints = 0x41,
    PerCommitmentPoint = 0x42,
    CommitmentKeys = 0x43,
    Track = 0x44,
    State = 0x45,
    Forget = 0x46,
    LocalSigned = 0x47,
    RemoteRevoked = 0x48,
    ReleaseSecret = 0x49,
    SignRemoteCommitment = 0x4a,
    SignLocalCommitment = 0x4b,
    SignHtlc = 0x4c,
    SignClosing = 0x4d,
    SignSweep = 0x4e,
    SignClaim = 0x4f,
    SignAnnouncement = 0x50,
    SignNode = 0x51,
    SignRecoverable = 0x52,
    WalletAccounts = 0x53,
    SignPsbt = 0x54,
    Draw = 0x55,
    CheckSignatures = 0x56,
    CheckSecret = 0x57,
    OnionSession = 0x58,
}

impl Ask {
    const ALL: [Ask; 25] = [
        Ask::Ecdh,
        Ask::ChannelBasepoints,
        Ask::PerCommitmentPoint,
        Ask::CommitmentKeys,
        Ask::Track,
        Ask::State,
        Ask::Forget,
        Ask::LocalSigned,
        Ask::RemoteRevoked,
        Ask::ReleaseSecret,
        Ask::SignRemoteCommitment,
        Ask::SignLocalCommitment,
        Ask::SignHtlc,
        Ask::SignClosing,
        Ask::SignSweep,
        Ask::SignClaim,
        Ask::SignAnnouncement,
        Ask::SignNode,
        Ask::SignRecoverable,
        Ask::WalletAccounts,
        Ask::SignPsbt,
        Ask::Draw,
        Ask::CheckSignatures,
        Ask::CheckSecret,
        Ask::OnionSession,
    ];

    pub(super) fn from_tag(tag: u8) -> Option<Ask> {
        let ask = *Ask::ALL.get(usize::from(tag.checked_sub(Ask::Ecdh as u8)?))?;
        debug_assert_eq!(ask as u8, tag);
        Some(ask)
    }

    /// Questions about one channel name its keys.
    fn has_keys(self) -> bool {
        use Ask::{Draw, Ecdh, OnionSession, SignNode, SignPsbt, SignRecoverable, WalletAccounts};
        !matches!(self, Ecdh | OnionSession | SignNode | SignRecoverable | WalletAccounts | SignPsbt | Draw)
    }

    /// Questions about one commitment name its number.
    fn has_number(self) -> bool {
        use Ask::{
            CheckSecret, CheckSignatures, CommitmentKeys, LocalSigned, PerCommitmentPoint, ReleaseSecret,
            RemoteRevoked, SignHtlc, SignLocalCommitment, SignRemoteCommitment,
        };
        matches!(
            self,
            CheckSecret
                | CheckSignatures
                | CommitmentKeys
                | LocalSigned
                | PerCommitmentPoint
                | ReleaseSecret
                | RemoteRevoked
                | SignHtlc
                | SignLocalCommitment
                | SignRemoteCommitment
        )
    }
}

/// One question, without what is to be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// What is asked.
    pub ask: Ask,
    /// The channel concerned, where it is about one.
    pub keys: KeysIndex,
    /// The commitment concerned, where it is about one of known number.
    pub number: u64,
}

impl Question {
    pub(super) fn of_node(ask: Ask) -> Question {
        Question { ask, keys: KeysIndex(0), number: 0 }
    }

    pub(super) fn of_channel(ask: Ask, keys: KeysIndex) -> Question {
        Question { ask, keys, number: 0 }
    }

    pub(super) fn of_commitment(ask: Ask, keys: KeysIndex, number: u64) -> Question {
        Question { ask, keys, number }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(self.ask as u8);
        if self.ask.has_keys() {
            put_u64(self.keys.0, out);
        }
        if self.ask.has_number() {
            put_u64(self.number, out);
        }
    }

    /// Reads what follows the tag.
    pub(super) fn read(ask: Ask, reader: &mut Reader<'_>) -> Result<Question, Malformed> {
        let keys = KeysIndex(if ask.has_keys() { reader.u64()? } else { 0 });
        let number = if ask.has_number() { reader.u64()? } else { 0 };
        Ok(Question { ask, keys, number })
    }

    /// Takes the question, with all that it holds, into the digest.
    pub(super) fn digest(&self, digest: &Cell<Digester>, content: &[&[u8]]) {
        let mut head = [0; 17];
        head[0] = self.ask as u8;
        head[1..9].copy_from_slice(&self.keys.0.to_le_bytes());
        head[9..].copy_from_slice(&self.number.to_le_bytes());
        let mut digester = digest.get();
        digester.bytes(&head);
        content.iter().for_each(|part| digester.bytes(part));
        digest.set(digester);
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.ask)?;
        if self.ask.has_keys() {
            write!(f, " of channel keys {}", self.keys)?;
        }
        if self.ask.has_number() {
            write!(f, ", commitment {}", self.number)?;
        }
        Ok(())
    }
}
