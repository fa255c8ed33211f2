//! What operations on the curve cost, as far as a payment needs them.

use std::hint::black_box;

use bitcoin::hashes::{Hash, sha256};
use secp256k1::ecdh::SharedSecret;
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::{Message, PublicKey, SECP256K1, Scalar, SecretKey};

/// How often each operation is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operations {
    /// Signatures made.
    pub signs: u32,
    /// Signatures checked.
    pub verifies: u32,
    /// Keys recovered from a signature: `a·P + b·G`.
    pub recovers: u32,
    /// Points made from a secret: `a·G`.
    pub creates: u32,
    /// Multiples of the generator added: `P + a·G`.
    pub additions: u32,
    /// Products with a point: `a·P`.
    pub multiplications: u32,
    /// Sums of two points.
    pub combinations: u32,
    /// Secrets shared with a point.
    pub ecdhs: u32,
    /// Points read from their 33 bytes.
    pub parses: u32,
}

/// A payment between neighbours with an output of its own in the commitments, and its invoice: both ends together.
/// `tests/operations` counts them.
pub const DIRECT_PAYMENT: Operations = Operations {
    signs: 7,
    verifies: 6,
    recovers: 5,
    creates: 19,
    additions: 6,
    multiplications: 4,
    combinations: 4,
    ecdhs: 2,
    parses: 6,
};

/// How often each operation is measured.
const ROUNDS: u32 = 300;

/// What operations cost here and now; `clock_ns` shows nanoseconds.
pub fn price_ns(operations: &Operations, clock_ns: impl Fn() -> u64) -> u64 {
    let secrets: Vec<SecretKey> = (0..ROUNDS)
        .map(|number| {
            let hash = sha256::Hash::hash(&number.to_be_bytes());
            SecretKey::from_slice(hash.as_byte_array()).expect("nearly every number is a key")
        })
        .collect();
    let points: Vec<PublicKey> = secrets.iter().map(|secret| secret.public_key(SECP256K1)).collect();
    let message = |secret: &SecretKey| Message::from_digest(sha256::Hash::hash(&secret[..]).to_byte_array());
    let signatures: Vec<RecoverableSignature> =
        secrets.iter().map(|secret| SECP256K1.sign_ecdsa_recoverable(&message(secret), secret)).collect();
    let bytes: Vec<[u8; 33]> = points.iter().map(PublicKey::serialize).collect();
    let all = |work: &mut dyn FnMut(usize)| {
        let start = clock_ns();
        (0..ROUNDS as usize).for_each(work);
        clock_ns() - start
    };
    let scalar = |number: usize| Scalar::from(secrets[number]);
    let signs = all(&mut |at| {
        black_box(SECP256K1.sign_ecdsa(&message(&secrets[at]), &secrets[at]));
    });
    let verifies = all(&mut |at| {
        let signature = signatures[at].to_standard();
        SECP256K1.verify_ecdsa(&message(&secrets[at]), &signature, &points[at]).expect("it is its own");
    });
    let recovers = all(&mut |at| {
        black_box(SECP256K1.recover_ecdsa(&message(&secrets[at]), &signatures[at]).expect("it can be recovered"));
    });
    let creates = all(&mut |at| {
        black_box(secrets[at].public_key(SECP256K1));
    });
    let additions = all(&mut |at| {
        let next = (at + 1) % ROUNDS as usize;
        black_box(points[at].add_exp_tweak(SECP256K1, &scalar(next)).expect("the sum is a point"));
    });
    let multiplications = all(&mut |at| {
        let next = (at + 1) % ROUNDS as usize;
        black_box(points[at].mul_tweak(SECP256K1, &scalar(next)).expect("the product is a point"));
    });
    let combinations = all(&mut |at| {
        let next = (at + 1) % ROUNDS as usize;
        black_box(points[at].combine(&points[next]).expect("the sum is a point"));
    });
    let ecdhs = all(&mut |at| {
        let next = (at + 1) % ROUNDS as usize;
        black_box(SharedSecret::new(&points[next], &secrets[at]));
    });
    let parses = all(&mut |at| {
        black_box(PublicKey::from_slice(&bytes[at]).expect("it is a point"));
    });
    let prices = [
        (operations.signs, signs),
        (operations.verifies, verifies),
        (operations.recovers, recovers),
        (operations.creates, creates),
        (operations.additions, additions),
        (operations.multiplications, multiplications),
        (operations.combinations, combinations),
        (operations.ecdhs, ecdhs),
        (operations.parses, parses),
    ];
    prices.iter().map(|(count, ns)| u64::from(*count) * ns).sum::<u64>() / u64::from(ROUNDS)
}
