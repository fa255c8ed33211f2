//! Secret random bytes from a seed, such that what was drawn cannot be found again from what is kept.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use zeroize::Zeroize;

/// A ChaCha20 generator that replaces its key at every draw.
pub(super) struct Draw {
    key: [u8; 32],
}

impl Drop for Draw {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl Draw {
    pub(super) fn new(seed: [u8; 32]) -> Draw {
        Draw { key: seed }
    }

    /// The first half of a block becomes the next key, the second half is the answer.
    pub(super) fn next(&mut self) -> [u8; 32] {
        let mut block = [0; 64];
        ChaCha20::new(&self.key.into(), &[0; 12].into()).apply_keystream(&mut block);
        let mut drawn = [0; 32];
        self.key.copy_from_slice(&block[..32]);
        drawn.copy_from_slice(&block[32..]);
        block.zeroize();
        drawn
    }
}
