//! Keys for transports without a node behind them.

use leyden_core::transport::{Ephemeral, StaticKey};
use secp256k1::ecdh::SharedSecret;
use secp256k1::{PublicKey, SECP256K1, SecretKey};

/// A node's key, held where the test can see it.
pub struct Key(pub SecretKey);

impl StaticKey for Key {
    fn public(&self) -> PublicKey {
        self.0.public_key(SECP256K1)
    }

    fn ecdh(&mut self, point: &PublicKey) -> [u8; 32] {
        SharedSecret::new(point, &self.0).secret_bytes()
    }
}

/// One for each byte but zero.
pub fn key(byte: u8) -> Key {
    Key(SecretKey::from_slice(&[byte; 32]).expect("a small scalar"))
}

/// The same for the key that serves one handshake.
pub fn ephemeral(byte: u8) -> Ephemeral {
    Ephemeral::new([byte; 32]).expect("a small scalar")
}
