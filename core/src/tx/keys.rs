//! The keys of a channel and what BOLT 3 derives from them for each commitment.

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bitcoin::hashes::{Hash, HashEngine, sha256};
use secp256k1::{PublicKey, SECP256K1, Scalar, SecretKey};

/// The five public keys that a side gives at opening, parsed: a curve point is checked once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Basepoints {
    /// Its key of the 2-of-2 funding output.
    pub funding_pubkey: PublicKey,
    /// From which the *other* side's revocation keys are made.
    pub revocation: PublicKey,
    /// Gets `to_remote` of the other side's commitments as it is (`option_static_remotekey`).
    pub payment: PublicKey,
    /// From which the keys of its delayed outputs are made.
    pub delayed_payment: PublicKey,
    /// From which its HTLC keys are made.
    pub htlc: PublicKey,
}

/// The two keys of HTLC outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HtlcKeys {
    /// Of the commitment's owner (`local_htlcpubkey` of BOLT 3).
    pub owner: PublicKey,
    /// Of the other side (`remote_htlcpubkey`).
    pub counterparty: PublicKey,
}

/// Which keys a caller needs: HTLC keys cost two curve operations that a commitment without HTLC outputs can save.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyScope {
    /// No HTLC has an output.
    Balances,
    /// HTLC outputs too.
    BalancesAndHtlcs,
}

impl KeyScope {
    /// The scope of a commitment with this many untrimmed HTLCs.
    pub fn for_htlcs(untrimmed: usize) -> KeyScope {
        if untrimmed == 0 { KeyScope::Balances } else { KeyScope::BalancesAndHtlcs }
    }
}

/// All public keys of one commitment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommitmentKeys {
    /// The owner's point for this commitment.
    pub per_commitment_point: PublicKey,
    /// Punishes the owner, should the commitment be revoked.
    pub revocation: PublicKey,
    /// Takes the owner's own money after the delay.
    pub delayed: PublicKey,
    /// Takes `to_remote`: the other side's payment basepoint.
    pub counterparty_payment: PublicKey,
    /// Derived only where an HTLC has an output.
    pub htlc: Option<HtlcKeys>,
}

impl CommitmentKeys {
    /// Everything from public keys alone. The signer knows some of the secrets and has a shorter way.
    pub fn derive(
        owner: &Basepoints,
        counterparty: &Basepoints,
        per_commitment_point: PublicKey,
        scope: KeyScope,
    ) -> CommitmentKeys {
        let revocation = revocation_pubkey(&counterparty.revocation, &per_commitment_point);
        CommitmentKeys::with_revocation(owner, counterparty, per_commitment_point, revocation, scope)
    }

    /// The rest of the keys once the costly one is known.
    pub(crate) fn with_revocation(
        owner: &Basepoints,
        counterparty: &Basepoints,
        per_commitment_point: PublicKey,
        revocation: PublicKey,
        scope: KeyScope,
    ) -> CommitmentKeys {
        let point = per_commitment_point.serialize();
        let htlc = match scope {
            KeyScope::Balances => None,
            KeyScope::BalancesAndHtlcs => Some(HtlcKeys {
                owner: derive_with(&owner.htlc, &point),
                counterparty: derive_with(&counterparty.htlc, &point),
            }),
        };
        CommitmentKeys {
            per_commitment_point,
            revocation,
            delayed: derive_with(&owner.delayed_payment, &point),
            counterparty_payment: counterparty.payment,
            htlc,
        }
    }
}

/// SHA256(a || b) as a scalar.
fn tweak(a: &[u8; 33], b: &[u8; 33]) -> Scalar {
    let mut engine = sha256::Hash::engine();
    engine.input(a);
    engine.input(b);
    let hash = sha256::Hash::from_engine(engine).to_byte_array();
    Scalar::from_be_bytes(hash).expect("no hash is known that reaches the group order")
}

fn derive_with(basepoint: &PublicKey, point: &[u8; 33]) -> PublicKey {
    basepoint
        .add_exp_tweak(SECP256K1, &tweak(point, &basepoint.serialize()))
        .expect("a sum at infinity needs a basepoint that is a fixed point of the hash")
}

/// `pubkey = basepoint + SHA256(per_commitment_point || basepoint) * G` (BOLT 3, "Key Derivation").
pub fn derive_pubkey(basepoint: &PublicKey, per_commitment_point: &PublicKey) -> PublicKey {
    derive_with(basepoint, &per_commitment_point.serialize())
}

/// The secret of [`derive_pubkey`], for who knows the basepoint's.
pub fn derive_seckey(secret: &SecretKey, basepoint: &PublicKey, per_commitment_point: &PublicKey) -> SecretKey {
    secret
        .add_tweak(&tweak(&per_commitment_point.serialize(), &basepoint.serialize()))
        .expect("a sum of zero needs a basepoint that is a fixed point of the hash")
}

/// The two factors of a revocation key: of the revocation basepoint, of the per-commitment point.
fn revocation_factors(basepoint: &PublicKey, point: &PublicKey) -> (Scalar, Scalar) {
    let (basepoint, point) = (basepoint.serialize(), point.serialize());
    (tweak(&basepoint, &point), tweak(&point, &basepoint))
}

fn times(point: &PublicKey, factor: &Scalar) -> PublicKey {
    point.mul_tweak(SECP256K1, factor).expect("the factor is a hash, which is not zero")
}

fn plus(a: &PublicKey, b: &PublicKey) -> PublicKey {
    a.combine(b).expect("points that cancel out need a fixed point of the hash")
}

/// `revocationpubkey` (BOLT 3) from public keys alone: two multiplications.
pub fn revocation_pubkey(basepoint: &PublicKey, per_commitment_point: &PublicKey) -> PublicKey {
    let (of_base, of_point) = revocation_factors(basepoint, per_commitment_point);
    plus(&times(basepoint, &of_base), &times(per_commitment_point, &of_point))
}

/// `revocationpubkey` for who knows the secret behind one of the two points: one multiplication of a point and one of
/// the generator, the latter in constant time because its factor is secret.
pub(crate) fn revocation_pubkey_with(
    basepoint: &PublicKey,
    per_commitment_point: &PublicKey,
    known: KnownSecret<'_>,
) -> PublicKey {
    let (of_base, of_point) = revocation_factors(basepoint, per_commitment_point);
    let (other, secret, factor) = match known {
        KnownSecret::Basepoint(secret) => (times(per_commitment_point, &of_point), secret, of_base),
        KnownSecret::PerCommitment(secret) => (times(basepoint, &of_base), secret, of_point),
    };
    let mut secret = secret.mul_tweak(&factor).expect("the factor is a hash, which is not zero");
    let own = secret.public_key(SECP256K1);
    secret.non_secure_erase();
    plus(&other, &own)
}

/// Which secret behind a revocation key is at hand.
#[derive(Clone, Copy)]
pub(crate) enum KnownSecret<'a> {
    /// Of the revocation basepoint: the commitment is the peer's.
    Basepoint(&'a SecretKey),
    /// Of the per-commitment point: the commitment is our own.
    PerCommitment(&'a SecretKey),
}

/// `revocationprivkey` (BOLT 3), once the owner has given away the per-commitment secret.
pub fn revocation_seckey(basepoint_secret: &SecretKey, per_commitment_secret: &SecretKey) -> SecretKey {
    let basepoint = basepoint_secret.public_key(SECP256K1);
    let point = per_commitment_secret.public_key(SECP256K1);
    let (of_base, of_point) = revocation_factors(&basepoint, &point);
    let nonzero = "the factor is a hash, which is not zero";
    let of_point = Scalar::from(per_commitment_secret.mul_tweak(&of_point).expect(nonzero));
    basepoint_secret
        .mul_tweak(&of_base)
        .expect(nonzero)
        .add_tweak(&of_point)
        .expect("products that cancel out need a fixed point of the hash")
}

fn encode_key<E: Encoder>(key: &PublicKey, encoder: &mut E) -> Result<(), EncodeError> {
    bincode::Encode::encode(&key.serialize(), encoder)
}

fn decode_key<D: Decoder>(decoder: &mut D) -> Result<PublicKey, DecodeError> {
    let bytes = <[u8; 33] as bincode::Decode<D::Context>>::decode(decoder)?;
    PublicKey::from_slice(&bytes).map_err(|_| DecodeError::Other("not a point of the curve"))
}

/// Rows and recordings hold keys as their 33 bytes.
macro_rules! encode_keys {
    ($name:ident: $($field:ident)*) => {
        impl bincode::Encode for $name {
            fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
                $(encode_key(&self.$field, encoder)?;)*
                Ok(())
            }
        }
        impl<C> bincode::Decode<C> for $name {
            fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<$name, DecodeError> {
                Ok($name { $($field: decode_key(decoder)?),* })
            }
        }
        bincode::impl_borrow_decode!($name);
    };
}
encode_keys!(Basepoints: funding_pubkey revocation payment delayed_payment htlc);
encode_keys!(HtlcKeys: owner counterparty);

impl bincode::Encode for CommitmentKeys {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        encode_key(&self.per_commitment_point, encoder)?;
        encode_key(&self.revocation, encoder)?;
        encode_key(&self.delayed, encoder)?;
        encode_key(&self.counterparty_payment, encoder)?;
        self.htlc.encode(encoder)
    }
}

impl<C> bincode::Decode<C> for CommitmentKeys {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<CommitmentKeys, DecodeError> {
        Ok(CommitmentKeys {
            per_commitment_point: decode_key(decoder)?,
            revocation: decode_key(decoder)?,
            delayed: decode_key(decoder)?,
            counterparty_payment: decode_key(decoder)?,
            htlc: Option::<HtlcKeys>::decode(decoder)?,
        })
    }
}
bincode::impl_borrow_decode!(CommitmentKeys);
