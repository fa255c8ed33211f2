//! The signer of a replay: it gives the recorded answers, one after the other, and knows no key.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::OnceLock;

use bitcoin::bip32::{Fingerprint, Xpub};
use bitcoin::consensus::serialize;
use bitcoin::{NetworkKind, Psbt, Transaction};
use secp256k1::constants::{GENERATOR_X, GENERATOR_Y};
use secp256k1::{Message, PublicKey};

use super::bytes::Reader;
use super::digest::Digester;
use super::question::{Ask, Question};
use super::recording_signer::{ask_keys, digest_commitment, digest_session};
use super::{Answer, Malformed};
use crate::ids::{CommitmentSecret, KeysIndex, NodeId, Sig};
use crate::onion::Session;
use crate::signer::{CommitmentOf, Refusal, Signer, SignerState, WalletAccounts};
use crate::tx::{
    Basepoints, Claim, ClosingTx, CommitmentKeys, CommitmentTx, HtlcKeys, KeyScope, SignatureError, Sweep,
};

/// In what the signer of the replay is not that of the recorded run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The replay asks what the recorded run did not ask at this place.
    Question {
        /// What the replay asks; `None` if it asks nothing more.
        asked: Option<Question>,
        /// What the recorded run asked; `None` if it asked nothing more.
        recorded: Option<Question>,
    },
    /// The recorded answer is wrong.
    Answer(Question),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |question: &Option<Question>| question.map_or("nothing".to_owned(), |question| question.to_string());
        match self {
            Mismatch::Question { asked, recorded } => {
                write!(f, "the signer is asked for {} where the recorded run asked for {}", name(asked), name(recorded))
            }
            Mismatch::Answer(question) => write!(f, "the recorded answer to {question} is wrong"),
        }
    }
}

/// Gives the answers of one step.
///
/// Once it is asked something else it is of no more use: it says so in [`ReplaySigner::mismatch`], refuses where it may,
/// and gives nothing of worth where it must answer.
pub struct ReplaySigner<'a> {
    node_id: NodeId,
    answers: &'a [Answer<'a>],
    next: Cell<usize>,
    mismatch: RefCell<Option<Mismatch>>,
    digest: &'a Cell<Digester>,
    verifies: bool,
}

impl<'a> ReplaySigner<'a> {
    /// With the answers of a step.
    pub fn new(node_id: NodeId, answers: &'a [Answer<'a>], digest: &'a Cell<Digester>) -> ReplaySigner<'a> {
        ReplaySigner { node_id, answers, next: Cell::new(0), mismatch: RefCell::new(None), digest, verifies: false }
    }

    /// Also works out what needs no secret, and tells where that is not what was recorded.
    pub fn verifying(self, verifies: bool) -> ReplaySigner<'a> {
        ReplaySigner { verifies, ..self }
    }

    /// The recorded answer, if it is the right one as far as that is asked.
    fn verified<T: PartialEq>(
        &self,
        question: Question,
        recorded: Option<T>,
        work_out: impl FnOnce() -> T,
    ) -> Option<T> {
        let recorded = recorded?;
        if self.verifies && work_out() != recorded {
            *self.mismatch.borrow_mut() = Some(Mismatch::Answer(question));
            return None;
        }
        Some(recorded)
    }

    /// Where the replay asked otherwise. To be looked at behind the step, when all answers should be used.
    pub fn mismatch(&self) -> Option<Mismatch> {
        let left = self.answers.get(self.next.get());
        let rest = left.map(|answer| Mismatch::Question { asked: None, recorded: Some(answer.question) });
        self.mismatch.borrow().or(rest)
    }

    /// The answer to a question, if it is the one that was recorded here.
    fn answer<T>(&self, question: Question, read: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>) -> Option<T> {
        if self.mismatch.borrow().is_some() {
            return None;
        }
        let recorded = self.answers.get(self.next.get());
        if let Some(answer) = recorded.filter(|answer| answer.question == question)
            && let Ok(value) = read(&mut Reader(answer.bytes))
        {
            self.next.set(self.next.get() + 1);
            return Some(value);
        }
        let recorded = recorded.map(|answer| answer.question);
        *self.mismatch.borrow_mut() = Some(Mismatch::Question { asked: Some(question), recorded });
        None
    }

    fn result<T>(
        &self,
        question: Question,
        read: impl FnOnce(&mut Reader<'a>) -> Result<Result<T, Refusal>, Malformed>,
    ) -> Result<T, Refusal> {
        self.answer(question, read).unwrap_or(Err(Refusal::Untracked(question.keys)))
    }
}

/// A point that stands for none.
fn no_point() -> PublicKey {
    static GENERATOR: OnceLock<PublicKey> = OnceLock::new();
    *GENERATOR.get_or_init(|| {
        let mut bytes = [4; 65];
        bytes[1..33].copy_from_slice(&GENERATOR_X);
        bytes[33..].copy_from_slice(&GENERATOR_Y);
        PublicKey::from_slice(&bytes).expect("the generator is a point")
    })
}

fn point(reader: &mut Reader<'_>) -> Result<PublicKey, Malformed> {
    let mut bytes = [4; 65];
    bytes[1..].copy_from_slice(reader.take(64)?);
    PublicKey::from_slice(&bytes).map_err(|_| Malformed { expected: "point" })
}

fn sig(reader: &mut Reader<'_>) -> Result<Sig, Malformed> {
    Ok(Sig(reader.array()?))
}

fn sigs(reader: &mut Reader<'_>) -> Result<Vec<Sig>, Malformed> {
    let count = reader.u64()?;
    let mut sigs = Vec::new();
    for _ in 0..count {
        sigs.push(sig(reader)?);
    }
    Ok(sigs)
}

fn result<'a, T>(
    reader: &mut Reader<'a>,
    ok: impl FnOnce(&mut Reader<'a>) -> Result<T, Malformed>,
) -> Result<Result<T, Refusal>, Malformed> {
    match reader.u8()? {
        0 => ok(reader).map(Ok),
        1 => reader.value("refusal").map(Err),
        _ => Err(Malformed { expected: "result" }),
    }
}

/// A commitment's keys as they stand in an answer: revocation, delayed, then what there is of the owner's point, the
/// other side's payment key and the two HTLC keys.
type KeyPoints = (PublicKey, PublicKey, Option<PublicKey>, Option<PublicKey>, Option<[PublicKey; 2]>);

fn key_points(reader: &mut Reader<'_>) -> Result<KeyPoints, Malformed> {
    let flags = reader.u8()?;
    if flags > 0b111 {
        return Err(Malformed { expected: "keys of a commitment" });
    }
    let (revocation, delayed) = (point(reader)?, point(reader)?);
    let own = if flags & 0b100 != 0 { Some(point(reader)?) } else { None };
    let payment = if flags & 0b010 != 0 { Some(point(reader)?) } else { None };
    let htlc = if flags & 0b001 != 0 { Some([point(reader)?, point(reader)?]) } else { None };
    Ok((revocation, delayed, own, payment, htlc))
}

fn xpub(reader: &mut Reader<'_>) -> Result<Xpub, Malformed> {
    Xpub::decode(reader.take(78)?).map_err(|_| Malformed { expected: "public key of an account" })
}

/// Goes over an answer without reading what is in it.
pub(super) fn skip_answer(ask: Ask, reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let size = match ask {
        Ask::Track | Ask::Forget => 0,
        Ask::Ecdh | Ask::Draw => 32,
        Ask::PerCommitmentPoint | Ask::SignAnnouncement | Ask::SignNode => 64,
        Ask::SignRecoverable => 65,
        Ask::ChannelBasepoints => 5 * 64,
        Ask::WalletAccounts => 4 + 2 * 78,
        Ask::CommitmentKeys => {
            let flags = reader.u8()?;
            64 * (2 + usize::from(flags >> 2 & 1) + usize::from(flags >> 1 & 1) + 2 * usize::from(flags & 1))
        }
        Ask::State => return reader.bytes().map(|_| ()),
        Ask::LocalSigned | Ask::RemoteRevoked => return skip_result(reader, 0),
        Ask::CheckSecret => 1,
        Ask::OnionSession => match usize::try_from(reader.u64()?).ok().and_then(|count| count.checked_mul(32)) {
            None => return Err(Malformed { expected: "number of shared secrets" }),
            Some(0) => 0,
            Some(size) => {
                reader.take(64)?;
                size
            }
        },
        Ask::CheckSignatures => match reader.u8()? {
            0 => 0,
            _ => return reader.value::<SignatureError>("reason why signatures are wrong").map(|_| ()),
        },
        Ask::ReleaseSecret => return skip_result(reader, 32),
        Ask::SignLocalCommitment | Ask::SignHtlc | Ask::SignClosing | Ask::SignClaim => {
            return skip_result(reader, 64);
        }
        Ask::SignRemoteCommitment => {
            skip_result(reader, 64)?;
            return skip_sigs(reader);
        }
        Ask::SignSweep => {
            skip_result(reader, 0)?;
            return skip_sigs(reader);
        }
        Ask::SignPsbt => {
            let _ = result(reader, Reader::u64)?;
            return reader.bytes().map(|_| ());
        }
    };
    reader.take(size).map(|_| ())
}

fn skip_result(reader: &mut Reader<'_>, size: usize) -> Result<(), Malformed> {
    result(reader, |reader| reader.take(size)).map(|_| ())
}

fn skip_sigs(reader: &mut Reader<'_>) -> Result<(), Malformed> {
    let size = usize::try_from(reader.u64()?).ok().and_then(|count| count.checked_mul(64));
    reader.take(size.ok_or(Malformed { expected: "number of signatures" })?).map(|_| ())
}

impl Signer for ReplaySigner<'_> {
    fn node_id(&self) -> NodeId {
        self.node_id
    }

    fn ecdh(&mut self, point: &PublicKey) -> [u8; 32] {
        let question = Question::of_node(Ask::Ecdh);
        question.digest(self.digest, &[&point.serialize()]);
        self.answer(question, Reader::array).unwrap_or_default()
    }

    fn channel_basepoints(&mut self, keys: KeysIndex) -> Basepoints {
        let question = Question::of_channel(Ask::ChannelBasepoints, keys);
        question.digest(self.digest, &[]);
        let points = self.answer(question, |reader| {
            let mut points = [no_point(); 5];
            for at in &mut points {
                *at = point(reader)?;
            }
            Ok(points)
        });
        let [funding_pubkey, revocation, payment, delayed_payment, htlc] = points.unwrap_or([no_point(); 5]);
        Basepoints { funding_pubkey, revocation, payment, delayed_payment, htlc }
    }

    fn per_commitment_point(&mut self, keys: KeysIndex, number: u64) -> PublicKey {
        let question = Question::of_commitment(Ask::PerCommitmentPoint, keys, number);
        question.digest(self.digest, &[]);
        self.answer(question, point).unwrap_or_else(no_point)
    }

    fn commitment_keys(
        &mut self,
        keys: KeysIndex,
        commitment: CommitmentOf,
        peer: &Basepoints,
        scope: KeyScope,
    ) -> CommitmentKeys {
        let question = ask_keys(keys, commitment, scope, self.digest);
        let none = || (no_point(), no_point(), None, None, Some([no_point(); 2]));
        let (revocation, delayed, own, payment, htlc) = self.answer(question, key_points).unwrap_or_else(none);
        let asked = match commitment {
            CommitmentOf::Local(_) => no_point(),
            CommitmentOf::Remote(point) => point,
        };
        CommitmentKeys {
            per_commitment_point: own.unwrap_or(asked),
            revocation,
            delayed,
            counterparty_payment: payment.unwrap_or(peer.payment),
            htlc: htlc.map(|[owner, counterparty]| HtlcKeys { owner, counterparty }),
        }
    }

    fn track(&mut self, keys: KeysIndex, _: SignerState) {
        let question = Question::of_channel(Ask::Track, keys);
        question.digest(self.digest, &[]);
        self.answer(question, |_| Ok(()));
    }

    fn state(&self, keys: KeysIndex) -> Option<SignerState> {
        let question = Question::of_channel(Ask::State, keys);
        question.digest(self.digest, &[]);
        self.answer(question, |reader| reader.value("state of a channel")).flatten()
    }

    fn forget(&mut self, keys: KeysIndex) {
        let question = Question::of_channel(Ask::Forget, keys);
        question.digest(self.digest, &[]);
        self.answer(question, |_| Ok(()));
    }

    fn onion_session(&mut self, session_key: &[u8; 32], nodes: &[PublicKey]) -> Option<Session> {
        let question = Question::of_node(Ask::OnionSession);
        digest_session(question, self.digest, session_key, nodes);
        let recorded = self.answer(question, |reader| match reader.u64()? {
            0 => Ok(None),
            count => {
                let point = point(reader)?;
                let shared_secrets = (0..count).map(|_| reader.array()).collect::<Result<_, _>>()?;
                Ok(Some(Session { point, shared_secrets }))
            }
        });
        self.verified(question, recorded, || Session::new(session_key, nodes)).flatten()
    }

    fn check_signatures(
        &mut self,
        keys: KeysIndex,
        commitment: &CommitmentTx,
        sig: &Sig,
        htlc_sigs: &[Sig],
    ) -> Result<(), SignatureError> {
        let question = Question::of_commitment(Ask::CheckSignatures, keys, commitment.number);
        digest_commitment(question, self.digest, commitment);
        let recorded = self.answer(question, |reader| match reader.u8()? {
            0 => Ok(Ok(())),
            1 => reader.value("reason why signatures are wrong").map(Err),
            _ => Err(Malformed { expected: "result" }),
        });
        self.verified(question, recorded, || commitment.check_signatures(sig, htlc_sigs))
            .unwrap_or(Err(SignatureError::Commitment { number: commitment.number }))
    }

    fn check_secret(&mut self, keys: KeysIndex, number: u64, secret: &CommitmentSecret, point: &PublicKey) -> bool {
        let question = Question::of_commitment(Ask::CheckSecret, keys, number);
        question.digest(self.digest, &[&point.serialize()]);
        let recorded = self.answer(question, |reader| reader.u8().map(|held| held != 0));
        self.verified(question, recorded, || secret.is_of(point)).unwrap_or(false)
    }

    fn local_signed(&mut self, keys: KeysIndex, number: u64) -> Result<(), Refusal> {
        let question = Question::of_commitment(Ask::LocalSigned, keys, number);
        question.digest(self.digest, &[]);
        self.result(question, |reader| result(reader, |_| Ok(())))
    }

    fn remote_revoked(&mut self, keys: KeysIndex, number: u64) -> Result<(), Refusal> {
        let question = Question::of_commitment(Ask::RemoteRevoked, keys, number);
        question.digest(self.digest, &[]);
        self.result(question, |reader| result(reader, |_| Ok(())))
    }

    fn release_secret(&mut self, keys: KeysIndex, number: u64) -> Result<CommitmentSecret, Refusal> {
        let question = Question::of_commitment(Ask::ReleaseSecret, keys, number);
        question.digest(self.digest, &[]);
        self.result(question, |reader| result(reader, |reader| reader.array().map(CommitmentSecret)))
    }

    fn sign_remote_commitment(
        &mut self,
        keys: KeysIndex,
        commitment: &CommitmentTx,
        htlc_sigs: &mut Vec<Sig>,
    ) -> Result<Sig, Refusal> {
        let question = Question::of_commitment(Ask::SignRemoteCommitment, keys, commitment.number);
        digest_commitment(question, self.digest, commitment);
        self.result(question, |reader| {
            let signed = result(reader, sig)?;
            *htlc_sigs = sigs(reader)?;
            Ok(signed)
        })
    }

    fn sign_local_commitment(&mut self, keys: KeysIndex, commitment: &CommitmentTx) -> Result<Sig, Refusal> {
        let question = Question::of_commitment(Ask::SignLocalCommitment, keys, commitment.number);
        digest_commitment(question, self.digest, commitment);
        self.result(question, |reader| result(reader, sig))
    }

    fn sign_htlc(
        &mut self,
        keys: KeysIndex,
        commitment: &CommitmentTx,
        index: usize,
        tx: &Transaction,
        input: usize,
    ) -> Result<Sig, Refusal> {
        let question = Question::of_commitment(Ask::SignHtlc, keys, commitment.number);
        digest_commitment(question, self.digest, commitment);
        question.digest(self.digest, &[&index.to_le_bytes(), &serialize(tx), &input.to_le_bytes()]);
        self.result(question, |reader| result(reader, sig))
    }

    fn sign_closing(&mut self, keys: KeysIndex, closing: &ClosingTx) -> Result<Sig, Refusal> {
        let question = Question::of_channel(Ask::SignClosing, keys);
        question.digest(self.digest, &[&serialize(&closing.tx)]);
        self.result(question, |reader| result(reader, sig))
    }

    fn sign_sweep(&mut self, keys: KeysIndex, sweep: &Sweep, out: &mut Vec<Sig>) -> Result<(), Refusal> {
        let question = Question::of_channel(Ask::SignSweep, keys);
        question.digest(self.digest, &[&serialize(&sweep.tx)]);
        self.result(question, |reader| {
            let signed = result(reader, |_| Ok(()))?;
            *out = sigs(reader)?;
            Ok(signed)
        })
    }

    fn sign_claim(&mut self, keys: KeysIndex, claim: &Claim, tx: &Transaction, input: usize) -> Result<Sig, Refusal> {
        let question = Question::of_channel(Ask::SignClaim, keys);
        question.digest(self.digest, &[&serialize(&claim.outpoint), &serialize(tx), &input.to_le_bytes()]);
        self.result(question, |reader| result(reader, sig))
    }

    fn sign_announcement(&mut self, keys: KeysIndex, digest: &Message) -> Sig {
        let question = Question::of_channel(Ask::SignAnnouncement, keys);
        question.digest(self.digest, &[digest.as_ref()]);
        self.answer(question, sig).unwrap_or(Sig([0; 64]))
    }

    fn sign_node(&mut self, digest: &Message) -> Sig {
        let question = Question::of_node(Ask::SignNode);
        question.digest(self.digest, &[digest.as_ref()]);
        self.answer(question, sig).unwrap_or(Sig([0; 64]))
    }

    fn sign_recoverable(&mut self, digest: &Message) -> ([u8; 64], u8) {
        let question = Question::of_node(Ask::SignRecoverable);
        question.digest(self.digest, &[digest.as_ref()]);
        self.answer(question, |reader| Ok((reader.array()?, reader.u8()?))).unwrap_or(([0; 64], 0))
    }

    fn wallet_accounts(&self) -> WalletAccounts {
        let question = Question::of_node(Ask::WalletAccounts);
        question.digest(self.digest, &[]);
        let accounts = self.answer(question, |reader| {
            let fingerprint = Fingerprint::from(reader.array::<4>()?);
            Ok(WalletAccounts { fingerprint, p2wpkh: xpub(reader)?, p2tr: xpub(reader)? })
        });
        accounts.unwrap_or_else(|| {
            let none = Xpub {
                network: NetworkKind::Test,
                depth: 0,
                parent_fingerprint: Fingerprint::default(),
                child_number: bitcoin::bip32::ChildNumber::Normal { index: 0 },
                public_key: no_point(),
                chain_code: bitcoin::bip32::ChainCode::from([0; 32]),
            };
            WalletAccounts { fingerprint: Fingerprint::default(), p2wpkh: none, p2tr: none }
        })
    }

    fn sign_psbt(&mut self, psbt: &mut Psbt) -> Result<usize, Refusal> {
        let question = Question::of_node(Ask::SignPsbt);
        question.digest(self.digest, &[&psbt.serialize()]);
        self.result(question, |reader| {
            let signed = result(reader, |reader| Ok(reader.u32()? as usize))?;
            *psbt = Psbt::deserialize(reader.bytes()?).map_err(|_| Malformed { expected: "PSBT" })?;
            Ok(signed)
        })
    }

    fn draw(&mut self) -> [u8; 32] {
        let question = Question::of_node(Ask::Draw);
        question.digest(self.digest, &[]);
        self.answer(question, Reader::array).unwrap_or_default()
    }
}
