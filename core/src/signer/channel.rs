//! The secrets of one channel, and what may be done with them.

use bitcoin::Transaction;
use secp256k1::{Message, PublicKey, SECP256K1, SecretKey};
use zeroize::Zeroize;

use super::{CommitmentOf, Refusal, SignerState};
use crate::ids::{CommitmentSecret, KeysIndex, Sig};
use crate::side::Side;
use crate::tx::keys;
use crate::tx::{
    Basepoints, Claim, ClaimKey, ClosingTx, CommitmentKeys, CommitmentTx, Funding, HtlcKeys, KeyScope, secrets,
};

/// How many of our per-commitment points are kept: the valid two, the one before, the next.
const POINTS: usize = 4;

/// A per-commitment secret and its point.
#[derive(Clone, Copy)]
struct PointOf {
    number: u64,
    secret: SecretKey,
    point: PublicKey,
}

/// The secrets of one channel.
pub(super) struct ChannelKeys {
    pub(super) basepoints: Basepoints,
    funding: SecretKey,
    revocation: SecretKey,
    payment: SecretKey,
    delayed_payment: SecretKey,
    htlc: SecretKey,
    seed: [u8; 32],
    points: [Option<PointOf>; POINTS],
    state: Option<SignerState>,
}

/// The secrets as they are derived, or given in a test.
pub(super) struct ChannelSecrets {
    pub(super) funding: SecretKey,
    pub(super) revocation: SecretKey,
    pub(super) payment: SecretKey,
    pub(super) delayed_payment: SecretKey,
    pub(super) htlc: SecretKey,
    pub(super) seed: [u8; 32],
}

impl Drop for ChannelSecrets {
    fn drop(&mut self) {
        let ChannelSecrets { funding, revocation, payment, delayed_payment, htlc, seed } = self;
        for key in [funding, revocation, payment, delayed_payment, htlc] {
            key.non_secure_erase();
        }
        seed.zeroize();
    }
}

impl Drop for ChannelKeys {
    fn drop(&mut self) {
        let ChannelKeys { funding, revocation, payment, delayed_payment, htlc, seed, points, .. } = self;
        for key in [funding, revocation, payment, delayed_payment, htlc] {
            key.non_secure_erase();
        }
        seed.zeroize();
        points.iter_mut().flatten().for_each(|point| point.secret.non_secure_erase());
    }
}

fn sign(digest: &Message, key: &SecretKey) -> Sig {
    SECP256K1.sign_ecdsa(digest, key).into()
}

impl ChannelKeys {
    pub(super) fn new(secrets: &ChannelSecrets) -> ChannelKeys {
        let public = |key: &SecretKey| key.public_key(SECP256K1);
        ChannelKeys {
            basepoints: Basepoints {
                funding_pubkey: public(&secrets.funding),
                revocation: public(&secrets.revocation),
                payment: public(&secrets.payment),
                delayed_payment: public(&secrets.delayed_payment),
                htlc: public(&secrets.htlc),
            },
            funding: secrets.funding,
            revocation: secrets.revocation,
            payment: secrets.payment,
            delayed_payment: secrets.delayed_payment,
            htlc: secrets.htlc,
            seed: secrets.seed,
            points: [None; POINTS],
            state: None,
        }
    }

    fn point_of(&mut self, number: u64) -> PointOf {
        let place = &mut self.points[number as usize % POINTS];
        match place {
            Some(known) if known.number == number => *known,
            _ => {
                let secret = secrets::commitment_secret(&self.seed, number);
                let secret = SecretKey::from_slice(&secret.0).expect("no hash is known that is not a secret key");
                let point = PointOf { number, secret, point: secret.public_key(SECP256K1) };
                *place = Some(point);
                point
            }
        }
    }

    pub(super) fn per_commitment_point(&mut self, number: u64) -> PublicKey {
        self.point_of(number).point
    }

    pub(super) fn commitment_keys(
        &mut self,
        commitment: CommitmentOf,
        peer: &Basepoints,
        scope: KeyScope,
    ) -> CommitmentKeys {
        let made = match commitment {
            CommitmentOf::Local(number) => {
                let PointOf { secret, point, .. } = self.point_of(number);
                CommitmentKeys {
                    per_commitment_point: point,
                    revocation: keys::own_revocation_pubkey(&peer.revocation, &point, &secret),
                    delayed: keys::derive_own_pubkey(&self.delayed_payment, &self.basepoints.delayed_payment, &point),
                    counterparty_payment: peer.payment,
                    htlc: None,
                }
            }
            CommitmentOf::Remote(point) => CommitmentKeys {
                per_commitment_point: point,
                revocation: keys::remote_revocation_pubkey(&self.revocation, &self.basepoints.revocation, &point),
                delayed: keys::derive_pubkey(&peer.delayed_payment, &point),
                counterparty_payment: self.basepoints.payment,
                htlc: None,
            },
        };
        self.with_htlcs(made, commitment, peer, scope)
    }

    /// Adds the keys of HTLC outputs, if they are wanted.
    pub(super) fn with_htlcs(
        &self,
        made: CommitmentKeys,
        commitment: CommitmentOf,
        peer: &Basepoints,
        scope: KeyScope,
    ) -> CommitmentKeys {
        let (point, delayed) = (&made.per_commitment_point, made.delayed);
        let htlc = scope.htlc_keys(|| match commitment {
            CommitmentOf::Local(_) => HtlcKeys {
                owner: self.basepoints.owner_htlc(delayed, || self.own_htlc_pubkey(point)),
                counterparty: keys::derive_pubkey(&peer.htlc, point),
            },
            CommitmentOf::Remote(_) => HtlcKeys {
                owner: peer.owner_htlc(delayed, || keys::derive_pubkey(&peer.htlc, point)),
                counterparty: self.own_htlc_pubkey(point),
            },
        });
        CommitmentKeys { htlc, ..made }
    }

    fn own_htlc_pubkey(&self, point: &PublicKey) -> PublicKey {
        keys::derive_own_pubkey(&self.htlc, &self.basepoints.htlc, point)
    }

    pub(super) fn track(&mut self, state: SignerState) {
        self.state = Some(state);
    }

    pub(super) fn state(&self) -> Option<SignerState> {
        self.state
    }

    fn tracked(&mut self, index: KeysIndex) -> Result<&mut SignerState, Refusal> {
        self.state.as_mut().ok_or(Refusal::Untracked(index))
    }

    fn check_funding(&self, funding: &Funding) -> Result<(), Refusal> {
        if funding.keys.local == self.basepoints.funding_pubkey { Ok(()) } else { Err(Refusal::NotOurFunding) }
    }

    /// Only the next commitment of ours can get signatures, or the newest again: a splice signs the same number.
    pub(super) fn local_signed(&mut self, index: KeysIndex, number: u64) -> Result<(), Refusal> {
        let state = self.tracked(index)?;
        if number != state.local_signed && number.checked_add(1) != Some(state.local_signed) {
            return Err(Refusal::Gap { expected: state.local_signed, actual: number });
        }
        state.local_signed = number + 1;
        Ok(())
    }

    /// Revocations come in order and only for what was signed; hearing of one twice changes nothing.
    pub(super) fn remote_revoked(&mut self, index: KeysIndex, number: u64) -> Result<(), Refusal> {
        let state = self.tracked(index)?;
        if number > state.remote_revoked || number >= state.remote_signed {
            return Err(Refusal::Gap { expected: state.remote_revoked, actual: number });
        }
        state.remote_revoked = state.remote_revoked.max(number + 1);
        Ok(())
    }

    pub(super) fn release_secret(&mut self, index: KeysIndex, number: u64) -> Result<CommitmentSecret, Refusal> {
        let state = self.tracked(index)?;
        if number > state.local_released {
            return Err(Refusal::Gap { expected: state.local_released, actual: number });
        }
        // A newer commitment with the peer's signatures must take the place of this one.
        if number.saturating_add(1) >= state.local_signed {
            return Err(Refusal::SecretOfNewest { number, next: state.local_signed });
        }
        if let Some(published) = state.local_published
            && number >= published
        {
            return Err(Refusal::Published { number, published });
        }
        state.local_released = state.local_released.max(number + 1);
        Ok(CommitmentSecret(self.point_of(number).secret.secret_bytes()))
    }

    pub(super) fn sign_remote_commitment(
        &mut self,
        index: KeysIndex,
        commitment: &CommitmentTx,
        htlc_sigs: &mut Vec<Sig>,
    ) -> Result<Sig, Refusal> {
        let number = commitment.number;
        if commitment.owner != Side::Remote {
            return Err(Refusal::WrongOwner { number });
        }
        self.check_funding(&commitment.funding)?;
        let state = self.tracked(index)?;
        if number > state.remote_signed {
            return Err(Refusal::Gap { expected: state.remote_signed, actual: number });
        }
        let oldest = state.remote_revoked;
        if number < oldest {
            return Err(Refusal::RemoteAlreadyRevoked { number, oldest });
        }
        // At most two commitments of a side are valid: n + 1 waits for the revocation of n - 1.
        if number > oldest + 1 {
            return Err(Refusal::RemoteNotRevoked { number, oldest });
        }
        state.remote_signed = state.remote_signed.max(number + 1);

        htlc_sigs.clear();
        if !commitment.htlcs.is_empty() {
            let point = &commitment.keys.per_commitment_point;
            let mut key = keys::derive_seckey(&self.htlc, &self.basepoints.htlc, point);
            let sighash_type = commitment.format.counterparty_htlc_sighash();
            let digests = (0..commitment.htlcs.len()).map(|index| commitment.htlc_sighash(index, sighash_type));
            htlc_sigs.extend(digests.map(|digest| sign(&digest, &key)));
            key.non_secure_erase();
        }
        Ok(sign(&commitment.sighash, &self.funding))
    }

    /// Our own commitment, only while it is valid.
    fn check_local(&mut self, index: KeysIndex, commitment: &CommitmentTx) -> Result<(), Refusal> {
        let number = commitment.number;
        if commitment.owner != Side::Local {
            return Err(Refusal::WrongOwner { number });
        }
        self.check_funding(&commitment.funding)?;
        let state = self.tracked(index)?;
        if number < state.local_released {
            return Err(Refusal::LocalRevoked { number, oldest: state.local_released });
        }
        if number >= state.local_signed {
            return Err(Refusal::LocalNotSigned { number, next: state.local_signed });
        }
        Ok(())
    }

    pub(super) fn sign_local_commitment(
        &mut self,
        index: KeysIndex,
        commitment: &CommitmentTx,
    ) -> Result<Sig, Refusal> {
        self.check_local(index, commitment)?;
        let state = self.tracked(index)?;
        let published = state.local_published.unwrap_or(commitment.number);
        state.local_published = Some(published.min(commitment.number));
        Ok(sign(&commitment.sighash, &self.funding))
    }

    pub(super) fn sign_htlc(
        &mut self,
        keys_index: KeysIndex,
        commitment: &CommitmentTx,
        index: usize,
        tx: &Transaction,
        input: usize,
    ) -> Result<Sig, Refusal> {
        self.check_local(keys_index, commitment)?;
        let outpoint = commitment.outpoint(commitment.htlcs[index].vout);
        check_input(tx, input, outpoint)?;
        let digest = commitment.htlc_owner_sighash(index, tx, input);
        Ok(self.sign_htlc_key(&commitment.keys.per_commitment_point, &digest))
    }

    fn sign_htlc_key(&self, point: &PublicKey, digest: &Message) -> Sig {
        let mut key = keys::derive_seckey(&self.htlc, &self.basepoints.htlc, point);
        let sig = sign(digest, &key);
        key.non_secure_erase();
        sig
    }

    pub(super) fn sign_funding(&self, digest: &Message) -> Sig {
        sign(digest, &self.funding)
    }

    pub(super) fn sign_closing(&mut self, index: KeysIndex, closing: &ClosingTx) -> Result<Sig, Refusal> {
        self.tracked(index)?;
        self.check_funding(&closing.funding)?;
        Ok(sign(&closing.sighash, &self.funding))
    }

    pub(super) fn sign_claim(&self, claim: &Claim, tx: &Transaction, input: usize) -> Result<Sig, Refusal> {
        check_input(tx, input, claim.outpoint)?;
        let digest = claim.sighash(tx, input);
        let mut key = match &claim.key {
            ClaimKey::Delayed(point) => {
                keys::derive_seckey(&self.delayed_payment, &self.basepoints.delayed_payment, point)
            }
            ClaimKey::Payment => self.payment,
            ClaimKey::Htlc(point) => keys::derive_seckey(&self.htlc, &self.basepoints.htlc, point),
            ClaimKey::Revocation(secret) => {
                let secret = SecretKey::from_slice(&secret.0).map_err(|_| Refusal::InvalidSecret)?;
                keys::revocation_seckey(&self.revocation, &secret)
            }
            ClaimKey::Funding => self.funding,
        };
        let sig = sign(&digest, &key);
        key.non_secure_erase();
        Ok(sig)
    }
}

fn check_input(tx: &Transaction, input: usize, outpoint: bitcoin::OutPoint) -> Result<(), Refusal> {
    let spends = tx.input.get(input).is_some_and(|found| found.previous_output == outpoint);
    if spends { Ok(()) } else { Err(Refusal::WrongInput { input }) }
}
