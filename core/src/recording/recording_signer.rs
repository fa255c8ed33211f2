//! The signer with a witness: each answer goes into the tape as well.

use std::cell::{Cell, RefCell};

use bitcoin::consensus::serialize;
use bitcoin::{Psbt, Transaction};
use secp256k1::{Message, PublicKey};

use super::bytes::{put_bytes, put_u64, put_value};
use super::digest::Digester;
use super::question::{Ask, Question};
use super::tape::Tape;
use crate::ids::{CommitmentSecret, KeysIndex, NodeId, Sig};
use crate::onion::Session;
use crate::signer::{CommitmentOf, Refusal, Signer, SignerState, WalletAccounts};
use crate::tx::{Basepoints, Claim, ClosingTx, CommitmentKeys, CommitmentTx, KeyScope, SignatureError, Sweep};

/// Puts what `inner` answers into a tape, and what it is asked into a digest.
pub struct RecordingSigner<'a> {
    inner: &'a mut dyn Signer,
    tape: &'a RefCell<Tape>,
    digest: &'a Cell<Digester>,
}

/// Points stand uncompressed: reading them back costs no square root.
fn put_point(point: &PublicKey, out: &mut Vec<u8>) {
    out.extend_from_slice(&point.serialize_uncompressed()[1..]);
}

fn put_result<T>(result: &Result<T, Refusal>, out: &mut Vec<u8>, ok: impl FnOnce(&T, &mut Vec<u8>)) {
    match result {
        Ok(value) => {
            out.push(0);
            ok(value, out);
        }
        Err(refusal) => {
            out.push(1);
            put_value(refusal, &mut Vec::new(), out);
        }
    }
}

fn put_sigs(sigs: &[Sig], out: &mut Vec<u8>) {
    put_u64(sigs.len() as u64, out);
    sigs.iter().for_each(|sig| out.extend_from_slice(&sig.0));
}

/// What is told apart of a commitment beside its channel and number: all that is signed with it follows from these.
pub(super) fn digest_commitment(question: Question, digest: &Cell<Digester>, commitment: &CommitmentTx) {
    let mut fields = [0; 10];
    fields[..4].copy_from_slice(&commitment.feerate_per_kw.to_le_bytes());
    fields[4..6].copy_from_slice(&commitment.to_self_delay.to_le_bytes());
    fields[6..].copy_from_slice(&(commitment.htlcs.len() as u32).to_le_bytes());
    question.digest(digest, &[commitment.sighash.as_ref(), commitment.txid.as_ref(), &fields]);
}

/// What is told apart of a question for the keys of a commitment: the question, and a point of the peer if that names it.
pub(super) fn ask_keys(
    keys: KeysIndex,
    commitment: CommitmentOf,
    scope: KeyScope,
    digest: &Cell<Digester>,
) -> Question {
    let (number, point) = match commitment {
        CommitmentOf::Local(number) => (number, None),
        // The peer's are named by their points alone.
        CommitmentOf::Remote(point) => (0, Some(point.serialize())),
    };
    let question = Question::of_commitment(Ask::CommitmentKeys, keys, number);
    let scope = [u8::from(scope == KeyScope::BalancesAndHtlcs)];
    question.digest(digest, &[&scope, point.as_ref().map_or(&[], |point| point.as_slice())]);
    question
}

pub(super) fn digest_session(question: Question, digest: &Cell<Digester>, session_key: &[u8; 32], nodes: &[PublicKey]) {
    question.digest(digest, &[session_key]);
    nodes.iter().for_each(|node| question.digest(digest, &[&node.serialize()]));
}

impl<'a> RecordingSigner<'a> {
    /// Records what `inner` answers.
    pub fn new(inner: &'a mut dyn Signer, tape: &'a RefCell<Tape>, digest: &'a Cell<Digester>) -> RecordingSigner<'a> {
        RecordingSigner { inner, tape, digest }
    }

    fn record(&self, question: Question, answer: impl FnOnce(&mut Vec<u8>)) {
        self.tape.borrow_mut().answer(question, answer);
    }

    fn record_sig(&self, question: Question, result: &Result<Sig, Refusal>) {
        self.record(question, |out| put_result(result, out, |sig, out| out.extend_from_slice(&sig.0)));
    }

    fn record_done(&self, question: Question, result: &Result<(), Refusal>) {
        self.record(question, |out| put_result(result, out, |(), _| {}));
    }
}

impl Signer for RecordingSigner<'_> {
    fn node_id(&self) -> NodeId {
        // Stands in the header.
        self.inner.node_id()
    }

    fn ecdh(&mut self, point: &PublicKey) -> [u8; 32] {
        let question = Question::of_node(Ask::Ecdh);
        question.digest(self.digest, &[&point.serialize()]);
        let secret = self.inner.ecdh(point);
        self.record(question, |out| out.extend_from_slice(&secret));
        secret
    }

    fn channel_basepoints(&mut self, keys: KeysIndex) -> Basepoints {
        let question = Question::of_channel(Ask::ChannelBasepoints, keys);
        question.digest(self.digest, &[]);
        let points = self.inner.channel_basepoints(keys);
        let Basepoints { funding_pubkey, revocation, payment, delayed_payment, htlc } = &points;
        self.record(question, |out| {
            [funding_pubkey, revocation, payment, delayed_payment, htlc].into_iter().for_each(|at| put_point(at, out));
        });
        points
    }

    fn per_commitment_point(&mut self, keys: KeysIndex, number: u64) -> PublicKey {
        let question = Question::of_commitment(Ask::PerCommitmentPoint, keys, number);
        question.digest(self.digest, &[]);
        let point = self.inner.per_commitment_point(keys, number);
        self.record(question, |out| put_point(&point, out));
        point
    }

    fn commitment_keys(
        &mut self,
        keys: KeysIndex,
        commitment: CommitmentOf,
        peer: &Basepoints,
        scope: KeyScope,
    ) -> CommitmentKeys {
        let question = ask_keys(keys, commitment, scope, self.digest);
        let made = self.inner.commitment_keys(keys, commitment, peer, scope);
        self.record(question, |out| {
            // A point that the question holds is not repeated.
            let point = Some(made.per_commitment_point).filter(|_| matches!(commitment, CommitmentOf::Local(_)));
            let payment = Some(made.counterparty_payment).filter(|payment| *payment != peer.payment);
            let flags = [point.is_some(), payment.is_some(), made.htlc.is_some()];
            out.push(flags.iter().fold(0, |bits, flag| bits << 1 | u8::from(*flag)));
            let htlc = made.htlc.map(|htlc| [htlc.owner, htlc.counterparty]);
            let points = [Some(made.revocation), Some(made.delayed), point, payment];
            points.into_iter().flatten().chain(htlc.into_iter().flatten()).for_each(|point| put_point(&point, out));
        });
        made
    }

    /// No answer, and none that depends on it: nothing to record.
    fn expect(&mut self, keys: KeysIndex, commitment: CommitmentOf, peer: &Basepoints) {
        self.inner.expect(keys, commitment, peer);
    }

    fn track(&mut self, keys: KeysIndex, state: SignerState) {
        let question = Question::of_channel(Ask::Track, keys);
        question.digest(self.digest, &[]);
        self.record(question, |_| {});
        self.inner.track(keys, state);
    }

    fn state(&self, keys: KeysIndex) -> Option<SignerState> {
        let question = Question::of_channel(Ask::State, keys);
        question.digest(self.digest, &[]);
        let state = self.inner.state(keys);
        self.record(question, |out| put_value(&state, &mut Vec::new(), out));
        state
    }

    fn forget(&mut self, keys: KeysIndex) {
        let question = Question::of_channel(Ask::Forget, keys);
        question.digest(self.digest, &[]);
        self.record(question, |_| {});
        self.inner.forget(keys);
    }

    fn onion_session(&mut self, session_key: &[u8; 32], nodes: &[PublicKey]) -> Option<Session> {
        let question = Question::of_node(Ask::OnionSession);
        digest_session(question, self.digest, session_key, nodes);
        let session = self.inner.onion_session(session_key, nodes);
        self.record(question, |out| match &session {
            Some(Session { point, shared_secrets }) => {
                put_u64(shared_secrets.len() as u64, out);
                put_point(point, out);
                shared_secrets.iter().for_each(|secret| out.extend_from_slice(secret));
            }
            None => put_u64(0, out),
        });
        session
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
        let result = self.inner.check_signatures(keys, commitment, sig, htlc_sigs);
        self.record(question, |out| match &result {
            Ok(()) => out.push(0),
            Err(error) => {
                out.push(1);
                put_value(error, &mut Vec::new(), out);
            }
        });
        result
    }

    fn check_secret(&mut self, keys: KeysIndex, number: u64, secret: &CommitmentSecret, point: &PublicKey) -> bool {
        let question = Question::of_commitment(Ask::CheckSecret, keys, number);
        question.digest(self.digest, &[&point.serialize()]);
        let result = self.inner.check_secret(keys, number, secret, point);
        self.record(question, |out| out.push(u8::from(result)));
        result
    }

    fn local_signed(&mut self, keys: KeysIndex, number: u64) -> Result<(), Refusal> {
        let question = Question::of_commitment(Ask::LocalSigned, keys, number);
        question.digest(self.digest, &[]);
        let result = self.inner.local_signed(keys, number);
        self.record_done(question, &result);
        result
    }

    fn remote_revoked(&mut self, keys: KeysIndex, number: u64) -> Result<(), Refusal> {
        let question = Question::of_commitment(Ask::RemoteRevoked, keys, number);
        question.digest(self.digest, &[]);
        let result = self.inner.remote_revoked(keys, number);
        self.record_done(question, &result);
        result
    }

    fn release_secret(&mut self, keys: KeysIndex, number: u64) -> Result<CommitmentSecret, Refusal> {
        let question = Question::of_commitment(Ask::ReleaseSecret, keys, number);
        question.digest(self.digest, &[]);
        let result = self.inner.release_secret(keys, number);
        self.record(question, |out| put_result(&result, out, |secret, out| out.extend_from_slice(&secret.0)));
        result
    }

    fn sign_remote_commitment(
        &mut self,
        keys: KeysIndex,
        commitment: &CommitmentTx,
        htlc_sigs: &mut Vec<Sig>,
    ) -> Result<Sig, Refusal> {
        let question = Question::of_commitment(Ask::SignRemoteCommitment, keys, commitment.number);
        digest_commitment(question, self.digest, commitment);
        let result = self.inner.sign_remote_commitment(keys, commitment, htlc_sigs);
        self.record(question, |out| {
            put_result(&result, out, |sig, out| out.extend_from_slice(&sig.0));
            put_sigs(htlc_sigs, out);
        });
        result
    }

    fn sign_local_commitment(&mut self, keys: KeysIndex, commitment: &CommitmentTx) -> Result<Sig, Refusal> {
        let question = Question::of_commitment(Ask::SignLocalCommitment, keys, commitment.number);
        digest_commitment(question, self.digest, commitment);
        let result = self.inner.sign_local_commitment(keys, commitment);
        self.record_sig(question, &result);
        result
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
        let result = self.inner.sign_htlc(keys, commitment, index, tx, input);
        self.record_sig(question, &result);
        result
    }

    fn sign_closing(&mut self, keys: KeysIndex, closing: &ClosingTx) -> Result<Sig, Refusal> {
        let question = Question::of_channel(Ask::SignClosing, keys);
        question.digest(self.digest, &[&serialize(&closing.tx)]);
        let result = self.inner.sign_closing(keys, closing);
        self.record_sig(question, &result);
        result
    }

    fn sign_sweep(&mut self, keys: KeysIndex, sweep: &Sweep, sigs: &mut Vec<Sig>) -> Result<(), Refusal> {
        let question = Question::of_channel(Ask::SignSweep, keys);
        question.digest(self.digest, &[&serialize(&sweep.tx)]);
        let result = self.inner.sign_sweep(keys, sweep, sigs);
        self.record(question, |out| {
            put_result(&result, out, |(), _| {});
            put_sigs(sigs, out);
        });
        result
    }

    fn sign_claim(&mut self, keys: KeysIndex, claim: &Claim, tx: &Transaction, input: usize) -> Result<Sig, Refusal> {
        let question = Question::of_channel(Ask::SignClaim, keys);
        question.digest(self.digest, &[&serialize(&claim.outpoint), &serialize(tx), &input.to_le_bytes()]);
        let result = self.inner.sign_claim(keys, claim, tx, input);
        self.record_sig(question, &result);
        result
    }

    fn sign_announcement(&mut self, keys: KeysIndex, digest: &Message) -> Sig {
        let question = Question::of_channel(Ask::SignAnnouncement, keys);
        question.digest(self.digest, &[digest.as_ref()]);
        let sig = self.inner.sign_announcement(keys, digest);
        self.record(question, |out| out.extend_from_slice(&sig.0));
        sig
    }

    fn sign_node(&mut self, digest: &Message) -> Sig {
        let question = Question::of_node(Ask::SignNode);
        question.digest(self.digest, &[digest.as_ref()]);
        let sig = self.inner.sign_node(digest);
        self.record(question, |out| out.extend_from_slice(&sig.0));
        sig
    }

    fn sign_recoverable(&mut self, digest: &Message) -> ([u8; 64], u8) {
        let question = Question::of_node(Ask::SignRecoverable);
        question.digest(self.digest, &[digest.as_ref()]);
        let (sig, id) = self.inner.sign_recoverable(digest);
        self.record(question, |out| {
            out.extend_from_slice(&sig);
            out.push(id);
        });
        (sig, id)
    }

    fn wallet_accounts(&self) -> WalletAccounts {
        let question = Question::of_node(Ask::WalletAccounts);
        question.digest(self.digest, &[]);
        let accounts = self.inner.wallet_accounts();
        self.record(question, |out| {
            out.extend_from_slice(accounts.fingerprint.as_bytes());
            out.extend_from_slice(&accounts.p2wpkh.encode());
            out.extend_from_slice(&accounts.p2tr.encode());
        });
        accounts
    }

    fn sign_psbt(&mut self, psbt: &mut Psbt) -> Result<usize, Refusal> {
        let question = Question::of_node(Ask::SignPsbt);
        question.digest(self.digest, &[&psbt.serialize()]);
        let result = self.inner.sign_psbt(psbt);
        self.record(question, |out| {
            put_result(&result, out, |count, out| put_u64(*count as u64, out));
            put_bytes(&psbt.serialize(), out);
        });
        result
    }

    fn draw(&mut self) -> [u8; 32] {
        let question = Question::of_node(Ask::Draw);
        question.digest(self.digest, &[]);
        let drawn = self.inner.draw();
        self.record(question, |out| out.extend_from_slice(&drawn));
        drawn
    }
}
