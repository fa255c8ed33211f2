//! The core's own randomness: jitter, tie-breaks and identifiers, never a secret.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};

/// A ChaCha20 stream. Not `Clone`: two streams that are equal would be a mistake.
pub struct Rng {
    seed: [u8; 32],
    stream: ChaCha20,
}

impl Rng {
    /// The stream of this seed.
    pub fn new(seed: [u8; 32]) -> Rng {
        Rng { seed, stream: ChaCha20::new(&seed.into(), &[0; 12].into()) }
    }

    /// An independent stream for `domain`: draws from one do not move the other.
    pub fn fork(&self, domain: &str) -> Rng {
        use bitcoin::hashes::{Hash, HashEngine, sha256};
        let mut engine = sha256::Hash::engine();
        engine.input(&self.seed);
        engine.input(domain.as_bytes());
        Rng::new(sha256::Hash::from_engine(engine).to_byte_array())
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
        self.stream.apply_keystream(bytes);
    }

    /// A random number.
    pub fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A number below `bound`, which is not zero. The bias of the modulo is below 2^-32 for all our bounds.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next_u64() % bound
    }
}
