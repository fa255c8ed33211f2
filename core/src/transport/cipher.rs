//! The sealed frames of BOLT 8 after the handshake: one cipher per direction, each with its own rotation of keys.
//!
//! This module and the crate behind it are the only place that knows the AEAD.

use std::fmt;

use bitcoin::hashes::{Hash, HashEngine, Hmac, HmacEngine, sha256};
use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce, Tag};
use zeroize::Zeroizing;

/// What authenticates each sealed piece.
pub const TAG_SIZE: usize = 16;
/// The sealed length in front of each message: a `u16` and its tag.
pub const HEADER_SIZE: usize = 2 + TAG_SIZE;

/// BOLT 8, lightning message key rotation: a key serves this many operations, two for each message.
const OPERATIONS_PER_KEY: u64 = 1000;

/// Bytes did not authenticate: they were damaged or forged, or belong elsewhere in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadTag;

/// Thirty-two secret bytes, wiped when they go out of use.
pub(super) type Secret = Zeroizing<[u8; 32]>;

/// BOLT 8: HKDF as of RFC 5869 with SHA-256 and a zero-length info field, 64 bytes in two halves.
pub(super) fn hkdf(salt: &[u8; 32], input: &[u8]) -> (Secret, Secret) {
    let hmac = |key: &[u8], parts: [&[u8]; 2]| -> Secret {
        let mut engine = HmacEngine::<sha256::Hash>::new(key);
        parts.iter().for_each(|part| engine.input(part));
        Zeroizing::new(Hmac::from_engine(engine).to_byte_array())
    };
    let extracted = hmac(salt, [input, &[]]);
    let first = hmac(&*extracted, [&[], &[1]]);
    let second = hmac(&*extracted, [&*first, &[2]]);
    (first, second)
}

/// BOLT 8: four zero bytes, then the counter in little-endian order.
fn nonce_bytes(counter: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_le_bytes());
    nonce.into()
}

fn seal_with(cipher: &ChaCha20Poly1305, counter: u64, associated: &[u8], piece: &mut [u8]) {
    let (text, tag) = piece.split_last_chunk_mut::<TAG_SIZE>().expect("callers leave room for the tag");
    let sealed = cipher
        .encrypt_in_place_detached(&nonce_bytes(counter), associated, text)
        .expect("a piece is far below the cipher's limit of 256 GiB");
    *tag = sealed.into();
}

fn open_with(cipher: &ChaCha20Poly1305, counter: u64, associated: &[u8], piece: &mut [u8]) -> Result<(), BadTag> {
    let (text, tag) = piece.split_last_chunk_mut::<TAG_SIZE>().ok_or(BadTag)?;
    cipher
        .decrypt_in_place_detached(&nonce_bytes(counter), associated, text, Tag::from_slice(tag.as_slice()))
        .map_err(|_| BadTag)
}

/// Seals a piece of the handshake: all but the last sixteen bytes, which take the tag.
pub(super) fn seal_once(key: &Secret, counter: u64, associated: &[u8], piece: &mut [u8]) {
    seal_with(&ChaCha20Poly1305::new(Key::from_slice(&**key)), counter, associated, piece);
}

/// Opens a piece of the handshake; on an error its bytes are as they were.
pub(super) fn open_once(key: &Secret, counter: u64, associated: &[u8], piece: &mut [u8]) -> Result<(), BadTag> {
    open_with(&ChaCha20Poly1305::new(Key::from_slice(&**key)), counter, associated, piece)
}

/// A key with its place in the chain of keys. The AEAD wipes its own key when dropped.
struct Rotating {
    cipher: ChaCha20Poly1305,
    /// The same bytes as within `cipher`, which doesn't give them back: the next key is derived from them.
    key: Secret,
    chaining_key: Secret,
    counter: u64,
}

impl Rotating {
    fn new(key: Secret, chaining_key: Secret) -> Rotating {
        Rotating { cipher: ChaCha20Poly1305::new(Key::from_slice(&*key)), key, chaining_key, counter: 0 }
    }

    fn seal(&mut self, piece: &mut [u8]) {
        seal_with(&self.cipher, self.counter, &[], piece);
        self.advance();
    }

    fn open(&mut self, piece: &mut [u8]) -> Result<(), BadTag> {
        open_with(&self.cipher, self.counter, &[], piece)?;
        self.advance();
        Ok(())
    }

    /// Rotating as soon as the key is spent, not when the next message comes, leaves no old key in memory meanwhile.
    fn advance(&mut self) {
        self.counter += 1;
        if self.counter == OPERATIONS_PER_KEY {
            let (chaining_key, key) = hkdf(&self.chaining_key, &*self.key);
            *self = Rotating::new(key, chaining_key);
        }
    }
}

/// The sending direction.
pub struct SendCipher(Rotating);

impl SendCipher {
    pub(super) fn new(key: Secret, chaining_key: Secret) -> SendCipher {
        SendCipher(Rotating::new(key, chaining_key))
    }

    /// Seals a frame in place: [`HEADER_SIZE`] bytes of any content, the message, [`TAG_SIZE`] bytes of any content.
    pub fn seal_frame(&mut self, frame: &mut [u8]) {
        let (header, body) = frame.split_first_chunk_mut::<HEADER_SIZE>().expect("a frame has a header");
        let size = body.len().checked_sub(TAG_SIZE).expect("a frame ends in a tag");
        let size = u16::try_from(size).expect("the write buffer offers an encoder no more than 65,535 bytes");
        header[..2].copy_from_slice(&size.to_be_bytes());
        self.0.seal(header);
        self.0.seal(body);
    }
}

/// The receiving direction.
pub struct RecvCipher(Rotating);

impl RecvCipher {
    pub(super) fn new(key: Secret, chaining_key: Secret) -> RecvCipher {
        RecvCipher(Rotating::new(key, chaining_key))
    }

    /// Opens a header: how many bytes the message has that follows.
    pub fn open_header(&mut self, header: &mut [u8; HEADER_SIZE]) -> Result<usize, BadTag> {
        self.0.open(header)?;
        Ok(usize::from(u16::from_be_bytes([header[0], header[1]])))
    }

    /// Opens a message in place; its tag, the last [`TAG_SIZE`] bytes, stays behind it. On an error nothing was
    /// decrypted.
    pub fn open_body(&mut self, body: &mut [u8]) -> Result<(), BadTag> {
        self.0.open(body)
    }
}

impl fmt::Debug for SendCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendCipher").field("counter", &self.0.counter).finish_non_exhaustive()
    }
}

impl fmt::Debug for RecvCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecvCipher").field("counter", &self.0.counter).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl SendCipher {
    /// The key in use, to compare with the test vectors.
    pub(super) fn key(&self) -> [u8; 32] {
        *self.0.key
    }
}

#[cfg(test)]
impl RecvCipher {
    /// The key in use, to compare with the test vectors.
    pub(super) fn key(&self) -> [u8; 32] {
        *self.0.key
    }
}
