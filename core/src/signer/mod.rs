//! The signer: the only place where secrets are. It answers in meanings, not in raw signatures over anything, so that
//! it can refuse what would lose money.

mod ahead;
mod channel;
mod draw;
mod keys_signer;
mod refusal;
#[cfg(test)]
mod tests;
mod wallet;

use bitcoin::bip32::{Fingerprint, Xpub};
use bitcoin::{Psbt, Transaction};
use secp256k1::{Message, PublicKey};

pub use keys_signer::KeysSigner;
pub use refusal::Refusal;

use crate::ids::{CommitmentSecret, KeysIndex, NodeId, Sig};
use crate::onion::Session;
use crate::tx::{Basepoints, ClosingTx, CommitmentKeys, CommitmentTx, KeyScope, SignatureError, Sweep};

/// How far a channel has come, as far as it matters for what may be signed. The channel's rows hold the same facts, so
/// it is told at restore and not stored by the signer itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct SignerState {
    /// How many commitments of the peer were signed: the number of the next one.
    pub remote_signed: u64,
    /// How many commitments the peer has revoked: the number of its oldest valid one.
    pub remote_revoked: u64,
    /// How many commitments of our own hold the peer's signatures: the number of the next one.
    pub local_signed: u64,
    /// How many secrets of our own were released: the number of our oldest valid commitment.
    pub local_released: u64,
    /// The commitment of our own that was signed for the chain: its secret must never be released.
    pub local_published: Option<u64>,
}

/// Whose commitment keys are derived for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitmentOf {
    /// Our own with this number.
    Local(u64),
    /// The peer's with this per-commitment point.
    Remote(PublicKey),
}

/// What a watch-only wallet needs: the roots of its two accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalletAccounts {
    /// Of the master key: begins every key origin.
    pub fingerprint: Fingerprint,
    /// m/84'/coin'/0': P2WPKH (BIP 84).
    pub p2wpkh: Xpub,
    /// m/86'/coin'/0': P2TR, key path (BIP 86).
    pub p2tr: Xpub,
}

/// Holds all secrets of a node. Everything is synchronous: the core asks inside a step and records the answer.
pub trait Signer {
    /// The node's public key.
    fn node_id(&self) -> NodeId;

    /// SHA256 of the point shared between the node key and `point`: the secret of an onion layer.
    fn ecdh(&mut self, point: &PublicKey) -> [u8; 32];

    /// The public keys of a channel.
    fn channel_basepoints(&mut self, keys: KeysIndex) -> Basepoints;

    /// The point of our own commitment `number`.
    fn per_commitment_point(&mut self, keys: KeysIndex, number: u64) -> PublicKey;

    /// All public keys of a commitment, by the shortest way that our secrets allow.
    fn commitment_keys(
        &mut self,
        keys: KeysIndex,
        commitment: CommitmentOf,
        peer: &Basepoints,
        scope: KeyScope,
    ) -> CommitmentKeys;

    /// Tells that the keys of this commitment will be asked for soon: whoever has time may derive them now. Nothing else
    /// depends on it.
    fn expect(&mut self, _keys: KeysIndex, _commitment: CommitmentOf, _peer: &Basepoints) {}

    /// Begins to guard a channel: a new one (`SignerState::default()`), or one restored from its rows. Until then
    /// no commitment, HTLC or closing transaction of it is signed and no secret released; claims, which only take, are.
    fn track(&mut self, keys: KeysIndex, state: SignerState);

    /// How far the signer believes a channel to be.
    fn state(&self, keys: KeysIndex) -> Option<SignerState>;

    /// Forgets what it knows of a channel that is over; its keys can be derived again.
    fn forget(&mut self, keys: KeysIndex);

    /// What a session key makes of a route. That takes no secret of ours. It is asked here because a recording keeps all
    /// answers: a replay need not work it out again.
    fn onion_session(&mut self, session_key: &[u8; 32], nodes: &[PublicKey]) -> Option<Session> {
        Session::new(session_key, nodes)
    }

    /// Are these the peer's signatures of our own commitment? That takes no secret. Asked here for the same reason.
    fn check_signatures(
        &mut self,
        _keys: KeysIndex,
        commitment: &CommitmentTx,
        sig: &Sig,
        htlc_sigs: &[Sig],
    ) -> Result<(), SignatureError> {
        commitment.check_signatures(sig, htlc_sigs)
    }

    /// Is this the secret of the point of the peer's commitment `number`? Asked here for the same reason.
    fn check_secret(&mut self, _keys: KeysIndex, _number: u64, secret: &CommitmentSecret, point: &PublicKey) -> bool {
        secret.is_of(point)
    }

    /// Tells that the peer's signatures on our commitment `number` were checked and kept: the one before may be revoked.
    fn local_signed(&mut self, keys: KeysIndex, number: u64) -> Result<(), Refusal>;

    /// Tells that the peer has revoked its commitment `number`.
    fn remote_revoked(&mut self, keys: KeysIndex, number: u64) -> Result<(), Refusal>;

    /// The secret that revokes our own commitment `number`.
    fn release_secret(&mut self, keys: KeysIndex, number: u64) -> Result<CommitmentSecret, Refusal>;

    /// Signs a commitment of the peer: the result is for the commitment itself, `htlc_sigs` is filled with one
    /// signature for each HTLC output.
    fn sign_remote_commitment(
        &mut self,
        keys: KeysIndex,
        commitment: &CommitmentTx,
        htlc_sigs: &mut Vec<Sig>,
    ) -> Result<Sig, Refusal>;

    /// Signs our own commitment in order to publish it.
    fn sign_local_commitment(&mut self, keys: KeysIndex, commitment: &CommitmentTx) -> Result<Sig, Refusal>;

    /// Signs `input` of `tx`, the HTLC transaction of HTLC output `index` of our own commitment. With anchors it may
    /// have more inputs and outputs than [`CommitmentTx::htlc_tx`] gave it.
    fn sign_htlc(
        &mut self,
        keys: KeysIndex,
        commitment: &CommitmentTx,
        index: usize,
        tx: &Transaction,
        input: usize,
    ) -> Result<Sig, Refusal>;

    /// Signs a closing transaction.
    fn sign_closing(&mut self, keys: KeysIndex, closing: &ClosingTx) -> Result<Sig, Refusal>;

    /// Signs all claims of a sweep into `sigs`, in the order of its inputs. All belong to one channel.
    fn sign_sweep(&mut self, keys: KeysIndex, sweep: &Sweep, sigs: &mut Vec<Sig>) -> Result<(), Refusal>;

    /// Signs claim `index` as `input` of a transaction that holds more than claims: an anchor beside wallet inputs, or
    /// claims of several channels.
    fn sign_claim(
        &mut self,
        keys: KeysIndex,
        claim: &crate::tx::Claim,
        tx: &Transaction,
        input: usize,
    ) -> Result<Sig, Refusal>;

    /// Signs the digest of a `channel_announcement` with the funding key.
    fn sign_announcement(&mut self, keys: KeysIndex, digest: &Message) -> Sig;

    /// Signs the digest of a gossip message with the node key.
    fn sign_node(&mut self, digest: &Message) -> Sig;

    /// Signs with the node key so that the key can be recovered (invoices, `signmessage`): compact bytes and the
    /// recovery id from 0 to 3.
    fn sign_recoverable(&mut self, digest: &Message) -> ([u8; 64], u8);

    /// The accounts of the watch-only wallet.
    fn wallet_accounts(&self) -> WalletAccounts;

    /// Signs every input of a PSBT whose key origin lies in our wallet accounts, and tells how many those are.
    fn sign_psbt(&mut self, psbt: &mut Psbt) -> Result<usize, Refusal>;

    /// Thirty-two secret random bytes: preimages, payment secrets, onion session keys.
    fn draw(&mut self) -> [u8; 32];
}
