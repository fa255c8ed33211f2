//! The handshake of BOLT 8: `Noise_XK_secp256k1_ChaChaPoly_SHA256`, three acts.
//!
//! Each state is a type of its own and each act consumes it, so no act can be played twice or out of order. A failed
//! act leaves no state behind and no bytes to send: BOLT 8 wants the connection ended without an answer.
//!
//! ```text
//! initiator                                responder
//! AwaitActTwo::start → 50 bytes       →    AwaitActOne::act_one
//! AwaitActTwo::act_two                ←    50 bytes, AwaitActThree
//! Session, 66 bytes                   →    AwaitActThree::act_three → Session
//! ```

use std::fmt;

use bitcoin::hashes::{Hash, HashEngine, sha256};
use secp256k1::ecdh::SharedSecret;
use secp256k1::{PublicKey, SECP256K1, SecretKey};
use zeroize::Zeroizing;

use super::cipher::{self, BadTag, RecvCipher, Secret, SendCipher, TAG_SIZE};

/// A version byte, an ephemeral point, a tag.
pub const ACT_ONE_SIZE: usize = 1 + POINT_SIZE + TAG_SIZE;
/// A version byte, an ephemeral point, a tag.
pub const ACT_TWO_SIZE: usize = 1 + POINT_SIZE + TAG_SIZE;
/// A version byte, the sealed static point with its tag, a tag.
pub const ACT_THREE_SIZE: usize = 1 + POINT_SIZE + TAG_SIZE + TAG_SIZE;

const POINT_SIZE: usize = 33;
/// BOLT 8: the only version there is.
const VERSION: u8 = 0;

/// The node's own key as the handshake needs it. The secret stays where it is: in the signer.
pub trait StaticKey {
    /// The node's public key.
    fn public(&self) -> PublicKey;
    /// BOLT 8: SHA-256 of the compressed product of `point` and the node's secret.
    fn ecdh(&mut self, point: &PublicKey) -> [u8; 32];
}

/// A secret for one handshake and no other, erased when dropped.
pub struct Ephemeral(SecretKey);

impl Ephemeral {
    /// The secret from 32 fresh random bytes, which are wiped. `None` if they are no scalar, which chance does not
    /// bring about (1 in 2¹²⁷): then draw others.
    pub fn new(bytes: [u8; 32]) -> Option<Ephemeral> {
        let bytes = Zeroizing::new(bytes);
        SecretKey::from_slice(&*bytes).ok().map(Ephemeral)
    }

    fn public(&self) -> PublicKey {
        self.0.public_key(SECP256K1)
    }

    fn ecdh(&self, point: &PublicKey) -> Secret {
        Zeroizing::new(SharedSecret::new(point, &self.0).secret_bytes())
    }
}

impl Drop for Ephemeral {
    fn drop(&mut self) {
        self.0.non_secure_erase();
    }
}

impl fmt::Debug for Ephemeral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ephemeral(…)")
    }
}

/// A step of the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// From the initiator: its ephemeral point.
    One,
    /// From the responder: its ephemeral point.
    Two,
    /// From the initiator: who it is.
    Three,
}

/// What is wrong with an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A version other than 0.
    BadVersion {
        /// The version it claims.
        version: u8,
    },
    /// The ephemeral or static point is not on the curve.
    BadPoint,
    /// The sealed static key of act three does not authenticate.
    BadStaticKeyTag,
    /// The tag of the act does not authenticate: most likely the initiator looks for another node.
    BadTag,
}

/// A handshake that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeError {
    /// In which act.
    pub act: Act,
    /// Why.
    pub flaw: Flaw,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let act = match self.act {
            Act::One => "one",
            Act::Two => "two",
            Act::Three => "three",
        };
        match self.flaw {
            Flaw::BadVersion { version } => write!(f, "act {act} has version {version}, not {VERSION}"),
            Flaw::BadPoint => write!(f, "act {act} holds a point that is not on the curve"),
            Flaw::BadStaticKeyTag => write!(f, "the static key of act {act} does not authenticate"),
            Flaw::BadTag => write!(f, "act {act} does not authenticate"),
        }
    }
}

impl std::error::Error for HandshakeError {}

/// Makes of a flaw the error of its act.
fn at(act: Act) -> impl Fn(Flaw) -> HandshakeError {
    move |flaw| HandshakeError { act, flaw }
}

/// The chaining key and the transcript hash: what both sides must agree on.
struct Symmetric {
    chaining_key: Secret,
    hash: [u8; 32],
}

impl Symmetric {
    fn new(responder: &PublicKey) -> Symmetric {
        let name = sha256::Hash::hash(b"Noise_XK_secp256k1_ChaChaPoly_SHA256").to_byte_array();
        let mut symmetric = Symmetric { chaining_key: Zeroizing::new(name), hash: name };
        symmetric.mix_hash(b"lightning");
        symmetric.mix_hash(&responder.serialize());
        symmetric
    }

    fn mix_hash(&mut self, bytes: &[u8]) {
        let mut engine = sha256::Hash::engine();
        engine.input(&self.hash);
        engine.input(bytes);
        self.hash = sha256::Hash::from_engine(engine).to_byte_array();
    }

    /// Returns the temporary key.
    fn mix_key(&mut self, shared: &Secret) -> Secret {
        let (chaining_key, key) = cipher::hkdf(&self.chaining_key, &**shared);
        self.chaining_key = chaining_key;
        key
    }

    /// Seals all but the last sixteen bytes, which take the tag.
    fn seal(&mut self, key: &Secret, counter: u64, piece: &mut [u8]) {
        cipher::seal_once(key, counter, &self.hash, piece);
        self.mix_hash(piece);
    }

    fn open(&mut self, key: &Secret, counter: u64, piece: &mut [u8]) -> Result<(), BadTag> {
        let before = self.hash;
        self.mix_hash(piece);
        cipher::open_once(key, counter, &before, piece)
    }

    /// The last keys: the initiator's sending key, then the responder's.
    fn split(&self) -> (Secret, Secret) {
        cipher::hkdf(&self.chaining_key, &[])
    }

    fn chaining_key(&self) -> Secret {
        Zeroizing::new(*self.chaining_key)
    }

    /// Acts one and two are built alike.
    fn write_point(&mut self, public: &PublicKey, shared: &Secret) -> ([u8; ACT_ONE_SIZE], Secret) {
        let mut act = [0; ACT_ONE_SIZE];
        act[0] = VERSION;
        let point = public.serialize();
        act[1..][..POINT_SIZE].copy_from_slice(&point);
        self.mix_hash(&point);
        let key = self.mix_key(shared);
        self.seal(&key, 0, &mut act[1 + POINT_SIZE..]);
        (act, key)
    }

    /// Reads what [`Symmetric::write_point`] wrote.
    fn read_point(
        &mut self,
        act: &[u8; ACT_ONE_SIZE],
        ecdh: impl FnOnce(&PublicKey) -> Secret,
    ) -> Result<(PublicKey, Secret), Flaw> {
        check_version(act[0])?;
        let mut tag = [0; TAG_SIZE];
        tag.copy_from_slice(&act[1 + POINT_SIZE..]);
        let point = &act[1..][..POINT_SIZE];
        let public = PublicKey::from_slice(point).map_err(|_| Flaw::BadPoint)?;
        self.mix_hash(point);
        let key = self.mix_key(&ecdh(&public));
        self.open(&key, 0, &mut tag).map_err(|BadTag| Flaw::BadTag)?;
        Ok((public, key))
    }
}

/// BOLT 8: an unknown version ends the handshake before anything else is looked at.
fn check_version(version: u8) -> Result<(), Flaw> {
    if version == VERSION { Ok(()) } else { Err(Flaw::BadVersion { version }) }
}

/// What a finished handshake leaves.
#[derive(Debug)]
pub struct Session {
    /// Seals what we send.
    pub send: SendCipher,
    /// Opens what we receive.
    pub recv: RecvCipher,
    /// The peer's static key, proven to be its own.
    pub remote: PublicKey,
}

/// The initiator, once act one is on its way.
pub struct AwaitActTwo {
    symmetric: Symmetric,
    ephemeral: Ephemeral,
    remote: PublicKey,
}

impl AwaitActTwo {
    /// Begins a handshake with the node that holds `remote`: also the bytes of act one.
    pub fn start(remote: &PublicKey, ephemeral: Ephemeral) -> (AwaitActTwo, [u8; ACT_ONE_SIZE]) {
        let mut symmetric = Symmetric::new(remote);
        let (act, _) = symmetric.write_point(&ephemeral.public(), &ephemeral.ecdh(remote));
        (AwaitActTwo { symmetric, ephemeral, remote: *remote }, act)
    }

    /// Reads act two: the session, and the bytes of act three, which must go out before anything else.
    pub fn act_two(
        self,
        act: &[u8; ACT_TWO_SIZE],
        key: &mut dyn StaticKey,
    ) -> Result<(Session, [u8; ACT_THREE_SIZE]), HandshakeError> {
        let AwaitActTwo { mut symmetric, ephemeral, remote } = self;
        let (point, temporary) = symmetric.read_point(act, |point| ephemeral.ecdh(point)).map_err(at(Act::Two))?;

        let mut act = [0; ACT_THREE_SIZE];
        act[0] = VERSION;
        let (sealed_key, tag) = act[1..].split_at_mut(POINT_SIZE + TAG_SIZE);
        sealed_key[..POINT_SIZE].copy_from_slice(&key.public().serialize());
        symmetric.seal(&temporary, 1, sealed_key);
        let temporary = symmetric.mix_key(&Zeroizing::new(key.ecdh(&point)));
        symmetric.seal(&temporary, 0, tag);

        let (initiator, responder) = symmetric.split();
        let send = SendCipher::new(initiator, symmetric.chaining_key());
        let recv = RecvCipher::new(responder, symmetric.chaining_key());
        Ok((Session { send, recv, remote }, act))
    }
}

/// The responder, before anything came.
pub struct AwaitActOne {
    ephemeral: Ephemeral,
}

impl AwaitActOne {
    /// Awaits an initiator that knows our key.
    pub fn new(ephemeral: Ephemeral) -> AwaitActOne {
        AwaitActOne { ephemeral }
    }

    /// Reads act one: the bytes of act two.
    pub fn act_one(
        self,
        act: &[u8; ACT_ONE_SIZE],
        key: &mut dyn StaticKey,
    ) -> Result<(AwaitActThree, [u8; ACT_TWO_SIZE]), HandshakeError> {
        let AwaitActOne { ephemeral } = self;
        let mut symmetric = Symmetric::new(&key.public());
        let ecdh = |point: &PublicKey| Zeroizing::new(key.ecdh(point));
        let (point, _) = symmetric.read_point(act, ecdh).map_err(at(Act::One))?;
        let (act, temporary) = symmetric.write_point(&ephemeral.public(), &ephemeral.ecdh(&point));
        Ok((AwaitActThree { symmetric, ephemeral, temporary }, act))
    }
}

/// The responder, once act two is on its way.
pub struct AwaitActThree {
    symmetric: Symmetric,
    ephemeral: Ephemeral,
    temporary: Secret,
}

impl AwaitActThree {
    /// Reads act three: now we know who it is.
    pub fn act_three(self, act: &[u8; ACT_THREE_SIZE]) -> Result<Session, HandshakeError> {
        let AwaitActThree { mut symmetric, ephemeral, temporary } = self;
        let fail = at(Act::Three);
        let mut act = *act;
        check_version(act[0]).map_err(&fail)?;
        let (sealed_key, tag) = act[1..].split_at_mut(POINT_SIZE + TAG_SIZE);
        symmetric.open(&temporary, 1, sealed_key).map_err(|BadTag| fail(Flaw::BadStaticKeyTag))?;
        let remote = PublicKey::from_slice(&sealed_key[..POINT_SIZE]).map_err(|_| fail(Flaw::BadPoint))?;
        let temporary = symmetric.mix_key(&ephemeral.ecdh(&remote));
        symmetric.open(&temporary, 0, tag).map_err(|BadTag| fail(Flaw::BadTag))?;

        let (initiator, responder) = symmetric.split();
        let send = SendCipher::new(responder, symmetric.chaining_key());
        let recv = RecvCipher::new(initiator, symmetric.chaining_key());
        Ok(Session { send, recv, remote })
    }
}
