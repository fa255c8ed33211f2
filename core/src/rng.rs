//! The core's own randomness: jitter, tie-breaks and identifiers, never a secret.

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher, StreamCipherSeek};

/// A ChaCha20 stream. Not `Clone`: two streams that are equal would be a mistake.
pub struct Rng {
    seed: [u8; 32],
    stream: ChaCha20,
}

/// The seed, and how far the stream was read.
impl Encode for Rng {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        let Rng { seed, stream } = self;
        seed.encode(encoder)?;
        stream.current_pos::<u64>().encode(encoder)
    }
}

impl<Context> Decode<Context> for Rng {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Rng, DecodeError> {
        let mut rng = Rng::new(Decode::decode(decoder)?);
        let position = u64::decode(decoder)?;
        rng.stream.try_seek(position).map_err(|_| DecodeError::Other("a position behind the stream's end"))?;
        Ok(rng)
    }
}

bincode::impl_borrow_decode!(Rng);

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
