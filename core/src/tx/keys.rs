//! The keys of a channel and what BOLT 3 derives from them for each commitment.

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bitcoin::hashes::{Hash, HashEngine, sha256};
use secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use secp256k1::{Message, PublicKey, SECP256K1, Scalar, SecretKey};

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

impl Basepoints {
    /// The HTLC key in a commitment of one's own. Who gives one basepoint for both purposes, as Leyden does, has one key
    /// for both there, and it is derived once.
    pub(crate) fn owner_htlc(&self, delayed: PublicKey, derive: impl FnOnce() -> PublicKey) -> PublicKey {
        if self.htlc == self.delayed_payment { delayed } else { derive() }
    }
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

    /// The keys of HTLC outputs, if they are wanted.
    pub(crate) fn htlc_keys(self, derive: impl FnOnce() -> HtlcKeys) -> Option<HtlcKeys> {
        match self {
            KeyScope::Balances => None,
            KeyScope::BalancesAndHtlcs => Some(derive()),
        }
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
        let point = &per_commitment_point;
        let delayed = derive_pubkey(&owner.delayed_payment, point);
        CommitmentKeys {
            per_commitment_point,
            revocation: revocation_pubkey(&counterparty.revocation, point),
            delayed,
            counterparty_payment: counterparty.payment,
            htlc: scope.htlc_keys(|| HtlcKeys {
                owner: owner.owner_htlc(delayed, || derive_pubkey(&owner.htlc, point)),
                counterparty: derive_pubkey(&counterparty.htlc, point),
            }),
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

/// `pubkey = basepoint + SHA256(per_commitment_point || basepoint) * G` (BOLT 3, "Key Derivation").
pub fn derive_pubkey(basepoint: &PublicKey, per_commitment_point: &PublicKey) -> PublicKey {
    basepoint
        .add_exp_tweak(SECP256K1, &tweak(&per_commitment_point.serialize(), &basepoint.serialize()))
        .expect("a sum at infinity needs a basepoint that is a fixed point of the hash")
}

/// The same for who knows the basepoint's secret, which is faster.
pub(crate) fn derive_own_pubkey(
    secret: &SecretKey,
    basepoint: &PublicKey,
    per_commitment_point: &PublicKey,
) -> PublicKey {
    let mut secret = derive_seckey(secret, basepoint, per_commitment_point);
    let key = secret.public_key(SECP256K1);
    secret.non_secure_erase();
    key
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

/// `revocationpubkey` of our own commitment, for who knows its per-commitment secret: one operation instead of three.
pub(crate) fn own_revocation_pubkey(
    basepoint: &PublicKey,
    per_commitment_point: &PublicKey,
    per_commitment_secret: &SecretKey,
) -> PublicKey {
    let (of_base, of_point) = revocation_factors(basepoint, per_commitment_point);
    let mut own = per_commitment_secret.mul_tweak(&of_point).expect("the factor is a hash, which is not zero");
    let key = times_plus_generator(basepoint, &of_base, &own);
    own.non_secure_erase();
    key
}

/// `revocationpubkey` of the peer's commitment, for who knows the revocation basepoint's secret: its multiple is made as
/// a public key is made, in constant time, which takes less than a multiplication.
pub(crate) fn remote_revocation_pubkey(
    secret: &SecretKey,
    basepoint: &PublicKey,
    per_commitment_point: &PublicKey,
) -> PublicKey {
    let (of_base, of_point) = revocation_factors(basepoint, per_commitment_point);
    let mut multiple = secret.mul_tweak(&of_base).expect("the factor is a hash, which is not zero");
    let of_base = multiple.public_key(SECP256K1);
    multiple.non_secure_erase();
    plus(&of_base, &times(per_commitment_point, &of_point))
}

/// `factor * point + secret * G`.
///
/// Recovering a key from an ECDSA signature (r, s) on a digest m is to compute (s * R - m * G) / r, where r is the
/// x coordinate of R. So with R = `point`, s = `factor` * r and m = -`secret` * r the recovered key is the sum that we
/// want, and the library's one pass over both products takes three quarters of the time of two products and a sum.
///
/// Its duration depends on `secret`, so this is only for a secret that is used here once and given away later: that of
/// one commitment. The same would work with the revocation basepoint's secret for the peer's commitments, but that one
/// stays, and whoever learned it could take revoked outputs: see [`remote_revocation_pubkey`].
fn times_plus_generator(point: &PublicKey, factor: &Scalar, secret: &SecretKey) -> PublicKey {
    let bytes = point.serialize();
    let (parity, x) = bytes.split_first().expect("33 bytes");
    // Whoever chooses a point can choose one whose x is not below the group order. That takes the long way.
    let Ok(r) = SecretKey::from_slice(x) else {
        return plus(&times(point, factor), &secret.public_key(SECP256K1));
    };
    let nonzero = "neither factor is zero";
    let r = Scalar::from(r);
    let s = SecretKey::from_slice(&factor.to_be_bytes()).and_then(|factor| factor.mul_tweak(&r)).expect(nonzero);
    let mut digest = secret.mul_tweak(&r).expect(nonzero).negate();
    let mut signature = [0; 64];
    signature[..32].copy_from_slice(x);
    signature[32..].copy_from_slice(s.as_ref());
    let parity = RecoveryId::from_i32(i32::from(parity & 1)).expect("zero or one");
    let signature = RecoverableSignature::from_compact(&signature, parity).expect("both are below the group order");
    let message = Message::from_digest(digest.secret_bytes());
    digest.non_secure_erase();
    SECP256K1.recover_ecdsa(&message, &signature).expect("points that cancel out need a fixed point of the hash")
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

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(byte: u8) -> SecretKey {
        SecretKey::from_slice(&[byte; 32]).expect("small enough")
    }

    fn check(point: &PublicKey) {
        let factor = Scalar::from(secret(0x91));
        let expected = plus(&times(point, &factor), &secret(7).public_key(SECP256K1));
        assert_eq!(times_plus_generator(point, &factor, &secret(7)), expected);
    }

    #[test]
    fn a_sum_of_products_is_what_it_is_by_the_long_way() {
        (1..40).for_each(|byte| check(&secret(byte).public_key(SECP256K1)));
    }

    #[test]
    fn a_point_whose_x_reaches_the_group_order_is_no_exception() {
        // The group order itself, then numbers above it; about half of them are on the curve.
        let mut bytes = [0; 33];
        bytes[1..].copy_from_slice(&secp256k1::constants::CURVE_ORDER);
        let mut checked = 0;
        for add in 1..=40 {
            bytes[0] = 2 + add % 2;
            bytes[32] = secp256k1::constants::CURVE_ORDER[31] + add;
            if let Ok(point) = PublicKey::from_slice(&bytes) {
                check(&point);
                checked += 1;
            }
        }
        assert!(checked > 5, "{checked}");
    }
}
