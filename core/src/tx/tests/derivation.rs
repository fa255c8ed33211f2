//! Properties of keys, secrets and obscured numbers.

use quickcheck::{QuickCheck, TestResult};
use secp256k1::{SECP256K1, SecretKey};

use crate::ids::CommitmentSecret;
use crate::side::PerSide;
use crate::tx::keys;
use crate::tx::secrets::{NUMBER_MAX, SLOTS, commitment_secret};
use crate::tx::*;

fn key(number: u64) -> SecretKey {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    bytes[0] &= 0x7f;
    SecretKey::from_slice(&bytes).expect("below the group order")
}

#[test]
fn public_and_private_derivations_agree() {
    fn property(basepoint: u64, commitment: u64) -> bool {
        let (base_secret, commitment_secret) = (key(basepoint), key(commitment ^ 1));
        let (base, point) = (base_secret.public_key(SECP256K1), commitment_secret.public_key(SECP256K1));
        let revocation = keys::revocation_pubkey(&base, &point);
        keys::derive_seckey(&base_secret, &base, &point).public_key(SECP256K1) == keys::derive_pubkey(&base, &point)
            && keys::revocation_seckey(&base_secret, &commitment_secret).public_key(SECP256K1) == revocation
            && keys::own_revocation_pubkey(&base, &point, &commitment_secret) == revocation
            && keys::remote_revocation_pubkey(&base_secret, &base, &point) == revocation
    }
    QuickCheck::new().tests(40).quickcheck(property as fn(u64, u64) -> bool);
}

#[test]
fn a_store_knows_every_secret_it_was_given() {
    fn property(seed: u8, count: u16) -> bool {
        let count = u64::from(count % 300);
        let mut store = SecretStore::new();
        // What a database would hold: one row per slot, overwritten.
        let mut rows = std::collections::BTreeMap::new();
        for number in 0..count {
            let slot = store.insert(number, commitment_secret(&[seed; 32], number)).expect("they are of one seed");
            rows.insert(slot, *store.slot(slot).expect("it was just filled"));
        }
        let restored = SecretStore::restore(rows.into_values()).expect("the rows are those of a store");
        let config = bincode::config::standard();
        let bytes = bincode::encode_to_vec(&store, config).expect("a store encodes");
        let decoded: (SecretStore, usize) = bincode::decode_from_slice(&bytes, config).expect("it decodes");
        restored == store
            && decoded == (store.clone(), bytes.len())
            && store.next_number() == count
            && store.slots().len() <= SLOTS
            && (0..count).all(|number| store.get(number) == Some(commitment_secret(&[seed; 32], number)))
            && store.get(count).is_none()
            && store.get(u64::MAX).is_none()
    }
    QuickCheck::new().tests(20).quickcheck(property as fn(u8, u16) -> bool);
}

#[test]
fn a_store_refuses_gaps_and_misplaced_rows() {
    let secret = |number| commitment_secret(&[3; 32], number);
    let mut store = SecretStore::new();
    assert_eq!(store.insert(1, secret(1)), Err(SecretError::OutOfOrder { expected: 0, actual: 1 }));
    assert_eq!(store.insert(0, secret(0)), Ok(0));
    assert_eq!(store.insert(0, secret(0)), Err(SecretError::OutOfOrder { expected: 1, actual: 0 }));
    let wrong = SecretError::DoesNotDerive { number: 1, known: 0 };
    assert_eq!(store.insert(1, CommitmentSecret([9; 32])), Err(wrong));
    assert_eq!(store.insert(1, secret(1)), Ok(1));
    let backwards = store.slots().iter().rev().copied();
    assert_eq!(SecretStore::restore(backwards), Err(SecretError::WrongSlot { slot: 0, number: 1 }));
}

#[test]
fn only_the_channel_reads_the_number_of_a_commitment() {
    fn property(factor: u64, number: u64) -> TestResult {
        let (factor, number) = (ObscureFactor(factor & NUMBER_MAX), number & NUMBER_MAX);
        let (lock_time, sequence) = factor.obscure(number);
        let outpoint = bitcoin::OutPoint::null();
        let key = key(1).public_key(SECP256K1);
        let funding = Funding::new(outpoint, crate::amount::Sat(1), PerSide { local: key, remote: key });
        let mut tx = bitcoin::Transaction {
            version: bitcoin::transaction::Version::TWO,
            lock_time: bitcoin::absolute::LockTime::from_consensus(lock_time),
            input: vec![bitcoin::TxIn { previous_output: funding.outpoint, sequence, ..Default::default() }],
            output: Vec::new(),
        };
        let read = factor.number_of(&tx);
        tx.input[0].sequence = bitcoin::Sequence::MAX;
        TestResult::from_bool(read == Some(number) && factor.number_of(&tx).is_none())
    }
    QuickCheck::new().tests(200).quickcheck(property as fn(u64, u64) -> TestResult);
}

#[test]
fn keys_survive_encoding() {
    let public = |number| key(number).public_key(SECP256K1);
    let basepoints = Basepoints {
        funding_pubkey: public(1),
        revocation: public(2),
        payment: public(3),
        delayed_payment: public(4),
        htlc: public(5),
    };
    let config = bincode::config::standard();
    let bytes = bincode::encode_to_vec(basepoints, config).expect("keys encode");
    assert_eq!(bytes.len(), 5 * 33);
    let decoded: (Basepoints, usize) = bincode::decode_from_slice(&bytes, config).expect("they decode");
    assert_eq!(decoded, (basepoints, bytes.len()));
    let mut broken = bytes;
    broken[0] = 9;
    assert!(bincode::decode_from_slice::<Basepoints, _>(&broken, config).is_err());

    for scope in [KeyScope::for_htlcs(0), KeyScope::for_htlcs(1)] {
        let keys = CommitmentKeys::derive(&basepoints, &basepoints, public(6), scope);
        let bytes = bincode::encode_to_vec(keys, config).expect("keys encode");
        let decoded: (CommitmentKeys, usize) = bincode::decode_from_slice(&bytes, config).expect("they decode");
        assert_eq!(decoded, (keys, bytes.len()));
    }
}
